"""The downstream side: reads one partition of the log from all upstream shards.

A partition has one place per upstream shard, its *mark*: an entry and how many of its segments are read, as one number.
The upstream shard whose event time is furthest behind is read next, so that no one runs ahead of the others.

The watermark is the least of all upstream shards', those that exist and have not said a word included: then there is
none.  It moves only when an entry has been read to its end, so a row is never behind the watermark of its own shard.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import polars as pl

from millstream.contract.checkpoint import END_OF_TIME_US, Position, ShardId, sha256
from millstream.errors import SourceFailed
from millstream.repartition.entry import (
    WHOLE,
    Entry,
    Segment,
    decode_entry,
    entry_number,
    index_prefix,
    mark_of,
    parts_of,
    segment_place,
    segments_prefix,
)
from millstream.sources.source import Backlog, Batch, Discovery, Schema, Source, SourceShard
from millstream.stores.location import object_part
from millstream.stores.object_store import NotFound, ObjectStore

_MARK = "upstream/"


class RepartitionSource:
    """The shards of stage `stage`: `shards` partitions of what the shards of `upstream` write.  `schema` is theirs."""

    def __init__(self, *, stage: int, keys: tuple[str, ...], shards: int, schema: pl.Schema, upstream: Source) -> None:
        self.stage, self.keys, self.shards = stage, keys, shards
        self._schema = schema
        self._upstream = upstream

    @property
    def name(self) -> str:
        """See `Source`."""
        return f"stage {self.stage} by {', '.join(self.keys)}"

    @property
    def schema(self) -> Schema:
        """See `Source`."""
        return self._schema

    def shard(self, partition: int) -> ShardId:
        """The name of the shard that reads a partition."""
        return ShardId(f"stage{self.stage}/{partition:04d}")

    def has(self, shard: ShardId) -> bool:
        """Whether a shard is of this stage."""
        return any(self.shard(number) == shard for number in range(self.shards))

    def discover(self) -> Discovery:
        """See `Source`.  All of them exist from the beginning."""
        return Discovery(
            shards=tuple(SourceShard(id=self.shard(number)) for number in range(self.shards)), complete=True
        )

    def open_at(self, store: ObjectStore, shard: ShardId, positions: Mapping[str, int] | None) -> RepartitionReader:
        """A reader of `shard` from where a checkpoint's `positions` say, None for the beginning.

        Raises:
            SourceFailed: the shards of the stage before cannot be told.
        """
        partition = next(number for number in range(self.shards) if self.shard(number) == shard)
        found = self._upstream.discover()
        return RepartitionReader(store, self, partition, found, positions or {})


@dataclass(slots=True, kw_only=True)
class _Upstream:
    """What is known of one upstream shard: the last entry begun, and how many segments of it are read.

    `waiting` are the entries not read to their end, in order; `said` is what the last whole one says of time.
    """

    commit: int = 0
    segments_read: int = WHOLE
    waiting: list[Entry] = field(default_factory=list)
    said: Entry | None = None

    @property
    def mark(self) -> int:
        return mark_of(self.commit, self.segments_read)

    @property
    def finished(self) -> bool:
        return self.said is not None and self.said.finished and not self.waiting

    def wants(self, number: int) -> bool:
        """Whether an entry of that number is news."""
        if self.waiting:
            return number > self.waiting[-1].number
        return number > self.commit or (number == self.commit and (self.segments_read < WHOLE or self.said is None))

    def take(self, entry: Entry) -> None:
        """Take note of an entry that is news."""
        if entry.number == self.commit and self.segments_read == WHOLE:
            self.said = entry
        else:
            self.waiting.append(entry)

    def unread(self, entry: Entry, partition: int) -> Sequence[Segment]:
        """The segments of a waiting entry that are not read yet."""
        segments = entry.segments.get(partition, ())
        return segments[self.segments_read :] if entry.number == self.commit else segments

    def begin(self, entry: Entry) -> None:
        """The first waiting entry is read from here on."""
        if entry.number != self.commit:
            self.commit, self.segments_read = entry.number, 0

    def end(self) -> None:
        """The first waiting entry is read."""
        self.said = self.waiting.pop(0)
        self.commit, self.segments_read = self.said.number, WHOLE


class RepartitionReader:
    """Reads one partition.  `position` counts rows; `marks` is what a checkpoint saves beside it."""

    def __init__(
        self,
        store: ObjectStore,
        source: RepartitionSource,
        partition: int,
        upstream: Discovery,
        positions: Mapping[str, int],
    ) -> None:
        self._store = store
        self._source = source
        self._partition = partition
        self._complete = upstream.complete
        self._position = Position(positions.get("source", 0))
        self._watermark_us: int | None = None
        self._read_segments: list[str] | None = None
        self._upstreams = {object_part(shard.id): _Upstream() for shard in upstream.shards}
        for name, mark in positions.items():
            if name.startswith(_MARK):
                commit, segments_read = parts_of(mark)
                upstream_shard = self._upstreams.setdefault(name.removeprefix(_MARK), _Upstream())
                upstream_shard.commit, upstream_shard.segments_read = commit, segments_read
        self._look()

    # ---- where it is

    @property
    def position(self) -> Position:
        """See `Reader`: the number of the next row, of all upstream shards together."""
        return self._position

    @property
    def marks(self) -> Mapping[str, int]:
        """Per upstream shard how far its part is read, for a checkpoint's positions."""
        return {f"{_MARK}{name}": each.mark for name, each in sorted(self._upstreams.items()) if each.commit}

    @property
    def finished(self) -> bool:
        """See `Reader`."""
        return self._complete and all(each.finished for each in self._upstreams.values())

    def end_position(self) -> Position:
        """See `Reader`, as of the last poll."""
        return Position(self._position + sum(segment.rows for segment in self._unread()))

    def backlog(self) -> Backlog:
        """See `Reader`, as of the last poll."""
        unread = self._unread()
        return Backlog(records=sum(each.rows for each in unread), bytes=sum(each.bytes for each in unread))

    # ---- reading

    def poll(self, max_records: int, max_bytes: int) -> Batch:
        """See `Reader`.  Whole segments; `watermark_us` is set when the batch moved it.

        Raises:
            SourceFailed: a segment is missing or altered.
        """
        self._look()
        frames: list[pl.DataFrame] = []
        rows = size = 0
        while rows < max_records and size < max_bytes and (upstream := self._next()) is not None:
            entry = upstream.waiting[0]
            upstream.begin(entry)
            unread = upstream.unread(entry, self._partition)
            if unread:
                frames.append(self._read(unread[0]))
                if self._read_segments is not None:
                    self._read_segments.append(unread[0].name)
                upstream.segments_read += 1
                rows += unread[0].rows
                size += unread[0].bytes
            if len(unread) <= 1:
                upstream.end()
        start = self._position
        self._position = Position(start + rows)
        frame = pl.concat(frames) if frames else pl.DataFrame(schema=self._source.schema)

        def origin(row: int) -> tuple[Position, bytes]:
            return Position(start + row), msgspec.json.encode(frame.row(row, named=True), enc_hook=str)

        return Batch(frame=frame, dead=(), origin=origin, watermark_us=self._moved_watermark())

    def forget(self, positions: Mapping[str, int]) -> None:
        """Delete the segments of this partition that lie before `positions`: no checkpoint goes back behind them."""
        if self._read_segments is None:
            # What owners before this one read: found once by listing.
            names = self._store.list(segments_prefix(self._source.stage))
            self._read_segments = [name for name in names if segment_place(name)[1] == self._partition]
        kept = []
        for name in self._read_segments:
            upstream, _, mark = segment_place(name)
            if mark < positions.get(f"{_MARK}{upstream}", 0):
                self._store.delete(name)
            else:
                kept.append(name)
        self._read_segments = kept

    def close(self) -> None:
        """See `Reader`."""

    # ---- inside

    def _look(self) -> None:
        """Take note of new entries."""
        for name in self._store.list(index_prefix(self._source.stage)):
            shard, number = entry_number(name)
            upstream = self._upstreams.setdefault(shard, _Upstream())
            if upstream.wants(number):
                # An entry that is gone was collected since: all of it is read, and a newer one says more.
                with contextlib.suppress(NotFound):
                    upstream.take(decode_entry(name, self._store.get(name)))

    def _next(self) -> _Upstream | None:
        """The upstream shard with something to read whose event time is furthest behind."""
        ready = [(_time_of(each.waiting[0]), name) for name, each in self._upstreams.items() if each.waiting]
        return self._upstreams[min(ready)[1]] if ready else None

    def _moved_watermark(self) -> int | None:
        """The watermark, if it is another than before."""
        said = [each.said for each in self._upstreams.values()]
        telling = [entry for entry in said if entry is None or not (entry.idle or entry.finished)]
        known = [entry.watermark_us for entry in telling if entry is not None and entry.watermark_us is not None]
        if not known or len(known) < len(telling):
            return None
        least = min(known)
        if self._watermark_us is not None and least <= self._watermark_us:
            return None
        self._watermark_us = least
        return least

    def _read(self, segment: Segment) -> pl.DataFrame:
        try:
            data = self._store.get(segment.name)
        except NotFound as problem:
            raise SourceFailed(f"{segment.name} is missing") from problem
        if len(data) != segment.bytes or sha256(data) != segment.sha256:
            raise SourceFailed(f"{segment.name} is not what was written")
        return pl.read_ipc(io.BytesIO(data))

    def _unread(self) -> list[Segment]:
        return [
            segment
            for upstream in self._upstreams.values()
            for entry in upstream.waiting
            for segment in upstream.unread(entry, self._partition)
        ]


def _time_of(entry: Entry) -> int:
    if entry.finished:
        return END_OF_TIME_US
    return entry.watermark_us if entry.watermark_us is not None else -END_OF_TIME_US
