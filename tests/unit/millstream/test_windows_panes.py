"""Windows told as stories: what comes out when, and under which pane and revision."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from millstream import Accumulator, Stream, count, stdout, testing, tumbling
from millstream import sum as total
from millstream.contract.worker_spec import Delivery
from millstream.sources.rows import RowsSource
from millstream.testing import ABORT, ADVANCE, CHECKPOINT, EOF

SCHEMA = {"key": pl.String, "at": pl.Datetime("ms"), "value": pl.Int64}
NINE = datetime(2024, 1, 1, 9)


def row(minute: float, value: int = 1, key: str | None = "a") -> dict[str, Any]:
    return {"key": key, "at": NINE + timedelta(minutes=minute), "value": value}


def program(
    *,
    out_of_orderness: str = "0s",
    lateness: str = "0s",
    early: str | None = None,
    idle_after: str | None = None,
    schema: dict[str, Any] | None = None,
) -> Stream:
    source = RowsSource({"x": pl.DataFrame(schema=schema or SCHEMA)})
    return (
        Stream(source)
        .event_time("at", out_of_orderness=out_of_orderness, idle_after=idle_after)
        .key_by("key", partitioned=True)
        .window(tumbling("10m"), allowed_lateness=lateness, early=early)
        .aggregate(n=count(), total=total("value"))
        .to(stdout())
        .late(stdout())
    )


Shown = tuple[str | None, int, int, str, int]


def shown(result: testing.TestRun) -> list[Shown]:
    """key, minute at which the window starts, total, pane, revision"""
    return [
        (key, (start - NINE) // timedelta(minutes=1), value, pane, revision)
        for key, start, value, pane, revision in result.rows.select(
            "key", "window_start", "total", "pane", "revision"
        ).iter_rows()
    ]


def test_a_window_shows_when_the_watermark_passes_its_end() -> None:
    rows = [row(1), row(9.9, 2), row(10, 4), row(3, 100)]
    result = testing.run(program(), rows, batch_size=1, ends=False)
    assert shown(result) == [("a", 0, 3, "on_time", 0)]
    assert result.late["value"].to_list() == [100]
    assert result.counters.late == 1


def test_a_record_at_the_end_of_a_window_is_in_the_next() -> None:
    result = testing.run(program(), [row(0), row(10)])
    assert shown(result) == [("a", 0, 1, "on_time", 0), ("a", 10, 1, "on_time", 0)]
    assert result.rows["window_end"].to_list() == [NINE + timedelta(minutes=m) for m in (10, 20)]


def test_out_of_orderness_holds_the_watermark_back() -> None:
    rows = [row(1), row(14), row(2, 10), row(15, 100), row(3, 1000)]
    result = testing.run(program(out_of_orderness="5m"), rows, batch_size=1, ends=False)
    assert shown(result) == [("a", 0, 11, "on_time", 0)]
    assert result.late["value"].to_list() == [1000]


def test_a_late_record_within_the_allowance_corrects_the_result() -> None:
    rows = [row(1), row(12), row(2, 10), row(3, 100), row(15), row(4, 1000)]
    result = testing.run(program(lateness="5m"), rows, batch_size=2, ends=False)
    # minute 2 comes with minute 12's watermark (batch of rows 3 and 4); at minute 15 the allowance is over
    assert shown(result) == [("a", 0, 1, "on_time", 0), ("a", 0, 111, "late", 1)]
    assert result.late["value"].to_list() == [1000]


def test_a_correction_comes_at_most_once_per_batch_and_counts_on() -> None:
    rows = [row(1), row(12), *[row(2, 10)] * 4]
    assert shown(testing.run(program(lateness="5m"), rows, batch_size=2, ends=False)) == [
        ("a", 0, 1, "on_time", 0),
        ("a", 0, 21, "late", 1),
        ("a", 0, 41, "late", 2),
    ]
    assert len(shown(testing.run(program(lateness="5m"), rows, batch_size=4, ends=False))) == 2


def test_a_window_that_is_first_seen_late_begins_with_a_late_pane() -> None:
    rows = [row(12), row(2, 10, "b")]
    result = testing.run(program(lateness="5m"), rows, batch_size=1, ends=False)
    assert shown(result) == [("b", 0, 10, "late", 0)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_what_is_late_depends_on_the_order_of_records_not_on_batches(batch_size: int) -> None:
    """In one batch with what moved the watermark, a record is as late as it would be in the next."""
    rows = [row(1), row(30), row(2, 7), row(31), row(29, 5)]
    result = testing.run(program(), rows, batch_size=batch_size)
    assert result.late.rows() == [("a", NINE + timedelta(minutes=m), v) for m, v in ((2, 7), (29, 5))]


def test_a_filter_behind_event_time_does_not_hold_the_watermark_back() -> None:
    stream = (
        Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))
        .event_time("at")
        .filter(pl.col("value") > 0)
        .map_batches(lambda frame: frame)
        .key_by("key", partitioned=True)
        .window(tumbling("10m"))
        .aggregate(total=total("value"))
        .to(stdout())
        .late(stdout())
    )
    for batch_size in (1, 2, 9):
        result = testing.run(stream, [row(1), row(30, -1), row(2, 9)], batch_size=batch_size, ends=False)
        assert result.late["value"].to_list() == [9]
        assert shown(result) == [("a", 0, 1, "on_time", 0)]


def test_early_panes_show_what_changed_every_so_often() -> None:
    rows = [
        row(1),
        row(1, 5, "b"),
        ADVANCE("30s"),
        ADVANCE("30s"),  # a minute is over
        ADVANCE("60s"),  # nothing changed
        row(2, 10),
        ADVANCE("60s"),
        row(11),
    ]
    result = testing.run(program(early="60s"), rows, ends=False)
    assert shown(result) == [
        ("a", 0, 1, "early", 0),
        ("b", 0, 5, "early", 0),
        ("a", 0, 11, "early", 1),
        ("a", 0, 11, "on_time", 2),
        ("b", 0, 5, "on_time", 1),
    ]


def test_revisions_go_on_after_a_restart() -> None:
    rows = [row(1), ADVANCE("60s"), CHECKPOINT, ABORT, row(2, 10), ADVANCE("60s"), EOF, row(11), ABORT, row(3, 100)]
    result = testing.run(program(early="60s", lateness="1h"), rows, ends=False)
    assert shown(result) == [
        ("a", 0, 1, "early", 0),
        ("a", 0, 11, "early", 1),
        ("a", 0, 11, "on_time", 2),
        ("a", 0, 111, "late", 3),
    ]


def test_a_quiet_shard_goes_on_with_the_clock_after_a_while() -> None:
    rows = [row(1), row(5), ADVANCE("4m"), ADVANCE("2m"), row(6, 9)]
    result = testing.run(program(idle_after="5m"), rows, ends=False)
    # five minutes behind minute 5, plus the sixth: minute 11
    assert shown(result) == [("a", 0, 2, "on_time", 0)]
    assert result.late["value"].to_list() == [9]


def test_without_idle_after_a_quiet_shard_waits() -> None:
    result = testing.run(program(), [row(1), ADVANCE("10d")], ends=False)
    assert shown(result) == []


def test_clock_and_records_are_not_added_up() -> None:
    """After an idle time, records behind the clock's watermark do not push it, and it does not go back."""
    rows = [row(1), ADVANCE("20m"), row(22), ADVANCE("6m"), row(25, 3), row(30)]
    result = testing.run(program(idle_after="5m"), rows, batch_size=1, ends=False)
    assert shown(result) == [("a", 0, 1, "on_time", 0), ("a", 20, 4, "on_time", 0)]


def test_the_end_of_the_source_closes_all_windows() -> None:
    result = testing.run(program(out_of_orderness="10d", lateness="100d"), [row(1), row(500), row(9)])
    assert shown(result) == [("a", 0, 2, "on_time", 0), ("a", 500, 1, "on_time", 0)]


def test_a_record_without_event_time_is_a_dead_letter() -> None:
    rows = [row(1), {"key": "b", "at": None, "value": 7}, row(2)]
    for batch_size in (1, 3):
        result = testing.run(program(), rows, batch_size=batch_size)
        assert shown(result) == [("a", 0, 2, "on_time", 0)]
        (letter,) = result.dead_letters
        assert (letter.position, letter.reason) == (1, 'no event time: "at" is null')
        assert letter.raw == '{"key":"b","at":null,"value":7}'
        assert result.counters.dead == 1


def test_null_keys_are_a_group_of_their_own() -> None:
    rows = [row(1, 1, None), row(2, 2), row(3, 3, None), row(12), row(4, 10, None)]
    result = testing.run(program(lateness="1h"), rows, batch_size=1, ends=False)
    assert shown(result) == [(None, 0, 4, "on_time", 0), ("a", 0, 2, "on_time", 0), (None, 0, 14, "late", 1)]


def test_event_times_before_1970_and_with_a_time_zone() -> None:
    berlin = pl.Datetime("us", "Europe/Berlin")
    at = datetime(1969, 12, 31, 22, 55, tzinfo=timezone.utc)
    rows = [{"key": "a", "at": at, "value": 1}, {"key": "a", "at": at + timedelta(minutes=70), "value": 2}]
    result = testing.run(program(schema={**SCHEMA, "at": berlin}), rows)
    assert result.rows.schema["window_start"] == berlin
    starts = [start.astimezone(timezone.utc) for start in result.rows["window_start"]]
    assert starts == [at.replace(minute=50), datetime(1970, 1, 1, tzinfo=timezone.utc)]


def test_windows_can_be_moved_from_the_hour() -> None:
    stream = (
        Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))
        .event_time("at")
        .key_by("key", partitioned=True)
        .window(tumbling("10m", offset="3m"))
        .aggregate(n=count())
        .to(stdout())
    )
    starts = testing.run(stream, [row(2.9), row(3), row(12.9)]).rows["window_start"].to_list()
    assert starts == [NINE + timedelta(minutes=m) for m in (-7, 3)]


def test_accumulators_count_once_whatever_is_repeated() -> None:
    negative = Accumulator("negative")

    def note(frame: pl.DataFrame) -> pl.DataFrame:
        negative.add(frame.filter(pl.col("value") < 0).height)
        return frame

    stream = Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)})).map_batches(note).to(stdout())
    rows = [row(i, -i) for i in range(10)]
    result = testing.run(stream, [*rows[:5], ABORT, *rows[5:], ABORT], batch_size=3, checkpoint_every=3)
    assert result.accumulators == {"negative": 9}
    assert result.counters.replayed > 0
    negative.add(5)  # outside of a program it is harmless


def test_rows_after_the_window_can_be_worked_on() -> None:
    stream = (
        Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))
        .event_time("at")
        .key_by("key", partitioned=True)
        .window(tumbling("10m"))
        .aggregate(n=count())
        .to(stdout(), name="all")
        .filter(pl.col("n") > 1)
        .select("key", twice=pl.col("n") * 2)
        .to(stdout())
    )
    result = testing.run(stream, [row(1), row(2), row(11)])
    assert result.outputs["all"].height == 2
    assert result.rows.rows() == [("a", 4)]
    assert result.counters.records_out == 3


def test_at_least_once_repeats_and_at_most_once_does_not() -> None:
    stream = Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)})).to(stdout())
    rows = [row(i, i) for i in range(6)]
    items = [*rows[:4], ABORT, *rows[4:]]
    for delivery in Delivery:
        result = testing.run(stream, items, batch_size=2, checkpoint_every=5, delivery=delivery)
        assert result.rows["value"].to_list() == [0, 1, 2, 3, 4, 5]


def test_a_test_with_a_column_the_source_does_not_have_says_so() -> None:
    with pytest.raises(AssertionError, match="the source has no column when; it has key, at, value"):
        testing.run(program(), [{"when": 1}])


def test_rows_may_be_a_frame() -> None:
    frame = pl.DataFrame([row(1), row(2)]).select("at", "key")
    assert shown(testing.run(program(), frame)) == [("a", 0, 0, "on_time", 0)]
