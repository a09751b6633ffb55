"""The port to what a stream reads: a source is a set of shards, each an ordered sequence of records.

A **position** is the number of the next unread record, byte or offset of one shard; it only grows, and a reader opened
at a position delivers exactly the records from there on, each time the same ones in the same order.  That is what makes
a restart from a checkpoint exact.

Who calls what: `discover` may be called from any thread at any time and must be cheap enough for every few seconds.
A `Reader` belongs to one thread and is never called by two at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from millstream.contract.checkpoint import Position, ShardId

Schema = Mapping[str, pl.DataType]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceShard:
    """A shard that exists, with the source's end as seen now.  None: the source cannot tell."""

    id: ShardId
    end_records: int | None = None
    end_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """All shards that exist, sorted by id.  `complete`: no others will ever appear."""

    shards: tuple[SourceShard, ...]
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadRecord:
    """A record that cannot be processed: where it is, what is wrong with it, and its bytes."""

    position: Position
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one poll read: good records as a frame in source order, and the ones that could not be decoded.

    `origin(row)` finds position and raw bytes of a row of `frame`.  It is only called for records that turn out to be
    dead further down, so it may be slow; it stays valid until the next poll.

    `watermark_us` is for a source that knows how far event time is behind this batch.  None: it does not, or event time
    is where it was.
    """

    frame: pl.DataFrame
    dead: Sequence[DeadRecord]
    origin: Callable[[int], tuple[Position, bytes]]
    watermark_us: int | None = None

    @property
    def records(self) -> int:
        """How many records were read, good and dead."""
        return self.frame.height + len(self.dead)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What is not yet read.  `records` may be an estimate; None: the source cannot say."""

    records: int | None
    bytes: int | None


class Reader(Protocol):
    """Reads one shard from a position on.  Used by one thread."""

    @property
    def position(self) -> Position:
        """The next unread record; what a checkpoint saves."""
        ...

    @property
    def finished(self) -> bool:
        """True once the shard has ended for good and every record of it was returned."""
        ...

    def poll(self, max_records: int, max_bytes: int) -> Batch:
        """What has arrived, at most so much; empty when nothing has.  Does not wait.

        At least one record is returned when there is one, even if it alone is above `max_bytes`.

        Raises:
            SourceFailed: the shard cannot be read; `position` is unchanged, polling again is allowed.
        """
        ...

    def end_position(self) -> Position | None:
        """The position after the last record that exists now.  None: unknown."""
        ...

    def backlog(self) -> Backlog:
        """What lies between `position` and the end, as seen now."""
        ...

    def close(self) -> None:
        """Free what was opened.  Safe to repeat."""
        ...


class Source(Protocol):
    """Where a stream's records come from.

    `schema` is what every frame of every reader has, column for column; `name` shows in plans and dead letters.
    """

    @property
    def name(self) -> str:
        """Short and stable; goes into plans, dead letters and checkpoints."""
        ...

    @property
    def schema(self) -> Schema:
        """Columns and types of the frames."""
        ...

    def discover(self) -> Discovery:
        """The shards that exist now.

        Raises:
            SourceFailed: the source cannot be reached.
        """
        ...

    def open(self, shard: ShardId, position: Position | None) -> Reader:
        """A reader of `shard` from `position` on, None for its beginning.

        Raises:
            SourceFailed: no such shard, or it cannot be read.
        """
        ...
