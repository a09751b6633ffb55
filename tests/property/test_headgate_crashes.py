"""A scheduler that dies between any two side effects, and starts again from its store, reaches the wish."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from paper_cluster import PaperCluster, job_spec

from headgate.adapters.memory_store import MemoryStore
from headgate.errors import MasterUnavailable, StoreUnavailable
from headgate.loop import Scheduler
from headgate.model.call import Call
from headgate.model.ids import JobName, TaskId
from headgate.model.record import JobState

JOB = JobName("delays")


class Crash(BaseException):
    """The process is gone."""


class Fuse:
    """Counts side effects and blows before, or after, the n-th one."""

    def __init__(self) -> None:
        self.count = 0
        self.blow_at: int | None = None
        self.after = False
        self.error: type[BaseException] = Crash

    def guard(self, effect: Callable[[], None]) -> None:
        self.count += 1
        blows = self.count == self.blow_at
        if blows and not self.after:
            raise self.error("before")
        effect()
        if blows:
            raise self.error("after")


class FusedStore(MemoryStore):
    """A memory store whose writes may be the last thing that happens."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse

    def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
        self.fuse.guard(lambda: MemoryStore.write(self, changes, term=term))


class FusedMaster:
    """A master whose calls may be the last thing that happens."""

    def __init__(self, cluster: PaperCluster, fuse: Fuse) -> None:
        self.cluster, self.fuse = cluster, fuse

    def send(self, call: Call) -> None:
        self.fuse.guard(lambda: self.cluster.send(call))


class Theatre:
    """A cluster, a store that outlives schedulers, and what must hold at every instant."""

    def __init__(self) -> None:
        self.cluster = PaperCluster(3)
        self.cluster.put_shards(JOB, 5, records=4000)
        self.fuse = Fuse()
        self.store = FusedStore(self.fuse)
        self.epochs: dict[str, int] = {}
        self.launched: set[TaskId] = set()
        self.cluster.watchers.append(self.check)

    def start(self) -> Scheduler:
        return self.cluster.attach(self.store, FusedMaster(self.cluster, self.fuse))

    def check(self) -> None:
        for name, owners in self.cluster.owners(JOB).items():
            assert len(owners) <= 1, f"{name} has owners {owners}"
        for name, shard in self.cluster.shards[JOB].items():
            assert shard.epoch >= self.epochs.get(name, 0)
            self.epochs[name] = shard.epoch

    def survive(self, act: Callable[[], None]) -> bool:
        """Do it; start a new scheduler if that kills the old one."""
        try:
            act()
        except Crash:
            self.fuse.blow_at = None
            self.start()
            return True
        return False


def at_rest(cluster: PaperCluster, workers: int) -> bool:
    """Whether the job runs with exactly so many workers, each shard owned once."""
    assert cluster.scheduler is not None
    job = cluster.scheduler.view.find_job(JOB)
    return (
        job is not None
        and job.state is JobState.RUNNING
        and job.workers_ready == workers
        and len(cluster.live(JOB)) == workers
        and all(len(owners) == 1 for owners in cluster.owners(JOB).values())
    )


def story(world: Theatre) -> None:
    """Deploy, lose a worker, scale up, scale down, cancel."""
    cluster = world.cluster

    def step(act: Callable[[], None]) -> None:
        world.survive(act)

    def command(give: Callable[[Scheduler], object]) -> None:
        def act() -> None:
            assert cluster.scheduler is not None
            give(cluster.scheduler)
            cluster.tick()

        # Whoever asked and got no receipt asks again.
        if world.survive(act):
            act()

    def rest(workers: int) -> None:
        for _ in range(400):
            step(lambda: cluster.advance(0.25))
            if at_rest(cluster, workers):
                break
        else:
            assert cluster.scheduler is not None
            pytest.fail(f"not at rest with {workers} workers: {cluster.scheduler.view.events[-20:]}")
        workers_of = sorted(task.launch.task_id.split(".")[2] for task in cluster.live(JOB))
        assert workers_of == [str(number) for number in range(workers)]

    def submit(scheduler: Scheduler) -> object:
        return scheduler.submit(job_spec(workers=2))

    command(submit)
    rest(2)
    victim = min(task.id for task in cluster.live(JOB))
    step(lambda: cluster.end(victim))
    rest(2)
    command(lambda scheduler: scheduler.scale(JOB, 4))
    rest(4)
    command(lambda scheduler: scheduler.scale(JOB, 1))
    rest(1)
    command(lambda scheduler: scheduler.cancel(JOB))
    for _ in range(400):
        step(lambda: cluster.advance(0.25))
        view = cluster.scheduler.view.find_job(JOB) if cluster.scheduler else None
        if view is not None and view.state is JobState.CANCELLED:
            break
    else:
        pytest.fail("not cancelled")
    assert not cluster.live(JOB)


def effects_of_the_story() -> int:
    """How many writes and calls the story takes when nothing goes wrong."""
    world = Theatre()
    world.start()
    story(world)
    return world.fuse.count


EFFECTS = effects_of_the_story()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, EFFECTS + 1))
def test_a_crash_at_any_side_effect_is_survived(number: int, after: bool) -> None:
    """Deploy, fail, grow, shrink, cancel: at every rest exactly the wished workers, at no time a shard owned twice."""
    world = Theatre()
    world.start()
    world.fuse.blow_at, world.fuse.after = number, after
    story(world)


@pytest.mark.parametrize("error", [MasterUnavailable, StoreUnavailable])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, EFFECTS + 1, 3))
def test_an_outage_at_any_side_effect_is_survived(number: int, after: bool, error: type[BaseException]) -> None:
    """A write or call whose outcome is unknown, to a store or a master that then answers again."""
    world = Theatre()
    world.start()
    world.fuse.blow_at, world.fuse.after = number, after
    plain_guard = world.fuse.guard

    def guard_store(changes: Mapping[str, bytes | None], *, term: int) -> None:
        world.fuse.error = StoreUnavailable
        plain_guard(lambda: MemoryStore.write(world.store, changes, term=term))

    def guard_call(call: Call) -> None:
        world.fuse.error = MasterUnavailable
        plain_guard(lambda: world.cluster.send(call))

    world.store.write = guard_store  # type: ignore[method-assign]
    world.cluster.scheduler = None
    master = FusedMaster(world.cluster, world.fuse)
    master.send = guard_call  # type: ignore[method-assign]
    world.cluster.attach(world.store, master)
    story(world)
