"""One ZooKeeper session, shared by what lives and dies with it: the store, the candidacy, the bundles.

Every request is bounded in time, and what cannot be answered is StoreUnavailable.  The session goes on by itself over
lost connections, and a new one begins by itself after one has expired.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final, NamedTuple
from uuid import uuid4

from kazoo.client import KazooClient  # type: ignore[import-untyped]
from kazoo.exceptions import (  # type: ignore[import-untyped]
    AuthFailedError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
)
from kazoo.handlers.threading import KazooTimeoutError  # type: ignore[import-untyped]
from kazoo.protocol.states import KazooState  # type: ignore[import-untyped]
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl  # type: ignore[import-untyped]

from headgate.adapters.mesos_detection_zk import ZkLocation
from headgate.errors import BadOption, StoreUnavailable

SESSION_S: Final = 10.0
"""What the servers are asked for; they may give between 2 and 20 of their ticks."""
ANSWER_S: Final = 5.0
_WINDOW: Final = 500
"""Requests on their way at a time."""


class Node(NamedTuple):
    """What a znode holds, how often it has been set, and when it was made (seconds since the epoch)."""

    data: bytes
    version: int
    made_at: float


class ZkSession:
    """A session at the servers of `location`, for nodes below its path.  Thread-safe.

    With credentials, nodes that it makes can be read and changed by their bearer alone.
    """

    def __init__(self, location: ZkLocation, *, session_s: float = SESSION_S) -> None:
        if location.path == "/":
            raise BadOption(
                f"{location} names no path: everything would lie at ZooKeeper's root; write {location}headgate"
            )
        self.root: Final = location.path
        self.session_s: Final = session_s
        self.hosts: Final = location.hosts
        self._closed = False
        self._lost: list[Callable[[], None]] = []
        # Below INFO, kazoo writes each request to the log, the one with the password too; as a warning, each attempt to
        # connect.  What matters of that is told by those who ask for something.
        quiet = logging.getLogger(f"{__name__}.kazoo")
        quiet.setLevel(logging.ERROR)
        acl = None
        if location.credentials is not None:
            user, _, password = location.credentials.partition(":")
            acl = [make_digest_acl(user, password, all=True)]
        self._client: Final = KazooClient(
            hosts=location.hosts,
            timeout=session_s,
            auth_data=[("digest", location.credentials)] if location.credentials is not None else None,
            default_acl=acl,
            connection_retry={"max_tries": -1, "delay": 0.1, "max_delay": 2.0},
            logger=quiet,
        )
        self._client.add_listener(self._on_state)

    def start(self) -> None:
        """Begin to connect, in the background; what is asked before it is there is StoreUnavailable.  Idempotent."""
        if not self._closed:
            self._client.start_async()

    def on_lost(self, call: Callable[[], None]) -> None:
        """Have it called, from ZooKeeper's thread, when the connection or the session is lost; it must not block."""
        self._lost.append(call)

    @property
    def connected(self) -> bool:
        """Whether a server is connected at this instant."""
        return bool(self._client.connected)

    @property
    def id(self) -> int | None:
        """The session's number; None while not connected."""
        found = self._client.client_id
        return None if found is None else int(found[0])

    def close(self) -> None:
        """End the session; its ephemeral nodes go with it.  Idempotent."""
        if not self._closed:
            self._closed = True
            self._client.stop()
            self._client.close()

    def prepare(self, path: str) -> None:
        """Make a node and what is above it, if they are not there.  What is above our root is left open to others."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            node = "/" + "/".join(parts[:depth])
            ours = len(node) >= len(self.root)
            with self._translated():
                if self._client.exists_async(node).get(timeout=ANSWER_S) is not None:
                    continue
                with suppress(NodeExistsError):
                    acl = None if ours else OPEN_ACL_UNSAFE
                    self._client.create_async(node, b"", acl=acl).get(timeout=ANSWER_S)

    def get(self, path: str) -> Node | None:
        """A node; None if there is none."""
        with self._translated():
            try:
                data, stat = self._client.get_async(path).get(timeout=ANSWER_S)
            except NoNodeError:
                return None
            return _node(data, stat)

    def get_all(self, paths: Sequence[str]) -> list[Node | None]:
        """Many nodes at once, in the order given."""
        return [None if found is None else _node(*found) for found in self._pipelined(self._client.get_async, paths)]

    def children(self, path: str, *, watch: Callable[[object], None] | None = None) -> list[str]:
        """The names of a node's children, sorted; none without the node.

        `watch` is called once, from ZooKeeper's thread, when they have changed; the same one given again is one.
        """
        with self._translated():
            try:
                return sorted(self._client.get_children_async(path, watch=watch).get(timeout=ANSWER_S))
            except NoNodeError:
                return []

    def children_of_all(self, paths: Sequence[str]) -> list[list[str]]:
        """The same for many nodes at once."""
        return [sorted(found or ()) for found in self._pipelined(self._client.get_children_async, paths)]

    def sync(self) -> None:
        """Let the server we talk to catch up with everything written before."""
        with self._translated():
            self._client.sync_async(self.root).get(timeout=ANSWER_S)

    def create_numbered(self, path: str, data: bytes) -> str:
        """Make a node that lasts as long as the session; its path, which ends with the next number."""
        with self._translated():
            made = self._client.create_async(path, data, ephemeral=True, sequence=True).get(timeout=ANSWER_S)
            return str(made)

    def set(self, path: str, data: bytes) -> int | None:
        """Set a node, whatever it holds; its version, or None if there is none."""
        with self._translated():
            try:
                return int(self._client.set_async(path, data).get(timeout=ANSWER_S).version)
            except NoNodeError:
                return None

    def delete(self, path: str) -> None:
        """Delete a node, if it is there."""
        with self._translated():
            try:
                self._client.delete_async(path).get(timeout=ANSWER_S)
            except NoNodeError:
                return

    def transaction(self) -> Any:
        """A kazoo transaction to fill, for `commit`."""
        self._require_connection()
        return self._client.transaction()

    def commit(self, transaction: Any) -> tuple[int, KazooException] | None:
        """Have it done: None, or which of its parts could not be, and why; then nothing was."""
        with self._translated():
            results = transaction.commit_async().get(timeout=ANSWER_S)
            for at, result in enumerate(results):
                if isinstance(result, NoAuthError):
                    raise result
                # Those before the failed one say "rolled back", those behind it "inconsistent": neither says why.
                if isinstance(result, KazooException) and type(result).__name__ not in _BESIDE_THE_POINT:
                    return at, result
            return None

    def _pipelined(self, ask: Callable[[str], Any], paths: Iterable[str]) -> list[Any]:
        answers: list[Any] = []
        remaining = iter(paths)
        with self._translated():
            while window := list(islice(remaining, _WINDOW)):
                for promise in [ask(path) for path in window]:
                    try:
                        answers.append(promise.get(timeout=ANSWER_S))
                    except NoNodeError:
                        answers.append(None)
        return answers

    @contextmanager
    def _translated(self) -> Iterator[None]:
        self._require_connection()
        try:
            yield
        except (NoAuthError, AuthFailedError) as problem:
            raise StoreUnavailable(
                f"ZooKeeper does not let us at {self.root}: set --zk-auth-file to the credentials it was made with"
            ) from problem
        except (KazooException, KazooTimeoutError) as problem:
            reason = type(problem).__name__ if not str(problem) else f"{type(problem).__name__}: {problem}"
            raise StoreUnavailable(f"no answer from ZooKeeper at {self.hosts} ({reason})") from problem

    def _require_connection(self) -> None:
        # Without this, requests would wait for the next connection, and be done when nobody expects them any more.
        if not self._client.connected:
            what = "the session is closed" if self._closed else f"no connection to ZooKeeper at {self.hosts}"
            raise StoreUnavailable(what)

    def _on_state(self, state: str) -> None:
        if state != KazooState.CONNECTED:
            for call in self._lost:
                call()


_BESIDE_THE_POINT: Final = ("RolledBackError", "RuntimeInconsistency")


def unique_name() -> str:
    """A name that nobody else gives to a node."""
    return uuid4().hex


def _node(data: bytes, stat: Any) -> Node:
    return Node(data, stat.version, stat.ctime / 1000)
