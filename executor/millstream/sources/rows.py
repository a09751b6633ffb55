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

    Of every shard the first `arrived` rows are there to be read (None: all), which may be raised at any time.  The
    source has ended when all have arrived, unless `ended` is False: then it is never finished.
    """

    def __init__(self, shards: Mapping[str, pl.DataFrame], *, ended: bool = True, arrived: int | None = None) -> None:
        self.arrived = arrived
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
        return RowsReader(self, self._shards[shard], position or Position(0))

    @property
    def ended(self) -> bool:
        """Whether a shard ends with its last row."""
        return self._ended


class RowsReader:
    """Reads one shard of rows."""

    def __init__(self, source: RowsSource, rows: pl.DataFrame, position: Position) -> None:
        self._source = source
        self._rows = rows
        self._position = position

    @property
    def position(self) -> Position:
        """See `Reader`."""
        return self._position

    @property
    def finished(self) -> bool:
        """See `Reader`."""
        return self._source.ended and self._position >= self._rows.height

    def poll(self, max_records: int, max_bytes: int) -> Batch:  # noqa: ARG002 - rows have no bytes to count
        """See `Reader`."""
        start = self._position
        frame = self._rows.slice(start, min(max_records, self.end_position() - start))
        self._position = Position(start + frame.height)

        def origin(row: int) -> tuple[Position, bytes]:
            return Position(start + row), msgspec.json.encode(frame.row(row, named=True), enc_hook=str)

        return Batch(frame=frame, dead=(), origin=origin)

    def end_position(self) -> Position:
        """See `Reader`."""
        arrived = self._source.arrived
        return Position(self._rows.height if arrived is None else min(arrived, self._rows.height))

    def backlog(self) -> Backlog:
        """See `Reader`."""
        return Backlog(records=self.end_position() - self._position, bytes=None)

    def close(self) -> None:
        """See `Reader`."""
