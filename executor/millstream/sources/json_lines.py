r"""Decode JSON lines into columns, and set the lines apart that cannot be.

The rules, for a line and a schema:

- A line is a JSON object in UTF-8 that ends in `\n` or `\r\n`; lines of white space alone are no records.  A
  byte-order mark at the very beginning of a file is skipped by whoever reads the file.
- A column that is missing or null becomes null; fields that the schema does not name are ignored.
- A value of another type makes the whole line dead: text for a number, a fraction for an integer, a number out of
  range, a time that is not ISO 8601.  Only String takes any value: one that is no text comes as its JSON text.
- Broken JSON, invalid UTF-8, an unpaired surrogate (`\ud800`) and anything that is no object make the line dead.
- Of two fields with one name it is undefined which counts.

All lines are decoded at once.  Only when that fails are they looked at one by one, and no more than so many bad ones
per call, so that a flood of garbage does not stop the shard for long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import msgspec
import polars as pl

from millstream.sources.decoding import (
    DeadLine,
    Decoded,
    Spans,
    byte_order_mark,
    converted,
    end_of_line,
    whole_lines,
)
from millstream.sources.text_types import ColumnReader, readable_type

BAD_LINES_MAX = 512
_BLANK = b" \t\r\n"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class JsonLinesDecoder:
    """Decodes whole lines of one schema.  Remembers time formats between calls, so for one thread."""

    def __init__(self, schema: Mapping[str, pl.DataType]) -> None:
        """Raises `ProgramError` for a type that cannot be read from JSON."""
        self._columns = {name: ColumnReader(name, readable_type(name, dtype)) for name, dtype in schema.items()}
        self._decoded = {name: column.decoded for name, column in self._columns.items()}
        self._judge = msgspec.json.Decoder(_judge_type(self._decoded))

    def whole(self, data: bytes, *, final: bool) -> int:
        """See `Decoder`."""
        return whole_lines(data, final=final)

    def end_of(self, data: bytes, records: int) -> int:
        """See `Decoder`.  Blank lines count."""
        return end_of_line(data, records)

    def preamble(self, data: bytes) -> int:
        """See `Decoder`: a byte-order mark."""
        return byte_order_mark(data)

    def split(self, data: bytes) -> Spans:
        """See `Decoder`."""
        return lines_with_offsets(data)

    def decode(self, data: bytes) -> Decoded:
        """See `Decoder`."""
        frame = None if _has_surrogate(data) else self._frame(data)
        if frame is None or frame.height != _line_count(data, likely=frame.height):
            return self._decode_apart(data)
        return self._converted(frame, data, None, [], len(data))

    def _decode_apart(self, data: bytes) -> Decoded:
        """Look at each line: who is certainly or possibly bad is tried alone, the rest together."""
        lines = lines_with_offsets(data)
        dead: list[DeadLine] = []
        good: list[int] = []
        used = len(data)
        for index, (offset, line) in enumerate(lines):
            reason = self._doubt(line)
            if reason is None or self._stands_alone(line, reason):
                good.append(index)
                continue
            if len(dead) >= BAD_LINES_MAX:
                used, lines = offset, lines[:index]
                break
            dead.append(DeadLine(offset=offset, reason=reason.text, raw=line))
        frame = self._together([lines[index][1] for index in good])
        if frame is None:
            good, frame, used = self._halve(lines, good, dead, used)
        return self._converted(frame, data, good, dead, used)

    def _halve(
        self, lines: Sequence[tuple[int, bytes]], good: Sequence[int], dead: list[DeadLine], used: int
    ) -> tuple[list[int], pl.DataFrame, int]:
        """Find the bad lines among `good` by halving, in order; adds them to `dead`."""
        frames = [pl.DataFrame(schema=self._decoded)]
        kept: list[int] = []
        ranges = [(0, len(good))]
        while ranges:
            start, stop = ranges.pop()
            frame = self._together([lines[index][1] for index in good[start:stop]])
            if frame is not None:
                frames.append(frame)
                kept += good[start:stop]
            elif stop - start > 1:
                middle = (start + stop) // 2
                ranges += [(middle, stop), (start, middle)]
            elif len(dead) >= 2 * BAD_LINES_MAX:
                used = lines[good[start]][0]
                dead[:] = [line for line in dead if line.offset < used]
                break
            else:
                offset, line = lines[good[start]]
                dead.append(DeadLine(offset=offset, reason=self._reason_alone(line), raw=line))
        return kept, pl.concat(frames), used

    def _converted(
        self, frame: pl.DataFrame, data: bytes, rows: Sequence[int] | None, dead: Sequence[DeadLine], used: int
    ) -> Decoded:
        columns = {name: column.convert for name, column in self._columns.items()}
        return converted(columns, frame, lambda: self.split(data), rows, dead, used)

    # ---- one authority on what is a good line: what Polars makes of it

    def _frame(self, data: bytes) -> pl.DataFrame | None:
        if not data.strip(_BLANK):
            return pl.DataFrame(schema=self._decoded)
        try:
            return pl.read_ndjson(data, schema=self._decoded)
        except pl.exceptions.PolarsError:
            return None

    def _together(self, lines: Sequence[bytes]) -> pl.DataFrame | None:
        frame = self._frame(b"\n".join(lines))
        return frame if frame is not None and frame.height == len(lines) else None

    def _stands_alone(self, line: bytes, doubt: _Doubt) -> bool:
        return not doubt.certain and self._together([line]) is not None

    def _reason_alone(self, line: bytes) -> str:
        try:
            pl.read_ndjson(line, schema=self._decoded)
        except pl.exceptions.PolarsError as problem:
            return str(problem).splitlines()[0]
        return "not one JSON object in one line"

    def _doubt(self, line: bytes) -> _Doubt | None:
        """A quick second opinion: which lines deserve a look of their own, and in what words to reject them."""
        if _SURROGATE.search(line) and not _is_paired(line):
            return _Doubt("text with an unpaired surrogate", certain=True)
        try:
            self._judge.decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as problem:
            return _Doubt(str(problem), certain=False)
        return None


@dataclass(frozen=True, slots=True)
class _Doubt:
    text: str
    certain: bool


def lines_with_offsets(data: bytes) -> list[tuple[int, bytes]]:
    """Every line that is not blank: where it begins, and its bytes without the line end."""
    found = []
    offset = 0
    for line in data.split(b"\n"):
        if line.strip(_BLANK):
            found.append((offset, line.removesuffix(b"\r")))
        offset += len(line) + 1
    return found


def _line_count(data: bytes, *, likely: int) -> int:
    """Lines that are not blank; the careful count is made only when the quick one is not as expected."""
    quick = data.count(b"\n") + (0 if data.endswith(b"\n") or not data else 1)
    return quick if quick == likely else len(lines_with_offsets(data))


def _has_surrogate(data: bytes) -> bool:
    return b"\\" in data and b"\\u" in data and _SURROGATE.search(data) is not None


def _is_paired(line: bytes) -> bool:
    try:
        json.dumps(json.loads(line), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    except (ValueError, RecursionError):
        return True  # broken in another way, which is for others to say
    return True


def _judge_type(decoded: Mapping[str, pl.DataType]) -> Any:
    # msgspec cannot take names with characters that JSON escapes; such columns are left to Polars alone.
    judged = {name: dtype for name, dtype in decoded.items() if json.dumps(name, ensure_ascii=False) == f'"{name}"'}
    fields = []
    for index, dtype in enumerate(judged.values()):
        kind: Any = Any
        if dtype.is_integer():
            kind = Optional[int]  # noqa: UP045 - msgspec reads it at run time
        elif dtype == pl.Float64:
            kind = Optional[float]  # noqa: UP045
        elif dtype == pl.Boolean:
            kind = Optional[bool]  # noqa: UP045
        fields.append((f"f{index}", kind, None))
    names = {f"f{index}": name for index, name in enumerate(judged)}
    return msgspec.defstruct("Line", fields, rename=names)
