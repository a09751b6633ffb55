"""Schemas that flow through a program while it is built, so that a wrong column is found before anything runs."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Iterable
from types import FrameType

import polars as pl

from millstream.errors import ProgramError

_OWN_PACKAGE = __name__.partition(".")[0]
_QUOTED = re.compile(r'"([^"]+)"')


def caller() -> str:
    """`file:line` of the innermost frame outside this library: the line of the program being built."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _OWN_PACKAGE:
        frame = frame.f_back
    assert frame is not None
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def schema_after(
    schema: pl.Schema, operation: Callable[[pl.DataFrame], pl.DataFrame], *, what: str, where: str
) -> pl.Schema:
    """The schema that `operation` makes of `schema`, tried on no rows.

    Raises:
        ProgramError: Polars refuses; names the step, the user's line and, for a wrong column, the nearest right one.
    """
    try:
        return operation(pl.DataFrame(schema=schema)).schema
    except pl.exceptions.ColumnNotFoundError as problem:
        wanted = _missing_column(str(problem), schema)
        raise ProgramError(f"{what}: {no_column(wanted, schema)}", where=where) from problem
    except (pl.exceptions.PolarsError, TypeError, ValueError) as problem:
        raise ProgramError(f"{what}: {_first_line(problem)}", where=where) from problem


def require_column(schema: pl.Schema, column: str, *, what: str, where: str) -> pl.DataType:
    """The type of `column`.

    Raises:
        ProgramError: there is no such column.
    """
    if column not in schema:
        raise ProgramError(f"{what}: {no_column(column, schema)}", where=where)
    return schema[column]


def no_column(wanted: str, columns: Iterable[str]) -> str:
    """The message for a column that is not there, with the nearest name that is."""
    names = list(columns)
    return f'there is no column "{wanted}".{nearest(wanted, names)} Columns here: {", ".join(names) or "none"}'


def nearest(wanted: str, names: Iterable[str]) -> str:
    """` Did you mean "…"?` for the nearest of `names`; "" when none is near."""
    near = difflib.get_close_matches(wanted, list(names), n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else ""


def _missing_column(message: str, schema: pl.Schema) -> str:
    first = message.strip().splitlines()[0]
    quoted = [name for name in _QUOTED.findall(first) if name not in schema]
    return quoted[0] if quoted else first.split(";")[0].strip()


def _first_line(problem: Exception) -> str:
    lines = str(problem).strip().splitlines()
    return lines[0] if lines else type(problem).__name__
