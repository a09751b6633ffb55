"""Window state beyond what fits in one run: merging, forgetting, saving."""

from __future__ import annotations

import random

import polars as pl

from millstream import count
from millstream import sum as total
from millstream.aggregates import TIME
from millstream.core.window_states.partials import ROWS, WINDOW, Partials
from millstream.core.window_states.state import ROLE
from millstream.core.window_states.tumbling import TumblingState
from millstream.windows import Tumbling

RECORDS = pl.Schema({"key": pl.Int64(), "at": pl.Datetime("us"), "value": pl.Int64()})


def state(lateness_us: int = 0) -> TumblingState:
    partials = Partials(
        keys=["key"], aggregates={"n": count(), "total": total("value")}, records=RECORDS, time_column="at"
    )
    return TumblingState(partials, Tumbling(size_us=10), allowed_lateness_us=lateness_us)


def saved(one: TumblingState, watermark_us: int | None = None) -> pl.DataFrame:
    return one.save(watermark_us)[ROLE]


def records(*rows: tuple[int, int, int]) -> pl.DataFrame:
    """key, time, value"""
    keys, times, values = zip(*rows, strict=True)
    return pl.DataFrame(
        {"key": keys, "at": pl.Series(times, dtype=pl.Datetime("us")), "value": values, TIME: times},
        schema={**RECORDS, TIME: pl.Int64},
    )


def test_many_small_runs_and_a_few_large_ones_merge_to_the_same() -> None:
    chance = random.Random(5)
    rows = [(chance.randrange(3000), chance.randrange(40), chance.randrange(9)) for _ in range(20_000)]
    small, large = state(), state()
    for row in rows[:300]:
        small.fold(small.partial(records(row)))
    for start in range(300, len(rows), 3000):
        small.fold(small.partial(records(*rows[start : start + 3000])))
    large.fold(large.partial(records(*rows)))
    order = [WINDOW, "key"]
    assert saved(small).sort(order).equals(saved(large).sort(order))
    assert saved(large)[ROWS].sum() == len(rows)


def test_unmerged_runs_stay_in_bounds() -> None:
    one = state()
    for number in range(10_000):
        one.fold(one.partial(records((number % 3, 5, 1))))
        assert one.rows <= 3 + 64
    assert saved(one)["n.n"].to_list() == [3334, 3333, 3333] or one.rows == 3


def test_what_is_past_its_lateness_is_forgotten() -> None:
    one = state(lateness_us=5)
    one.fold(one.partial(records((1, 3, 1), (1, 13, 2), (2, 3, 4))))
    assert one.closed(None, 12, None)["total"].to_list() == [1, 4]
    assert saved(one, 14).height == 3
    assert saved(one, 15).height == 1
    assert one.rows == 1


def test_a_saved_state_goes_on_as_if_nothing_had_happened() -> None:
    one, two = state(), state()
    one.fold(one.partial(records((1, 3, 1), (2, 13, 2))))
    two.load(one.save(5), 5)
    for each in (one, two):
        each.fold(each.partial(records((1, 4, 10))))
        shown = each.closed(5, 10, None)
        assert shown.select("key", "total", "pane", "revision").rows() == [(1, 11, "on_time", 0)]
        assert each.closed(10, 19, None).height == 0
        assert each.closed(19, 20, None)["total"].to_list() == [2]


def test_what_is_too_late_and_what_is_not() -> None:
    one = state(lateness_us=5)
    assert not one.may_be_too_late(9, None)
    assert not one.may_be_too_late(9, 14)
    assert one.may_be_too_late(9, 15)
    assert one.may_be_too_late(-1, 5)
    assert not one.may_be_too_late(0, 5)
    late = pl.select(one.too_late(pl.Series([9, 10, -1, -11]), pl.lit(5))).to_series().to_list()
    assert late == [False, False, True, True]
