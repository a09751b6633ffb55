"""Which windows a record belongs to.  A window is half open: it holds its start and not its end."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from millstream.durations import Duration, duration_text, microseconds
from millstream.errors import ProgramError
from millstream.schema import caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Tumbling:
    """Windows of one size, side by side, aligned to 1970-01-01 UTC plus `offset_us`."""

    size_us: int
    offset_us: int = 0

    def starts(self, time_us: pl.Expr) -> pl.Expr:
        """Start of the window of each event time, in microseconds."""
        return time_us - (time_us - self.offset_us) % self.size_us

    def start_of(self, time_us: int) -> int:
        """Start of the window of one event time, in microseconds."""
        return time_us - (time_us - self.offset_us) % self.size_us

    def __str__(self) -> str:
        offset = f", offset={duration_text(self.offset_us)}" if self.offset_us else ""
        return f"tumbling({duration_text(self.size_us)}{offset})"


def tumbling(size: Duration, *, offset: Duration = "0s") -> Tumbling:
    """Windows of `size`, side by side: every record is in exactly one.

    They are aligned to the epoch (UTC), so "1h" begins on the hour and "1d" at midnight UTC; `offset` moves them.

    Raises:
        ProgramError: the size is zero or not a duration, or the offset is not below the size.
    """
    where = caller()
    size_us = microseconds(size, what="tumbling: size", where=where)
    offset_us = microseconds(offset, what="tumbling: offset", where=where)
    if size_us == 0:
        raise ProgramError("tumbling: a window needs a size above zero", where=where)
    if offset_us >= size_us:
        raise ProgramError(f"tumbling: offset {offset!r} must be below the size {size!r}", where=where)
    return Tumbling(size_us=size_us, offset_us=offset_us)
