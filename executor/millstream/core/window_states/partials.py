"""Rows of merged partial aggregates: how records become such rows, how these merge, and what they show.

Beside the key columns and the aggregates' partials a row holds:

- `__window`: start of its window or pane, microseconds;
- `__rows`: records folded in; `__shown`: value of `__rows` when a result was last given (they differ: changed since);
- `__revision`: results given so far.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from millstream.aggregates import TIME, Aggregate

WINDOW, ROWS, SHOWN, REVISION = "__window", "__rows", "__shown", "__revision"


class Partials:
    """The aggregates of one program over its keys.  Holds no state."""

    def __init__(
        self,
        *,
        keys: Sequence[str],
        aggregates: Mapping[str, Aggregate],
        records: pl.Schema,
        time_column: str,
    ) -> None:
        self.keys = list(keys)
        self.group = [WINDOW, *self.keys]
        self._aggregates = dict(aggregates)
        self._partials = [
            *[e for name, a in aggregates.items() for e in a.partials(name, records)],
            pl.len().cast(pl.Int64).alias(ROWS),
            pl.lit(0, dtype=pl.Int64).alias(SHOWN),
            pl.lit(0, dtype=pl.Int64).alias(REVISION),
        ]
        self._merges = [
            *[e for name, a in aggregates.items() for e in a.merges(name)],
            pl.col(ROWS).sum(),
            pl.col(SHOWN).max(),
            pl.col(REVISION).sum(),
        ]
        self._record_schema = pl.Schema([*records.items(), (TIME, pl.Int64())])
        time_type = records[time_column]
        assert isinstance(time_type, pl.Datetime)
        self._bound_type = time_type

    def no_records(self) -> pl.DataFrame:
        """An empty frame of what `of` takes."""
        return pl.DataFrame(schema=self._record_schema)

    def of(self, records: pl.DataFrame, by: Sequence[pl.Expr | str], *more: pl.Expr) -> pl.DataFrame:
        """One row per group of `records`; `more` are aggregations of its own for the kind of window."""
        grouped = records.group_by(by).agg(*more, *self._partials)
        for name, aggregate in self._aggregates.items():
            if aggregate.pack_partials is not None:
                grouped = aggregate.pack_partials(grouped, name)
        return grouped

    def merged(self, rows: pl.DataFrame, by: Sequence[str], *more: pl.Expr) -> pl.DataFrame:
        """One row per group of partial rows, earlier ones first.  `more` may stand in for columns of the same name."""
        replaced = {expr.meta.output_name() for expr in more}
        merges = [expr for expr in self._merges if expr.meta.output_name() not in replaced]
        merged = rows.group_by(by).agg(*more, *merges)
        for name, aggregate in self._aggregates.items():
            if aggregate.pack_merges is not None:
                merged = aggregate.pack_merges(merged, name)
        return merged.select(rows.columns)

    def results(self, rows: pl.DataFrame, *, end: pl.Expr, pane: str) -> pl.DataFrame:
        """What partial rows show, sorted by window and key; `end` of the window in microseconds."""
        return rows.sort(self.group).select(
            *self.keys,
            self.bound(pl.col(WINDOW)).alias("window_start"),
            self.bound(end).alias("window_end"),
            *[aggregate.result(name).alias(name) for name, aggregate in self._aggregates.items()],
            pl.lit(pane).alias("pane"),
            pl.col(REVISION).alias("revision"),
        )

    def without_values(self, results: pl.DataFrame) -> pl.DataFrame:
        """The same results with nothing in the aggregates' columns."""
        return results.with_columns(pl.lit(None, dtype=results.schema[name]).alias(name) for name in self._aggregates)

    def bound(self, time_us: pl.Expr) -> pl.Expr:
        """A window's bound in the type of the event-time column."""
        return time_us.cast(pl.Datetime("us", self._bound_type.time_zone)).cast(self._bound_type)
