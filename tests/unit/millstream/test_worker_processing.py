"""The processing thread's turns: failures, fencing, fairness, limits, time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from worker_bench import FakeClock, Worker, World, rows

from millstream.contract import wire
from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.report import ShardReport
from millstream.contract.worker_spec import CheckpointSpec
from millstream.core.executor_api import Message
from millstream.errors import (
    DamagedLog,
    IncompatibleState,
    MillstreamError,
    ShardFailed,
    SinkFailed,
    SourceFailed,
    StoreUnavailable,
)
from millstream.runtime.shard_results import CheckpointResult, Restored, Shard, ShardStatus, StepResult
from millstream.sources.rows import RowsSource
from millstream.sources.source import Discovery

Fault = Callable[[str], None]


class FaultyShard:
    """A real runtime behind a gate: before each call `gate` is told its name, and may raise or let time pass."""

    closed = False

    def __init__(self, shard: Shard, gate: Fault) -> None:
        self._shard = shard
        self._gate = gate

    def claim_and_restore(self, now: float) -> Restored:
        self._gate("claim")
        return self._shard.claim_and_restore(now)

    def step(self, now: float, max_records: int) -> StepResult:
        self._gate("step")
        return self._shard.step(now, max_records)

    def checkpoint(self, now: float) -> CheckpointResult | None:
        self._gate("checkpoint")
        return self._shard.checkpoint(now)

    def release(self, now: float) -> CheckpointResult | None:
        try:
            self._gate("release")
        except MillstreamError:
            self._shard.close()
            raise
        return self._shard.release(now)

    def status(self, now: float) -> ShardStatus:
        return self._shard.status(now)

    def close(self) -> None:
        self.closed = True
        self._shard.close()


class Failing:
    """A gate that raises at the first `times` calls of one name."""

    def __init__(self, name: str, problem: Exception, times: int) -> None:
        self.name = name
        self.problem = problem
        self.left = times

    def __call__(self, name: str) -> None:
        if name == self.name and self.left > 0:
            self.left -= 1
            raise self.problem


def _failing_worker(name: str, problem: Exception, times: int) -> Worker:
    gate = Failing(name, problem, times)
    world = World(rows({"a": 2000}))
    worker = Worker(world, wrap=lambda shard: FaultyShard(shard, gate))
    worker.launch()
    worker.assign(1, a=1)
    return worker


def _one(worker: Worker, shard: str = "a") -> ShardReport:
    found = [one for one in worker.last().owned if one.shard == shard] if worker.executor.sent else []
    return found[0] if found else ShardReport(shard=shard, epoch=0, state="none")  # type: ignore[arg-type]


def _is(worker: Worker, state: str, shard: str = "a") -> bool:
    return worker.owned().get(shard, (0, ""))[1] == state


CRASH = ShardFailed(shard="a", operator=".map_batches(f)", message="ValueError: no", where="program.py:3 in f")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("claim", StoreUnavailable("no answer")),
        ("claim", SourceFailed("no such file")),
        ("claim", SinkFailed("no space")),
        ("step", CRASH),
        ("step", SourceFailed("cannot read")),
        ("step", SinkFailed("no space")),
        ("checkpoint", StoreUnavailable("no answer")),
        ("checkpoint", SinkFailed("no space")),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
@pytest.mark.parametrize("times", [1, 3, 7])
def test_shard_that_fails_for_a_while_recovers(name: str, problem: Exception, times: int) -> None:
    """Whatever fails, and however often: the shard is tried again, in the end all is done and nothing twice."""
    worker = _failing_worker(name, problem, times)
    opened: list[FaultyShard] = []
    gated = worker.program.wrap

    def wrap(shard: Shard) -> Shard:
        opened.append(FaultyShard(gated(shard), lambda _: None))
        return opened[-1]

    worker.program.wrap = wrap
    worker.run(lambda: _one(worker).problem is not None or _is(worker, "finished"))
    if times >= 5:
        worker.run(lambda: _is(worker, "failed"))
        assert str(problem) in (_one(worker).problem or "")
    worker.run(lambda: _is(worker, "finished"))
    assert _one(worker).problem is None
    assert worker.world.output() == worker.world.expected()
    assert worker.executor.states() == ["STARTING", "RUNNING"]
    assert [one.closed for one in opened] == [True] * (len(opened) - 1) + [False]


def test_before_it_is_failed_it_is_a_problem() -> None:
    """A shard that fails now and then goes on under its state, with the problem told."""
    worker = _failing_worker("step", CRASH, 2)
    worker.run(lambda: _one(worker).problem is not None)
    assert _is(worker, "running")
    assert "program.py:3 in f: ValueError: no" in (_one(worker).problem or "")


def test_others_run_while_one_fails() -> None:
    """Only the shard that fails stands still."""

    def gate_of(shard: Shard) -> Shard:
        broken = Failing("step", CRASH, 10**9) if shard.status(0.0).shard == "a" else Failing("", CRASH, 0)
        return FaultyShard(shard, broken)

    world = World(rows({"a": 100, "b": 5000, "c": 5000}))
    worker = Worker(world, wrap=gate_of)
    worker.launch()
    worker.assign(1, a=1, b=1, c=1)
    worker.run(lambda: _is(worker, "finished", "b") and _is(worker, "finished", "c") and _is(worker, "failed", "a"))
    assert world.output() == [row for row in world.expected() if row[0] != "a"]


@pytest.mark.parametrize("problem", [IncompatibleState("other state"), DamagedLog("nothing whole")])
def test_what_cannot_heal_is_not_tried_again(problem: Exception) -> None:
    """Failed at once and for good; a higher epoch is a new try."""
    worker = _failing_worker("claim", problem, 1)
    worker.run(lambda: _is(worker, "failed"))
    worker.pass_time(300.0)
    assert worker.owned() == {"a": (1, "failed")}
    assert _one(worker).problem == str(problem)
    worker.assign(2, a=2)
    worker.run(lambda: worker.owned() == {"a": (2, "finished")})


def test_failed_shard_can_be_taken_away() -> None:
    """Releasing a shard that never came up leaves nothing behind."""
    worker = _failing_worker("claim", IncompatibleState("other state"), 1)
    worker.run(lambda: _is(worker, "failed"))
    worker.assign(2)
    worker.run(lambda: worker.last().assignment_version == 2 and worker.owned() == {})


def test_zombie_is_fenced_and_says_so() -> None:
    """An old worker goes on while a new one claims a higher epoch: it drops the shard, and its work counts nowhere."""
    world = World(rows({"a": 6000}))
    saves = CheckpointSpec(store="/nowhere", interval_s=2.0)
    old, new = (Worker(world, name, checkpoint=saves, rate_limit=1000.0) for name in ("job.0.1", "job.1.1"))
    old.launch()
    old.assign(1, a=1)
    old.run(lambda: old.records() > 500)
    new.launch()
    new.assign(2, a=2)
    new.run(lambda: new.owned() == {"a": (2, "running")})
    old.run(lambda: old.owned() == {})
    assert old.executor.states() == ["STARTING", "RUNNING"]
    old.pass_time(20.0)
    assert old.owned() == {}, "the same assignment is not tried again and again"
    new.run(lambda: new.owned() == {"a": (2, "finished")})
    assert world.output() == world.expected()


def test_same_epoch_belongs_to_the_first_owner() -> None:
    """Two attempts told the same epoch: the second is fenced."""
    world = World(rows({"a": 100}))
    first, second = Worker(world, "job.0.1"), Worker(world, "job.1.1")
    for worker in (first, second):
        worker.launch()
        worker.assign(1, a=1)
    first.run(lambda: first.owned() == {"a": (1, "finished")})
    second.pass_time(5.0)
    assert second.owned() == {}
    assert second.last().assignment_version == 1
    assert world.output() == world.expected()


def test_reopened_shard_counts_what_it_reads_again() -> None:
    """After a store failure the records since the last commit are read again: counted as replayed, not as new."""
    worker = _failing_worker("checkpoint", StoreUnavailable("no answer"), 1)
    worker.run(lambda: _is(worker, "finished"))
    one = _one(worker)
    assert one.audit.records_in == 2000
    assert one.records > 2000
    assert one.audit.replayed == one.records - 2000


def test_what_an_earlier_owner_has_read_counts_as_read_again() -> None:
    """The assignment says how far that was; what lies behind it is new."""
    worker = Worker(World(rows({"a": 300})))
    worker.launch()
    earlier = ShardAssignment(shard="a", epoch=1, read_before=120)
    assignment = Assignment(job="job", task_id=worker.task_id, version=1, shards=(earlier,))
    worker.tell(Message(data=wire.encode(assignment)))
    worker.run(lambda: _is(worker, "finished"))
    audit = _one(worker).audit
    assert (audit.records_in, audit.replayed) == (300, 120)


def test_rate_limit_holds_over_all_shards() -> None:
    """Four shards together: a thousand records a second, each of them a fair part from when all of them run."""
    world = World(rows(dict.fromkeys("abcd", 5000)))
    worker = Worker(world, rate_limit=1000.0)
    worker.launch()
    worker.assign(1, a=1, b=1, c=1, d=1)
    worker.run(lambda: set(worker.owned().values()) == {(1, "running")} and len(worker.owned()) == 4)
    worker.pass_time(2.0)
    before = [one.records for one in worker.last().owned]
    worker.pass_time(8.0)
    after = [one.records for one in worker.last().owned]
    assert sum(after) <= (world.clock.seconds - 1000.0 + 1.0) * 1000.0
    done = [now - then for now, then in zip(after, before, strict=True)]
    assert 7000 <= sum(done) <= 9000
    assert max(done) - min(done) <= 250


def test_slow_rate_still_gets_everywhere() -> None:
    """Half a record a second for two shards: turn and turn about."""
    world = World(rows({"a": 4, "b": 4}))
    worker = Worker(world, rate_limit=0.5)
    worker.launch()
    worker.assign(1, a=1, b=1)
    worker.run(lambda: worker.records() == 4)
    assert [one.records for one in worker.last().owned] == [2, 2]
    assert world.clock.seconds - 1000.0 == pytest.approx(6.0, abs=0.6)


def test_checkpoints_do_not_wait_for_the_rate_limit() -> None:
    """What was read is committed at its time, however long the next record has to wait."""
    world = World(rows({"a": 10}))
    worker = Worker(world, rate_limit=0.01)
    worker.launch()
    worker.assign(1, a=1)
    worker.pass_time(3.0)
    assert world.output() == [("a", 0)]


def test_large_shard_does_not_starve_a_small_one() -> None:
    """The small shard is done long before the large one, though the large one has its turn first."""
    world = World(rows({"large": 400_000, "small": 2000}))
    worker = Worker(world, wrap=lambda shard: FaultyShard(shard, lambda name: _take(world.clock, name, "step", 0.06)))
    worker.launch()
    worker.assign(1, large=1, small=1)
    worker.run(lambda: _is(worker, "finished", "small"))
    assert _one(worker, "large").records < 10_000


def _take(clock: FakeClock, name: str, wanted: str, seconds: float) -> None:
    if name == wanted:
        clock.seconds += seconds


def test_idle_worker_sleeps() -> None:
    """Caught up with an open source: at most twenty polls a second, and no time counted as busy."""
    polls: list[str] = []
    world = World(rows({"a": 100}, ended=False))
    worker = Worker(world, wrap=lambda shard: FaultyShard(shard, polls.append))
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: _one(worker).records == 100)
    worker.pass_time(1.0)
    polls.clear()
    busy_s = _one(worker).busy_s
    worker.pass_time(10.0)
    assert 150 <= polls.count("step") <= 202
    assert _one(worker).busy_s == busy_s
    assert _one(worker).backlog_records == 0


def test_busy_leaves_out_waiting_for_the_sink() -> None:
    """Each step takes a second, four tenths of it waiting for the sink."""
    world = World(rows({"a": 3000}))
    worker = Worker(world)

    def gate(name: str) -> None:
        if name == "step":
            world.clock.seconds += 1.0
            worker.program.blocked += 0.4

    worker.program.wrap = lambda shard: FaultyShard(shard, gate)
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: _is(worker, "finished"))
    one = _one(worker)
    steps_with_records = one.busy_s / 0.6
    assert steps_with_records == pytest.approx(round(steps_with_records))
    assert steps_with_records >= 3
    assert one.blocked_s == pytest.approx(0.4 * (steps_with_records + 1)), "the last step read nothing"


def test_checkpoints_come_at_their_interval_and_tell() -> None:
    """An open source that is read slowly: a commit each second, its age and size in the report."""
    world = World(rows({"a": 100_000}))
    taken: list[float] = []

    def gate(name: str) -> None:
        if name == "checkpoint":
            taken.append(world.clock.seconds)
            world.clock.seconds += 0.05

    worker = Worker(world, wrap=lambda shard: FaultyShard(shard, gate), rate_limit=1000.0)
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: worker.records() > 0)
    worker.pass_time(10.0)
    assert 9 <= len(taken) <= 11
    checkpoint = _one(worker).checkpoint
    assert checkpoint is not None
    assert 0.0 <= checkpoint.age_s <= 1.5
    assert checkpoint.duration_s == pytest.approx(0.05)
    assert checkpoint.bytes > 100
    assert _one(worker).restored_from is None
    assert _one(worker).records_per_s == pytest.approx(1000.0, rel=0.2)


def test_end_of_a_source_is_committed_at_once() -> None:
    """Nobody waits for the next checkpoint when there is nothing more to come."""
    world = World(rows({"a": 3000}))
    worker = Worker(world, checkpoint=CheckpointSpec(store="/nowhere", interval_s=3600.0))
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: _is(worker, "finished"))
    assert world.clock.seconds - 1000.0 < 1.0
    assert world.output() == world.expected()


def test_slow_batches_become_small_ones() -> None:
    """A program that takes long for a record gets few of them at a time."""
    world = World(rows({"a": 100_000}))
    sizes: list[int] = []

    class Slow(FaultyShard):
        def step(self, now: float, max_records: int) -> StepResult:
            sizes.append(max_records)
            result = super().step(now, max_records)
            world.clock.seconds += result.records * 0.01
            return result

    worker = Worker(world, wrap=lambda shard: Slow(shard, lambda _: None))
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: len(sizes) > 20)
    assert sizes[-1] == 16


class Growing(RowsSource):
    """A source whose shards appear one by one, and which fails now and then."""

    def __init__(self) -> None:
        super().__init__(rows({"a": 10, "b": 20})._shards)
        self.visible = 1
        self.problem: str | None = None
        self.asked = 0

    def discover(self) -> Discovery:
        self.asked += 1
        if self.problem:
            raise SourceFailed(self.problem)
        return Discovery(shards=super().discover().shards[: self.visible], complete=self.visible == 2)


def test_new_shards_are_discovered() -> None:
    """Shards that appear are reported within seconds; so is a source that cannot be asked, until it can."""
    source = Growing()
    world = World(source)
    worker = Worker(world)
    worker.launch()
    worker.run(lambda: bool(worker.executor.sent) and [one.shard for one in worker.last().known] == ["a"])
    assert not worker.last().complete
    source.problem = "the broker is away"
    worker.pass_time(6.0)
    assert worker.last().problem == "cannot discover shards: the broker is away"
    assert [one.shard for one in worker.last().known] == ["a"]
    source.problem, source.visible = None, 2
    worker.pass_time(6.0)
    assert worker.last().problem is None
    assert [(one.shard, one.end_records) for one in worker.last().known] == [("a", 10), ("b", 20)]
    assert worker.last().complete
    asked = source.asked
    worker.pass_time(60.0)
    assert source.asked == asked, "a complete source has nothing new to tell"


def test_release_that_cannot_commit_lets_go_all_the_same() -> None:
    """The store is away: the shard is released without its last commit, and the next owner does that part again."""
    world = World(rows({"a": 3000}))
    gate = Failing("release", StoreUnavailable("no answer"), 1)
    worker = Worker(world, "job.0.1", wrap=lambda shard: FaultyShard(shard, gate), rate_limit=1000.0)
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: worker.records() > 300)
    worker.assign(2, drain=True)
    worker.run(lambda: "FINISHED" in worker.executor.states())
    successor = Worker(world, "job.1.1")
    successor.launch()
    successor.assign(3, a=2)
    successor.run(lambda: _is(successor, "finished"))
    assert world.output() == world.expected()
