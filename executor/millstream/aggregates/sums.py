"""Counts, sums, extremes and means.  Nulls are left out; of nothing, counts and sums are 0, the rest is null."""

from __future__ import annotations

import polars as pl

from millstream.aggregates.aggregate import Aggregate, as_float, expression, text_of, wide


def count(value: str | pl.Expr | None = None) -> Aggregate:
    """How many records; with `value`, how many where it is not null."""

    def partial(name: str, _: pl.Schema) -> list[pl.Expr]:
        counted = pl.len() if value is None else expression(value).count()
        return [counted.cast(pl.Int64).alias(f"{name}.n")]

    return Aggregate(
        label="count()" if value is None else f"count({text_of(value)})",
        partials=partial,
        merges=lambda name: [pl.col(f"{name}.n").sum()],
        result=lambda name: pl.col(f"{name}.n"),
    )


def sum(value: str | pl.Expr) -> Aggregate:  # noqa: A001 - the word users know
    """The sum; 0 when there is nothing to sum.  Integers in 64 bits."""
    return Aggregate(
        label=f"sum({text_of(value)})",
        partials=lambda name, schema: [wide(value, schema).sum().alias(f"{name}.sum")],
        merges=lambda name: [pl.col(f"{name}.sum").sum()],
        result=lambda name: pl.col(f"{name}.sum"),
    )


def min(value: str | pl.Expr) -> Aggregate:  # noqa: A001 - the word users know
    """The least value."""
    return Aggregate(
        label=f"min({text_of(value)})",
        partials=lambda name, _: [expression(value).min().alias(f"{name}.min")],
        merges=lambda name: [pl.col(f"{name}.min").min()],
        result=lambda name: pl.col(f"{name}.min"),
    )


def max(value: str | pl.Expr) -> Aggregate:  # noqa: A001 - the word users know
    """The greatest value."""
    return Aggregate(
        label=f"max({text_of(value)})",
        partials=lambda name, _: [expression(value).max().alias(f"{name}.max")],
        merges=lambda name: [pl.col(f"{name}.max").max()],
        result=lambda name: pl.col(f"{name}.max"),
    )


def mean(value: str | pl.Expr) -> Aggregate:
    """The arithmetic mean, Float64; null without values."""
    return Aggregate(
        label=f"mean({text_of(value)})",
        partials=lambda name, schema: [
            as_float(value, schema).sum().alias(f"{name}.sum"),
            expression(value).count().cast(pl.Int64).alias(f"{name}.n"),
        ],
        merges=lambda name: [pl.col(f"{name}.sum").sum(), pl.col(f"{name}.n").sum()],
        result=lambda name: pl.when(pl.col(f"{name}.n") > 0).then(pl.col(f"{name}.sum") / pl.col(f"{name}.n")),
    )


def share(condition: str | pl.Expr) -> Aggregate:
    """The share of records for which a boolean holds, 0 to 1; nulls count neither way."""
    aggregate = mean(expression(condition).cast(pl.Boolean).cast(pl.Int8))
    return Aggregate(
        label=f"share({text_of(condition)})",
        partials=aggregate.partials,
        merges=aggregate.merges,
        result=aggregate.result,
    )
