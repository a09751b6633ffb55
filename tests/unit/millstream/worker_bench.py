"""A worker without threads, processes or sockets: its loop and its processing, turn by turn, on a clock of the test's.

The agent is a list, the store and the program's source and sink are in memory; shard runtimes are the real ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

import polars as pl

from millstream.contract import wire
from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.checkpoint import Position, ShardId
from millstream.contract.report import Report
from millstream.contract.worker_spec import CheckpointSpec, Delivery, ProgramRef, WorkerSpec
from millstream.core.executor_api import Acknowledged, Launch, Message, Subscribed, Task, TaskId, TaskState, UpdateId
from millstream.plan import Plan
from millstream.ports import ResourceUsage
from millstream.runtime.shard import ShardRuntime
from millstream.runtime.shard_results import Shard
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.sources.source import Discovery, Source
from millstream.stores.memory import MemoryStore
from millstream.stores.object_store import ObjectStore
from millstream.stream import Stream
from millstream.worker.loop import News, WorkerEvent, WorkerLoop
from millstream.worker.owned_shard import Program
from millstream.worker.processing import Processing


class FakeClock:
    """Time that only the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        """Unix time."""
        return 1_700_000_000.0 + self.seconds

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds


@dataclass(frozen=True)
class Said:
    """A status update as the agent got it."""

    task_id: str
    state: TaskState
    message: str | None
    uuid: UpdateId


class FakeExecutor:
    """What a worker says."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        self.sent: list[bytes] = []
        self._numbers = itertools.count()

    def update(self, task_id: TaskId, state: TaskState, *, message: str | None = None) -> UpdateId:
        """Keep it."""
        uuid = UpdateId(next(self._numbers).to_bytes(16, "big"))
        self.said.append(Said(task_id, state, message, uuid))
        return uuid

    def send(self, data: bytes) -> None:
        """Keep it."""
        self.sent.append(data)

    def states(self) -> list[str]:
        """All states so far, without TASK_."""
        return [said.state.name for said in self.said]

    def reports(self) -> list[Report]:
        """All reports so far."""
        return [wire.decode(data, Report) for data in self.sent]


@dataclass
class MemoryProgram:
    """A program on rows in memory.  `wrap` may put something in front of each runtime."""

    plan: Plan
    store: ObjectStore
    owner: str
    delivery: Delivery = Delivery.EXACTLY_ONCE
    wrap: Callable[[Shard], Shard] = lambda shard: shard
    fault: Callable[[str], None] = lambda _: None
    blocked: float = 0.0

    def discover(self) -> Discovery:
        """The source's shards."""
        return self.plan.source.discover()

    def open(self, shard: str, epoch: int, *, read_before: int | None) -> Shard:
        """A real runtime."""
        runtime = ShardRuntime(
            self.plan,
            shard=ShardId(shard),
            epoch=epoch,
            owner=self.owner,
            store=self.store,
            delivery=self.delivery,
            read_before=None if read_before is None else Position(read_before),
            fault=self.fault,
        )
        return self.wrap(runtime)

    def blocked_s(self) -> float:
        """As set by the test."""
        return self.blocked


def rows(shards: Mapping[str, int], *, ended: bool = True) -> RowsSource:
    """Shards of that many rows; every row names its shard and counts from 0."""
    return RowsSource(
        {
            shard: pl.DataFrame(
                {"shard": [shard] * count, "n": range(count)}, schema={"shard": pl.String, "n": pl.Int64}
            )
            for shard, count in shards.items()
        },
        ended=ended,
    )


@dataclass
class World:
    """A job: its source, its one sink and its store, which outlive workers."""

    source: Source
    clock: FakeClock = field(default_factory=FakeClock)
    store: MemoryStore = field(default_factory=MemoryStore)
    transform: Callable[[Stream], Stream] = lambda stream: stream

    def __post_init__(self) -> None:
        stream = self.transform(Stream(self.source))
        self.sink = CollectingSink(stream.schema)
        self.plan = stream.to(self.sink).plan()

    def output(self) -> list[tuple[object, ...]]:
        """What readers of the output see, sorted."""
        return sorted(self.sink.frame.rows())

    def expected(self) -> list[tuple[object, ...]]:
        """Every row of every shard, once."""
        found: list[tuple[object, ...]] = []
        for shard in self.source.discover().shards:
            reader = self.source.open(shard.id, None)
            found += reader.poll(10**9, 10**12).frame.rows()
            reader.close()
        return sorted(found)


def worker_spec(task_id: str, **changes: object) -> WorkerSpec:
    """A spec with short intervals."""
    fields: dict[str, object] = {
        "job": "job",
        "worker": 0,
        "task_id": task_id,
        "program": ProgramRef(file="program.py", object="stream", sha256="5eed"),
        "checkpoint": CheckpointSpec(store="/nowhere", interval_s=1.0),
        "report_interval_s": 0.5,
        **changes,
    }
    return WorkerSpec(**fields)  # type: ignore[arg-type]


class Worker:
    """One attempt: loop and processing, moved by hand."""

    def __init__(
        self,
        world: World,
        task_id: str = "job.0.1",
        *,
        wrap: Callable[[Shard], Shard] = lambda shard: shard,
        load: Callable[[WorkerSpec], Program] | None = None,
        **spec: object,
    ) -> None:
        self.world = world
        self.task_id = TaskId(task_id)
        self.executor = FakeExecutor()
        self.processing: Processing | None = None
        self.program = MemoryProgram(world.plan, world.store, owner=task_id, wrap=wrap)
        self.spec = worker_spec(task_id, **spec)
        self._load = load or (lambda _: self.program)
        self._mailbox: list[WorkerEvent] = []
        self.loop = WorkerLoop(
            executor=self.executor,
            start=self._start,
            clock=world.clock,
            usage=lambda: ResourceUsage(cpu_s=1.5, rss_bytes=1 << 20, throttled_s=0.25),
            grace_s=5.0,
        )

    def _start(self, spec: WorkerSpec) -> Processing:
        self.processing = Processing(
            spec, load=self._load, clock=self.world.clock, randomness=Random(7), changed=lambda: self.tell(News())
        )
        return self.processing

    def tell(self, event: WorkerEvent) -> None:
        """Put an event into the worker's mailbox."""
        self._mailbox.append(event)

    def launch(self) -> None:
        """Subscribe, and launch its task."""
        self.tell(Subscribed(agent_id="a", capabilities=frozenset({"TASK_KILLING_STATE"})))
        self.tell(Launch(task=Task(task_id=self.task_id, data=wire.encode(self.spec))))

    def assign(self, version: int, *, drain: bool = False, **epochs: int) -> None:
        """Send an assignment."""
        self.tell(Message(data=wire.encode(self.assignment(version, drain=drain, **epochs))))

    def assignment(self, version: int, *, drain: bool = False, **epochs: int) -> Assignment:
        """An assignment for this attempt."""
        shards = tuple(ShardAssignment(shard=shard, epoch=epoch) for shard, epoch in epochs.items())
        return Assignment(job="job", task_id=self.task_id, version=version, shards=shards, drain=drain)

    def acknowledge(self) -> None:
        """Acknowledge every update so far."""
        for said in self.executor.said:
            self.tell(Acknowledged(task_id=self.task_id, uuid=said.uuid))

    def turn(self) -> float:
        """One round of the loop and one turn of processing; when something is due next."""
        for event in self._mailbox[:]:
            self._mailbox.remove(event)
            self.loop.handle(event)
        due = [self.loop.tick()]
        if self.processing is not None and not self.processing.view().ended:
            due.append(self.processing.turn())
        if self._mailbox:
            return self.world.clock.seconds
        return min([at for at in due if at is not None], default=float("inf"))

    def run(self, until: Callable[[], bool], *, turns: int = 5000) -> None:
        """Turn, and let time pass to whatever is due next, until something holds."""
        for _ in range(turns):
            due_at = self.turn()
            if until():
                return
            assert due_at < float("inf"), f"nothing will ever happen; said {self.executor.states()}"
            self.world.clock.seconds = max(self.world.clock.seconds, due_at)
        raise AssertionError(f"did not happen in {turns} turns; said {self.executor.states()}; {self.last()}")

    def pass_time(self, seconds: float) -> None:
        """Run for that long."""
        end = self.world.clock.seconds + seconds
        while self.world.clock.seconds < end:
            due_at = self.turn()
            self.world.clock.seconds = min(end, max(self.world.clock.seconds, due_at))

    def last(self) -> Report:
        """The newest report."""
        return self.executor.reports()[-1]

    def records(self) -> int:
        """Records processed on all shards owned, by the newest report."""
        return sum(one.records for one in self.last().owned) if self.executor.sent else 0

    def owned(self) -> dict[str, tuple[int, str]]:
        """Epoch and state of each shard in the newest report."""
        if not self.executor.sent:
            return {}
        return {one.shard: (one.epoch, one.state.value) for one in self.last().owned}
