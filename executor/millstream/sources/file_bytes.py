"""The bytes of one file, read on from an offset: plain, or through gzip."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Protocol


class FileBytes(Protocol):
    """Offsets count the file's content, uncompressed."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the present end.

        Raises:
            OSError: the file cannot be read, or is shorter than `offset`.
        """
        ...

    def end(self) -> int | None:
        """The present end; None if it cannot be told without reading all."""
        ...

    def left(self, offset: int) -> int:
        """Bytes from `offset` to the present end, estimated where they are compressed."""
        ...

    def close(self) -> None:
        """Safe to repeat."""
        ...


class PlainBytes:
    """A file as it is; it may grow."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)

    def read(self, offset: int, size: int) -> bytes:
        """See `FileBytes`."""
        data = os.pread(self._file.fileno(), size, offset)
        if not data and (end := self.end()) < offset:
            raise OSError(f"{self._path} has become shorter: it ends at {end}, and was read up to {offset}")
        return data

    def end(self) -> int:
        """See `FileBytes`."""
        return os.fstat(self._file.fileno()).st_size

    def left(self, offset: int) -> int:
        """See `FileBytes`."""
        return max(0, self.end() - offset)

    def close(self) -> None:
        """See `FileBytes`."""
        self._file.close()


class GzipBytes:
    """A finite file under gzip.  Going on from an offset unpacks everything before it again.

    What was read last is kept, since who reads lines comes back for the beginning of one that was cut.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._packed = path.open("rb")
        self._file = gzip.GzipFile(fileobj=self._packed, mode="rb")
        self._size = path.stat().st_size
        self._end: int | None = None
        self._window_at, self._window = 0, b""

    def read(self, offset: int, size: int) -> bytes:
        """See `FileBytes`."""
        kept = self._window[offset - self._window_at :][:size] if offset >= self._window_at else b""
        wanted = offset + len(kept)
        try:
            reached = wanted if len(kept) == size else self._file.seek(wanted)
            data = kept + self._file.read(size - len(kept)) if reached == wanted else kept
        except (EOFError, zlib.error) as problem:
            raise OSError(f"{self._path} is damaged or cut off: {problem}") from problem
        if reached < offset:
            raise OSError(f"{self._path} has become shorter: it ends at {reached}, and was read up to {offset}")
        self._window_at, self._window = offset, data
        if len(data) < size:
            self._end = offset + len(data)
        return data

    def end(self) -> int | None:
        """See `FileBytes`."""
        return self._end

    def left(self, offset: int) -> int:
        """See `FileBytes`."""
        if self._end is not None:
            return max(0, self._end - offset)
        packed = max(1, self._packed.tell())
        return max(1, round((self._size - packed) * self._file.tell() / packed)) if self._size else 0

    def close(self) -> None:
        """See `FileBytes`."""
        self._file.close()
        self._packed.close()
