"""Where the Mesos masters are, as the operator named them.

Either a list of masters, any of which redirects to the leader, or a ZooKeeper path where the masters contend
(`mesos_detection_zk`).  Whoever is named here may be given our credentials; others may not.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from headgate.errors import BadOption

MASTER_PORT = 5050


class Masters(Protocol):
    """Where to subscribe."""

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to look; `changed` is called, from any thread, when trying again at once is worthwhile."""

    def next(self) -> str | None:
        """The base URL to try next; None while no master is known.  Answers within seconds."""

    def trusts(self, url: str) -> bool:
        """Whether that URL is on one of our masters, so that it may see our credentials."""

    def close(self) -> None:
        """Give connections back.  Idempotent."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who is at the other end of a URL."""

    scheme: str
    host: str
    port: int


def origin_of(url: str) -> Origin:
    """The origin of an absolute HTTP URL."""
    parts = urlsplit(url)
    return Origin(parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80))


class ListedMasters:
    """Masters by address, tried in turn: the one we were redirected to may be dead before ZooKeeper knows."""

    def __init__(self, urls: Sequence[str]) -> None:
        assert urls
        self._urls = tuple(urls)
        self._tried = 0

    def start(self, changed: Callable[[], None]) -> None:
        """Nothing to begin: a list does not change."""

    def next(self) -> str:
        """The list in turn, for ever."""
        url = self._urls[self._tried % len(self._urls)]
        self._tried += 1
        return url

    def trusts(self, url: str) -> bool:
        """Listed, or listed under another name: masters redirect to a host name where the list may have its address."""
        asked = origin_of(url)
        listed = [origin_of(each) for each in self._urls]
        if asked in listed:
            return True
        alike = [each for each in listed if (each.scheme, each.port) == (asked.scheme, asked.port)]
        asked_at = _addresses(asked.host) if alike else frozenset()
        return any(not asked_at.isdisjoint(_addresses(each.host)) for each in alike)

    def close(self) -> None:
        """Nothing to give back."""


def listed_masters(text: str) -> ListedMasters:
    """The masters of `host:port,host:port…`; each may have a scheme (http) and a path, and no port means 5050.

    Raises:
        StartFailed: an address that is none, or one with a password in it.
    """
    return ListedMasters([_base_url(each.strip()) for each in text.split(",")])


def _base_url(text: str) -> str:
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if "@" in parts.netloc:
        raise BadOption(
            f"master address for host {parts.hostname!r} holds a password, which would end up in logs: "
            "give principal and secret by their own settings"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or _port(parts) is None or parts.query:
        raise BadOption(f"{text!r} is no master address: expected host:port or http[s]://host[:port][/path]")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    # Behind a path or TLS there is a gateway such as Admin Router, at the scheme's own port.
    plain = parts.scheme == "http" and parts.path in ("", "/")
    port = _port(parts) or (MASTER_PORT if plain else 443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


def _port(parts: SplitResult) -> int | None:
    """The port; 0 where none is given, None where it is no port."""
    try:
        return parts.port or 0
    except ValueError:
        return None


def _addresses(host: str) -> frozenset[str]:
    try:
        return frozenset(str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except OSError:
        return frozenset()
