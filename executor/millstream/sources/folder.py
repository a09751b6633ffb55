"""The files that a pattern names, as shards: one file, a directory, or a glob (`**` for any depth).

Names that begin with "." or "_" are no shards.  A growing source has ended when a file `_SUCCESS` appears in its
directory, as Hadoop's tools leave it.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path

import polars as pl

from millstream.contract.checkpoint import ShardId
from millstream.errors import SourceFailed
from millstream.sources.source import Discovery, SourceShard

SUCCESS = "_SUCCESS"


class Folder:
    """Paths and shard ids of one pattern."""

    def __init__(self, pattern: str, *, growing: bool) -> None:
        self._root, self._glob = _root_and_glob(pattern)
        self._growing = growing

    def paths(self) -> list[Path]:
        """The files that are there now, sorted.  Raises OSError."""
        found = []
        for text in sorted(glob.iglob(self._glob, recursive=True)):
            path = Path(text)
            inside = path.relative_to(self._root)
            if path.is_file() and not any(part.startswith((".", "_")) for part in inside.parts):
                found.append(path)
        return sorted(found)

    def shard(self, path: Path) -> ShardId:
        """The id of a file's shard: its path from where the pattern begins to be one."""
        return ShardId(path.relative_to(self._root).as_posix())

    def path(self, shard: ShardId) -> Path | None:
        """The file of a shard; None: the id leads out of the folder."""
        inside = Path(shard)
        return None if inside.is_absolute() or ".." in inside.parts else self._root / shard

    def complete(self) -> bool:
        """Whether no file will be added.  To be asked before `paths`: then these are all there are."""
        return not self._growing or self.has_ended()

    def discovery(self, name: str, found: Callable[[Path], SourceShard]) -> Discovery:
        """What a source called `name` discovers; `found` looks at one file.

        Raises:
            SourceFailed: a finite source has no file at all, or a file or directory cannot be read.
        """
        complete = self.complete()
        try:
            shards = tuple(found(path) for path in self.paths())
        except (OSError, pl.exceptions.PolarsError) as problem:
            raise SourceFailed(f"{name}: {problem}") from problem
        if not shards and complete:
            raise SourceFailed(f"{name}: no file matches, seen from {Path.cwd()}")
        return Discovery(shards=shards, complete=complete)

    def has_ended(self) -> bool:
        """Whether a growing source says that nothing more will be added."""
        return (self._root / SUCCESS).exists()


def _root_and_glob(pattern: str) -> tuple[Path, str]:
    """The folder that shard ids are relative to, and the glob of the files: `data/*/x.jsonl` has root `data`."""
    path = Path(pattern).absolute()
    if not glob.has_magic(str(path)):
        return (path, str(path / "*")) if path.is_dir() else (path.parent, str(path))
    root = path
    while glob.has_magic(str(root)):
        root = root.parent
    return root, str(path)
