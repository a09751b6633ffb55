"""Programs are checked while they are written: what is wrong is said with the user's line, before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from millstream import (
    Aggregator,
    ProgramError,
    Stream,
    count,
    files,
    first,
    mean,
    own,
    session,
    share,
    sliding,
    std,
    stdout,
    testing,
    tumbling,
)
from millstream import min as least
from millstream import sum as total
from millstream.contract.worker_spec import Delivery
from millstream.durations import duration_text, microseconds
from millstream.runtime.shard import refuse_broken_promises

SCHEMA = {"origin": pl.String, "at": pl.Datetime("ms"), "delay": pl.Float64, "tags": pl.List(pl.String)}


def flights() -> Stream:
    return Stream(files("flights/*.jsonl", schema=SCHEMA))


def timed() -> Stream:
    return flights().event_time("at", out_of_orderness="2h", idle_after="30s")


def keyed() -> Stream:
    return timed().key_by("origin", partitioned=True)


def windowed() -> Stream:
    return keyed().window(tumbling("1h"), allowed_lateness="1d", early="5m")


def test_the_schema_flows_through_every_step() -> None:
    stream = (
        flights()
        .filter(pl.col("delay").is_not_null(), pl.col("delay") > 0)
        .with_columns(hours=pl.col("delay") / 60)
        .explode("tags")
        .select("origin", "at", "hours", tag=pl.col("tags").str.to_uppercase())
    )
    assert dict(stream.schema) == {
        "origin": pl.String,
        "at": pl.Datetime("ms"),
        "hours": pl.Float64,
        "tag": pl.String,
    }


def test_a_result_has_key_window_aggregates_pane_and_revision() -> None:
    stream = windowed().aggregate(
        flights=count(), delay=mean("delay"), late=share(pl.col("delay") > 15), first=first("tags"), low=least("delay")
    )
    assert dict(stream.schema) == {
        "origin": pl.String,
        "window_start": pl.Datetime("ms"),
        "window_end": pl.Datetime("ms"),
        "flights": pl.Int64,
        "delay": pl.Float64,
        "late": pl.Float64,
        "first": pl.List(pl.String),
        "low": pl.Float64,
        "pane": pl.String,
        "revision": pl.Int64,
    }
    assert stream.filter(pl.col("pane") == "on_time").select("origin", "delay").schema.names() == ["origin", "delay"]


def test_steps_change_nothing_so_a_beginning_can_be_shared() -> None:
    beginning = timed()
    before = beginning.explain()
    busy = beginning.filter(pl.col("delay") > 15).to(stdout())
    late = beginning.select("at").to(stdout())
    assert beginning.explain() == before
    assert "filter" in busy.explain()
    assert "filter" not in late.explain()


def test_the_plan_can_be_read() -> None:
    text = windowed().aggregate(flights=count(), delay=mean("delay")).to(stdout()).late(files("late")).explain()
    assert text.splitlines() == [
        "source files(flights/*.jsonl)",
        "    origin: String, at: Datetime(time_unit='ms', time_zone=None), delay: Float64, tags: List(String)",
        ".event_time(at, out_of_orderness=2h, idle_after=30s)",
        ".key_by(origin).window(tumbling(1h), allowed_lateness=1d, early=5m)"
        ".aggregate(flights=count(), delay=mean(delay))",
        "    origin: String, window_start: Datetime(time_unit='ms', time_zone=None), "
        "window_end: Datetime(time_unit='ms', time_zone=None), flights: Int64, delay: Float64, pane: String, "
        "revision: Int64",
        ".to(stdout)",
        f".late(files({Path('late').absolute()}))",
        "    origin: String, at: Datetime(time_unit='ms', time_zone=None), delay: Float64, tags: List(String)",
    ]


WRONG: list[tuple[str, Callable[[], object]]] = [
    ('filter: there is no column "dely". Did you mean "delay"?', lambda: flights().filter(pl.col("dely") > 1)),
    ('select: there is no column "orgin". Did you mean "origin"?', lambda: flights().select("orgin")),
    ('with_columns: there is no column "x". Columns here: origin, at', lambda: flights().with_columns(y=pl.col("x"))),
    ("filter: ", lambda: flights().filter(pl.col("delay"))),
    ("with_columns: ", lambda: flights().with_columns(x=pl.col("origin").dt.hour())),
    ('explode: there is no column "tag". Did you mean "tags"?', lambda: flights().explode("tag")),
    ('explode: "delay" is Float64, not a list', lambda: flights().explode("delay")),
    ('column names that start with "__" are reserved', lambda: flights().with_columns(pl.lit(1).alias("__row"))),
    ('event_time: there is no column "att". Did you mean "at"?', lambda: flights().event_time("att")),
    ('event_time: "delay" is Float64, not Datetime; convert it first', lambda: flights().event_time("delay")),
    ("event_time: out_of_orderness must be text such as", lambda: flights().event_time("at", out_of_orderness="2 hrs")),
    ("event_time: idle_after must not be negative", lambda: flights().event_time("at", idle_after=timedelta(-1))),
    ("event_time: the stream has one already", lambda: timed().event_time("at")),
    ("key_by: name at least one column", lambda: timed().key_by(partitioned=True)),
    ('key_by: there is no column "orig". Did you mean "origin"?', lambda: timed().key_by("orig", partitioned=True)),
    ('key_by: "delay" is Float64, which is no good as a key', lambda: timed().key_by("delay", partitioned=True)),
    ("key_by: a column is named twice", lambda: timed().key_by("origin", "origin", partitioned=True)),
    ("sliding: every '2m' is above the size '1m'", lambda: sliding("1m", every="2m")),
    ("sliding: size and every must be above zero", lambda: sliding("1m", every="0s")),
    ("sliding: offset '1m' must be below every '1m'", lambda: sliding("2m", every="1m", offset="1m")),
    ("session: the gap must be above zero", lambda: session("0s")),
    ("key_by: shards must be 1 to 4096, not 0", lambda: timed().key_by("origin", shards=0)),
    (
        "key_by: shards= says how to repartition, and partitioned=True not to",
        lambda: timed().key_by("origin", shards=4, partitioned=True),
    ),
    ("key_by: columns are given by name, not as Expr", lambda: timed().key_by(pl.col("origin"), partitioned=True)),  # type: ignore[arg-type]
    ("window: say by which key first", lambda: timed().window(tumbling("1h"))),
    (
        "window: say which column is the event time first",
        lambda: flights().key_by("origin", partitioned=True).window(tumbling("1h")),
    ),
    (
        "window: the event-time column is gone: there is no column",
        lambda: timed().select("origin").key_by("origin", partitioned=True).window(tumbling("1h")),
    ),
    (
        'window: the event-time column "at" has become Int8',
        lambda: (
            timed().with_columns(at=pl.col("at").dt.hour()).key_by("origin", partitioned=True).window(tumbling("1h"))
        ),
    ),
    ("window: needs a window such as tumbling('1h'), not '1h'", lambda: keyed().window("1h")),  # type: ignore[arg-type]
    ("window: early must be above zero", lambda: keyed().window(tumbling("1h"), early="0s")),
    ("counts in milliseconds, so the window must be whole ones", lambda: keyed().window(tumbling("1500us"))),
    ("tumbling: a window needs a size above zero", lambda: tumbling("0s")),
    ("tumbling: offset '2h' must be below the size '1h'", lambda: tumbling("1h", offset="2h")),
    ("tumbling: size must be text such as", lambda: tumbling("soon")),
    ("tumbling: size must be text such as", lambda: tumbling(3600)),  # type: ignore[arg-type]
    ("filter: .key_by(…) must be followed by .window(…)", lambda: keyed().filter(pl.col("delay") > 1)),
    ("to: .window(…) must be followed by .aggregate(…)", lambda: windowed().to(stdout())),
    ("aggregate: say over which window first", lambda: keyed().aggregate(n=count())),
    ("aggregate: name at least one", lambda: windowed().aggregate()),
    ("aggregate: n must be an aggregate such as count()", lambda: windowed().aggregate(n=pl.len())),  # type: ignore[arg-type]
    ('aggregate: the result has a column "pane" already', lambda: windowed().aggregate(pane=count())),
    ('aggregate: the result has a column "origin" already', lambda: windowed().aggregate(origin=count())),
    (
        'aggregate d=mean(dely): there is no column "dely". Did you mean "delay"?',
        lambda: windowed().aggregate(d=mean("dely")),
    ),
    ("aggregate d=sum(origin): needs numbers, and origin is String", lambda: windowed().aggregate(d=total("origin"))),
    ("aggregate d=std(tags): needs numbers, and tags is List", lambda: windowed().aggregate(d=std("tags"))),
    ("late: only a windowed stream has late records", lambda: timed().late(stdout())),
    ("late: there is a late sink already", lambda: windowed().aggregate(n=count()).late(stdout()).late(stdout())),
    ("to: needs a sink, such as files(…), not str", lambda: flights().to("out")),  # type: ignore[arg-type]
    ('to: there is an output named "x" already', lambda: flights().to(stdout(), name="x").to(stdout(), name="x")),
    ("Stream needs a source, such as files(…), not str", lambda: Stream("flights")),  # type: ignore[arg-type]
    ("files: a source needs schema=", lambda: Stream(files("flights"))),
    ('files: "when": Time cannot be read', lambda: Stream(files("f", schema={"when": pl.Time}))),
    ('files: "x.y": Datetime', lambda: Stream(files("f", schema={"x": pl.Struct({"y": pl.Datetime("ms")})}))),
    ('files: a source reads format="json"', lambda: Stream(files("f", schema=SCHEMA, format="xml"))),
    ("files: a sink writes into a directory, not 'out/*'", lambda: flights().to(files("out/*"))),
    ('files: a sink writes format="json" or "parquet", not', lambda: flights().to(files("out", format="csv"))),
]


@pytest.mark.parametrize(("message", "build"), WRONG, ids=[message[:60] for message, _ in WRONG])
def test_what_is_wrong_is_said_with_the_users_line(message: str, build: Callable[[], object]) -> None:
    with pytest.raises(ProgramError) as caught:
        build()
    assert message in str(caught.value)
    lines, start = inspect.getsourcelines(build)
    assert caught.value.where is not None
    file, _, line = caught.value.where.rpartition(":")
    assert file == __file__
    assert start <= int(line) <= start + len(lines)


def test_a_program_without_a_sink_or_an_end_is_not_complete() -> None:
    with pytest.raises(ProgramError, match=r"writes nowhere: end it with \.to"):
        flights().plan()
    with pytest.raises(ProgramError, match=r"\.key_by.* must be followed"):
        flights().to(stdout()).event_time("at").key_by("origin", partitioned=True).plan()


def test_more_than_a_sink_can_promise_is_refused() -> None:
    plan = flights().to(files("out")).to(stdout()).plan()
    refuse_broken_promises(plan, Delivery.AT_LEAST_ONCE)
    with pytest.raises(ProgramError, match="stdout cannot promise exactly-once; it can promise at-least-once, at-most"):
        refuse_broken_promises(plan, Delivery.EXACTLY_ONCE)


def test_outputs_are_named_in_order_or_by_the_user() -> None:
    stream = windowed().aggregate(n=count()).to(stdout()).to(stdout(), name="mine").to(stdout()).late(stdout())
    assert [write.name for write in stream.plan().writes()] == ["sink0", "mine", "sink2", "late"]


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("0s", 0),
        ("500ms", 500_000),
        ("2h", 7_200_000_000),
        ("1d", 86_400_000_000),
        ("1h30m", 5_400_000_000),
        (" 1w 2d ", 777_600_000_000),
        ("7us", 7),
        (timedelta(minutes=1), 60_000_000),
    ],
)
def test_durations(text: str, us: int) -> None:
    assert microseconds(text) == us
    assert microseconds(duration_text(us)) == us


@pytest.mark.parametrize("text", ["", "1", "h", "1.5h", "-1h", "1 hour", "1h!", None, 5])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ProgramError, match="must be text such as"):
        microseconds(text)  # type: ignore[arg-type]


def test_a_users_own_aggregate_shows_by_its_class() -> None:
    class Longest:
        def create(self) -> str:
            return ""

        def add(self, state: str, value: str) -> str:
            return max(state, value, key=len)

        def merge(self, a: str, b: str) -> str:
            return max(a, b, key=len)

        def result(self, state: str) -> int:
            return len(state)

    aggregator: Aggregator[str] = Longest()
    stream = windowed().aggregate(longest=own(aggregator, "origin", returns=pl.Int64))
    assert stream.schema["longest"] == pl.Int64
    assert "longest=Longest(origin)" in stream.explain()


def test_explode_gives_a_row_per_element_and_none_for_nothing() -> None:
    stream = Stream(files("x", schema={"i": pl.Int64, "tags": pl.List(pl.String)})).explode("tags").to(stdout())
    rows = [{"i": 1, "tags": ["a", "b"]}, {"i": 2, "tags": []}, {"i": 3, "tags": None}, {"i": 4, "tags": ["c"]}]
    assert testing.run(stream, rows).rows.rows() == [(1, "a"), (1, "b"), (4, "c")]
