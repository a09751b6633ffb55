"""Records computed from their number, with a known answer: for demonstrations, measurements, tests of a whole cluster.

Record *n* of a shard is the same whenever and by whomever it is read, so nothing needs to be stored to check a result.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import polars as pl

from millstream.contract.checkpoint import Position, ShardId
from millstream.errors import SourceFailed
from millstream.sources.source import Backlog, Batch, Discovery, Schema, SourceShard

_SCHEMA = {"id": pl.Int64(), "key": pl.String(), "at": pl.Datetime("ms"), "value": pl.Int64()}
_START_MS = 1_704_067_200_000
_PRIME = 7919


class GeneratorSource:
    """`shards` shards of `records` records each.

    `id` counts up within a shard.  `key` is one of `keys` names of the shard's own, so records of one key are in one
    shard.  `at` goes on by `step_ms` per record, put back by up to `disorder_ms`.  `value` is between 0 and 999.
    """

    def __init__(self, *, shards: int, records: int, keys: int = 100, step_ms: int = 10, disorder_ms: int = 0) -> None:
        assert shards > 0
        assert records >= 0
        self._records, self._keys, self._step_ms, self._disorder_ms = records, keys, step_ms, disorder_ms
        self._shards = {ShardId(f"{number:04d}"): number for number in range(shards)}

    @property
    def name(self) -> str:
        """See `Source`."""
        return f"generator({len(self._shards)} × {self._records})"

    @property
    def schema(self) -> Schema:
        """See `Source`."""
        return _SCHEMA

    def discover(self) -> Discovery:
        """See `Source`."""
        return Discovery(
            shards=tuple(SourceShard(id=shard, end_records=self._records) for shard in self._shards), complete=True
        )

    def open(self, shard: ShardId, position: Position | None) -> GeneratorReader:
        """See `Source`."""
        if shard not in self._shards:
            raise SourceFailed(f"{self.name} has no shard {shard!r}")
        return GeneratorReader(lambda start, count: self.records(shard, start, count), self._records, position)

    def records(self, shard: ShardId, start: int, count: int) -> pl.DataFrame:
        """Records `start` to `start + count` of a shard: the truth to compare a result with."""
        number = self._shards[shard]
        count = min(count, self._records - start)
        mixed = (pl.col("id") * _PRIME + number * 31) % 1_000_003
        return pl.DataFrame({"id": pl.int_range(start, start + count, eager=True)}).select(
            "id",
            key=pl.format(f"{shard}-{{}}", mixed % self._keys),
            at=(_START_MS + pl.col("id") * self._step_ms - mixed % (self._disorder_ms + 1)).cast(_SCHEMA["at"]),
            value=mixed % 1000,
        )


class GeneratorReader:
    """Reads one shard."""

    def __init__(self, records: Callable[[int, int], pl.DataFrame], count: int, position: Position | None) -> None:
        self._records = records
        self._count = count
        self._position = position or Position(0)

    @property
    def position(self) -> Position:
        """See `Reader`."""
        return self._position

    @property
    def finished(self) -> bool:
        """See `Reader`."""
        return self._position >= self._count

    def poll(self, max_records: int, max_bytes: int) -> Batch:  # noqa: ARG002 - records have no bytes
        """See `Reader`."""
        start = self._position
        frame = self._records(start, max_records)
        self._position = Position(start + frame.height)

        def origin(row: int) -> tuple[Position, bytes]:
            return Position(start + row), msgspec.json.encode(frame.row(row, named=True), enc_hook=str)

        return Batch(frame=frame, dead=(), origin=origin)

    def end_position(self) -> Position:
        """See `Reader`."""
        return Position(self._count)

    def backlog(self) -> Backlog:
        """See `Reader`."""
        return Backlog(records=self._count - self._position, bytes=None)

    def close(self) -> None:
        """See `Reader`."""
