"""One value, or some, out of many: by time, by another column, the greatest, all.  Nulls are left out."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from millstream.aggregates.aggregate import TIME, Aggregate, expression, text_of
from millstream.errors import ProgramError
from millstream.schema import caller


def first(value: str | pl.Expr) -> Aggregate:
    """The value with the earliest event time; of several, the one read first.  Nulls are left out."""
    return _by_time("first", value)


def last(value: str | pl.Expr) -> Aggregate:
    """The value with the latest event time; of several, the one read last.  Nulls are left out."""
    return _by_time("last", value)


def _by_time(which: str, value: str | pl.Expr) -> Aggregate:
    def pick(values: pl.Expr, times: pl.Expr, name: str) -> list[pl.Expr]:
        # Not by arg_max on reversed times: Polars 2.1 takes a reversed descending column for a descending one.
        at = times.min() if which == "first" else times.max()
        chosen = values.filter(times == at)
        return [
            (chosen.first() if which == "first" else chosen.last()).alias(f"{name}.value"),
            at.alias(f"{name}.at"),
        ]

    def partial(name: str, _: pl.Schema) -> list[pl.Expr]:
        known = expression(value).is_not_null()
        return pick(expression(value).filter(known), pl.col(TIME).filter(known), name)

    def merge(name: str) -> list[pl.Expr]:
        known = pl.col(f"{name}.at").is_not_null()
        return pick(pl.col(f"{name}.value").filter(known), pl.col(f"{name}.at").filter(known), name)

    return Aggregate(
        label=f"{which}({text_of(value)})",
        partials=partial,
        merges=merge,
        result=lambda name: pl.col(f"{name}.value"),
    )


def arg_max(value: str | pl.Expr, by: str | pl.Expr) -> Aggregate:
    """The value of the record in which `by` is greatest; of several, the one read first."""
    return _by_rank("arg_max", value, by, pl.Expr.max)


def arg_min(value: str | pl.Expr, by: str | pl.Expr) -> Aggregate:
    """The value of the record in which `by` is least; of several, the one read first."""
    return _by_rank("arg_min", value, by, pl.Expr.min)


def _by_rank(name: str, value: str | pl.Expr, by: str | pl.Expr, extreme: Callable[[pl.Expr], pl.Expr]) -> Aggregate:
    def pick(values: pl.Expr, ranks: pl.Expr, column: str) -> list[pl.Expr]:
        best = extreme(ranks)
        return [values.filter(ranks == best).first().alias(f"{column}.value"), best.alias(f"{column}.by")]

    def partial(column: str, _: pl.Schema) -> list[pl.Expr]:
        known = expression(value).is_not_null() & expression(by).is_not_null()
        return pick(expression(value).filter(known), expression(by).filter(known), column)

    def merge(column: str) -> list[pl.Expr]:
        known = pl.col(f"{column}.by").is_not_null()
        return pick(pl.col(f"{column}.value").filter(known), pl.col(f"{column}.by").filter(known), column)

    return Aggregate(
        label=f"{name}({text_of(value)}, by={text_of(by)})",
        partials=partial,
        merges=merge,
        result=lambda column: pl.col(f"{column}.value"),
    )


def top(value: str | pl.Expr, n: int) -> Aggregate:
    """The `n` greatest values as a list, greatest first; several that are equal all count.

    Raises:
        ProgramError: `n` is not above zero.
    """
    if n < 1:
        raise ProgramError(f"top: n must be above zero, not {n}", where=caller())

    def kept(values: pl.Expr, column: str) -> list[pl.Expr]:
        return [values.drop_nulls().top_k(n).implode().alias(f"{column}.top")]

    return Aggregate(
        label=f"top({text_of(value)}, {n})",
        partials=lambda column, _: kept(expression(value), column),
        merges=lambda column: kept(pl.col(f"{column}.top").explode(), column),
        result=lambda column: _unless_empty(pl.col(f"{column}.top").list.sort(descending=True)),
    )


def collect(value: str | pl.Expr) -> Aggregate:
    """All values as a list, in the order they were read within a shard.  Grows with the records: for small windows."""
    return Aggregate(
        label=f"collect({text_of(value)})",
        partials=lambda column, _: [expression(value).drop_nulls().implode().alias(f"{column}.all")],
        merges=lambda column: [pl.col(f"{column}.all").explode().drop_nulls().implode().alias(f"{column}.all")],
        result=lambda column: _unless_empty(pl.col(f"{column}.all")),
    )


def _unless_empty(values: pl.Expr) -> pl.Expr:
    return pl.when(values.list.len() > 0).then(values)
