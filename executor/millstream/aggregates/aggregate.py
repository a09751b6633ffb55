"""What an aggregate is: three groups of Polars expressions.

**Partials** over the records of one batch, **merges** over partials of the same key and window, and a **result** over
the merged state.  A null partial is neutral in every merge.  Merging partials in any grouping gives the same state, up
to the rounding of floating-point sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from millstream.schema import caller

TIME = "__time"
"""Column of event times in microseconds that the runtime adds to the records of a windowed stream."""

ExprOf = Callable[[str], list[pl.Expr]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """One aggregate; built by the functions below.

    Each function takes the output column's name (partials also the records' schema) and names its state columns
    `<name>.<part>`.  `pack_partials` and `pack_merges` turn lists of values into state where expressions cannot (a
    user's own aggregate).
    """

    label: str
    partials: Callable[[str, pl.Schema], list[pl.Expr]]
    merges: ExprOf
    result: Callable[[str], pl.Expr]
    pack_partials: Callable[[pl.DataFrame, str], pl.DataFrame] | None = None
    pack_merges: Callable[[pl.DataFrame, str], pl.DataFrame] | None = None
    where: str = field(default_factory=caller, compare=False)


def expression(value: str | pl.Expr) -> pl.Expr:
    """A column by name, or an expression as it is."""
    return pl.col(value) if isinstance(value, str) else value


def text_of(value: str | pl.Expr) -> str:
    """The same for people."""
    return value if isinstance(value, str) else str(value)


def numeric(value: str | pl.Expr, schema: pl.Schema) -> tuple[pl.Expr, pl.DataType]:
    """The expression and its type, which must be one to calculate with."""
    dtype = pl.DataFrame(schema=schema).select(expression(value).alias("value")).schema["value"]
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise TypeError(f"needs numbers, and {text_of(value)} is {dtype}")
    return expression(value), dtype


def wide(value: str | pl.Expr, schema: pl.Schema) -> pl.Expr:
    """Small integers as Int64 and Float32 as Float64, so that long sums neither wrap nor lose digits."""
    expr, dtype = numeric(value, schema)
    if dtype == pl.Boolean or (dtype.is_integer() and dtype != pl.UInt64):
        return expr.cast(pl.Int64)
    return expr.cast(pl.Float64) if dtype == pl.Float32 else expr


def as_float(value: str | pl.Expr, schema: pl.Schema) -> pl.Expr:
    """Numbers as Float64."""
    return numeric(value, schema)[0].cast(pl.Float64)
