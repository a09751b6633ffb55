"""Jobs from submission to their end, told on the paper cluster."""

from dataclasses import replace
from itertools import pairwise

import pytest
from paper_cluster import GIB, SETTINGS, PaperCluster, job_spec, started

from headgate.adapters.memory_store import MemoryStore
from headgate.core.commands import carry_out
from headgate.core.ledger import Ledger
from headgate.errors import BadJob, UnknownJob
from headgate.model.call import Accept, Decline, Kill, Revive, SendMessage, Suppress, UpdateFramework
from headgate.model.command import Submit
from headgate.model.ids import JobName, TaskId
from headgate.model.job import Checkpoint, Program, Restart, Workers
from headgate.model.record import JobState, Records
from headgate.model.resources import Request
from headgate.model.status import TaskState
from headgate.model.task import Stage
from headgate.model.view import JobView
from millstream.contract.assignment import Assignment
from millstream.contract.wire import decode
from millstream.contract.worker_spec import Until

JOB = JobName("delays")


def view(cluster: PaperCluster, name: str = JOB) -> JobView:
    assert cluster.scheduler is not None
    found = cluster.scheduler.view.find_job(name)
    assert found is not None
    return found


def running(cluster: PaperCluster, workers: int, *, name: str = JOB) -> bool:
    job = view(cluster, name)
    return (
        job.state is JobState.RUNNING
        and job.workers_ready == workers == len(cluster.live(name))
        and all(len(owners) == 1 for owners in cluster.owners(name).values())
    )


def deployed(workers: int, *, shards: int = 6, agents: int = 3, **changes: object) -> PaperCluster:
    """A cluster on which the job runs."""
    cluster = PaperCluster(agents)
    cluster.put_shards(JOB, shards)
    started(cluster, job_spec(workers=workers, **changes))
    cluster.until(lambda: running(cluster, workers))
    return cluster


def spread(cluster: PaperCluster) -> list[int]:
    return sorted(len(task.owned) for task in cluster.live(JOB))


def test_a_job_is_deployed_and_then_nothing_more_is_said() -> None:
    """One launch for all workers, one assignment each, offers suppressed, and quiet from then on."""
    cluster = deployed(2)
    assert spread(cluster) == [3, 3]
    cluster.advance(5)
    calls = len(cluster.calls)
    cluster.advance(120)
    assert len(cluster.calls) == calls
    assert [len(call.launches) for call in cluster.sent(Accept)] == [2]  # type: ignore[attr-defined]
    assert len(cluster.sent(SendMessage)) == 2
    assert cluster.suppressed == {"*"}
    assert not cluster.unacknowledged


def test_shards_wait_a_moment_for_workers_on_their_way() -> None:
    """At the first start nobody is given everything only to let go of it again."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 6)
    started(cluster, job_spec(workers=3))
    cluster.until(lambda: running(cluster, 3))
    assert spread(cluster) == [2, 2, 2]
    assert view(cluster).moves == 0


def test_workers_that_do_not_come_do_not_stop_the_others() -> None:
    """Two of six find no place; the four there share the shards within seconds."""
    cluster = PaperCluster(1, cpus=4)
    cluster.put_shards(JOB, 8)
    started(cluster, job_spec(workers=6))
    took = cluster.until(lambda: all(cluster.owners(JOB).values()))
    assert took < 10
    assert spread(cluster) == [2, 2, 2, 2]
    assert view(cluster).state is JobState.DEPLOYING


def test_a_failed_worker_is_replaced_and_its_shards_go_on_at_once() -> None:
    """The survivor takes them over with a higher epoch; the new attempt then gets its share back."""
    cluster = deployed(2)
    epochs = {name: shard.epoch for name, shard in cluster.shards[JOB].items()}
    victim = next(task for task in cluster.live() if task.id == "delays.1.0.0")
    lost = set(victim.owned)
    cluster.end(victim.id)
    cluster.advance(0.75)
    survivor = next(task for task in cluster.live() if task.id == "delays.1.1.0")
    assert lost <= set(survivor.owned)
    assert view(cluster).state is JobState.RECOVERING
    cluster.until(lambda: running(cluster, 2) and spread(cluster) == [3, 3])
    assert sorted(task.id for task in cluster.live()) == ["delays.1.0.1", "delays.1.1.0"]
    assert all(cluster.shards[JOB][name].epoch > epochs[name] for name in lost)
    assert view(cluster).restarts == 1


def test_a_crash_loop_backs_off_further_each_time_and_is_forgiven_in_the_end() -> None:
    """One, two, four, … seconds between attempts; a minute of health clears the slate."""
    cluster = deployed(1)
    gaps = []
    for _ in range(6):
        (task,) = cluster.live()
        cluster.end(task.id)
        begun = cluster.now
        cluster.until(lambda: bool(cluster.live()))
        gaps.append(cluster.now - begun)
        cluster.until(lambda: running(cluster, 1))
    assert all(later > 1.3 * earlier for earlier, later in pairwise(gaps[1:])), gaps
    assert 20 < gaps[-1] < 50
    assert view(cluster).workers[0].failures == 6
    cluster.advance(61)
    assert view(cluster).workers[0].failures == 0


def test_backoff_survives_the_scheduler() -> None:
    """A restart of the scheduler is no amnesty."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 2)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(restart=Restart(backoff_s=40.0)))
    cluster.until(lambda: cluster.scheduler is not None and bool(cluster.live()))
    cluster.advance(2)
    cluster.end("delays.1.0.0")
    cluster.advance(1)
    cluster.attach(store)
    cluster.advance(25)
    assert not cluster.live()
    assert "failed once" in (view(cluster).waiting or pytest.fail("does not wait")).text
    cluster.until(lambda: running(cluster, 1), within=30)


def test_a_job_gives_up_after_as_many_failures_as_it_allows() -> None:
    """It is FAILED with the reason, and its other workers are ended."""
    cluster = deployed(2, restart=Restart(backoff_s=0.5, give_up_after=3))
    for attempt in range(3):
        cluster.until(lambda attempt=attempt: f"delays.1.0.{attempt}" in cluster.tasks)  # type: ignore[misc]
        cluster.end(f"delays.1.0.{attempt}")
        cluster.advance(0.5)
    cluster.until(lambda: not cluster.live())
    assert view(cluster).state is JobState.FAILED
    assert "worker 0 failed 3 times" in (view(cluster).failure or "")
    cluster.advance(60)
    assert not cluster.live()


def test_a_finite_stream_ends_as_completed() -> None:
    """All shards known and finished: workers are drained, not killed, and the job is over."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 4, records=3000)
    cluster.complete.add(JOB)
    started(cluster, job_spec(workers=2, until=Until.END))
    cluster.until(lambda: view(cluster).state is JobState.COMPLETED)
    assert not cluster.live()
    assert {task.state for task in cluster.tasks.values()} == {TaskState.FINISHED}
    assert not cluster.sent(Kill)
    job = view(cluster)
    assert job.shards_finished == 4
    assert job.audit.records_in == 12000
    assert job.backlog_records == 0


def test_a_stream_without_shards_that_is_complete_ends_at_once() -> None:
    """An empty folder is a finite stream."""
    cluster = PaperCluster(1)
    cluster.complete.add(JOB)
    started(cluster, job_spec(until=Until.END))
    cluster.until(lambda: view(cluster).state is JobState.COMPLETED, within=15)


def test_an_endless_job_outlives_its_finished_shards() -> None:
    """`until: forever` waits for shards to come."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 2, records=500)
    cluster.complete.add(JOB)
    started(cluster, job_spec())
    cluster.until(lambda: view(cluster).shards_finished == 2)
    cluster.advance(60)
    assert view(cluster).state is JobState.RUNNING
    assert len(cluster.live()) == 1


def test_a_finished_shard_is_not_given_to_anybody_again() -> None:
    """Its owner dies, the others go on."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2, records=1000)
    cluster.shards[JOB]["s1"].records = 30000
    cluster.complete.add(JOB)
    started(cluster, job_spec(workers=2, until=Until.END))
    cluster.until(lambda: view(cluster).shards_finished == 1)
    owner = next(task for task in cluster.live() if "s0" in task.owned)
    epoch = cluster.shards[JOB]["s0"].epoch
    cluster.end(owner.id)
    cluster.until(lambda: view(cluster).state is JobState.COMPLETED)
    assert cluster.shards[JOB]["s0"].epoch == epoch


def test_new_shards_are_given_out_as_they_appear() -> None:
    """To the emptiest worker, without moving any other."""
    cluster = deployed(2, shards=2)
    cluster.put_shards(JOB, 4)
    for name in ("s0", "s1"):
        cluster.shards[JOB][name].epoch = 1_000_001
    cluster.until(lambda: running(cluster, 2) and len(cluster.owners(JOB)) == 4)
    assert spread(cluster) == [2, 2]
    assert view(cluster).moves == 0


def test_scaling_up_takes_shards_only_when_the_new_workers_are_there() -> None:
    """Every shard is in somebody's hands until the moment it moves."""
    cluster = deployed(1, shards=8)
    scheduler = cluster.scheduler
    assert scheduler is not None
    scheduler.scale(JOB, 4)
    cluster.start_s = 3.0
    cluster.advance(3)
    assert spread(cluster)[-1] == 8
    assert view(cluster).state is JobState.RESCALING
    cluster.until(lambda: running(cluster, 4) and spread(cluster) == [2, 2, 2, 2])
    assert view(cluster).moves == 6


def test_scaling_down_drains_the_highest_workers_after_their_shards_are_in_other_hands() -> None:
    """Nobody is killed, and no shard is without an owner when a worker ends."""
    cluster = deployed(4, shards=8)
    scheduler = cluster.scheduler
    assert scheduler is not None
    orphaned: list[str] = []

    def watch() -> None:
        for task in cluster.tasks.values():
            if task.state is TaskState.FINISHED:
                orphaned.extend(name for name, owners in cluster.owners(JOB).items() if not owners)

    cluster.watchers.append(watch)
    scheduler.scale(JOB, 2)
    cluster.until(lambda: running(cluster, 2))
    assert sorted(task.id for task in cluster.live()) == ["delays.1.0.0", "delays.1.1.0"]
    assert spread(cluster) == [4, 4]
    assert not orphaned
    assert not cluster.sent(Kill)


def test_a_shard_moves_only_after_its_owner_has_let_go() -> None:
    """The next owner's assignment names it only after a report without it, and one epoch up."""
    cluster = deployed(1, shards=2)
    assert cluster.scheduler is not None
    cluster.scheduler.scale(JOB, 2)
    old = next(iter(cluster.live()))
    old.deaf = True
    cluster.advance(20)
    assert spread(cluster) == [0, 2]
    new = next(task for task in cluster.live() if task is not old)
    assert new.seen is None
    old.deaf = False
    cluster.until(lambda: spread(cluster) == [1, 1])
    versions = [
        decode(call.data, Assignment).version  # type: ignore[attr-defined]
        for call in cluster.sent(SendMessage)
    ]
    assert versions == sorted(versions)


def test_a_shard_is_not_let_go_by_a_report_from_before_it_was_assigned() -> None:
    """The owner may still get that assignment, and claim: only a report that knows of the release counts."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2)
    started(cluster, job_spec(workers=1))
    cluster.until(lambda: len(cluster.live()) == 1)
    (old,) = cluster.live()
    old.deaf = True
    cluster.advance(3)
    assert {shard.worker for shard in view(cluster).shards} == {0}
    assert cluster.scheduler is not None
    cluster.scheduler.scale(JOB, 2)
    cluster.until(lambda: len(cluster.live()) == 2)
    cluster.advance(5)
    assert {shard.worker for shard in view(cluster).shards} == {0}
    old.deaf = False
    cluster.until(lambda: running(cluster, 2))
    assert spread(cluster) == [1, 1]


def test_nothing_is_taken_while_another_new_worker_is_on_its_way() -> None:
    """One comes three seconds after the other: every shard that moves does so once."""
    cluster = deployed(1, shards=9)
    assert cluster.scheduler is not None
    cluster.scheduler.scale(JOB, 3)
    cluster.until(lambda: len(cluster.live()) == 3)
    cluster.tasks[TaskId("delays.1.2.0")].launched_at += 3
    cluster.until(lambda: running(cluster, 3) and spread(cluster) == [3, 3, 3])
    assert view(cluster).moves == 6


def test_a_worker_is_not_drained_before_what_it_had_is_in_other_hands() -> None:
    """It has let go, and the next owner has not heard yet."""
    cluster = deployed(2, shards=4)
    assert cluster.scheduler is not None
    stays, goes = sorted(cluster.live(), key=lambda task: task.id)
    stays.deaf = True
    cluster.scheduler.scale(JOB, 1)
    cluster.advance(8)
    assert goes.owned == {}
    assert goes.live
    assert goes.seen is not None
    assert not goes.seen.drain
    stays.deaf = False
    cluster.until(lambda: running(cluster, 1))


def test_assignments_are_repeated_until_a_report_shows_them_seen() -> None:
    """About once a second, and then no more."""
    cluster = deployed(1, shards=1)
    assert cluster.scheduler is not None
    (task,) = cluster.live()
    task.deaf = True
    cluster.put_shards(JOB, 2)
    cluster.shards[JOB]["s0"].epoch = 1_000_001
    cluster.advance(2.5)
    before = len(cluster.sent(SendMessage))
    cluster.advance(5)
    assert 4 <= len(cluster.sent(SendMessage)) - before <= 6
    task.deaf = False
    cluster.until(lambda: running(cluster, 1))
    cluster.advance(3)
    before = len(cluster.sent(SendMessage))
    cluster.advance(10)
    assert len(cluster.sent(SendMessage)) == before


def test_an_epoch_that_is_shut_out_is_raised_until_it_holds() -> None:
    """The shard's log knows a claim far above ours: a store was lost, a checkpoint was not."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    cluster.shards[JOB]["s0"].epoch = 5_000_000
    started(cluster, job_spec())
    cluster.until(lambda: running(cluster, 1), within=60)
    assert cluster.shards[JOB]["s0"].epoch > 5_000_000
    assert any("its log has a higher one" in note.text for note in view(cluster).history)


def test_cancel_drains_and_ends() -> None:
    """Workers end themselves; a second cancel is too late."""
    cluster = deployed(2)
    assert cluster.scheduler is not None
    receipt = cluster.scheduler.cancel(JOB)
    cluster.until(lambda: view(cluster).state is JobState.CANCELLED)
    assert "being stopped" in receipt.result(timeout=0).text
    assert {task.state for task in cluster.tasks.values()} == {TaskState.FINISHED}
    late = cluster.scheduler.cancel(JOB)
    cluster.tick()
    with pytest.raises(UnknownJob, match="is cancelled"):
        late.result(timeout=0)


def test_cancel_kills_what_does_not_drain() -> None:
    """A minute's grace, then a kill; a worker that survives that has its executor ended."""
    cluster = deployed(2)
    assert cluster.scheduler is not None
    next(task for task in cluster.live() if task.id == "delays.1.0.0").deaf = True
    next(task for task in cluster.live() if task.id == "delays.1.1.0").hangs = True
    cluster.scheduler.cancel(JOB)
    cluster.advance(55)
    assert not cluster.sent(Kill)
    cluster.until(lambda: not cluster.live(), within=60)
    assert view(cluster).state is JobState.CANCELLED
    assert cluster.scheduler.view.tasks.strays_killed >= 1


def test_cancel_before_anything_runs() -> None:
    """No worker, no wait."""
    cluster = PaperCluster(0)
    scheduler = started(cluster, job_spec())
    scheduler.cancel(JOB)
    cluster.until(lambda: view(cluster).state is JobState.CANCELLED, within=2)


@pytest.mark.parametrize(
    ("store", "expected"),
    [
        (None, "goes on from its checkpoints: shards that are finished are not read again, new ones are"),
        ("/elsewhere", "it goes by its new checkpoint.store, whatever was read before"),
    ],
)
def test_submitting_a_completed_job_again_says_what_is_read(store: str | None, expected: str) -> None:
    ledger = Ledger(Records())
    first = carry_out(ledger, Submit(spec=job_spec()), {"millstream": lambda _: ()}, 1.0)
    assert first.text == "delays is submitted"
    ledger.jobs[JOB] = replace(ledger.jobs[JOB], state=JobState.COMPLETED)
    spec = replace(job_spec(), checkpoint=Checkpoint(store=store))
    assert expected in carry_out(ledger, Submit(spec=spec), {"millstream": lambda _: ()}, 2.0).text


def test_submitting_again_after_the_end_is_another_submission() -> None:
    """New task ids, and epochs above every one before."""
    cluster = deployed(1)
    scheduler = cluster.scheduler
    assert scheduler is not None
    refused = scheduler.submit(job_spec())
    cluster.tick()
    with pytest.raises(BadJob, match="a job named delays is running"):
        refused.result(timeout=0)
    scheduler.cancel(JOB)
    cluster.until(lambda: view(cluster).state is JobState.CANCELLED)
    again = scheduler.submit(job_spec())
    cluster.until(lambda: running(cluster, 1))
    assert again.result(timeout=0).text == "delays is submitted again and goes on from its checkpoints"
    assert [task.id for task in cluster.live()] == ["delays.2.0.0"]
    assert all(shard.epoch > 2_000_000 for shard in cluster.shards[JOB].values())


def test_another_submission_begins_with_an_empty_shard_table() -> None:
    """What was finished then says nothing of now."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 2, records=10)
    cluster.complete.add(JOB)
    scheduler = started(cluster, job_spec(until=Until.END))
    cluster.until(lambda: view(cluster).state is JobState.COMPLETED)
    scheduler.submit(job_spec(until=Until.END))
    cluster.tick()
    job = view(cluster)
    assert (job.state, job.shards, job.shards_complete, job.audit.records_in) == (JobState.DEPLOYING, (), False, 0)
    cluster.until(lambda: bool(cluster.live()))
    (worker,) = cluster.live()
    worker.deaf = True
    cluster.until(lambda: bool(view(cluster).shards))
    assert [(shard.audit, shard.checkpoint_at, shard.lag_s) for shard in view(cluster).shards] == [
        (None, None, None)
    ] * 2
    worker.deaf = False
    cluster.until(lambda: view(cluster).state is JobState.COMPLETED)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"engine": "spindle"}, "there is no engine 'spindle'; this scheduler has millstream"),
        ({"program": Program(file="p.py", object="stream")}, "not bundled"),
        ({"env": {"A": "x" * 300_000}}, "bytes as JSON"),
    ],
)
def test_a_job_that_cannot_run_is_refused(changes: dict[str, object], says: str) -> None:
    """With the reason, and nothing is recorded."""
    cluster = PaperCluster(1)
    scheduler = cluster.attach(MemoryStore())
    receipt = scheduler.submit(job_spec(**changes))  # type: ignore[arg-type]
    cluster.tick()
    with pytest.raises(BadJob, match=says):
        receipt.result(timeout=0)
    assert scheduler.view.jobs == ()


def test_scaling_is_held_to_the_jobs_bounds() -> None:
    """Too many, too few, no such job."""
    cluster = PaperCluster(1)
    scheduler = started(cluster, job_spec(workers=Workers(min=2, max=4, initial=2)))
    for workers in (1, 5):
        receipt = scheduler.scale(JOB, workers)
        cluster.tick()
        with pytest.raises(BadJob, match=f"{workers} is not within 2…4"):
            receipt.result(timeout=0)
    unknown = scheduler.scale(JobName("nobody"), 2)
    cluster.tick()
    with pytest.raises(UnknownJob, match="known: delays"):
        unknown.result(timeout=0)


def test_a_person_pins_the_number_of_workers_and_lets_go_of_it() -> None:
    """The policy says that it is held."""
    cluster = deployed(1)
    scheduler = cluster.scheduler
    assert scheduler is not None
    scheduler.scale(JOB, 2)
    cluster.until(lambda: running(cluster, 2))
    scaling = view(cluster).scaling
    assert scaling is not None
    assert scaling.pinned
    scheduler.scale(JOB, None)
    cluster.tick()
    scaling = view(cluster).scaling
    assert scaling is not None
    assert not scaling.pinned


def test_offers_flow_only_while_something_is_wanted() -> None:
    """Revived once per want, suppressed once it is met; unneeded offers refused for long."""
    cluster = deployed(1)
    cluster.advance(5)
    flows = [type(call) for call in cluster.calls if isinstance(call, Revive | Suppress)]
    assert flows == [Revive, Suppress]
    cluster.end("delays.1.0.0")
    cluster.until(lambda: running(cluster, 1))
    cluster.advance(5)
    flows = [type(call) for call in cluster.calls if isinstance(call, Revive | Suppress)]
    assert flows == [Revive, Suppress, Revive, Suppress]
    assert {call.refuse_s for call in cluster.sent(Decline)} == {600.0}  # type: ignore[attr-defined]


def test_a_suppression_that_did_not_take_is_repeated() -> None:
    """An offer proves it."""
    cluster = deployed(1)
    cluster.advance(5)
    before = len(cluster.sent(Suppress))
    cluster.suppressed.clear()
    cluster.filters.clear()
    cluster.advance(5)
    assert len(cluster.sent(Suppress)) == before + 1
    assert not cluster.offers


def test_a_job_that_fits_nowhere_says_what_would_make_it_fit() -> None:
    """In words and as data; and a smaller job is not kept waiting by it."""
    cluster = PaperCluster(2, cpus=4)
    scheduler = started(cluster, job_spec(worker=Request(cpus_m=1000, mem_m=9 * GIB)))
    cluster.advance(10)
    waiting = view(cluster).waiting
    assert waiting is not None
    assert waiting.text == (
        "worker 0 waits: none of 2 known agents fits (2 mem); nearest is a0.example: "
        "mem: wants 9GiB, 8GiB free; can never fit: mem: wants 9GiB, the largest agent known has 8GiB; "
        "fits if mem ≤ 8GiB"
    )
    assert waiting.remedy == "mem ≤ 8GiB"
    assert waiting.since == pytest.approx(cluster.now - 10)
    assert [note.text for note in view(cluster).history][-1] == (
        "can never fit: mem: wants 9GiB, the largest agent known has 8GiB"
    )
    cluster.put_shards("small", 1)
    scheduler.submit(job_spec("small"))
    cluster.tick()
    cluster.until(lambda: running(cluster, 1, name="small"), within=10)


def test_a_job_without_agents_says_so() -> None:
    """And since when."""
    cluster = PaperCluster(0)
    started(cluster, job_spec(workers=2))
    cluster.advance(7)
    waiting = view(cluster).waiting
    assert waiting is not None
    assert waiting.text == "2 workers wait: no agent has been offered yet"


def test_gpu_agents_are_left_to_gpu_work() -> None:
    """The capability is announced only while it is wanted, and a job without need of GPUs goes elsewhere."""
    cluster = PaperCluster(1, cpus=2)
    cluster.add_agent("gpu", cpus=8, gpus=2)
    cluster.put_shards(JOB, 1)
    cluster.put_shards("cpu", 1)
    worker = Request(cpus_m=1000, mem_m=GIB, gpus_m=1000)
    scheduler = started(cluster, job_spec(worker=worker), job_spec("cpu"))
    cluster.until(lambda: running(cluster, 1) and running(cluster, 1, name="cpu"))
    assert {task.job: task.launch.agent_id for task in cluster.live()} == {"delays": "gpu", "cpu": "a0"}
    scheduler.cancel(JOB)
    cluster.until(lambda: view(cluster).state is JobState.CANCELLED)
    cluster.advance(SETTINGS.patience.constrain_s)
    wanted = ["GPU_RESOURCES" in call.framework.capabilities for call in cluster.sent(UpdateFramework)]  # type: ignore[attr-defined]
    assert wanted == [True, False]


def test_roles_are_announced_as_jobs_need_them() -> None:
    """And offers of each flow for itself."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    started(cluster, job_spec(role="streaming"))
    cluster.until(lambda: running(cluster, 1))
    assert cluster.roles == ("*", "streaming")
    assert [task.launch.role for task in cluster.live()] == ["streaming"]
    cluster.advance(3)
    assert cluster.suppressed == {"*", "streaming"}


def test_the_stage_of_every_worker_shows() -> None:
    """Draining workers say why."""
    cluster = deployed(2)
    assert cluster.scheduler is not None
    for task in cluster.live():
        task.deaf = True
    cluster.scheduler.cancel(JOB)
    cluster.tick()
    workers = view(cluster).workers
    assert {worker.stage for worker in workers} == {Stage.DRAINING}
    assert {worker.why for worker in workers} == {"the job is cancelling"}
