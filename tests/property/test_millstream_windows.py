"""Sliding and session windows: any batches, any order within what is allowed, any place of abort, any number of shards
of the second stage give the result of one query over all records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream import Stream, count, first, last, session, sliding, testing
from millstream import sum as total
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.windows import Session, Sliding

SCHEMA = pl.Schema({"key": pl.String(), "at": pl.Datetime("ms"), "value": pl.Int64()})
START = datetime(2024, 1, 1)
START_S = 1_704_067_200
DISORDER_S = 20
Row = tuple[str | None, int, int]
"""key, event time in seconds, value"""
Result = dict[tuple[str | None, int, int], tuple[int, int, int, int]]
"""(key, start, end) → (n, total, first value, last value)"""


@st.composite
def inputs(draw: st.DrawFn) -> list[Row]:
    """Records that are out of order by less than what is allowed, with pauses between them."""
    rows: list[Row] = []
    clock = 0
    for number in range(draw(st.integers(0, 40))):
        clock += draw(st.sampled_from((0, 1, 3, 9, 31, 200)))
        rows.append((draw(st.sampled_from(("a", "b", None))), clock - draw(st.integers(0, DISORDER_S - 1)), number))
    return rows


def slid(rows: Sequence[Row], window: Sliding) -> Result:
    """Every window of every record, one by one."""
    size, slide, offset = (us // 1_000_000 for us in (window.size_us, window.slide_us, window.offset_us))
    members: dict[tuple[str | None, int, int], list[Row]] = {}
    for row in rows:
        start = row[1] - (START_S + row[1] - offset) % slide
        while start > row[1] - size:
            members.setdefault((row[0], start, start + size), []).append(row)
            start -= slide
    return {window_of: summed(found) for window_of, found in members.items()}


def sessions(rows: Sequence[Row], window: Session) -> Result:
    """Record by record in the order of time."""
    gap = window.gap_us // 1_000_000
    found: Result = {}
    for key in {row[0] for row in rows}:
        open_session: list[Row] = []
        for row in [*sorted((row for row in rows if row[0] == key), key=lambda row: row[1]), None]:
            if open_session and (row is None or row[1] >= open_session[-1][1] + gap):
                found[key, open_session[0][1], open_session[-1][1] + gap] = summed(open_session)
                open_session = []
            if row is not None:
                open_session.append(row)
    return found


def summed(rows: Sequence[Row]) -> tuple[int, int, int, int]:
    ordered = sorted(rows, key=lambda row: row[1])
    ties = [row[2] for row in rows if row[1] == ordered[-1][1]]
    return len(rows), sum(row[2] for row in rows), ordered[0][2], ties[-1]


def ran(
    window: Sliding | Session, items: Sequence[Mapping[str, Any] | testing.Marker], how: Mapping[str, Any]
) -> testing.TestRun:
    stream = (
        Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))
        .event_time("at", out_of_orderness=f"{DISORDER_S}s")
        .key_by("key", **how["shards"])
        .window(window, early=how["early"], allowed_lateness=how["lateness"])
        .aggregate(n=count(), total=total("value"), first=first("value"), last=last("value"))
    )
    written = stream.to(CollectingSink(stream.schema))
    return testing.run(written, items, batch_size=how["batch_size"], checkpoint_every=how["every"])


def shown(run: testing.TestRun, *key: str) -> Result:
    newest = run.latest("key", *key)
    return {
        (row["key"], *(round((row[bound] - START).total_seconds()) for bound in ("window_start", "window_end"))): (
            row["n"],
            row["total"],
            row["first"],
            row["last"],
        )
        for row in newest.iter_rows(named=True)
    }


ways = st.fixed_dictionaries(
    {
        "shards": st.sampled_from(({"partitioned": True}, {"shards": 1}, {"shards": 3})),
        "early": st.sampled_from((None, "1s")),
        "lateness": st.sampled_from(("0s", "1m")),
        "batch_size": st.integers(1, 12),
        "every": st.integers(1, 4),
    }
)
markers = st.sampled_from((testing.ABORT, testing.CHECKPOINT, testing.EOF, testing.ADVANCE("2s")))


def with_markers(rows: Sequence[Row], places: Sequence[tuple[int, testing.Marker]]) -> list[Any]:
    items: list[Any] = [{"key": key, "at": START + timedelta(seconds=at), "value": value} for key, at, value in rows]
    for place, marker in places:
        items.insert(place % (len(items) + 1), marker)
    return items


places = st.lists(st.tuples(st.integers(0, 60), markers), max_size=5)
relaxed = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(
    rows=inputs(),
    places=places,
    how=ways,
    lengths=st.sampled_from((("60s", "10s", "0s"), ("60s", "60s", "0s"), ("50s", "20s", "5s"), ("30s", "7s", "0s"))),
)
@relaxed
def test_sliding_windows_give_what_every_window_of_every_record_gives(
    rows: list[Row], places: list[tuple[int, testing.Marker]], how: dict[str, Any], lengths: tuple[str, str, str]
) -> None:
    window = sliding(lengths[0], every=lengths[1], offset=lengths[2])
    run = ran(window, with_markers(rows, places), how)
    assert shown(run, "window_start") == slid(rows, window)
    check_revisions(run, "window_start")


@given(rows=inputs(), places=places, how=ways, gap=st.sampled_from(("5s", "25s", "100s")))
@relaxed
def test_sessions_are_what_the_records_in_order_of_time_give(
    rows: list[Row], places: list[tuple[int, testing.Marker]], how: dict[str, Any], gap: str
) -> None:
    window = session(gap)
    run = ran(window, with_markers(rows, places), how)
    assert shown(run, "window_start") == sessions(rows, window)
    check_revisions(run, "window_start")


def check_revisions(run: testing.TestRun, *key: str) -> None:
    """Every window's results count up, and it is on time once at most unless a session was opened again."""
    assert run.counters.late == 0
    for _, group in run.rows.filter(pl.col("pane") != "withdrawn").group_by("key", *key):
        assert group["revision"].n_unique() == group.height
