"""Wall-clock time to decide by, whatever somebody does to the clock."""

from __future__ import annotations

from typing import Final

from headgate.ports import Clock

_SLOW: Final = 0.5
"""The pace after the clock was set back: deadlines still come, and the clock catches up."""


class SteadyTime:
    """Time of `clock` that never goes back and never stands still.  For one thread.

    A clock that is set forward is followed at once; one that is set back is waited for at half pace.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock: Final = clock
        self._monotonic = clock.monotonic()
        self._now = clock.now()

    def now(self) -> float:
        """Seconds since the epoch."""
        monotonic = self._clock.monotonic()
        self._now = max(self._clock.now(), self._now + _SLOW * (monotonic - self._monotonic))
        self._monotonic = monotonic
        return self._now
