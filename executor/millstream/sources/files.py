"""Files of JSON lines or CSV as a source: every file is a shard, a position is where its next record begins, in bytes.

Files may be finite, or growing: then lines are only ever added at their ends and files only ever added, and the
source has ended when a file `_SUCCESS` appears in its directory, as Hadoop's tools leave it, and everything before it
was read.  A last line without its line end is read at the end of a finished source; before that it is taken for
half-written and waited for.  Files that end in `.gz` are read as gzip; they cannot grow.

A file must not be replaced or shortened while the job lives: a position would mean something else.  A shortened file is
noticed (`SourceFailed`), a replaced one is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from millstream.contract.checkpoint import Position, ShardId
from millstream.errors import SourceFailed
from millstream.sources.csv_lines import CsvDecoder, CsvFormat
from millstream.sources.decoding import Decoder
from millstream.sources.file_bytes import FileBytes, GzipBytes, PlainBytes
from millstream.sources.file_reader import LINE_BYTES_MAX, FileReader
from millstream.sources.folder import Folder
from millstream.sources.json_lines import JsonLinesDecoder
from millstream.sources.source import Discovery, Schema, SourceShard

_SAMPLE_BYTES = 1 << 16


class FilesSource:
    """The files that match a pattern: one file, a directory, or a glob (`**` for any depth)."""

    def __init__(
        self, pattern: str, schema: Mapping[str, pl.DataType], *, growing: bool, csv: CsvFormat | None = None
    ) -> None:
        """JSON lines, unless `csv` says how they are CSV.  Raises `ProgramError` for a type that cannot be read."""
        self._pattern = pattern
        self._schema = dict(schema)
        self._csv = csv
        self._decoder("")
        self._growing = growing
        self._folder = Folder(pattern, growing=growing)
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
        """See `Source`, and `Folder.discovery` for what is raised."""
        return self._folder.discovery(self.name, self._found)

    def open(self, shard: ShardId, position: Position | None) -> FileReader:
        """See `Source`."""
        path = self._folder.path(shard)
        if path is None:
            raise SourceFailed(f"{self.name}: {shard!r} is no shard of it")
        try:
            content: FileBytes = GzipBytes(path) if path.suffix == ".gz" else PlainBytes(path)
        except OSError as problem:
            raise SourceFailed(f"{self.name}: cannot open shard {shard}: {problem}") from problem
        final = self._folder.has_ended if self._growing and path.suffix != ".gz" else _always
        label = f"{self.name}: shard {shard}"
        decoder = self._decoder(label)
        if position and self._csv is not None and self._csv.header:
            self._learn_preamble(label, decoder, content)
        return FileReader(label, content, decoder, position, final)

    def _decoder(self, label: str) -> Decoder:
        return JsonLinesDecoder(self._schema) if self._csv is None else CsvDecoder(label, self._schema, self._csv)

    @staticmethod
    def _learn_preamble(label: str, decoder: Decoder, content: FileBytes) -> None:
        """Let the decoder see the beginning of a file that is read on from further down."""
        try:
            beginning = content.read(0, _SAMPLE_BYTES)
            while not (whole := decoder.whole(beginning, final=False)) and len(beginning) < LINE_BYTES_MAX:
                more = content.read(len(beginning), len(beginning))
                if not more:
                    whole = len(beginning)
                    break
                beginning += more
            decoder.preamble(beginning[:whole])
        except OSError as problem:
            content.close()
            raise SourceFailed(f"{label}: {problem}") from problem
        except SourceFailed:
            content.close()
            raise

    def _found(self, path: Path) -> SourceShard:
        size = path.stat().st_size
        records = None if path.suffix == ".gz" else round(size / self._bytes_per_line(path))
        return SourceShard(id=self._folder.shard(path), end_bytes=size, end_records=records)

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
