"""Approximate answers in little space, by Apache DataSketches: how many different values, and which value at a rank.

Sketches of parts merge into the sketch of the whole, so these work over any windows and stages like exact aggregates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import polars as pl

from millstream.aggregates.aggregate import Aggregate, as_float, expression, text_of
from millstream.errors import ProgramError
from millstream.schema import caller

try:
    import datasketches  # type: ignore[import-untyped]
except ModuleNotFoundError:
    datasketches = None


def approx_distinct(value: str | pl.Expr, *, lg_k: int = 12) -> Aggregate:
    """About how many different values there are: with `lg_k=12` within 1.6 % two times out of three, in 2.5 KiB.

    A HyperLogLog sketch (Flajolet et al. 2007).  Values count as different when their text is.

    Raises:
        ProgramError: DataSketches is not installed, or `lg_k` is not 4 to 21.
    """
    _require("approx_distinct")
    if not 4 <= lg_k <= 21:
        raise ProgramError(f"approx_distinct: lg_k must be 4 to 21, not {lg_k}", where=caller())

    def of(values: Iterable[Any]) -> bytes:
        sketch = datasketches.hll_sketch(lg_k)
        for each in values:
            sketch.update(each)
        return bytes(sketch.serialize_compact())

    def merged(parts: Iterable[bytes]) -> bytes:
        union = datasketches.hll_union(lg_k)
        for part in parts:
            union.update(datasketches.hll_sketch.deserialize(part))
        return bytes(union.get_result().serialize_compact())

    return _sketch(
        f"approx_distinct({text_of(value)})",
        # A letter before each, since the sketch takes no notice of the empty text.
        lambda _: pl.lit("'") + expression(value).drop_nulls().unique().cast(pl.String),
        of,
        merged,
        lambda part: round(datasketches.hll_sketch.deserialize(part).get_estimate()),
        pl.Int64(),
        of_nothing=0,
    )


def approx_quantile(value: str | pl.Expr, q: float, *, k: int = 200) -> Aggregate:
    """About the least value that a share `q` of all values does not exceed: with `k=200` within 1.7 % of the rank.

    A KLL sketch (Karnin, Lang, Liberty 2016).

    Raises:
        ProgramError: DataSketches is not installed, `q` is not 0 to 1, or `k` not 8 to 65535.
    """
    _require("approx_quantile")
    if not 0 <= q <= 1:
        raise ProgramError(f"approx_quantile: q is a share from 0 to 1, not {q}", where=caller())
    if not 8 <= k <= 65535:
        raise ProgramError(f"approx_quantile: k must be 8 to 65535, not {k}", where=caller())

    def of(values: Iterable[Any]) -> bytes:
        sketch = datasketches.kll_doubles_sketch(k)
        for each in values:
            sketch.update(each)
        return bytes(sketch.serialize())

    def merged(parts: Iterable[bytes]) -> bytes:
        sketch = datasketches.kll_doubles_sketch(k)
        for part in parts:
            sketch.merge(datasketches.kll_doubles_sketch.deserialize(part))
        return bytes(sketch.serialize())

    return _sketch(
        f"approx_quantile({text_of(value)}, {q:g})",
        lambda schema: as_float(value, schema).drop_nulls().drop_nans(),
        of,
        merged,
        lambda part: float(datasketches.kll_doubles_sketch.deserialize(part).get_quantile(q, True)),
        pl.Float64(),
    )


def _sketch(
    label: str,
    values: Callable[[pl.Schema], pl.Expr],
    of: Callable[[Iterable[Any]], bytes],
    merged: Callable[[Iterable[bytes]], bytes],
    shown: Callable[[bytes], Any],
    returns: pl.DataType,
    *,
    of_nothing: int | None = None,
) -> Aggregate:
    """An aggregate whose state is a serialised sketch, null of no values."""

    def packed(frame: pl.DataFrame, name: str, function: Callable[[Iterable[Any]], bytes]) -> pl.DataFrame:
        column = f"{name}.sketch"
        sketches = [function(each) if each else None for each in frame[column].to_list()]
        return frame.with_columns(pl.Series(column, sketches, dtype=pl.Binary))

    return Aggregate(
        label=label,
        partials=lambda name, schema: [values(schema).implode().alias(f"{name}.sketch")],
        merges=lambda name: [pl.col(f"{name}.sketch").drop_nulls().implode().alias(f"{name}.sketch")],
        result=lambda name: (
            pl.col(f"{name}.sketch")
            .map_elements(shown, return_dtype=returns, skip_nulls=True)
            .fill_null(pl.lit(of_nothing))
        ),
        pack_partials=lambda frame, name: packed(frame, name, of),
        pack_merges=lambda frame, name: packed(
            frame, name, lambda parts: first[0] if len(first := list(parts)) == 1 else merged(first)
        ),
    )


def _require(what: str) -> None:
    if datasketches is None:
        raise ProgramError(
            f"{what} needs DataSketches, which is not installed here: pip install 'headgate[sketches]'", where=caller()
        )
