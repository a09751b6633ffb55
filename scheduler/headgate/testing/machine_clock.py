"""The clock of the scheduler's machine: right, until somebody sets it."""

from __future__ import annotations

from headgate.testing.timeline import Timeline


class MachineClock:
    """A `ports.Clock` whose time of day can be wrong; its intervals are right."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._wrong_by_s = 0.0

    def now(self) -> float:
        """See `ports.Clock`."""
        return self._timeline.now() + self._wrong_by_s

    def monotonic(self) -> float:
        """See `ports.Clock`."""
        return self._timeline.now()

    def step(self, seconds: float) -> None:
        """Set it forward, or with a negative number back."""
        self._wrong_by_s += seconds
