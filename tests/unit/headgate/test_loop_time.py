"""Time as the loop sees it: who is awake when, and what a break excuses."""

from paper_cluster import PaperCluster, job_spec, started

from headgate.model.call import Kill
from headgate.model.ids import JobName
from headgate.model.status import TaskState

JOB = JobName("delays")


def deployed(**changes: object) -> PaperCluster:
    """One worker that runs and has all shards."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 2)
    started(cluster, job_spec(workers=1, **changes))
    cluster.until(lambda: all(cluster.owners(JOB).values()))
    cluster.advance(10)
    return cluster


def sleep(cluster: PaperCluster, seconds: float) -> None:
    """Let time pass as `run` does when nothing comes: no tick but those that the last one asked for."""
    scheduler = cluster.scheduler
    assert scheduler is not None
    until = cluster.now + seconds
    while cluster.wake_at is not None and cluster.wake_at <= until:
        cluster.now = max(cluster.now, cluster.wake_at)
        cluster.tick()
    cluster.now = until


def test_a_worker_that_falls_silent_is_replaced_though_nothing_else_happens() -> None:
    """With nothing else to do the scheduler sleeps until the worker's time is up; that sleep is no excuse for it."""
    cluster = deployed()
    (victim,) = cluster.live()
    victim.hangs = True
    cluster.tick()
    sleep(cluster, 120)
    assert victim.state is TaskState.FAILED


def test_a_kill_is_repeated_though_nothing_else_happens() -> None:
    """The plan that sends the first kill makes the next one due."""
    cluster = deployed()
    (victim,) = cluster.live()
    victim.hangs = True
    cluster.tick()
    sleep(cluster, 15 + 21)
    assert len(cluster.sent(Kill)) == 5
