"""The masters' group in ZooKeeper: who contends, who leads, and what a leader leaves to the next.

Each master has an ephemeral node `json.info_NNN` with its MasterInfo; the smallest number leads.  The registry is kept
in a node beside them, as its name has no number clients pass it over.

Source: src/zookeeper/group.cpp, src/zookeeper/detector.cpp of Mesos; F.4 of the protocol notes.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from kazoo.client import KazooClient  # type: ignore[import-untyped]
from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError  # type: ignore[import-untyped]
from kazoo.handlers.threading import KazooTimeoutError  # type: ignore[import-untyped]
from kazoo.protocol.states import KazooState  # type: ignore[import-untyped]
from kazoo.security import make_acl, make_digest_acl  # type: ignore[import-untyped]

from headgate.simulator.messages import Json

LABEL = "json.info"
REGISTRY = "registry"
CONNECT_SECONDS_MAX = 30.0
AGAIN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The leading master.  `mine`: it is the one that contends here."""

    hostname: str
    ip: str
    port: int
    mine: bool = False


class Unreachable(OSError):
    """No ZooKeeper answers."""


def parse_url(url: str) -> tuple[str, str, str | None]:
    """Hosts, path and `user:password` of `zk://[user:password@]host:port[,host:port…]/path`.

    Raises:
        ValueError: it is no such URL.
    """
    scheme, _, rest = url.partition("://")
    authority, _, path = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    if scheme != "zk" or not hosts or (at and ":" not in credentials):
        raise ValueError(f"not a ZooKeeper URL: {url!r}; it looks like zk://[user:password@]host:port[,…]/mesos")
    return hosts, "/" + path.strip("/"), unquote(credentials) if at else None


def leading_node(children: Iterable[str]) -> str | None:
    """The node with the smallest number; names without a number at their end do not count."""
    numbered = [
        (int(number), child)
        for child in children
        if (number := child.rpartition("_")[2]).isascii() and number.isdigit()
    ]
    return min(numbered)[1] if numbered else None


class Group:
    """One session.  All methods belong to one event loop; `on_leader` is called there, whenever the leader changes.

    With `info` (a MasterInfo) it contends, else it only looks on.  When the session is lost, or not heard of for as
    long, nobody leads as far as is known here; a new session is begun by itself.
    """

    def __init__(
        self,
        url: str,
        info: Json | None,
        on_leader: Callable[[Leader | None], None],
        *,
        session_timeout_s: float = 10.0,
    ) -> None:
        hosts, self._path, credentials = parse_url(url)
        self._info, self._on_leader, self._session_timeout_s = info, on_leader, session_timeout_s
        self._loop = asyncio.get_running_loop()
        auth: dict[str, Any] = {}
        if credentials is not None:
            acl = [make_digest_acl(*credentials.split(":", 1), all=True), make_acl("world", "anyone", read=True)]
            auth = {"auth_data": [("digest", credentials)], "default_acl": acl}
        self._client = KazooClient(hosts=hosts, timeout=session_timeout_s, logger=_quiet(), **auth)
        self._client.add_listener(lambda state: self._later(self._session, state))
        self._node: str | None = None
        self._leader: Leader | None = None
        self._doubt: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._renewal: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._registry_version = -1

    async def open(self) -> None:
        """Begin.

        Raises:
            Unreachable: no ZooKeeper answers.
        """
        try:
            await asyncio.to_thread(self._client.start, CONNECT_SECONDS_MAX)
        except (KazooException, KazooTimeoutError) as fault:
            await self.close()
            raise Unreachable(f"no ZooKeeper at {self._client.hosts}: {fault}") from fault
        self._changed.set()
        self._task = self._loop.create_task(self._watch())

    async def close(self) -> None:
        """End the session: our node goes at once."""
        if self._doubt is not None:
            self._doubt.cancel()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._renewal is not None:
            await self._renewal
        await asyncio.to_thread(self._client.stop)
        self._client.close()

    # --- the registry --------------------------------------------------------------------------------------------

    async def read_registry(self) -> bytes | None:
        """What the last leader has left; None if there has never been one.

        Raises:
            Unreachable: ZooKeeper does not answer.
        """

        def read() -> bytes | None:
            self._client.ensure_path(self._path)
            try:
                data, stat = self._client.get(f"{self._path.rstrip('/')}/{REGISTRY}")
            except NoNodeError:
                return None
            self._registry_version = stat.version
            return bytes(data)

        left: bytes | None = await self._ask(read)
        return left

    async def write_registry(self, data: bytes) -> None:
        """Leave something to the next leader.

        Raises:
            Unreachable: ZooKeeper does not answer, or another leader has written since we read.
        """

        def write() -> None:
            place = f"{self._path.rstrip('/')}/{REGISTRY}"
            if self._registry_version < 0:
                with suppress(NodeExistsError):
                    self._client.create(place, data)
                    self._registry_version = 0
                    return
            self._registry_version = self._client.set(place, data, version=self._registry_version).version

        await self._ask(write)

    async def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return await asyncio.to_thread(question)
        except (KazooException, KazooTimeoutError) as fault:
            raise Unreachable(f"ZooKeeper: {fault!r}") from fault

    # --- inside --------------------------------------------------------------------------------------------------

    def _later(self, call: Callable[..., None], *arguments: Any) -> None:
        """From a thread of kazoo's into the loop, which may have ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _session(self, state: str) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None
        if state == KazooState.CONNECTED:
            self._changed.set()
        elif state == KazooState.SUSPENDED:
            self._doubt = self._loop.call_later(self._session_timeout_s, self._give_up)
        else:
            self._forget()

    def _forget(self) -> None:
        self._node = None
        self._tell(None)

    def _give_up(self) -> None:
        """The session has certainly ended, or will; should it live on after all, nobody may hold its node for us."""
        self._forget()
        self._renewal = self._loop.create_task(asyncio.to_thread(self._renew))

    def _renew(self) -> None:
        self._client.stop()
        self._client.start_async()

    def _tell(self, leader: Leader | None) -> None:
        if leader != self._leader:
            self._leader = leader
            self._on_leader(leader)

    async def _watch(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                self._tell(await asyncio.to_thread(self._look))
            except (KazooException, KazooTimeoutError):
                self._loop.call_later(AGAIN_S, self._changed.set)

    def _look(self) -> Leader | None:
        """Contend if we do not yet, then see who leads.  In a thread."""
        self._client.ensure_path(self._path)
        children = self._client.get_children(self._path, watch=lambda _: self._later(self._changed.set))
        if self._info is not None and self._node not in children:
            content = json.dumps(self._info, separators=(",", ":")).encode()
            made = self._client.create(f"{self._path.rstrip('/')}/{LABEL}_", content, ephemeral=True, sequence=True)
            self._node = made.rpartition("/")[2]
            children = self._client.get_children(self._path)
        node = leading_node(children)
        if node is None:
            return None
        content, _ = self._client.get(f"{self._path.rstrip('/')}/{node}")
        info = json.loads(content)
        address = info["address"]
        return Leader(hostname=info["hostname"], ip=address["ip"], port=address["port"], mine=node == self._node)


def _quiet() -> logging.Logger:
    """Below warnings kazoo tells every request, the one with the password too."""
    log = logging.getLogger(__name__)
    log.setLevel(logging.CRITICAL)
    return log
