"""Load a program before it is submitted: in a process of its own, from its bundle, as a worker will.

User code never runs in Headgate's own process; and because the child sees the unpacked bundle and nothing else of the
job's folder, a file that was not included is missed here rather than on the cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from headgate.adapters.bundles import Bundle, unpack
from headgate.errors import BadJob
from headgate.model.job import JobSpec

TIMEOUT_S = 120.0
_MISTAKE_MAX = 2000

_CHILD = """
import json, sys
request = json.load(sys.stdin)
def answer(**found):
    with open(request["answer"], "w", encoding="utf-8") as file:
        json.dump(found, file)
try:
    from millstream.errors import ProgramError
    from millstream.program import load_program
except ImportError as problem:
    answer(missing=str(problem))
    raise SystemExit(0)
try:
    plan = load_program(request["file"], request["object"], request["args"]).plan()
except ProgramError as problem:
    answer(mistake=problem.message, where=problem.where)
else:
    sinks = [[w.sink.name, w.where, sorted(d.value for d in w.sink.guarantees)] for w in plan.writes()]
    answer(plan=plan.text(), sinks=sinks)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedProgram:
    """A program that loads.  `plan` is its steps as text, `sinks` says where its results go."""

    plan: str
    sinks: tuple[str, ...]


def check_program(
    bundle: Bundle, job: JobSpec, source: Path, *, python: str = sys.executable, timeout_s: float = TIMEOUT_S
) -> CheckedProgram:
    """What the program is: it loads, is a complete stream, and its sinks can keep what `delivery` promises.

    Runs `python` with the job's environment variables, in a folder that holds the bundle's files.  `source` is the
    folder the bundle was made from, where a missing module may lie.

    Raises:
        BadJob: it does not; the sentence has the last line of the program that took part, relative to the job file.
    """
    with tempfile.TemporaryDirectory(prefix="headgate-check-") as name:
        folder = Path(name).resolve() / "sandbox"
        folder.mkdir()
        unpack(bundle.data, folder)
        answer = Path(name) / "answer.json"
        request = {
            "file": str(folder / job.program.file),
            "object": job.program.object,
            "args": dict(job.program.args),
            "answer": str(answer),
        }
        output = _run(python, request, folder, job, timeout_s)
        if not answer.is_file():
            raise BadJob((f"program: {job.program.file} ended its process while it was loaded{_tail(output)}",))
        return _judged(json.loads(answer.read_text(encoding="utf-8")), folder, source, job, python)


def _run(python: str, request: Mapping[str, object], folder: Path, job: JobSpec, timeout_s: float) -> str:
    try:
        child = subprocess.Popen(
            [python, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **job.env},
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as problem:
        raise BadJob(
            (f"program: cannot be checked: {python}: {problem.strerror}; name a Python that runs",)
        ) from problem
    try:
        return child.communicate(json.dumps(request), timeout=timeout_s)[0]
    except subprocess.TimeoutExpired as problem:
        waits = "build the stream at import, and leave waiting for others to the running job"
        raise BadJob((f"program: {job.program.file} was not loaded within {timeout_s:g} s; {waits}",)) from problem
    finally:
        _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    """Whatever the program started goes with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def _judged(found: Mapping[str, object], folder: Path, source: Path, job: JobSpec, python: str) -> CheckedProgram:
    if "missing" in found:
        remedy = f"install it there ({python} -m pip install 'headgate[worker]'), or pass --no-check"
        raise BadJob((f"program: {python} cannot load millstream ({found['missing']}); {remedy}",))
    if "mistake" in found:
        place = _relative(str(found["where"]), folder) if found["where"] else job.program.file
        mistake = _shortened(_relative(str(found["mistake"]), folder))
        raise BadJob((f"program: {place}: {mistake}{_left_out(mistake, source)}",))
    sinks = found["sinks"]
    assert isinstance(sinks, list), sinks
    wanted = job.delivery.value
    weak = tuple(
        f"delivery: {name} ({_relative(where, folder)}) cannot promise {wanted}; write {' or '.join(promised)}"
        for name, where, promised in sinks
        if wanted not in promised
    )
    if weak:
        raise BadJob(weak)
    return CheckedProgram(plan=str(found["plan"]), sinks=tuple(str(name) for name, _, _ in sinks))


def _relative(text: str, folder: Path) -> str:
    return text.replace(f"{folder}/", "")


def _shortened(mistake: str) -> str:
    return mistake if len(mistake) <= _MISTAKE_MAX else f"{mistake[:_MISTAKE_MAX]} … ({len(mistake)} characters)"


def _left_out(mistake: str, source: Path) -> str:
    """How to mend a module that lies beside the job file and did not get into the bundle."""
    missing = re.search(r"No module named '([A-Za-z0-9_]+)", mistake)
    if missing and (source / f"{missing.group(1)}.py").is_file():
        return f"; it lies beside the job file: write program.include: [{missing.group(1)}.py]"
    if missing and (source / missing.group(1)).is_dir():
        return f"; it lies beside the job file: write program.include: ['{missing.group(1)}/**/*']"
    return ""


def _tail(output: str) -> str:
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return f"; its last words: {lines[-1][:200]}" if lines else ""
