"""When the demo kills whom, and what it remembers: from the views alone."""

from dataclasses import replace

import pytest
from paper_cluster import job_spec

from headgate.demo.drama import KILL_BETWEEN, Figures, Script, script
from headgate.model.ids import JobName, ShardId, TaskId
from headgate.model.record import Goal, JobState
from headgate.model.view import JobView, ShardView, WorkerView
from millstream.contract.report import AuditCounters, CheckpointReport

SAVED = CheckpointReport(id=3, age_s=1.0, bytes=10, duration_s=0.1)


def shard(name: str, worker: int, **changes: object) -> ShardView:
    made = ShardView(id=ShardId(name), epoch=1, worker=worker, task_id=TaskId(f"t{worker}"), checkpoint=SAVED)
    return replace(made, **changes)  # type: ignore[arg-type]


def worker(number: int, *shards: str, ready: bool = True) -> WorkerView:
    owned = tuple(ShardId(each) for each in shards)
    return WorkerView(worker=number, task_id=TaskId(f"t{number}"), ready=ready, shards=owned)


def job(
    workers: tuple[WorkerView, ...], shards: tuple[ShardView, ...], records: int = 500, **changes: object
) -> JobView:
    made = JobView(
        name=JobName("delays"),
        submission=1,
        spec=job_spec(),
        state=JobState.RUNNING,
        state_since=0.0,
        goal=Goal.RUN,
        submitted_at=0.0,
        workers_wished=2,
        workers_ready=2,
        workers=workers,
        shards=shards,
        audit=AuditCounters(records_in=records),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


TWO = (worker(0, "a"), worker(1, "b"))
BOTH = (shard("a", 0), shard("b", 1))


def test_a_seed_is_a_script() -> None:
    """Equal seeds, equal scripts; different ones differ; the moment lies within its bounds."""
    scripts = [script(seed, 1000) for seed in range(50)]
    assert scripts == [script(seed, 1000) for seed in range(50)]
    assert len({each.after_records for each in scripts}) > 20
    assert all(KILL_BETWEEN[0] * 1000 <= each.after_records <= KILL_BETWEEN[1] * 1000 for each in scripts)
    assert all(0 <= each.choice < 1 for each in scripts)


@pytest.mark.parametrize(
    ("choice", "seen", "victim"),
    [
        (0.0, job(TWO, BOTH), "t0"),
        (0.99, job(TWO, BOTH), "t1"),
        (0.0, job(TWO, BOTH, records=499), None),
        (0.0, job(TWO[:1], BOTH[:1]), None),
        (0.0, job((worker(0, "a"), worker(1, "b", ready=False)), BOTH), None),
        (0.0, job((worker(0, "a"), worker(1)), BOTH[:1]), None),
        (0.0, job(TWO, (shard("a", 0, checkpoint=None), shard("b", 1))), "t1"),
        (0.0, job(TWO, (shard("a", 0, finished=True), shard("b", 1))), "t1"),
        (0.0, job(TWO, (shard("a", 0, checkpoint=None), shard("b", 1, checkpoint=None))), None),
    ],
    ids=[
        "the first",
        "the last",
        "too early",
        "nobody would keep running",
        "the other is not ready",
        "the other owns nothing",
        "no checkpoint to resume from",
        "nothing left to resume",
        "no checkpoint at all",
    ],
)
def test_whom_it_hits(choice: float, seen: JobView, victim: str | None) -> None:
    """Somebody who has something to resume from, while somebody else keeps running."""
    assert Script(after_records=500, choice=choice).find_victim(seen) == victim


def test_figures_keep_the_most_and_the_last() -> None:
    """Peaks stay; counters are those of the last look; the last workers are those before they were let go."""
    first = job(TWO, BOTH, records=10, backlog_records=900, restarts=1)
    last = job((), (), records=1000, backlog_records=0, restarts=1, moves=4)
    figures = Figures().seeing(first).seeing(last)
    assert (figures.backlog_peak, figures.workers_peak, figures.workers_last) == (900, 2, 2)
    assert (figures.records_in, figures.restarts, figures.moves) == (1000, 1, 4)


def test_the_rate_of_work_is_weighed_by_records() -> None:
    """300 records at 1 ms and 100 at 3 ms are 400 records in 0.6 s."""
    shards = (
        shard("a", 0, audit=AuditCounters(records_in=300), cost_s=0.001),
        shard("b", 1, audit=AuditCounters(records_in=100), cost_s=0.003),
        shard("c", 1),
    )
    assert Figures().seeing(job(TWO, shards)).busy_rate_per_s == pytest.approx(400 / 0.6)
    assert Figures().seeing(job(TWO, BOTH)).busy_rate_per_s is None
