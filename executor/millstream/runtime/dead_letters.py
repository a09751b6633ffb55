"""Records that could not be processed, kept where an operator finds them.

They are JSON lines in the checkpoint store, `dead-letters/<shard>/<commit>-<epoch>.jsonl`, and become visible with the
commit that leaves the record behind: exactly once.  A line has the shard, the record's position, the reason and the raw
bytes, as text where they are UTF-8 and else in base64 (`encoding` says which).
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Sequence

import msgspec

from millstream.contract.checkpoint import ShardId
from millstream.sinks.sink import OutputData
from millstream.sources.source import DeadRecord
from millstream.stores.location import object_part
from millstream.stores.object_store import AlreadyExists, NotFound, ObjectStore

NAME = "dead-letters"
RAW_BYTES_MAX = 1 << 20
"""More of one record is cut off; its position finds the rest in the source."""


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a dead-letter file."""

    shard: str
    position: int
    reason: str
    raw: str
    encoding: str
    raw_bytes: int


def dead_letter(shard: ShardId, record: DeadRecord) -> DeadLetter:
    """The letter for a record; a raw record above `RAW_BYTES_MAX` is cut, `raw_bytes` says how long it was."""
    raw = record.raw[:RAW_BYTES_MAX]
    try:
        text, encoding = raw.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(raw).decode(), "base64"
    return DeadLetter(
        shard=shard,
        position=record.position,
        reason=record.reason,
        raw=text,
        encoding=encoding,
        raw_bytes=len(record.raw),
    )


class DeadLetterWriter:
    """Writes one shard's dead letters as a part of its commits; prepares, promotes and restores like a sink."""

    def __init__(self, store: ObjectStore, shard: ShardId, epoch: int) -> None:
        self._store = store
        self._shard = shard
        self._epoch = epoch
        self._pending: list[DeadLetter] = []

    def write(self, records: Sequence[DeadRecord]) -> None:
        """Keep the records for the next commit."""
        self._pending += [dead_letter(self._shard, record) for record in records]

    def prepare(self, number: int) -> Sequence[OutputData]:
        """Store what was written, aside, for commit `number`."""
        if not self._pending:
            return ()
        data = b"".join(msgspec.json.encode(letter) + b"\n" for letter in self._pending)
        name = f"{object_part(self._shard)}/{number:012d}-{self._epoch}.jsonl"
        staged = f"{NAME}-staged/{name}"
        try:
            self._store.create(staged, data)
        except AlreadyExists:  # of an attempt at this commit that came to nothing
            self._store.delete(staged)
            self._store.create(staged, data)
        self._pending = []
        return ({"staged": staged, "final": f"{NAME}/{name}", "records": data.count(b"\n")},)

    def promote(self, outputs: Sequence[OutputData]) -> Sequence[str]:
        """Move what was set aside to where it is found.  Idempotent."""
        remarks = []
        for output in outputs:
            staged, final = str(output["staged"]), str(output["final"])
            try:
                data = self._store.get(staged)
            except NotFound:
                if not self._store.list(final):
                    remarks.append(f"dead letters {final} are gone since they were committed")
                continue
            with contextlib.suppress(AlreadyExists):  # promoted before
                self._store.create(final, data)
            self._store.delete(staged)
        return remarks

    def restore(self, number: int, outputs: Sequence[OutputData]) -> Sequence[str]:
        """Discard what owners up to this epoch set aside or promoted that belongs to no commit up to `number`."""
        listed = {str(output["staged"]) for output in outputs}
        remarks = []
        for folder in (f"{NAME}-staged", NAME):
            for name in self._store.list(f"{folder}/{object_part(self._shard)}/"):
                commit, _, epoch = name.rpartition("/")[2].partition(".")[0].partition("-")
                if int(epoch) > self._epoch or name in listed:
                    continue
                if folder == NAME and int(commit) <= number:
                    continue
                self._store.delete(name)
                if folder == NAME:
                    remarks.append(f"took back dead letters of commit {commit}, which is not in the log")
        return remarks

    def discard(self) -> None:
        """Forget what is not prepared."""
        self._pending = []


def read_dead_letters(store: ObjectStore, shard: ShardId | None = None) -> Iterator[DeadLetter]:
    """All committed dead letters of a job, or of one shard of it."""
    for _, letter in numbered_dead_letters(store, shard):
        yield letter


def numbered_dead_letters(store: ObjectStore, shard: ShardId | None = None) -> Iterator[tuple[int, DeadLetter]]:
    """The same, each with the number of the commit that left the record behind.

    A file that a shard takes back meanwhile, since its commit is not in the log, is left out.
    """
    prefix = f"{NAME}/{object_part(shard)}/" if shard is not None else f"{NAME}/"
    for name in store.list(prefix):
        try:
            data = store.get(name)
        except NotFound:
            continue
        commit = int(name.rpartition("/")[2].partition("-")[0])
        for line in data.splitlines():
            yield commit, msgspec.json.decode(line, type=DeadLetter)


def raw_record(letter: DeadLetter) -> bytes:
    """The record's bytes, as far as they are kept: the whole record if there are `letter.raw_bytes` of them."""
    return base64.b64decode(letter.raw) if letter.encoding == "base64" else letter.raw.encode()
