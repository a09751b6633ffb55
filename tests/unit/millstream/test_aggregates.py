"""Every aggregate merged from any pieces equals Polars on the whole."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    Aggregate,
    ProgramError,
    Stream,
    approx_distinct,
    approx_quantile,
    arg_max,
    arg_min,
    collect,
    count,
    first,
    last,
    mean,
    own,
    share,
    std,
    stdout,
    testing,
    top,
    tumbling,
    variance,
)
from millstream import max as greatest
from millstream import min as least
from millstream import sum as total
from millstream.sources.rows import RowsSource

START = datetime(2024, 1, 1)
SCHEMA = {"key": pl.String, "at": pl.Datetime("us"), "x": pl.Float64, "i": pl.Int8, "s": pl.String}


class Histogram:
    """How often each value occurs; the result is the commonest one, the least of several."""

    def create(self) -> dict[str, int]:
        return {}

    def add(self, state: dict[str, int], value: str) -> dict[str, int]:
        return {**state, value: state.get(value, 0) + 1}

    def merge(self, a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
        return {key: a.get(key, 0) + b.get(key, 0) for key in {**a, **b}}

    def result(self, state: dict[str, int]) -> str | None:
        return min(state, key=lambda key: (-state[key], key)) if state else None


def list_of(values: pl.Expr) -> pl.Expr:
    return pl.when(values.len() > 0).then(values.implode())


CASES: dict[str, tuple[Aggregate, pl.Expr]] = {
    "count": (count(), pl.len().cast(pl.Int64)),
    "count_x": (count("x"), pl.col("x").count().cast(pl.Int64)),
    "sum": (total("x"), pl.col("x").sum()),
    "sum_i": (total("i"), pl.col("i").cast(pl.Int64).sum()),
    "sum_expr": (total(pl.col("x") * 2 + 1), (pl.col("x") * 2 + 1).sum()),
    "sum_bool": (total(pl.col("x") > 0), (pl.col("x") > 0).sum().cast(pl.Int64)),
    "min": (least("x"), pl.col("x").min()),
    "max": (greatest("x"), pl.col("x").max()),
    "min_s": (least("s"), pl.col("s").min()),
    "max_i": (greatest("i"), pl.col("i").max()),
    "mean": (mean("x"), pl.col("x").mean()),
    "share": (share(pl.col("x") > 1), (pl.col("x") > 1).mean()),
    "variance": (variance("x"), pl.col("x").var()),
    "variance0": (variance("x", ddof=0), pl.col("x").var(ddof=0)),
    "std": (std("x"), pl.col("x").std()),
    "first": (first("s"), pl.col("s").drop_nulls().first()),
    "last": (last("s"), pl.col("s").drop_nulls().last()),
    "first_x": (first("x"), pl.col("x").drop_nulls().first()),
    "arg_max": (arg_max(pl.col("i").abs(), by="i"), pl.col("i").max().abs()),
    "arg_min": (arg_min(pl.col("i").abs(), by="i"), pl.col("i").min().abs()),
    "top": (top("i", 3), list_of(pl.col("i").drop_nulls().sort(descending=True).head(3))),
    "collect": (collect("s"), list_of(pl.col("s").drop_nulls())),
    "approx_distinct": (approx_distinct("s"), pl.col("s").drop_nulls().n_unique().cast(pl.Int64)),
    "approx_median": (approx_quantile("x", 0.5), pl.col("x").drop_nulls().quantile(0.5, "lower")),
    "own": (own(Histogram(), "s", returns=pl.String), pl.col("s").drop_nulls().sort().mode().sort().first()),
}

stream = (
    Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))
    .event_time("at", out_of_orderness="1h")
    .key_by("key", partitioned=True)
    .window(tumbling("10m"), allowed_lateness="1h", early="1s")
    .aggregate(**{name: aggregate for name, (aggregate, _) in CASES.items()})
    .to(stdout())
)


def reference(frame: pl.DataFrame) -> pl.DataFrame:
    """Sorted by time, those of one time in the order read: then first and last are what they say."""
    return (
        frame.sort("at", maintain_order=True)
        .group_by("key", window_start=pl.col("at").dt.truncate("10m"), maintain_order=True)
        .agg(**{name: expr for name, (_, expr) in CASES.items()})
        .sort("key", "window_start")
    )


floats = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))
records = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 40),
        floats,
        st.one_of(st.none(), st.integers(-128, 127)),
        st.one_of(st.none(), st.sampled_from(["p", "q", "r", ""])),
    ),
    min_size=1,
    max_size=40,
)


@settings(deadline=None)
@given(records=records, batch_size=st.integers(1, 12), stops=st.sets(st.integers(0, 40), max_size=3))
def test_any_pieces_merge_to_what_polars_says_of_the_whole(
    records: list[tuple[str, int, float | None, int | None, str | None]], batch_size: int, stops: set[int]
) -> None:
    rows = [
        {"key": key, "at": START + timedelta(minutes=minute), "x": x, "i": i, "s": s}
        for key, minute, x, i, s in records
    ]
    items: list[Any] = list(rows)
    for stop in sorted(stops, reverse=True):
        items.insert(stop, testing.ABORT)
    found = testing.run(stream, items, batch_size=batch_size, checkpoint_every=2).latest("key", "window_start")
    wanted = reference(pl.DataFrame(rows, schema=SCHEMA))
    assert found.select("key", "window_start").equals(wanted.select("key", "window_start"))
    for name in CASES:
        for a, b in zip(found[name].to_list(), wanted[name].to_list(), strict=True):
            if isinstance(b, float):
                tolerance = 1e-6 * (1 + abs(b)) if name in ("variance", "variance0", "std") else 1e-9 * (1e6 + abs(b))
                assert a == pytest.approx(b, abs=tolerance, rel=1e-6), name
            elif name == "collect":
                assert sorted(a or []) == sorted(b or []), name
            else:
                assert a == b, name


def test_variance_of_large_numbers_far_from_zero_keeps_its_digits() -> None:
    """Sums of squares would lose them all."""
    rows = [{"key": "a", "at": START, "x": 1e9 + value, "i": None, "s": None} for value in (4.0, 7.0, 13.0, 16.0)]
    found = testing.run(stream, rows, batch_size=1).latest("key", "window_start")
    assert found["variance"].to_list() == pytest.approx([30.0])


def test_sums_of_small_integers_do_not_wrap() -> None:
    rows = [{"key": "a", "at": START, "x": None, "i": 127, "s": None}] * 100
    found = testing.run(stream, rows, batch_size=7).latest("key", "window_start")
    assert found["sum_i"].to_list() == [12700]


def test_nothing_to_aggregate_is_null_or_zero() -> None:
    rows = [{"key": "a", "at": START, "x": None, "i": None, "s": None}] * 3
    found = testing.run(stream, rows, batch_size=1).latest("key", "window_start").row(0, named=True)
    zero = {"count_x", "sum", "sum_i", "sum_expr", "sum_bool", "approx_distinct"}
    assert {name for name in CASES if found[name] == 0} == zero
    assert found["count"] == 3
    assert {name for name in CASES if found[name] is None} == set(CASES) - zero - {"count"}


def shown(aggregate: Aggregate, rows: list[dict[str, Any]], *, batch_size: int) -> Any:
    one = (
        Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))
        .event_time("at")
        .key_by("key", shards=2)
        .window(tumbling("1h"))
        .aggregate(found=aggregate)
        .to(stdout())
    )
    return testing.run(one, rows, batch_size=batch_size).latest("key", "window_start")["found"].to_list()


def test_of_several_greatest_the_one_read_first_counts() -> None:
    rows = [{"key": "a", "at": START, "s": s, "i": i} for s, i in (("p", 1), ("q", 5), ("r", 5), (None, 9), ("s", 1))]
    for batch_size in (1, 2, 5):
        assert shown(arg_max("s", by="i"), rows, batch_size=batch_size) == ["q"]
        assert shown(arg_min("s", by="i"), rows, batch_size=batch_size) == ["p"]


def test_sketches_of_many_values_are_near_the_truth() -> None:
    values = [float(number * 7919 % 20_000) for number in range(20_000)]
    rows = [{"key": "a", "at": START, "x": value, "s": str(value)} for value in values]
    (distinct,) = shown(approx_distinct("s"), rows, batch_size=3000)
    assert distinct == pytest.approx(20_000, rel=0.06)
    for q in (0.01, 0.5, 0.99):
        (found,) = shown(approx_quantile("x", q), rows, batch_size=3000)
        assert found == pytest.approx(q * 20_000, abs=0.04 * 20_000)


@pytest.mark.parametrize(
    ("message", "build"),
    [
        ("top: n must be above zero, not 0", lambda: top("x", 0)),
        ("approx_quantile: q is a share from 0 to 1, not 95", lambda: approx_quantile("x", 95)),
        ("approx_quantile: k must be 8 to 65535, not 1", lambda: approx_quantile("x", 0.5, k=1)),
        ("approx_distinct: lg_k must be 4 to 21, not 30", lambda: approx_distinct("s", lg_k=30)),
    ],
)
def test_what_makes_no_sense_is_refused(message: str, build: Any) -> None:
    with pytest.raises(ProgramError, match=message):
        build()
