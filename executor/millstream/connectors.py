"""The words a program uses for places to read from and to write to: `files(…)`, `generator(…)`, `stdout()`."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from millstream.errors import ProgramError
from millstream.schema import caller
from millstream.sinks.files import FilesSink
from millstream.sinks.stdout import StdoutSink
from millstream.sources.csv_lines import CsvFormat
from millstream.sources.files import FilesSource
from millstream.sources.folder import Folder
from millstream.sources.generator import GeneratorSource
from millstream.sources.parquet import ParquetSource
from millstream.sources.source import Source

Dtype = pl.DataType | type[pl.DataType]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files named by a path; a source or a sink, as the stream uses it."""

    path: str
    schema: Mapping[str, Dtype] | None
    format: str
    growing: bool
    header: bool
    separator: str
    where: str

    def as_source(self) -> Source:
        """The files as a source.

        Raises:
            ProgramError: there is no schema, or a type in it cannot be read, or the format cannot.
        """
        if self.format not in ("json", "csv", "parquet"):
            raise ProgramError(
                f'files: a source reads format="json" (one object per line), "csv" or "parquet", not {self.format!r}',
                where=self.where,
            )
        schema = self.schema if self.schema is not None else self._found_schema()
        if schema is None:
            raise ProgramError('files: a source needs schema={"column": pl.String, …}', where=self.where)
        try:
            if self.format == "parquet":
                return ParquetSource(self.path, pl.Schema(schema), growing=self.growing)
            csv = CsvFormat(header=self.header, separator=self.separator) if self.format == "csv" else None
            return FilesSource(self.path, pl.Schema(schema), growing=self.growing, csv=csv)
        except ProgramError as problem:
            raise ProgramError(f"files: {problem.message}", where=self.where) from problem

    def _found_schema(self) -> Mapping[str, Dtype] | None:
        """What the first Parquet file says."""
        paths = Folder(self.path, growing=self.growing).paths() if self.format == "parquet" else []
        if not paths:
            return None
        try:
            return pl.read_parquet_schema(paths[0])
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise ProgramError(f"files: cannot read the schema of {paths[0]}: {problem}", where=self.where) from problem

    def as_sink(self) -> FilesSink:
        """The directory as a sink.

        Raises:
            ProgramError: the path is a pattern, or a file, or the format cannot be written.
        """
        suffixes = {"json": "jsonl", "parquet": "parquet"}
        if self.format not in suffixes:
            raise ProgramError(
                f'files: a sink writes format="json" or "parquet", not {self.format!r}', where=self.where
            )
        if glob.has_magic(self.path) or Path(self.path).is_file():
            raise ProgramError(f"files: a sink writes into a directory, not {self.path!r}", where=self.where)
        return FilesSink(self.path, suffix=suffixes[self.format])


def files(
    path: str | Path,
    *,
    schema: Mapping[str, Dtype] | None = None,
    format: str = "json",  # noqa: A002 - the word users know
    growing: bool = False,
    header: bool = True,
    separator: str = ",",
) -> Files:
    """Files to read or to write.

    As a source: a file, a directory or a glob of files of JSON lines or CSV (`.gz` too) with `schema`, or of
    Parquet, where the first file says the schema if you do not; every file is a shard.
    `growing=True` follows files that are added to and waits for new ones, until a file `_SUCCESS` appears beside them.
    `millstream.sources.json_lines` and `csv_lines` say what becomes of lines that do not fit the schema.

    Of CSV, the `header` of each file says which column is where; without one they are in the order of the schema.

    As a sink: a directory that gets one file per shard and checkpoint, JSON lines or Parquet, exactly once.

    >>> import polars as pl
    >>> from millstream import Stream, files
    >>> prices = files("prices/*.csv", format="csv", separator=";", schema={"item": pl.String, "price": pl.Float64})
    >>> print(Stream(prices).filter(pl.col("price") > 0).explain())
    source files(prices/*.csv)
        item: String, price: Float64
    .filter([(col("price")) > (dyn int: 0)])
    """
    return Files(
        path=str(path),
        schema=schema,
        format=format,
        growing=growing,
        header=header,
        separator=separator,
        where=caller(),
    )


def stdout() -> StdoutSink:
    """JSON lines on standard output: at least once, or at most once."""
    return StdoutSink()


def generator(
    *, shards: int = 4, records: int = 1_000_000, keys: int = 100, step_ms: int = 10, disorder_ms: int = 0
) -> GeneratorSource:
    """A source of computed records with a known answer: `shards` shards of `records` records each.

    Columns: `id` (counts up within a shard), `key` (one of `keys`, each in one shard only), `at` (goes on by `step_ms`,
    out of order by up to `disorder_ms`) and `value` (0 to 999).
    """
    where = caller()
    for name, number, least in (("shards", shards, 1), ("records", records, 0), ("keys", keys, 1)):
        if number < least:
            raise ProgramError(f"generator: {name} must be at least {least}, not {number}", where=where)
    return GeneratorSource(shards=shards, records=records, keys=keys, step_ms=step_ms, disorder_ms=disorder_ms)
