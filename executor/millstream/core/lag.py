"""For how long the next unread record has been waiting, told from how the source's end grew."""

from __future__ import annotations

from collections import deque

_SAMPLES_MAX = 512


class LagTracker:
    """Remembers when the source's end was where; needs nothing of the records themselves.

    A record counts as waiting since it was first seen to be there: a lower bound for what was there before the first
    look.  Over a long backlog neighbouring looks are put together, and a record may count as waiting for longer than it
    does, by the time between two looks kept: about a 256th of the oldest wait.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._spacing_s = 0.0

    def see(self, now: float, position: int, end: int) -> None:
        """At `now` the next unread record is at `position` and the source ends at `end`."""
        samples = self._samples
        while samples and samples[0][1] <= position:
            samples.popleft()
        if not samples:
            self._spacing_s = 0.0
        if end <= position or (samples and end <= samples[-1][1]):
            return
        if samples and now - samples[-1][0] < self._spacing_s:
            samples[-1] = (samples[-1][0], end)
            return
        samples.append((now, end))
        if len(samples) > _SAMPLES_MAX:
            self._join_neighbours()

    def lag_s(self, now: float, position: int) -> float:
        """Seconds since the record at `position` was first known to be there; 0.0 when there is none."""
        for at, end in self._samples:
            if end > position:
                return max(0.0, now - at)
        return 0.0

    def _join_neighbours(self) -> None:
        samples = list(self._samples)
        self._samples = deque(
            (samples[index][0], samples[min(index + 1, len(samples) - 1)][1]) for index in range(0, len(samples), 2)
        )
        self._spacing_s = 2 * (samples[-1][0] - samples[0][0]) / _SAMPLES_MAX
