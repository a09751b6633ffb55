"""Which way shards go when workers come and go: in one round, once each, not back."""

import pytest
from paper_cluster import PaperCluster, job_spec, started

from headgate.model.ids import JobName, TaskId
from headgate.model.status import TaskState

JOB = JobName("delays")
SHARDS = 12


def loaded(workers: int) -> PaperCluster:
    """A job with work for everybody, so that costs are measured."""
    cluster = PaperCluster(4)
    cluster.rate_per_s = 1200.0
    cluster.put_shards(JOB, SHARDS, records=20_000, arrivals_per_s=200.0)
    started(cluster, job_spec(workers=workers))
    cluster.until(lambda: settled(cluster, workers))
    cluster.advance(40)
    return cluster


def settled(cluster: PaperCluster, workers: int) -> bool:
    counts = spread(cluster)
    return len(counts) == workers and sum(counts) == SHARDS and min(counts) > 0


def spread(cluster: PaperCluster) -> list[int]:
    """How many shards each live worker really holds, in order."""
    owners = [task for held in cluster.owners(JOB).values() for task in held]
    return sorted(owners.count(task.id) for task in cluster.live(JOB))


class Moves:
    """Watches every shard go from hand to hand."""

    def __init__(self, cluster: PaperCluster) -> None:
        self._cluster = cluster
        self._last = {name: held[0] for name, held in cluster.owners(JOB).items()}
        self.seen: dict[str, list[TaskId]] = {name: [task] for name, task in self._last.items()}
        cluster.watchers.append(self._look)

    def _look(self) -> None:
        for name, held in self._cluster.owners(JOB).items():
            if held and held[0] != self._last[name]:
                self._last[name] = held[0]
                self.seen[name].append(held[0])


@pytest.mark.parametrize(
    "late_s", [(0, 0, 0, 0), (0, 1, 2, 3), (10, 10.5, 11, 11.5), (6, 8, 10, 12), (0, 4, 8, 12), (0, 8, 16, 24)]
)
def test_scaling_up_moves_every_shard_once(late_s: tuple[float, ...]) -> None:
    """From one worker to five , together or not: two or three shards each, none moved twice in a round."""
    cluster = loaded(1)
    assert cluster.scheduler is not None
    moves = Moves(cluster)
    cluster.scheduler.scale(JOB, 5)
    cluster.until(lambda: len(cluster.live()) == 5)
    for number, seconds in enumerate(late_s, start=1):
        cluster.tasks[TaskId(f"delays.1.{number}.0")].launched_at += seconds
    cluster.until(lambda: settled(cluster, 5))
    cluster.advance(3)
    assert {name: seen for name, seen in moves.seen.items() if len(seen) > 2} == {}
    if late_s[-1] - late_s[0] < 5:
        assert spread(cluster) == [2, 2, 2, 3, 3]


def test_what_a_dead_worker_had_goes_to_those_with_least() -> None:
    """At once, and nobody else's shards move for it."""
    cluster = loaded(4)
    assert spread(cluster) == [3, 3, 3, 3]
    moves = Moves(cluster)
    cluster.start_s = 1e9
    cluster.end("delays.1.2.0", TaskState.FAILED)
    cluster.until(lambda: sum(spread(cluster)) == SHARDS, within=5)
    assert [count for count in spread(cluster) if count] == [4, 4, 4]
    assert sum(len(seen) - 1 for seen in moves.seen.values()) == 3


def test_a_shard_that_was_let_go_does_not_go_back() -> None:
    """What it and the others cost has changed meanwhile, in favour of the worker that had it."""
    cluster = loaded(1)
    assert cluster.scheduler is not None
    (old,) = cluster.live()
    cluster.scheduler.scale(JOB, 2)
    cluster.until(lambda: len(cluster.live()) == 2)
    moves = Moves(cluster)
    cluster.until(lambda: any(not held for held in cluster.owners(JOB).values()))
    for name in cluster.shards[JOB]:
        if old.owned.get(name):
            cluster.shards[JOB][name].arrivals_per_s = 0.0
            cluster.shards[JOB][name].records = cluster.shards[JOB][name].done
    cluster.until(lambda: sum(spread(cluster)) == SHARDS)
    assert not any(len(seen) > 1 and seen[-1] == old.id for seen in moves.seen.values())


def test_the_pause_of_a_shard_that_changes_hands_is_measured() -> None:
    """From the last word that it was worked on to the first that it is again; who stays put has none."""
    cluster = loaded(2)
    assert cluster.scheduler is not None
    cluster.start_s = 1e9
    new = PaperTaskDelay(cluster, seconds=3.0)
    cluster.end("delays.1.0.0", TaskState.FAILED)
    cluster.watchers.append(new)
    cluster.until(lambda: sum(spread(cluster)) == SHARDS, within=20)
    cluster.advance(1)
    job = cluster.scheduler.view.find_job(JOB)
    assert job is not None
    pauses = {shard.id: shard.pause_s for shard in job.shards if shard.task_id == "delays.1.1.0"}
    moved = [pause for pause in pauses.values() if pause is not None]
    assert len(moved) == 6
    assert all(3.0 <= pause <= 6.0 for pause in moved)


class PaperTaskDelay:
    """The worker that stays hears nothing for a while."""

    def __init__(self, cluster: PaperCluster, *, seconds: float) -> None:
        self._cluster = cluster
        self._until = cluster.now + seconds
        self._task = cluster.tasks[TaskId("delays.1.1.0")]
        self._task.deaf = True

    def __call__(self) -> None:
        self._task.deaf = self._cluster.now < self._until
