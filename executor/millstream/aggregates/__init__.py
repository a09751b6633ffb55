"""Aggregates that merge: what `.aggregate(name=…)` computes per key and window."""

from __future__ import annotations

from millstream.aggregates.aggregate import TIME, Aggregate
from millstream.aggregates.moments import std, variance
from millstream.aggregates.own import Aggregator, own
from millstream.aggregates.picks import arg_max, arg_min, collect, first, last, top
from millstream.aggregates.sketches import approx_distinct, approx_quantile
from millstream.aggregates.sums import count, max, mean, min, share, sum  # noqa: A004 - the words users know

__all__ = [
    "TIME",
    "Aggregate",
    "Aggregator",
    "approx_distinct",
    "approx_quantile",
    "arg_max",
    "arg_min",
    "collect",
    "count",
    "first",
    "last",
    "max",
    "mean",
    "min",
    "own",
    "share",
    "std",
    "sum",
    "top",
    "variance",
]
