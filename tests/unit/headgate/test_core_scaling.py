"""The scaling policy: each guard by itself, and the closed loop on the paper cluster."""

from dataclasses import replace

import pytest
from paper_cluster import PaperCluster, job_spec, started

from headgate.core.measure import Gauges
from headgate.core.scaling import ScalingDecision, decide_workers
from headgate.model.ids import JobName, ShardId, TaskId
from headgate.model.job import JobSpec, Workers
from headgate.model.measurements import ShardLoad
from headgate.model.record import JobRecord, JobState, ScalingAction, ScalingMemory
from headgate.model.settings import Measuring
from headgate.model.view import JobView
from millstream.contract.report import KnownShard, Report, ShardReport, ShardState

NOW = 5000.0
MEASURING = Measuring()
SPEC = job_spec(workers=Workers(min=1, max=8, initial=2))
JOB = JobRecord(spec=SPEC, submission=1, submitted_at=0.0, state=JobState.RUNNING, workers=2)


def loads(count: int = 8, **changes: object) -> dict[ShardId, ShardLoad]:
    """Shards alike, on two workers: 250 records a second each at a millisecond, nothing waiting."""
    found = {}
    for number in range(count):
        shard = ShardId(f"s{number}")
        load = ShardLoad(
            shard=shard,
            at=NOW,
            owner=TaskId(f"t{number % 2}"),
            span_s=60.0,
            arrivals_per_s=250.0,
            cost_s=0.001,
            rate_per_s=250.0,
            backlog_records=0,
        )
        found[shard] = replace(load, **changes)  # type: ignore[arg-type]
    return found


def decided(job: JobRecord, given: dict[ShardId, ShardLoad], now: float = NOW) -> ScalingDecision:
    return decide_workers(job, sorted(given), given, MEASURING, now)


def risen(job: JobRecord = JOB, *, by: float = 20.0) -> JobRecord:
    return replace(job, scaling=replace(job.scaling, up_since=NOW - by))


def scaling(**changes: object) -> JobSpec:
    return replace(SPEC, scaling=replace(SPEC.scaling, **changes))  # type: ignore[arg-type]


def test_up_after_it_has_lasted() -> None:
    """Two cores of work for two workers: first it is remembered since when, then acted upon."""
    first = decided(JOB, loads())
    assert first.workers == 2
    assert first.memory.up_since == NOW
    assert "to see whether it lasts" in first.view.verdict
    then = decided(risen(), loads())
    assert then.workers == 4
    assert then.memory == ScalingMemory(changed_at=NOW, actions=(ScalingAction(at=NOW, up=True),))
    assert then.view.verdict == "up from 2 to 4: 2000 records/s arrive, 0 wait"


def test_up_at_once_when_the_backlog_is_worth_three_times_the_time_to_catch_up() -> None:
    """Bursts must not wait."""
    assert decided(JOB, loads(backlog_records=250 * 361)).workers > 2
    assert decided(JOB, loads(backlog_records=250 * 300)).workers == 2


def test_within_the_band_nothing_is_done() -> None:
    """A little over the target is no reason."""
    given = loads(arrivals_per_s=200.0, rate_per_s=200.0)
    decision = decided(risen(), given)
    assert decision.view.best == 3
    assert decision.workers == 2
    assert decision.view.verdict == "right at 2"


@pytest.mark.parametrize(
    ("job", "given", "says"),
    [
        (replace(JOB, spec=scaling(enabled=False)), loads(), "off: scaling.enabled is false"),
        (replace(JOB, scaling=ScalingMemory(pinned=True)), loads(), "a person set 2 workers"),
        (replace(risen(), state=JobState.RECOVERING), loads(), "the job is recovering"),
        (risen(), {**loads(), ShardId("s1"): loads(at=NOW - 11)[ShardId("s1")]}, "no fresh metrics of shard s1"),
        (risen(), loads(span_s=2.0), "no fresh metrics of shards s0, s1, s2 and 5 more"),
        (risen(), loads(cost_s=None), "the cost of a record is not measured yet"),
        (risen(), loads(blocked=0.4, rate_per_s=140.0), "8 of 8 shards wait for the sink"),
        (replace(JOB, scaling=ScalingMemory(up_since=NOW - 60, changed_at=NOW - 20)), loads(), "cooling down for 10 s"),
    ],
)
def test_what_holds_it_back(job: JobRecord, given: dict[ShardId, ShardLoad], says: str) -> None:
    """Each guard by its name, and the number stays."""
    decision = decided(job, given)
    assert decision.workers == 2
    assert says in decision.view.verdict


def test_a_shard_without_a_load_at_all_holds_it_back() -> None:
    """No news is not zero."""
    given = loads()
    decision = decide_workers(risen(), [*sorted(given), ShardId("s9")], given, MEASURING, NOW)
    assert decision.workers == 2
    assert "no fresh metrics of shard s9" in decision.view.verdict


def test_an_idle_shard_has_the_cost_of_the_others() -> None:
    """And none of its own to wait for."""
    given = loads()
    given[ShardId("s0")] = replace(given[ShardId("s0")], cost_s=None, arrivals_per_s=0.0, rate_per_s=0.0)
    assert decided(risen(), given).workers == 4


def test_going_that_takes_longer_than_staying_is_refused() -> None:
    """A backlog that two workers clear in seconds is not worth a handover of a minute."""
    job = risen(replace(JOB, spec=scaling(handover_s=60.0, catch_up_s=5.0)))
    decision = decided(job, loads(arrivals_per_s=100.0, rate_per_s=100.0, backlog_records=2500))
    assert decision.view.best is not None
    assert decision.view.best > 2
    assert decision.workers == 2
    assert "staying clears the backlog in" in decision.view.verdict


def test_down_after_the_delay_to_the_most_that_was_asked_for() -> None:
    """Each low reading is remembered with its number; the highest of them counts; by six tenths at most at a time."""
    job = replace(JOB, workers=6)
    low = loads(arrivals_per_s=60.0, rate_per_s=60.0)
    first = decided(job, low)
    assert (first.workers, first.memory.down_since, first.memory.down_to) == (6, NOW, 1)
    middling = loads(arrivals_per_s=120.0, rate_per_s=120.0)
    second = decided(
        replace(job, scaling=first.memory), {k: replace(v, at=NOW + 60) for k, v in middling.items()}, NOW + 60
    )
    assert second.memory.down_to == 2
    third = decided(
        replace(job, scaling=second.memory), {k: replace(v, at=NOW + 120) for k, v in low.items()}, NOW + 120
    )
    assert third.workers == 3
    assert third.memory == ScalingMemory(changed_at=NOW + 120, actions=(ScalingAction(at=NOW + 120, up=False),))
    assert third.view.verdict.startswith("down from 6 to 3")


def test_never_down_while_there_is_backlog() -> None:
    """First it is cleared: a minute of arrivals is the limit."""
    job = replace(JOB, workers=8, scaling=ScalingMemory(down_since=NOW - 500, down_to=1))
    busy = loads(arrivals_per_s=20.0, rate_per_s=60.0, backlog_records=20 * 61)
    decision = decided(job, busy)
    assert decision.workers == 8
    assert "first the backlog is cleared" in decision.view.verdict
    assert decision.memory.down_since is None


def test_nothing_to_do_at_all_goes_down_to_the_least() -> None:
    """Idle is no utilisation within the band."""
    job = replace(JOB, workers=2, scaling=ScalingMemory(down_since=NOW - 500, down_to=1))
    assert decided(job, loads(arrivals_per_s=0.0, rate_per_s=0.0)).workers == 1


def test_a_hot_shard_is_named() -> None:
    """One that exceeds a worker: others cannot help it."""
    given = loads()
    given[ShardId("s3")] = replace(given[ShardId("s3")], arrivals_per_s=900.0, rate_per_s=900.0)
    assert decided(JOB, given).view.hot_shard == "s3"
    assert decided(JOB, loads()).view.hot_shard is None


def test_a_rate_limit_is_a_capacity() -> None:
    """Records that cost next to nothing, held to a hundred a second and worker: workers are what helps."""
    spec = replace(SPEC, rate_limit=1000.0)
    given = loads(cost_s=1e-6, arrivals_per_s=300.0, rate_per_s=250.0)
    assert decided(risen(replace(JOB, spec=spec)), given).workers == 4
    assert decided(risen(), given).workers == 2


def test_a_worker_that_drains_and_is_not_busy_costs_more_than_it_says() -> None:
    """Waiting for other services is in no busy second; the rate seen is all it can do."""
    given = loads(cost_s=1e-5, arrivals_per_s=200.0, rate_per_s=150.0, backlog_records=200 * 100)
    assert decided(JOB, given).view.best == 8
    assert decided(JOB, loads(cost_s=1e-5, arrivals_per_s=200.0, rate_per_s=200.0)).view.best == 1


def report(sequence: int, *, records: int, busy_s: float, end: int, epoch: int = 1) -> Report:
    owned = ShardReport(
        shard="s0",
        epoch=epoch,
        state=ShardState.RUNNING,
        records=records,
        busy_s=busy_s,
        blocked_s=busy_s / 4,
        end_records=end,
        backlog_records=end - records,
    )
    return Report(
        job="delays",
        worker=0,
        task_id="t",
        sequence=sequence,
        assignment_version=1,
        revision="ab",
        owned=(owned,),
        known=(KnownShard(shard="s0", end_records=end), KnownShard(shard="s1", end_records=end * 2)),
    )


def test_reports_become_loads() -> None:
    """Growth of the end, busy seconds per record, what waits; also of a shard nobody owns."""
    gauges = Gauges()
    for number in range(11):
        gauges.hear(
            report(number + 1, records=200 * number, busy_s=0.4 * number, end=300 * number + 50),
            TaskId("t"),
            NOW + 2 * number,
            MEASURING,
        )
    found = gauges.loads([(ShardId("s0"), TaskId("t")), (ShardId("s1"), None), (ShardId("s2"), None)], MEASURING)
    owned, free = found[ShardId("s0")], found[ShardId("s1")]
    assert set(found) == {"s0", "s1"}
    assert owned.arrivals_per_s == pytest.approx(150.0)
    assert owned.rate_per_s == pytest.approx(100.0)
    assert owned.cost_s == pytest.approx(0.002)
    assert owned.blocked == pytest.approx(0.05)
    assert owned.backlog_records == 1050
    assert owned.span_s == 20.0
    assert free.arrivals_per_s == pytest.approx(300.0)
    assert free.owner is None


def test_counters_of_another_attempt_start_the_window_anew() -> None:
    """No negative rates; the cost of a record is remembered."""
    gauges = Gauges()
    for number in range(6):
        gauges.hear(
            report(number + 1, records=1000 * number, busy_s=2.0 * number, end=10_000),
            TaskId("t"),
            NOW + 2 * number,
            MEASURING,
        )
    gauges.hear(report(1, records=10, busy_s=0.1, end=10_000, epoch=2), TaskId("u"), NOW + 12, MEASURING)
    load = gauges.loads([(ShardId("s0"), TaskId("u"))], MEASURING)[ShardId("s0")]
    assert load.span_s == 0.0
    assert load.rate_per_s == 0.0
    assert load.cost_s == pytest.approx(0.002)
    assert gauges.loads([(ShardId("s0"), TaskId("t"))], MEASURING) == {}


def view(cluster: PaperCluster) -> JobView:
    assert cluster.scheduler is not None
    (job,) = cluster.scheduler.view.jobs
    return job


def changes(cluster: PaperCluster, seconds: float) -> list[int]:
    """The numbers of workers wished over a time, each change once."""
    found = [view(cluster).workers_wished]
    for _ in range(round(seconds)):
        cluster.advance(1)
        if view(cluster).workers_wished != found[-1]:
            found.append(view(cluster).workers_wished)
    return found


def test_the_closed_loop_finds_the_number_and_holds_it() -> None:
    """2,000 records a second at a thousand per worker: four (for the target), and then quiet."""
    cluster = PaperCluster(3)
    cluster.put_shards(JobName("delays"), 8, arrivals_per_s=250)
    started(cluster, job_spec(workers=Workers(min=1, max=8, initial=1)))
    assert changes(cluster, 60)[-1] == 4
    assert changes(cluster, 900) == [4]
    assert (view(cluster).backlog_records or 0) < 3000


def test_the_closed_loop_goes_down_when_the_stream_dries_up() -> None:
    """Step by step to the least, each after its delay, and a burst brings it up again."""
    cluster = PaperCluster(3)
    cluster.put_shards(JobName("delays"), 8, arrivals_per_s=250)
    started(cluster, job_spec(workers=Workers(min=1, max=8, initial=4)))
    assert changes(cluster, 200) == [4]
    for shard in cluster.shards["delays"].values():
        shard.arrivals_per_s = 5
    found = changes(cluster, 600)
    assert found[-1] == 1
    assert found == sorted(found, reverse=True)
    for shard in cluster.shards["delays"].values():
        shard.records += 100_000
    found = changes(cluster, 60)
    assert found[-1] == 8
    assert len(found) == 2


def test_nothing_is_scaled_right_after_a_failover() -> None:
    """The new scheduler has no window yet: it holds until it has."""
    from headgate.adapters.memory_store import MemoryStore

    cluster = PaperCluster(3)
    cluster.put_shards(JobName("delays"), 8, arrivals_per_s=250)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=Workers(min=1, max=8, initial=4)))
    cluster.tick()
    changes(cluster, 100)
    cluster.attach(store)
    cluster.advance(4)
    scaling_view = view(cluster).scaling
    assert scaling_view is not None
    assert scaling_view.verdict.startswith("held:")
    assert changes(cluster, 300) == [4]
