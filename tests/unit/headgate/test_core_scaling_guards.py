"""What keeps the scaling policy from doing harm: each guard, with the trouble that others had without it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from paper_cluster import PaperCluster, job_spec, started
from test_core_scaling import JOB, MEASURING, NOW, SPEC, changes, decided, loads, risen, view

from headgate.core.demand import best_workers
from headgate.core.scaling import decide_workers
from headgate.core.scaling_damping import ACTIONS_MAX, SPAN_S, damped_down, damped_up, gain, remembered
from headgate.core.scaling_effect import REMEMBERED_S, effect
from headgate.errors import BadJob
from headgate.model.ids import JobName, ShardId
from headgate.model.job import Workers
from headgate.model.record import Saturation, ScalingAction, ScalingMemory, ScalingTrial

NAME = JobName("delays")


def acted(*ups: bool, at: float = NOW - 600) -> tuple[ScalingAction, ...]:
    return tuple(ScalingAction(at=at, up=up) for up in ups)


@pytest.mark.parametrize(
    ("up", "down", "expected"), [(6, 0, 1.0), (5, 1, 0.579), (3, 3, 0.125), (0, 6, 1.0), (1, 5, 0.579), (1, 1, 1.0)]
)
def test_the_gain_is_the_majoritys_share_to_the_third(up: int, down: int, expected: float) -> None:
    """Mantis fad8d01a: a scaler that went back and forth; few changes are no swinging."""
    assert gain(acted(*[True] * up, *[False] * down), NOW) == pytest.approx(expected, abs=5e-4)


def test_changes_are_forgotten_after_an_hour_and_only_so_many_are_kept() -> None:
    """The record does not grow."""
    swinging = acted(True, False, True, False)
    assert gain(swinging, NOW) == 0.125
    assert gain(swinging, NOW - 600 + SPAN_S) == 1.0
    actions: tuple[ScalingAction, ...] = ()
    for number in range(40):
        actions = remembered(actions, NOW + number, up=bool(number % 2))
    assert len(actions) == ACTIONS_MAX
    assert actions[-1] == ScalingAction(at=NOW + 39, up=True)
    assert remembered(actions, NOW + 39 + SPAN_S, up=True) == (ScalingAction(at=NOW + 39 + SPAN_S, up=True),)


@pytest.mark.parametrize(
    ("workers", "best", "swings", "up_to"), [(2, 10, 0, 10), (2, 10, 4, 3), (2, 30, 4, 6), (5, 6, 4, 6)]
)
def test_damped_steps_up_are_smaller_and_never_none(workers: int, best: int, swings: int, up_to: int) -> None:
    """Work that is not done piles up."""
    actions = acted(*[bool(number % 2) for number in range(swings)])
    assert damped_up(workers, best, actions, NOW) == up_to


@pytest.mark.parametrize(
    ("workers", "target", "swings", "down_to"),
    [(10, 4, 0, 4), (10, 1, 0, 4), (100, 1, 0, 40), (2, 1, 0, 1), (10, 4, 4, 10), (40, 16, 4, 37), (1, 1, 0, 1)],
)
def test_steps_down_are_capped_and_damped(workers: int, target: int, swings: int, down_to: int) -> None:
    """Heron #1422: one wrong number must not take nearly everything away; by six tenths at most, as with Flink."""
    actions = acted(*[bool(number % 2) for number in range(swings)])
    assert damped_down(workers, target, actions, NOW) == down_to


def test_a_policy_that_swings_holds_its_number_and_says_why() -> None:
    """Down is not urgent: it waits until the hour is over."""
    memory = ScalingMemory(down_since=NOW - 500, down_to=1, actions=acted(True, False, True, False))
    job = replace(JOB, workers=4, scaling=memory)
    low = loads(arrivals_per_s=60.0, rate_per_s=60.0)
    decision = decided(job, low)
    assert decision.workers == 4
    assert "has gone up and down too often within the hour" in decision.view.verdict
    later = {shard: replace(load, at=NOW + SPAN_S) for shard, load in low.items()}
    assert decided(replace(job, scaling=decision.memory), later, NOW + SPAN_S).workers == 2


def test_a_burst_is_not_damped() -> None:
    """A backlog worth three times the time to catch up must not wait for calm."""
    job = replace(JOB, scaling=ScalingMemory(actions=acted(True, False, True, False)))
    assert decided(job, loads(backlog_records=250 * 361)).workers == 8
    eager = replace(risen(job), scaling=replace(job.scaling, up_since=NOW - 20))
    assert decided(eager, loads()).workers == 3


def test_a_backlog_that_more_workers_did_not_shrink_faster_takes_them_back() -> None:
    """KEDA #7092: scaling out made the database slower, and the answer to that was to scale out more."""
    trial = ScalingTrial(at=NOW - 100, workers=2, rate_per_s=2000.0)
    job = replace(JOB, workers=6, scaling=ScalingMemory(trial=trial, changed_at=NOW - 100))
    worse = loads(rate_per_s=150.0, backlog_records=100_000)
    decision = decided(job, worse)
    assert decision.workers == 2
    assert decision.view.verdict == (
        "back from 6 to 2: more workers did not help: 2000 records/s with 2 workers, 1200 with 6"
    )
    assert decision.memory.saturation == Saturation(workers=2, until=NOW + REMEMBERED_S, times=1)
    held = decided(replace(job, workers=2, scaling=decision.memory), loads(backlog_records=250 * 3610))
    assert held.workers == 2
    assert held.view.verdict == "held at 2: more did not help, for 3600 s more"


def test_nothing_is_learned_from_numbers_that_are_not_whole() -> None:
    """In a disaster, a restart, or while a shard fails, less is done for another reason, and nothing is scaled down."""
    trial = ScalingTrial(at=NOW - 100, workers=2, rate_per_s=2000.0)
    job = replace(JOB, workers=6, scaling=ScalingMemory(trial=trial, changed_at=NOW - 100))
    given = loads(rate_per_s=150.0, backlog_records=100_000)
    decision = decide_workers(job, sorted(given), given, MEASURING, NOW, no_down="a restart is under way")
    assert decision.workers >= 6
    assert decision.memory.saturation is None
    assert decision.memory.trial != trial


def test_more_of_the_same_is_held_and_forgotten_after_an_hour() -> None:
    """Numaflow #136: it kept adding past the bottleneck."""
    trial = ScalingTrial(at=NOW - 100, workers=2, rate_per_s=2000.0)
    job = replace(JOB, workers=4, scaling=ScalingMemory(trial=trial, changed_at=NOW - 100))
    given = loads(rate_per_s=255.0, backlog_records=250 * 400)
    decision = decided(job, given)
    assert decision.workers == 4
    assert decision.view.verdict == "held at 4: more did not help, for 3600 s more"
    later = {shard: replace(load, at=NOW + REMEMBERED_S + 1) for shard, load in given.items()}
    assert decided(replace(job, scaling=decision.memory), later, NOW + REMEMBERED_S + 1).workers == 8


@pytest.mark.parametrize(("times", "remembered_s"), [(0, 1), (1, 2), (2, 4), (9, 24), (5000, 24)])
def test_it_is_remembered_longer_each_time(times: int, remembered_s: float) -> None:
    """An hour, two, four … a day."""
    before = Saturation(workers=4, until=NOW - 1, times=times) if times else None
    trial = ScalingTrial(at=NOW - 100, workers=4, rate_per_s=1000.0)
    came = effect(trial, 8, 1000.0, backlogged=True, before=before, now=NOW)
    assert came.saturation == Saturation(workers=8, until=NOW + remembered_s * REMEMBERED_S, times=times + 1)
    assert came.back_to is None


@pytest.mark.parametrize(
    ("rate", "backlogged", "helped"),
    [(1900.0, True, True), (1110.0, True, True), (1090.0, True, False), (500.0, False, True), (940.0, True, False)],
)
def test_what_counts_as_help(rate: float, backlogged: bool, helped: bool) -> None:
    """A tenth of what was expected; or that the backlog is gone, whatever the rate is then."""
    trial = ScalingTrial(at=NOW - 100, workers=4, rate_per_s=1000.0)
    came = effect(trial, 8, rate, backlogged=backlogged, before=None, now=NOW)
    assert (came.saturation is None) == helped
    assert (came.back_to == 4) == (rate == 940.0)


def test_a_trial_is_judged_when_the_window_holds_only_what_came_after() -> None:
    """Not while the rates of before are still in it; nor is one more step taken before that can be told."""
    trial = ScalingTrial(at=NOW - 79, workers=2, rate_per_s=2000.0)
    job = replace(JOB, workers=6, scaling=ScalingMemory(trial=trial, changed_at=NOW - 79))
    decision = decided(job, loads(rate_per_s=150.0, backlog_records=100_000))
    assert decision.workers == 6
    assert "are given time to show what they do" in decision.view.verdict
    assert decision.memory.trial == trial
    cleared = loads(arrivals_per_s=900.0, rate_per_s=900.0)
    assert decided(replace(risen(job), scaling=replace(job.scaling, up_since=NOW - 20)), cleared).workers == 8


def test_only_workers_added_for_a_backlog_are_tried() -> None:
    """Without one, what is processed is what arrives, which says nothing."""
    assert decided(risen(), loads()).memory.trial is None
    burst = decided(JOB, loads(backlog_records=250 * 361)).memory.trial
    assert burst == ScalingTrial(at=NOW, workers=2, rate_per_s=2000.0)


def test_a_stuck_shard_does_not_ask_for_workers() -> None:
    """KEDA's persistent lag, and rule g: a partition that nobody gets on with, however many workers there are."""
    given = loads(arrivals_per_s=60.0, rate_per_s=60.0, grown_at=NOW)
    stuck = ShardId("s3")
    given[stuck] = replace(given[stuck], rate_per_s=0.0, arrivals_per_s=900.0, backlog_records=10**6, grown_at=NOW - 61)
    decision = decided(risen(), given)
    assert decision.workers == 2
    assert decision.view.stuck_shards == ("s3",)
    assert stuck not in decision.demands
    given[stuck] = replace(given[stuck], grown_at=NOW - 59)
    assert decided(risen(), given).view.stuck_shards == ()


@pytest.mark.parametrize(
    "changed",
    [{"blocked": 0.9}, {"backlog_records": 0}, {"owner": None}, {"at": NOW - 11}],
    ids=["waits for its sink", "has nothing to do", "has no owner", "has no fresh numbers"],
)
def test_what_is_not_stuck(changed: dict[str, object]) -> None:
    """Each for its own reason has processed nothing for a while."""
    given = loads(grown_at=NOW - 500, backlog_records=100, rate_per_s=0.0)
    given = {shard: replace(load, **changed) for shard, load in given.items()}  # type: ignore[arg-type]
    assert decided(risen(), given).view.stuck_shards == ()


def test_if_no_shard_gets_on_the_number_stays() -> None:
    """All stuck is no measurement of anything."""
    given = loads(grown_at=NOW - 500, backlog_records=100, rate_per_s=0.0)
    decision = decided(risen(), given)
    assert decision.workers == 2
    assert decision.view.verdict == "held: no shard gets on: s0, s1, s2"


def test_no_more_workers_than_shards_with_work() -> None:
    """Numaflow #1529, KEDA #3997: more workers than partitions with lag, and a rebalance with each of them."""
    assert best_workers([0.9, 0.9, 0.0, 0.0, 0.0, 0.0], cores=0.5, lowest=1, highest=50) == 2
    assert best_workers([0.9] * 6, cores=0.5, lowest=1, highest=50) == 6


def test_a_scaler_that_only_repeats_itself_says_nothing_more() -> None:
    """Mantis #773: a storm of updates for one and the same number: unchanged records are no write and no note."""
    cluster = PaperCluster(3)
    cluster.put_shards(NAME, 8, arrivals_per_s=250)
    started(cluster, job_spec(workers=Workers(min=1, max=8, initial=4)))
    changes(cluster, 300)
    calls, notes = len(cluster.calls), len(view(cluster).history)
    assert changes(cluster, 600) == [4]
    assert (len(cluster.calls), len(view(cluster).history)) == (calls, notes)


def test_what_a_person_set_is_counted_from_when_the_policy_is_let_go_on() -> None:
    """Mantis #728: while scaling was off the wrong number was remembered, and restored."""
    cluster = PaperCluster(3)
    cluster.put_shards(NAME, 8, arrivals_per_s=250)
    scheduler = started(cluster, job_spec(workers=Workers(min=1, max=8, initial=4)))
    changes(cluster, 100)
    scheduler.scale(NAME, 6)
    cluster.tick()
    assert changes(cluster, 300) == [6]
    scheduler.scale(NAME, None)
    cluster.tick()
    assert changes(cluster, 100) == [6]
    assert changes(cluster, 200) == [6, 4]


def test_a_fat_finger_is_refused() -> None:
    """Heron #1422: a number beyond the job's own bounds changes nothing."""
    cluster = PaperCluster(2)
    cluster.put_shards(NAME, 2)
    scheduler = started(cluster, job_spec(workers=Workers(min=1, max=8, initial=1)))
    receipt = scheduler.scale(NAME, 1000)
    cluster.tick()
    with pytest.raises(BadJob, match="1000 is not within 1…8"):
        receipt.result(timeout=0)
    assert view(cluster).workers_wished == 1


def test_a_failing_shard_and_a_restart_hold_scaling_down() -> None:
    """What it costs is not known while it fails: numbers that were not whole made Flink scale down (FLINK-39925)."""
    cluster = PaperCluster(3)
    cluster.put_shards(NAME, 8, arrivals_per_s=20)
    started(cluster, job_spec(workers=Workers(min=1, max=8, initial=4)))
    cluster.advance(90, step=1.0)
    victim = cluster.live()[0]
    victim.problem = "the store does not answer"
    assert changes(cluster, 300) == [4]
    scaling = view(cluster).scaling
    assert scaling is not None
    assert "fails" in scaling.verdict
    victim.problem = None
    assert changes(cluster, 300)[-1] < 4


def test_bounds_hold_whatever_the_policy_thinks() -> None:
    """Never beyond `workers.max`, never below `workers.min`."""
    job = replace(JOB, spec=replace(SPEC, workers=Workers(min=2, max=3, initial=2)))
    assert decided(risen(job), loads(backlog_records=10**7)).workers == 3
    idle = replace(job, workers=3, scaling=ScalingMemory(down_since=NOW - 500, down_to=2))
    assert decided(idle, loads(arrivals_per_s=0.0, rate_per_s=0.0)).workers == 2
