"""The watermark never goes back, whatever happens to a shard; lag never promises too much."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from millstream.contract.checkpoint import END_OF_TIME_US
from millstream.core.lag import LagTracker
from millstream.core.watermark import Watermark

happenings = st.lists(
    st.tuples(
        st.sampled_from(("see", "idle", "behind")),
        st.integers(-5, 20),  # the clock may be set back
        st.one_of(st.none(), st.integers(-(10**9), 10**9)),
    ),
    max_size=40,
)


@example([("see", 0, 0), ("idle", 9, None), ("idle", -5, None)], 0, 1_000_000)
@given(happenings, st.integers(0, 10**8), st.one_of(st.none(), st.integers(0, 10**7)))
def test_a_watermark_only_grows_and_is_right_about_what_it_saw(
    events: list[tuple[str, int, int | None]], disorder_us: int, idle_after_us: int | None
) -> None:
    watermark = Watermark(out_of_orderness_us=disorder_us, idle_after_us=idle_after_us, at_us=None, now=0.0)
    now, before, greatest, quiet_since = 0.0, None, None, 0.0
    for what, seconds, time_us in events:
        now += seconds
        if what == "see":
            foretold = watermark.after(time_us)
            watermark.see(time_us, now)
            assert watermark.at_us == foretold
            quiet_since = now
            if time_us is not None:
                greatest = time_us if greatest is None else max(greatest, time_us)
        elif what == "idle":
            watermark.idle(now)
        else:
            watermark.behind(now)
            quiet_since = max(quiet_since, now)
        after = watermark.at_us
        assert (after is None) == (greatest is None)
        if after is not None and greatest is not None:
            assert before is None or after >= before
            assert after >= greatest - disorder_us
            if idle_after_us is None:
                assert after == greatest - disorder_us
            elif what == "idle" and (now - quiet_since) * 1e6 < idle_after_us:
                assert after == before
        before = after
    watermark.end()
    assert watermark.at_us == END_OF_TIME_US


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 50), st.integers(0, 60)), max_size=1200))
def test_lag_is_the_time_since_the_next_record_was_first_seen_waiting(steps: list[tuple[int, int, int]]) -> None:
    """Against a model that remembers when each record was first seen; exact while samples are not thinned."""
    lag = LagTracker()
    now, position, end = 0.0, 0, 0
    first_seen: dict[int, float] = {}
    for seconds, arrived, read in steps:
        now += seconds
        for record in range(end, end + arrived):
            first_seen[record] = now
        end += arrived
        lag.see(now, position, end)
        expected = now - first_seen[position] if position < end else 0.0
        if len(steps) <= 500:
            assert lag.lag_s(now, position) == expected
        else:
            assert expected <= lag.lag_s(now, position) <= expected + now / 64
        position = min(end, position + read)
    assert lag.lag_s(now, end) == 0.0


def test_lag_stays_near_the_truth_over_a_long_backlog() -> None:
    """One record a second arrives, none is read for an hour; then they are read one by one."""
    lag = LagTracker()
    for second in range(3600):
        lag.see(float(second), 0, second + 1)
    assert lag.lag_s(3600.0, 0) == 3600.0
    for position in range(0, 3600, 100):
        truth = 3600.0 - position
        assert truth <= lag.lag_s(3600.0, position) <= truth + 3600 / 128
