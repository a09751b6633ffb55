"""The port between a file's bytes and frames: how bytes fall apart into records, and what each record becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from millstream.sources.text_types import Conversion

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Spans = Sequence[tuple[int, bytes]]
"""Where each record begins in the data, and its bytes without the line end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLine:
    """A record that cannot be decoded: where it begins in the data, why, and its bytes without the line end."""

    offset: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Good records as a frame, dead ones, and how many bytes of the data were used up (less than all: call again).

    `rows` are the indexes, among the records that `split` gives, of the frame's rows; None: all of them.
    """

    frame: pl.DataFrame
    dead: Sequence[DeadLine]
    used: int
    rows: Sequence[int] | None = None


class Decoder(Protocol):
    """Decodes the records of one file.  For one thread.

    Where a record ends must not depend on how much of the file was read at a time.
    """

    def whole(self, data: bytes, *, final: bool) -> int:
        """How many of the bytes are whole records.  `data` begins with a record; `final`: nothing will follow it."""
        ...

    def end_of(self, data: bytes, records: int) -> int:
        """Where so many records end, or all if there are fewer.  `data` is whole records, as below."""
        ...

    def preamble(self, data: bytes) -> int:
        """How many bytes at the beginning of the file are no record; `data` is not empty.

        Raises:
            SourceFailed: the file is not what the program says.
        """
        ...

    def decode(self, data: bytes) -> Decoded:
        """Decode the records; the last one may lack its line end.

        Raises:
            SourceFailed: the file is not what the program says.
        """
        ...

    def split(self, data: bytes) -> Spans:
        """The records that `decode` counts, one by one; slow."""
        ...


def byte_order_mark(data: bytes) -> int:
    """Length of the mark that some programs put at the beginning of a text file."""
    return len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0


def converted(
    columns: Mapping[str, Callable[[pl.Series], Conversion]],
    raw: pl.DataFrame,
    split: Callable[[], Spans],
    rows: Sequence[int] | None,
    dead: Sequence[DeadLine],
    used: int,
) -> Decoded:
    """Give every column of `raw` its type; a row with a value that has not got it is dead too."""
    values = []
    problems: dict[int, str] = {}
    for name, convert in columns.items():
        conversion = convert(raw[name])
        values.append(conversion.values)
        if conversion.bad is not None:
            for row in conversion.bad.arg_true().to_list():
                problems.setdefault(row, f"{conversion.problem}: {raw[name][row]!r}")
    frame = pl.DataFrame(values)
    if problems:
        spans = split()
        rows = range(frame.height) if rows is None else rows
        found = [
            DeadLine(offset=spans[rows[row]][0], reason=why, raw=spans[rows[row]][1]) for row, why in problems.items()
        ]
        good = [row for row in range(frame.height) if row not in problems]
        frame, rows, dead = frame[good], [rows[row] for row in good], [*dead, *found]
    return Decoded(frame=frame, dead=sorted(dead, key=lambda line: line.offset), used=used, rows=rows)


# ---- records of one line each


def whole_lines(data: bytes, *, final: bool) -> int:
    """How many of the bytes are whole lines."""
    return len(data) if final else data.rfind(b"\n") + 1


def end_of_line(data: bytes, number: int) -> int:
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
