"""The words programs are written with: what `from millstream import …` finds."""

from __future__ import annotations

from millstream.accumulators import Accumulator
from millstream.aggregates import (
    Aggregate,
    Aggregator,
    approx_distinct,
    approx_quantile,
    arg_max,
    arg_min,
    collect,
    count,
    first,
    last,
    mean,
    own,
    share,
    std,
    top,
    variance,
)
from millstream.aggregates import max as max  # noqa: A004 - the words users know
from millstream.aggregates import min as min  # noqa: A004
from millstream.aggregates import sum as sum  # noqa: A004
from millstream.connectors import files, generator, stdout
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
from millstream.keyed import Keyed, Timer
from millstream.patterns import Pattern, pattern
from millstream.sinks.files import read_committed
from millstream.stream import Stream
from millstream.windows import Session, Sliding, Tumbling, session, sliding, tumbling

__all__ = [
    "Accumulator",
    "Aggregate",
    "Aggregator",
    "Fenced",
    "IncompatibleState",
    "Keyed",
    "MillstreamError",
    "Pattern",
    "ProgramError",
    "Session",
    "ShardFailed",
    "SinkFailed",
    "Sliding",
    "SourceFailed",
    "StoreUnavailable",
    "Stream",
    "Timer",
    "Tumbling",
    "approx_distinct",
    "approx_quantile",
    "arg_max",
    "arg_min",
    "collect",
    "count",
    "files",
    "first",
    "generator",
    "last",
    "mean",
    "own",
    "pattern",
    "read_committed",
    "session",
    "share",
    "sliding",
    "std",
    "stdout",
    "top",
    "tumbling",
    "variance",
]
