"""Millstream: write a stream program in Python, on columns, and run it shard by shard.

A program is a `Stream`; expressions are Polars expressions.  `millstream.testing` runs it on rows in a test,
`millstream.shard` is what a worker drives.
"""

from __future__ import annotations

from millstream.aggregates import (
    Aggregate,
    Aggregator,
    count,
    first,
    last,
    max,  # noqa: A004 - the word users know
    mean,
    min,  # noqa: A004 - the word users know
    own,
    share,
    std,
    sum,  # noqa: A004 - the word users know
    variance,
)
from millstream.errors import (
    Fenced,
    IncompatibleState,
    MillstreamError,
    ProgramError,
    ShardFailed,
    SinkFailed,
    SourceFailed,
    StoreUnavailable,
)
from millstream.stream import Stream
from millstream.windows import Tumbling, tumbling

__all__ = [
    "Aggregate",
    "Aggregator",
    "Fenced",
    "IncompatibleState",
    "MillstreamError",
    "ProgramError",
    "ShardFailed",
    "SinkFailed",
    "SourceFailed",
    "StoreUnavailable",
    "Stream",
    "Tumbling",
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
    "tumbling",
    "variance",
]
