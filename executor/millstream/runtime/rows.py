"""Rows as the user's Python makes them: checked, and put in columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from millstream.schema import nearest
from millstream.steps import MapRows


def mapped(step: MapRows, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[int]]:
    """What the function makes of the rows, in their order, and of which row each result is.

    Raises whatever the function raises; TypeError, ValueError: it returned something else than the step says.
    """
    found: list[Mapping[str, Any]] = []
    origins: list[int] = []
    for index, row in enumerate(rows.iter_rows(named=True)):
        for result in _several(step.function(row)):
            found.append(checked(result, step.schema))
            origins.append(index)
    return frame_of(found, step.schema), origins


def checked(row: object, schema: pl.Schema) -> Mapping[str, Any]:
    """The row, if it is one and has no column that the schema lacks.

    Raises:
        TypeError: it is no dict.
        ValueError: it has such a column.
    """
    if not isinstance(row, Mapping):
        raise TypeError(f"the function must return rows as dicts, not {type(row).__name__}")
    for name in row:
        if name not in schema:
            raise ValueError(
                f'the function returned a column "{name}", which schema= does not name.{nearest(str(name), schema)} '
                f"Columns: {', '.join(schema)}"
            )
    return row


def frame_of(rows: Sequence[Mapping[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """The rows in columns, nulls where one has no value; TypeError: a value is not of its column's type."""
    columns = {}
    for name, dtype in schema.items():
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pl.Series(name, values, dtype=dtype)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as problem:
            raise TypeError(f'a value of the column "{name}" is no {dtype}: {problem}') from problem
    return pl.DataFrame(columns)


def _several(answer: object) -> Iterable[object]:
    if answer is None:
        return ()
    if isinstance(answer, Iterable) and not isinstance(answer, Mapping | str | bytes):
        return answer
    return (answer,)
