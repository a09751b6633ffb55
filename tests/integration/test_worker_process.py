"""Real worker processes at a scripted agent, with a real program and files: killed, asleep, moved, broken, ended."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scripted_agent import PATIENCE_S, ScriptedAgent, scripted_agent

from millstream.contract import wire
from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.report import Report
from millstream.contract.worker_spec import CheckpointSpec, ProgramRef, WorkerSpec

pytestmark = pytest.mark.integration

ROWS = 6000
SHARDS = ("north.jsonl", "south.jsonl", "west.jsonl")

PROGRAM = """
import polars as pl
from millstream import Stream, count, files, sum, tumbling

def stream(orders, results):
    return (
        Stream(files(orders, schema={"customer": pl.String, "at": pl.Datetime("ms"), "amount": pl.Int64}))
        .event_time("at", out_of_orderness="1m")
        .filter(pl.col("amount") % 10 != 0)
        .to(files(results + "/kept"), name="kept")
        .key_by("customer", partitioned=True)
        .window(tumbling("1h"))
        .aggregate(orders=count(), amount=sum("amount"))
        .to(files(results + "/hourly"), name="hourly")
    )
"""


def _order(shard: str, number: int) -> dict[str, Any]:
    minute = number // 10
    return {
        "customer": f"{shard[0]}{number % 7}",
        "at": f"2024-05-{1 + minute // 1440:02d}T{minute // 60 % 24:02d}:{minute % 60:02d}:00",
        "amount": number,
    }


@dataclass
class Job:
    """Input, checkpoints and results of one job."""

    folder: Path
    spec: dict[str, Any] = field(default_factory=dict)

    def prepare(self) -> None:
        (self.folder / "sandbox").mkdir()
        (self.folder / "sandbox" / "program.py").write_text(PROGRAM)
        (self.folder / "orders").mkdir()
        for shard in SHARDS:
            lines = [json.dumps(_order(shard, number)) + "\n" for number in range(ROWS)]
            (self.folder / "orders" / shard).write_text("".join(lines))

    def kept(self) -> list[int]:
        """Amounts in the committed files of the first output, per shard's first letter, sorted."""
        return sorted(_read(self.folder / "results" / "kept")["amount"].to_list())

    def expected_kept(self) -> list[int]:
        return sorted(number for _ in SHARDS for number in range(ROWS) if number % 10)

    def hourly(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Orders and amount by customer and hour; fails when a window was given twice."""
        rows = _read(self.folder / "results" / "hourly")
        found = {
            (row["customer"], str(row["window_start"])[:13].replace(" ", "T")): (row["orders"], row["amount"])
            for row in rows.rows(named=True)
        }
        assert len(found) == rows.height
        return found

    def expected_hourly(self) -> dict[tuple[str, str], tuple[int, int]]:
        found: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
        for shard in SHARDS:
            for number in range(ROWS):
                if number % 10:
                    order = _order(shard, number)
                    key = order["customer"], order["at"][:13]
                    found[key] = found[key][0] + 1, found[key][1] + number
        return dict(found)


def _read(directory: Path) -> pl.DataFrame:
    frames = [pl.read_ndjson(path) for path in sorted(directory.glob("*.jsonl"))]
    return pl.concat(frames)


class WorkerProcess:
    """One attempt as an operating system process, with an agent of its own."""

    def __init__(self, job: Job, task_id: str, agent: ScriptedAgent, endpoint: str, **spec: Any) -> None:
        self.task_id = task_id
        self.agent = agent
        self._log = job.folder / f"{task_id}.log"
        environment = {
            "PATH": os.environ["PATH"],
            "MESOS_FRAMEWORK_ID": "f1",
            "MESOS_EXECUTOR_ID": "e1",
            "MESOS_AGENT_ENDPOINT": endpoint,
            "MESOS_CHECKPOINT": "1",
            "MESOS_RECOVERY_TIMEOUT": "15mins",
            "MESOS_SUBSCRIPTION_BACKOFF_MAX": "50ms",
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
            "MESOS_SANDBOX": str(job.folder / "sandbox"),
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "millstream.worker"],
                cwd=job.folder / "sandbox",
                env=environment,
                stdout=log,
                stderr=log,
            )
        fields: dict[str, Any] = {
            "program": ProgramRef(
                file="program.py",
                object="stream",
                sha256="5eed",
                args={"orders": str(job.folder / "orders"), "results": str(job.folder / "results")},
            ),
            "checkpoint": CheckpointSpec(store=str(job.folder / "checkpoints"), interval_s=0.2),
            "report_interval_s": 0.2,
            **spec,
        }
        self.spec = WorkerSpec(job="orders", worker=0, task_id=task_id, **fields)

    def launch(self) -> None:
        data = base64.b64encode(wire.encode(self.spec)).decode()
        task = {"task_id": {"value": self.task_id}, "name": "worker", "data": data}
        self.agent.stream().send({"type": "LAUNCH", "launch": {"task": task}})

    def assign(self, version: int, epochs: dict[str, int], *, drain: bool = False) -> None:
        shards = tuple(ShardAssignment(shard=shard, epoch=epoch) for shard, epoch in epochs.items())
        message = Assignment(job="orders", task_id=self.task_id, version=version, shards=shards, drain=drain)
        data = base64.b64encode(wire.encode(message)).decode()
        self.agent.streams[-1].send({"type": "MESSAGE", "message": {"data": data}})

    def until(self, found: Callable[[Report], bool]) -> Report:
        """The first newest report for which `found` holds."""

        def look() -> Report | None:
            messages = self.agent.messages()
            report = wire.decode(messages[-1], Report) if messages else None
            return report if report is not None and found(report) else None

        return self.agent.wait_for(look)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)


Start = Callable[..., WorkerProcess]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job with its files."""
    job = Job(tmp_path)
    job.prepare()
    return job


@pytest.fixture
def start(job: Job) -> Iterator[Start]:
    """Starts worker processes, and ends them."""
    with ExitStack() as stack:

        def start(task_id: str, **spec: Any) -> WorkerProcess:
            agent, endpoint = stack.enter_context(scripted_agent())
            worker = WorkerProcess(job, task_id, agent, endpoint, **spec)
            stack.callback(worker.end)
            worker.launch()
            return worker

        yield start


def _all(report: Report, state: str) -> bool:
    return len(report.owned) == len(SHARDS) and {one.state.value for one in report.owned} == {state}


def _epochs(epoch: int) -> dict[str, int]:
    return dict.fromkeys(SHARDS, epoch)


def test_killed_in_the_middle_and_completed_by_another(job: Job, start: Start) -> None:
    """SIGKILL with commits made and records under way; a new attempt at a higher epoch gives the exact answer."""
    first = start("orders.0.1", rate_limit=6000.0)
    known = first.until(lambda report: len(report.known) == len(SHARDS))
    assert known.complete
    assert [shard.shard for shard in known.known] == sorted(SHARDS)
    first.assign(1, _epochs(1))
    first.until(
        lambda report: len(report.owned) == 3 and all(one.checkpoint and one.records > 1500 for one in report.owned)
    )
    first.process.send_signal(signal.SIGKILL)
    assert first.exit_code() == -signal.SIGKILL
    assert 0 < len(job.kept()) < len(job.expected_kept())

    second = start("orders.0.2")
    second.assign(2, _epochs(2))
    report = second.until(lambda report: _all(report, "finished"))
    assert all(one.restored_from for one in report.owned)
    assert [one.audit.records_in for one in report.owned] == [ROWS] * 3
    second.assign(3, {}, drain=True)
    assert second.exit_code() == 0
    assert second.agent.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    assert job.kept() == job.expected_kept()
    assert job.hourly() == job.expected_hourly()
    assert "restored from checkpoint" in second.log()


def test_zombie_comes_back_and_is_fenced(job: Job, start: Start) -> None:
    """The first worker sleeps while a second one claims and finishes; awake again, it drops the shards and says so."""
    first = start("orders.0.1", rate_limit=3000.0)
    first.assign(1, _epochs(1))
    first.until(lambda report: len(report.owned) == 3 and all(one.checkpoint for one in report.owned))
    first.process.send_signal(signal.SIGSTOP)
    second = start("orders.1.1")
    second.assign(2, _epochs(2))
    second.until(lambda report: _all(report, "finished"))
    before = job.kept()
    first.process.send_signal(signal.SIGCONT)
    report = first.until(lambda report: report.owned == ())
    assert report.assignment_version == 1
    assert job.kept() == before == job.expected_kept()
    assert job.hourly() == job.expected_hourly()
    assert first.agent.states() == ["TASK_STARTING", "TASK_RUNNING"]
    assert "is shut out" in first.log()


def test_move_of_one_shard(job: Job, start: Start) -> None:
    """One shard goes to a second worker, the others stay; nothing is read twice."""
    first, second = start("orders.0.1", rate_limit=4000.0), start("orders.1.1")
    moved, *kept = SHARDS
    first.assign(1, _epochs(1))
    first.until(lambda report: len(report.owned) == 3 and all(one.records > 200 for one in report.owned))
    first.assign(2, dict.fromkeys(kept, 1))
    first.until(lambda report: sorted(one.shard for one in report.owned) == sorted(kept))
    second.assign(3, {moved: 2})
    there = second.until(lambda report: [one.state.value for one in report.owned] == ["finished"])
    here = first.until(lambda report: {one.state.value for one in report.owned} == {"finished"})
    assert there.owned[0].restored_from is not None
    assert [one.audit.replayed for one in (*there.owned, *here.owned)] == [0, 0, 0]
    assert job.kept() == job.expected_kept()
    assert job.hourly() == job.expected_hourly()


def test_broken_program_fails_with_the_users_line(job: Job, start: Start) -> None:
    """TASK_FAILED says where in the program it is, and the report says the same."""
    (job.folder / "sandbox" / "program.py").write_text("import polars as pl\n\nstream = pl.DataFrme()\n")
    worker = start("orders.0.1")
    assert worker.exit_code() == 1
    assert worker.agent.states() == ["TASK_STARTING", "TASK_FAILED"]
    message = worker.agent.of_type("UPDATE")[-1]["update"]["status"]["message"]
    assert "program.py:3" in message
    assert "AttributeError" in message
    assert wire.decode(worker.agent.messages()[-1], Report).problem == message


@pytest.mark.parametrize("by", ["KILL", "SHUTDOWN", "SIGTERM", "SIGINT"])
def test_asked_to_end(job: Job, start: Start, by: str) -> None:
    """All of them commit what was processed, say KILLED, and exit 0."""
    worker = start(
        "orders.0.1", rate_limit=3000.0, checkpoint=CheckpointSpec(store=str(job.folder / "c"), interval_s=3600)
    )
    worker.assign(1, _epochs(1))
    worker.until(lambda report: len(report.owned) == 3 and all(one.records > 200 for one in report.owned))
    if by.startswith("SIG"):
        worker.process.send_signal(signal.Signals[by])
    elif by == "KILL":
        worker.agent.stream().send({"type": "KILL", "kill": {"task_id": {"value": "orders.0.1"}}})
    else:
        worker.agent.stream().send({"type": "SHUTDOWN"})
    assert worker.exit_code() == 0
    assert worker.agent.states() == ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]
    assert len(job.kept()) > 500


def test_program_that_hangs_does_not_keep_the_process(job: Job, start: Start) -> None:
    """A call of the program never returns: KILL with a grace ends the process all the same."""
    (job.folder / "sandbox" / "program.py").write_text("import threading\nthreading.Event().wait()\n")
    worker = start("orders.0.1")
    worker.agent.wait_for(lambda: worker.agent.states() == ["TASK_STARTING"])
    grace = {"grace_period": {"nanoseconds": 200_000_000}}
    kill = {"task_id": {"value": "orders.0.1"}, "kill_policy": grace}
    worker.agent.stream().send({"type": "KILL", "kill": kill})
    assert worker.exit_code() == 0
    assert worker.agent.states()[-1] == "TASK_KILLED"


def test_agent_restart_does_not_disturb_the_stream(job: Job, start: Start) -> None:
    """The stream breaks and the agent is not ready at first: shards run on, reports come again."""
    worker = start("orders.0.1", rate_limit=6000.0)
    worker.assign(1, _epochs(1))
    worker.until(lambda report: len(report.owned) == 3)
    worker.agent.refuse_next.extend([("SUBSCRIBE", 503, "Agent has not finished recovery")] * 3)
    worker.agent.stream().drop()
    worker.agent.stream(1)
    worker.until(lambda report: _all(report, "finished"))
    assert job.kept() == job.expected_kept()


def test_started_by_hand_says_what_is_missing() -> None:
    """Without an agent's environment: one line, exit code 2."""
    done = subprocess.run(
        [sys.executable, "-m", "millstream.worker"], env={}, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 2
    assert done.stderr == (
        "millstream-worker: MESOS_AGENT_ENDPOINT is not set: an executor is started by a Mesos agent, which sets it\n"
    )
