"""What the runtime wants of the state of windows, whatever their kind.

A window's life against the watermark: open until its end, then *closed* (kept for corrections) until end + allowed
lateness, then *gone*.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import polars as pl

from millstream.core.window_states.partials import Partials

ROLE = "windows"
"""The name that the main frame has among what is saved."""


class WindowState(Protocol):
    """Keyed, windowed aggregates of one shard.  For one thread.

    Partial rows are what crosses between stages, and what is folded in: made by `partial`, brought together by
    `combined`, in any grouping with the same result.
    """

    @property
    def partials(self) -> Partials:
        """How records become rows of state, and these results."""
        ...

    @property
    def rows(self) -> int:
        """Rows held, before merging; an upper bound of keys times windows."""
        ...

    # ---- folding in

    def partial(self, records: pl.DataFrame) -> pl.DataFrame:
        """Partial rows of `records`, which have their event time in `TIME`.  Changes nothing.

        The only place where a user's own aggregate sees records.
        """
        ...

    def combined(self, partials: pl.DataFrame) -> pl.DataFrame:
        """Partial rows that came from several places as if from one, earlier ones first.  Changes nothing."""
        ...

    def fold(self, partial: pl.DataFrame) -> None:
        """Take in what `partial` or `combined` made."""
        ...

    def take_all(self) -> pl.DataFrame:
        """All partial rows, combined; the state is empty after that."""
        ...

    # ---- lateness: for a time, every window that it belongs to has to be gone

    def too_late(self, time_us: pl.Expr, watermark_us: pl.Expr) -> pl.Expr:
        """Whether a record of that event time finds all its windows gone."""
        ...

    def may_be_too_late(self, time_us: int, watermark_us: int | None) -> bool:
        """The same for one record."""
        ...

    def gone(self, watermark_us: int) -> pl.Expr:
        """The same for partial rows."""
        ...

    # ---- results

    def closed(self, before_us: int | None, after_us: int | None, touched: pl.DataFrame | None) -> pl.DataFrame:
        """Results due when the watermark went from `before_us` to `after_us` while `touched` was folded in.

        Pane `on_time` for every window whose end the watermark passed, `late` for those closed before that `touched`
        changed: at most one row for each key and window.
        """
        ...

    def early(self, watermark_us: int | None) -> pl.DataFrame:
        """Provisional results of the open windows that changed since their last result."""
        ...

    # ---- saving

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """The state by role, without what is gone; nothing for frames without rows."""
        ...

    def load(self, frames: Mapping[str, pl.DataFrame], watermark_us: int | None) -> None:
        """Go on from what `save` gave."""
        ...
