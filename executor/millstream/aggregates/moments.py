"""Variance and standard deviation."""

from __future__ import annotations

import polars as pl

from millstream.aggregates.aggregate import Aggregate, as_float, text_of


def variance(value: str | pl.Expr, *, ddof: int = 1) -> Aggregate:
    """The variance with `ddof` degrees of freedom taken off; null with too few values.

    State is count, mean and the sum of squared deviations, merged without cancellation (Chan, Golub, LeVeque 1979).
    """
    return Aggregate(
        label=f"variance({text_of(value)})",
        partials=lambda name, schema: _moments(as_float(value, schema), name),
        merges=_merged_moments,
        result=lambda name: _variance(name, ddof),
    )


def std(value: str | pl.Expr, *, ddof: int = 1) -> Aggregate:
    """The standard deviation: the square root of `variance`."""
    return Aggregate(
        label=f"std({text_of(value)})",
        partials=lambda name, schema: _moments(as_float(value, schema), name),
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
