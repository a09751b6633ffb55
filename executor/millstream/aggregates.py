"""Aggregates that merge: what `.aggregate(name=…)` computes per key and window.

Every aggregate is three groups of Polars expressions: **partials** over the records of one batch, **merges** over
partials of the same key and window, and a **result** over the merged state.  A null partial is neutral in every merge.
Nulls in the data are left out, as in SQL; the aggregate of nothing is null, but for counts and sums, which are 0.

Merging partials in any grouping gives the same state, up to the rounding of floating-point sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import msgspec
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


def _expr(value: str | pl.Expr) -> pl.Expr:
    return pl.col(value) if isinstance(value, str) else value


def _text(value: str | pl.Expr) -> str:
    return value if isinstance(value, str) else str(value)


def _numeric(value: str | pl.Expr, schema: pl.Schema) -> tuple[pl.Expr, pl.DataType]:
    """The expression and its type, which must be one to calculate with."""
    dtype = pl.DataFrame(schema=schema).select(_expr(value).alias("value")).schema["value"]
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise TypeError(f"needs numbers, and {_text(value)} is {dtype}")
    return _expr(value), dtype


def _wide(value: str | pl.Expr, schema: pl.Schema) -> pl.Expr:
    """Small integers as Int64 and Float32 as Float64, so that long sums neither wrap nor lose digits."""
    expr, dtype = _numeric(value, schema)
    if dtype == pl.Boolean or (dtype.is_integer() and dtype != pl.UInt64):
        return expr.cast(pl.Int64)
    return expr.cast(pl.Float64) if dtype == pl.Float32 else expr


def _float(value: str | pl.Expr, schema: pl.Schema) -> pl.Expr:
    return _numeric(value, schema)[0].cast(pl.Float64)


def count(value: str | pl.Expr | None = None) -> Aggregate:
    """How many records; with `value`, how many where it is not null."""

    def partial(name: str, _: pl.Schema) -> list[pl.Expr]:
        counted = pl.len() if value is None else _expr(value).count()
        return [counted.cast(pl.Int64).alias(f"{name}.n")]

    return Aggregate(
        label="count()" if value is None else f"count({_text(value)})",
        partials=partial,
        merges=lambda name: [pl.col(f"{name}.n").sum()],
        result=lambda name: pl.col(f"{name}.n"),
    )


def sum(value: str | pl.Expr) -> Aggregate:  # noqa: A001 - the word users know
    """The sum; 0 when there is nothing to sum.  Integers in 64 bits."""
    return Aggregate(
        label=f"sum({_text(value)})",
        partials=lambda name, schema: [_wide(value, schema).sum().alias(f"{name}.sum")],
        merges=lambda name: [pl.col(f"{name}.sum").sum()],
        result=lambda name: pl.col(f"{name}.sum"),
    )


def min(value: str | pl.Expr) -> Aggregate:  # noqa: A001 - the word users know
    """The least value."""
    return Aggregate(
        label=f"min({_text(value)})",
        partials=lambda name, _: [_expr(value).min().alias(f"{name}.min")],
        merges=lambda name: [pl.col(f"{name}.min").min()],
        result=lambda name: pl.col(f"{name}.min"),
    )


def max(value: str | pl.Expr) -> Aggregate:  # noqa: A001 - the word users know
    """The greatest value."""
    return Aggregate(
        label=f"max({_text(value)})",
        partials=lambda name, _: [_expr(value).max().alias(f"{name}.max")],
        merges=lambda name: [pl.col(f"{name}.max").max()],
        result=lambda name: pl.col(f"{name}.max"),
    )


def mean(value: str | pl.Expr) -> Aggregate:
    """The arithmetic mean, Float64; null without values."""
    return Aggregate(
        label=f"mean({_text(value)})",
        partials=lambda name, schema: [
            _float(value, schema).sum().alias(f"{name}.sum"),
            _expr(value).count().cast(pl.Int64).alias(f"{name}.n"),
        ],
        merges=lambda name: [pl.col(f"{name}.sum").sum(), pl.col(f"{name}.n").sum()],
        result=lambda name: pl.when(pl.col(f"{name}.n") > 0).then(pl.col(f"{name}.sum") / pl.col(f"{name}.n")),
    )


def share(condition: str | pl.Expr) -> Aggregate:
    """The share of records for which a boolean holds, 0 to 1; nulls count neither way."""
    aggregate = mean(_expr(condition).cast(pl.Boolean).cast(pl.Int8))
    return Aggregate(
        label=f"share({_text(condition)})",
        partials=aggregate.partials,
        merges=aggregate.merges,
        result=aggregate.result,
    )


def variance(value: str | pl.Expr, *, ddof: int = 1) -> Aggregate:
    """The variance with `ddof` degrees of freedom taken off; null with too few values.

    State is count, mean and the sum of squared deviations, merged without cancellation (Chan, Golub, LeVeque 1979).
    """
    return Aggregate(
        label=f"variance({_text(value)})",
        partials=lambda name, schema: _moments(_float(value, schema), name),
        merges=_merged_moments,
        result=lambda name: _variance(name, ddof),
    )


def std(value: str | pl.Expr, *, ddof: int = 1) -> Aggregate:
    """The standard deviation: the square root of `variance`."""
    return Aggregate(
        label=f"std({_text(value)})",
        partials=lambda name, schema: _moments(_float(value, schema), name),
        merges=_merged_moments,
        result=lambda name: _variance(name, ddof).sqrt(),
    )


def _moments(value: pl.Expr, name: str) -> list[pl.Expr]:
    return [
        value.count().cast(pl.Int64).alias(f"{name}.n"),
        value.mean().alias(f"{name}.mean"),
        (value.var(ddof=0) * value.count()).alias(f"{name}.m2"),
    ]


def _merged_moments(name: str) -> list[pl.Expr]:
    n, mean_, m2 = pl.col(f"{name}.n"), pl.col(f"{name}.mean"), pl.col(f"{name}.m2")
    total = (n * mean_).sum() / n.filter(mean_.is_not_null()).sum()
    return [
        n.sum(),
        pl.when(n.sum() > 0).then(total).alias(f"{name}.mean"),
        pl.when(n.sum() > 0).then(m2.sum() + (n * (mean_ - total) ** 2).sum()).alias(f"{name}.m2"),
    ]


def _variance(name: str, ddof: int) -> pl.Expr:
    n = pl.col(f"{name}.n")
    return pl.when(n > ddof).then(pl.col(f"{name}.m2") / (n - ddof))


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
        known = _expr(value).is_not_null()
        return pick(_expr(value).filter(known), pl.col(TIME).filter(known), name)

    def merge(name: str) -> list[pl.Expr]:
        known = pl.col(f"{name}.at").is_not_null()
        return pick(pl.col(f"{name}.value").filter(known), pl.col(f"{name}.at").filter(known), name)

    return Aggregate(
        label=f"{which}({_text(value)})",
        partials=partial,
        merges=merge,
        result=lambda name: pl.col(f"{name}.value"),
    )


State = TypeVar("State")


class Aggregator(Protocol, Generic[State]):
    """A user's own aggregate.  `State` is anything JSON can hold: numbers, text, lists, dictionaries of these.

    `merge(a, b)` must not care how records were grouped before.  `a` holds what was read before `b`.
    """

    def create(self) -> State:
        """The state of no records."""
        ...

    def add(self, state: State, value: Any) -> State:
        """The state after one more record."""
        ...

    def merge(self, a: State, b: State) -> State:
        """The state of both."""
        ...

    def result(self, state: State) -> Any:
        """What the output column shows."""
        ...


def own(aggregator: Aggregator[Any], value: str | pl.Expr, *, returns: type[pl.DataType] | pl.DataType) -> Aggregate:
    """A user's own aggregate over `value` (use `pl.struct(…)` for several columns); its result has type `returns`.

    This is the one aggregate that works row by row, in Python.
    """
    decode, encode = msgspec.json.decode, msgspec.json.encode

    def added(values: Iterable[Any]) -> str:
        state = aggregator.create()
        for item in values:
            state = aggregator.add(state, item)
        return encode(state).decode()

    def merged(states: Iterable[str]) -> str | None:
        known = iter(states)
        first_state = next(known, None)
        if first_state is None:
            return None
        rest = list(known)
        if not rest:
            return first_state
        state = decode(first_state)
        for other in rest:
            state = aggregator.merge(state, decode(other))
        return encode(state).decode()

    def pack(frame: pl.DataFrame, name: str, function: Callable[[Iterable[Any]], str | None]) -> pl.DataFrame:
        column = f"{name}.state"
        packed = pl.Series(column, [function(values) for values in frame[column].to_list()], dtype=pl.String)
        return frame.with_columns(packed)

    return Aggregate(
        label=f"{type(aggregator).__name__}({_text(value)})",
        partials=lambda name, _: [_expr(value).drop_nulls().implode().alias(f"{name}.state")],
        merges=lambda name: [pl.col(f"{name}.state").drop_nulls().implode().alias(f"{name}.state")],
        result=lambda name: pl.col(f"{name}.state").map_elements(
            lambda state: aggregator.result(decode(state)), return_dtype=returns, skip_nulls=True
        ),
        pack_partials=lambda frame, name: pack(frame, name, added),
        pack_merges=lambda frame, name: pack(frame, name, merged),
    )
