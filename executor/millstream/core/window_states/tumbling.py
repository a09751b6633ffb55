"""Tumbling windows: one row per key and window.

Batches become small frames (*runs*), merged into one when they have grown to the size of what is already merged.
Giving a result appends a run with neutral partials and `__revision` 1, so nothing is ever rewritten in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from millstream.aggregates import TIME
from millstream.contract.checkpoint import END_OF_TIME_US
from millstream.core.window_states.partials import REVISION, ROWS, SHOWN, WINDOW, Partials
from millstream.core.window_states.state import ROLE
from millstream.windows import Tumbling

_RUN_ROWS_MIN = 4096
_RUNS_MAX = 64


class TumblingState:
    """See `WindowState`."""

    def __init__(self, partials: Partials, window: Tumbling, *, allowed_lateness_us: int) -> None:
        self._partials = partials
        self._window = window
        self._lateness_us = allowed_lateness_us
        self._empty = self.partial(partials.no_records())
        self._runs: list[pl.DataFrame] = [self._empty]
        self._unmerged_rows = 0
        self._next_end_us = END_OF_TIME_US

    @property
    def partials(self) -> Partials:
        """See `WindowState`."""
        return self._partials

    @property
    def rows(self) -> int:
        """See `WindowState`."""
        return sum(run.height for run in self._runs)

    # ---- folding in

    def partial(self, records: pl.DataFrame) -> pl.DataFrame:
        """See `WindowState`.  One row per key and window."""
        return self._partials.of(records, [self._window.starts(pl.col(TIME)).alias(WINDOW), *self._partials.keys])

    def combined(self, partials: pl.DataFrame) -> pl.DataFrame:
        """See `WindowState`."""
        return self._partials.merged(partials, self._partials.group)

    def fold(self, partial: pl.DataFrame) -> None:
        """See `WindowState`."""
        if partial.height == 0:
            return
        first = partial[WINDOW].min()
        assert isinstance(first, int)
        self._next_end_us = min(self._next_end_us, first + self._window.size_us)
        self._append(partial)

    def take_all(self) -> pl.DataFrame:
        """See `WindowState`."""
        merged = self._merged(self._runs)
        self._runs, self._unmerged_rows, self._next_end_us = [self._empty], 0, END_OF_TIME_US
        return merged

    # ---- lateness

    def too_late(self, time_us: pl.Expr, watermark_us: pl.Expr) -> pl.Expr:
        """See `WindowState`."""
        return self._gone(self._window.starts(time_us), watermark_us)

    def may_be_too_late(self, time_us: int, watermark_us: int | None) -> bool:
        """See `WindowState`."""
        if watermark_us is None:
            return False
        return self._window.start_of(time_us) + self._window.size_us + self._lateness_us <= watermark_us

    def gone(self, watermark_us: int) -> pl.Expr:
        """See `WindowState`."""
        return self._gone(pl.col(WINDOW), pl.lit(watermark_us))

    # ---- results

    def closed(self, before_us: int | None, after_us: int | None, touched: pl.DataFrame | None) -> pl.DataFrame:
        """See `WindowState`."""
        if after_us is None:
            return self._results(self._empty, pane="on_time")
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
                group = self._partials.group
                corrected = touched.filter(pl.col(WINDOW) <= before_us - size).select(group)
                runs = [run.join(corrected, on=group, how="semi", nulls_equal=True) for run in self._runs]
                results.append(self._show(self._merged(runs), pane="late"))
        return pl.concat(results) if results else self._results(self._empty, pane="on_time")

    def early(self, watermark_us: int | None) -> pl.DataFrame:
        """See `WindowState`."""
        self._compact(watermark_us)
        due = pl.col(ROWS) > pl.col(SHOWN)
        if watermark_us is not None:
            due &= pl.col(WINDOW) > watermark_us - self._window.size_us
        return self._show(self._runs[0].filter(due), pane="early")

    # ---- saving

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """See `WindowState`."""
        self._compact(watermark_us)
        return {ROLE: self._runs[0]} if self._runs[0].height else {}

    def load(self, frames: Mapping[str, pl.DataFrame], watermark_us: int | None) -> None:
        """See `WindowState`."""
        state = frames.get(ROLE, self._empty)
        assert state.schema == self._empty.schema
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

    def _compact(self, watermark_us: int | None) -> None:
        """Merge all runs into one, without what is gone."""
        runs = self._runs
        if watermark_us is not None:
            runs = [run.filter(~self.gone(watermark_us)) for run in runs]
        self._runs, self._unmerged_rows = [self._merged(runs)], 0

    def _merged(self, runs: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """One row per key and window, earlier runs first.  In one run every key and window is there once."""
        filled = [run for run in runs if run.height]
        if not filled:
            return self._empty
        return filled[0] if len(filled) == 1 else self.combined(pl.concat(filled))

    def _show(self, state: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        """The results of `state`, noted as given."""
        if state.height:
            stands = {
                ROWS: pl.lit(0, dtype=pl.Int64),
                SHOWN: pl.col(ROWS),
                REVISION: pl.lit(1, dtype=pl.Int64),
                **{name: pl.col(name) for name in self._partials.group},
            }
            columns = self._empty.schema.items()
            self._append(state.select(stands.get(name, pl.lit(None, dtype)).alias(name) for name, dtype in columns))
        return self._results(state, pane=pane)

    def _results(self, state: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        return self._partials.results(state, end=pl.col(WINDOW) + self._window.size_us, pane=pane)

    def _earliest_end_after(self, watermark_us: int | None) -> int:
        ends = []
        for run in self._runs:
            starts = run[WINDOW]
            if watermark_us is not None:
                starts = starts.filter(starts > watermark_us - self._window.size_us)
            first = starts.min()
            if isinstance(first, int):
                ends.append(first + self._window.size_us)
        return min(ends, default=END_OF_TIME_US)
