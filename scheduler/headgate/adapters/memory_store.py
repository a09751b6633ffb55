"""Records in memory: for tests and simulations, and the reference for what a store does."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from headgate.errors import RecordTooLarge, StaleLeader
from headgate.ports import RECORD_BYTES_MAX


def refuse_large(changes: Mapping[str, bytes | None]) -> None:
    """Raise RecordTooLarge if a value is."""
    for key, value in changes.items():
        if value is not None and len(value) > RECORD_BYTES_MAX:
            raise RecordTooLarge(f"record {key!r} takes {len(value)} bytes; {RECORD_BYTES_MAX} are the limit")


class MemoryStore:
    """A `ports.RecordStore` that lasts as long as the object."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._term = 0
        self._lock = threading.Lock()

    def load(self, prefix: str) -> Mapping[str, bytes]:
        """See the port."""
        with self._lock:
            return {key: value for key, value in sorted(self._records.items()) if key.startswith(prefix)}

    def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
        """See the port."""
        refuse_large(changes)
        with self._lock:
            if term < self._term:
                raise StaleLeader(f"term {term} is over: a scheduler of term {self._term} has taken the lead")
            for key, value in changes.items():
                if value is None:
                    self._records.pop(key, None)
                else:
                    self._records[key] = value

    def new_term(self) -> int:
        """See the port."""
        with self._lock:
            self._term += 1
            return self._term

    def close(self) -> None:
        """Nothing to give back."""
