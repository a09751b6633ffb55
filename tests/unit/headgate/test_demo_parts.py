"""The demo's data, its feeder's schedule, and a comparison that cannot be fooled."""

from pathlib import Path

import polars as pl
import pytest

from headgate.demo.feeder import batches, due, feed
from headgate.demo.flights import flights, lines
from headgate.demo.oracle import compared, expected


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    """All flights."""
    return flights()


def answer(frame: pl.DataFrame) -> pl.DataFrame:
    """The right answer in the form of a job's output: every window once, at revision 0."""
    return expected(frame).rename({"hour": "window_start"}).with_columns(revision=pl.lit(0))


def test_the_data_is_the_year_of_flights(log: pl.DataFrame) -> None:
    """336,776 flights, three airports, twelve partitions, in the order in which they became known."""
    assert log.height == 336_776
    assert set(log["origin"]) == {"EWR", "JFK", "LGA"}
    assert log["partition"].n_unique() == 12
    known = log.select(pl.col("scheduled") + pl.duration(minutes=pl.col("delay").fill_null(0.0))).to_series()
    assert known.is_sorted()
    assert not log["scheduled"].is_sorted()


def test_every_key_and_window_is_in_one_partition(log: pl.DataFrame) -> None:
    """What the job says of its input (`partitioned=True`) is true of it."""
    homes = log.group_by("origin", pl.col("scheduled").dt.truncate("1h")).agg(pl.col("partition").n_unique())
    assert homes["partition"].max() == 1


@pytest.mark.parametrize(
    ("elapsed", "records"), [(-1, 0), (0, 0), (1, 10), (10, 100), (11, 200), (20, 1100), (99, 1100)]
)
def test_the_feed_follows_its_phases(elapsed: float, records: int) -> None:
    """Rates add up phase by phase and stop at the last."""
    assert due(elapsed, ((10.0, 10.0), (10.0, 100.0))) == records


def test_batches_lose_and_double_nothing(log: pl.DataFrame) -> None:
    """Cut anywhere, the partitions' texts are the log."""
    part = lines(log.head(1000))
    texts: dict[str, str] = {}
    for begin, end in ((0, 1), (1, 400), (400, 400), (400, 1000)):
        for partition, text in batches(part, begin, end):
            texts[partition] = texts.get(partition, "") + text
    for (partition,), rows in part.group_by("partition"):
        assert texts[str(partition)] == "".join(rows["line"])


def test_the_feeder_writes_all_and_then_says_so(tmp_path: Path, log: pl.DataFrame) -> None:
    """At full speed the whole log is there, and `_SUCCESS` after it."""
    assert feed(tmp_path, full_speed=True) == log.height
    assert sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("*.jsonl")) == log.height
    assert (tmp_path / "_SUCCESS").exists()


def test_the_right_answer_is_equal(log: pl.DataFrame) -> None:
    """No differences, whatever the order of the rows; older revisions do not count."""
    output = answer(log)
    older = output.head(100).with_columns(departures=pl.lit(1, dtype=pl.Int64), revision=pl.lit(-1))
    found = compared(pl.concat([output, older]).sample(fraction=1.0, shuffle=True, seed=1), log)
    assert found.equal
    assert (found.windows, found.rows) == (output.height, output.height + 100)


@pytest.mark.parametrize(
    ("column", "change", "lost", "doubled"),
    [
        ("departures", 1, 0, 1),
        ("departures", -1, 1, 0),
        ("delay_mean", 0.001, 0, 0),
        ("delay_max", 1, 0, 0),
        ("late_share", -0.01, 0, 0),
    ],
)
def test_one_wrong_value_is_found(log: pl.DataFrame, column: str, change: float, lost: int, doubled: int) -> None:
    """A single window that is off in a single value makes the answers differ, and lost is not doubled."""
    output = answer(log).with_row_index()
    wrong = output.with_columns(
        pl.when(pl.col("index") == 7).then(pl.col(column) + change).otherwise(pl.col(column)).cast(output[column].dtype)
    ).drop("index")
    found = compared(wrong, log)
    assert not found.equal
    assert (found.differing, found.lost, found.doubled, len(found.examples)) == (1, lost, doubled, 1)


def test_a_missing_and_an_invented_window_are_found(log: pl.DataFrame) -> None:
    """A window the job did not write loses its records; one that should not be doubles them."""
    output = answer(log)
    gone = output.row(0, named=True)["departures"]
    invented = output.tail(1).with_columns(window_start=pl.col("window_start") + pl.duration(days=4000))
    found = compared(pl.concat([output.tail(-1), invented]), log)
    assert (found.differing, found.lost) == (2, gone)
    assert found.doubled == invented["departures"].item()


def test_no_output_is_not_equal(log: pl.DataFrame) -> None:
    """Nothing written is no success, not even on no input."""
    assert not compared(answer(log).clear(), log).equal
    assert not compared(answer(log).clear(), log.clear()).equal
