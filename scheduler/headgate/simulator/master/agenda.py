"""What is due when, in the driver's time."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Appointment:
    """One action at one time; `cancel` makes it never happen."""

    __slots__ = ("action", "cancelled", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        """Call it off; harmless after it has happened."""
        self.cancelled = True


class Agenda:
    """Appointments in order of time; those of one instant happen in the order in which they were made."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Appointment]] = []
        self._numbers = count()

    def at(self, due: float, action: Callable[[], None]) -> Appointment:
        """Have `action` called when `due` has come."""
        made = Appointment(due, action)
        heapq.heappush(self._heap, (due, next(self._numbers), made))
        return made

    def next_due(self) -> float | None:
        """When something happens next; None if nothing is planned."""
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> Appointment | None:
        """The first appointment that is due, taken off; None if none is."""
        due = self.next_due()
        return heapq.heappop(self._heap)[2] if due is not None and due <= now else None
