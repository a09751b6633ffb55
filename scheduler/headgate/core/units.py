"""Amounts as people write them: durations in seconds, sizes in MiB.

What cannot be read is None: the caller knows where it stood and says so.
"""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MIB: Final = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0, "TiB": 1024.0 * 1024.0}

DURATION_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
SIZE_PATTERN: Final = r"^([0-9]+(\.[0-9]+)?)(KiB|MiB|GiB|TiB)$"
AMOUNT_MAX: Final = 1e12
"""Above this a number is a mistake in any unit, and far below it sums stay exact."""

_DURATION: Final = re.compile(DURATION_PATTERN)
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SIZE: Final = re.compile(SIZE_PATTERN)
_LOOSE_SIZE: Final = re.compile(r"^([0-9]+(?:\.[0-9]+)?) ?([KMGT])i?b?$", re.IGNORECASE)


def find_seconds(value: object) -> float | None:
    """Seconds of `30s`, `500ms`, `2m`, `1h30m`, `1d`; a bare number is seconds.  None: not a duration."""
    if not isinstance(value, str):
        return _find_amount(value)
    if not _DURATION.fullmatch(value):
        return None
    return _find_amount(sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value)))


def find_mib(value: object) -> float | None:
    """MiB of `512MiB`, `1.5GiB`; a bare number is MiB, as in Mesos.  None: not a size."""
    if not isinstance(value, str):
        return _find_amount(value)
    matched = _SIZE.fullmatch(value)
    return _find_amount(float(matched.group(1)) * _MIB[matched.group(3)]) if matched else None


def find_intended_size(value: object) -> str | None:
    """How a near miss such as `1GB`, `512m` or `1 gi` is most likely meant; None: no guess."""
    matched = _LOOSE_SIZE.fullmatch(value) if isinstance(value, str) else None
    return f"{matched.group(1)}{matched.group(2).upper()}iB" if matched else None


def duration_text(seconds: float) -> str:
    """The shortest exact way to write a duration: `90s`, `2m`, `1h`, `250ms`."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / _SECONDS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:.12g}ms" if seconds < 1 else f"{seconds:.12g}s"


def size_text(mib: float) -> str:
    """The shortest way to write a size: `512MiB`, `1.5GiB`."""
    if mib >= 1024 and (mib * 4) % 1024 == 0:
        return f"{mib / 1024:.12g}GiB"
    return f"{mib:.12g}MiB"


def _find_amount(value: object) -> float | None:
    # The comparison comes first: it is False for NaN, and float() would raise for integers beyond its range.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= AMOUNT_MAX:
        return float(value)
    return None
