"""The same answer by other means: one plain Polars query over the whole data, and what differs from it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

TOLERANCE = 1e-9
"""Relative; the order of additions may differ in the last bits of a mean."""

_KEY = ("origin", "hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The job's answer held against the query's.

    `windows` and `rows` count what the job wrote: (origin, hour) pairs, and rows with all their revisions.
    `differing` pairs are on one side only, or disagree in a value; `lost` and `doubled` count records by the
    differences of the windows' counts.  `examples` are the first differing pairs, as text.
    """

    windows: int
    rows: int
    differing: int
    lost: int
    doubled: int
    examples: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether the answers are the same."""
        return self.windows > 0 and self.differing == 0 and self.lost == 0 and self.doubled == 0


def expected(flights: pl.DataFrame) -> pl.DataFrame:
    """Departures per origin and scheduled hour: origin, hour, departures, mean, max, share over 15 minutes."""
    return (
        flights.lazy()
        .filter(pl.col("delay").is_not_null())
        .group_by("origin", hour=pl.col("scheduled").dt.truncate("1h"))
        .agg(
            departures=pl.len().cast(pl.Int64),
            delay_mean=pl.col("delay").mean(),
            delay_max=pl.col("delay").max(),
            late_share=(pl.col("delay") > 15).mean(),
        )
        .collect()
    )


def newest(output: pl.DataFrame) -> pl.DataFrame:
    """Of the rows a job wrote, the highest revision per origin and window, in the columns of `expected`."""
    return (
        output.sort("revision")
        .group_by("origin", "window_start", maintain_order=True)
        .last()
        .select("origin", pl.col("window_start").alias("hour"), "departures", "delay_mean", "delay_max", "late_share")
    )


def compared(output: pl.DataFrame, flights: pl.DataFrame) -> Comparison:
    """The job's rows against the query over the whole data."""
    wanted, got = expected(flights), newest(output)
    both = wanted.join(got, on=_KEY, how="full", coalesce=True, suffix="_got")
    count, count_got = pl.col("departures").fill_null(0), pl.col("departures_got").fill_null(0)
    differs = pl.any_horizontal(
        count != count_got,
        *(_far(pl.col(name), pl.col(f"{name}_got")) for name in ("delay_mean", "delay_max", "late_share")),
    ).fill_null(value=True)
    wrong = both.filter(differs).sort(_KEY)
    return Comparison(
        windows=got.height,
        rows=output.height,
        differing=wrong.height,
        lost=int(both.select((count - count_got).clip(lower_bound=0).sum()).item()),
        doubled=int(both.select((count_got - count).clip(lower_bound=0).sum()).item()),
        examples=tuple(str(row) for row in wrong.head(5).iter_rows(named=True)),
    )


def _far(one: pl.Expr, other: pl.Expr) -> pl.Expr:
    return (one - other).abs() > TOLERANCE * pl.max_horizontal(one.abs(), pl.lit(1.0))
