"""Session windows: records of one key with less than a gap between them.

A row is a session: `__window` is the time of its first record, `__last` of its last; it ends a gap after that.  Rows of
one key that overlap merge into one, in any order and grouping, so a batch's own sessions are partial rows like any
others.  A record that closes the gap between two sessions makes one of them; a result that was given for a session
which has become a part of another is withdrawn, so that who upserts by key and window start can delete it.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from millstream.aggregates import TIME
from millstream.contract.checkpoint import END_OF_TIME_US
from millstream.core.window_states.partials import REVISION, ROWS, SHOWN, WINDOW, Partials
from millstream.core.window_states.state import ROLE
from millstream.windows import Session

LAST = "__last"
_NUMBER, _ORDER = "__number", "__order"
_ROWS_MIN = 4096


class SessionState:
    """See `WindowState`."""

    def __init__(self, partials: Partials, window: Session, *, allowed_lateness_us: int) -> None:
        self._partials = partials
        self._gap_us = window.gap_us
        self._lateness_us = allowed_lateness_us
        self._empty = self.partial(partials.no_records())
        self._settled = self._empty
        self._news: list[pl.DataFrame] = []
        self._withdrawn: list[pl.DataFrame] = []
        self._next_end_us = END_OF_TIME_US

    @property
    def partials(self) -> Partials:
        """See `WindowState`."""
        return self._partials

    @property
    def rows(self) -> int:
        """See `WindowState`."""
        return self._settled.height + sum(run.height for run in self._news)

    # ---- folding in

    def partial(self, records: pl.DataFrame) -> pl.DataFrame:
        """See `WindowState`.  One row per session within the records."""
        keys = self._partials.keys
        numbered = self._numbered(records, start=TIME, last=TIME)
        rows = self._partials.of(
            numbered, [*keys, _NUMBER], pl.col(TIME).min().alias(WINDOW), pl.col(TIME).max().alias(LAST)
        )
        own = [WINDOW, LAST, *keys]
        return rows.select(*own, *(name for name in rows.columns if name not in (*own, _NUMBER)))

    def combined(self, partials: pl.DataFrame) -> pl.DataFrame:
        """See `WindowState`."""
        return self._merged(self._numbered(partials, start=WINDOW, last=LAST))

    def fold(self, partial: pl.DataFrame) -> None:
        """See `WindowState`."""
        if partial.height == 0:
            return
        self._news.append(partial)
        earliest = partial[LAST].min()
        assert isinstance(earliest, int)
        self._next_end_us = min(self._next_end_us, earliest + self._gap_us)
        if sum(run.height for run in self._news) > max(_ROWS_MIN, self._settled.height // 4):
            self._settle()

    def take_all(self) -> pl.DataFrame:
        """See `WindowState`."""
        self._settle()
        taken, self._settled, self._next_end_us = self._settled, self._empty, END_OF_TIME_US
        return taken

    # ---- lateness: of the session that a record would be on its own

    def too_late(self, time_us: pl.Expr, watermark_us: pl.Expr) -> pl.Expr:
        """See `WindowState`."""
        return time_us + (self._gap_us + self._lateness_us) <= watermark_us

    def may_be_too_late(self, time_us: int, watermark_us: int | None) -> bool:
        """See `WindowState`."""
        return watermark_us is not None and time_us + self._gap_us + self._lateness_us <= watermark_us

    def gone(self, watermark_us: int) -> pl.Expr:
        """See `WindowState`."""
        return self.too_late(pl.col(LAST), pl.lit(watermark_us))

    # ---- results

    def closed(self, before_us: int | None, after_us: int | None, touched: pl.DataFrame | None) -> pl.DataFrame:
        """See `WindowState`.  Results that are no more come first, as pane `withdrawn`."""
        if after_us is None or (self._next_end_us > after_us and (touched is None or touched.height == 0)):
            return self._results(self._empty, pane="on_time")
        self._settle()
        end = pl.col(LAST) + self._gap_us
        due = (end <= after_us) & (pl.col(ROWS) > pl.col(SHOWN))
        # What early panes have shown in full already still has to be shown on time.
        due |= (end <= after_us) & (pl.lit(before_us is None) | (end > (before_us or 0)))
        closing = self._settled.filter(due)
        was_closed = end <= (before_us if before_us is not None else -END_OF_TIME_US)
        results = [
            *self._taken_back(),
            self._show(closing.filter(~was_closed), pane="on_time"),
            self._show(closing.filter(was_closed), pane="late"),
        ]
        still_open = self._settled.filter(end > after_us)[LAST].min()
        self._next_end_us = still_open + self._gap_us if isinstance(still_open, int) else END_OF_TIME_US
        return pl.concat(results)

    def early(self, watermark_us: int | None) -> pl.DataFrame:
        """See `WindowState`."""
        self._settle()
        due = pl.col(ROWS) > pl.col(SHOWN)
        if watermark_us is not None:
            due &= pl.col(LAST) + self._gap_us > watermark_us
        return pl.concat([*self._taken_back(), self._show(self._settled.filter(due), pane="early")])

    # ---- saving

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """See `WindowState`."""
        self._settle()
        assert not self._withdrawn, "results are given before a checkpoint"
        if watermark_us is not None:
            # A gap longer than results need it: until no record in time can touch it any more.
            self._settled = self._settled.filter(~self.too_late(pl.col(LAST) + self._gap_us, pl.lit(watermark_us)))
        return {ROLE: self._settled} if self._settled.height else {}

    def load(self, frames: Mapping[str, pl.DataFrame], watermark_us: int | None) -> None:
        """See `WindowState`."""
        self._settled, self._news = frames.get(ROLE, self._empty), []
        assert self._settled.schema == self._empty.schema
        ends = self._settled[LAST] + self._gap_us
        earliest = (ends if watermark_us is None else ends.filter(ends > watermark_us)).min()
        self._next_end_us = earliest if isinstance(earliest, int) else END_OF_TIME_US

    # ---- inside

    def _numbered(self, rows: pl.DataFrame, *, start: str, last: str) -> pl.DataFrame:
        """The rows in their order, which is that of reading, with a number per session of a key."""
        keys = self._partials.keys
        ordered = rows.with_row_index(_ORDER).sort([*keys, start], maintain_order=True)
        reached = pl.col(last).cum_max().over(keys).shift(1).over(keys)
        begins = (pl.col(start) >= reached + self._gap_us).fill_null(value=False)
        numbered = ordered.with_columns(begins.cast(pl.UInt32).cum_sum().over(keys).alias(_NUMBER))
        return numbered.sort(_ORDER).drop(_ORDER)

    def _merged(self, numbered: pl.DataFrame) -> pl.DataFrame:
        """One row per session.  What was shown of it is what was shown of the part that begins where it begins."""
        begin = pl.col(WINDOW).min()
        same = pl.col(WINDOW) == begin
        by = [*self._partials.keys, _NUMBER]
        merged = self._partials.merged(
            numbered.select(*self._empty.columns, _NUMBER),
            by,
            begin,
            pl.col(LAST).max(),
            pl.col(SHOWN).filter(same).max(),
            pl.col(REVISION).filter(same).max(),
        )
        return merged.select(self._empty.columns)

    def _settle(self) -> None:
        """Merge what is new with the sessions of the same keys."""
        if not self._news:
            return
        keys = self._partials.keys
        news = pl.concat(self._news)
        self._news = []
        touched = news.select(keys).unique()
        old = self._settled.join(touched, on=keys, how="semi", nulls_equal=True)
        rest = self._settled.join(touched, on=keys, how="anti", nulls_equal=True)
        numbered = self._numbered(pl.concat([old, news]), start=WINDOW, last=LAST)
        begins = pl.col(WINDOW).min().over([*keys, _NUMBER])
        swallowed = numbered.filter((pl.col(REVISION) > 0) & (pl.col(WINDOW) != begins))
        if swallowed.height:
            self._withdrawn.append(swallowed.select(self._empty.columns))
        self._settled = pl.concat([rest, self._merged(numbered)])

    def _taken_back(self) -> list[pl.DataFrame]:
        """Results given for sessions that are parts of others now, without values."""
        withdrawn, self._withdrawn = self._withdrawn, []
        return [self._partials.without_values(self._results(rows, pane="withdrawn")) for rows in withdrawn]

    def _show(self, rows: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        """The results of sessions, noted as given."""
        if rows.height:
            group = self._partials.group
            shown = rows.select(group).with_columns(pl.lit(value=True).alias(_NUMBER))
            marked = self._settled.join(shown, on=group, how="left", nulls_equal=True)
            is_shown = pl.col(_NUMBER).fill_null(value=False)
            self._settled = marked.with_columns(
                pl.when(is_shown).then(ROWS).otherwise(SHOWN).alias(SHOWN),
                (pl.col(REVISION) + is_shown.cast(pl.Int64)).alias(REVISION),
            ).drop(_NUMBER)
        return self._results(rows, pane=pane)

    def _results(self, rows: pl.DataFrame, *, pane: str) -> pl.DataFrame:
        return self._partials.results(rows, end=pl.col(LAST) + self._gap_us, pane=pane)
