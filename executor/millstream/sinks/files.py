"""Files in a directory as a sink: one file per shard and checkpoint, visible from its commit on.

Rows are written to the hidden folder `_staged` of the directory, named in the commit, and renamed to their place after
it; so whoever reads the directory sees committed rows only, and never a part of a file.  The name holds job, output,
shard, commit and epoch, so nothing collides: `flights.sink0.2013-01.jsonl.000000000012.3.jsonl`.

All workers of the job must see the directory as one file system, for instance over NFS.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

from millstream.contract.worker_spec import Delivery
from millstream.errors import SinkFailed
from millstream.sinks.sink import OutputData, WriterContext
from millstream.stores.location import object_part

STAGED = "_staged"
_PART_CHARACTERS_MAX = 80


class FilesSink:
    """JSON lines or Parquet files in `directory`, which is created if need be."""

    def __init__(self, directory: str | Path, *, suffix: str) -> None:
        assert suffix in ("jsonl", "parquet")
        self._directory = Path(directory).absolute()
        self._suffix = suffix

    @property
    def name(self) -> str:
        """See `Sink`."""
        return f"files({self._directory})"

    @property
    def guarantees(self) -> frozenset[Delivery]:
        """See `Sink`.  All of them."""
        return frozenset(Delivery)

    def open(self, context: WriterContext) -> FilesWriter:
        """See `Sink`."""
        return FilesWriter(self._directory, self._suffix, context)


@dataclass(frozen=True, slots=True)
class _Name:
    """The parts of a file's name that tell whose it is."""

    base: str
    number: int
    epoch: int


class FilesWriter:
    """Writes the files of one shard."""

    def __init__(self, directory: Path, suffix: str, context: WriterContext) -> None:
        self._directory = directory
        self._staged = directory / STAGED
        self._suffix = suffix
        self._epoch = context.epoch
        # No dot in the first two parts: then different jobs, outputs and shards have different names.
        job, sink = (_part(text).replace(".", "%2E") for text in (context.job, context.sink_name))
        self._base = f"{job}.{sink}.{_part(context.shard)}"
        self._open_path = self._staged / f"{self._base}.open.{context.epoch}.{suffix}"
        self._file: BinaryIO | None = None
        self._frames: list[pl.DataFrame] = []
        try:
            self._staged.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise SinkFailed(f"cannot write to {directory}: {problem}") from problem

    def write(self, frame: pl.DataFrame) -> None:
        """See `SinkWriter`."""
        if self._suffix == "parquet":
            self._frames.append(frame)
            return
        try:
            if self._file is None:
                self._file = self._open_path.open("wb")
            frame.write_ndjson(self._file)
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise SinkFailed(f"cannot write {self._open_path}: {problem}") from problem

    def prepare(self, number: int) -> Sequence[OutputData]:
        """See `SinkWriter`.  The file and its name are synced."""
        if self._file is None and not self._frames:
            return ()
        name = f"{self._base}.{number:012d}.{self._epoch}.{self._suffix}"
        try:
            if self._file is None:
                self._file = self._open_path.open("wb")
                pl.concat(self._frames).write_parquet(self._file)
            self._file.flush()
            os.fsync(self._file.fileno())
            size = self._file.tell()
            self._file.close()
            self._file, self._frames = None, []
            os.replace(self._open_path, self._staged / name)
            _sync(self._staged)
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise SinkFailed(f"cannot finish {self._open_path}: {problem}") from problem
        return ({"name": name, "bytes": size},)

    def promote(self, outputs: Sequence[OutputData]) -> Sequence[str]:
        """See `SinkWriter`."""
        remarks = []
        try:
            for output in outputs:
                name = str(output["name"])
                try:
                    os.rename(self._staged / name, self._directory / name)
                except FileNotFoundError:
                    if not (self._directory / name).exists():
                        remarks.append(f"{self._directory / name} was committed, and has been moved away since")
            if outputs:
                _sync(self._directory)
        except OSError as problem:
            raise SinkFailed(f"cannot move files into {self._directory}: {problem}") from problem
        return remarks

    def restore(self, number: int, outputs: Sequence[OutputData]) -> Sequence[str]:
        """See `SinkWriter`."""
        listed = {str(output["name"]) for output in outputs}
        remarks = []
        try:
            for path in self._staged.iterdir():
                name = self._own(path.name)
                if name and name.epoch <= self._epoch and path.name not in listed:
                    path.unlink(missing_ok=True)
            for path in self._directory.iterdir():
                name = self._own(path.name)
                if name and name.epoch <= self._epoch and name.number > number:
                    path.unlink(missing_ok=True)
                    remarks.append(f"took back {path}: commit {name.number} is not in the log")
        except OSError as problem:
            raise SinkFailed(f"cannot tidy {self._directory}: {problem}") from problem
        return remarks

    def discard(self) -> None:
        """See `SinkWriter`.  Files set aside stay for the next owner, who knows whether they are committed."""
        self._frames = []
        if self._file is not None:
            self._file.close()
            self._file = None
            self._open_path.unlink(missing_ok=True)

    def _own(self, file_name: str) -> _Name | None:
        """The parts of the name, if it is of this job, output and shard."""
        base, number, epoch, _ = ("", *file_name.rsplit(".", 3))[-4:] if file_name.count(".") >= 3 else ("", "", "", "")
        if base != self._base or not epoch.isdigit() or not (number.isdigit() or number == "open"):
            return None
        return _Name(base, 0 if number == "open" else int(number), int(epoch))


def read_committed(directory: str | Path) -> pl.DataFrame:
    """Everything a files sink has committed to `directory`, as one frame; rows of a shard in their order.

    Raises:
        SinkFailed: there is nothing committed.
    """
    frames = []
    for path in sorted(Path(directory).iterdir()):
        if path.name.startswith(("_", ".")):
            continue
        if path.suffix == ".jsonl":
            frames.append(pl.read_ndjson(path))
        elif path.suffix == ".parquet":
            frames.append(pl.read_parquet(path))
    if not frames:
        raise SinkFailed(f"nothing is committed in {directory}")
    return pl.concat(frames, how="diagonal_relaxed")


def _part(text: str) -> str:
    """Any text as a part of a file name, different for different texts and not too long."""
    part = object_part(text)
    if len(part) <= _PART_CHARACTERS_MAX:
        return part
    return f"{part[:48]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
