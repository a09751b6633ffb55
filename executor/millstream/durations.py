"""Durations as people write them: "2h", "500ms", "1d", "1h30m", or a timedelta."""

from __future__ import annotations

import re
from datetime import timedelta

from millstream.errors import ProgramError

Duration = str | timedelta

_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 7 * 86_400_000_000,
}
_PART = re.compile(r"(\d+)\s*(us|ms|s|m|h|d|w)")
_WHOLE = re.compile(r"\s*(?:\d+\s*(?:us|ms|s|m|h|d|w)\s*)+")


def microseconds(duration: Duration, *, what: str = "duration", where: str | None = None) -> int:
    """The duration in microseconds, never negative.

    Raises:
        ProgramError: it is neither a timedelta nor text like "90s" or "1h30m", or it is negative.
    """
    if isinstance(duration, timedelta):
        result = duration // timedelta(microseconds=1)
    elif _WHOLE.fullmatch(str(duration)):
        result = sum(int(number) * _UNITS_US[unit] for number, unit in _PART.findall(duration))
    else:
        raise ProgramError(
            f"{what} must be text such as '500ms', '30s', '5m', '2h', '1d', '1h30m' or a timedelta, not {duration!r}",
            where=where,
        )
    if result < 0:
        raise ProgramError(f"{what} must not be negative: {duration!r}", where=where)
    return result


def duration_text(us: int) -> str:
    """The shortest text that `microseconds` reads back to `us`."""
    if us == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        number, us = divmod(us, _UNITS_US[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)
