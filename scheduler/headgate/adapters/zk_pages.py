"""How records lie in ZooKeeper: names of nodes, and writes that are too large for one transaction.

A record is a node of its own, in one of a fixed number of folders, so that no listing grows beyond what a reply may
hold.  A request may have 1 MiB (`jute.maxbuffer`) with everything around it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from headgate.errors import StoreDamaged
from headgate.ports import RECORD_BYTES_MAX

FOLDERS: Final = tuple(f"{number:02x}" for number in range(64))
BATCH_BYTES_MAX: Final = 700 * 1024
_BATCH_STEPS_MAX: Final = 2000
_STEP_BYTES: Final = 160
"""What a step takes besides path and value: headers, and an access list."""
_CHANGES: Final = msgspec.msgpack.Decoder(list[tuple[str, bytes | None]])


@dataclass(frozen=True, slots=True)
class Step:
    """One change of one node: `value` None deletes; `exists` says whether it is there before."""

    path: str
    value: bytes | None
    exists: bool

    @property
    def size(self) -> int:
        """Bytes it takes in a request, roughly."""
        return len(self.path) + len(self.value or b"") + _STEP_BYTES


def place_of(key: str) -> str:
    """`folder/name` of a record's node."""
    name = quote(key, safe="")
    if not name.strip("."):
        name = name.replace(".", "%2E")  # A node may be called neither "." nor "..".
    return f"{FOLDERS[zlib.crc32(key.encode()) % len(FOLDERS)]}/{name}"


def key_of(name: str) -> str:
    """The key of a record whose node has this name."""
    return unquote(name)


def steps_to(changes: Mapping[str, bytes | None], *, existing: Iterable[str], root: str) -> list[Step]:
    """What to do to the nodes below `root` so that they hold the changes; to delete what is not there takes nothing."""
    there = existing if isinstance(existing, (set, frozenset)) else frozenset(existing)
    return [
        Step(f"{root}/{place_of(key)}", value, key in there)
        for key, value in changes.items()
        if value is not None or key in there
    ]


def batches(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps in order, cut into pieces that a request can hold."""
    batch: list[Step] = []
    size = 0
    for step in steps:
        if batch and (size + step.size > BATCH_BYTES_MAX or len(batch) >= _BATCH_STEPS_MAX):
            yield batch
            batch, size = [], 0
        batch.append(step)
        size += step.size
    if batch:
        yield batch


def journal_pages(changes: Mapping[str, bytes | None]) -> list[bytes]:
    """A write as pages that each fit into a node."""
    data = zlib.compress(msgspec.msgpack.encode(list(changes.items())), 1)
    return [data[start : start + RECORD_BYTES_MAX] for start in range(0, len(data), RECORD_BYTES_MAX)]


def changes_in(pages: Sequence[bytes]) -> dict[str, bytes | None]:
    """The write that was cut into these pages.

    Raises:
        StoreDamaged: it cannot be read.
    """
    try:
        return dict(_CHANGES.decode(zlib.decompress(b"".join(pages))))
    except (zlib.error, msgspec.DecodeError) as problem:
        raise StoreDamaged(f"a large write that was not finished cannot be read from ZooKeeper: {problem}") from problem
