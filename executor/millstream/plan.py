"""A stream program as data: its source, its steps in order, and where side outputs go.

A plan is what `Stream` builds; it never changes.  Where rows are repartitioned it falls apart into stages, each with
shards of its own: `stages` gives them, as plans, and these are what the shard runtime runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from millstream.contract.checkpoint import ShardId
from millstream.repartition.source import RepartitionSource
from millstream.sources.source import Source
from millstream.steps import (
    EventTime,
    KeyedProcess,
    Repartition,
    RowStep,
    Stateful,
    Step,
    WindowedAggregation,
    WriteTo,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Source, steps in order, where late records go, and the other outputs of a keyed process by name.

    At most one `EventTime` and at most one stateful step, perhaps after a `Repartition`.

    The plan of a stage also says what it has to do with its neighbours: with `output` its rows, or partial aggregates,
    go to the log before the next stage; with `of_partials` its source gives such aggregates.  `number` counts stages.
    """

    source: Source | RepartitionSource
    steps: tuple[Step, ...]
    late: WriteTo | None = None
    sides: Mapping[str, WriteTo] = field(default_factory=dict)
    number: int = 0
    output: Repartition | None = None
    of_partials: bool = False

    @property
    def time(self) -> EventTime | None:
        """The event-time step, if there is one."""
        return next((step for step in self.steps if isinstance(step, EventTime)), None)

    @property
    def windowed(self) -> WindowedAggregation | None:
        """The windowed aggregation, if there is one."""
        return next((step for step in self.steps if isinstance(step, WindowedAggregation)), None)

    @property
    def keyed(self) -> KeyedProcess | None:
        """The keyed process, if there is one."""
        return next((step for step in self.steps if isinstance(step, KeyedProcess)), None)

    @property
    def stateful(self) -> Stateful | None:
        """The one step with state, if there is one."""
        return self.windowed or self.keyed

    @property
    def repartition(self) -> Repartition | None:
        """The repartitioning, if there is one."""
        return next((step for step in self.steps if isinstance(step, Repartition)), None)

    @property
    def later_stage(self) -> bool:
        """Whether a stage comes before this one: then its source tells the watermark."""
        return isinstance(self.source, RepartitionSource)

    def stages(self) -> tuple[Plan, ...]:
        """The parts of the plan that run within a shard each, in order; itself if there is but one."""
        repartition, windowed, source = self.repartition, self.windowed, self.source
        if repartition is None:
            return (self,)
        assert not isinstance(source, RepartitionSource)
        at = self.steps.index(repartition)
        crossing = RepartitionSource(
            stage=1,
            keys=repartition.keys,
            shards=repartition.shards,
            schema=windowed.partial_schema() if windowed else repartition.schema,
            upstream=source,
        )
        before = (*self.steps[:at], windowed) if windowed else self.steps[:at]
        return (
            Plan(source=source, steps=before, late=self.late, output=repartition),
            Plan(
                source=crossing,
                steps=self.steps[at + 1 :],
                sides=self.sides,
                number=1,
                of_partials=windowed is not None,
            ),
        )

    def state_shape(self) -> str:
        """What a stage's state is made of, in words; "" without any.  Equal if one can go on from the other's."""
        if self.output is not None:
            return f"rows by {', '.join(self.output.keys)} for {self.output.shards} shards"
        if self.stateful is None:
            return ""
        if isinstance(self.source, RepartitionSource):
            return f"1 of {self.source.shards} shards; {self.stateful.state_shape()}"
        return self.stateful.state_shape()

    def rows_until_time(self) -> tuple[RowStep, ...]:
        """Row steps before event times are read; where they are not read, before the stateful step."""
        return tuple(self._rows(until=(EventTime, WindowedAggregation, KeyedProcess)))

    def rows_until_state(self) -> tuple[RowStep, ...]:
        """Row steps between reading event times and the stateful step, or to the end."""
        return tuple(self._rows(after=(EventTime,), until=(WindowedAggregation, KeyedProcess))) if self.time else ()

    def rows_after_state(self) -> tuple[RowStep, ...]:
        """Row steps on the results of the stateful step."""
        return tuple(self._rows(after=(WindowedAggregation, KeyedProcess))) if self.stateful else ()

    def writes(self) -> tuple[WriteTo, ...]:
        """Every sink of the program, the side outputs last."""
        found = [step for step in self.steps if isinstance(step, WriteTo)]
        return (*found, *self.sides.values(), *([self.late] if self.late else []))

    def with_writes(self, change: Callable[[WriteTo], WriteTo]) -> Plan:
        """The same plan with every sink replaced."""
        return replace(
            self,
            steps=tuple(change(step) if isinstance(step, WriteTo) else step for step in self.steps),
            late=None if self.late is None else change(self.late),
            sides={name: change(write) for name, write in self.sides.items()},
        )

    def text(self) -> str:
        """The plan for people: one line per step, with the columns behind it."""
        lines = [f"source {self.source.name}", f"    {_columns(pl.Schema(self.source.schema))}"]
        schema = pl.Schema(self.source.schema)
        for step in self.steps:
            lines.append(step.label)
            if step.schema != schema:
                schema = step.schema
                lines.append(f"    {_columns(schema)}")
        for name, write in self.sides.items():
            lines += [f".output({name}, {write.sink.name})", f"    {_columns(write.schema)}"]
        if self.late:
            lines.append(f".late({self.late.sink.name})")
            lines.append(f"    {_columns(self.late.schema)}")
        return "\n".join(lines)

    def _rows(self, *, after: tuple[type, ...] = (), until: tuple[type, ...] = ()) -> Iterator[RowStep]:
        started = not after
        for step in self.steps:
            if isinstance(step, until):
                return
            if isinstance(step, after):
                started = True
            elif started and isinstance(step, RowStep):
                yield step


def stage_of(stages: Sequence[Plan], shard: ShardId) -> Plan:
    """The stage that a shard belongs to."""
    for stage in stages[1:]:
        if isinstance(stage.source, RepartitionSource) and stage.source.has(shard):
            return stage
    return stages[0]


def _columns(schema: pl.Schema) -> str:
    return ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
