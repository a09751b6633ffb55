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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sliding:
    """Windows of one size, one every `slide_us`, aligned to 1970-01-01 UTC plus `offset_us`."""

    size_us: int
    slide_us: int
    offset_us: int = 0

    def __str__(self) -> str:
        offset = f", offset={duration_text(self.offset_us)}" if self.offset_us else ""
        return f"sliding({duration_text(self.size_us)}, every={duration_text(self.slide_us)}{offset})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Windows around records of one key with less than `gap_us` between them."""

    gap_us: int

    def __str__(self) -> str:
        return f"session({duration_text(self.gap_us)})"


Window = Tumbling | Sliding | Session


def lengths_us(window: Window) -> tuple[int, ...]:
    """The durations that a window is made of."""
    match window:
        case Tumbling():
            return window.size_us, window.offset_us
        case Sliding():
            return window.size_us, window.slide_us, window.offset_us
        case Session():
            return (window.gap_us,)


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


def sliding(size: Duration, *, every: Duration, offset: Duration = "0s") -> Sliding:
    """Windows of `size`, one beginning `every` so often: a record is in as many as overlap there.

    They are aligned to the epoch (UTC); `offset` moves them.  A window costs the same however much they overlap:
    records are added up once, in panes.  A record that is late for some of its windows still counts in the others.

    Raises:
        ProgramError: a length is zero or no duration, `every` is above the size, or the offset not below `every`.
    """
    where = caller()
    size_us = microseconds(size, what="sliding: size", where=where)
    slide_us = microseconds(every, what="sliding: every", where=where)
    offset_us = microseconds(offset, what="sliding: offset", where=where)
    if size_us == 0 or slide_us == 0:
        raise ProgramError("sliding: size and every must be above zero", where=where)
    if slide_us > size_us:
        raise ProgramError(
            f"sliding: every {every!r} is above the size {size!r}: records between two windows would be in none",
            where=where,
        )
    if offset_us >= slide_us:
        raise ProgramError(f"sliding: offset {offset!r} must be below every {every!r}", where=where)
    return Sliding(size_us=size_us, slide_us=slide_us, offset_us=offset_us)


def session(gap: Duration) -> Session:
    """Windows that hold records of one key as long as less than `gap` lies between them.

    A session begins with its first record and ends `gap` after its last.  A record may make one session of two: a
    result that was given for the second is then followed by one of pane `withdrawn`, with nothing in the aggregates.
    A record is too late when a session of it alone would be.

    Raises:
        ProgramError: the gap is zero or no duration.
    """
    where = caller()
    gap_us = microseconds(gap, what="session: gap", where=where)
    if gap_us == 0:
        raise ProgramError("session: the gap must be above zero", where=where)
    return Session(gap_us=gap_us)
