"""A process in virtual time: it can stand still for a while, and end at any instant."""

from __future__ import annotations

import math
from collections import deque

from headgate.testing.timeline import Action, Timeline


class VirtualProcess:
    """Runs actions while it lives.  What comes while it stands still waits, in order; after its end nothing happens."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.alive = True
        self._stands_until = 0.0
        self._waiting: deque[Action] = deque()

    def after(self, delay_s: float, action: Action) -> None:
        """Do something when so much time has passed, if it still lives."""
        self.timeline.after(delay_s, lambda: self.run(action))

    def run(self, action: Action) -> None:
        """Do something now, or when it goes on."""
        if not self.alive:
            return
        if self._waiting or self.timeline.now() < self._stands_until:
            self._waiting.append(action)
        else:
            action()

    def stall(self, seconds: float) -> None:
        """Stand still for a while, as when stopped, swapped out, or collecting garbage; for ever, if it is infinite."""
        until = self.timeline.now() + seconds
        if self.alive and until > self._stands_until:
            self._stands_until = until
            if seconds < math.inf:
                self.timeline.at(until, self._go_on)

    def end(self) -> None:
        """Everything it was to do is void."""
        self.alive = False
        self._waiting.clear()

    def _go_on(self) -> None:
        while self.alive and self._waiting and self.timeline.now() >= self._stands_until:
            self._waiting.popleft()()
