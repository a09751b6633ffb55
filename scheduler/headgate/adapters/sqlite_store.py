"""Records in one SQLite file: for a single scheduler, and for several processes of one machine taking turns.

Every write is one transaction that checks the term inside it, is synced to the disk before it returns (WAL,
synchronous=FULL), and is either whole or not there after a crash.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from headgate.adapters.memory_store import refuse_large
from headgate.errors import StaleLeader, StoreDamaged, StoreUnavailable

_BUSY_S: Final = 5.0
"""How long another process may hold the file."""
_FORMAT: Final = 1
"""PRAGMA user_version of the tables below."""


class SqliteStore:
    """A `ports.RecordStore` in the file `path`, which is made if it is not there."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            StoreUnavailable: it cannot be opened or made.
            StoreDamaged: it is no store, or one of a newer release.
        """
        self._path: Final = path
        self._lock: Final = threading.Lock()
        self._closed = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Transactions are begun by hand; every use is under the lock, whichever thread it comes from.
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as problem:
            raise StoreUnavailable(f"cannot open the store {path}: {problem}") from problem
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def load(self, prefix: str) -> Mapping[str, bytes]:
        """See the port."""
        with self._transaction("BEGIN") as connection:
            rows = connection.execute(
                "SELECT key, value FROM records WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix)
            )
            return {key: bytes(value) for key, value in rows}

    def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
        """See the port."""
        refuse_large(changes)
        with self._transaction("BEGIN IMMEDIATE") as connection:
            newest = _term(connection)
            if term < newest:
                raise StaleLeader(f"term {term} is over: a scheduler of term {newest} has taken the lead")
            connection.executemany(
                "INSERT INTO records (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [(key, value) for key, value in changes.items() if value is not None],
            )
            connection.executemany(
                "DELETE FROM records WHERE key = ?", [(key,) for key, value in changes.items() if value is None]
            )

    def new_term(self) -> int:
        """See the port."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            connection.execute("UPDATE leader SET term = term + 1")
            return _term(connection)

    def close(self) -> None:
        """See the port."""
        with self._lock:
            self._closed = True
            self._connection.close()

    def _prepare(self) -> None:
        with self._translated():
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
        with self._transaction("BEGIN IMMEDIATE") as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            if found not in (0, _FORMAT):
                raise StoreDamaged(
                    f"the store {self._path} has format {found}; this build reads {_FORMAT}: run the newer release"
                )
            connection.execute("CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
            connection.execute("CREATE TABLE IF NOT EXISTS leader (term INTEGER NOT NULL)")
            connection.execute("INSERT INTO leader (term) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM leader)")
            connection.execute(f"PRAGMA user_version = {_FORMAT}")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            if self._closed:
                raise StoreUnavailable(f"the store {self._path} is closed")
            self._connection.execute(begin)
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as problem:
            raise StoreUnavailable(f"the store {self._path} does not answer: {problem}") from problem
        except sqlite3.DatabaseError as problem:
            raise StoreDamaged(
                f"the file {self._path} is no store of Headgate, or damaged: {problem}. "
                "Move it away to start anew, or restore a copy"
            ) from problem


def _term(connection: sqlite3.Connection) -> int:
    (term,) = connection.execute("SELECT term FROM leader").fetchone()
    assert isinstance(term, int), term
    return term
