"""The state of windows: one row of merged aggregates per key and window, kept in columns.

A batch is folded in as one small frame of partials (a *run*).  Runs are merged into one when they have grown to the
size of what is already merged, so the cost per record stays the same however large the state is.  What a run holds
beside the aggregates' partials:

- `__window`: start of the window, microseconds;
- `__rows`: records folded in; `__shown`: value of `__rows` when a result was last given (they differ: changed since);
- `__revision`: results given so far.

Giving a result appends a run with neutral partials and `__revision` 1, so nothing is ever rewritten in place.

A window's life against the watermark: open until its end, then *closed* (kept for corrections) until
end + allowed lateness, then gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from millstream.aggregates import TIME, Aggregate
from millstream.contract.checkpoint import END_OF_TIME_US
from millstream.windows import Tumbling

WINDOW, ROWS, SHOWN, REVISION = "__window", "__rows", "__shown", "__revision"

_RUN_ROWS_MIN = 4096
_RUNS_MAX = 64


class WindowState:
    """Keyed, windowed aggregates of one shard."""

    def __init__(
        self,
        *,
        keys: Sequence[str],
        window: Tumbling,
        allowed_lateness_us: int,
        aggregates: Mapping[str, Aggregate],
        records: pl.Schema,
        time_column: str,
    ) -> None:
        self._keys = list(keys)
        self._group = [WINDOW, *self._keys]
        self._window = window
        self._lateness_us = allowed_lateness_us
        self._aggregates = dict(aggregates)
        self._partial_keys = [window.starts(pl.col(TIME)).alias(WINDOW), *self._keys]
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
        empty = self.partial(pl.DataFrame(schema=self._record_schema))
        self._state_schema = empty.schema
        self._runs: list[pl.DataFrame] = [empty]
        self._unmerged_rows = 0
        self._next_end_us = END_OF_TIME_US

    @property
    def state_schema(self) -> pl.Schema:
        """Columns of the state."""
        return self._state_schema

    def result_schema(self) -> pl.Schema:
        """Columns of the results."""
        return self._results(pl.DataFrame(schema=self._state_schema), pane="on_time").schema

    @property
    def rows(self) -> int:
        """Rows held, before merging; an upper bound of keys times windows."""
        return sum(run.height for run in self._runs)

    # ---- folding in

    def partial(self, records: pl.DataFrame) -> pl.DataFrame:
        """One row per key and window of `records`, which have their event time in `TIME`.  Changes nothing.

        The only place where a user's own aggregate sees records.
        """
        grouped = records.group_by(self._partial_keys).agg(self._partials)
        for name, aggregate in self._aggregates.items():
            if aggregate.pack_partials is not None:
                grouped = aggregate.pack_partials(grouped, name)
        return grouped

    def combined(self, partials: pl.DataFrame) -> pl.DataFrame:
        """One row per key and window of partials that have several, earlier ones first.  Changes nothing."""
        merged = partials.group_by(self._group).agg(self._merges)
        for name, aggregate in self._aggregates.items():
            if aggregate.pack_merges is not None:
                merged = aggregate.pack_merges(merged, name)
        return merged

    def fold(self, partial: pl.DataFrame) -> None:
        """Take in what `partial` made."""
        if partial.height == 0:
            return
        first = partial[WINDOW].min()
        assert isinstance(first, int)
        self._next_end_us = min(self._next_end_us, first + self._window.size_us)
        self._append(partial)

    def too_late(self, time_us: pl.Expr, watermark_us: pl.Expr) -> pl.Expr:
        """Whether the window of an event time is past its allowed lateness."""
        return self._gone(self._window.starts(time_us), watermark_us)

    def may_be_too_late(self, time_us: int, watermark_us: int | None) -> bool:
        """The same for one record."""
        if watermark_us is None:
            return False
        return self._window.start_of(time_us) + self._window.size_us + self._lateness_us <= watermark_us

    def gone(self, watermark_us: int) -> pl.Expr:
        """Whether the window of a row of state is past its allowed lateness."""
        return self._gone(pl.col(WINDOW), pl.lit(watermark_us))

    def take_all(self) -> pl.DataFrame:
        """The whole state, merged; it is empty after that."""
        merged = self._merged(self._runs)
        self._runs, self._unmerged_rows, self._next_end_us = [merged.clear()], 0, END_OF_TIME_US
        return merged

    # ---- results

    def closed(self, before_us: int | None, after_us: int | None, touched: pl.DataFrame | None) -> pl.DataFrame:
        """Results due when the watermark went from `before_us` to `after_us` while `touched` was folded in.

        Pane `on_time` for every window whose end the watermark passed, `late` for windows in `touched` that were
        closed before: at most one row for each.
        """
        if after_us is None:
            return self._results(self._runs[0].clear(), pane="on_time")
        size = self._window.size_us
        results = []
        if self._next_end_us <= after_us:
            due = pl.col(WINDOW) <= after_us - size
            if before_us is not None:
                due &= pl.col(WINDOW) > before_us - size
            results.append(self._show(self._merged([run.filter(due) for run in self._runs]), pane="on_time"))
            self._next_end_us = self._earliest_end_after(after_us)
        if touched is not None and before_us is not None:
            earliest = touched[WINDOW].min()
            if isinstance(earliest, int) and earliest <= before_us - size:
                corrected = touched.filter(pl.col(WINDOW) <= before_us - size).select(self._group)
                runs = [run.join(corrected, on=self._group, how="semi", nulls_equal=True) for run in self._runs]
                results.append(self._show(self._merged(runs), pane="late"))
        if not results:
            return self._results(self._runs[0].clear(), pane="on_time")
        return pl.concat(results)

    def early(self, watermark_us: int | None) -> pl.DataFrame:
        """Provisional results of the open windows that changed since their last result."""
        self.compact(watermark_us)
        due = pl.col(ROWS) > pl.col(SHOWN)
        if watermark_us is not None:
            due &= pl.col(WINDOW) > watermark_us - self._window.size_us
        return self._show(self._runs[0].filter(due), pane="early")

    # ---- saving

    def compact(self, watermark_us: int | None) -> pl.DataFrame:
        """Merge all runs into one, without what is gone, and return it: the whole state."""
        runs = self._runs
        if watermark_us is not None:
            kept = ~self._gone(pl.col(WINDOW), pl.lit(watermark_us))
            runs = [run.filter(kept) for run in runs]
        self._runs = [self._merged(runs)]
        self._unmerged_rows = 0
        return self._runs[0]

    def load(self, state: pl.DataFrame, watermark_us: int | None) -> None:
        """Go on from a saved state."""
        assert state.schema == self._state_schema
        self._runs, self._unmerged_rows = [state], 0
        self._next_end_us = self._earliest_end_after(watermark_us)

    # ---- inside

    def _gone(self, window_us: pl.Expr, watermark_us: pl.Expr) -> pl.Expr:
        return window_us + (self._window.size_us + self._lateness_us) <= watermark_us

    def _append(self, run: pl.DataFrame) -> None:
        self._runs.append(run)
        self._unmerged_rows += run.height
        if self._unmerged_rows > max(_RUN_ROWS_MIN, self._runs[0].height) or len(self._runs) > _RUNS_MAX:
            self._runs = [self._merged(self._runs)]
            self._unmerged_rows = 0

    def _merged(self, runs: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """One row per key and window, aggregates of earlier runs first."""
        filled = [run for run in runs if run.height]
        if not filled:
            return runs[0].clear()
        if len(filled) == 1:
            return filled[0]
        return self.combined(pl.concat(filled))

    def _show(self, state: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        """The results of `state`, noted as given."""
        if state.height:
            neutral = state.select(
                pl.lit(0, dtype=pl.Int64).alias(name)
                if name == ROWS
                else pl.col(ROWS).alias(name)
                if name == SHOWN
                else pl.lit(1, dtype=pl.Int64).alias(name)
                if name == REVISION
                else pl.col(name)
                if name in self._group
                else pl.lit(None, dtype=dtype).alias(name)
                for name, dtype in self._state_schema.items()
            )
            self._append(neutral)
        return self._results(state, pane=pane)

    def _results(self, state: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        start = pl.col(WINDOW)
        return state.sort(self._group).select(
            *self._keys,
            self._bound(start).alias("window_start"),
            self._bound(start + self._window.size_us).alias("window_end"),
            *[aggregate.result(name).alias(name) for name, aggregate in self._aggregates.items()],
            pl.lit(pane).alias("pane"),
            pl.col(REVISION).alias("revision"),
        )

    def _bound(self, time_us: pl.Expr) -> pl.Expr:
        """A window's bound in the type of the event-time column."""
        return time_us.cast(pl.Datetime("us", self._bound_type.time_zone)).cast(self._bound_type)

    def _earliest_end_after(self, watermark_us: int | None) -> int:
        ends = []
        for run in self._runs:
            starts = (
                run[WINDOW]
                if watermark_us is None
                else run[WINDOW].filter(run[WINDOW] > watermark_us - self._window.size_us)
            )
            first = starts.min()
            if isinstance(first, int):
                ends.append(first + self._window.size_us)
        return min(ends, default=END_OF_TIME_US)
