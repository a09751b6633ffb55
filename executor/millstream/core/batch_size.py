"""How many records a step may read, so that steps stay short whatever a record costs.

All shards of a worker share one thread; a step is how long the others wait.
"""

from __future__ import annotations

from typing import Final

BATCH_FIRST: Final = 1024
BATCH_MIN: Final = 16
BATCH_MAX: Final = 65_536
STEP_LONG_S: Final = 0.2
STEP_SHORT_S: Final = 0.05


def next_batch_size(size: int, *, records: int, seconds: float) -> int:
    """The size for the next step, from what the last one has read and taken.

    Halves after a long step, doubles after a short one that was full; a short one that was not full says nothing.
    """
    if seconds > STEP_LONG_S:
        return max(BATCH_MIN, size // 2)
    if records >= size and seconds < STEP_SHORT_S:
        return min(BATCH_MAX, size * 2)
    return size
