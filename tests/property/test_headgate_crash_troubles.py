"""A story full of trouble, and a scheduler that dies, or a store that says no, late or maybe, at any point of it.

Agents are lost and come back, a worker crashes in a loop, one hangs and has to be shut down, the job is paused, resumed
and restarted.  Each of these is several writes and calls, and between any two of them the process may end: the next one
knows what the store holds, and that is all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from paper_cluster import PaperCluster, job_spec
from test_headgate_crashes import JOB, Crash, FusedMaster, Theatre, at_rest

from headgate.adapters.memory_store import MemoryStore
from headgate.errors import StoreUnavailable
from headgate.loop import Scheduler
from headgate.model.call import Call
from headgate.model.ids import ShardId
from headgate.model.job import Restart
from headgate.model.record import JobState
from headgate.model.stored import loaded
from headgate.model.task import Stage

WORKERS = 2
RESEND_S = 10.0


class Trouble(Theatre):
    """The theatre with agents that repeat what is not acknowledged, and more that must hold."""

    def __init__(self) -> None:
        super().__init__()
        self.resent_at = self.cluster.now
        self.seen: Mapping[str, bytes] = {}

    def check(self) -> None:
        """One record per slot, and no worker holds a shard at an epoch that is not recorded.

        A task that is killed and does not answer owns nothing any more, and does not count.
        That no task id is launched twice, and no shard owned twice, is seen to by the cluster and the theatre.
        """
        super().check()
        stored = self.store.load("")
        if stored == self.seen:
            return
        self.seen = stored
        records = loaded(stored)
        per_slot = Counter(task.worker for task in records.tasks.values() if task.stage is not Stage.KILLING)
        assert all(count == 1 for count in per_slot.values()), f"two records for one slot: {sorted(records.tasks)}"
        recorded = {shard.id: shard.epoch for shard in records.shards.get(JOB, ())}
        for name, shard in self.cluster.shards[JOB].items():
            assert not recorded or shard.epoch <= recorded.get(ShardId(name), 0)

    def advance(self, seconds: float) -> None:
        """Let time pass, through crashes."""
        until = self.cluster.now + seconds
        while self.cluster.now < until:
            self.survive(lambda: self.cluster.advance(0.5, step=0.5))
            if self.cluster.now - self.resent_at >= RESEND_S:
                self.resent_at = self.cluster.now
                self.cluster.resend()

    def until(self, holds: Callable[[], bool], *, within: float = 300.0) -> None:
        """Let time pass until something holds."""
        begun = self.cluster.now
        while not holds():
            assert self.cluster.scheduler is not None
            assert self.cluster.now - begun < within, [note.text for note in self.cluster.scheduler.view.events][-20:]
            self.advance(0.5)

    def ask(self, give: Callable[[Scheduler], object]) -> None:
        """Give a command; whoever got no receipt gives it again."""

        def act() -> None:
            assert self.cluster.scheduler is not None
            give(self.cluster.scheduler)
            self.cluster.tick()

        while self.survive(act):
            pass

    def rest(self) -> None:
        """All as wished."""
        self.until(lambda: at_rest(self.cluster, WORKERS))

    def state(self) -> JobState | None:
        assert self.cluster.scheduler is not None
        job = self.cluster.scheduler.view.find_job(JOB)
        return None if job is None else job.state


def troubles(world: Trouble) -> None:
    """Each trouble, and rest after it."""
    cluster = world.cluster
    spec = job_spec(workers=WORKERS, unreachable_replace_after_s=2.0, restart=Restart(backoff_s=1.0))
    world.ask(lambda scheduler: scheduler.submit(spec))
    world.rest()

    agent = min(task.launch.agent_id for task in cluster.live(JOB))
    cluster.lose_agent(agent)
    world.advance(8)
    cluster.regain_agent(agent)
    world.rest()

    for _ in range(2):
        victims = [task.id for task in cluster.live(JOB) if task.id.split(".")[2] == "0"]
        cluster.end(victims[0])
        world.rest()
    failures = loaded(world.store.load("")).workers[JOB, 0].failures
    assert failures == 2

    hanging = max(cluster.live(JOB), key=lambda task: task.id)
    hanging.hangs = True
    world.until(lambda: not hanging.live)
    world.rest()

    world.ask(lambda scheduler: scheduler.pause(JOB))
    world.until(lambda: world.state() is JobState.PAUSED)
    assert not cluster.live(JOB)
    world.ask(lambda scheduler: scheduler.resume(JOB))
    world.rest()
    before = {task.id for task in cluster.live(JOB)}
    world.ask(lambda scheduler: scheduler.restart(JOB))
    world.until(lambda: not before & {task.id for task in cluster.live(JOB)})
    world.rest()
    world.ask(lambda scheduler: scheduler.cancel(JOB))
    world.until(lambda: world.state() is JobState.CANCELLED)
    world.advance(RESEND_S + 2)
    assert not cluster.live()
    assert cluster.unacknowledged == {}
    assert loaded(world.store.load("")).tasks == {}


def effects_of_the_troubles() -> int:
    """How many writes and calls the story takes when nothing else goes wrong."""
    world = Trouble()
    world.start()
    troubles(world)
    return world.fuse.count


EFFECTS = effects_of_the_troubles()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", range(1, EFFECTS + 1))
def test_a_crash_at_any_side_effect_of_any_trouble_is_survived(number: int, after: bool) -> None:
    """Nothing lost, nothing launched twice, no epoch given out twice, nothing unacknowledged in the end."""
    world = Trouble()
    world.start()
    world.fuse.blow_at, world.fuse.after = number, after
    troubles(world)
    assert world.fuse.blow_at is None, "it did not crash"


@pytest.mark.parametrize("second", [1, 2, 5])
@pytest.mark.parametrize("number", range(1, EFFECTS + 1, 9))
def test_a_second_crash_soon_after_the_first_is_survived(number: int, second: int) -> None:
    """While the new leader still reconciles."""
    world = Trouble()
    world.start()
    world.fuse.blow_at = number
    plain = world.survive

    def survive(act: Callable[[], None]) -> bool:
        crashed = plain(act)
        if crashed and world.fuse.blow_at is None and world.fuse.error is Crash:
            world.fuse.blow_at, world.fuse.after = world.fuse.count + second, not world.fuse.after
            world.fuse.error = _Again
        return crashed

    world.survive = survive  # type: ignore[method-assign]
    troubles(world)


class _Again(Crash):
    """The second time."""


class Moody(MemoryStore):
    """Counts writes; the n-th is refused, or answered late, or lands without an answer."""

    def __init__(self, cluster: PaperCluster) -> None:
        super().__init__()
        self.cluster = cluster
        self.writes = 0
        self.moody_at: int | None = None
        self.mood = "no"

    def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
        self.writes += 1
        if self.writes != self.moody_at:
            super().write(changes, term=term)
        elif self.mood == "no":
            raise StoreUnavailable("nothing was written")
        elif self.mood == "maybe":
            super().write(changes, term=term)
            raise StoreUnavailable("the answer was lost")
        else:
            self.cluster.now += 20
            super().write(changes, term=term)


def moody_world(mood: str, moody_at: int | None) -> Trouble:
    world = Trouble()
    store = Moody(world.cluster)
    store.mood, store.moody_at = mood, moody_at
    world.store = store  # type: ignore[assignment]

    class Plain(FusedMaster):
        def send(self, call: Call) -> None:
            self.cluster.send(call)

    world.cluster.attach(store, Plain(world.cluster, world.fuse))
    return world


def writes_of_the_troubles() -> int:
    """How many writes the story takes."""
    world = moody_world("no", None)
    troubles(world)
    assert isinstance(world.store, Moody)
    return world.store.writes


@pytest.mark.parametrize("mood", ["no", "maybe", "late"])
@pytest.mark.parametrize("number", range(1, writes_of_the_troubles() + 1))
def test_a_store_in_any_mood_at_any_write_is_survived(number: int, mood: str) -> None:
    """Refused, landed without an answer, or answered after twenty seconds: the story ends as it would have."""
    world = moody_world(mood, number)
    troubles(world)
    assert isinstance(world.store, Moody)
    assert world.store.writes >= number
