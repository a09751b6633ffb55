"""Reads the records of one file from an offset on, as far as they are whole."""

from __future__ import annotations

from collections.abc import Callable

from millstream.contract.checkpoint import Position
from millstream.errors import SourceFailed
from millstream.sources.decoding import Decoded, Decoder, Spans
from millstream.sources.file_bytes import FileBytes
from millstream.sources.source import Backlog, Batch, DeadRecord

LINE_BYTES_MAX = 64 << 20
"""A line above this is dead without being looked at."""

_READ_BYTES_MIN = 1 << 16
_SKIP_BYTES = 4 << 20
_SHOWN_BYTES = 1 << 10


class FileReader:
    """See `Reader`.  Nothing is kept between polls but the position, so it is always exact."""

    def __init__(
        self,
        label: str,
        content: FileBytes,
        decoder: Decoder,
        position: Position | None,
        final: Callable[[], bool],
    ) -> None:
        """`final` says whether what the file holds is all that it ever will."""
        self._label = label
        self._content = content
        self._decoder = decoder
        self._position = position or Position(0)
        self._final = final
        self._finished = False
        self._waiting_bytes = 0
        self._bytes_per_line = 0.0
        self._oversized = False
        self._nothing = decoder.decode(b"")  # once: a quiet file is polled many times a second

    @property
    def position(self) -> Position:
        """See `Reader`."""
        return self._position

    @property
    def finished(self) -> bool:
        """See `Reader`."""
        return self._finished

    def poll(self, max_records: int, max_bytes: int) -> Batch:
        """See `Reader`."""
        try:
            while True:
                start = self._position
                data = self._lines(max_records, max_bytes)
                if not data:
                    return self._skip_oversized(start) or self._batch(start, b"", self._nothing)
                skip = self._decoder.preamble(data) if start == 0 else 0
                data = data[skip:]
                decoded = self._decoder.decode(data)
                self._position = Position(start + skip + decoded.used)
                if decoded.frame.height or decoded.dead:
                    return self._batch(start + skip, data, decoded)
        except OSError as problem:
            raise SourceFailed(f"{self._label}: {problem}") from problem

    def end_position(self) -> Position | None:
        """See `Reader`."""
        end = self._content.end()
        return None if end is None else Position(end)

    def backlog(self) -> Backlog:
        """See `Reader`.  A half-written last line counts as bytes, not as a record."""
        left = self._content.left(self._position)
        if left <= self._waiting_bytes:
            return Backlog(records=0, bytes=left)
        return Backlog(records=max(1, round(left / self._line_bytes())), bytes=left)

    def close(self) -> None:
        """See `Reader`."""
        self._content.close()

    def _lines(self, max_records: int, max_bytes: int) -> bytes:
        """Whole records from the position on: at most so many, or at least one however long; b"" when there is none."""
        final = self._final()  # asked before reading: then what is read up to the end is all there is
        size = min(max_bytes, max(_READ_BYTES_MIN, round(max_records * self._line_bytes() * 1.1)))
        data = self._content.read(self._position, size)
        at_end = len(data) < size
        whole = self._decoder.whole(data, final=at_end and final)
        while not whole and not at_end and len(data) < LINE_BYTES_MAX:
            wanted = min(len(data), LINE_BYTES_MAX - len(data))
            more = self._content.read(self._position + len(data), wanted)
            at_end = len(more) < wanted
            data += more
            whole = self._decoder.whole(data, final=at_end and final)
        if at_end and final:
            self._finished, self._waiting_bytes = not data, 0
        else:
            self._waiting_bytes = len(data) - whole if at_end else 0
        self._oversized = not whole and len(data) >= LINE_BYTES_MAX
        data = data[:whole]
        lines = data.count(b"\n")
        if lines:
            self._bytes_per_line = (data.rfind(b"\n") + 1) / lines
        return data[: self._decoder.end_of(data, max_records)] if lines >= max_records else data

    def _skip_oversized(self, start: Position) -> Batch | None:
        """Step over a line that is too long, without keeping it; None when there is none, or its end is not written."""
        if not self._oversized:
            return None
        final = self._final()
        offset = start + LINE_BYTES_MAX
        while True:
            data = self._content.read(offset, _SKIP_BYTES)
            newline = data.find(b"\n")
            offset += newline + 1 if newline >= 0 else len(data)
            if newline >= 0 or (len(data) < _SKIP_BYTES and final):
                break
            if len(data) < _SKIP_BYTES:
                return None
        self._position = Position(offset)
        beginning = self._content.read(start, _SHOWN_BYTES)
        dead = DeadRecord(position=start, reason=f"a line of more than {LINE_BYTES_MAX} bytes", raw=beginning)
        empty = self._batch(start, b"", self._nothing)
        return Batch(frame=empty.frame, dead=[dead], origin=empty.origin)

    def _batch(self, start: int, data: bytes, decoded: Decoded) -> Batch:
        """`start` is the position of `data`."""
        records: Spans = ()

        def origin(row: int) -> tuple[Position, bytes]:
            nonlocal records
            if not records:
                records = self._decoder.split(data)
            offset, record = records[row if decoded.rows is None else decoded.rows[row]]
            return Position(start + offset), record

        dead = [
            DeadRecord(position=Position(start + line.offset), reason=line.reason, raw=line.raw)
            for line in decoded.dead
        ]
        return Batch(frame=decoded.frame, dead=dead, origin=origin)

    def _line_bytes(self) -> float:
        return self._bytes_per_line or 100.0
