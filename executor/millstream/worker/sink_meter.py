"""Measures how long a program waits for its sinks, without the sinks knowing.

Waiting is the time inside a sink during which this process used no CPU: encoding rows is work, and counts as busy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import polars as pl

from millstream.contract.worker_spec import Delivery
from millstream.plan import Plan
from millstream.ports import Clock
from millstream.sinks.sink import OutputData, Sink, SinkWriter, WriterContext
from millstream.steps import WriteTo


class SinkMeter:
    """Adds up the waiting of all sinks it watches.  `cpu_s` is the CPU time of this process, in seconds."""

    def __init__(self, *, clock: Clock, cpu_s: Callable[[], float]) -> None:
        self._clock = clock
        self._cpu_s = cpu_s
        self.blocked_s = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count what passes inside."""
        began, cpu_s = self._clock.monotonic(), self._cpu_s()
        try:
            yield
        finally:
            self.blocked_s += max(0.0, self._clock.monotonic() - began - (self._cpu_s() - cpu_s))


def metered(plan: Plan, meter: SinkMeter) -> Plan:
    """The same plan, every sink of it watched by `meter`."""

    def watched(write: WriteTo) -> WriteTo:
        return replace(write, sink=_MeteredSink(write.sink, meter))

    return plan.with_writes(watched)


class _MeteredSink:
    def __init__(self, sink: Sink, meter: SinkMeter) -> None:
        self._sink = sink
        self._meter = meter

    @property
    def name(self) -> str:
        return self._sink.name

    @property
    def guarantees(self) -> frozenset[Delivery]:
        return self._sink.guarantees

    def open(self, context: WriterContext) -> SinkWriter:
        with self._meter.watching():
            return _MeteredWriter(self._sink.open(context), self._meter)


class _MeteredWriter:
    def __init__(self, writer: SinkWriter, meter: SinkMeter) -> None:
        self._writer = writer
        self._meter = meter

    def write(self, frame: pl.DataFrame) -> None:
        with self._meter.watching():
            self._writer.write(frame)

    def prepare(self, number: int) -> Sequence[OutputData]:
        with self._meter.watching():
            return self._writer.prepare(number)

    def promote(self, outputs: Sequence[OutputData]) -> Sequence[str]:
        with self._meter.watching():
            return self._writer.promote(outputs)

    def restore(self, number: int, outputs: Sequence[OutputData]) -> Sequence[str]:
        with self._meter.watching():
            return self._writer.restore(number, outputs)

    def discard(self) -> None:
        self._writer.discard()
