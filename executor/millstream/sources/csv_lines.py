r"""Decode CSV text into columns, and set the records apart that cannot be.

The rules, beside those of `millstream.sources.csv_records` for quotes and line ends:

- The header, the file's first line, says which column is where; columns that the schema does not name are ignored, and
  one that it names must be there.  Without a header the columns are those of the schema, in its order.
- An empty field is null, quoted or not.  White space is part of a field.
- Values are converted as the schema says: numbers in digits, `true` and `false` in any case, times in ISO 8601.  One
  that cannot be, too many or too few fields, quotes out of place and invalid UTF-8 make the record dead.
- A byte-order mark at the very beginning of a file is skipped.

Text whose records are lines is decoded all at once, and record by record only when that fails: many times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from millstream.errors import ProgramError, SourceFailed
from millstream.schema import no_column
from millstream.sources.csv_records import CsvRecords, without_line_end
from millstream.sources.decoding import BYTE_ORDER_MARK, DeadLine, Decoded, Spans, byte_order_mark, converted
from millstream.sources.text_types import ColumnReader, Conversion, readable_type


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvFormat:
    """How CSV files are written: with a header or without, and what stands between fields."""

    header: bool = True
    separator: str = ","

    def __post_init__(self) -> None:
        """Raises `ProgramError` for a separator that is none."""
        mark = self.separator
        if len(mark) != 1 or not mark.isascii() or mark in '"\r\n':
            raise ProgramError(f"the separator must be one ASCII character, no quote and no line end, not {mark!r}")


class CsvDecoder:
    """Decodes one file.  Remembers its header, and time formats between calls, so for one thread."""

    def __init__(self, label: str, schema: Mapping[str, pl.DataType], form: CsvFormat) -> None:
        """Raises `ProgramError` for a type that cannot be read from CSV."""
        readers = {name: ColumnReader(name, readable_type(name, dtype)) for name, dtype in schema.items()}
        for name, dtype in schema.items():
            if dtype.is_nested():
                raise ProgramError(f'"{name}": {dtype} cannot be read from CSV; declare String and convert it later')
        self._columns: dict[str, Callable[[pl.Series], Conversion]] = {
            name: reader.convert_text for name, reader in readers.items()
        }
        self._label, self._header = label, form.header
        self._separator = form.separator.encode()
        self._records = CsvRecords(form.separator)
        self._width = len(schema)
        self._places: dict[str, int] | None = None if form.header else {name: at for at, name in enumerate(schema)}

    def whole(self, data: bytes, *, final: bool) -> int:
        """See `Decoder`."""
        return self._records.whole(data, final=final)

    def end_of(self, data: bytes, records: int) -> int:
        """See `Decoder`."""
        return self._records.end_of(data, records)

    def split(self, data: bytes) -> Spans:
        """See `Decoder`."""
        return self._records.split(data)

    def preamble(self, data: bytes) -> int:
        """See `Decoder`: a byte-order mark, and the header, which is learnt."""
        mark = byte_order_mark(data)
        if not self._header:
            return mark
        if len(data) == mark:
            return mark
        end = mark + self._records.end_of(data[mark:], 1)
        record = without_line_end(data[mark:end])
        try:
            names = self._records.fields(record.decode())
        except ValueError as problem:
            raise SourceFailed(f"{self._label}: the header cannot be read: {problem}: {record[:200]!r}") from problem
        for name in self._columns:
            if name not in names:
                raise SourceFailed(f"{self._label}: by its header {no_column(name, names)}")
            if names.count(name) > 1:
                raise SourceFailed(f'{self._label}: its header names the column "{name}" twice')
        self._width = len(names)
        self._places = {name: names.index(name) for name in self._columns}
        return end

    def decode(self, data: bytes) -> Decoded:
        """See `Decoder`."""
        if not data:
            empty = pl.DataFrame(schema=dict.fromkeys(self._columns, pl.String))
            return converted(self._columns, empty, list, None, [], 0)
        if self._places is None:
            raise SourceFailed(f"{self._label}: its first line is too long to be a header")
        frame = self._at_once(data, self._places)
        if frame is not None:
            return converted(self._columns, frame, lambda: self.split(data), None, [], len(data))
        return self._one_by_one(data, self._places)

    def _at_once(self, data: bytes, places: Mapping[str, int]) -> pl.DataFrame | None:
        r"""The fields as text; None: something may be wrong with a record.

        Polars takes a record with too few fields for one with nulls, and `\r` at the end of any field for a line end:
        so these are counted.
        """
        bare = self._records.skeleton(data)
        if bare is None or data.startswith(BYTE_ORDER_MARK):
            return None
        lines = data.count(b"\n") + (0 if data.endswith(b"\n") else 1)
        if bare.count(self._separator) != lines * (self._width - 1):
            return None
        if data.count(b"\r") != data.count(b"\r\n"):
            return None
        if self._width == 1 and (data.startswith((b"\n", b"\r")) or b"\n\n" in data or b"\n\r" in data):
            return None
        try:
            found = pl.read_csv(
                data,
                has_header=False,
                schema={str(at): pl.String for at in range(self._width)},
                separator=self._separator.decode(),
                quote_char='"',
            )
        except pl.exceptions.PolarsError:
            return None
        if found.height != lines:
            return None
        columns = {name: pl.col(str(at)) for name, at in places.items()}
        return found.select(pl.when(column != "").then(column).alias(name) for name, column in columns.items())

    def _one_by_one(self, data: bytes, places: Mapping[str, int]) -> Decoded:
        dead: list[DeadLine] = []
        good: list[int] = []
        rows: list[list[str | None]] = []
        for index, (offset, record) in enumerate(self.split(data)):
            try:
                fields = self._records.fields(record.decode())
            except ValueError as problem:
                dead.append(DeadLine(offset=offset, reason=str(problem), raw=record))
                continue
            if len(fields) != self._width:
                reason = f"{len(fields)} fields, where {self._width} belong"
                dead.append(DeadLine(offset=offset, reason=reason, raw=record))
                continue
            rows.append([fields[at] or None for at in places.values()])
            good.append(index)
        columns = list(zip(*rows, strict=True)) or [()] * len(places)
        frame = pl.DataFrame(
            [pl.Series(name, values, dtype=pl.String) for name, values in zip(places, columns, strict=True)]
        )
        return converted(self._columns, frame, lambda: self.split(data), good, dead, len(data))
