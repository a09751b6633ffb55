"""Durations as Mesos writes them: a number and a unit without a space between, such as `500ms` or `15mins`.

Source: Mesos, `3rdparty/stout/include/stout/duration.hpp`.
"""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "secs": 1.0,
    "mins": 60.0,
    "hrs": 3600.0,
    "days": 86400.0,
    "weeks": 604800.0,
}
_DURATION: Final = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[a-z]+)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds in `text`.

    Raises:
        ValueError: no number, no unit, or a unit that Mesos does not know; the message names the units.
    """
    match = _DURATION.fullmatch(text)
    if match is None or match["unit"] not in _SECONDS:
        raise ValueError(f"{text!r} is no duration: a number and one of {' '.join(_SECONDS)}, such as 500ms or 2.5secs")
    return float(match["number"]) * _SECONDS[match["unit"]]
