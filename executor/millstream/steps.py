"""The steps that a stream program is made of, each with the schema behind it and the user's line."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from millstream.aggregates import TIME, Aggregate
from millstream.core.keyed_state import KeyedState
from millstream.core.window_states.partials import Partials
from millstream.core.window_states.session import SessionState
from millstream.core.window_states.sliding import SlidingState
from millstream.core.window_states.state import WindowState
from millstream.core.window_states.tumbling import TumblingState
from millstream.durations import duration_text
from millstream.keyed import OnRow, OnTimer
from millstream.schema import schema_after
from millstream.sinks.sink import Sink
from millstream.windows import Session, Sliding, Tumbling, Window

Row = dict[str, Any]
OnRowAsync = Callable[[Row], Awaitable[Mapping[str, Any] | None]]
OnEachRow = Callable[[Row], Mapping[str, Any] | Iterable[Mapping[str, Any]] | None]


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
class MapRows:
    """A step of the user's own Python on each row, which becomes no row, one, or several."""

    function: OnEachRow
    label: str
    where: str
    schema: pl.Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class MapAsync:
    """A step that asks another service about each row, `concurrency` rows at a time.

    `timeout_us` is of one attempt; after a failed one come up to `retries` more, the first after `backoff_us`, each
    later one after twice the pause before.  With `ordered` rows go on in their order, else in that of the answers.
    """

    function: OnRowAsync
    concurrency: int
    ordered: bool
    timeout_us: int
    retries: int
    backoff_us: int
    where: str
    schema: pl.Schema

    @property
    def label(self) -> str:
        """As it shows in plans and errors."""
        order = "" if self.ordered else ", ordered=False"
        return f".map_async({name_of(self.function)}, concurrency={self.concurrency}{order})"


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
    """From here on all rows of one key are in one shard, of `shards`.

    When a windowed aggregation follows, what crosses is combined before: one row of partial aggregates per key and
    window, not the records.
    """

    keys: tuple[str, ...]
    shards: int
    where: str
    schema: pl.Schema

    @property
    def label(self) -> str:
        """As it shows in plans and errors."""
        return f"── repartition by {', '.join(self.keys)} into {self.shards} shards ──"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedProcess:
    """The user's own Python on each row of a key, with state and timers.

    `schema` is of the rows that go on, `records` of what comes in, `outputs` of the rows for other sinks, by name.
    """

    keys: tuple[str, ...]
    on_row: OnRow
    on_timer: OnTimer | None
    outputs: Mapping[str, pl.Schema]
    ttl_us: int | None
    records: pl.Schema
    schema: pl.Schema
    where: str

    def new_state(self) -> KeyedState:
        """Empty state for one shard."""
        return KeyedState({name: self.records[name] for name in self.keys}, ttl_us=self.ttl_us)

    def state_shape(self) -> str:
        """What the state is made of, in words; equal for programs that can take over each other's state.

        What the functions keep of a key is theirs to read, whoever wrote it.
        """
        return f"of each key {', '.join(f'{name} {self.records[name]}' for name in self.keys)}"

    @property
    def label(self) -> str:
        """As it shows in plans and errors."""
        timer = "" if self.on_timer is None else f", on_timer={name_of(self.on_timer)}"
        return f".key_by({', '.join(self.keys)}).process({name_of(self.on_row)}{timer})"


Stateful = WindowedAggregation | KeyedProcess
RowStep = Apply | MapBatches | MapRows | MapAsync | WriteTo
Step = RowStep | EventTime | Stateful | Repartition


def _aggregated(
    frame: pl.DataFrame, *, keys: tuple[str, ...], name: str, aggregate: Aggregate, records: pl.Schema
) -> pl.DataFrame:
    return frame.group_by(*keys).agg(*aggregate.partials(name, records))


def name_of(function: object) -> str:
    """What a function of the user's is called in plans and errors."""
    return getattr(function, "__name__", type(function).__name__)
