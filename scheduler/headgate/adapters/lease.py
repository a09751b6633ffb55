"""A lead that holds as long as it is renewed: who cannot prove that it leads, does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from headgate.ports import Clock


class Lease:
    """A `ports.Lead` until a time that is put off again and again.

    The clock must run on while the process is stopped, as the system's does: who wakes up late finds itself without.
    """

    def __init__(
        self, clock: Clock, *, reached: Callable[[], bool] = lambda: True, until: float = float("inf")
    ) -> None:
        """`reached` says whether whoever grants the lead can be reached at this instant."""
        self._clock: Final = clock
        self._reached: Final = reached
        self._until = until
        self._over = False
        self._calls: list[Callable[[], None]] = []
        self._lock: Final = threading.Lock()

    def holds(self) -> bool:
        """See the port."""
        return not self.over and self._reached()

    @property
    def over(self) -> bool:
        """Whether it has ended, or run out."""
        return self._over or self._clock.monotonic() >= self._until

    def renew(self, until: float) -> None:
        """Let it hold until then, by the monotonic clock; one that is over stays so."""
        if not self.over:
            self._until = until

    def end(self) -> None:
        """It is over: whoever wanted to know is told.  Idempotent."""
        with self._lock:
            self._over = True
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def when_over(self, call: Callable[[], None]) -> None:
        """See the port."""
        with self._lock:
            if not self._over:
                self._calls.append(call)
                return
        call()
