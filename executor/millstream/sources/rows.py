"""Rows in memory as a source: for tests, and for programs that bring their own small data."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from millstream.contract.checkpoint import Position, ShardId
from millstream.errors import SourceFailed
from millstream.sources.source import Backlog, Batch, Discovery, Schema, SourceShard


class RowsSource:
    """Shards of rows; a position is the number of the next row.

    `ended=False` leaves the source open: it is caught up at its last row and never finished.
    """

    def __init__(self, shards: Mapping[str, pl.DataFrame], *, ended: bool = True) -> None:
        assert shards, "a source needs a shard"
        self._shards = dict(shards)
        self._ended = ended
        self._schema = dict(next(iter(self._shards.values())).schema)
        assert all(dict(frame.schema) == self._schema for frame in self._shards.values()), "shards of one schema"

    @property
    def name(self) -> str:
        """See `Source`."""
        return "rows"

    @property
    def schema(self) -> Schema:
        """See `Source`."""
        return self._schema

    def discover(self) -> Discovery:
        """See `Source`."""
        shards = (SourceShard(id=ShardId(name), end_records=frame.height) for name, frame in self._shards.items())
        return Discovery(shards=tuple(sorted(shards, key=lambda shard: shard.id)), complete=True)

    def open(self, shard: ShardId, position: Position | None) -> RowsReader:
        """See `Source`."""
        if shard not in self._shards:
            raise SourceFailed(f"there is no shard {shard!r}; there are {', '.join(sorted(self._shards))}")
        return RowsReader(self._shards[shard], position or Position(0), ended=self._ended)


class RowsReader:
    """Reads one shard of rows."""

    def __init__(self, rows: pl.DataFrame, position: Position, *, ended: bool) -> None:
        self._rows = rows
        self._position = position
        self._ended = ended

    @property
    def position(self) -> Position:
        """See `Reader`."""
        return self._position

    @property
    def finished(self) -> bool:
        """See `Reader`."""
        return self._ended and self._position >= self._rows.height

    def poll(self, max_records: int, max_bytes: int) -> Batch:  # noqa: ARG002 - rows have no bytes to count
        """See `Reader`."""
        start = self._position
        frame = self._rows.slice(start, max_records)
        self._position = Position(start + frame.height)

        def origin(row: int) -> tuple[Position, bytes]:
            return Position(start + row), msgspec.json.encode(frame.row(row, named=True), enc_hook=str)

        return Batch(frame=frame, dead=(), origin=origin)

    def end_position(self) -> Position:
        """See `Reader`."""
        return Position(self._rows.height)

    def backlog(self) -> Backlog:
        """See `Reader`."""
        return Backlog(records=self._rows.height - self._position, bytes=None)

    def close(self) -> None:
        """See `Reader`."""
