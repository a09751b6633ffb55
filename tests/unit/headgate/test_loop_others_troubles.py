"""What went wrong for the users of other frameworks on Mesos, as stories: each must end well here."""

from __future__ import annotations

from itertools import pairwise

from paper_cluster import PaperCluster, job_spec, started
from test_loop_jobs import JOB, deployed, running, view

from headgate.adapters.memory_store import MemoryStore
from headgate.loop import Scheduler
from headgate.model.call import Accept, Kill
from headgate.model.event import Update
from headgate.model.ids import AgentId, TaskId
from headgate.model.job import Restart, Workers
from headgate.model.record import JobState
from headgate.model.settings import Patience
from headgate.model.status import TaskState, TaskStatus


def scheduler_of(cluster: PaperCluster) -> Scheduler:
    assert cluster.scheduler is not None
    return cluster.scheduler


def fail(cluster: PaperCluster, task_id: str, *, within: float = 400.0) -> float:
    """Let an attempt run and fail at once; how long it took from the failure before until it was launched."""
    took = cluster.until(lambda: TaskId(task_id) in cluster.tasks, within=within)
    cluster.until(lambda: cluster.tasks[TaskId(task_id)].state is TaskState.RUNNING)
    cluster.end(task_id)
    cluster.advance(0.25)
    return took


def test_a_stale_failure_of_an_agent_that_returns_starts_no_third_copy() -> None:
    """SPARK-27347: the agent crashes, the job is started elsewhere, the agent returns with an old TASK_FAILED."""
    cluster = deployed(1, agents=2, unreachable_replace_after_s=5.0)
    (old,) = cluster.live()
    cluster.lose_agent(old.launch.agent_id)
    cluster.until(lambda: len(cluster.tasks) == 2, within=60)
    cluster.end(old.id, TaskState.FAILED)
    cluster.regain_agent(old.launch.agent_id)
    for _ in range(3):
        cluster.resend()
        cluster.advance(5)
    assert sorted(cluster.tasks) == ["delays.1.0.0", "delays.1.0.1"]
    assert running(cluster, 1)
    assert view(cluster).workers[0].failures == 0
    assert not cluster.unacknowledged


def test_a_worker_that_runs_and_fails_at_once_backs_off_all_the_same() -> None:
    """Marathon #1504: reaching RUNNING reset the delay, and sandboxes filled the disks; there is a viability period."""
    cluster = deployed(1)
    cluster.end("delays.1.0.0")
    cluster.advance(0.25)
    waits = [fail(cluster, f"delays.1.0.{attempt}") for attempt in range(1, 9)]
    assert all(later > 1.2 * earlier for earlier, later in pairwise(waits[2:]))
    assert waits[-1] > 45


def test_workers_that_fail_together_do_not_delay_each_other() -> None:
    """Marathon #1083: fifty tasks failed at once, and the delay of the app was multiplied fifty times."""
    cluster = PaperCluster(4, cpus=16)
    cluster.put_shards(JOB, 50)
    started(cluster, job_spec(workers=Workers(min=1, max=60, initial=50)))
    cluster.until(lambda: running(cluster, 50))
    for task in cluster.live():
        cluster.end(task.id)
    assert cluster.until(lambda: len(cluster.live()) == 50, within=10) < 3


def test_a_backoff_is_remembered_by_the_next_leader() -> None:
    """Marathon and dcos-commons kept it in memory: each failover began the crash loop anew."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec())
    cluster.tick()
    for attempt in range(6):
        fail(cluster, f"delays.1.0.{attempt}")
    until = view(cluster).workers[0].backoff_until
    assert until is not None
    cluster.attach(store)
    cluster.advance(1)
    assert view(cluster).workers[0].backoff_until == until
    assert view(cluster).workers[0].failures == 6
    cluster.until(lambda: TaskId("delays.1.0.6") in cluster.tasks)
    assert cluster.now >= until
    cluster.until(lambda: running(cluster, 1))
    cluster.attach(store)
    cluster.advance(Restart().healthy_after_s + 5)
    assert view(cluster).workers[0].failures == 0


def test_a_job_that_fails_for_ever_is_given_up_if_it_says_so() -> None:
    """SPARK-24075, marathon #3035: unlimited retries."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    started(cluster, job_spec(restart=Restart(backoff_s=0.5, give_up_after=3)))
    for attempt in range(3):
        fail(cluster, f"delays.1.0.{attempt}")
    assert view(cluster).state is JobState.FAILED
    assert "failed 3 times in a row" in (view(cluster).failure or "")
    cluster.advance(600, step=1.0)
    assert len(cluster.tasks) == 3


def test_an_agent_that_failed_twice_is_not_banned_for_ever() -> None:
    """SPARK-19755: two failures on an agent, and it was never used again until the job was started anew.

    Three within ten minutes, and it is left alone for five; then it is as good as any.
    """
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 1)
    started(cluster, job_spec(restart=Restart(backoff_s=0.1, backoff_max_s=1.0)))
    for attempt in range(3):
        fail(cluster, f"delays.1.0.{attempt}")
    cluster.until(lambda: running(cluster, 1))
    assert [task.launch.agent_id for task in cluster.tasks.values()] == ["a0", "a0", "a0", "a1"]
    avoided = {agent.id: agent.avoided_until for agent in scheduler_of(cluster).view.agents}
    assert avoided["a0"] is not None
    cluster.advance(Patience().agent_failures_s + 10, step=1.0)
    assert all(agent.avoided_until is None for agent in scheduler_of(cluster).view.agents)
    cluster.end("delays.1.0.3")
    cluster.until(lambda: running(cluster, 1))
    assert cluster.tasks[TaskId("delays.1.0.4")].launch.agent_id == "a0"


def test_a_worker_that_dies_before_it_has_spoken_is_replaced() -> None:
    """FLINK-9331: a worker that ended before it had registered was never asked for again."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    cluster.start_s = 1e9
    started(cluster, job_spec())
    cluster.until(lambda: bool(cluster.tasks))
    cluster.end("delays.1.0.0")
    cluster.start_s = 0.5
    cluster.until(lambda: running(cluster, 1), within=20)


def test_a_failover_in_the_middle_of_everything_kills_nothing_that_is_wanted() -> None:
    """Marathon #1553, #1652, #2308, #3783, #4085: a leader that came (back) to power killed tasks, or forgot them."""
    cluster = PaperCluster(3)
    cluster.put_shards(JOB, 6)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=3))
    cluster.tick()
    cluster.until(lambda: running(cluster, 3))
    scheduler_of(cluster).scale(JOB, 6)
    cluster.tick()
    for _ in range(6):
        cluster.attach(store)
        cluster.advance(0.75)
    cluster.until(lambda: running(cluster, 6))
    assert len(cluster.tasks) == 6
    assert not cluster.sent(Kill)


def test_never_more_tasks_than_asked() -> None:
    """Marathon #4777, #4801 (20,229 of 20,000), #7104: tasks counted twice, or not at all, while they come and go."""
    cluster = PaperCluster(4, cpus=12)
    cluster.put_shards(JOB, 20)
    most = []
    cluster.watchers.append(lambda: most.append(len(cluster.live(JOB))))
    scheduler = started(cluster, job_spec(workers=Workers(min=1, max=40, initial=20)))
    for _ in range(3):
        scheduler.scale(JOB, 20)
        cluster.advance(0.25)
    cluster.until(lambda: running(cluster, 20))
    for number, task in enumerate(list(cluster.live())):
        if number % 3 == 0:
            cluster.end(task.id)
            cluster.resend()
    cluster.until(lambda: running(cluster, 20))
    cluster.resend()
    cluster.advance(5)
    assert max(most) == 20


def test_a_launch_of_which_nobody_knows_is_neither_lost_nor_made_twice() -> None:
    """task_processing #55, #69: an offer that was gone, and a launch that may have happened."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    scheduler = started(cluster, job_spec())
    cluster.until(lambda: bool(cluster.sent(Accept)))
    status = TaskStatus(
        task_id=TaskId("delays.1.0.0"), state=TaskState.DROPPED, agent_id=AgentId("a0"), reason="INVALID_OFFERS"
    )
    del cluster.tasks[TaskId("delays.1.0.0")]
    for _ in range(3):
        scheduler.deliver(Update(status=status))
    cluster.until(lambda: running(cluster, 1))
    assert list(cluster.tasks) == ["delays.1.0.1"]


def test_an_agent_that_drops_whatever_it_is_given_is_left_for_another() -> None:
    """One that still drains in its own view is offered again at once, and would be asked once a second for ever."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    scheduler = started(cluster, job_spec())
    begun = cluster.now
    for attempt in range(3):
        task_id = TaskId(f"delays.1.0.{attempt}")
        cluster.until(lambda task_id=task_id: task_id in cluster.tasks)  # type: ignore[misc]
        task = cluster.tasks[task_id]
        task.state = TaskState.DROPPED
        scheduler.deliver(
            Update(
                status=TaskStatus(
                    task_id=task_id,
                    state=TaskState.DROPPED,
                    agent_id=task.launch.agent_id,
                    reason="AGENT_DRAINING",
                    uuid=f"d{attempt}",
                )
            )
        )
        cluster.advance(0.25)
    assert cluster.now - begun > 0.8
    cluster.add_agent("spare")
    cluster.until(lambda: running(cluster, 1), within=60)
    (task,) = cluster.live()
    assert task.launch.agent_id == "spare"
    assert view(cluster).workers[0].failures == 0
