"""A user's own aggregate, row by row in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import polars as pl

from millstream.aggregates.aggregate import Aggregate, expression, text_of

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
        label=f"{type(aggregator).__name__}({text_of(value)})",
        partials=lambda name, _: [expression(value).drop_nulls().implode().alias(f"{name}.state")],
        merges=lambda name: [pl.col(f"{name}.state").drop_nulls().implode().alias(f"{name}.state")],
        result=lambda name: pl.col(f"{name}.state").map_elements(
            lambda state: aggregator.result(decode(state)), return_dtype=returns, skip_nulls=True
        ),
        pack_partials=lambda frame, name: pack(frame, name, added),
        pack_merges=lambda frame, name: pack(frame, name, merged),
    )
