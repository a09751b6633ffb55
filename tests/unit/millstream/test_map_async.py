"""`.map_async`: many calls at a time, retries and timeouts, rows without an answer, and a service that is down."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import Accumulator, Keyed, ProgramError, ShardFailed, Stream, count, testing, tumbling
from millstream.contract.checkpoint import ShardId
from millstream.runtime.calls import UNANSWERED_IN_A_ROW_MAX
from millstream.runtime.dead_letters import read_dead_letters
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.stores.memory import MemoryStore

SCHEMA = pl.Schema({"id": pl.Int64(), "name": pl.String()})
SHARD = ShardId("x")
START = datetime(2024, 1, 1)
Ask = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any] | None]]


def names() -> Stream:
    return Stream(RowsSource({SHARD: pl.DataFrame(schema=SCHEMA)}))


def asking(function: Ask, stream: Stream | None = None, **options: Any) -> Stream:
    stream = stream or names()
    return stream.map_async(function, **{"schema": SCHEMA, "backoff": "0s", **options})


def to_rows(stream: Stream) -> Stream:
    return stream.to(CollectingSink(stream.schema))


def records(*names: str) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in enumerate(names)]


async def upper(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "name": row["name"].upper()}


async def picky(row: dict[str, Any]) -> dict[str, Any] | None:
    if row["name"] == "bad":
        raise ConnectionError("refused")
    return None if row["name"] == "nobody" else await upper(row)


class Gates:
    """Calls wait for each other: each until all that come before it in `order` have gone through."""

    def __init__(self, *order: int) -> None:
        self._order = list(order)
        self._turn = asyncio.Condition()
        self.active = self.most = 0

    async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        self.active += 1
        self.most = max(self.most, self.active)
        async with self._turn:
            await self._turn.wait_for(lambda: self._order[0] == row["id"])
            self._order.pop(0)
            self._turn.notify_all()
        self.active -= 1
        return row


@pytest.mark.parametrize(("ordered", "expected"), [(True, [0, 1, 2, 3]), (False, [2, 0, 3, 1])])
def test_answers_go_on_in_the_order_of_rows_or_as_they_come(ordered: bool, expected: list[int]) -> None:
    gates = Gates(2, 0, 3, 1)
    run = testing.run(to_rows(asking(gates, ordered=ordered, concurrency=4)), records(*"abcd"))
    assert run.rows["id"].to_list() == expected


def test_so_many_calls_at_a_time_and_no_more() -> None:
    gates = Gates(2, 1, 0, 5, 4, 3)
    run = testing.run(to_rows(asking(gates, concurrency=3)), records(*"abcdef"))
    assert run.rows["id"].to_list() == [0, 1, 2, 3, 4, 5]
    assert gates.most == 3


def test_rows_without_an_answer_are_dead_letters_and_the_others_go_on() -> None:
    run = testing.run(to_rows(asking(picky)), records("a", "bad", "nobody", "c"), batch_size=3)
    assert run.rows.rows() == [(0, "A"), (3, "C")]
    [letter] = run.dead_letters
    assert letter.position == 1
    assert letter.reason.startswith(
        f"no answer: .map_async(picky, concurrency=16), 3 attempts, the last: ConnectionError: refused at {__file__}:"
    )
    assert letter.reason.endswith("in picky")
    assert json.loads(letter.raw) == {"id": 1, "name": "bad"}
    assert (run.counters.records_in, run.counters.records_out, run.counters.dead) == (4, 2, 1)


@pytest.mark.parametrize(
    ("retries", "bad_attempts", "answered"), [(0, 0, True), (0, 1, False), (2, 2, True), (2, 3, False)]
)
def test_a_call_is_tried_again(retries: int, bad_attempts: int, answered: bool) -> None:
    attempts: Counter[int] = Counter()
    tried = Accumulator("tried")

    async def flaky(row: dict[str, Any]) -> dict[str, Any]:
        tried.add()
        attempts[row["id"]] += 1
        row["name"] = row["name"] + "!"  # an attempt's own copy
        if row["id"] == 1 and attempts[1] <= bad_attempts:
            raise OSError("try again")
        return row

    run = testing.run(to_rows(asking(flaky, retries=retries)), records("a", "b"))
    assert run.rows.rows() == [(0, "a!"), *([(1, "b!")] if answered else [])]
    assert attempts == {0: 1, 1: min(retries, bad_attempts) + 1}
    assert run.accumulators == {"tried": 2 if answered else 1}  # attempts that failed do not count


def test_a_call_that_takes_too_long_is_given_up_and_cleans_up() -> None:
    cleaned: list[int] = []

    async def slow(row: dict[str, Any]) -> dict[str, Any]:
        if row["id"] == 0:
            return row
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(row["id"])
        return row

    run = testing.run(to_rows(asking(slow, timeout="1ms", retries=1)), records("a", "b"))
    assert run.rows["id"].to_list() == [0]
    assert "2 attempts, the last: nothing came within 1ms at " in run.dead_letters[0].reason
    assert cleaned == [1, 1]


async def _cancels(row: dict[str, Any]) -> dict[str, Any]:
    raise asyncio.CancelledError


async def _raises(row: dict[str, Any]) -> dict[str, Any]:
    raise asyncio.TimeoutError


async def _text(row: dict[str, Any]) -> Any:
    return "text"


async def _rows(row: dict[str, Any]) -> Any:
    return [row]


async def _column(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "nmae": "x"}


async def _number(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "name": 5}


BAD_ANSWERS = {
    "cancelled": (_cancels, "it cancelled itself"),
    "a timeout of its own": (_raises, "the last: TimeoutError: "),
    "text": (_text, "must return rows as dicts, not str"),
    "several rows": (_rows, "must return rows as dicts, not list"),
    "a wrong column": (_column, 'a column "nmae", which schema= does not name. Did you mean "name"?'),
    "a wrong type": (_number, 'a value of the column "name" is no String'),
}


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_bad_answers_are_dead_letters_that_say_why(case: str) -> None:
    function, reason = BAD_ANSWERS[case]

    async def mixed(row: dict[str, Any]) -> Mapping[str, Any] | None:
        return await (function if row["id"] == 1 else upper)(row)

    run = testing.run(to_rows(asking(mixed, retries=0)), records("a", "b", "c"))
    assert run.rows.rows() == [(0, "A"), (2, "C")]
    [letter] = run.dead_letters
    assert letter.position == 1
    assert reason in letter.reason
    assert Path(__file__).name in letter.reason


def test_of_a_record_that_became_several_rows_the_others_go_on() -> None:
    words = names().map_rows(lambda row: [{"id": row["id"], "name": word} for word in row["name"].split()])
    run = testing.run(to_rows(asking(picky, words)), records("a b", "bad c bad", "bad"), batch_size=3)
    assert run.rows.rows() == [(0, "A"), (0, "B"), (1, "C")]
    assert [letter.position for letter in run.dead_letters] == [1, 2]
    assert run.dead_letters[0].reason.count("refused") == 2
    assert run.dead_letters[1].reason.count("refused") == 1


def runtime(stream: Stream, store: MemoryStore) -> ShardRuntime:
    shard = ShardRuntime(stream.plan(), shard=SHARD, epoch=1, owner="w", store=store)
    shard.claim_and_restore(0.0)
    return shard


def step_until_it_fails(shard: ShardRuntime, batch_size: int) -> None:
    while not shard.step(0.0, batch_size).finished:
        pass


@pytest.mark.parametrize("batch_size", [10, 7, 500])
def test_a_service_that_is_down_stops_the_shard_and_loses_nothing_more(batch_size: int) -> None:
    down = False
    asked: list[int] = []

    async def service(row: dict[str, Any]) -> dict[str, Any]:
        asked.append(row["id"])
        if down and row["id"] >= 20:
            raise ConnectionError("refused")
        return row

    rows = pl.DataFrame(records(*("n" * 400)), schema=SCHEMA)
    sink, store = CollectingSink(SCHEMA), MemoryStore()
    stream = Stream(RowsSource({SHARD: rows})).map_async(service, schema=SCHEMA, retries=0, concurrency=4)
    shard = runtime(stream.to(sink), store)
    while (shard.status(0.0).position or 0) < 20:
        shard.step(0.0, 5)
    down = True
    with pytest.raises(ShardFailed) as caught:
        step_until_it_fails(shard, batch_size)
    assert "rows in a row have no answer, so it is not the rows; no answer: " in caught.value.message
    assert caught.value.operator == ".map_async(service, concurrency=4)"
    asked.clear()
    for _ in range(6):  # more than it takes to set bad records apart
        with pytest.raises(ShardFailed):
            shard.step(0.0, batch_size)
    assert len(asked) <= 6 * (UNANSWERED_IN_A_ROW_MAX + 4)
    down = False
    while not shard.step(0.0, batch_size).finished:
        pass
    shard.release(0.0)
    dead = [letter.position for letter in read_dead_letters(store, SHARD)]
    assert len(dead) < UNANSWERED_IN_A_ROW_MAX
    assert sorted([*sink.frame["id"], *dead]) == list(range(400))


def test_a_record_that_crashes_the_program_further_down_is_isolated_as_ever() -> None:
    def crash(row: dict[str, Any]) -> dict[str, Any]:
        if row["name"] == "CRASH":
            raise ValueError("crash")
        return row

    rows = pl.DataFrame(records("a", "crash", "bad", "d"), schema=SCHEMA)
    sink, store = CollectingSink(SCHEMA), MemoryStore()
    stream = asking(picky, Stream(RowsSource({SHARD: rows}))).map_rows(crash).to(sink)
    shard = runtime(stream, store)
    for _ in range(2):
        with pytest.raises(ShardFailed, match="ValueError: crash"):
            shard.step(0.0, 10)
    shard.step(0.0, 10)
    shard.release(0.0)
    assert sink.frame["name"].to_list() == ["A", "D"]
    letters = sorted((letter.position, letter.reason[:20]) for letter in read_dead_letters(store, SHARD))
    assert letters == [(1, "crashes the program:"), (2, "no answer: .map_asyn")]


def test_calls_are_made_once_though_rows_have_to_be_followed() -> None:
    """Rows without a time, or too late, are found by a second look at the batch elsewhere."""
    asked: list[int] = []

    async def note(row: dict[str, Any]) -> dict[str, Any]:
        asked.append(row["id"])
        seconds = {"?": None, "late": 0}.get(row["name"], 600)
        return {"id": row["id"], "at": None if seconds is None else START + timedelta(seconds=seconds)}

    stream = (
        asking(note, schema={"id": pl.Int64, "at": pl.Datetime("us")})
        .event_time("at")
        .map_async(upper_id, schema={"id": pl.Int64, "at": pl.Datetime("us")})
        .key_by("id", partitioned=True)
        .window(tumbling("1m"))
        .aggregate(n=count())
    )
    sink = CollectingSink(stream.schema)
    late = CollectingSink(pl.Schema({"id": pl.Int64(), "at": pl.Datetime("us")}))
    run = testing.run(stream.to(sink).late(late), records("a", "?", "late", "d"))
    assert asked == [0, 1, 2, 3]
    assert sorted(run.rows["id"].to_list()) == [100, 103]
    assert run.late["id"].to_list() == [102]
    assert [letter.position for letter in run.dead_letters] == [1]


async def upper_id(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "id": row["id"] + 100}


@pytest.mark.parametrize("partitioned", [True, False])
def test_answers_reach_a_keyed_process(partitioned: bool) -> None:
    def count_up(row: dict[str, Any], keyed: Keyed) -> None:
        keyed.state["n"] = keyed.state.get("n", 0) + 1
        keyed.emit(name=row["name"], n=keyed.state["n"])

    stream = (
        asking(picky)
        .key_by("name", partitioned=partitioned)
        .process(count_up, schema={"name": pl.String, "n": pl.Int64})
    )
    run = testing.run(to_rows(stream), records("a", "b", "bad", "a", "nobody", "a"), batch_size=2)
    assert sorted(run.rows.rows()) == [("A", 1), ("A", 2), ("A", 3), ("B", 1)]
    assert [letter.position for letter in run.dead_letters] == [2]


def test_one_loop_serves_all_batches_and_shards_of_a_thread_and_is_closed_in_the_end() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def note(row: dict[str, Any]) -> dict[str, Any]:
        loops.append(asyncio.get_running_loop())
        return row

    rows = pl.DataFrame(records(*"abcdef"), schema=SCHEMA)
    shards = [
        runtime(asking(note, Stream(RowsSource({SHARD: rows}))).to(CollectingSink(SCHEMA)), MemoryStore())
        for _ in range(2)
    ]
    for _ in range(3):
        for shard in shards:
            shard.step(0.0, 2)
    assert len(loops) == 12
    assert all(loop is loops[0] for loop in loops)
    shards.pop().close()
    assert not loops[0].is_closed()
    shards.pop().close()
    del shard
    gc.collect()
    assert loops[0].is_closed()


def test_inside_another_event_loop_it_says_what_to_do() -> None:
    async def notebook() -> None:
        testing.run(to_rows(asking(upper)), records("a"))

    with pytest.raises(ShardFailed, match=r"inside an event loop \(a notebook\?\).*in another thread"):
        asyncio.run(notebook())


class Kept:
    """An object whose call is async."""

    async def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return row


def test_wrong_uses_are_refused_while_building() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"concurrency": 0}, "concurrency must be at least 1, not 0"),
        ({"retries": -1}, "retries must be at least 0, not -1"),
        ({"timeout": "0s"}, "timeout must be above zero"),
        ({"timeout": "soon"}, "map_async: timeout must be text such as"),
        ({"backoff": "soon"}, "map_async: backoff must be text such as"),
        ({"schema": {"__x": pl.String}}, 'start with "__" are reserved'),
    ]
    for options, message in refused:
        with pytest.raises(ProgramError, match=message) as caught:
            asking(upper, **options)
        assert caught.value.where is not None
        assert Path(__file__).name in caught.value.where
    with pytest.raises(ProgramError, match=r"`async def`; for others: \.map_rows"):
        names().map_async(lambda row: row, schema=SCHEMA)
    with pytest.raises(ProgramError, match=r"\.key_by\(…\) must be followed by"):
        asking(upper, names().key_by("id"))
    counted = names().key_by("id").process(lambda row, keyed: None, schema=SCHEMA)
    with pytest.raises(ProgramError, match=r"must come before \.key_by"):
        asking(upper, counted)
    assert ".map_async(Kept, concurrency=16, ordered=False)" in asking(Kept(), ordered=False).explain()


@given(
    texts=st.lists(st.sampled_from(("a", "b", "bad", "nobody", "?")), max_size=25),
    marks=st.lists(st.tuples(st.integers(0, 25), st.sampled_from((testing.ABORT, testing.EOF))), max_size=4),
    batch_size=st.integers(1, 7),
    concurrency=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_any_batches_and_aborts_give_the_same(
    texts: list[str], marks: list[tuple[int, testing.Marker]], batch_size: int, concurrency: int
) -> None:
    async def service(row: dict[str, Any]) -> dict[str, Any] | None:
        for _ in range(row["id"] % 3):
            await asyncio.sleep(0)
        return await picky(row)

    items: list[Any] = records(*texts)
    for place, mark in marks:
        items.insert(min(place, len(items)), mark)
    stream = asking(service, names().filter(pl.col("name") != "?"), concurrency=concurrency, retries=1)
    run = testing.run(to_rows(stream), items, batch_size=batch_size, checkpoint_every=2)
    assert run.rows.rows() == [(number, text.upper()) for number, text in enumerate(texts) if text in ("a", "b")]
    assert [letter.position for letter in run.dead_letters] == [i for i, text in enumerate(texts) if text == "bad"]
