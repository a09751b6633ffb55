"""What the scheduler shows: complete, consistent, and JSON as it stands."""

import threading

import msgspec
import pytest
from paper_cluster import ENGINES, SETTINGS, PaperCluster, job_spec, started
from test_loop_jobs import JOB, deployed, view

from headgate.adapters.clock import SystemClock
from headgate.adapters.memory_store import MemoryStore
from headgate.loop import Scheduler
from headgate.mailbox import Mailbox
from headgate.model.event import Disconnected, Subscribed
from headgate.model.ids import FrameworkId
from headgate.model.note import NoteKind
from headgate.model.record import JobState
from headgate.model.view import OfferCounters, View


def test_a_running_job_shows_its_workers_shards_and_progress() -> None:
    """Every number from the newest reports."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 4, records=10_000)
    started(cluster, job_spec(workers=2))
    cluster.advance(11)
    assert cluster.scheduler is not None
    whole = cluster.scheduler.view
    job = view(cluster)
    assert (job.state, job.workers_wished, job.workers_ready) == (JobState.RUNNING, 2, 2)
    assert [(worker.worker, worker.hostname, worker.shards) for worker in job.workers] == [
        (0, "a0.example", ("s0", "s2")),
        (1, "a0.example", ("s1", "s3")),
    ]
    assert {shard.worker for shard in job.shards} == {0, 1}
    assert all(shard.epoch == 1_000_000 + 1 for shard in job.shards)
    done = job.audit.records_in
    assert 15_000 < done < 21_000
    assert job.backlog_records == 40_000 - done
    assert all(shard.cost_s == pytest.approx(0.001, rel=0.01) for shard in job.shards)
    assert job.checkpoint_age_s is not None
    assert 1.0 <= job.checkpoint_age_s <= 3.25
    assert whole.offers == OfferCounters(received=2, accepted=1, declined=1)
    assert (whole.tasks.launched, whole.tasks.running) == (2, 2)
    assert whole.master.connected
    assert whole.master.reconciled
    assert [agent.tasks for agent in whole.agents] == [2, 0]
    assert whole.agents[0].offered.cpus_m == 2000


def test_a_view_is_json_and_comes_back() -> None:
    """What the API serves is this, and clients can read it into the same classes."""
    cluster = deployed(2)
    assert cluster.scheduler is not None
    cluster.end("delays.1.0.0")
    cluster.advance(1)
    whole = cluster.scheduler.view
    assert msgspec.json.decode(msgspec.json.encode(whole), type=View) == whole


def test_events_tell_the_story_in_order() -> None:
    """Of the scheduler and of the job."""
    cluster = deployed(1)
    assert cluster.scheduler is not None
    kinds = [note.kind for note in cluster.scheduler.view.events]
    assert kinds == [
        NoteKind.CONNECTED,
        NoteKind.SUBMITTED,
        NoteKind.LAUNCHED,
        NoteKind.RUNNING,
        NoteKind.ASSIGNED,
        NoteKind.ASSIGNED,
        NoteKind.STATE,
    ]
    times = [note.at for note in cluster.scheduler.view.events]
    assert times == sorted(times)


def test_history_survives_a_restart() -> None:
    """Of jobs; the scheduler's own begins anew."""
    cluster = PaperCluster(1)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec())
    cluster.advance(3)
    again = cluster.attach(store)
    assert [note.kind for note in again.view.events][:2] == [NoteKind.SUBMITTED, NoteKind.LAUNCHED]
    assert again.view.jobs[0].history == again.view.events


def test_a_job_that_is_over_still_shows_what_it_did() -> None:
    """Until it is submitted again."""
    cluster = deployed(1)
    assert cluster.scheduler is not None
    for shard in cluster.shards[JOB].values():
        shard.records = 100
    cluster.advance(10)
    cluster.scheduler.cancel(JOB)
    cluster.until(lambda: view(cluster).state is JobState.CANCELLED)
    job = view(cluster)
    assert job.workers == ()
    assert job.workers_wished == 0
    assert job.audit.records_in == 600
    assert job.records_per_s == 0.0


def test_a_slot_that_backs_off_shows_until_when() -> None:
    """With its last failure."""
    cluster = deployed(1)
    cluster.end("delays.1.0.0")
    cluster.advance(0.25)
    (worker,) = view(cluster).workers
    assert worker.task_id is None
    assert worker.backoff_until is not None
    assert worker.backoff_until > cluster.now
    assert (worker.failures, worker.last_failure) == (1, "TASK_FAILED")


def test_only_so_many_jobs_that_are_over_are_kept() -> None:
    """The oldest go, with all their records."""
    cluster = PaperCluster(0)
    store = MemoryStore()
    scheduler = cluster.attach(store)
    for number in range(53):
        scheduler.submit(job_spec(f"j{number}"))
    cluster.tick()
    for number in range(53):
        scheduler.cancel(job_spec(f"j{number}").name)
        cluster.now += 1
        cluster.tick()
    cluster.tick()
    assert [job.name for job in scheduler.view.jobs] == [f"j{number}" for number in range(3, 53)]
    assert len(store.load("jobs/")) == 50
    assert not store.load("workers/")


def test_run_ticks_on_events_and_stops() -> None:
    """In real time, on another thread: what is delivered is dealt with, commands are answered, stop ends it."""
    cluster = PaperCluster(0)
    cluster.connected = True
    scheduler = Scheduler(clock=SystemClock(), master=cluster, store=MemoryStore(), engines=ENGINES, settings=SETTINGS)
    stop = threading.Event()
    thread = threading.Thread(target=scheduler.run, args=(stop,))
    thread.start()
    try:
        scheduler.deliver(Subscribed(framework_id=FrameworkId("F-9"), master="paper:5050"))
        assert scheduler.submit(job_spec()).result(timeout=30).submission == 1
        assert scheduler.view.find_job(JOB) is not None
        scheduler.deliver(Disconnected(reason="enough"))
        assert scheduler.cancel(JOB).result(timeout=30).job == JOB
        assert scheduler.framework_id == "F-9"
    finally:
        stop.set()
        scheduler.wake()
        thread.join(timeout=30)
    assert not thread.is_alive()


def test_the_view_stays_young_though_nothing_comes() -> None:
    """A machine is lost, and with it everything that would have been heard: ages go on all the same."""
    scheduler = Scheduler(
        clock=SystemClock(), master=PaperCluster(0), store=MemoryStore(), engines=ENGINES, settings=SETTINGS
    )
    stop = threading.Event()
    thread = threading.Thread(target=scheduler.run, args=(stop,))
    thread.start()
    try:
        seen = {scheduler.view.ticks}
        for _ in range(1000):
            if len(seen) > 2:
                break
            seen.add(scheduler.view.ticks)
            stop.wait(0.01)
    finally:
        stop.set()
        scheduler.wake()
        thread.join(timeout=30)
    assert len(seen) > 2


class ClockSetBack:
    """The machine's, but the wall clock has been set back by an hour after the first look."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._looks = 0

    def now(self) -> float:
        self._looks += 1
        return self._real.now() - (3600 if self._looks > 3 else 0)

    def monotonic(self) -> float:
        return self._real.monotonic()


def test_run_goes_on_when_the_clock_is_set_back() -> None:
    """What is due comes, and not an hour later."""
    scheduler = Scheduler(
        clock=ClockSetBack(), master=PaperCluster(0), store=MemoryStore(), engines=ENGINES, settings=SETTINGS
    )
    stop = threading.Event()
    thread = threading.Thread(target=scheduler.run, args=(stop,))
    seen: set[float] = set()
    thread.start()
    try:
        for _ in range(2000):
            seen.add(scheduler.view.at)
            if len(seen) > 5:
                break
            scheduler.wake()
            stop.wait(0.01)
    finally:
        stop.set()
        scheduler.wake()
        thread.join(timeout=30)
    assert len(seen) > 5


def test_a_cancelled_promise_is_not_carried_out() -> None:
    """Whoever gave up waiting before it was looked at has not asked."""
    cluster = PaperCluster(0)
    scheduler = cluster.attach(MemoryStore())
    assert scheduler.submit(job_spec()).cancel()
    cluster.tick()
    assert scheduler.view.jobs == ()


def test_a_mailbox_waits_for_what_comes() -> None:
    """Nothing: until the time is up; something, or a poke: at once."""
    mailbox = Mailbox[int]()
    assert not mailbox.wait(0.0)
    mailbox.poke()
    assert mailbox.wait(60.0)
    mailbox.put(1)
    mailbox.put(2)
    assert mailbox.wait(60.0)
    assert mailbox.drain() == (1, 2)
    assert not mailbox.wait(0.0)
