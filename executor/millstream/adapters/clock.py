"""The machine's clock: the one place of this package that reads it."""

from __future__ import annotations

import time


class SystemClock:
    """Time as this machine sees it."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()
