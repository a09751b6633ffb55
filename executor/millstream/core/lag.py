"""For how long the next unread record has been waiting, told from how the source's end grew."""

from __future__ import annotations

from collections import deque

_SAMPLES_MAX = 512


class LagTracker:
    """Remembers when the source's end was where; needs nothing of the records themselves.

    Exact to the spacing of the samples, and a lower bound for what was there before the first one.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def see(self, now: float, position: int, end: int) -> None:
        """At `now` the next unread record is at `position` and the source ends at `end`."""
        while self._samples and self._samples[0][1] <= position:
            self._samples.popleft()
        if end > position and (not self._samples or end > self._samples[-1][1]):
            self._samples.append((now, end))
            if len(self._samples) > _SAMPLES_MAX:
                self._thin()

    def lag_s(self, now: float, position: int) -> float:
        """Seconds since the record at `position` was first known to be there; 0.0 when there is none."""
        for at, end in self._samples:
            if end > position:
                return max(0.0, now - at)
        return 0.0

    def _thin(self) -> None:
        """Drop every second sample but the oldest and the newest: precision halves where it matters least."""
        kept = [sample for index, sample in enumerate(self._samples) if index % 2 == 0]
        if kept[-1] != self._samples[-1]:
            kept.append(self._samples[-1])
        self._samples = deque(kept)
