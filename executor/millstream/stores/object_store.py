"""The port to where checkpoints live: named objects that are written once.

One primitive carries everything: *create this object only if it does not exist*.  File systems have it (link), S3
(`If-None-Match: *`), HDFS (exclusive create), ZooKeeper (create).
"""

from __future__ import annotations

import re
from typing import Protocol

from millstream.errors import MillstreamError


class AlreadyExists(MillstreamError):
    """Somebody has created the object before; it is as they left it."""


class NotFound(MillstreamError):
    """There is no such object."""


_NAME = re.compile(r"[A-Za-z0-9_%=-][A-Za-z0-9._%=-]*(?:/[A-Za-z0-9_%=-][A-Za-z0-9._%=-]*)*")


def require_name(name: str) -> None:
    """Refuse what is no object name: it would be a mistake of ours, and a door out of the store."""
    assert _NAME.fullmatch(name), f"no object name: {name!r}"


class ObjectStore(Protocol):
    """Objects by name; a name is parts joined by "/", each of letters, digits and `. _ - % =`, none starting with ".".

    Every method may raise `StoreUnavailable`: then a write may have landed or not, and may be repeated.
    All implementations are safe to share between threads and processes.
    """

    def create(self, name: str, data: bytes) -> None:
        """Store `data` under `name`, all of it or nothing, and durably: it survives a crash right after the return.

        Of several that create the same name at once, exactly one succeeds.

        Raises:
            AlreadyExists: the name is taken; nothing was changed.
        """
        ...

    def get(self, name: str) -> bytes:
        """The whole object.

        Raises:
            NotFound: there is none.
        """
        ...

    def list(self, prefix: str) -> list[str]:
        """All names that start with `prefix`, sorted.  Shows every object whose `create` returned before the call."""
        ...

    def delete(self, name: str) -> None:
        """Remove the object.  Removing what is not there is fine."""
        ...
