"""`headgate run`: a job of one's own, on real worker processes, through interruptions and with the right result."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headgate.adapters.sqlite_store import SqliteStore
from headgate.model.ids import JobName
from headgate.model.record import Goal
from headgate.model.stored import encoded, loaded

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "hello"
HEADGATE = [sys.executable, "-m", "headgate"]
PATIENCE_S = 120


def example(folder: Path, **changes: object) -> Path:
    """A copy of the example with other fields in its job file."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("result", ".headgate"), dirs_exist_ok=True)
    text = (EXAMPLE / "job.yaml").read_text()
    (folder / "job.yaml").write_text(
        text + "".join(f"{name}: {json.dumps(value)}\n" for name, value in changes.items())
    )
    return folder / "job.yaml"


def headgate(*arguments: str | Path, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        [*HEADGATE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def running(*arguments: str | Path, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], list[str], threading.Event]]:
    """A command under way, its lines so far, and an event for when it says that the job runs and moves on."""
    process = subprocess.Popen(
        [*HEADGATE, *map(str, arguments)], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    progressed = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if ", in " in line and ", in 0," not in line:
                progressed.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield process, lines, progressed
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def rows(folder: Path) -> list[dict[str, Any]]:
    files = sorted((folder / "result").glob("*.jsonl"))
    found = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    for row in found:
        row["revenue"] = round(row["revenue"], 2)
    return sorted(found, key=lambda row: (row["shop"], row["window_start"], row["pane"], row["revision"]))


def expected() -> dict[tuple[str, str], tuple[int, float]]:
    """Orders and revenue per shop and hour, computed without Millstream."""
    totals: dict[tuple[str, str], tuple[int, float]] = {}
    for path in sorted((EXAMPLE / "orders").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            order = json.loads(line)
            if order["amount"] > 0:
                key = order["shop"], order["at"][:13]
                orders, revenue = totals.get(key, (0, 0.0))
                totals[key] = orders + 1, round(revenue + order["amount"], 2)
    return totals


def result(folder: Path) -> dict[tuple[str, str], tuple[int, float]]:
    """The newest revision per shop and hour, and a check that no pane was written twice."""
    found = rows(folder)
    panes = [(row["shop"], row["window_start"], row["revision"]) for row in found]
    assert len(panes) == len(set(panes)), "a pane was written twice"
    return {(row["shop"], row["window_start"][:13].replace(" ", "T")): (row["orders"], row["revenue"]) for row in found}


def workers_below(folder: Path) -> list[str]:
    """Processes that work in a sandbox below the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                home = os.readlink(entry / "cwd")
            except OSError:
                continue
            if home.startswith(str(folder)) and int(entry.name) != os.getpid():
                found.append(f"{entry.name} in {home}")
    return found


def test_the_example_runs_and_says_where_its_result_is(tmp_path: Path) -> None:
    job = example(tmp_path / "hello")
    out = headgate("run", job, cwd=tmp_path)
    assert "hello is completed: 180 records in" in out
    assert f"result: files({tmp_path}/hello/result)" in out
    assert result(tmp_path / "hello") == expected()
    assert "dead letters" not in out
    assert workers_below(tmp_path) == []


def test_orders_of_one_shop_in_every_file_come_together_in_a_second_stage(tmp_path: Path) -> None:
    job = example(tmp_path / "hello", rate_limit=40)
    program = tmp_path / "hello" / "hello.py"
    program.write_text(program.read_text().replace('"shop", partitioned=True', '"shop", shards=3'))
    paths = sorted((tmp_path / "hello" / "orders").glob("*.jsonl"))
    orders = sorted(line for path in paths for line in path.read_text().splitlines(keepends=True))
    for number, path in enumerate(paths):
        path.write_text("".join(orders[number :: len(paths)]))
    with running("run", job, cwd=tmp_path) as (process, lines, progressed):
        assert progressed.wait(PATIENCE_S), "".join(lines)
        sandboxes = tmp_path / ".headgate" / "hello"
        os.kill(int(workers_below(sandboxes)[0].split()[0]), signal.SIGKILL)
        assert process.wait(PATIENCE_S) == 0, "".join(lines)
    assert "hello is completed: 180 records in" in "".join(lines)
    assert any(" stage1/0000" in line for line in lines)
    assert result(tmp_path / "hello") == expected()


def test_ctrl_c_keeps_the_state_and_the_next_run_goes_on_with_a_changed_job(tmp_path: Path) -> None:
    slow = example(tmp_path / "hello", rate_limit=15)
    with running("run", slow, "--data-dir", "state", cwd=tmp_path) as (process, lines, progressed):
        assert progressed.wait(PATIENCE_S), "".join(lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    told = "".join(lines)
    assert "stopping after the last checkpoints" in told
    assert "state is kept in state: run it again to go on" in told
    assert workers_below(tmp_path) == []
    assert result(tmp_path / "hello") != expected()
    fast = example(tmp_path / "hello")
    out = headgate("run", fast, "--data-dir", "state", cwd=tmp_path)
    assert "restored" not in out
    assert "hello is completed: 180 records in" in out
    assert result(tmp_path / "hello") == expected()


def test_a_completed_job_begins_anew_and_replaces_its_results_whatever_ran_before(tmp_path: Path) -> None:
    job = example(tmp_path / "hello", rate_limit=15)
    with running("run", job, cwd=tmp_path) as (process, lines, progressed):
        assert progressed.wait(PATIENCE_S), "".join(lines)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
    out = headgate("run", example(tmp_path / "hello"), cwd=tmp_path)
    assert "this run goes on from the checkpoints of the one before, with the job file changed" in out
    assert "submitted as number 2" in out
    program = tmp_path / "hello" / "hello.py"
    program.write_text(program.read_text().replace('"amount") > 0', '"amount") > 1e9'))
    out = headgate("run", job, cwd=tmp_path)
    assert "the run before was completed; this run begins anew" in out
    assert rows(tmp_path / "hello") == [], "rows of the earlier runs are left"
    out = headgate("run", example(tmp_path / "hello"), "--fresh", cwd=tmp_path)
    assert "this run begins anew: all input is read again" in out
    assert "hello is completed: 180 records in" in out
    assert result(tmp_path / "hello") == expected()


def test_a_run_that_was_ended_while_it_stopped_runs_again(tmp_path: Path) -> None:
    job = example(tmp_path / "hello", rate_limit=15)
    with running("run", job, cwd=tmp_path) as (process, lines, progressed):
        assert progressed.wait(PATIENCE_S), "".join(lines)
        process.send_signal(signal.SIGSTOP)
        # The wish to stop is saved, and what carries it out is not there any more.
        with closing(SqliteStore(tmp_path / ".headgate" / "hello" / "headgate.db")) as store:
            records = loaded(store.load(""))
            asked = replace(records.jobs[JobName("hello")], goal=Goal.CANCEL)
            store.write({"jobs/hello": encoded("jobs/hello", asked)}, term=store.new_term())
        process.kill()
        process.wait()
    out = headgate("run", job, cwd=tmp_path)
    assert "hello is completed: 180 records in" in out
    assert result(tmp_path / "hello") == expected()


def test_records_that_cannot_be_read_are_counted_and_kept(tmp_path: Path) -> None:
    job = example(tmp_path / "hello")
    with (tmp_path / "hello" / "orders" / "north.jsonl").open("ab") as orders:
        orders.write(b'{"at": "2024-05-01T10:00:00", "shop": "north", "amount": "much"}\nno JSON\n\xff\xfe\x00\n')
    out = headgate("run", job, cwd=tmp_path)
    assert "hello is completed: 183 records in" in out
    assert result(tmp_path / "hello") == expected()
    where = ".headgate/hello/checkpoints/hello/dead-letters"
    assert f"dead letters: 3, with position and reason in {where}" in out
    files = (tmp_path / where).glob("*/*.jsonl")
    letters = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert [(letter["shard"], letter["raw_bytes"]) for letter in letters] == [
        ("north.jsonl", 64),
        ("north.jsonl", 7),
        ("north.jsonl", 3),
    ]
    assert "`float | null`" in letters[0]["reason"]


def test_a_folder_keeps_the_state_of_one_job(tmp_path: Path) -> None:
    headgate("run", example(tmp_path / "hello"), "--data-dir", "state", cwd=tmp_path)
    other = example(tmp_path / "other")
    other.write_text(other.read_text().replace("name: hello", "name: other"))
    out = headgate("run", other, "--data-dir", "state", cwd=tmp_path, code=1)
    assert out == "error: state holds the state of hello; name another with --data-dir\n"


def test_ctrl_c_while_the_program_loads_is_one_line(tmp_path: Path) -> None:
    slow = tmp_path / "click.py"
    slow.write_text("import os\nos.write(1, b'loading\\n')\nimport signal\nsignal.pause()\n")
    process = subprocess.Popen(
        [*HEADGATE, "list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, told) == (130, "interrupted\n")


@pytest.mark.parametrize("changed", [False, True])
def test_a_killed_run_leaves_no_worker_and_the_next_one_goes_on(tmp_path: Path, changed: bool) -> None:
    job = example(tmp_path / "hello", rate_limit=15)
    with running("run", job, "--data-dir", "state", cwd=tmp_path) as (process, lines, progressed):
        assert progressed.wait(PATIENCE_S), "".join(lines)
        process.kill()
        process.wait()
    pause = threading.Event()
    for _ in range(300):
        if not workers_below(tmp_path):
            break
        pause.wait(0.1)
    assert workers_below(tmp_path) == []
    if changed:
        example(tmp_path / "hello", labels={"team": "air"})
    out = headgate("run", job, "--data-dir", "state", cwd=tmp_path)
    assert "hello is completed: 180 records in" in out
    assert ("submitted as number 2" in out) == changed
    assert result(tmp_path / "hello") == expected()


def test_sigterm_ends_a_run_as_ctrl_c_does(tmp_path: Path) -> None:
    job = example(tmp_path / "hello", rate_limit=15)
    with running("run", job, cwd=tmp_path) as (process, lines, progressed):
        assert progressed.wait(PATIENCE_S), "".join(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 130
    assert workers_below(tmp_path) == []
    out = headgate("run", example(tmp_path / "hello"), "--fresh", cwd=tmp_path)
    assert "hello is completed: 180 records in" in out
    assert result(tmp_path / "hello") == expected()


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    job = example(tmp_path / "hello", rate_limit=15)
    with running("run", job, cwd=tmp_path) as (_, lines, progressed):
        assert progressed.wait(PATIENCE_S), "".join(lines)
        out = headgate("run", job, cwd=tmp_path, code=1)
        assert out == "error: another run uses .headgate/hello: is it running in another terminal?\n"


@pytest.mark.parametrize("option", [[], ["--fresh"]])
def test_a_run_never_takes_the_folder_of_a_scheduler(tmp_path: Path, option: list[str]) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "headgate.db").write_text("precious")
    job = example(tmp_path / "hello")
    out = headgate("run", job, "--data-dir", "state", *option, cwd=tmp_path, code=1)
    assert out == "error: state holds the state of `headgate serve`; name another with --data-dir\n"
    assert (tmp_path / "state" / "headgate.db").read_text() == "precious"


def test_a_job_that_keeps_failing_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    job = example(tmp_path / "hello", restart={"give_up_after": 2, "backoff": "100ms"})
    (tmp_path / "hello" / "hello.py").write_text(
        "import os\n"
        "import sys\n"
        "import polars as pl\n"
        "from millstream import files, Stream\n"
        "def ends(frame):\n"
        "    print('the cat sat on the keyboard', file=sys.stderr, flush=True)\n"
        "    os._exit(3)\n"
        "def revenue(orders, into):\n"
        "    return Stream(files(orders, schema={'shop': pl.String})).map_batches(ends).to(files(into))\n"
    )
    out = headgate("run", job, cwd=tmp_path, code=1)
    assert (
        "hello is failed: worker 0 failed 2 times in a row" in out or "hello is failed: worker 1 failed 2 times" in out
    )
    assert "the cat sat on the keyboard" in out
    assert "run it again to go on, or with --fresh to begin anew" in out
    assert workers_below(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "expected_line"),
    [
        ({"workers": {"max": "many"}}, "workers.max: 'many' is not a whole number"),
        (
            {"container": {"type": "docker", "image": "x"}},
            "error: container: `headgate run` starts workers as plain processes",
        ),
        ({"worker": {"mem": "1GB"}}, "worker.mem: '1GB' is not an amount; write 1GiB"),
    ],
)
def test_a_wrong_job_starts_nothing(tmp_path: Path, change: dict[str, object], expected_line: str) -> None:
    folder = tmp_path / "hello"
    job = example(folder)
    lines = [line for line in job.read_text().splitlines() if line.split(":")[0] not in change]
    job.write_text("\n".join([*lines, *(f"{name}: {json.dumps(value)}" for name, value in change.items())]))
    out = headgate("run", job, cwd=tmp_path, code=2)
    assert expected_line in out
    assert "Traceback" not in out
    assert not (tmp_path / ".headgate").exists()


def test_a_wrong_program_starts_nothing(tmp_path: Path) -> None:
    job = example(tmp_path / "hello")
    program = tmp_path / "hello" / "hello.py"
    program.write_text(program.read_text().replace('"amount") > 0', '"amuont") > 0'))
    out = headgate("run", job, cwd=tmp_path, code=2)
    assert "hello.py:15" in out
    assert "amuont" in out
    assert not (tmp_path / ".headgate").exists()
