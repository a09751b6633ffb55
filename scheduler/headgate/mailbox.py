"""Where everything arrives that the loop is to deal with, from any thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """An unbounded queue, drained as a whole.  Thread-safe; `put` does not block."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._poked = False

    def put(self, item: T) -> None:
        """Add to the end."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def poke(self) -> None:
        """End the present or next `wait` although nothing has come."""
        with self._changed:
            self._poked = True
            self._changed.notify_all()

    def drain(self) -> tuple[T, ...]:
        """Everything that is there, oldest first; it is there no more."""
        with self._changed:
            items = tuple(self._items)
            self._items.clear()
            self._poked = False
            return items

    def wait(self, timeout_s: float) -> bool:
        """Until something is there, or time is up; whether something is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._items) or self._poked, timeout_s)
