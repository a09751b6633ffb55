"""Shards move between workers while messages are lost, doubled and reordered, and workers die, pause and come back.

Whatever happens: every record counts exactly once in what readers of the output see.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worker_bench import Worker, World, rows

from millstream.contract import wire
from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.worker_spec import CheckpointSpec
from millstream.core.executor_api import Kill, Message

SHARDS = {"a": 300, "b": 200, "c": 100}


class Crashed(BaseException):
    """The process is gone, in the middle of whatever it did."""


@dataclass
class Cluster:
    """A job with two worker slots and a scheduler that follows the protocol: a new owner is a new epoch."""

    world: World = field(default_factory=lambda: World(rows(SHARDS)))
    version: int = 0
    epochs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SHARDS, 0))
    owners: dict[str, str] = field(default_factory=dict)
    slots: list[Worker] = field(default_factory=list)
    zombies: list[Worker] = field(default_factory=list)
    sent: dict[str, list[bytes]] = field(default_factory=dict)
    attempts: int = 0
    finished: set[str] = field(default_factory=set)

    def start(self) -> Worker:
        """A new attempt."""
        self.attempts += 1
        spec = CheckpointSpec(store="/nowhere", interval_s=0.2)
        worker = Worker(self.world, f"attempt-{self.attempts}", checkpoint=spec, rate_limit=300.0)
        worker.launch()
        return worker

    def assign(self, slot: int, shards: frozenset[str]) -> None:
        """Give the slot these shards, and tell every slot what it owns; whether anybody hears it is another matter."""
        self.version += 1
        worker = self.slots[slot]
        for shard in shards:
            if self.owners.get(shard) != worker.task_id:
                self.owners[shard], self.epochs[shard] = worker.task_id, self.epochs[shard] + 1
        for shard in [shard for shard, owner in self.owners.items() if owner == worker.task_id and shard not in shards]:
            del self.owners[shard]
        for other in self.slots:
            own = tuple(
                ShardAssignment(shard=shard, epoch=self.epochs[shard])
                for shard, owner in sorted(self.owners.items())
                if owner == other.task_id
            )
            message = Assignment(job="job", task_id=other.task_id, version=self.version, shards=own)
            self.sent.setdefault(other.task_id, []).append(wire.encode(message))

    def deliver(self, worker: Worker, back: int) -> None:
        """Deliver the newest message but `back`."""
        sent = self.sent.get(worker.task_id, [])
        if back < len(sent):
            worker.tell(Message(data=sent[-1 - back]))

    def run(self, worker: Worker, turns: int) -> None:
        """Let a worker go on for some turns of its own and the time between them."""
        for _ in range(turns):
            if worker.loop.exit_code is not None:
                return
            try:
                due_at = worker.turn()
            except Crashed:
                self.replace(worker)
                return
            self.world.clock.seconds = max(self.world.clock.seconds, min(due_at, self.world.clock.seconds + 0.1))
        self.check()

    def replace(self, worker: Worker) -> None:
        """A new attempt for the slot of one that is gone or lost from sight."""
        if worker in self.slots:
            self.slots[self.slots.index(worker)] = self.start()

    def check(self) -> None:
        """Nothing is there twice, nothing that was never a record."""
        seen = Counter(self.world.output())
        assert max(seen.values(), default=1) == 1
        assert set(seen) <= set(self.world.expected())


def _crash_at(countdown: int) -> object:
    left = [countdown]

    def fault(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Crashed

    return fault


slot = st.integers(0, 1)
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("assign"), slot, st.frozensets(st.sampled_from(sorted(SHARDS)))),
        st.tuples(st.just("deliver"), slot, st.sampled_from([0, 0, 0, 1, 2])),
        st.tuples(st.just("run"), slot, st.integers(1, 40)),
        st.tuples(st.just("run zombie"), slot, st.integers(1, 40)),
        st.tuples(st.just("die"), slot, st.none()),
        st.tuples(st.just("crash soon"), slot, st.integers(1, 30)),
        st.tuples(st.just("lose sight"), slot, st.none()),
        st.tuples(st.just("kill"), slot, st.none()),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(happenings)
def test_every_record_counts_once_whatever_happens(happened: list[tuple[str, int, object]]) -> None:
    """Any history, and then a quiet end in which one worker gets everything."""
    cluster = Cluster()
    cluster.slots = [cluster.start(), cluster.start()]
    for what, number, argument in happened:
        worker = cluster.slots[number]
        if what == "assign":
            assert isinstance(argument, frozenset)
            cluster.assign(number, argument)
            cluster.deliver(worker, 0)
        elif what == "deliver":
            assert isinstance(argument, int)
            cluster.deliver(worker, argument)
        elif what == "run":
            assert isinstance(argument, int)
            cluster.run(worker, argument)
        elif what == "run zombie" and cluster.zombies:
            assert isinstance(argument, int)
            cluster.run(cluster.zombies[number % len(cluster.zombies)], argument)
        elif what == "die":
            cluster.replace(worker)
        elif what == "crash soon":
            assert isinstance(argument, int)
            worker.program.fault = _crash_at(argument)  # type: ignore[assignment]
        elif what == "lose sight":
            cluster.zombies.append(worker)
            cluster.replace(worker)
        elif what == "kill":
            worker.tell(Kill(task_id=worker.task_id))
            cluster.run(worker, 10)
            if worker in cluster.slots:
                cluster.replace(worker)
    cluster.slots[0] = cluster.start()
    cluster.assign(0, frozenset(SHARDS))
    cluster.deliver(cluster.slots[0], 0)
    last = cluster.slots[0]
    last.run(lambda: {state for _, state in last.owned().values()} == {"finished"} and len(last.owned()) == 3)
    for zombie in cluster.zombies:
        cluster.run(zombie, 60)
    assert cluster.world.output() == cluster.world.expected()


def test_move_between_two_live_workers() -> None:
    """Released here, claimed there: the pause is the new owner's, no record is read twice, the others go on."""
    cluster = Cluster()
    cluster.slots = [cluster.start(), cluster.start()]
    one, two = cluster.slots
    cluster.assign(0, frozenset(SHARDS))
    cluster.deliver(one, 0)
    one.run(lambda: one.records() > 100)
    cluster.assign(0, frozenset({"a", "b"}))
    cluster.deliver(one, 0)
    one.run(lambda: set(one.owned()) == {"a", "b"} and one.last().assignment_version == cluster.version)
    cluster.assign(1, frozenset({"c"}))
    cluster.deliver(two, 0)
    two.run(lambda: two.owned() == {"c": (2, "finished")})
    one.run(lambda: set(one.owned().values()) == {(1, "finished")})
    assert cluster.world.output() == cluster.world.expected()
    assert [report.audit.replayed for report in (*one.last().owned, *two.last().owned)] == [0, 0, 0]


@pytest.mark.parametrize("countdown", range(1, 40))
def test_crash_at_any_point_and_a_new_attempt(countdown: int) -> None:
    """The process dies between any two effects; the next attempt at a higher epoch completes the output."""
    cluster = Cluster()
    cluster.slots = [cluster.start(), cluster.start()]
    first = cluster.slots[0]
    first.program.fault = _crash_at(countdown)  # type: ignore[assignment]
    cluster.assign(0, frozenset(SHARDS))
    cluster.deliver(first, 0)
    cluster.run(first, 400)
    successor = cluster.slots[0]
    assert successor is not first, "it was to crash"
    cluster.assign(0, frozenset(SHARDS))
    cluster.deliver(successor, 0)
    successor.run(lambda: len(successor.owned()) == 3 and {s for _, s in successor.owned().values()} == {"finished"})
    assert cluster.world.output() == cluster.world.expected()
