"""Files of JSON lines as a source: every file is a shard, a position is the offset of the next unread line in bytes.

Files may be finite, or growing: then lines are only ever added at their ends and files only ever added, and the
source has ended when a file `_SUCCESS` appears in its directory, as Hadoop's tools leave it, and everything before it
was read.  A last line without its line end is read at the end of a finished source; before that it is taken for
half-written and waited for.  Names that begin with "." or "_" are no shards.  Files that end in `.gz` are read as gzip;
they cannot grow.

A file must not be replaced or shortened while the job lives: a position would mean something else.  A shortened file is
noticed (`SourceFailed`), a replaced one is not.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from millstream.contract.checkpoint import Position, ShardId
from millstream.errors import SourceFailed
from millstream.sources.file_bytes import FileBytes, GzipBytes, PlainBytes
from millstream.sources.file_reader import FileReader
from millstream.sources.json_lines import JsonLinesDecoder
from millstream.sources.source import Discovery, Schema, SourceShard

SUCCESS = "_SUCCESS"
_SAMPLE_BYTES = 1 << 16


class FilesSource:
    """The files that match a pattern: one file, a directory, or a glob (`**` for any depth)."""

    def __init__(self, pattern: str, schema: Mapping[str, pl.DataType], *, growing: bool) -> None:
        """Raises `ProgramError` for a type that cannot be read from JSON."""
        JsonLinesDecoder(schema)
        self._pattern = pattern
        self._schema = dict(schema)
        self._growing = growing
        self._root, self._glob = _root_and_glob(pattern)
        self._line_bytes: dict[str, float] = {}

    @property
    def name(self) -> str:
        """See `Source`."""
        return f"files({self._pattern})"

    @property
    def schema(self) -> Schema:
        """See `Source`."""
        return self._schema

    def discover(self) -> Discovery:
        """See `Source`.

        Raises:
            SourceFailed: a finite source has no file at all, or a directory cannot be read.
        """
        complete = not self._growing or self.has_ended()  # looked at before the files: so they are all there
        shards = []
        try:
            for path in sorted(self._paths()):
                size = path.stat().st_size
                shards.append(
                    SourceShard(
                        id=ShardId(path.relative_to(self._root).as_posix()),
                        end_bytes=size,
                        end_records=None if path.suffix == ".gz" else round(size / self._bytes_per_line(path)),
                    )
                )
        except OSError as problem:
            raise SourceFailed(f"{self.name}: {problem}") from problem
        if not shards and complete:
            raise SourceFailed(f"{self.name}: no file matches, seen from {Path.cwd()}")
        return Discovery(shards=tuple(shards), complete=complete)

    def open(self, shard: ShardId, position: Position | None) -> FileReader:
        """See `Source`."""
        path = self._root / shard
        if ".." in Path(shard).parts or Path(shard).is_absolute():
            raise SourceFailed(f"{self.name}: {shard!r} is no shard of it")
        try:
            content: FileBytes = GzipBytes(path) if path.suffix == ".gz" else PlainBytes(path)
        except OSError as problem:
            raise SourceFailed(f"{self.name}: cannot open shard {shard}: {problem}") from problem
        final = self.has_ended if self._growing and path.suffix != ".gz" else _always
        return FileReader(f"{self.name}: shard {shard}", content, JsonLinesDecoder(self._schema), position, final)

    def has_ended(self) -> bool:
        """Whether a growing source says that nothing more will be added."""
        return (self._root / SUCCESS).exists()

    def _paths(self) -> Iterator[Path]:
        for text in glob.iglob(self._glob, recursive=True):
            path = Path(text)
            inside = path.relative_to(self._root)
            if path.is_file() and not any(part.startswith((".", "_")) for part in inside.parts):
                yield path

    def _bytes_per_line(self, path: Path) -> float:
        """From the beginning of the file; looked at once."""
        known = self._line_bytes.get(str(path))
        if known is None:
            with path.open("rb") as file:
                sample = file.read(_SAMPLE_BYTES)
            known = max(1, len(sample)) / max(1, sample.count(b"\n"))
            if len(sample) == _SAMPLE_BYTES:
                self._line_bytes[str(path)] = known
        return known


def _always() -> bool:
    return True


def _root_and_glob(pattern: str) -> tuple[Path, str]:
    """The folder that shard ids are relative to, and the glob of the files: `data/*/x.jsonl` has root `data`."""
    path = Path(pattern).absolute()
    if not glob.has_magic(str(path)):
        return (path, str(path / "*")) if path.is_dir() else (path.parent, str(path))
    root = path
    while glob.has_magic(str(root)):
        root = root.parent
    return root, str(path)
