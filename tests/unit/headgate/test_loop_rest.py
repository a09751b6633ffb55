"""Noise in what shards are measured to cost moves none of them, and a real difference moves them once."""

import random

import pytest
from paper_cluster import PaperCluster, job_spec, started

from headgate.model.ids import JobName

JOB = JobName("delays")
SHARDS = 12
RATE_PER_S = 1200.0


class Bursts:
    """Records arrive in bursts of uneven size, as files do, and cost now more, now less."""

    def __init__(self, cluster: PaperCluster, per_s: float, seed: int) -> None:
        self._cluster, self._per_s, self._random = cluster, per_s, random.Random(seed)
        self._next: dict[str, float] = {}
        self._error = 1.0
        cluster.cost_error = lambda: self._error

    def __call__(self) -> None:
        for name, shard in self._cluster.shards[JOB].items():
            self._error = self._random.lognormvariate(0, 0.4)
            if self._next.get(name, 0.0) <= self._cluster.now:
                wait_s = self._random.uniform(2, 15)
                self._next[name] = self._cluster.now + wait_s
                shard.records += wait_s * self._per_s * self._random.uniform(0.5, 1.5)


def moves(cluster: PaperCluster) -> int:
    assert cluster.scheduler is not None
    job = cluster.scheduler.view.find_job(JOB)
    assert job is not None
    return job.moves


def at_rest(per_s: float, seed: int = 1, workers: int = 4) -> PaperCluster:
    """A job that has settled on its workers and been measured."""
    cluster = PaperCluster(4)
    cluster.rate_per_s = RATE_PER_S
    cluster.put_shards(JOB, SHARDS, records=5000)
    cluster.watchers.append(Bursts(cluster, per_s, seed))
    started(cluster, job_spec(workers=workers))
    cluster.advance(90, step=0.5)
    return cluster


@pytest.mark.parametrize("per_s", [0.5, 1, 5, 60, 200, 250])
def test_noise_moves_nothing(per_s: float) -> None:
    """From next to nothing to nine tenths of what the workers can do."""
    cluster = at_rest(per_s)
    before = moves(cluster)
    cluster.advance(600, step=0.5)
    assert moves(cluster) == before


def test_a_worker_with_too_much_to_do_is_relieved_once() -> None:
    """Its shards have become the only ones with work; what was moved stays where it is."""
    cluster = at_rest(1)
    for name, held in cluster.owners(JOB).items():
        if held[0].endswith(".0.0"):
            cluster.shards[JOB][name].arrivals_per_s = 350.0
    before = moves(cluster)
    cluster.advance(300, step=0.5)
    busy = {held[0] for name, held in cluster.owners(JOB).items() if cluster.shards[JOB][name].arrivals_per_s}
    assert len(busy) == 3
    moved = moves(cluster) - before
    assert moved >= 2
    cluster.advance(600, step=0.5)
    assert moves(cluster) - before == moved
