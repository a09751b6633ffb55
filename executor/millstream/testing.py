"""Run a stream program on rows in a test: no cluster, no files, time under control.

```python
from millstream import testing

result = testing.run(stream, [{"origin": "EWR", "at": at(9), "delay": 3.0}, testing.ABORT, …])
assert result.latest("origin", "window_start").rows() == [...]
```

The program's own source and sinks are not touched: rows come from the list, and what each sink would show to its
readers is kept in memory.  Checkpoints, restarts, watermarks and panes are the real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from millstream.contract.checkpoint import Position, ShardCounters, ShardId
from millstream.contract.worker_spec import Delivery
from millstream.durations import Duration, microseconds
from millstream.plan import Plan
from millstream.runtime.dead_letters import DeadLetter, read_dead_letters
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.steps import WriteTo
from millstream.stores.memory import MemoryStore
from millstream.stream import Stream

_SHARD = ShardId("rows")
_START = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Marker:
    """Something that happens between two rows."""

    name: str
    seconds: float = 0.0


ABORT = Marker("abort")
"""The worker dies here, without a last checkpoint; another goes on from the last commit."""
CHECKPOINT = Marker("checkpoint")
"""A checkpoint is taken here."""
EOF = Marker("eof")
"""The worker is stopped well here, with a last checkpoint; another goes on."""


def ADVANCE(duration: Duration) -> Marker:  # noqa: N802 - a marker, written like the others
    """The clock goes on by this much while nothing arrives."""
    return Marker("advance", microseconds(duration, what="ADVANCE") / 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """What a run came to: the committed rows of every output, in order, the dead letters and the counters."""

    __test__ = False

    outputs: Mapping[str, pl.DataFrame]
    dead_letters: Sequence[DeadLetter]
    counters: ShardCounters
    accumulators: Mapping[str, int | float] = field(default_factory=dict)

    @property
    def rows(self) -> pl.DataFrame:
        """The rows of the program's last `.to(…)`."""
        return [frame for name, frame in self.outputs.items() if name != "late"][-1]

    @property
    def late(self) -> pl.DataFrame:
        """The rows of `.late(…)`."""
        return self.outputs["late"]

    def latest(self, *key: str) -> pl.DataFrame:
        """The rows an upserting sink would end with: per key the one with the highest revision, sorted by key."""
        return upserted(self.rows, *key)


def upserted(rows: pl.DataFrame, *key: str) -> pl.DataFrame:
    """Per key the row with the highest revision, sorted by key, without `pane` and `revision`; none if withdrawn."""
    newest = rows.sort("revision").unique(key, keep="last").sort(key)
    return newest.filter(pl.col("pane") != "withdrawn").drop("pane", "revision")


def run(
    stream: Stream,
    rows: pl.DataFrame | Iterable[Mapping[str, Any] | Marker],
    *,
    batch_size: int = 10,
    checkpoint_every: int = 1,
    ends: bool = True,
    delivery: Delivery = Delivery.EXACTLY_ONCE,
) -> TestRun:
    """Run the program on `rows` and return what readers of its outputs see at the end.

    Rows are dictionaries or a DataFrame with the columns of the program's source (missing ones are null), with markers
    between them.  They are read `batch_size` at a time, and a checkpoint is taken every `checkpoint_every` batches, and
    at the end.  With `ends=False` the source stays open after the last row: open windows stay open.

    Raises:
        AssertionError: the audit counters do not add up: a record was lost or counted twice.
        ShardFailed, ProgramError: as in production.
    """
    parts, frame = _parts(stream, rows)
    source = RowsSource({_SHARD: frame}, ended=ends, arrived=0)
    plan, sinks = _in_memory(stream.plan(), source)
    store = MemoryStore()
    clock = _Clock(plan, source, store, delivery, batch_size, checkpoint_every)
    for part in parts:
        clock.play(part)
    counters, accumulators = clock.finish()
    dead = list(read_dead_letters(store))
    if delivery is Delivery.EXACTLY_ONCE:
        written = sum(sink.frame.height for sink in sinks.values())
        assert counters.records_in == frame.height, f"{frame.height} rows went in, {counters.records_in} were counted"
        assert counters.records_out == written, f"{written} rows came out, {counters.records_out} were counted"
        assert counters.passed_on == counters.taken_over, f"{counters.passed_on} rows passed on, not all taken over"
        assert counters.dead == len(dead), f"{len(dead)} dead letters, {counters.dead} were counted"
    return TestRun(
        outputs={name: sink.frame for name, sink in sinks.items()},
        dead_letters=dead,
        counters=counters,
        accumulators=accumulators,
    )


Part = int | Marker
"""So many rows, or what happens after them."""


class _Clock:
    """The shards of all stages through their lives, on a clock that only the test moves."""

    def __init__(
        self, plan: Plan, source: RowsSource, store: MemoryStore, delivery: Delivery, batch_size: int, every: int
    ) -> None:
        self._source, self._store, self._delivery = source, store, delivery
        self._batch_size, self._every = batch_size, every
        self._stages = plan.stages()
        self._shards = [(stage, shard.id) for stage in self._stages for shard in stage.source.discover().shards]
        self._now = _START
        self._lives = 0
        self._arrived = 0
        self._furthest: dict[ShardId, Position] = {}
        self._batches = 0
        self._runtimes = self._next_life()

    def play(self, part: Part) -> None:
        if isinstance(part, int):
            self._arrived += part
            self._source.arrived = self._arrived
            self._read()
        elif part.name == "advance":
            self._now += part.seconds
            for runtime in self._runtimes:
                runtime.step(self._now, self._batch_size)
        elif part.name == "checkpoint":
            self._checkpoint()
        else:
            for runtime in self._runtimes:
                if part.name == "eof":
                    runtime.release(self._now)
                else:
                    runtime.close()
            self._runtimes = self._next_life()
            self._read()

    def finish(self) -> tuple[ShardCounters, Mapping[str, int | float]]:
        for runtime in self._runtimes:
            while runtime.step(self._now, self._batch_size).records:
                pass
            runtime.checkpoint(self._now)
        statuses = [runtime.status(self._now) for runtime in self._runtimes]
        for runtime in self._runtimes:
            runtime.close()
        accumulators: dict[str, int | float] = {}
        for status in statuses:
            for name, amount in status.accumulators.items():
                accumulators[name] = accumulators.get(name, 0) + amount
        counted = [status.counters for status in statuses]
        total = ShardCounters(
            **{name: sum(getattr(each, name) for each in counted) for name in ShardCounters.__dataclass_fields__}
        )
        return total, accumulators

    def _read(self) -> None:
        first, *later = self._runtimes
        while _position(first, self._now) < self._arrived:
            first.step(self._now, self._batch_size)
            for runtime in later:
                runtime.step(self._now, self._batch_size)
            for (_, shard), runtime in zip(self._shards, self._runtimes, strict=True):
                self._furthest[shard] = max(self._furthest.get(shard, Position(0)), _position(runtime, self._now))
            self._batches += 1
            if self._batches % self._every == 0:
                self._checkpoint()

    def _checkpoint(self) -> None:
        for runtime in self._runtimes:
            runtime.checkpoint(self._now)

    def _next_life(self) -> list[ShardRuntime]:
        self._lives += 1
        runtimes = []
        for stage, shard in self._shards:
            runtime = ShardRuntime(
                stage,
                shard=shard,
                epoch=self._lives,
                owner=f"life {self._lives}",
                store=self._store,
                delivery=self._delivery,
                read_before=self._furthest.get(shard, Position(0)),
            )
            runtime.claim_and_restore(self._now)
            runtimes.append(runtime)
        return runtimes


def _position(runtime: ShardRuntime, now: float) -> Position:
    return runtime.status(now).position or Position(0)


def _parts(
    stream: Stream, rows: pl.DataFrame | Iterable[Mapping[str, Any] | Marker]
) -> tuple[list[Part], pl.DataFrame]:
    schema = pl.Schema(stream.source.schema)
    if isinstance(rows, pl.DataFrame):
        return [rows.height], rows.select(
            pl.col(name).cast(dtype) if name in rows.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in schema.items()
        )
    parts: list[Part] = []
    records = []
    pending = 0
    for item in rows:
        if isinstance(item, Marker):
            parts += [pending, item]
            pending = 0
        else:
            unknown = sorted(set(item) - set(schema))
            assert not unknown, f"the source has no column {', '.join(unknown)}; it has {', '.join(schema)}"
            records.append(item)
            pending += 1
    return [*parts, pending], pl.DataFrame(records, schema=schema, orient="row") if records else pl.DataFrame(
        schema=schema
    )


def _in_memory(plan: Plan, source: RowsSource) -> tuple[Plan, dict[str, CollectingSink]]:
    """The plan with its source and sinks replaced."""
    sinks = {write.name: CollectingSink(write.schema) for write in plan.writes()}

    def replaced(write: WriteTo) -> WriteTo:
        return replace(write, sink=sinks[write.name])

    return replace(plan.with_writes(replaced), source=source), sinks
