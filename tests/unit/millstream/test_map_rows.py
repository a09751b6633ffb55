"""`.map_rows`: a function of a row; what it may return, what is refused, and whose fault it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import Accumulator, ProgramError, ShardFailed, Stream, count, testing, tumbling
from millstream import sum as total
from millstream.contract.checkpoint import ShardId
from millstream.runtime.dead_letters import read_dead_letters
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.stores.memory import MemoryStore

SCHEMA = pl.Schema({"id": pl.Int64(), "words": pl.String()})
WORD = {"id": pl.Int64, "word": pl.String}
START = datetime(2024, 1, 1)


def lines() -> Stream:
    return Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))


def to_rows(stream: Stream) -> Stream:
    return stream.to(CollectingSink(stream.schema))


def records(*words: str | None) -> list[dict[str, Any]]:
    return [{"id": number, "words": text} for number, text in enumerate(words)]


def several(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for word in (row["words"] or "").split():
        yield {"id": row["id"], "word": word}


ANSWERS = {
    "a row": (lambda row: {"id": row["id"], "word": row["words"].upper()}, [(0, "A B"), (1, ""), (2, "C")]),
    "none": (lambda row: {"id": row["id"], "word": "x"} if row["words"] else None, [(0, "x"), (2, "x")]),
    "a generator": (several, [(0, "a"), (0, "b"), (2, "c")]),
    "a list": (lambda row: list(several(row)), [(0, "a"), (0, "b"), (2, "c")]),
    "a tuple of none": (lambda row: (), []),
    "a column left out": (lambda row: {"id": row["id"]}, [(0, None), (1, None), (2, None)]),
    "the row, changed": (lambda row: row.update(word=row.pop("words")) or row, [(0, "a b"), (1, ""), (2, "c")]),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_a_function_may_return(case: str) -> None:
    function, expected = ANSWERS[case]
    run = testing.run(to_rows(lines().map_rows(function, schema=WORD)), records("a b", "", "c"), batch_size=2)
    assert run.rows.rows() == expected
    assert run.rows.schema == pl.Schema({"id": pl.Int64(), "word": pl.String()})
    assert not run.dead_letters


def test_without_a_schema_the_columns_stay() -> None:
    stream = lines().map_rows(lambda row: {**row, "id": -row["id"]})
    assert stream.schema == SCHEMA
    assert testing.run(to_rows(stream), records("a", "b")).rows["id"].to_list() == [0, -1]


REFUSED: Mapping[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "text": (lambda row: "word", "must return rows as dicts, not str"),
    "a number": (lambda row: 3, "must return rows as dicts, not int"),
    "a list of text": (lambda row: ["word"], "must return rows as dicts, not str"),
    "a wrong column": (lambda row: {"wrod": "x"}, 'a column "wrod", which schema= does not name. Did you mean "word"?'),
    "a wrong type": (lambda row: {"id": "one"}, 'a value of the column "id" is no Int64'),
    "a fraction": (lambda row: {"id": 1.5}, 'a value of the column "id" is no Int64'),
    "a number too great": (lambda row: {"id": 2**70}, 'a value of the column "id" is no Int64'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_the_line(case: str) -> None:
    function, reason = REFUSED[case]
    with pytest.raises(ShardFailed, match=re.escape(reason)) as caught:
        testing.run(to_rows(lines().map_rows(function, schema=WORD)), records("a"))
    assert caught.value.operator == ".map_rows(<lambda>)"
    assert caught.value.where is not None
    assert Path(caught.value.where.partition(":")[0]).name == Path(__file__).name


def test_an_error_names_the_innermost_line_of_the_users() -> None:
    def inner(text: str) -> int:
        return int(text)

    def outer(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"id": inner(row["words"])}

    with pytest.raises(ShardFailed, match="ValueError: invalid literal") as caught:
        testing.run(to_rows(lines().map_rows(outer, schema=WORD)), records("a"))
    assert caught.value.operator == ".map_rows(outer)"
    assert caught.value.where is not None
    assert caught.value.where.endswith(f"{inner.__code__.co_firstlineno + 1} in inner")


def test_a_record_that_crashes_it_is_set_apart_with_all_its_rows() -> None:
    seen = Accumulator("seen")

    def picky(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        seen.add()
        yield from several(row)
        if "bad" in row["words"]:
            raise ValueError("bad word")

    source = pl.DataFrame(records("a b", "c bad", "d"), schema=SCHEMA)
    sink, store = CollectingSink(pl.Schema(WORD)), MemoryStore()
    stream = Stream(RowsSource({"x": source})).map_rows(picky, schema=WORD).to(sink)
    shard = ShardRuntime(stream.plan(), shard=ShardId("x"), epoch=1, owner="w", store=store)
    shard.claim_and_restore(0.0)
    for _ in range(2):
        with pytest.raises(ShardFailed, match="bad word"):
            shard.step(0.0, 10)
    assert shard.step(0.0, 10).records == 3
    shard.release(0.0)
    assert sink.frame["word"].to_list() == ["a", "b", "d"]
    [letter] = read_dead_letters(store, ShardId("x"))
    assert letter.position == 1
    assert letter.reason.startswith(f"crashes the program: .map_rows(picky) at {__file__}:")
    assert shard.status(0.0).accumulators == {"seen": 2}  # what was cut away again does not count


def test_rows_of_records_without_event_time_are_followed_to_their_records() -> None:
    """Several rows of one record, and the batch runs twice: the dead letters are the right records."""
    stream = (
        lines()
        .map_rows(
            lambda row: (
                {"word": word, "at": None if word == "?" else START + timedelta(seconds=int(word))}
                for word in row["words"].split()
            ),
            schema={"word": pl.String, "at": pl.Datetime("us")},
        )
        .event_time("at")
        .key_by("word", partitioned=True)
        .window(tumbling("1m"))
        .aggregate(n=count())
    )
    run = testing.run(to_rows(stream), records("1 2", "3 ? ?", "", "4", "?"))
    assert [letter.position for letter in run.dead_letters] == [1, 4]
    assert sorted(run.rows["word"].to_list()) == ["1", "2", "3", "4"]


def test_it_maps_results_of_windows_as_well() -> None:
    stream = (
        lines()
        .with_columns(at=pl.lit(START))
        .event_time("at")
        .key_by("words", partitioned=True)
        .window(tumbling("1m"))
        .aggregate(n=count(), ids=total("id"))
        .map_rows(lambda row: {"text": f"{row['words']}={row['ids']}"}, schema={"text": pl.String})
    )
    run = testing.run(to_rows(stream), records("a", "b", "a"))
    assert sorted(run.rows["text"].to_list()) == ["a=2", "b=1"]


def test_wrong_uses_are_refused_while_building() -> None:
    async def call(row: dict[str, Any]) -> None: ...

    with pytest.raises(ProgramError, match=r"must not be async; .map_async"):
        lines().map_rows(call)  # type: ignore[arg-type]
    with pytest.raises(ProgramError, match="needs a function of a row, not str"):
        lines().map_rows("upper")  # type: ignore[arg-type]
    with pytest.raises(ProgramError, match='start with "__" are reserved'):
        lines().map_rows(lambda row: None, schema={"__x": pl.String})
    for place in (lines().key_by("id").map_rows, lines().key_by("id").map_batches):
        with pytest.raises(ProgramError, match=r"\.key_by\(…\) must be followed by"):
            place(lambda rows: rows)
    assert ".map_rows(several)\n    id: Int64, word: String" in lines().map_rows(several, schema=WORD).explain()


@given(
    texts=st.lists(st.text("ab ", max_size=5), max_size=20),
    marks=st.lists(st.tuples(st.integers(0, 20), st.sampled_from((testing.ABORT, testing.EOF))), max_size=4),
    batch_size=st.integers(1, 7),
)
@settings(max_examples=60, deadline=None)
def test_any_batches_and_aborts_give_the_same(
    texts: list[str], marks: list[tuple[int, testing.Marker]], batch_size: int
) -> None:
    items: list[Any] = records(*texts)
    for place, mark in marks:
        items.insert(min(place, len(items)), mark)
    run = testing.run(to_rows(lines().map_rows(several, schema=WORD)), items, batch_size=batch_size, checkpoint_every=2)
    assert run.rows.rows() == [(number, word) for number, text in enumerate(texts) for word in text.split()]
