"""Parquet files as a source: every file is a shard, a position is the number of the next row.

The files are finite and must not change while the job lives; new ones may appear when the source is `growing`, until a
file `_SUCCESS` stands beside them.  A column that the schema does not name is not read; one that a file lacks is null;
one of another type is converted where nothing is lost by that, else the file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import polars as pl

from millstream.contract.checkpoint import Position, ShardId
from millstream.errors import SourceFailed
from millstream.sources.folder import Folder
from millstream.sources.source import Backlog, Batch, Discovery, Schema, SourceShard


class ParquetSource:
    """The Parquet files that a pattern names."""

    def __init__(self, pattern: str, schema: Mapping[str, pl.DataType], *, growing: bool) -> None:
        self._pattern = pattern
        self._schema = dict(schema)
        self._folder = Folder(pattern, growing=growing)
        self._rows: dict[Path, int] = {}

    @property
    def name(self) -> str:
        """See `Source`."""
        return f"files({self._pattern})"

    @property
    def schema(self) -> Schema:
        """See `Source`."""
        return self._schema

    def discover(self) -> Discovery:
        """See `Source`, and `Folder.discovery` for what is raised."""
        return self._folder.discovery(self.name, self._found)

    def open(self, shard: ShardId, position: Position | None) -> ParquetReader:
        """See `Source`."""
        path = self._folder.path(shard)
        if path is None:
            raise SourceFailed(f"{self.name}: {shard!r} is no shard of it")
        try:
            height = self._height(path)
            found = pl.read_parquet_schema(path)
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise SourceFailed(f"{self.name}: cannot open shard {shard}: {problem}") from problem
        return ParquetReader(f"{self.name}: shard {shard}", path, self._schema, found, height, position or Position(0))

    def _found(self, path: Path) -> SourceShard:
        return SourceShard(id=self._folder.shard(path), end_records=self._height(path), end_bytes=path.stat().st_size)

    def _height(self, path: Path) -> int:
        if path not in self._rows:
            self._rows[path] = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        return self._rows[path]


class ParquetReader:
    """Reads one file.  See `Reader`."""

    def __init__(
        self,
        label: str,
        path: Path,
        schema: Mapping[str, pl.DataType],
        found: Mapping[str, pl.DataType],
        height: int,
        position: Position,
    ) -> None:
        self._label, self._path, self._height, self._position = label, path, height, position
        self._columns = [
            pl.col(name).cast(dtype) if name in found else pl.lit(None, dtype).alias(name)
            for name, dtype in schema.items()
        ]
        self._bytes_per_row = path.stat().st_size / max(1, height)
        if position > height:
            raise SourceFailed(f"{label} has become shorter: it has {height} rows, and was read up to {position}")

    @property
    def position(self) -> Position:
        """See `Reader`."""
        return self._position

    @property
    def finished(self) -> bool:
        """See `Reader`."""
        return self._position >= self._height

    def poll(self, max_records: int, max_bytes: int) -> Batch:
        """See `Reader`."""
        start = self._position
        wanted = min(max_records, max(1, int(max_bytes / max(1.0, self._bytes_per_row))), self._height - start)
        try:
            frame = pl.scan_parquet(self._path).slice(start, wanted).select(self._columns).collect()
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise SourceFailed(f"{self._label}: {str(problem).splitlines()[0]}") from problem
        if frame.height < wanted:
            raise SourceFailed(f"{self._label} has become shorter: it ends at row {start + frame.height}")
        self._position = Position(start + frame.height)

        def origin(row: int) -> tuple[Position, bytes]:
            return Position(start + row), msgspec.json.encode(frame.row(row, named=True), enc_hook=str)

        return Batch(frame=frame, dead=(), origin=origin)

    def end_position(self) -> Position:
        """See `Reader`."""
        return Position(self._height)

    def backlog(self) -> Backlog:
        """See `Reader`."""
        rows = self._height - self._position
        return Backlog(records=rows, bytes=round(rows * self._bytes_per_row))

    def close(self) -> None:
        """See `Reader`."""
