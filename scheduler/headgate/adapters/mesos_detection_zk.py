"""The leading master, as the masters' election in ZooKeeper has it.

Every master keeps an ephemeral child, `json.info_` and a sequence number, that describes it; the smallest number
leads.  Children without a number (`log_replicas`) are none of ours; `info_` ones hold the old binary form.

Source: Mesos, `src/zookeeper/group.cpp` and `src/master/detector/zookeeper.cpp`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from kazoo.client import KazooClient  # type: ignore[import-untyped]
from kazoo.exceptions import KazooException, NoNodeError  # type: ignore[import-untyped]
from kazoo.handlers.threading import KazooTimeoutError  # type: ignore[import-untyped]

from headgate.adapters.mesos_codec_offers import Address
from headgate.adapters.mesos_detection import Origin, origin_of
from headgate.errors import BadOption

log = logging.getLogger(__name__)

SESSION_S: Final = 10.0
ANSWER_S: Final = 5.0
_LABEL: Final = "json.info"


class _MasterInfo(msgspec.Struct):
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ZkLocation:
    """What a `zk://` URL says.  `credentials` is `user:password`, for the digest scheme."""

    hosts: str
    path: str
    credentials: str | None = None

    def __repr__(self) -> str:
        return f"zk://{self.hosts}{self.path}"


def parse_zk_url(text: str) -> ZkLocation:
    """The parts of `zk://[user:password@]host:port[,host:port…]/path`.

    Raises:
        StartFailed: it is no such URL.
    """
    scheme, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, at, hosts = authority.rpartition("@")
    if scheme != "zk" or not hosts or (at and ":" not in credentials):
        raise BadOption("not a ZooKeeper URL: expected zk://[user:password@]host:port[,host:port…]/path")
    return ZkLocation(
        hosts=hosts, path=f"{slash}{path}".rstrip("/") or "/", credentials=unquote(credentials) if at else None
    )


def leader_first(children: Iterable[str]) -> list[str]:
    """The masters' nodes among the children, the leader's first."""
    numbered: list[tuple[int, str]] = []
    for child in children:
        number = child.rpartition("_")[2]
        if number.isascii() and number.isdigit():
            numbered.append((int(number), child))
    return [child for _, child in sorted(numbered)]


class ZkMasters:
    """Masters found in ZooKeeper: looked up at each attempt, and heard of between attempts through a watch."""

    def __init__(self, client: KazooClient, path: str, *, scheme: str = "http") -> None:
        self._client = client
        self._path = path
        self._scheme = scheme
        self._changed: Callable[[], None] | None = None
        self._known: frozenset[Origin] = frozenset()

    def start(self, changed: Callable[[], None]) -> None:
        """Connect in the background; `changed` is called from ZooKeeper's thread."""
        self._changed = changed
        self._client.start_async()

    @property
    def connected(self) -> bool:
        """Whether ZooKeeper itself can be reached at the moment."""
        return bool(self._client.connected)

    def next(self) -> str | None:
        """The leader's base URL; None while there is none, or ZooKeeper does not answer."""
        try:
            children = self._client.get_children_async(self._path, watch=self._on_change).get(timeout=ANSWER_S)
            urls = [self._url(node) for node in leader_first(children)]
        except NoNodeError:
            return None  # No master has ever been, or one left while we looked; the watch or the next attempt tells.
        except (KazooException, KazooTimeoutError) as problem:
            log.warning("cannot look for the Mesos leader in ZooKeeper at %s: %r", self._path, problem)
            return None
        self._known = frozenset(origin_of(url) for urls_of_one in urls for url in urls_of_one)
        if urls and not urls[0]:
            log.warning("the Mesos leader describes itself in ZooKeeper at %s in no form known here", self._path)
        return urls[0][0] if urls and urls[0] else None

    def trusts(self, url: str) -> bool:
        """Whether it is one of the masters that contended when last looked."""
        return origin_of(url) in self._known

    def close(self) -> None:
        """End the session."""
        self._client.stop()
        self._client.close()

    def _url(self, node: str) -> list[str]:
        """The base URLs of a master, the one to use first; none if its node is not in the JSON form."""
        if node.rpartition("_")[0] != _LABEL:
            return []
        content, _ = self._client.get_async(f"{self._path.rstrip('/')}/{node}").get(timeout=ANSWER_S)
        try:
            address = msgspec.json.decode(content, type=_MasterInfo).address
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []
        # A certificate is for a name; without TLS the address spares us the name service.
        hosts = [address.hostname, address.ip] if self._scheme == "https" else [address.ip, address.hostname]
        named = [f"[{host}]" if ":" in host else host for host in hosts if host]
        return [f"{self._scheme}://{host}:{address.port}" for host in named]

    def _on_change(self, _event: Any) -> None:
        if self._changed is not None:
            self._changed()


def zk_masters(location: ZkLocation, *, scheme: str = "http") -> ZkMasters:
    """Masters by their ZooKeeper path; `scheme` is how they themselves are spoken to."""
    # Below INFO, kazoo writes each request to the log, the one with the password too.
    quiet = logging.getLogger(f"{__name__}.session")
    quiet.setLevel(logging.INFO)
    client = KazooClient(
        hosts=location.hosts,
        timeout=SESSION_S,
        auth_data=[("digest", location.credentials)] if location.credentials else None,
        logger=quiet,
    )
    return ZkMasters(client, location.path, scheme=scheme)
