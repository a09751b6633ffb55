"""Virtual time: a heap of what is to happen, by instant and then by the order in which it was asked for.

Nothing sleeps.  Time moves only in `step`, to the next thing due, and in `leap`, with everything that is due.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Final

Action = Callable[[], None]

BEGIN: Final = 1_000_000.0
"""Seconds since the epoch at which every world begins."""


class Timeline:
    """The world's time, in seconds; as a `ports.Clock` it is a perfect one."""

    def __init__(self) -> None:
        self._now = BEGIN
        self._due: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        """See `ports.Clock`."""
        return self._now

    def monotonic(self) -> float:
        """See `ports.Clock`."""
        return self._now

    def after(self, delay_s: float, action: Action) -> None:
        """Do something when so much time has passed."""
        assert delay_s >= 0, delay_s
        self.at(self._now + delay_s, action)

    def at(self, instant: float, action: Action) -> None:
        """Do something at an instant; at once if that is past."""
        heapq.heappush(self._due, (max(instant, self._now), next(self._numbers), action))

    def next_at(self) -> float | None:
        """When the next thing is due; None: nothing is."""
        return self._due[0][0] if self._due else None

    def leap(self, seconds: float) -> None:
        """Let so much time pass in which nothing is done: everything that is due comes so much later."""
        assert seconds >= 0, seconds
        self._now += seconds
        self._due = [(at + seconds, number, action) for at, number, action in self._due]

    def step(self) -> None:
        """Go to the next thing that is due, and do it."""
        self._now, _, action = heapq.heappop(self._due)
        action()
