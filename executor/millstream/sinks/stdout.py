"""Standard output as a sink: JSON lines, for a look at what a program does."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import polars as pl

from millstream.contract.worker_spec import Delivery
from millstream.errors import SinkFailed
from millstream.sinks.sink import OutputData, WriterContext


class StdoutSink:
    """What was printed cannot be taken back, so exactly once is more than it can promise."""

    @property
    def name(self) -> str:
        """See `Sink`."""
        return "stdout"

    @property
    def guarantees(self) -> frozenset[Delivery]:
        """See `Sink`."""
        return frozenset((Delivery.AT_LEAST_ONCE, Delivery.AT_MOST_ONCE))

    def open(self, context: WriterContext) -> StdoutWriter:
        """See `Sink`."""
        return StdoutWriter(hold=context.delivery is Delivery.AT_MOST_ONCE)


class StdoutWriter:
    """Prints at once; at most once, it prints what it held when the commit is done."""

    def __init__(self, *, hold: bool) -> None:
        self._hold = hold
        self._held: list[str] = []

    def write(self, frame: pl.DataFrame) -> None:
        """See `SinkWriter`."""
        text = frame.write_ndjson()
        if self._hold:
            self._held.append(text)
        else:
            _print(text)

    def prepare(self, number: int) -> Sequence[OutputData]:  # noqa: ARG002 - nothing is kept for a commit
        """See `SinkWriter`.  What is held is not durable: it is lost with the worker, which at most once allows."""
        return ()

    def promote(self, outputs: Sequence[OutputData]) -> Sequence[str]:  # noqa: ARG002 - as above
        """See `SinkWriter`."""
        held, self._held = self._held, []
        for text in held:
            _print(text)
        return ()

    def restore(self, number: int, outputs: Sequence[OutputData]) -> Sequence[str]:  # noqa: ARG002 - as above
        """See `SinkWriter`."""
        return ()

    def discard(self) -> None:
        """See `SinkWriter`."""
        self._held = []


def _print(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as problem:
        raise SinkFailed(f"cannot write to standard output: {problem}") from problem
