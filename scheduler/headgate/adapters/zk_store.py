"""Records in ZooKeeper: for several schedulers, of which one leads.

Nodes below the path that the operator names:
    term                    its version is the leader's term; taking the lead sets it
    records                 the head: format, and the journal that is being carried out, if any; every write sets it
    records/<00…3f>/<key>   a record
    journal/<name>-<n>      a page of a large write

Every transaction checks the version of `term`, so that who was overtaken writes nothing; and that of `records`, so that
nothing is written on top of what the writer has not seen, be it a request of its own that comes late.

A write that fits into one transaction is one.  A larger one is first written aside, as a journal; the head then names
the journal, and with that the whole write is done: readers lay it over the records, and whoever writes next carries it
out to the end before it writes anything else.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

import msgspec
from kazoo.exceptions import KazooException  # type: ignore[import-untyped]

from headgate.adapters.memory_store import refuse_large
from headgate.adapters.zk_pages import FOLDERS, Step, batches, changes_in, journal_pages, key_of, place_of, steps_to
from headgate.adapters.zk_session import ZkSession, unique_name
from headgate.errors import StaleLeader, StoreDamaged, StoreUnavailable

_FORMAT: Final = 1
_ROUNDS: Final = 100
"""A writer that always finds somebody else to have written gives up."""


class _Head(msgspec.Struct, frozen=True):
    """What `records` holds: `journal` names the pages of a write that is done and not yet carried out."""

    format: int = _FORMAT
    journal: tuple[str, ...] = ()


class _Seen(NamedTuple):
    """The records as they were at one version of the head."""

    head: _Head
    version: int
    keys: set[str]


class _Overtaken(Exception):
    """Somebody else has written since we looked."""


class Filled(Protocol):
    """A kazoo transaction."""

    def check(self, path: str, version: int) -> None:
        """Fail unless the node has this version."""

    def create(self, path: str, value: bytes) -> None:
        """Make a node."""

    def set_data(self, path: str, value: bytes, version: int = -1) -> None:
        """Set a node."""

    def delete(self, path: str) -> None:
        """Delete a node."""


class ZkStore:
    """A `ports.RecordStore` in a ZooKeeper session, which it ends when it is closed.

    The session need not be connected yet: until it is, everything is StoreUnavailable.
    """

    def __init__(self, session: ZkSession) -> None:
        self._session: Final = session
        self._term: Final = f"{session.root}/term"
        self._records: Final = f"{session.root}/records"
        self._journal: Final = f"{session.root}/journal"
        self._lock: Final = threading.Lock()
        self._prepared = False
        self._seen: _Seen | None = None
        session.start()

    def load(self, prefix: str) -> Mapping[str, bytes]:
        """See the port."""
        with self._lock:
            self._prepare()
            self._session.sync()
            for _ in range(_ROUNDS):
                seen = self._look()
                found = self._read(seen)
                if found is not None:
                    self._seen = seen
                    return {key: value for key, value in sorted(found.items()) if key.startswith(prefix)}
            raise StoreUnavailable(f"the records at {self._records} change faster than they can be read")

    def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
        """See the port."""
        refuse_large(changes)
        with self._lock:
            self._prepare()
            if not changes:
                self._commit(self._session.transaction(), term)
                return
            for _ in range(_ROUNDS):
                try:
                    self._write(changes, term)
                except _Overtaken:
                    self._seen = None  # Or a write of ours has landed whose answer never came.
                else:
                    return
            raise StoreUnavailable(f"others write to {self._records} all the time")

    def new_term(self) -> int:
        """See the port."""
        with self._lock:
            self._prepare()
            self._seen = None
            term = self._session.set(self._term, b"")
            if term is None:
                raise StoreUnavailable(f"{self._term} has been deleted")
            self._clear_away(term)
            return term

    def close(self) -> None:
        """See the port."""
        self._session.close()

    def _prepare(self) -> None:
        """Make the nodes that everything else is below, once."""
        if self._prepared:
            return
        for path in (self._term, self._journal):
            self._session.prepare(path)
        if self._session.get(self._records) is None:
            made = self._session.transaction()
            made.create(self._records, msgspec.json.encode(_Head()))
            for folder in FOLDERS:
                made.create(f"{self._records}/{folder}", b"")
            self._session.commit(made)  # Refused where another is faster, which is as well.
        self._prepared = True

    def _look(self) -> _Seen:
        head, version = self._look_at_head()
        listed = self._session.children_of_all([f"{self._records}/{folder}" for folder in FOLDERS])
        return _Seen(head, version, {key_of(name) for names in listed for name in names})

    def _look_at_head(self) -> tuple[_Head, int]:
        node = self._session.get(self._records)
        if node is None:
            self._prepared = False
            raise StoreUnavailable(f"{self._records} has been deleted")
        try:
            head = msgspec.json.decode(node.data, type=_Head)
        except msgspec.DecodeError as problem:
            raise StoreDamaged(f"{self._records} in ZooKeeper is not of Headgate, or damaged: {problem}") from problem
        if head.format != _FORMAT:
            text = f"the records at {self._records} have format {head.format}; this build reads {_FORMAT}"
            raise StoreDamaged(f"{text}: run the newer release")
        return head, node.version

    def _read(self, seen: _Seen) -> dict[str, bytes] | None:
        """All records, or None if they have changed meanwhile."""
        keys = sorted(seen.keys)
        nodes = self._session.get_all([f"{self._records}/{place_of(key)}" for key in keys])
        found = {key: node.data for key, node in zip(keys, nodes, strict=True) if node is not None}
        journal = self._read_journal(seen.head)
        now = self._session.get(self._records)
        if now is None or now.version != seen.version or journal is None:
            return None
        for key, value in journal.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found

    def _read_journal(self, head: _Head) -> dict[str, bytes | None] | None:
        if not head.journal:
            return {}
        nodes = self._session.get_all([f"{self._journal}/{name}" for name in head.journal])
        pages = [node.data for node in nodes if node is not None]
        return changes_in(pages) if len(pages) == len(nodes) else None

    def _write(self, changes: Mapping[str, bytes | None], term: int) -> None:
        seen = self._seen or self._look()
        if seen.head.journal:
            seen = self._carry_out(seen, term)
        steps = steps_to(changes, existing=seen.keys, root=self._records)
        pieces = list(batches(steps))
        if len(pieces) <= 1:
            self._seen = self._commit_head(seen, seen.head, steps, changes, term)
            return
        names = self._write_journal(changes, term)
        noted = self._commit_head(seen, _Head(journal=names), [], {}, term)
        self._seen = self._carry_out(noted, term)

    def _write_journal(self, changes: Mapping[str, bytes | None], term: int) -> tuple[str, ...]:
        name = unique_name()
        names = []
        for number, page in enumerate(journal_pages(changes)):
            names.append(f"{name}-{number:04d}")
            aside = self._session.transaction()
            aside.check(self._term, term)
            aside.create(f"{self._journal}/{names[-1]}", page)
            self._commit(aside, term, checked=True)
        return tuple(names)

    def _carry_out(self, seen: _Seen, term: int) -> _Seen:
        """Bring the records to where the journal says they are, then drop it."""
        changes = self._read_journal(seen.head)
        if changes is None:
            raise _Overtaken
        for batch in batches(steps_to(changes, existing=seen.keys, root=self._records)):
            part = self._session.transaction()
            part.check(self._term, term)
            part.check(self._records, seen.version)
            _fill(part, batch)
            self._commit(part, term, checked=True)
        pages = [Step(f"{self._journal}/{name}", None, True) for name in seen.head.journal]
        return self._commit_head(seen, _Head(), pages, changes, term)

    def _commit_head(
        self, seen: _Seen, head: _Head, steps: list[Step], changes: Mapping[str, bytes | None], term: int
    ) -> _Seen:
        """Do the steps and set the head in one; what is seen then, if `changes` is what the steps amount to."""
        transaction = self._session.transaction()
        transaction.check(self._term, term)
        transaction.set_data(self._records, msgspec.json.encode(head), version=seen.version)
        _fill(transaction, steps)
        self._commit(transaction, term, checked=True)
        gone = {key for key, value in changes.items() if value is None}
        seen.keys.update(changes)
        seen.keys.difference_update(gone)
        return _Seen(head, seen.version + 1, seen.keys)

    def _commit(self, transaction: Filled, term: int, *, checked: bool = False) -> None:
        if not checked:
            transaction.check(self._term, term)
        failed: tuple[int, KazooException] | None = self._session.commit(transaction)
        if failed is None:
            return
        at, _ = failed
        if at > 0:
            raise _Overtaken
        newest = self._session.get(self._term)
        if newest is None:
            raise StaleLeader(f"term {term} is over: {self._term} has been deleted")
        raise StaleLeader(f"term {term} is over: a scheduler of term {newest.version} has taken the lead")

    def _clear_away(self, term: int) -> None:
        """Delete pages of journals that were never finished: nobody of an older term can finish them any more."""
        head, _ = self._look_at_head()
        for name in self._session.children(self._journal):
            if name not in head.journal:
                transaction = self._session.transaction()
                transaction.check(self._term, term)
                transaction.delete(f"{self._journal}/{name}")
                try:
                    self._commit(transaction, term, checked=True)
                except _Overtaken:
                    return  # It is gone: the next leader is at it already.


def _fill(transaction: Filled, steps: list[Step]) -> None:
    for step in steps:
        if step.value is None:
            transaction.delete(step.path)
        elif step.exists:
            transaction.set_data(step.path, step.value)
        else:
            transaction.create(step.path, step.value)
