"""The worker's pure decisions: what to own, when what is due, whose turn it is, and the table of its life."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.assignment_diff import assignment_diff
from millstream.core.batch_size import BATCH_MAX, BATCH_MIN, next_batch_size
from millstream.core.cadence import first_checkpoint_at, next_checkpoint_at, poll_pause_s, report_at
from millstream.core.lifecycle import TABLE, Act, Happening, Phase, after
from millstream.core.rate_limit import BURST_S, full_bucket
from millstream.core.retry import QUICK_RETRIES, is_failed, retry_pause_s
from millstream.core.turns import Candidate, fair_share, round_of_turns

# ---- what to own


@pytest.mark.parametrize(
    ("assigned", "owned", "shut_out", "release", "claim"),
    [
        ({}, {}, {}, (), ()),
        ({"a": 1, "b": 1}, {}, {}, (), ("a", "b")),
        ({"a": 1}, {"a": 1}, {}, (), ()),
        ({}, {"b": 1, "a": 1}, {}, ("a", "b"), ()),
        ({"a": 2}, {"a": 1}, {}, ("a",), ("a",)),
        ({"a": 1}, {"a": 2}, {}, (), ()),
        ({"a": 3}, {}, {"a": 3}, (), ()),
        ({"a": 3}, {}, {"a": 4}, (), ()),
        ({"a": 4}, {}, {"a": 3}, (), ("a",)),
        ({"a": 0}, {}, {}, (), ("a",)),
    ],
)
def test_assignment_diff(
    assigned: dict[str, int],
    owned: dict[str, int],
    shut_out: dict[str, int],
    release: tuple[str, ...],
    claim: tuple[str, ...],
) -> None:
    """New, gone, raised, old, fenced."""
    diff = assignment_diff(assigned, owned=owned, shut_out=shut_out)
    assert (diff.release, diff.claim) == (release, claim)


epochs = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3))


@given(assigned=epochs, owned=epochs, shut_out=epochs)
def test_after_the_diff_nothing_is_left_to_do(
    assigned: dict[str, int], owned: dict[str, int], shut_out: dict[str, int]
) -> None:
    """Doing what it says leads to what is assigned, but for what is shut out or owned at a higher epoch already."""
    diff = assignment_diff(assigned, owned=owned, shut_out=shut_out)
    result = {shard: epoch for shard, epoch in owned.items() if shard not in diff.release}
    assert not set(result) & set(diff.claim)
    result |= {shard: assigned[shard] for shard in diff.claim}
    again = assignment_diff(assigned, owned=result, shut_out=shut_out)
    assert (again.release, again.claim) == ((), ())
    assert set(result) <= set(assigned)
    for shard, epoch in assigned.items():
        assert result.get(shard, -1) >= epoch or shut_out[shard] >= epoch


# ---- when


def test_first_checkpoints_are_spread() -> None:
    """Forty shards claimed at once do not save at once, and each always has the same phase."""
    due = [first_checkpoint_at(f"shard-{n}", now=100.0, interval_s=10.0) for n in range(40)]
    assert due == [first_checkpoint_at(f"shard-{n}", now=100.0, interval_s=10.0) for n in range(40)]
    assert all(102.5 <= at <= 110.0 for at in due)
    assert max(after - before for before, after in pairwise(sorted(due))) < 2.0


@given(
    due_at=st.floats(0, 1e6),
    late_s=st.floats(0, 1e4),
    interval_s=st.floats(0.01, 1e3),
)
def test_next_checkpoint_keeps_its_phase(due_at: float, late_s: float, interval_s: float) -> None:
    """Always later than now, within an interval, a whole number of intervals on."""
    now = due_at + late_s
    following = next_checkpoint_at(due_at, now=now, interval_s=interval_s)
    assert now - 1e-6 < following <= now + interval_s * (1 + 1e-9) + 1e-6
    intervals = (following - due_at) / interval_s
    assert intervals == pytest.approx(round(intervals), abs=1e-3)


def test_next_checkpoint_after_an_early_one() -> None:
    """A checkpoint made before it was due does not bring the next one nearer than that due instant plus an interval."""
    assert next_checkpoint_at(50.0, now=42.0, interval_s=10.0) == 60.0


@pytest.mark.parametrize(("shards", "longest_s"), [(1, 0.05), (20, 0.05), (100, 0.25)])
def test_polls_slow_down(shards: int, longest_s: float) -> None:
    """From a millisecond to the longest pause, which is longer when there are many shards."""
    pauses = [poll_pause_s(n, shards=shards) for n in range(1, 200)]
    assert pauses[:3] == [0.001, 0.002, 0.004]
    assert pauses == sorted(pauses)
    assert pauses[-1] == longest_s


@pytest.mark.parametrize(
    ("changed", "interval_s", "due_at"), [(False, 2.0, 12.0), (True, 2.0, 10.05), (True, 0.01, 10.01)]
)
def test_reports(changed: bool, interval_s: float, due_at: float) -> None:
    """A change is told after the spacing, at the latest at the interval."""
    assert report_at(last_at=10.0, changed=changed, interval_s=interval_s, spacing_s=0.05) == due_at


def test_retries_slow_down_and_become_a_failure() -> None:
    """Quick at first, with jitter; from a number on the shard is failed, and tried now and then."""
    pauses = [retry_pause_s(n, jitter=0.0) for n in range(1, 10)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 30.0, 30.0, 30.0, 30.0, 30.0]
    assert [is_failed(n) for n in (1, QUICK_RETRIES - 1, QUICK_RETRIES)] == [False, False, True]
    assert retry_pause_s(3, jitter=0.5) == 1.5


# ---- how much


@given(
    rate=st.floats(0.1, 1e6),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 100_000)), max_size=50),
)
def test_rate_is_kept(rate: float, steps: list[tuple[float, int]]) -> None:
    """Whoever takes no more than the allowance never exceeds the rate, but for one burst."""
    limit = full_bucket(rate, now=0.0)
    now, passed = 0.0, 0
    for pause_s, wanted in steps:
        now += pause_s
        limit = limit.refilled(now)
        records = min(wanted, limit.allowance())
        limit = limit.spent(records)
        passed += records
        assert passed <= rate * now + limit.burst + 1e-3


@given(rate=st.floats(0.01, 1e6))
def test_waiting_until_next_at_lets_something_pass(rate: float) -> None:
    """An empty bucket says when to come back, and then gives."""
    limit = full_bucket(rate, now=5.0)
    limit = limit.spent(limit.allowance())
    later = limit.refilled(limit.next_at())
    assert later.allowance() >= 1
    assert limit.next_at() - 5.0 <= max(1 / rate, BURST_S) + 1e-9


def test_clock_that_goes_back_gives_nothing() -> None:
    """Nor takes anything away."""
    limit = full_bucket(100.0, now=10.0).spent(10)
    assert limit.refilled(9.0).tokens == limit.tokens
    assert limit.refilled(9.0).at == 10.0


@pytest.mark.parametrize(
    ("size", "records", "seconds", "expected"),
    [
        (1024, 1024, 0.01, 2048),
        (1024, 1000, 0.01, 1024),
        (1024, 1024, 0.1, 1024),
        (1024, 5, 0.3, 512),
        (BATCH_MIN, 1, 9.0, BATCH_MIN),
        (BATCH_MAX, BATCH_MAX, 0.01, BATCH_MAX),
    ],
)
def test_batch_size(size: int, records: int, seconds: float, expected: int) -> None:
    """Long steps halve, short full ones double, within bounds."""
    assert next_batch_size(size, records=records, seconds=seconds) == expected


# ---- whose turn


@given(
    st.lists(
        st.builds(
            Candidate, shard=st.text("ab", max_size=3), due_at=st.floats(0, 20), backlog_records=st.integers(0, 9)
        ),
        unique_by=lambda one: one.shard,
    )
)
def test_a_round_has_every_due_shard_once_the_furthest_behind_first(candidates: list[Candidate]) -> None:
    """Nobody is left out, whatever the backlogs."""
    turns = round_of_turns(candidates, now=10.0)
    assert sorted(turns) == sorted(one.shard for one in candidates if one.due_at <= 10.0)
    backlog = {one.shard: one.backlog_records for one in candidates}
    assert [backlog[shard] for shard in turns] == sorted((backlog[shard] for shard in turns), reverse=True)


@given(allowance=st.integers(0, 10_000), waiting=st.integers(1, 60))
def test_fair_shares_leave_something_for_all(allowance: int, waiting: int) -> None:
    """Taking one's share in turn never leaves the last with less than the first by more than one."""
    shares = []
    for left in range(waiting, 0, -1):
        share = fair_share(allowance, waiting=left)
        shares.append(share)
        allowance -= share
    assert allowance == 0
    assert max(shares) - min(shares) <= 1


# ---- the table

NOTHING: tuple[Act, ...] = ()
LEGAL: dict[tuple[Phase, Happening], tuple[Phase, tuple[Act, ...]]] = {
    (Phase.WAITING, Happening.LAUNCHED): (Phase.STARTING, (Act.SAY_STARTING, Act.START)),
    (Phase.WAITING, Happening.UNREADABLE): (Phase.LAST_WORD, (Act.SAY_FAILED,)),
    (Phase.WAITING, Happening.KILL): (Phase.OVER, NOTHING),
    (Phase.STARTING, Happening.LOADED): (Phase.RUNNING, (Act.SAY_RUNNING, Act.REPORT)),
    (Phase.STARTING, Happening.BROKEN): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_FAILED)),
    (Phase.STARTING, Happening.DRAIN): (Phase.DRAINING, (Act.RELEASE_ALL,)),
    (Phase.STARTING, Happening.KILL): (Phase.KILLING, (Act.SAY_KILLING, Act.RELEASE_ALL)),
    (Phase.RUNNING, Happening.BROKEN): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_FAILED)),
    (Phase.RUNNING, Happening.DRAIN): (Phase.DRAINING, (Act.RELEASE_ALL,)),
    (Phase.RUNNING, Happening.KILL): (Phase.KILLING, (Act.SAY_KILLING, Act.RELEASE_ALL)),
    (Phase.DRAINING, Happening.RELEASED): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_FINISHED)),
    (Phase.DRAINING, Happening.BROKEN): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_FAILED)),
    (Phase.DRAINING, Happening.KILL): (Phase.KILLING, (Act.SAY_KILLING,)),
    (Phase.KILLING, Happening.RELEASED): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_KILLED)),
    (Phase.KILLING, Happening.BROKEN): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_KILLED)),
    (Phase.KILLING, Happening.OVERDUE): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_KILLED)),
    (Phase.LAST_WORD, Happening.CONFIRMED): (Phase.OVER, NOTHING),
}
LAST_WORDS = {Act.SAY_FINISHED, Act.SAY_FAILED, Act.SAY_KILLED}


@pytest.mark.parametrize("happening", Happening, ids=lambda one: one.value)
@pytest.mark.parametrize("phase", Phase, ids=lambda one: one.value)
def test_every_phase_and_happening(phase: Phase, happening: Happening) -> None:
    """The full matrix: what is legal gives exactly this, a deadline and an abort end everything, else nothing."""
    if (phase, happening) in LEGAL:
        expected = LEGAL[phase, happening]
    elif happening in (Happening.DEADLINE, Happening.ABANDONED):
        expected = (Phase.OVER, NOTHING)
    else:
        expected = (phase, NOTHING)
    assert after(phase, happening) == expected


@given(st.lists(st.sampled_from(list(Happening)), max_size=30))
def test_one_last_word_at_most_and_nothing_behind_it(happenings: list[Happening]) -> None:
    """However things happen, a terminal state is said once and no other state follows it."""
    phase, acts = Phase.WAITING, []
    for happening in happenings:
        phase, done = after(phase, happening)
        acts += [act for act in done if act.name.startswith("SAY")]
    assert len(LAST_WORDS & set(acts)) <= 1
    assert not any(act in LAST_WORDS for act in acts[:-1])


def test_every_phase_can_be_reached_and_left() -> None:
    """No dead ends but the end."""
    reached = {following for following, _ in TABLE.values()} | {Phase.WAITING}
    left = {phase for phase, _ in TABLE}
    assert reached == set(Phase)
    assert left == set(Phase) - {Phase.OVER}
