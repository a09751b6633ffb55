"""A program is loaded in a child process before it is submitted: what is said when it does not load."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from headgate.adapters.bundles import build_bundle
from headgate.adapters.program_check import CheckedProgram, check_program
from headgate.errors import BadJob
from headgate.model.ids import JobName
from headgate.model.job import JobSpec, Program
from millstream.contract.worker_spec import Delivery

pytestmark = pytest.mark.integration

GOOD = """
import polars as pl
from millstream import Stream
from millstream.contract.worker_spec import Delivery
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource

rows = pl.DataFrame({"word": ["a"]})

class Sink(CollectingSink):
    guarantees = frozenset({Delivery.AT_LEAST_ONCE, Delivery.AT_MOST_ONCE})

stream = Stream(RowsSource({"0": rows})).filter(pl.col("word") != "").to(Sink(rows.schema))
"""


def check(folder: Path, text: str, program: Program | None = None, **job: object) -> CheckedProgram:
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(text, encoding="utf-8")
    program = program or Program(file="main.py")
    spec = JobSpec(name=JobName("a"), program=program, **job)  # type: ignore[arg-type]
    return check_program(build_bundle(folder, program), spec, folder, timeout_s=60)


def refused(folder: Path, text: str, program: Program | None = None, **job: object) -> str:
    with pytest.raises(BadJob) as caught:
        check(folder, text, program, **job)
    (mistake,) = caught.value.mistakes
    return mistake


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1/0", "program: main.py:1 in <module>: ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('x')\nf()", "program: main.py:2 in f: ValueError: x"),
        ("def f(:\n", "program: main.py:1: SyntaxError: invalid syntax (main.py, line 1)"),
        (
            "import no_such_thing",
            "program: main.py:1 in <module>: ModuleNotFoundError: No module named 'no_such_thing'",
        ),
        ("other = 1", 'program: main.py: the program has no object "stream".'),
        ("stream = 3", "program: main.py: \"stream\" must be a Stream, or a function that returns one; it is int '3'"),
        ("import sys; sys.exit(3)", "program: main.py:1 in <module>: SystemExit: 3"),
    ],
)
def test_a_program_that_does_not_load(tmp_path: Path, text: str, expected: str) -> None:
    assert refused(tmp_path, text).startswith(expected)


def test_a_process_that_ends_itself_is_told_with_its_last_words(tmp_path: Path) -> None:
    text = "import os\nprint('about to die', flush=True)\nos._exit(1)"
    assert (
        refused(tmp_path, text)
        == "program: main.py ended its process while it was loaded; its last words: about to die"
    )


def test_what_was_not_included_is_missed_here(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("X = 1\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("")
    assert refused(tmp_path, "import helper").endswith(
        "it lies beside the job file: write program.include: [helper.py]"
    )
    assert refused(tmp_path, "import lib.x").endswith("write program.include: ['lib/**/*']")
    included = Program(file="main.py", include=("helper.py",))
    assert "has no object" in refused(tmp_path, "import helper", included)


def test_the_childs_environment_is_the_jobs(tmp_path: Path) -> None:
    text = "import os\nraise ValueError(os.environ['MODE'])"
    assert refused(tmp_path, text, env={"MODE": "fast"}).endswith("ValueError: fast")


def test_arguments_reach_the_function(tmp_path: Path) -> None:
    program = Program(file="main.py", object="build", args={"x": [1, None]})
    text = "def build(x):\n    raise ValueError(x)"
    assert refused(tmp_path, text, program) == "program: main.py:2 in build: build() raised ValueError: [1, None]"


def test_a_program_that_waits_is_ended_with_all_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    text = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(marker)!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    (tmp_path / "main.py").write_text(text)
    program = Program(file="main.py")
    with pytest.raises(BadJob, match="was not loaded within 5 s"):
        check_program(
            build_bundle(tmp_path, program), JobSpec(name=JobName("a"), program=program), tmp_path, timeout_s=5
        )
    status = Path(f"/proc/{marker.read_text()}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_headgates_own_process_never_runs_the_program(tmp_path: Path) -> None:
    assert str(os.getpid()) not in refused(tmp_path, "import os\nraise ValueError(f'pid {os.getpid()}')")


def test_a_python_that_does_not_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "python").write_text("#!/bin/sh\nexit 0\n")
    program = Program(file="main.py")
    spec = JobSpec(name=JobName("a"), program=program)
    with pytest.raises(BadJob, match="Permission denied; name a Python that runs"):
        check_program(build_bundle(tmp_path, program), spec, tmp_path, python=str(tmp_path / "python"))


def test_a_python_without_millstream_is_told_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    program = Program(file="main.py")
    spec = JobSpec(name=JobName("a"), program=program)
    with pytest.raises(BadJob, match=r"cannot load millstream .*-m pip install 'headgate\[worker\]'"):
        check_program(build_bundle(tmp_path, program), spec, tmp_path, python=str(bare))


def test_a_program_that_loads_gives_its_plan(tmp_path: Path) -> None:
    found = check(tmp_path, "print('noise')\n" + GOOD, delivery=Delivery.AT_LEAST_ONCE)
    assert found.plan.splitlines()[0] == "source rows"
    assert "word: String" in found.plan
    assert found.sinks == ("collect",)


def test_a_delivery_that_a_sink_cannot_keep_is_refused(tmp_path: Path) -> None:
    found = refused(tmp_path, GOOD, delivery=Delivery.EXACTLY_ONCE)
    assert found == "delivery: collect (main.py:13) cannot promise exactly-once; write at-least-once or at-most-once"
