"""Reading a shard's log backwards: which entries are its history, and whether a checkpoint is whole.

For whoever owns the shard and for whoever only looks.  Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from millstream.contract.checkpoint import BrokenEntry, FileRef, LogEntry, Manifest, ShardId, decode_entry, sha256
from millstream.stores.location import object_part
from millstream.stores.object_store import NotFound, ObjectStore

SHARDS = "shards"


def shard_base(shard: ShardId) -> str:
    """What the names of all objects of a shard begin with."""
    return f"{SHARDS}/{object_part(shard)}"


def entry_name(shard: ShardId, number: int) -> str:
    """The object that holds entry `number` of the shard's log."""
    return f"{shard_base(shard)}/log/{number:012d}"


def entry_numbers(store: ObjectStore, shard: ShardId) -> list[int]:
    """The entries that are there, damaged ones included, in order."""
    return [int(name.rpartition("/")[2]) for name in store.list(f"{shard_base(shard)}/log/")]


def read_entry(store: ObjectStore, shard: ShardId, number: int) -> bytes | None:
    """The bytes of an entry; None: it is not there."""
    try:
        return store.get(entry_name(shard, number))
    except NotFound:
        return None


def decoded(data: bytes | None) -> LogEntry | None:
    """The entry; None: it is not there, or damaged."""
    if data is None:
        return None
    try:
        return decode_entry(data)
    except BrokenEntry:
        return None


def history(
    store: ObjectStore, shard: ShardId, numbers: Sequence[int], *, below: LogEntry | None = None
) -> Iterator[tuple[int, LogEntry | None]]:
    """The entries of the log among `numbers`, newest first; None stands for one that is damaged.

    It ends where a number is missing, and before an entry that the next one does not name: a zombie put it into a hole
    that collecting had left.  `below` is an entry of the reader's own that came after all of `numbers`; without one the
    newest of them counts as it is.
    """
    successor = below
    expected = None if below is None else below.number - 1
    for number in reversed(numbers):
        data = read_entry(store, shard, number)
        entry = decoded(data)
        left_out = successor is not None and data is not None and successor.previous != sha256(data)
        if (expected is not None and number != expected) or (entry is not None and left_out):
            return
        yield number, entry
        expected, successor = number - 1, entry


def state_of(store: ObjectStore, manifest: Manifest) -> tuple[dict[str, bytes], str | None]:
    """The manifest's state files by role, or what is wrong with them."""
    state = {}
    for file in manifest.state_files:
        try:
            data = store.get(file.name)
        except NotFound:
            return {}, f"{file.name} is missing"
        if len(data) != file.bytes or sha256(data) != file.sha256:
            return {}, f"{file.name} is not what was written"
        state[role_of(file)] = data
    return state, None


def role_of(file: FileRef) -> str:
    """What a state file is for: the part of its name behind number, epoch and hash."""
    return unquote(file.name.rpartition("/")[2].split(".")[1])
