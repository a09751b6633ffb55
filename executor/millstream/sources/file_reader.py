"""Reads the lines of one file from an offset on, as far as they are whole."""

from __future__ import annotations

from collections.abc import Callable

from millstream.contract.checkpoint import Position
from millstream.errors import SourceFailed
from millstream.sources.file_bytes import FileBytes
from millstream.sources.json_lines import Decoded, JsonLinesDecoder, lines_with_offsets
from millstream.sources.source import Backlog, Batch, DeadRecord

LINE_BYTES_MAX = 64 << 20
"""A line above this is dead without being looked at."""

_READ_BYTES_MIN = 1 << 16
_SKIP_BYTES = 4 << 20
_SHOWN_BYTES = 1 << 10
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FileReader:
    """See `Reader`.  Nothing is kept between polls but the position, so it is always exact."""

    def __init__(
        self,
        label: str,
        content: FileBytes,
        decoder: JsonLinesDecoder,
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
                    return self._skip_oversized(start) or _batch(start, b"", self._nothing)
                mark = len(_BYTE_ORDER_MARK) if start == 0 and data.startswith(_BYTE_ORDER_MARK) else 0
                data = data[mark:]
                decoded = self._decoder.decode(data)
                self._position = Position(start + mark + decoded.used)
                if decoded.frame.height or decoded.dead:
                    return _batch(start + mark, data, decoded)
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
        """Whole lines from the position on: at most so many, or at least one however long; b"" when there is none."""
        final = self._final()  # asked before reading: then what is read up to the end is all there is
        size = min(max_bytes, max(_READ_BYTES_MIN, round(max_records * self._line_bytes() * 1.1)))
        data = self._content.read(self._position, size)
        at_end = len(data) < size
        while b"\n" not in data and not at_end and len(data) < LINE_BYTES_MAX:
            wanted = min(len(data), LINE_BYTES_MAX - len(data))
            more = self._content.read(self._position + len(data), wanted)
            at_end = len(more) < wanted
            data += more
        if at_end and final:
            self._finished, self._waiting_bytes = not data, 0
            whole = data
        else:
            whole = data[: data.rfind(b"\n") + 1]
            self._waiting_bytes = len(data) - len(whole) if at_end else 0
        self._oversized = not whole and len(data) >= LINE_BYTES_MAX
        lines = whole.count(b"\n")
        if lines:
            self._bytes_per_line = (whole.rfind(b"\n") + 1) / lines
        return whole[: _end_of_line(whole, max_records)] if lines >= max_records else whole

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
        empty = _batch(start, b"", self._nothing)
        return Batch(frame=empty.frame, dead=[dead], origin=empty.origin)

    def _line_bytes(self) -> float:
        return self._bytes_per_line or 100.0


def _end_of_line(data: bytes, number: int) -> int:
    """Offset just behind the `number`th line end, by halving: counting is much faster than finding."""
    low, high, before = 0, len(data), 0
    while high - low > 1:
        middle = (low + high) // 2
        counted = data.count(b"\n", low, middle)
        if before + counted >= number:
            high = middle
        else:
            before += counted
            low = middle
    return high


def _batch(start: int, data: bytes, decoded: Decoded) -> Batch:
    """`start` is the position of `data`."""
    lines: list[tuple[int, bytes]] = []

    def origin(row: int) -> tuple[Position, bytes]:
        if not lines:
            lines.extend(lines_with_offsets(data))
        offset, line = lines[row if decoded.rows is None else decoded.rows[row]]
        return Position(start + offset), line

    dead = [
        DeadRecord(position=Position(start + line.offset), reason=line.reason, raw=line.raw) for line in decoded.dead
    ]
    return Batch(frame=decoded.frame, dead=dead, origin=origin)
