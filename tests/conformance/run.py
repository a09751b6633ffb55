"""Hold the simulated cluster to the transcripts of a real Mesos.

Starts simulators in the shape that the conformance kit wants, deals the kit's scenarios out to them, and prints what
the kit says; the last line is the verdict, `N passed, M failed`.  With `--known-gaps FILE` (one scenario a line, `#`
for comments) the run also succeeds when exactly the listed scenarios fail.  With `--mesos HOST:PORT` the kit is run
against that master instead, one scenario after the other.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLOW_FIRST = (
    "executor-never-subscribes",
    "operation-retry",
    "update-retry",
    "heartbeats",
    "executor-environment",
    "master-restart",
    "agent-killed",
    "agent-unreachable",
    "executor-exit",
)
SCENARIO_SECONDS_MAX = 400


@dataclass(frozen=True)
class Verdict:
    """What the kit said about one scenario."""

    name: str
    passed: bool
    text: str


def main(words: Sequence[str] | None = None) -> int:
    """Run, print, and say by the exit code whether all is as expected."""
    options = arguments(words)
    if options.kit is None or not (options.kit / "conformance.py").exists():
        say(f"no conformance kit in {options.kit}: nothing to hold the simulated cluster to (name one with --kit)")
        return 0
    program = options.kit / "conformance.py"
    names = options.scenario or every_scenario(program, options)
    gaps = known_gaps(options.known_gaps)
    if options.mesos:
        verdicts = [judge(program, name, options.mesos, None, options) for name in names]
    else:
        verdicts = in_parallel(program, names, options)
    failed = {verdict.name for verdict in verdicts if not verdict.passed}
    wrong = False
    for name in sorted(failed - gaps):
        wrong = True
        say(f"failed: {name}")
    for name in sorted((gaps & set(names)) - failed):
        wrong = True
        say(f"passes, so it is no gap any more: {name}")
    say(f"{len(verdicts) - len(failed)} passed, {len(failed)} failed")
    return int(wrong)


def say(text: str) -> None:
    """A line for whoever watches."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kit = os.environ.get("CONFORMANCE_KIT")
    parser.add_argument(
        "--kit", type=Path, default=Path(kit) if kit else None, help="folder of the kit (or CONFORMANCE_KIT)"
    )
    parser.add_argument("--scenario", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--simulators", type=int, default=6, metavar="N", help="how many at once (default 6)")
    parser.add_argument("--fast", action="store_true", help="leave out scenarios marked slow")
    parser.add_argument("--verbose", action="store_true", help="print whole transcripts that differ")
    parser.add_argument("--raw", type=Path, metavar="DIR", help="write every call and record here")
    parser.add_argument("--known-gaps", type=Path, metavar="FILE", help="scenarios that are expected to fail")
    parser.add_argument("--mesos", metavar="HOST:PORT", help="a master to run against, instead of simulators")
    return parser.parse_args(words)


def every_scenario(program: Path, options: argparse.Namespace) -> list[str]:
    """The kit's scenarios, the longest first so that none is left alone at the end."""
    listed = subprocess.run(
        [sys.executable, str(program), "list"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.splitlines()
    chosen = [
        line.split()[0]
        for line in listed
        if not (options.fast and "[slow]" in line) and not (options.mesos and "[control]" in line)
    ]
    return sorted(chosen, key=lambda name: SLOW_FIRST.index(name) if name in SLOW_FIRST else len(SLOW_FIRST))


def known_gaps(path: Path | None) -> set[str]:
    """The scenarios listed as not yet passing."""
    if path is None:
        return set()
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    return {line for line in lines if line}


def in_parallel(program: Path, names: Sequence[str], options: argparse.Namespace) -> list[Verdict]:
    """Deal the scenarios out to several simulators; each runs one at a time."""
    waiting: queue.Queue[str] = queue.Queue()
    for name in names:
        waiting.put(name)
    verdicts: list[Verdict] = []
    lock = threading.Lock()

    def work() -> None:
        while not waiting.empty():
            with simulator() as (master, control):
                while True:
                    try:
                        name = waiting.get_nowait()
                    except queue.Empty:
                        return
                    verdict = judge(program, name, master, control, options)
                    with lock:
                        verdicts.append(verdict)
                        say(verdict.text)
                    if not verdict.passed:
                        break  # what it left behind must not disturb the next one

    workers = [threading.Thread(target=work) for _ in range(min(options.simulators, len(names)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lost = set(names) - {verdict.name for verdict in verdicts}
    return verdicts + [Verdict(name, False, "") for name in sorted(lost)]


@contextmanager
def simulator() -> Iterator[tuple[str, str]]:
    """A simulator of its own: the master's address and the control command."""
    with tempfile.TemporaryDirectory(prefix="conformance-run-") as folder:
        socket = Path(folder) / "control"
        command = [sys.executable, "-m", "headgate.simulator", "--conformance", "--port", "0", "--control", str(socket)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                found = re.match(r"master http://(\S+)", process.stdout.readline())
                if found is None:
                    raise SystemExit("the simulator did not start")
                yield found[1], shlex.join([sys.executable, str(HERE / "control.py"), str(socket)])
            finally:
                process.terminate()


def judge(program: Path, name: str, master: str, control: str | None, options: argparse.Namespace) -> Verdict:
    """Run one scenario with the kit."""
    command = [sys.executable, str(program), "run", "--master", master, "--scenario", name]
    command += ["--control", control] if control else []
    command += ["--verbose"] if options.verbose else []
    command += ["--raw", str(options.raw)] if options.raw else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SCENARIO_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(name, False, f"{name} ERROR not done after {SCENARIO_SECONDS_MAX} s")
    lines = done.stdout.rstrip().splitlines()
    text = "\n".join([*lines[:-1], *[f"    {line.strip()}" for line in done.stderr.splitlines()]])
    return Verdict(name, done.returncode == 0, text)


if __name__ == "__main__":
    sys.exit(main())
