"""A worker that speaks the contract and does nothing else: an executor with one task, in virtual time.

It claims what it is assigned, works at a rate, commits at intervals, reports, lets go of what is taken from it, and
ends when it is drained, killed, or its agent says so.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final

from headgate.simulator.messages import Json
from headgate.testing.executor_link import AgentDoor, ExecutorLink
from headgate.testing.faults import Fault, Weather
from headgate.testing.process import VirtualProcess
from headgate.testing.shard_log import ShardLogs
from headgate.testing.source import Source
from headgate.testing.timeline import Timeline
from headgate.testing.virtual_shard import VirtualShard
from millstream.contract.assignment import Assignment
from millstream.contract.report import KnownShard, Report
from millstream.contract.wire import decode, encode
from millstream.contract.worker_spec import WorkerSpec

LOAD_S: Final = (0.05, 2.0)
TURN_S: Final = 0.5
"""Between two looks at the input."""
RELEASE_S: Final = 7.0
"""For the last commits after a SHUTDOWN; after a KILL it is `KILL_S`."""
KILL_S: Final = 30.0
LAST_WORD_S: Final = 9.0
EXITED: Final = 0
FAILED: Final = 1 << 8
KILLED: Final = 9


class Life(Enum):
    """Where a worker is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    LEAVING = "leaving"
    LAST_WORD = "last word"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a worker finds itself.  `sources` are by job; `rate_per_s` is what one worker can do."""

    timeline: Timeline
    weather: Weather
    door: AgentDoor
    logs: ShardLogs
    sources: Mapping[str, Source]
    rate_per_s: float
    environment: Mapping[str, str]
    name: str
    exited: Callable[[int], None]
    """Told the wait status, once."""
    scripted: bool = False
    """It says nothing of its task until it is told to."""


class VirtualWorker:
    """One process.  `link` takes the events of its agent, `process` its stalls."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.process = VirtualProcess(place.timeline)
        self.link = ExecutorLink(
            framework_id=place.environment["MESOS_FRAMEWORK_ID"],
            executor_id=place.environment["MESOS_EXECUTOR_ID"],
            door=place.door,
            process=self.process,
            weather=place.weather,
            name=place.name,
            deliver=self._hear,
            confirmed=self._confirmed,
        )
        self._randomness = place.weather.randomness.child(f"worker {place.name}")
        self._life = Life.WAITING
        self._task_id = ""
        self._spec: WorkerSpec | None = None
        self._born_at = place.timeline.now()
        self._version = 0
        self._shards: dict[str, VirtualShard] = {}
        self._wanted: dict[str, int] = {}
        self._shut_out: dict[str, int] = {}
        self._worked_at = 0.0
        self._last_state = "TASK_FINISHED"
        self._last_word: str | None = None
        self._sequence = 0
        self._report_asked = False

    def start(self) -> None:
        """Begin, as the process of a container that runs."""
        self.link.subscribe()

    @property
    def task_id(self) -> str:
        """The task it runs; empty before LAUNCH."""
        return self._task_id

    def holds_of(self, job: str) -> Mapping[str, int]:
        """The epochs of the shards of a job that it holds."""
        if self._spec is None or self._spec.job != job:
            return {}
        return {name: shard.epoch for name, shard in self._shards.items()}

    def die(self, status: int = KILLED) -> None:
        """End, now."""
        if self.process.alive:
            self.process.end()
            self.link.close()
            self._place.exited(status)

    def say(self, state: str, message: str | None = None) -> None:
        """Report a state of the task, unasked: it runs, and goes on by itself from there; or it has ended.

        Nothing happens if it is about to end anyway, or has not begun.
        """
        if self._life not in (Life.STARTING, Life.RUNNING):
            return
        if state == "TASK_RUNNING":
            self._loaded()
        elif state == "TASK_STARTING":
            self.link.update(self._task_id, state, message=message)
        else:
            self._abandon()
            self._wanted = {}
            self._life = Life.LAST_WORD
            self._last_word = self.link.update(self._task_id, state, message=message)

    # ---- what comes in

    def _hear(self, event: Json) -> None:
        match event["type"]:
            case "LAUNCH":
                self._launched(event["launch"]["task"])
            case "MESSAGE":
                self._told(decode(base64.b64decode(event["message"]["data"]), Assignment))
            case "KILL":
                self._leave("TASK_KILLED", within_s=KILL_S)
            case "SHUTDOWN":
                self.process.after(LAST_WORD_S, lambda: self.die(EXITED))
                self._leave("TASK_KILLED", within_s=RELEASE_S)
            case "ERROR":
                self.die(FAILED)

    def _launched(self, task: Json) -> None:
        assert self._life is Life.WAITING, f"{self._place.name} was given a second task"
        self._spec = decode(base64.b64decode(task["data"]), WorkerSpec)
        self._task_id = task["task_id"]["value"]
        assert self._spec.task_id == self._task_id, task
        self._life = Life.STARTING
        if self._place.scripted:
            return
        self.link.update(self._task_id, "TASK_STARTING")
        self.process.after(self._randomness.uniform(*LOAD_S), self._loaded)

    def _loaded(self) -> None:
        assert self._spec is not None
        if self._life is not Life.STARTING:
            return
        self._life = Life.RUNNING
        self._worked_at = self._place.timeline.now()
        self.link.update(self._task_id, "TASK_RUNNING")
        self._report()
        self.process.after(TURN_S, self._turn)
        self.process.after(self._spec.report_interval_s, self._report_in_time)

    def _told(self, assignment: Assignment) -> None:
        if assignment.task_id != self._task_id or assignment.version <= self._version:
            return
        self._version = assignment.version
        if assignment.drain:
            self._leave("TASK_FINISHED", within_s=None)
        elif self._life in (Life.STARTING, Life.RUNNING):
            self._wanted = {each.shard: each.epoch for each in assignment.shards}
            self._pursue()
            self._report_soon()

    def _leave(self, state: str, *, within_s: float | None) -> None:
        if self._life is Life.WAITING:
            self.die(EXITED)
            return
        if self._life is Life.LAST_WORD:
            return
        if within_s is not None:
            self.process.after(within_s, self._abandon)
        if state == "TASK_KILLED" and self._last_state != state:
            self.link.update(self._task_id, "TASK_KILLING")
        if self._life is not Life.LEAVING or state == "TASK_KILLED":
            self._last_state = state
        self._life = Life.LEAVING
        self._wanted = {}
        self._pursue()
        self._end_if_empty()

    def _confirmed(self, uuid: str) -> None:
        if uuid != self._last_word:
            return
        if self._place.weather.happens(Fault.WORKER_LINGERS):
            self.process.stall(inf)
        else:
            self.die(EXITED)

    # ---- shards

    def _pursue(self) -> None:
        """Let go of what is not wanted, or wanted at a higher epoch; claim what is."""
        for name, shard in list(self._shards.items()):
            if self._wanted.get(name, -1) > shard.epoch or name not in self._wanted:
                shard.release()
        for name, epoch in self._wanted.items():
            if name in self._shards or epoch <= self._shut_out.get(name, -1):
                continue
            assert self._spec is not None
            self._shards[name] = VirtualShard(
                job=self._spec.job,
                shard=name,
                epoch=epoch,
                owner=self._task_id,
                process=self.process,
                logs=self._place.logs,
                source=self._source,
                changed=self._report_soon,
                gone=self._let_go,
            )
            self._may_die_writing()

    def _let_go(self, name: str, shut_out: bool) -> None:
        shard = self._shards.pop(name)
        if shut_out:
            self._shut_out[name] = shard.epoch
        self._pursue()
        self._report_soon()
        self._end_if_empty()

    def _abandon(self) -> None:
        for shard in list(self._shards.values()):
            shard.abandon()

    def _end_if_empty(self) -> None:
        if self._life is Life.LEAVING and not self._shards:
            self._report()
            self._life = Life.LAST_WORD
            self._last_word = self.link.update(self._task_id, self._last_state)

    def _turn(self) -> None:
        """Share what one worker can do among the shards with a backlog; commit what is due."""
        assert self._spec is not None
        now = self._place.timeline.now()
        able = min(self._place.rate_per_s, self._spec.rate_limit or self._place.rate_per_s) * (now - self._worked_at)
        self._worked_at = now
        busy = sorted((shard for shard in self._shards.values() if shard.runs), key=lambda shard: shard.backlog)
        for place, shard in enumerate(busy):
            records = min(shard.backlog, int(able / (len(busy) - place)))
            shard.advance(records, records / self._place.rate_per_s)
            able -= records
        if self._randomness.random() * self._spec.checkpoint.interval_s < TURN_S:
            for shard in list(self._shards.values()):
                shard.checkpoint()
            self._may_die_writing()
        self.process.after(TURN_S, self._turn)

    def _may_die_writing(self) -> None:
        """Die before an entry has arrived, or before the answer has."""
        if self._place.weather.happens(Fault.WORKER_DIES_WRITING):
            self.process.after(self._randomness.uniform(0.0, 0.5), self.die)

    # ---- reports

    def _report_in_time(self) -> None:
        assert self._spec is not None
        if self._life is not Life.LAST_WORD:
            self._report()
            self.process.after(self._spec.report_interval_s, self._report_in_time)

    def _report_soon(self) -> None:
        """Changes that come together are told together."""
        if not self._report_asked and self._life in (Life.RUNNING, Life.LEAVING):
            self._report_asked = True
            self.process.after(0.05, self._report)

    def _report(self) -> None:
        assert self._spec is not None
        self._report_asked = False
        if self._life not in (Life.RUNNING, Life.LEAVING):
            return
        self._sequence += 1
        source = self._source
        report = Report(
            job=self._spec.job,
            worker=self._spec.worker,
            task_id=self._task_id,
            sequence=self._sequence,
            assignment_version=self._version,
            revision=self._spec.program.sha256,
            owned=tuple(shard.report() for shard in self._shards.values()),
            known=tuple(KnownShard(shard=name, end_records=source.end(name)) for name in source.shards),
            complete=source.complete,
            uptime_s=self._place.timeline.now() - self._born_at,
        )
        self.link.send(encode(report))

    @property
    def _source(self) -> Source:
        assert self._spec is not None
        return self._place.sources[self._spec.job]
