"""Programs' bundles in ZooKeeper, so that every scheduler can hand them to agents, whoever took them in.

A bundle is a node that names its size, above pages that each fit into a node; it is there once that node holds it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Set
from typing import Final

import msgspec

from headgate.adapters.bundles import BundleRefused
from headgate.adapters.zk_session import Node, ZkSession
from headgate.ports import RECORD_BYTES_MAX

BYTES_MAX: Final = 8 * 1024 * 1024
"""ZooKeeper keeps everything in memory, at every server."""


class _Bundle(msgspec.Struct, frozen=True):
    """What a bundle's node holds once all pages are there."""

    size: int


class ZkBundles:
    """`bundles.SharedBundles` in a session that others end.  Thread-safe."""

    def __init__(self, session: ZkSession) -> None:
        self._session: Final = session
        self._folder: Final = f"{session.root}/bundles"

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a bundle; repeating it changes nothing.

        Raises:
            BundleRefused: it is too large.
            StoreUnavailable: no answer; the bundle may be there.
        """
        if len(data) > BYTES_MAX:
            limit = f"a bundle has at most {BYTES_MAX >> 20} MiB where schedulers share a ZooKeeper"
            raise BundleRefused(f"{limit}, and this one {len(data) / (1 << 20):.1f}: put data into image or fetch")
        path = f"{self._folder}/{sha256}"
        if _size_in(self._session.get(path)) == len(data):
            return
        self._session.prepare(path)
        for page, start in zip(_pages(path, len(data)), range(0, len(data), RECORD_BYTES_MAX), strict=True):
            self._session.prepare(page)
            self._session.set(page, data[start : start + RECORD_BYTES_MAX])
        self._session.set(path, msgspec.json.encode(_Bundle(size=len(data))))

    def get(self, sha256: str) -> bytes | None:
        """A bundle; None when it is not there.

        Raises:
            StoreUnavailable: no answer.
        """
        path = f"{self._folder}/{sha256}"
        size = _size_in(self._session.get(path))
        if size is None:
            return None
        data = b"".join(node.data for node in self._session.get_all(_pages(path, size)) if node is not None)
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def drop_unused(self, used: Set[str], *, made_before: float) -> None:
        """Delete the bundles that are not in use and were made before then (seconds since the epoch).

        Raises:
            StoreUnavailable: no answer.
        """
        for sha256 in self._session.children(self._folder):
            path = f"{self._folder}/{sha256}"
            node = self._session.get(path)
            if sha256 in used or node is None or node.made_at >= made_before:
                continue
            self._session.set(path, b"")  # From here on it is not there.
            for page in self._session.children(path):
                self._session.delete(f"{path}/{page}")
            self._session.delete(path)


def _pages(path: str, size: int) -> list[str]:
    return [f"{path}/{number:04d}" for number in range((size + RECORD_BYTES_MAX - 1) // RECORD_BYTES_MAX)]


def _size_in(node: Node | None) -> int | None:
    try:
        return None if node is None or not node.data else msgspec.json.decode(node.data, type=_Bundle).size
    except msgspec.DecodeError:
        return None
