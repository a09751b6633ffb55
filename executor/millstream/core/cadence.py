"""When something that comes round is due next.  Instants are seconds of one clock that never jumps."""

from __future__ import annotations

import math
import zlib
from typing import Final

POLL_MIN_S: Final = 0.001
POLL_MAX_S: Final = 0.05
POLLS_PER_S_MAX: Final = 400.0
"""Of all idle shards together: a poll takes a fraction of a millisecond, and being idle should cost next to nothing."""


def first_checkpoint_at(shard: str, *, now: float, interval_s: float) -> float:
    """When a shard claimed now saves itself first: between a quarter and the whole of the interval from now.

    Shards claimed together get different phases, always the same for the same name.
    """
    phase = zlib.crc32(shard.encode()) / 2**32
    return now + interval_s * (0.25 + 0.75 * phase)


def next_checkpoint_at(due_at: float, *, now: float, interval_s: float) -> float:
    """The first instant after `now` that is whole intervals behind `due_at`: phases stay, missed ones are left out."""
    missed = max(0, math.floor((now - due_at) / interval_s))
    return due_at + (missed + 1) * interval_s


def poll_pause_s(empty_polls: int, *, shards: int) -> float:
    """How long to leave a shard alone that had nothing to read for so many times in a row, one of `shards` in all."""
    return min(POLL_MIN_S * 2.0 ** min(empty_polls - 1, 16), max(POLL_MAX_S, shards / POLLS_PER_S_MAX))


def report_at(*, last_at: float, changed: bool, interval_s: float, spacing_s: float) -> float:
    """When the next report is due: an interval after the last, or sooner after a change.

    Changes that come in quick succession share a report: there are at least `spacing_s` between two.
    """
    return last_at + (min(spacing_s, interval_s) if changed else interval_s)
