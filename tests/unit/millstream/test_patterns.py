"""`pattern(…)`: a then b within t, unless c, whatever the order, the batches and the restarts."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream import Pattern, ProgramError, ShardFailed, Stream, pattern, testing
from millstream.contract.checkpoint import ShardId
from millstream.runtime.dead_letters import read_dead_letters
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.stores.memory import MemoryStore

SCHEMA = pl.Schema({"card": pl.String(), "at": pl.Datetime("ms"), "kind": pl.String(), "n": pl.Int64()})
START = datetime(2024, 5, 1)
WITHIN_S = 10


def has(letter: str) -> Any:
    return lambda row: letter in row["kind"]


ABC = pattern(has("a"), has("b"), unless=has("c"), within=f"{WITHIN_S}s", columns=["at", "n"])


def row(card: str | None, seconds: float | None, kind: str, n: int = 0) -> dict[str, Any]:
    at = None if seconds is None else START + timedelta(seconds=seconds)
    return {"card": card, "at": at, "kind": kind, "n": n}


def stream_of(sought: Pattern = ABC, schema: pl.Schema = SCHEMA, *, shards: int | None = None, **time_: str) -> Stream:
    stream = Stream(RowsSource({"x": pl.DataFrame(schema=schema)})).event_time("at", **time_)
    stream = stream.key_by("card", shards=shards, partitioned=shards is None).process(sought)
    return stream.to(CollectingSink(stream.schema))


def matches(stream: Stream, rows: Sequence[Mapping[str, Any] | testing.Marker], **how: Any) -> list[tuple[Any, ...]]:
    """(card, seconds of the first row, of the second) of each match, in order."""
    found = testing.run(stream, rows, **how).rows
    return [
        (card, (first - START).total_seconds(), (then - START).total_seconds())
        for card, first, then in found.select("card", "first_at", "then_at").rows()
    ]


CASES: dict[str, tuple[Sequence[tuple[float, str]], list[tuple[float, float]]]] = {
    "a then b": ([(0, "a"), (5, "b")], [(0, 5)]),
    "exactly at the end": ([(0, "a"), (10, "b")], [(0, 10)]),
    "at the end, and not the first then": ([(0, "a"), (10, "a"), (10, "b")], [(0, 10), (10, 10)]),
    "just too late": ([(0, "a"), (10.001, "b")], []),
    "b then a": ([(0, "b"), (1, "a")], []),
    "c between": ([(0, "a"), (1, "c"), (2, "b")], []),
    "c before and after": ([(0, "c"), (1, "a"), (2, "b"), (3, "c")], [(1, 2)]),
    "a again after c": ([(0, "a"), (1, "c"), (2, "a"), (3, "b")], [(2, 3)]),
    "every a waits for the next b": ([(0, "a"), (1, "a"), (2, "b"), (3, "b")], [(0, 2), (1, 2)]),
    "one a is over, the other not": ([(0, "a"), (9, "a"), (11, "b")], [(9, 11)]),
    "others do not matter": ([(0, "a"), (1, ""), (2, "x"), (3, "b")], [(0, 3)]),
    "b that is a as well": ([(0, "a"), (1, "ab"), (2, "b")], [(0, 1), (1, 2)]),
    "b that is c as well": ([(0, "a"), (1, "bc"), (2, "b")], []),
    "a that is c as well": ([(0, "a"), (1, "ac"), (2, "b")], [(1, 2)]),
    "of one time, as they were read": ([(0, "a"), (0, "b"), (1, "b"), (1, "a")], [(0, 0)]),
}


@pytest.mark.parametrize("case", list(CASES))
@pytest.mark.parametrize("batch_size", [1, 2, 10])
def test_what_matches(case: str, batch_size: int) -> None:
    rows, expected = CASES[case]
    found = matches(stream_of(), [row("x", at, kind) for at, kind in rows], batch_size=batch_size)
    assert found == [("x", *pair) for pair in expected]


def test_keys_are_apart_and_both_rows_are_given() -> None:
    rows = [row("x", 0, "a", 1), row(None, 1, "a", 2), row("x", 2, "b", 3), row("y", 3, "b", 4), row(None, 4, "b", 5)]
    found = testing.run(stream_of(), rows).rows
    assert found.columns == ["card", "first_at", "first_n", "then_at", "then_n"]
    assert found.select("card", "first_n", "then_n").rows() == [("x", 1, 3), (None, 2, 5)]


def test_order_within_the_watermark_does_not_matter() -> None:
    stream = stream_of(out_of_orderness="5s")
    assert matches(stream, [row("x", 4, "b"), row("x", 3, "a"), row("x", 20, "")], batch_size=1) == [("x", 3, 4)]
    swapped = [row("x", 3, "b"), row("x", 0, "a"), row("x", 2, "c"), row("x", 20, "")]
    assert matches(stream, swapped, batch_size=1) == []
    assert matches(stream, [row("x", 0, "b"), row("x", 3, "a"), row("x", 1, "b")], batch_size=1) == []


def test_a_match_is_given_at_once_when_rows_are_in_order() -> None:
    rows = [row("x", 0, "a"), row("x", 5, "b")]
    assert matches(stream_of(), rows, ends=False) == [("x", 0, 5)]
    assert matches(stream_of(out_of_orderness="1s"), rows, ends=False) == []
    assert matches(stream_of(out_of_orderness="1s"), [*rows, row("y", 6, "")], ends=False) == [("x", 0, 5)]


def test_a_row_that_is_late_counts_for_what_still_waits() -> None:
    rows = [row("x", 0, "a"), row("x", 1, "a"), row("y", 9, ""), row("x", 0.5, "b"), row("x", 2, "c"), row("x", 9, "b")]
    assert matches(stream_of(), rows, batch_size=1) == [("x", 0, 0.5)]
    rows = [row("x", 5, "a"), row("y", 6, ""), row("x", 4, "c"), row("x", 8, "b")]
    assert matches(stream_of(), rows, batch_size=1) == [("x", 5, 8)]


def test_what_waits_outlives_restarts() -> None:
    stream = stream_of(out_of_orderness="3s")
    rows = [row("x", 0, "a"), testing.ABORT, row("x", 4, "b"), testing.EOF, row("x", 2, ""), testing.ABORT]
    for every in (1, 2, 5):
        assert matches(stream, rows, batch_size=1, checkpoint_every=every) == [("x", 0, 4)]


def test_nothing_is_kept_of_what_is_over() -> None:
    rows = [row("x", 0, "a"), row("y", 1, "b"), row("z", 2, "c"), row("y", 12, "")]
    source = RowsSource({ShardId("s"): pl.DataFrame(rows, schema=SCHEMA)}, ended=False)
    stream = Stream(source).event_time("at").key_by("card", partitioned=True).process(ABC)
    plan = stream.to(CollectingSink(stream.schema)).plan()
    shard = ShardRuntime(plan, shard=ShardId("s"), epoch=1, owner="w", store=MemoryStore())
    shard.claim_and_restore(0.0)
    shard.step(0.0, 1)
    assert shard.status(0.0).state_rows == 2  # the open row, and the timer that ends its wait
    while shard.step(0.0, 1).records:
        pass
    assert shard.status(0.0).state_rows == 0


def test_all_kinds_of_values_come_back_as_they_were() -> None:
    values: dict[str, tuple[pl.DataType, Any]] = {
        "zoned": (pl.Datetime("us", "Europe/Berlin"), datetime(2024, 7, 1, 12)),
        "naive": (pl.Datetime("us"), datetime(1969, 7, 1, 12, 0, 0, 1)),
        "day": (pl.Date(), date(2024, 2, 29)),
        "clock": (pl.Time(), time(23, 59, 59, 999999)),
        "span": (pl.Duration("us"), timedelta(days=-1, microseconds=1)),
        "money": (pl.Decimal(10, 2), Decimal("12.30")),
        "bytes": (pl.Binary(), b"\x00\xff"),
        "float": (pl.Float64(), float("inf")),
        "int": (pl.UInt64(), 2**64 - 1),
        "flag": (pl.Boolean(), True),
        "word": (pl.Enum(["big", "small"]), "small"),
        "none": (pl.Int32(), None),
    }
    schema = pl.Schema({**SCHEMA, **{name: dtype for name, (dtype, _) in values.items()}})
    given_rows = pl.DataFrame(
        {
            "card": ["x", "x"],
            "at": [START, START + timedelta(seconds=1)],
            "kind": ["a", "b"],
            "n": [1, 2],
            **{
                name: pl.Series([value, value], dtype=pl.Datetime("us") if name == "zoned" else dtype)
                for name, (dtype, value) in values.items()
            },
        }
    ).with_columns(pl.col("zoned").dt.replace_time_zone("Europe/Berlin"))
    stream = stream_of(pattern(has("a"), has("b"), within="1m"), schema, out_of_orderness="1s")
    found = testing.run(stream, given_rows, batch_size=1).rows
    rest = [name for name in schema if name != "card"]
    for number, which in enumerate(("first", "then")):
        back = found.select(pl.col(f"{which}_{name}").alias(name) for name in rest)
        assert back.equals(given_rows[number].select(pl.col(name).cast(schema[name]) for name in rest))


def test_a_condition_that_raises_makes_a_dead_letter_of_its_row() -> None:
    sought = pattern(lambda row: row["n"] / (row["n"] - 7) > 0, has("b"), within="10s")
    rows = [row("x", 0, "", 9), row("x", 1, "", 7), row("x", 2, "b", 1)]
    source = RowsSource({ShardId("s"): pl.DataFrame(rows, schema=SCHEMA)})
    stream = Stream(source).event_time("at").key_by("card", partitioned=True).process(sought)
    sink, store = CollectingSink(stream.schema), MemoryStore()
    shard = ShardRuntime(stream.to(sink).plan(), shard=ShardId("s"), epoch=1, owner="w", store=store)
    shard.claim_and_restore(0.0)
    for _ in range(2):
        with pytest.raises(ShardFailed, match=r"process\(pattern within 10s.*test_patterns.py:.*ZeroDivisionError"):
            shard.step(0.0, 10)
    while not shard.step(0.0, 10).finished:
        pass
    shard.checkpoint(0.0)
    (letter,) = read_dead_letters(store)
    assert letter.position == 1
    assert "ZeroDivisionError" in letter.reason
    assert sink.frame.select("first_n", "then_n").rows() == [(9, 1)]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: pattern(pl.col("n") > 1, has("b"), within="1s"), r"first must be a function of a row.*for columns"),  # type: ignore[arg-type]
        (lambda: pattern(has("a"), has("b"), unless="c", within="1s"), "unless must be a function"),  # type: ignore[arg-type]
        (lambda: pattern(has("a"), has("b"), within="0s"), "within must be above zero"),
        (lambda: pattern(has("a"), has("b"), within="soon"), "pattern: within must be text such as"),
        (lambda: stream_of(pattern(has("a"), has("b"), within="1s", columns=["m"])), 'no column "m"'),
        (lambda: keyed().process(ABC, schema={"n": pl.Int64}), "has its own schema and timer"),
        (lambda: keyed().process(print), 'say what goes on: schema={"column": pl.String'),
        (
            lambda: Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)})).key_by("card").process(ABC),
            r"a pattern is in event time: \.event_time",
        ),
        (
            lambda: stream_of(pattern(has("a"), has("b"), within="1s"), pl.Schema({**SCHEMA, "l": pl.List(pl.Int8)})),
            r'"l" is List\(Int8\), which cannot be kept; name others: columns=\["at", "kind", "n"\]',
        ),
    ],
)
def test_a_wrong_pattern_is_refused_with_its_line(build: Any, message: str) -> None:
    with pytest.raises(ProgramError, match=message) as caught:
        build()
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"{__file__}:")


def keyed() -> Stream:
    return Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)})).event_time("at").key_by("card", partitioned=True)


def test_the_plan_names_the_pattern() -> None:
    assert ".key_by(card).process(pattern within 10s, on_timer=due)" in stream_of().explain()


# ---- against a batch of all rows


def by_hand(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """The same from all rows at once: each pair (a, b) of a card without a b or a c in between, soon enough."""
    found = []
    for card in sorted({each["card"] for each in rows}):
        ordered = sorted((each for each in rows if each["card"] == card), key=lambda each: each["at"])
        for i, first in enumerate(ordered):
            if "a" not in first["kind"]:
                continue
            ender = next((each for each in ordered[i + 1 :] if set("bc") & set(each["kind"])), None)
            if ender is None or "c" in ender["kind"] or ender["at"] - first["at"] > timedelta(seconds=WITHIN_S):
                continue
            found.append((card, first["n"], ender["n"]))
    return sorted(found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kinds=st.lists(
        st.tuples(st.sampled_from("xy"), st.integers(0, 40), st.sampled_from(["a", "b", "c", "", "ab", "ac"]))
    ),
    disorder_s=st.integers(0, 8),
    seed=st.integers(0, 2**32),
    batch_size=st.integers(1, 6),
    every=st.integers(1, 3),
    aborts=st.sets(st.integers(0, 30), max_size=3),
    shards=st.sampled_from([None, 1, 3]),
)
def test_any_order_batches_aborts_and_shards_give_what_a_batch_gives(
    kinds: list[tuple[str, int, str]],
    disorder_s: int,
    seed: int,
    batch_size: int,
    every: int,
    aborts: set[int],
    shards: int | None,
) -> None:
    rng = random.Random(seed)
    ordered = sorted(kinds, key=lambda each: each[1] + rng.uniform(0, disorder_s))
    rows = [row(card, at, kind, n) for n, (card, at, kind) in enumerate(ordered)]
    items: list[Any] = []
    for number, each in enumerate(rows):
        items += [testing.ABORT, each] if number in aborts else [each]
    stream = stream_of(out_of_orderness=f"{disorder_s}s", shards=shards)
    found = testing.run(stream, items, batch_size=batch_size, checkpoint_every=every).rows
    assert sorted(found.select("card", "first_n", "then_n").rows()) == by_hand(rows)
