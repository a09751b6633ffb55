"""The one place that reads the clock."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clocks (`ports.Clock`)."""

    def now(self) -> float:
        """Seconds since the epoch; may jump when somebody sets the clock."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()
