"""The worker as a Mesos executor on a simulated cluster: fetched, launched, told what to own; its agent restarts."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import pytest
import requests

from headgate.simulator.embedded import EmbeddedCluster
from millstream import read_committed
from millstream.contract import wire
from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.recordio import BrokenFraming, Decoder
from millstream.contract.report import Report
from millstream.contract.worker_spec import CheckpointSpec, ProgramRef, WorkerSpec

pytestmark = pytest.mark.integration

PATIENCE_S = 60.0
ROWS = 5000
TASK_ID = "copy.0.1"
Json = dict[str, Any]

PROGRAM = """
import polars as pl
from millstream import Stream, files

def stream(folder):
    return Stream(files(folder + "/in", schema={"n": pl.Int64}, growing=True)).to(files(folder + "/out"))
"""


class SmallFramework:
    """Enough of a scheduler for one task: takes the first offer, acknowledges, keeps states and reports."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/api/v1/scheduler"
        self._events: SimpleQueue[Json | None] = SimpleQueue()
        self.states: list[str] = []
        self.reports: list[Report] = []
        self.agent_id: Json = {}
        info = {"user": "root", "name": "small", "failover_timeout": 600.0, "checkpoint": True}
        info["capabilities"] = [{"type": "PARTITION_AWARE"}]
        body = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
        self._stream = requests.post(self._url, json=body, stream=True, timeout=(5.0, PATIENCE_S))
        self._headers = {"Mesos-Stream-Id": self._stream.headers["Mesos-Stream-Id"]}
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()
        self._id = self.next("SUBSCRIBED")["framework_id"]

    def _read(self) -> None:
        decoder = Decoder()
        try:
            for chunk in self._stream.iter_content(chunk_size=None):
                for record in decoder.feed(chunk):
                    self._events.put(json.loads(record))
        except (requests.RequestException, BrokenFraming, OSError):
            pass
        self._events.put(None)

    def join(self) -> None:
        """After the cluster has stopped."""
        self._reader.join(PATIENCE_S)
        self._stream.close()

    def next(self, kind: str) -> Json:
        """The next event of a kind; states and reports on the way are kept, updates acknowledged."""
        while True:
            try:
                event = self._events.get(timeout=PATIENCE_S)
            except Empty:
                raise AssertionError(f"no {kind}; states {self.states}, reports {self.reports[-1:]}") from None
            assert event is not None, "the master ended the stream"
            if event["type"] == "UPDATE":
                self._keep(event["update"]["status"])
            elif event["type"] == "MESSAGE":
                self.reports.append(wire.decode(base64.b64decode(event["message"]["data"]), Report))
            if event["type"] == kind:
                return event.get(kind.lower(), {})  # type: ignore[no-any-return]

    def _keep(self, status: Json) -> None:
        self.states.append(status["state"])
        if "uuid" in status:
            self.call("ACKNOWLEDGE", {name: status[name] for name in ("agent_id", "task_id", "uuid")})

    def call(self, kind: str, body: Json) -> None:
        """Any call."""
        message = {"type": kind, "framework_id": self._id, kind.lower(): body}
        answer = requests.post(self._url, json=message, headers=self._headers, timeout=PATIENCE_S)
        assert answer.status_code == 202, answer.text

    def launch(self, folder: Path) -> None:
        """The worker, on the first offer; its program is fetched by the agent."""
        offer = self.next("OFFERS")["offers"][0]
        self.agent_id = offer["agent_id"]
        spec = WorkerSpec(
            job="copy",
            worker=0,
            task_id=TASK_ID,
            program=ProgramRef(file="program.py", object="stream", sha256="5eed", args={"folder": str(folder)}),
            checkpoint=CheckpointSpec(store=str(folder / "checkpoints"), interval_s=0.3),
            report_interval_s=0.3,
        )
        scalars = [
            {"name": name, "type": "SCALAR", "scalar": {"value": value}}
            for name, value in (("cpus", 0.5), ("mem", 128.0))
        ]
        executor = {
            "type": "CUSTOM",
            "executor_id": {"value": "copy.0"},
            "framework_id": self._id,
            "name": "worker",
            "command": {
                "shell": False,
                "value": sys.executable,
                "arguments": [sys.executable, "-m", "millstream.worker"],
                "uris": [{"value": str(folder / "program.py"), "extract": False}],
            },
            "resources": scalars,
        }
        task = {
            "name": "worker",
            "task_id": {"value": TASK_ID},
            "agent_id": self.agent_id,
            "executor": executor,
            "resources": scalars,
            "data": base64.b64encode(wire.encode(spec)).decode(),
        }
        operation = {"type": "LAUNCH", "launch": {"task_infos": [task]}}
        self.call("ACCEPT", {"offer_ids": [offer["id"]], "operations": [operation]})

    def assign(self, version: int, epochs: dict[str, int], *, drain: bool = False) -> None:
        """Tell the worker what to own."""
        shards = tuple(ShardAssignment(shard=shard, epoch=epoch) for shard, epoch in epochs.items())
        assignment = Assignment(job="copy", task_id=TASK_ID, version=version, shards=shards, drain=drain)
        data = base64.b64encode(wire.encode(assignment)).decode()
        self.call("MESSAGE", {"agent_id": self.agent_id, "executor_id": {"value": "copy.0"}, "data": data})

    def until(self, found: Callable[[Report], bool]) -> Report:
        """The next report for which `found` holds."""
        while True:
            before = len(self.reports)
            self.next("MESSAGE")
            if len(self.reports) > before and found(self.reports[-1]):
                return self.reports[-1]

    def until_state(self, state: str) -> None:
        """Until an update with this state has come."""
        while state not in self.states:
            self.next("UPDATE")


@pytest.fixture
def framework() -> Iterator[tuple[SmallFramework, EmbeddedCluster]]:
    """A cluster of one agent, and a framework on it."""
    cluster = EmbeddedCluster()
    with cluster:
        framework = SmallFramework(cluster.address)
        yield framework, cluster
    framework.join()


def _append(path: Path, numbers: range) -> None:
    with path.open("a") as file:
        file.writelines(f'{{"n": {number}}}\n' for number in numbers)


def test_worker_lives_through_an_agent_restart(
    framework: tuple[SmallFramework, EmbeddedCluster], tmp_path: Path
) -> None:
    """Fetch, launch, messages both ways, an agent that dies and comes back, a source that grows meanwhile."""
    scheduler, cluster = framework
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "in").mkdir()
    _append(tmp_path / "in" / "a.jsonl", range(ROWS))
    scheduler.launch(tmp_path)
    scheduler.until_state("TASK_RUNNING")
    scheduler.until(lambda report: [one.shard for one in report.known] == ["a.jsonl"])
    scheduler.assign(1, {"a.jsonl": 1})
    scheduler.until(lambda report: [one.position for one in report.owned] != [] and report.owned[0].records == ROWS)

    name = cluster.agents[0].name
    cluster.kill_agent(name)
    _append(tmp_path / "in" / "a.jsonl", range(ROWS, 2 * ROWS))
    _append(tmp_path / "in" / "b.jsonl", range(2 * ROWS, 3 * ROWS))
    cluster.start_agent(name)
    scheduler.until(lambda report: [one.shard for one in report.known] == ["a.jsonl", "b.jsonl"])
    scheduler.assign(2, {"a.jsonl": 1, "b.jsonl": 2})
    (tmp_path / "in" / "_SUCCESS").touch()
    report = scheduler.until(
        lambda report: report.complete and [one.state.value for one in report.owned] == ["finished", "finished"]
    )
    assert [(one.epoch, one.audit.records_in, one.audit.replayed) for one in report.owned] == [
        (1, 2 * ROWS, 0),
        (2, ROWS, 0),
    ]
    scheduler.assign(3, {}, drain=True)
    scheduler.until_state("TASK_FINISHED")
    assert scheduler.states[0] == "TASK_STARTING"
    assert set(scheduler.states) == {"TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"}
    assert sorted(read_committed(tmp_path / "out")["n"].to_list()) == list(range(3 * ROWS))


def test_scheduler_kills_a_worker(framework: tuple[SmallFramework, EmbeddedCluster], tmp_path: Path) -> None:
    """KILL through the master: last commits, TASK_KILLED."""
    scheduler, _ = framework
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "in").mkdir()
    _append(tmp_path / "in" / "a.jsonl", range(ROWS))
    scheduler.launch(tmp_path)
    scheduler.until_state("TASK_RUNNING")
    scheduler.assign(1, {"a.jsonl": 1})
    scheduler.until(lambda report: [one.records for one in report.owned] == [ROWS])
    scheduler.call("KILL", {"task_id": {"value": TASK_ID}, "agent_id": scheduler.agent_id})
    scheduler.until_state("TASK_KILLED")
    assert sorted(read_committed(tmp_path / "out")["n"].to_list()) == list(range(ROWS))
