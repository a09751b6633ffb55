"""Read columns of text or wide numbers as the type a schema asks for, and say which values cannot be.

Dates and times are ISO 8601: `2024-01-31`, `2024-01-31T08:00`, `2024-01-31 08:00:00.123`, with `Z` or an offset such as
`+02:00` or without.  Text without an offset counts as UTC; a column without a time zone holds UTC.  Nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl
from polars.datatypes import DataTypeClass

from millstream.errors import ProgramError

_NAIVE = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%d %H:%M%#z")
_FORMATS = (*((text, False) for text in _NAIVE), *((text, True) for text in _ZONED))

_DIRECT = (pl.String, pl.Boolean, pl.Int32, pl.Int64, pl.UInt32, pl.UInt64, pl.Float64)
_NARROW = (pl.Int8, pl.Int16, pl.UInt8, pl.UInt16)


@dataclass(frozen=True, slots=True)
class Conversion:
    """One column's values in its type; `bad` marks those that cannot be read, `problem` says what they are not."""

    values: pl.Series
    bad: pl.Series | None
    problem: str


class ColumnReader:
    """Turns what a decoder yields for one column into its type.  Remembers which time format fitted last."""

    def __init__(self, name: str, dtype: pl.DataType) -> None:
        self._name = name
        self._dtype = dtype
        self._likely = _FORMATS[0]

    @property
    def decoded(self) -> pl.DataType:
        """The type the decoder is to yield."""
        if isinstance(self._dtype, pl.Datetime | pl.Date):
            return pl.String()
        if isinstance(self._dtype, _NARROW):
            return pl.Int64()
        return pl.Float64() if isinstance(self._dtype, pl.Float32) else self._dtype

    def convert(self, raw: pl.Series) -> Conversion:
        """`raw` is of type `decoded`; nulls stay null."""
        if isinstance(self._dtype, pl.Datetime):
            values = self._instants(raw, self._dtype)
        elif isinstance(self._dtype, pl.Date):
            values = raw.str.to_date("%Y-%m-%d", strict=False)
        elif self.decoded != self._dtype:
            values = raw.cast(self._dtype, strict=False)
            if isinstance(self._dtype, pl.Float32):
                values = values.set(values.is_infinite() & raw.is_finite(), None)
        else:
            return Conversion(raw, None, "")
        if values.null_count() == raw.null_count():
            return Conversion(values, None, "")
        bad = values.is_null() & raw.is_not_null()
        return Conversion(values, bad, self._problem())

    def convert_text(self, raw: pl.Series) -> Conversion:
        """As `convert`, for values that are all text: numbers in digits, `true` and `false` in any case."""
        if self.decoded == pl.String():
            return self.convert(raw)
        if self.decoded == pl.Boolean():
            text = raw.str.to_lowercase()
            parsed = (text == "true").set((text != "true") & (text != "false"), None)
        else:
            parsed = raw.cast(self.decoded, strict=False)
        values = self.convert(parsed).values
        if values.null_count() == raw.null_count():
            return Conversion(values, None, "")
        return Conversion(values, values.is_null() & raw.is_not_null(), self._problem())

    def _problem(self) -> str:
        return f'"{self._name}" is no {_plain(self._dtype)}'

    def _instants(self, raw: pl.Series, dtype: pl.Datetime) -> pl.Series:
        values = _parsed(raw, dtype, *self._likely)
        for known in _FORMATS:
            if values.null_count() == raw.null_count():
                return values
            if known == self._likely:
                continue
            others = _parsed(raw.filter(values.is_null()), dtype, *known)
            if others.null_count() < others.len():
                unread = values.is_null().arg_true()
                values = values.scatter(unread, others)
                if unread.len() == raw.len():
                    self._likely = known
        return values


def _parsed(raw: pl.Series, dtype: pl.Datetime, text_format: str, has_zone: bool) -> pl.Series:
    values = raw.str.to_datetime(
        text_format, time_unit=dtype.time_unit, time_zone="UTC" if has_zone else None, strict=False
    )
    if dtype.time_zone is None:
        return values.dt.replace_time_zone(None) if has_zone else values
    values = values if has_zone else values.dt.replace_time_zone("UTC")
    return values.dt.convert_time_zone(dtype.time_zone)


def readable_type(name: str, dtype: pl.DataType, *, nested: bool = False) -> pl.DataType:
    """The type, if values of it can be read from text.

    Raises:
        ProgramError: they cannot; says what to declare instead.
    """
    if isinstance(dtype, _DIRECT):
        return dtype
    if isinstance(dtype, pl.List):
        readable_type(name, _instance(dtype.inner), nested=True)
        return dtype
    if isinstance(dtype, pl.Struct):
        for field in dtype.fields:
            readable_type(f"{name}.{field.name}", _instance(field.dtype), nested=True)
        return dtype
    if not nested and isinstance(dtype, (*_NARROW, pl.Float32, pl.Date)):
        return dtype
    if not nested and isinstance(dtype, pl.Datetime) and dtype.time_unit != "ns":
        return dtype
    inside = " inside a list or struct" if nested else ""
    raise ProgramError(
        f'"{name}": {dtype} cannot be read{inside}; declare String, Int64 or Float64 (times: Datetime("us") or "ms") '
        "and cast it in .with_columns(…)"
    )


def _instance(dtype: pl.DataType | DataTypeClass) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def _plain(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        return "time in ISO 8601"
    return "date in ISO 8601" if isinstance(dtype, pl.Date) else str(dtype)
