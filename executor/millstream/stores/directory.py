"""The object store in a directory: a local disk, or a network file system that has hard links.

An object is written to a hidden file, synced, and then linked to its name: the link either makes the whole object
visible or fails because the name is taken.  Hidden files that a crash leaves behind are never listed.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from millstream.errors import StoreUnavailable
from millstream.stores.object_store import AlreadyExists, NotFound, require_name

_HIDDEN = "."


class DirectoryStore:
    """Objects as files below `root`, which is created when the first object is."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root).absolute()

    @property
    def root(self) -> Path:
        """Where the objects are."""
        return self._root

    def create(self, name: str, data: bytes) -> None:
        """See `ObjectStore`.  Durable: the file and the directory entries leading to it are synced."""
        require_name(name)
        target = self._root / name
        try:
            self._ensure_directory(target.parent)
            handle, hidden = tempfile.mkstemp(prefix=_HIDDEN, suffix=".partial", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                taken = not _linked(hidden, target)
            finally:
                os.unlink(hidden)
            _sync_directory(target.parent)
        except OSError as problem:
            raise StoreUnavailable(f"cannot create {target}: {problem}") from problem
        if taken:
            raise AlreadyExists(name)

    def get(self, name: str) -> bytes:
        """See `ObjectStore`."""
        require_name(name)
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError) as problem:
            raise NotFound(name) from problem
        except OSError as problem:
            raise StoreUnavailable(f"cannot read {self._root / name}: {problem}") from problem

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore`.  Walks only the folder that the prefix leads into."""
        folder = prefix.rpartition("/")[0]
        names = []
        try:
            for where, directories, files in os.walk(self._root / folder, onerror=_raise_unless_gone):
                directories[:] = [name for name in directories if not name.startswith(_HIDDEN)]
                inside = os.path.relpath(where, self._root)
                base = "" if inside == "." else inside.replace(os.sep, "/") + "/"
                names += [base + name for name in files if not name.startswith(_HIDDEN)]
        except OSError as problem:
            raise StoreUnavailable(f"cannot list {self._root / folder}: {problem}") from problem
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """See `ObjectStore`."""
        require_name(name)
        try:
            (self._root / name).unlink(missing_ok=True)
        except OSError as problem:
            raise StoreUnavailable(f"cannot delete {self._root / name}: {problem}") from problem

    def _ensure_directory(self, folder: Path) -> None:
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            _sync_directory(path.parent)


def _linked(hidden: str, target: Path) -> bool:
    try:
        os.link(hidden, target)
    except FileExistsError:
        return False
    return True


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(problem: OSError) -> None:
    if not isinstance(problem, FileNotFoundError):
        raise problem
