"""The one place that reads the clock."""

from __future__ import annotations

import time
from typing import Final

_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's clocks (`ports.Clock`)."""

    def now(self) -> float:
        """Seconds since the epoch; may jump when somebody sets the clock."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump, and run on while the machine sleeps: who wakes up must know that it slept."""
        return time.clock_gettime(_STEADY)
