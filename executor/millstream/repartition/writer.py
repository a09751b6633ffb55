"""The upstream side: puts rows into the log as a part of a shard's commits, as a sink would."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence

import polars as pl

from millstream.contract.checkpoint import ShardId, sha256
from millstream.repartition.entry import (
    Entry,
    Segment,
    decode_entry,
    encode_entry,
    entry_name,
    entry_number,
    index_prefix,
    segment_commit,
    segment_name,
    segments_prefix,
)
from millstream.repartition.partitioning import split
from millstream.sinks.sink import OutputData
from millstream.stores.location import object_part
from millstream.stores.object_store import AlreadyExists, ObjectStore

NAME = "repartition"
SEGMENT_ROWS_MAX = 65_536
COLLECT_EVERY = 16
"""Commits between two looks for entries that nobody needs any more."""


class RepartitionWriter:
    """Writes one upstream shard's part of the log before `stage`.

    Prepares, promotes and restores like a sink; `tell` comes before each `prepare`.
    """

    def __init__(
        self, store: ObjectStore, *, stage: int, keys: Sequence[str], shards: int, shard: ShardId, epoch: int
    ) -> None:
        self._store = store
        self._stage, self._keys, self._shards = stage, tuple(keys), shards
        self._shard, self._epoch = shard, epoch
        self._pending: list[pl.DataFrame] = []
        self._position = 0
        self._progress: tuple[int | None, bool, bool] = (None, False, False)
        self._told: tuple[int | None, bool, bool] | None = None
        self._prepared = 0

    def write(self, rows: pl.DataFrame) -> None:
        """Take rows for the next commit."""
        if rows.height:
            self._pending.append(rows)

    def tell(self, *, position: int, watermark_us: int | None, idle: bool, finished: bool) -> None:
        """How far the shard is, as of the next commit."""
        self._position = position
        self._progress = (watermark_us, idle, finished)

    def prepare(self, number: int) -> Sequence[OutputData]:
        """Store the segments; nothing if there is nothing new to say."""
        if not self._pending and self._progress == self._told:
            return ()
        rows = pl.concat(self._pending) if self._pending else None
        segments = {} if rows is None else self._stored(number, rows)
        watermark_us, idle, finished = self._progress
        entry = Entry(
            number=number,
            epoch=self._epoch,
            position=self._position,
            watermark_us=watermark_us,
            idle=idle,
            finished=finished,
            segments=segments,
        )
        self._pending, self._told = [], self._progress
        self._prepared += 1
        if self._prepared % COLLECT_EVERY == 0:
            self._collect()
        return ({"entry": encode_entry(entry).decode()},)

    def promote(self, outputs: Sequence[OutputData]) -> Sequence[str]:
        """Create the entry.  Idempotent: an entry is the same whoever creates it."""
        for output in outputs:
            data = str(output["entry"]).encode()
            entry = decode_entry("the commit's", data)
            with contextlib.suppress(AlreadyExists):
                self._store.create(entry_name(self._stage, self._shard, entry.number), data)
        return ()

    def restore(self, number: int, outputs: Sequence[OutputData]) -> Sequence[str]:
        """Delete the segments of attempts up to this epoch that neither commit `number` nor any entry lists."""
        later = [self._entry(name) for name in self._entries() if entry_number(name)[1] > number]
        committed = [decode_entry("the commit's", str(output["entry"]).encode()) for output in outputs]
        listed = {
            segment.name
            for entry in (*committed, *later)
            for segments in entry.segments.values()
            for segment in segments
        }
        for name in self._store.list(segments_prefix(self._stage, self._shard)):
            commit, epoch = segment_commit(name)
            if epoch <= self._epoch and commit >= number and name not in listed:
                self._store.delete(name)
        return ()

    def passed_on_until(self, number: int) -> int | None:
        """How far the next stage has it all, if farther than commit `number` knows: a later commit was damaged."""
        names = self._entries()
        if not names or entry_number(names[-1])[1] <= number:
            return None
        return self._entry(names[-1]).position

    def discard(self) -> None:
        """Forget what is not prepared."""
        self._pending = []

    # ---- inside

    def _stored(self, number: int, rows: pl.DataFrame) -> dict[int, tuple[Segment, ...]]:
        found = {}
        for partition, part in split(rows, self._keys, self._shards).items():
            pieces = [part.slice(at, SEGMENT_ROWS_MAX) for at in range(0, part.height, SEGMENT_ROWS_MAX)]
            found[partition] = tuple(
                self._store_segment(number, partition, count, piece) for count, piece in enumerate(pieces)
            )
        return found

    def _store_segment(self, number: int, partition: int, count: int, rows: pl.DataFrame) -> Segment:
        buffer = io.BytesIO()
        rows.write_ipc(buffer, compression="lz4")
        data = buffer.getvalue()
        digest = sha256(data)
        name = segment_name(self._stage, self._shard, number, self._epoch, partition, count, digest)
        # A name that is taken holds the same content, from an attempt before: the hash is part of it.
        with contextlib.suppress(AlreadyExists):
            self._store.create(name, data)
        return Segment(name=name, rows=rows.height, bytes=len(data), sha256=digest)

    def _entries(self) -> list[str]:
        """The names of this shard's entries, in order."""
        return self._store.list(f"{index_prefix(self._stage)}{object_part(self._shard)}/")

    def _entry(self, name: str) -> Entry:
        return decode_entry(name, self._store.get(name))

    def _collect(self) -> None:
        """Delete entries before the first whose segments are still there; the newest one always stays."""
        numbers = [entry_number(name)[1] for name in self._entries()]
        segments = self._store.list(segments_prefix(self._stage, self._shard))
        needed = min((segment_commit(name)[0] for name in segments), default=None)
        for number in numbers[:-1]:
            if needed is None or number < needed:
                self._store.delete(entry_name(self._stage, self._shard, number))
