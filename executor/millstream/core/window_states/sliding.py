"""Sliding windows by panes: every record is folded into one pane, and a window is the merger of its panes.

The cost of a window does not grow with how much windows overlap.  Time is cut into blocks of one window's length; every
window is the end of one block and the beginning of the next.  The ends of a block are merged once, from the last
pane backwards; the beginning grows by what is new since the window before.  So each window costs about three mergers of
a pane's size, however many panes it has (van Herk 1992 and Gil and Werman 1993, for running maxima).  Some windows are
merged in one go: a merger of a few rows more costs less than another merger.

A record that comes for a pane already merged so makes the next window merge its block anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import gcd

import polars as pl

from millstream.aggregates import TIME
from millstream.core.window_states.partials import REVISION, ROWS, SHOWN, WINDOW, Partials
from millstream.core.window_states.state import ROLE
from millstream.windows import Sliding

SHOWN_ROLE = "shown"
_PANE = "__pane"
_RUNS_MAX = 16
_AT_ONCE = 8
"""Windows merged in one go."""


@dataclass(slots=True)
class _Merged:
    """Mergers kept from window to window.

    `ends` are those of the block at `block_us`, with the window start from which on in `WINDOW`; `beginning` is that
    of the block after it, up to `until_us`.  All panes below `settled_us` may be in one of them.
    """

    block_us: int | None = None
    ends: pl.DataFrame | None = None
    beginning: pl.DataFrame | None = None
    until_us: int = 0
    settled_us: int | None = None


class SlidingState:
    """See `WindowState`.  `__window` of a partial row is the start of its pane."""

    def __init__(self, partials: Partials, window: Sliding, *, allowed_lateness_us: int, early: bool) -> None:
        """With `early`, what changed is remembered until `early` is called."""
        self._partials = partials
        self._window = window
        self._lateness_us = allowed_lateness_us
        self._pane_us = gcd(window.size_us, window.slide_us)
        self._empty = self.partial(partials.no_records())
        self._panes: dict[int, list[pl.DataFrame]] = {}
        self._nothing_shown = self._empty.select(*partials.group, SHOWN, REVISION)
        self._shown: dict[int, list[pl.DataFrame]] = {}
        self._early = early
        self._changed: list[pl.DataFrame] = []
        self._kept = _Merged()

    @property
    def partials(self) -> Partials:
        """See `WindowState`."""
        return self._partials

    @property
    def rows(self) -> int:
        """See `WindowState`."""
        return sum(run.height for runs in self._panes.values() for run in runs)

    # ---- folding in

    def partial(self, records: pl.DataFrame) -> pl.DataFrame:
        """See `WindowState`.  One row per key and pane."""
        time, offset = pl.col(TIME), self._window.offset_us
        pane = (time - (time - offset) % self._pane_us).alias(WINDOW)
        return self._partials.of(records, [pane, *self._partials.keys])

    def combined(self, partials: pl.DataFrame) -> pl.DataFrame:
        """See `WindowState`."""
        return self._partials.merged(partials, self._partials.group)

    def fold(self, partial: pl.DataFrame) -> None:
        """See `WindowState`."""
        if partial.height == 0:
            return
        if self._early:
            self._changed.append(partial.select(self._partials.group))
        for (pane,), run in partial.partition_by(WINDOW, as_dict=True).items():
            runs = self._panes.setdefault(int(pane), [])
            runs.append(run)
            if len(runs) > _RUNS_MAX:
                self._panes[int(pane)] = [self.combined(pl.concat(runs))]
            if self._kept.settled_us is not None and int(pane) < self._kept.settled_us:
                self._kept = _Merged()

    def take_all(self) -> pl.DataFrame:
        """See `WindowState`."""
        runs = self._runs(self._panes)
        merged = self.combined(pl.concat(runs)) if runs else self._empty
        self._panes, self._changed, self._kept = {}, [], _Merged()
        return merged

    # ---- lateness

    def too_late(self, time_us: pl.Expr, watermark_us: pl.Expr) -> pl.Expr:
        """See `WindowState`."""
        return self._last_start(time_us) + (self._window.size_us + self._lateness_us) <= watermark_us

    def may_be_too_late(self, time_us: int, watermark_us: int | None) -> bool:
        """See `WindowState`."""
        if watermark_us is None:
            return False
        return self._last_start_of(time_us) + self._window.size_us + self._lateness_us <= watermark_us

    def gone(self, watermark_us: int) -> pl.Expr:
        """See `WindowState`."""
        return self.too_late(pl.col(WINDOW), pl.lit(watermark_us))

    # ---- results

    def closed(self, before_us: int | None, after_us: int | None, touched: pl.DataFrame | None) -> pl.DataFrame:
        """See `WindowState`."""
        results = []
        if after_us is not None:
            if touched is not None and before_us is not None:
                corrected = self._windows_of(touched, first_end_us=before_us - self._lateness_us + 1, end_us=before_us)
                results.append(self._show(self._merged_for(corrected), pane="late"))
            due = [self._show(self._merged_windows(some), pane="on_time") for some in self._due(before_us, after_us)]
            results = [*due, *results]
        filled = [frame for frame in results if frame.height]
        return pl.concat(filled) if filled else self._results(self._empty, pane="on_time")

    def early(self, watermark_us: int | None) -> pl.DataFrame:
        """See `WindowState`."""
        if not self._changed:
            return self._results(self._empty, pane="early")
        changed, self._changed = pl.concat(self._changed), []
        first_end_us = None if watermark_us is None else watermark_us + 1
        open_windows = self._windows_of(changed, first_end_us=first_end_us, end_us=None)
        return self._show(self._merged_for(open_windows), pane="early")

    # ---- saving

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """See `WindowState`."""
        if watermark_us is not None:
            kept_from_us = watermark_us - self._window.size_us - self._lateness_us
            self._panes = {at: runs for at, runs in self._panes.items() if self._last_start_of(at) > kept_from_us}
            self._shown = {start: runs for start, runs in self._shown.items() if start > kept_from_us}
        panes = self._runs(self._panes)
        shown = [self._shown_of(start) for start in sorted(self._shown)]
        frames = {
            ROLE: self.combined(pl.concat(panes)) if panes else self._empty,
            SHOWN_ROLE: pl.concat(shown) if shown else self._nothing_shown,
        }
        return {role: frame for role, frame in frames.items() if frame.height}

    def load(self, frames: Mapping[str, pl.DataFrame], watermark_us: int | None) -> None:  # noqa: ARG002
        """See `WindowState`."""
        self._panes, self._kept = {}, _Merged()
        state = frames.get(ROLE, self._empty)
        assert state.schema == self._empty.schema
        self.fold(state)
        self._changed, self._shown = [], {}
        self._note(frames.get(SHOWN_ROLE, self._nothing_shown))

    # ---- which windows

    def _last_start(self, time_us: pl.Expr) -> pl.Expr:
        return time_us - (time_us - self._window.offset_us) % self._window.slide_us

    def _last_start_of(self, time_us: int) -> int:
        """Start of the last window that an event time belongs to."""
        return time_us - (time_us - self._window.offset_us) % self._window.slide_us

    def _starts_of(self, pane: int) -> range:
        """Starts of all windows that a pane belongs to."""
        last = self._last_start_of(pane)
        first = self._last_start_of(pane - self._window.size_us) + self._window.slide_us
        return range(first, last + 1, self._window.slide_us)

    def _due(self, before_us: int | None, after_us: int) -> Iterator[Sequence[int]]:
        """Starts of the windows with panes whose end the watermark passed, in order, a few of one block at a time."""
        size, slide = self._window.size_us, self._window.slide_us
        last = self._last_start_of(after_us - size)
        if before_us is not None and last <= self._last_start_of(before_us - size):
            return
        found: set[int] = set()
        first = None if before_us is None else self._last_start_of(before_us - size) + slide
        for pane in self._panes:
            starts = self._starts_of(pane)
            begin = starts.start if first is None else max(starts.start, first)
            found.update(range(begin, min(starts[-1], last) + 1, slide))
        for _, starts_of_block in groupby(sorted(found), key=self._block_of):
            starts_left = list(starts_of_block)
            for at in range(0, len(starts_left), _AT_ONCE):
                yield starts_left[at : at + _AT_ONCE]

    def _block_of(self, start: int) -> int:
        return start - (start - self._window.offset_us) % self._window.size_us

    def _windows_of(self, panes: pl.DataFrame, *, first_end_us: int | None, end_us: int | None) -> pl.DataFrame:
        """Every key and window (its start in `WINDOW`) that rows of panes belong to, with an end within the bounds."""
        size = self._window.size_us
        distinct = [int(pane) for pane in panes[WINDOW].unique()]
        starts = pl.DataFrame(
            {_PANE: distinct, "start": [list(self._starts_of(pane)) for pane in distinct]},
            schema={_PANE: pl.Int64, "start": pl.List(pl.Int64)},
        ).explode("start", empty_as_null=False, keep_nulls=False)
        if first_end_us is not None:
            starts = starts.filter(pl.col("start") + size >= first_end_us)
        if end_us is not None:
            starts = starts.filter(pl.col("start") + size <= end_us)
        named = panes.select(pl.col(WINDOW).alias(_PANE), *self._partials.keys).unique()
        return named.join(starts, on=_PANE).select(pl.col("start").alias(WINDOW), *self._partials.keys).unique()

    # ---- mergers

    def _runs_between(self, from_us: int, to_us: int) -> list[pl.DataFrame]:
        return self._runs(pane for pane in self._panes if from_us <= pane < to_us)

    def _one(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """One row per key of frames that each may have several, earlier ones first."""
        filled = [frame for frame in frames if frame.height]
        if not filled:
            return self._empty
        return self._partials.merged(pl.concat(filled), self._partials.keys, pl.col(WINDOW).min())

    def _merged_windows(self, starts: Sequence[int]) -> pl.DataFrame:
        """One row per key and window, for windows of one block all of whose panes are settled; `starts` in order."""
        size, kept = self._window.size_us, self._kept
        block = self._block_of(starts[0])
        if kept.block_us != block or kept.ends is None:
            kept.block_us, kept.ends, kept.beginning = block, self._ends(block), None
        if kept.beginning is None or kept.until_us > starts[0] + size:
            kept.beginning, kept.until_us = self._empty, block + size
        rows = [kept.ends.filter(pl.col(WINDOW).is_in(starts))]
        for start in starts:
            news = self._runs_between(kept.until_us, start + size)
            rows += [_labelled(frame, start) for frame in (kept.beginning, *news)]
        end = max(kept.until_us, starts[-1] + size)
        kept.beginning = self._one([kept.beginning, *self._runs_between(kept.until_us, end)])
        kept.until_us = end
        kept.settled_us = max(kept.settled_us or end, end)
        return self.combined(pl.concat(rows))

    def _ends(self, block: int) -> pl.DataFrame:
        """Of every window that begins in the block, the panes from its start to the block's end, merged per key."""
        size, slide = self._window.size_us, self._window.slide_us
        starts = range(self._last_start_of(block - 1) + slide, block + size, slide)
        found, behind, until = [self._empty], self._empty, block + size
        for at in reversed(range(0, len(starts), _AT_ONCE)):
            some = starts[at : at + _AT_ONCE]
            rows = [_labelled(frame, start) for start in some for frame in (*self._runs_between(start, until), behind)]
            merged = self.combined(pl.concat(rows))
            found.append(merged)
            behind, until = merged.filter(pl.col(WINDOW) == some[0]), some[0]
        return pl.concat(found)

    def _merged_for(self, windows: pl.DataFrame) -> pl.DataFrame:
        """One row per key and window of those named, from the panes themselves."""
        if windows.height == 0:
            return self._empty
        earliest = windows[WINDOW].min()
        latest = windows[WINDOW].max()
        assert isinstance(earliest, int)
        assert isinstance(latest, int)
        size = self._window.size_us
        runs = self._runs_between(earliest, latest + size)
        if not runs:
            return self._empty
        rows = (
            pl.concat(runs)
            .rename({WINDOW: _PANE})
            .join(windows, on=self._partials.keys, how="inner", nulls_equal=True)
            .filter(pl.col(_PANE).is_between(pl.col(WINDOW), pl.col(WINDOW) + size, closed="left"))
        )
        return self.combined(rows.select(self._empty.columns))

    def _runs(self, panes: Iterable[int]) -> list[pl.DataFrame]:
        return [run for pane in sorted(panes) for run in self._panes[pane]]

    # ---- what was shown

    def _show(self, merged: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        """The results of windows, noted as given; but on time, only of those that are not as shown last."""
        starts = [int(start) for start in merged[WINDOW].unique()]
        before = [self._shown_of(start) for start in starts if start in self._shown]
        if before:
            known = merged.drop(SHOWN, REVISION).join(
                pl.concat(before), on=self._partials.group, how="left", nulls_equal=True
            )
            merged = known.with_columns(pl.col(SHOWN, REVISION).fill_null(0)).select(merged.columns)
        if pane != "on_time":
            merged = merged.filter(pl.col(ROWS) > pl.col(SHOWN))
        self._note(merged.select(*self._partials.group, pl.col(ROWS).alias(SHOWN), pl.lit(1, pl.Int64).alias(REVISION)))
        return self._results(merged, pane=pane)

    def _note(self, shown: pl.DataFrame) -> None:
        """Remember results by the start of their window."""
        for (start,), rows in shown.partition_by(WINDOW, as_dict=True).items():
            self._shown.setdefault(int(start), []).append(rows)

    def _shown_of(self, start: int) -> pl.DataFrame:
        """What was shown of a window: one row per key."""
        runs = self._shown[start]
        if len(runs) > 1:
            merged = pl.concat(runs).group_by(self._partials.group).agg(pl.col(SHOWN).max(), pl.col(REVISION).sum())
            runs = self._shown[start] = [merged.select(self._nothing_shown.columns)]
        return runs[0]

    def _results(self, rows: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        return self._partials.results(rows, end=pl.col(WINDOW) + self._window.size_us, pane=pane)


def _labelled(rows: pl.DataFrame, start: int) -> pl.DataFrame:
    """The same rows as parts of the window that begins at `start`."""
    return rows.with_columns(pl.lit(start, pl.Int64).alias(WINDOW))
