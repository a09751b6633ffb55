"""The object store in memory: for tests, and the reference for what the others must do."""

from __future__ import annotations

import threading

from millstream.stores.object_store import AlreadyExists, NotFound, require_name


class MemoryStore:
    """Objects in a dictionary; shared by everything that holds the same instance."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def create(self, name: str, data: bytes) -> None:
        """See `ObjectStore`."""
        require_name(name)
        with self._lock:
            if name in self._objects:
                raise AlreadyExists(name)
            self._objects[name] = bytes(data)

    def get(self, name: str) -> bytes:
        """See `ObjectStore`."""
        with self._lock:
            if name not in self._objects:
                raise NotFound(name)
            return self._objects[name]

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        with self._lock:
            return sorted(name for name in self._objects if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """See `ObjectStore`."""
        with self._lock:
            self._objects.pop(name, None)
