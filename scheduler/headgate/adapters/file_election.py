"""Who leads, by a lock on a file: for schedulers of one machine on one SQLite store.

The lock goes with the process that holds it, however that ends.  The file holds the address of who leads.  On file
systems of other machines (NFS) locks are not to be relied on, and neither is SQLite.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from headgate.adapters.lease import Lease
from headgate.errors import StoreUnavailable
from headgate.ports import Clock, Lead

log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 0.5


class FileElection:
    """A `ports.Election` among the processes that use the same `path`, which is made if it is not there."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path: Final = path
        self._clock: Final = clock
        self._url = ""
        self._held: TextIOWrapper | None = None
        self._lease: Lease | None = None
        self._closed: Final = threading.Event()
        self._lock: Final = threading.Lock()
        self._told = False

    def start(self, url: str) -> None:
        """See the port."""
        self._url = url

    def lead(self, timeout_s: float) -> Lead | None:
        """See the port.  Once given, the lead lasts until `close` or `resign`."""
        end = self._clock.monotonic() + timeout_s
        while not self._closed.is_set():
            with self._lock:
                if self._lease is None and self._take():
                    self._lease = Lease(self._clock)
                    return self._lease
            remaining = end - self._clock.monotonic()
            if remaining <= 0 or self._closed.wait(min(_LOOK_EVERY_S, remaining)):
                break
        return None

    def leader(self) -> str | None:
        """See the port."""
        if self._held is not None:
            return self._url
        try:
            return self._path.read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    def resign(self) -> None:
        """See the port."""
        self._let_go()
        self._closed.wait(2 * _LOOK_EVERY_S)

    def close(self) -> None:
        """See the port."""
        self._closed.set()
        self._let_go()

    def _take(self) -> bool:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+", encoding="utf-8")
        except OSError as problem:
            raise StoreUnavailable(f"cannot lock {self._path}: {problem.strerror}") from problem
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            if not self._told:
                self._told = True
                log.info("another scheduler uses this store and leads: %s", self.leader() or "its address is unknown")
            return False
        file.truncate(0)
        file.write(f"{self._url}\n")
        file.flush()
        self._held = file
        return True

    def _let_go(self) -> None:
        with self._lock:
            lease, self._lease = self._lease, None
            file, self._held = self._held, None
        if lease is not None:
            lease.end()
        if file is not None:
            os.ftruncate(file.fileno(), 0)
            file.close()


class SoleElection:
    """A `ports.Election` with one candidate: a store that nobody else can reach."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock: Final = clock
        self._url = ""
        self._lease: Lease | None = None
        self._closed: Final = threading.Event()

    def start(self, url: str) -> None:
        """See the port."""
        self._url = url

    def lead(self, timeout_s: float) -> Lead | None:
        """See the port."""
        if self._lease is None and not self._closed.is_set():
            self._lease = Lease(self._clock)
            return self._lease
        self._closed.wait(timeout_s)
        return None

    def leader(self) -> str:
        """See the port."""
        return self._url

    def resign(self) -> None:
        """See the port."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.end()

    def close(self) -> None:
        """See the port."""
        self._closed.set()
        self.resign()
