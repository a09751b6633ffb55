"""A stream program as data: its steps in order, each with the schema behind it and the user's line.

A plan is what `Stream` builds; it never changes.  Where rows are repartitioned it falls apart into stages, each with
shards of its own: `stages` gives them, as plans, and these are what the shard runtime runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from millstream.aggregates import TIME, Aggregate
from millstream.contract.checkpoint import ShardId
from millstream.core.window_states.partials import Partials
from millstream.core.window_states.session import SessionState
from millstream.core.window_states.sliding import SlidingState
from millstream.core.window_states.state import WindowState
from millstream.core.window_states.tumbling import TumblingState
from millstream.durations import duration_text
from millstream.repartition.source import RepartitionSource
from millstream.schema import schema_after
from millstream.sinks.sink import Sink
from millstream.sources.source import Source
from millstream.windows import Session, Sliding, Tumbling, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """A step of Polars expressions.

    `function` keeps the extra columns named second, with which the runtime follows rows to where they came from.
    """

    function: Callable[[pl.DataFrame, Sequence[str]], pl.DataFrame]
    label: str
    where: str
    schema: pl.Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBatches:
    """A step of the user's own Python on whole frames."""

    function: Callable[[pl.DataFrame], pl.DataFrame]
    label: str
    where: str
    schema: pl.Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteTo:
    """Rows at this point go to `sink`, and on."""

    sink: Sink
    name: str
    where: str
    schema: pl.Schema

    @property
    def label(self) -> str:
        """As it shows in plans and errors."""
        return f".to({self.sink.name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTime:
    """Which column says when a record happened, and how far records may be out of order.

    With `idle_after_us` a quiet and caught-up shard's watermark goes on with the clock after that long.
    """

    column: str
    out_of_orderness_us: int
    idle_after_us: int | None
    where: str
    schema: pl.Schema

    @property
    def label(self) -> str:
        """As it shows in plans and errors."""
        idle = f", idle_after={duration_text(self.idle_after_us)}" if self.idle_after_us is not None else ""
        return f".event_time({self.column}, out_of_orderness={duration_text(self.out_of_orderness_us)}{idle})"


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedAggregation:
    """Aggregates per key and window; `records` is the schema of what comes in."""

    time: EventTime
    keys: tuple[str, ...]
    window: Window
    allowed_lateness_us: int
    early_us: int | None
    aggregates: Mapping[str, Aggregate]
    records: pl.Schema
    schema: pl.Schema
    where: str

    def new_state(self) -> WindowState:
        """Empty state for one shard."""
        partials = Partials(
            keys=self.keys, aggregates=self.aggregates, records=self.records, time_column=self.time.column
        )
        match self.window:
            case Tumbling():
                return TumblingState(partials, self.window, allowed_lateness_us=self.allowed_lateness_us)
            case Sliding():
                return SlidingState(
                    partials,
                    self.window,
                    allowed_lateness_us=self.allowed_lateness_us,
                    early=self.early_us is not None,
                )
            case Session():
                return SessionState(partials, self.window, allowed_lateness_us=self.allowed_lateness_us)

    def partial_schema(self) -> pl.Schema:
        """The columns of partial rows."""
        state = self.new_state()
        return state.partial(state.partials.no_records()).schema

    def checked_result_schema(self) -> pl.Schema:
        """The columns of the results.

        Raises:
            ProgramError: an aggregate does not go with the records' columns and types; names it and its line.
        """
        columns = pl.Schema([*self.records.items(), (TIME, pl.Int64())])
        for name, aggregate in self.aggregates.items():
            schema_after(
                columns,
                functools.partial(_aggregated, keys=self.keys, name=name, aggregate=aggregate, records=self.records),
                what=f"aggregate {name}={aggregate.label}",
                where=aggregate.where,
            )
        return self.new_state().closed(None, None, None).schema

    def state_shape(self) -> str:
        """What the state is made of, in words; equal for programs that can take over each other's state.

        Leaves out expressions' text, which may differ between versions of Polars, and what state does not depend on.
        """
        columns = ", ".join(f"{name} {dtype}" for name, dtype in self.partial_schema().items())
        functions = ", ".join(f"{name}={a.label.partition('(')[0]}" for name, a in self.aggregates.items())
        return f"keys {', '.join(self.keys)}; {self.window}; {functions}; columns {columns}"

    @property
    def label(self) -> str:
        """As it shows in plans and errors."""
        early = f", early={duration_text(self.early_us)}" if self.early_us else ""
        columns = ", ".join(f"{name}={aggregate.label}" for name, aggregate in self.aggregates.items())
        return (
            f".key_by({', '.join(self.keys)}).window({self.window}, "
            f"allowed_lateness={duration_text(self.allowed_lateness_us)}{early}).aggregate({columns})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repartition:
    """From here on all rows of one key are in one shard, of `shards`; the windowed aggregation follows at once.

    What crosses is combined before: one row of partial aggregates per key and window, not the records.
    """

    keys: tuple[str, ...]
    shards: int
    where: str
    schema: pl.Schema

    @property
    def label(self) -> str:
        """As it shows in plans and errors."""
        return f"── repartition by {', '.join(self.keys)} into {self.shards} shards ──"


Step = Apply | MapBatches | WriteTo | EventTime | WindowedAggregation | Repartition
RowStep = Apply | MapBatches | WriteTo


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Source, steps in order, and where late records go.

    At most one `EventTime` and at most one `WindowedAggregation`, behind it, perhaps after a `Repartition`.

    The plan of a stage also says what it has to do with its neighbours: with `output` its partial aggregates go to the
    log before the next stage; with `of_partials` its source gives such aggregates.  `number` counts stages.
    """

    source: Source | RepartitionSource
    steps: tuple[Step, ...]
    late: WriteTo | None = None
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
    def repartition(self) -> Repartition | None:
        """The repartitioning, if there is one."""
        return next((step for step in self.steps if isinstance(step, Repartition)), None)

    def stages(self) -> tuple[Plan, ...]:
        """The parts of the plan that run within a shard each, in order; itself if there is but one."""
        repartition, windowed, source = self.repartition, self.windowed, self.source
        if repartition is None:
            return (self,)
        assert windowed is not None
        assert not isinstance(source, RepartitionSource)
        at = self.steps.index(repartition)
        crossing = RepartitionSource(
            stage=1,
            keys=repartition.keys,
            shards=repartition.shards,
            schema=windowed.partial_schema(),
            upstream=source,
        )
        return (
            Plan(source=source, steps=(*self.steps[:at], windowed), late=self.late, output=repartition),
            Plan(source=crossing, steps=self.steps[at + 1 :], number=1, of_partials=True),
        )

    def state_shape(self) -> str:
        """What a stage's state is made of, in words; "" without any.  Equal if one can go on from the other's."""
        if self.output is not None:
            return f"partials by {', '.join(self.output.keys)} for {self.output.shards} shards"
        if self.windowed is None:
            return ""
        if isinstance(self.source, RepartitionSource):
            return f"1 of {self.source.shards} shards; {self.windowed.state_shape()}"
        return self.windowed.state_shape()

    def rows_until_time(self) -> tuple[RowStep, ...]:
        """Row steps before event times are read; all of them when they are not read at all."""
        return tuple(self._rows(until=EventTime))

    def rows_until_window(self) -> tuple[RowStep, ...]:
        """Row steps between reading event times and the window, or to the end."""
        return tuple(self._rows(after=EventTime, until=WindowedAggregation)) if self.time else ()

    def rows_after_window(self) -> tuple[RowStep, ...]:
        """Row steps on the results of the windowed aggregation."""
        return tuple(self._rows(after=WindowedAggregation)) if self.windowed else ()

    def writes(self) -> tuple[WriteTo, ...]:
        """Every sink of the program, the late one last."""
        found = [step for step in self.steps if isinstance(step, WriteTo)]
        return (*found, self.late) if self.late else tuple(found)

    def text(self) -> str:
        """The plan for people: one line per step, with the columns behind it."""
        lines = [f"source {self.source.name}", f"    {_columns(pl.Schema(self.source.schema))}"]
        schema = pl.Schema(self.source.schema)
        for step in self.steps:
            lines.append(step.label)
            if step.schema != schema:
                schema = step.schema
                lines.append(f"    {_columns(schema)}")
        if self.late:
            lines.append(f".late({self.late.sink.name})")
            lines.append(f"    {_columns(self.late.schema)}")
        return "\n".join(lines)

    def _rows(self, *, after: type | None = None, until: type | None = None) -> Iterator[RowStep]:
        started = after is None
        for step in self.steps:
            if until is not None and isinstance(step, until):
                return
            if after is not None and isinstance(step, after):
                started = True
            elif started and isinstance(step, Apply | MapBatches | WriteTo):
                yield step


def stage_of(stages: Sequence[Plan], shard: ShardId) -> Plan:
    """The stage that a shard belongs to."""
    for stage in stages[1:]:
        if isinstance(stage.source, RepartitionSource) and stage.source.has(shard):
            return stage
    return stages[0]


def _aggregated(
    frame: pl.DataFrame, *, keys: tuple[str, ...], name: str, aggregate: Aggregate, records: pl.Schema
) -> pl.DataFrame:
    return frame.group_by(*keys).agg(*aggregate.partials(name, records))


def _columns(schema: pl.Schema) -> str:
    return ", ".join(f"{name}: {dtype}" for name, dtype in schema.items())
