"""Pause, resume and restart, told on the paper cluster."""

from __future__ import annotations

import pytest
from paper_cluster import PaperCluster, job_spec
from test_loop_jobs import JOB, deployed, running, view

from headgate.adapters.memory_store import MemoryStore
from headgate.core.restart import SETTLE_S
from headgate.errors import BadJob, UnknownJob
from headgate.loop import Scheduler
from headgate.model.call import Accept
from headgate.model.ids import JobName, TaskId
from headgate.model.job import Upgrade
from headgate.model.record import JobState
from headgate.model.status import TaskState


def scheduler_of(cluster: PaperCluster) -> Scheduler:
    assert cluster.scheduler is not None
    return cluster.scheduler


def asked(cluster: PaperCluster, verb: str) -> str:
    """Give a command that takes a job's name, and tick; the receipt's text."""
    receipt = getattr(scheduler_of(cluster), verb)(JOB)
    cluster.tick()
    text = receipt.result(timeout=0).text
    assert isinstance(text, str)
    return text


def test_a_paused_job_has_no_workers_and_keeps_everything_else() -> None:
    """They are drained, not killed; offers are suppressed; nothing happens from then on."""
    cluster = deployed(3)
    done = {name: shard.done for name, shard in cluster.shards[JOB].items()}
    assert asked(cluster, "pause") == "delays is being paused; its state is kept"
    assert view(cluster).state is JobState.PAUSING
    cluster.until(lambda: view(cluster).state is JobState.PAUSED, within=20)
    assert not cluster.live()
    assert {task.state for task in cluster.tasks.values()} == {TaskState.FINISHED}
    assert view(cluster).workers_wished == 0
    assert view(cluster).waiting is None
    assert len(view(cluster).shards) == len(done)
    cluster.advance(2)
    calls = len(cluster.calls)
    cluster.advance(600)
    assert len(cluster.calls) == calls
    assert asked(cluster, "pause") == "delays is paused"


def test_a_resumed_job_goes_on_where_it_was() -> None:
    """As many workers as before, each shard at a higher epoch, new attempts."""
    cluster = deployed(3)
    epochs = {name: shard.epoch for name, shard in cluster.shards[JOB].items()}
    asked(cluster, "pause")
    cluster.until(lambda: view(cluster).state is JobState.PAUSED, within=20)
    assert asked(cluster, "resume") == "delays goes on with 3 workers"
    cluster.until(lambda: running(cluster, 3), within=30)
    assert sorted(task.id for task in cluster.live()) == ["delays.1.0.1", "delays.1.1.1", "delays.1.2.1"]
    assert all(shard.epoch > epochs[name] for name, shard in cluster.shards[JOB].items())
    assert asked(cluster, "resume") == "delays is not paused; it is running"


def test_a_job_resumed_while_it_pauses_goes_on() -> None:
    """Workers that are on their way out are replaced."""
    cluster = deployed(2)
    cluster.tasks[TaskId("delays.1.0.0")].deaf = True
    asked(cluster, "pause")
    cluster.advance(5)
    assert [task.id for task in cluster.live()] == ["delays.1.0.0"]
    asked(cluster, "resume")
    cluster.until(lambda: running(cluster, 2), within=120)


def test_a_pause_survives_a_failover_and_can_be_cancelled() -> None:
    """The wish is in the store before the receipt is."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=2))
    cluster.tick()
    cluster.until(lambda: running(cluster, 2))
    asked(cluster, "pause")
    cluster.attach(store)
    cluster.until(lambda: bool(scheduler_of(cluster).view.jobs) and view(cluster).state is JobState.PAUSED, within=90)
    launched = len(cluster.sent(Accept))
    cluster.attach(store)
    cluster.advance(60)
    assert view(cluster).state is JobState.PAUSED
    assert len(cluster.sent(Accept)) == launched
    asked(cluster, "cancel")
    assert view(cluster).state is JobState.CANCELLED


def test_a_restart_replaces_one_worker_after_the_other() -> None:
    """At no time is more than one missing; all are new in the end, and then it is quiet."""
    cluster = deployed(4)
    fewest = []

    def watch() -> None:
        fewest.append(sum(1 for task in cluster.live(JOB) if task.state is TaskState.RUNNING))

    cluster.watchers.append(watch)
    assert asked(cluster, "restart") == "delays: 4 workers are restarted, 1 at a time"
    new = [f"delays.1.{number}.1" for number in range(4)]
    cluster.until(lambda: sorted(task.id for task in cluster.live()) == new and running(cluster, 4), within=300)
    assert min(fewest) == 3
    assert not [task for task in cluster.tasks.values() if task.state not in (TaskState.RUNNING, TaskState.FINISHED)]
    assert view(cluster).restarts == 0
    cluster.advance(10)
    calls = len(cluster.calls)
    cluster.advance(120)
    assert len(cluster.calls) == calls


def test_as_many_at_a_time_as_the_job_allows() -> None:
    """`upgrade.max_unavailable`."""
    cluster = deployed(6, shards=12, agents=3, upgrade=Upgrade(max_unavailable=3))
    fewest = []
    cluster.watchers.append(lambda: fewest.append(sum(task.state is TaskState.RUNNING for task in cluster.live(JOB))))
    asked(cluster, "restart")
    cluster.until(lambda: all(task.id.endswith(".1") for task in cluster.live()) and running(cluster, 6), within=120)
    assert min(fewest) == 3


def test_a_restart_goes_on_after_a_failover() -> None:
    """Which attempts are old is in the store; none is replaced twice."""
    cluster = PaperCluster(3)
    cluster.put_shards(JOB, 6)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=3))
    cluster.tick()
    cluster.until(lambda: running(cluster, 3))
    asked(cluster, "restart")
    cluster.until(lambda: TaskId("delays.1.0.1") in cluster.tasks)
    cluster.attach(store)
    new = [f"delays.1.{number}.1" for number in range(3)]
    cluster.until(lambda: sorted(task.id for task in cluster.live()) == new and running(cluster, 3), within=300)
    assert len(cluster.tasks) == 6


def test_a_restart_is_another_chance_for_a_worker_that_backs_off() -> None:
    """Marathon #1005, #2790: the delay is forgotten when a person asks."""
    cluster = deployed(1)
    for attempt in range(8):
        task_id = TaskId(f"delays.1.0.{attempt}")
        cluster.until(lambda task_id=task_id: task_id in cluster.tasks, within=400)  # type: ignore[misc]
        cluster.end(task_id)
        cluster.advance(0.25)
    assert view(cluster).workers[0].backoff_until is not None
    asked(cluster, "restart")
    assert cluster.until(lambda: running(cluster, 1), within=30) < 10
    assert view(cluster).workers[0].failures == 0


def test_a_restart_gets_on_though_a_shard_finds_no_owner() -> None:
    """It may be what a restart is to mend: the next worker waits a minute for it, no longer."""
    cluster = deployed(2)
    stuck = cluster.shards[JOB]["s0"]
    stuck.epoch = 2**50
    begun = cluster.now
    asked(cluster, "restart")
    cluster.until(lambda: len(cluster.tasks) == 4, within=2 * SETTLE_S + 60)
    assert cluster.now - begun > SETTLE_S / 2


@pytest.mark.parametrize("verb", ["pause", "resume", "restart"])
def test_a_job_that_ends_cannot_be_told_otherwise(verb: str) -> None:
    """Nor one that is not there."""
    cluster = deployed(1)
    cluster.tasks[TaskId("delays.1.0.0")].deaf = True
    asked(cluster, "cancel")
    receipt = getattr(scheduler_of(cluster), verb)(JOB)
    cluster.tick()
    with pytest.raises(BadJob, match=rf"about to end \(cancelling\): there is nothing to {verb}"):
        receipt.result(timeout=0)
    unknown = getattr(scheduler_of(cluster), verb)(JobName("nobody"))
    cluster.tick()
    with pytest.raises(UnknownJob, match="known: delays"):
        unknown.result(timeout=0)


def test_a_paused_job_is_not_restarted() -> None:
    """There is nothing to replace."""
    cluster = deployed(1)
    asked(cluster, "pause")
    receipt = scheduler_of(cluster).restart(JOB)
    cluster.tick()
    with pytest.raises(BadJob, match="resume it"):
        receipt.result(timeout=0)
