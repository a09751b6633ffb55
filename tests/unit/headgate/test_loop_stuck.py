"""Workers and shards that do not get on: staging, restoring, processing, letting go; each with its remedy."""

from __future__ import annotations

from paper_cluster import SETTINGS, PaperCluster, job_spec, started
from test_loop_jobs import JOB, deployed, running, view

from headgate.adapters.memory_store import MemoryStore
from headgate.model.call import Kill, Reconcile
from headgate.model.ids import TaskId
from headgate.model.note import NoteKind
from headgate.model.record import JobState

PATIENCE = SETTINGS.patience


def problems(cluster: PaperCluster) -> list[str]:
    return [note.text for note in view(cluster).history if note.kind is NoteKind.PROBLEM]


def test_an_image_that_takes_longer_than_our_patience_is_pulled_in_the_end() -> None:
    """Marathon #1594, #2349: a task that is pulled slowly was killed again and again, and never ran.

    The second attempt gets twice the time; what took its time is no failure once it runs.
    """
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    cluster.start_s = PATIENCE.staging_s + 100
    started(cluster, job_spec())
    cluster.until(lambda: running(cluster, 1), within=1200)
    assert [task.id for task in cluster.live()] == ["delays.1.0.1"]
    cluster.advance(70)
    assert view(cluster).workers[0].failures == 0


def test_an_agent_where_launches_get_stuck_is_left_for_another() -> None:
    """Three of them within ten minutes, of one job: the fourth goes elsewhere."""
    cluster = PaperCluster(1, cpus=8)
    cluster.put_shards(JOB, 3)
    cluster.start_s = 1e9
    started(cluster, job_spec(workers=3))
    cluster.advance(PATIENCE.staging_s - 5)
    cluster.add_agent("spare", cpus=8)
    cluster.start_s = 1.0
    for task in cluster.live():
        task.launched_at = 1e12
    cluster.until(lambda: running(cluster, 3), within=60)
    assert {task.launch.agent_id for task in cluster.live()} == {"spare"}


def test_a_launch_that_stays_silent_is_asked_about_again_and_again() -> None:
    """Singularity PR #2066: launches lost in a master's failover were noticed by nobody."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    cluster.start_s = 1e9
    started(cluster, job_spec())
    cluster._reconcile = lambda call: None  # type: ignore[method-assign,assignment]
    cluster.until(lambda: bool(cluster.tasks))
    cluster.calls.clear()
    cluster.advance(65)
    asked = [call for call in cluster.sent(Reconcile) if isinstance(call, Reconcile) and call.tasks]
    assert [[each.task_id for each in call.tasks] for call in asked] == [["delays.1.0.0"]] * 6
    del cluster._reconcile  # type: ignore[attr-defined]
    del cluster.tasks[TaskId("delays.1.0.0")]
    cluster.start_s = 1.0
    cluster.until(lambda: running(cluster, 1), within=20)
    assert view(cluster).workers[0].failures == 0


def test_a_shard_of_which_nothing_is_processed_is_given_to_another_worker() -> None:
    """Backlog and no progress for five minutes: only that shard moves, and nobody is killed."""
    cluster = deployed(2)
    holder = next(task for task in cluster.live() if "s1" in task.owned)
    holder.stuck.add("s1")
    cluster.shards[JOB]["s1"].records += 500
    took = cluster.until(lambda: cluster.shards[JOB]["s1"].done >= 500, within=400)
    assert took >= PATIENCE.stuck_shard_s
    assert "s1" not in holder.owned
    cluster.advance(5)
    assert holder.seen is not None
    assert "s1" not in [each.shard for each in holder.seen.shards]
    assert len(cluster.tasks) == 2
    (text,) = problems(cluster)
    assert text == f"shard s1 has 500 records waiting and has got on with none for 300 s: taken from {holder.id}"


def test_a_shard_that_is_stuck_wherever_it_is_is_not_thrown_about() -> None:
    """Each owner has twice as long as the one before; it is no reason to kill anybody."""
    cluster = deployed(3)
    for task in cluster.live():
        task.stuck.add("s1")
    cluster.shards[JOB]["s1"].records += 500
    cluster.advance(5 * PATIENCE.stuck_shard_s, step=1.0)
    assert len(problems(cluster)) == 2
    assert len(cluster.tasks) == 3
    for task in cluster.live():
        task.stuck.clear()
    cluster.advance(10)
    cluster.shards[JOB]["s1"].records += 500
    for task in cluster.live():
        task.stuck.add("s1")
    cluster.advance(PATIENCE.stuck_shard_s + 20, step=1.0)
    assert "none for 300 s" in problems(cluster)[-1]


def test_the_only_worker_gets_its_stuck_shard_anew_and_is_replaced_if_that_does_not_help() -> None:
    """There is nobody else to give it to."""
    cluster = deployed(1)
    (worker,) = cluster.live()
    worker.stuck.add("s1")
    cluster.shards[JOB]["s1"].records += 500
    epoch = cluster.shards[JOB]["s1"].epoch
    cluster.until(lambda: cluster.shards[JOB]["s1"].epoch > epoch, within=400)
    assert [task.id for task in cluster.live()] == [worker.id]
    cluster.until(lambda: not worker.live, within=700)
    cluster.until(lambda: cluster.shards[JOB]["s1"].done >= 500, within=30)
    assert [task.id for task in cluster.live()] == ["delays.1.0.1"]
    assert "has got on with none for 600 s, again" in (view(cluster).workers[0].last_failure or "")


def test_a_shard_that_is_restored_for_ever_is_given_to_another_worker() -> None:
    """Ten minutes, then twenty: a large state takes its time."""
    cluster = deployed(2)
    holder = next(task for task in cluster.live() if "s1" in task.owned)
    for task in cluster.live():
        task.restoring.add("s1")
    cluster.advance(PATIENCE.restore_s - 10, step=1.0)
    assert "s1" in holder.owned
    cluster.advance(20, step=1.0)
    assert "s1" not in holder.owned
    (text,) = problems(cluster)
    assert text == f"shard s1 is restoring for 600 s: taken from {holder.id}"
    cluster.advance(PATIENCE.restore_s + 30, step=1.0)
    assert len(problems(cluster)) == 1


def test_a_shard_that_is_not_let_go_of_is_taken() -> None:
    """The owner hangs in its last commit: the next owner's epoch shuts it out."""
    cluster = deployed(1)
    (old,) = cluster.live()
    old.keeps.update(f"s{number}" for number in range(6))
    assert cluster.scheduler is not None
    cluster.scheduler.scale(JOB, 2)
    cluster.until(lambda: len(cluster.live()) == 2 and all(task.owned for task in cluster.live()), within=200)
    assert "is not let go of within 120 s" in problems(cluster)[0]
    cluster.until(lambda: running(cluster, 2), within=60)


def test_a_sink_that_is_slow_is_no_stuck_shard() -> None:
    """Waiting for it is not cured by waiting for it elsewhere: nothing is done while the backlog is empty either."""
    cluster = deployed(2)
    for task in cluster.live():
        task.stuck.update({"s0", "s1", "s2"})
    cluster.advance(2 * PATIENCE.stuck_shard_s, step=1.0)
    assert problems(cluster) == []


def test_timers_begin_anew_with_a_new_leader() -> None:
    """Silence while nobody listened proves nothing; what was remembered of the shard is not forgotten."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 4)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=2))
    cluster.tick()
    cluster.until(lambda: running(cluster, 2))
    holder = next(task for task in cluster.live() if "s1" in task.owned)
    for task in cluster.live():
        task.stuck.add("s1")
    cluster.shards[JOB]["s1"].records += 500
    cluster.advance(PATIENCE.stuck_shard_s - 20, step=1.0)
    cluster.attach(store)
    cluster.advance(PATIENCE.stuck_shard_s - 20, step=1.0)
    assert "s1" in holder.owned
    cluster.advance(40, step=1.0)
    assert "s1" not in holder.owned
    cluster.attach(store)
    cluster.advance(2 * PATIENCE.stuck_shard_s - 20, step=1.0)
    assert len(problems(cluster)) == 1
    assert view(cluster).state is JobState.RUNNING
    assert not cluster.sent(Kill)
