"""Time as the loop sees it: who is awake when, and what a break excuses."""

import pytest
from paper_cluster import PaperCluster, job_spec, started

from headgate.model.call import Kill, Reconcile, ShutdownExecutor
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
    cluster = deployed(unreachable_replace_after_s=1.0)
    (victim,) = cluster.live()
    victim.hangs = True
    cluster.tick()
    sleep(cluster, 15 + 21)
    assert len(cluster.sent(Kill)) == 5


def test_a_worker_out_of_reach_is_left_alone_for_as_long_as_its_job_says() -> None:
    """Its agent restarts, or the network is cut: the master says so after a minute at the earliest, if at all."""
    cluster = deployed(unreachable_replace_after_s=120.0)
    (worker,) = cluster.live()
    worker.mute = True
    cluster.advance(110)
    worker.mute = False
    cluster.advance(30)
    assert cluster.live() == [worker]
    assert not cluster.sent(Kill)
    worker.mute = True
    cluster.until(lambda: bool(cluster.sent(Kill)), within=125)


@pytest.mark.parametrize("agent_lost", [False, True], ids=["runs", "unreachable"])
def test_silence_of_a_stream_that_nobody_knows_is_dead_is_not_the_workers(agent_lost: bool) -> None:
    """Half-open: calls go through, nothing comes back, and the driver gives up after five heartbeats, 75 s."""
    cluster = deployed()
    if agent_lost:
        cluster.lose_agent("a0")
        cluster.advance(1)
    cluster.half_open = True
    cluster.advance(75)
    assert not cluster.sent(Kill)
    if agent_lost:
        cluster.regain_agent("a0")
    cluster.disconnect()
    cluster.advance(5)
    cluster.subscribe()
    cluster.advance(10)
    assert len(cluster.tasks) == 1
    assert not cluster.sent(Kill)


def test_the_master_is_asked_before_silence_is_held_against_a_worker() -> None:
    """Its answer shows that the stream lives; while there is none the question is repeated, every ten seconds."""
    cluster = deployed()
    (worker,) = cluster.live()
    cluster.half_open = True
    cluster.calls.clear()
    cluster.advance(55)
    assert [call for call in cluster.calls if not isinstance(call, Reconcile)] == []
    assert len(cluster.sent(Reconcile)) == 3
    cluster.half_open, worker.mute = False, True
    cluster.until(lambda: bool(cluster.sent(Kill)), within=11)


def test_a_launch_is_not_stuck_while_nobody_listens() -> None:
    """The scheduler was away when its worker came up; it hears of that right after it has subscribed."""
    cluster = PaperCluster(1, start_s=20.0)
    cluster.put_shards(JOB, 2)
    started(cluster, job_spec(workers=1))
    cluster.until(lambda: len(cluster.live()) == 1)
    cluster.disconnect()
    cluster.advance(400)
    cluster.subscribe()
    cluster.advance(10)
    assert len(cluster.tasks) == 1
    assert not cluster.sent(Kill)


def test_a_worker_is_not_cut_off_while_nobody_listens() -> None:
    """It was unreachable when the connection was lost, and is back before the connection is."""
    cluster = deployed()
    cluster.lose_agent("a0")
    cluster.advance(5)
    cluster.disconnect()
    cluster.advance(100)
    cluster.regain_agent("a0")
    cluster.subscribe()
    cluster.advance(10)
    assert len(cluster.tasks) == 1
    assert not cluster.sent(Kill)


def test_a_killed_worker_has_time_for_its_last_commits() -> None:
    """The kill says how long, and its executor is not shut down before that."""
    cluster = deployed()
    (worker,) = cluster.live()
    worker.hangs = True
    cluster.until(lambda: bool(cluster.sent(Kill)))
    killed_at = cluster.now
    (kill, *_) = cluster.sent(Kill)
    assert isinstance(kill, Kill)
    assert kill.grace_s is not None
    cluster.until(lambda: bool(cluster.sent(ShutdownExecutor)))
    assert cluster.now - killed_at >= kill.grace_s + 5


def test_agents_of_long_ago_are_forgotten() -> None:
    """Of those that were removed while nobody listened nobody tells; one that runs our tasks is not offered either."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2)
    scheduler = started(cluster, job_spec(workers=1))
    cluster.until(lambda: all(cluster.owners(JOB).values()))
    (worker,) = cluster.live()
    assert len(scheduler.view.agents) == 2
    cluster.now += 86_000
    cluster.advance(10)
    assert len(scheduler.view.agents) == 2
    cluster.now += 1000
    cluster.advance(10)
    assert [agent.id for agent in scheduler.view.agents] == [worker.launch.agent_id]
