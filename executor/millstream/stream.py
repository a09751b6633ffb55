"""`Stream`: the language stream programs are written in.

A stream is built step by step; every step returns a new stream and changes nothing, so a prefix may be shared by
several programs.  Columns are checked as the program is built: a wrong one is a `ProgramError` with the user's line
before anything runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import polars as pl

from millstream.aggregates import Aggregate
from millstream.durations import Duration, microseconds
from millstream.errors import ProgramError
from millstream.keyed import OnRow, OnTimer
from millstream.patterns import Pattern
from millstream.plan import Plan
from millstream.repartition.source import RepartitionSource
from millstream.schema import caller, nearest, no_column, require_column, schema_after
from millstream.sinks.sink import Sink
from millstream.sources.source import Source
from millstream.steps import (
    Apply,
    EventTime,
    KeyedProcess,
    MapAsync,
    MapBatches,
    MapRows,
    OnEachRow,
    OnRowAsync,
    Repartition,
    Step,
    WindowedAggregation,
    WriteTo,
    name_of,
)
from millstream.windows import Session, Sliding, Tumbling, Window, lengths_us

IntoExpr = str | pl.Expr
Dtype = pl.DataType | type[pl.DataType]

RESERVED_PREFIX = "__"
SHARDS_UNLESS_TOLD = 16
SHARDS_MAX = 4096


class Readable(Protocol):
    """A place that can be read as a source."""

    def as_source(self) -> Source:
        """The source."""
        ...


class Writable(Protocol):
    """A place that can be written to as a sink."""

    def as_sink(self) -> Sink:
        """The sink."""
        ...


@dataclass(frozen=True, slots=True)
class _Window:
    window: Window
    allowed_lateness_us: int
    early_us: int | None


class Stream:
    """Records of a source on their way to a sink."""

    def __init__(self, source: Source | Readable) -> None:
        """A stream of all records of `source`.

        Raises:
            ProgramError: it is no source.
        """
        where = caller()
        if hasattr(source, "as_source"):
            source = source.as_source()
        if not all(hasattr(source, name) for name in ("discover", "open", "schema", "name")):
            raise ProgramError(f"Stream needs a source, such as files(…), not {type(source).__name__}", where=where)
        schema = pl.Schema(source.schema)
        _refuse_reserved(schema, what="source", where=where)
        self._plan = Plan(source=source, steps=())
        self._schema = schema
        self._keys: tuple[str, ...] | None = None
        self._repartition: Repartition | None = None
        self._window: _Window | None = None

    @property
    def schema(self) -> pl.Schema:
        """Columns and types of the rows at this point."""
        return self._schema

    @property
    def source(self) -> Source:
        """Where the records come from."""
        source = self._plan.source
        assert not isinstance(source, RepartitionSource)
        return source

    def explain(self) -> str:
        """The plan as text: steps, and the columns behind each."""
        return self._plan.text()

    def __repr__(self) -> str:
        return f"<Stream of {self._plan.source.name}, {len(self._plan.steps)} steps>"

    # ---- time

    def event_time(
        self, column: str, *, out_of_orderness: Duration = "0s", idle_after: Duration | None = None
    ) -> Stream:
        """Read when a record happened from `column`, a Datetime (one without a time zone counts as UTC).

        The watermark of a shard is the greatest event time seen minus `out_of_orderness`.  With `idle_after`, the
        watermark of a shard that is caught up and has been quiet for so long goes on at the pace of the clock, so that
        the last windows close.  A record whose event time is null goes to the dead letters.
        """
        where = caller()
        if self._plan.time is not None:
            raise ProgramError("event_time: the stream has one already", where=where)
        if self._plan.windowed is not None:
            raise ProgramError("event_time: must come before .window", where=where)
        dtype = require_column(self._schema, column, what="event_time", where=where)
        if not isinstance(dtype, pl.Datetime):
            raise ProgramError(
                f'event_time: "{column}" is {dtype}, not Datetime; convert it first, for instance with '
                f'.with_columns(pl.from_epoch("{column}", time_unit="ms"))',
                where=where,
            )
        step = EventTime(
            column=column,
            out_of_orderness_us=microseconds(out_of_orderness, what="event_time: out_of_orderness", where=where),
            idle_after_us=None
            if idle_after is None
            else microseconds(idle_after, what="event_time: idle_after", where=where),
            where=where,
            schema=self._schema,
        )
        return self._with(step)

    # ---- rows

    def filter(self, *predicates: IntoExpr) -> Stream:
        """Keep the rows for which all predicates hold."""
        return self._apply("filter", predicates, lambda frame, _: frame.filter(*predicates))

    def select(self, *columns: IntoExpr, **named: IntoExpr) -> Stream:
        """Keep or make exactly these columns."""

        def function(frame: pl.DataFrame, keep: Sequence[str]) -> pl.DataFrame:
            return frame.select(*columns, *keep, **named)

        return self._apply("select", (*columns, *named), function)

    def with_columns(self, *columns: pl.Expr, **named: IntoExpr) -> Stream:
        """Add or replace columns."""
        return self._apply("with_columns", (*columns, *named), lambda frame, _: frame.with_columns(*columns, **named))

    def explode(self, column: str, *more: str) -> Stream:
        """One row per element of a list column; an empty list gives no row, nor does null."""
        where = caller()
        for name in (column, *more):
            dtype = require_column(self._schema, name, what="explode", where=where)
            if not isinstance(dtype, pl.List | pl.Array):
                raise ProgramError(f'explode: "{name}" is {dtype}, not a list', where=where)
        return self._apply(
            "explode",
            (column, *more),
            lambda frame, _: frame.explode(column, *more, empty_as_null=False, keep_nulls=False),
        )

    def map_batches(
        self, function: Callable[[pl.DataFrame], pl.DataFrame], *, schema: Mapping[str, Dtype] | None = None
    ) -> Stream:
        """Call `function` with each batch as a DataFrame; it returns the rows to go on with.

        `schema` says what it returns, when that is not what it gets; it is checked while running.  The function may be
        called again with the same rows after a failure, and with fewer rows at a time while a bad record is looked for,
        so it should not keep anything between calls.
        """
        where = caller()
        self._require_complete("map_batches", where)
        after = self._schema if schema is None else pl.Schema(schema)
        _refuse_reserved(after, what="map_batches", where=where)
        step = MapBatches(function=function, label=f".map_batches({name_of(function)})", where=where, schema=after)
        return self._with(step, schema=after)

    def map_rows(self, function: OnEachRow, *, schema: Mapping[str, Dtype] | None = None) -> Stream:
        """Call `function` with each row as a dict; it returns the row to go on with, several, or None for none.

        `schema` says what it returns, when that is not what it gets; columns left out of a row are null, and what does
        not fit is an error.  As with `.map_batches` it may be called again with the same row, so it should not keep
        anything between calls.  This is Python row by row: some hundred thousand a second, where expressions do
        millions.

        >>> import polars as pl
        >>> from millstream import Stream, files, stdout, testing
        >>> stream = (
        ...     Stream(files("lines", schema={"line": pl.String}))
        ...     .map_rows(lambda row: ({"word": word} for word in row["line"].split()), schema={"word": pl.String})
        ...     .to(stdout())
        ... )
        >>> testing.run(stream, [{"line": "to be"}, {"line": ""}, {"line": "or"}]).rows["word"].to_list()
        ['to', 'be', 'or']
        """
        where = caller()
        self._require_complete("map_rows", where)
        if not callable(function):
            raise ProgramError(f"map_rows: needs a function of a row, not {type(function).__name__}", where=where)
        if inspect.iscoroutinefunction(function):
            raise ProgramError("map_rows: the function must not be async; .map_async(…) takes one", where=where)
        after = self._schema if schema is None else pl.Schema(schema)
        _refuse_reserved(after, what="map_rows", where=where)
        step = MapRows(function=function, label=f".map_rows({name_of(function)})", where=where, schema=after)
        return self._with(step, schema=after)

    def map_async(
        self,
        function: OnRowAsync,
        *,
        schema: Mapping[str, Dtype],
        concurrency: int = 16,
        ordered: bool = True,
        timeout: Duration = "30s",
        retries: int = 2,
        backoff: Duration = "100ms",
    ) -> Stream:
        """Ask another service about each row: `async def function(row)` returns the row to go on with, or None.

        Up to `concurrency` rows of a shard are asked about at a time.  An attempt that raises, or takes longer than
        `timeout`, is followed by up to `retries` more, after pauses that begin with `backoff` and double.  A row
        without an answer in the end, or with one that does not fit `schema`, becomes a dead letter with the reason; the
        other rows of its record, if it had become several, go on.  When 100 rows in a row have no answer, and none has,
        it is the service and not the rows: the shard fails and tries again later.

        All rows of a batch are answered before it counts, so checkpoints are exact.  Calls are made *at least once*: a
        crash repeats those since the last checkpoint, and a failure further down those of its batch.  The service has
        to bear that.  With `ordered=False` the rows of a batch go on in the order of their answers: only for what does
        not depend on order.

        All functions in a worker run on one event loop, so they may share a client; it runs only while a batch is
        worked on.

        >>> import polars as pl
        >>> from millstream import Stream, files, stdout, testing
        >>> async def locate(row):
        ...     return {**row, "country": {"10.0.0.1": "NZ"}[row["address"]]}
        >>> stream = (
        ...     Stream(files("accesses", schema={"address": pl.String}))
        ...     .map_async(locate, schema={"address": pl.String, "country": pl.String}, retries=0)
        ...     .to(stdout())
        ... )
        >>> run = testing.run(stream, [{"address": "10.0.0.1"}, {"address": "10.0.0.2"}])
        >>> run.rows.rows()
        [('10.0.0.1', 'NZ')]
        >>> [letter.position for letter in run.dead_letters]
        [1]
        """
        where = caller()
        self._require_complete("map_async", where)
        if self._plan.stateful is not None:
            raise ProgramError(
                "map_async: must come before .key_by(…): a row without an answer makes its record a dead letter, and "
                "results have no record",
                where=where,
            )
        if not inspect.iscoroutinefunction(function) and not inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object whose call is async will do
        ):
            raise ProgramError("map_async: needs a function made with `async def`; for others: .map_rows", where=where)
        for name, number, least in (("concurrency", concurrency, 1), ("retries", retries, 0)):
            if number < least:
                raise ProgramError(f"map_async: {name} must be at least {least}, not {number}", where=where)
        timeout_us = microseconds(timeout, what="map_async: timeout", where=where)
        if timeout_us == 0:
            raise ProgramError("map_async: timeout must be above zero", where=where)
        after = pl.Schema(schema)
        _refuse_reserved(after, what="map_async", where=where)
        step = MapAsync(
            function=function,
            concurrency=concurrency,
            ordered=ordered,
            timeout_us=timeout_us,
            retries=retries,
            backoff_us=microseconds(backoff, what="map_async: backoff", where=where),
            where=where,
            schema=after,
        )
        return self._with(step, schema=after)

    # ---- keys and windows

    def key_by(self, *columns: str, shards: int | None = None, partitioned: bool = False) -> Stream:
        """Group by these columns.

        Rows of one key come together in one of `shards` shards of a second stage (16 unless told), through a durable
        log in the checkpoint store.  What crosses is combined before: a row per key and window and checkpoint, not
        each record.  Results show one checkpoint interval later than without.

        With `partitioned=True` there is no second stage: you give your word that all records of one key (within one
        window) are in one shard of the source already; records of one key in two shards would give two results.
        """
        where = caller()
        if partitioned and shards is not None:
            raise ProgramError("key_by: shards= says how to repartition, and partitioned=True not to", where=where)
        if shards is not None and not 1 <= shards <= SHARDS_MAX:
            raise ProgramError(f"key_by: shards must be 1 to {SHARDS_MAX}, not {shards}", where=where)
        if not columns:
            raise ProgramError("key_by: name at least one column", where=where)
        for column in columns:
            if not isinstance(column, str):
                raise ProgramError(f"key_by: columns are given by name, not as {type(column).__name__}", where=where)
            dtype = require_column(self._schema, column, what="key_by", where=where)
            if dtype.is_nested() or dtype.is_float():
                raise ProgramError(f'key_by: "{column}" is {dtype}, which is no good as a key', where=where)
        if len(set(columns)) < len(columns):
            raise ProgramError(f"key_by: a column is named twice: {', '.join(columns)}", where=where)
        if self._plan.stateful is not None:
            raise ProgramError("key_by: grouping results again is not supported yet", where=where)
        stream = self._copy()
        stream._keys = columns
        stream._repartition = None
        if not partitioned:
            stream._repartition = Repartition(
                keys=columns, shards=shards or SHARDS_UNLESS_TOLD, where=where, schema=self._schema
            )
        return stream

    def window(self, window: Window, *, allowed_lateness: Duration = "0s", early: Duration | None = None) -> Stream:
        """Group by time as well.

        A window gives its result when the watermark passes its end (pane `on_time`).  With `early`, a window that
        changed gives a provisional result every so often of processing time (pane `early`).  A record that comes after
        the end but within `allowed_lateness` corrects the result (pane `late`); one beyond it goes to `.late(…)`.
        """
        where = caller()
        if not isinstance(window, Tumbling | Sliding | Session):
            raise ProgramError(f"window: needs a window such as tumbling('1h'), not {window!r}", where=where)
        if self._keys is None:
            raise ProgramError("window: say by which key first: .key_by(…).window(…)", where=where)
        time = self._plan.time
        if time is None:
            raise ProgramError("window: say which column is the event time first: .event_time(…)", where=where)
        if time.column not in self._schema:
            raise ProgramError(
                f"window: the event-time column is gone: {no_column(time.column, self._schema)}", where=where
            )
        dtype = self._schema[time.column]
        if not isinstance(dtype, pl.Datetime):
            raise ProgramError(f'window: the event-time column "{time.column}" has become {dtype}', where=where)
        if dtype.time_unit == "ms" and any(length % 1_000 for length in lengths_us(window)):
            raise ProgramError(
                f'window: "{time.column}" counts in milliseconds, so the window must be whole ones', where=where
            )
        early_us = None if early is None else microseconds(early, what="window: early", where=where)
        if early_us == 0:
            raise ProgramError("window: early must be above zero", where=where)
        stream = self._copy()
        stream._window = _Window(
            window, microseconds(allowed_lateness, what="window: allowed_lateness", where=where), early_us
        )
        return stream

    def aggregate(self, **aggregates: Aggregate) -> Stream:
        """One row per key and window, with one column per aggregate.

        Rows are: the key columns, `window_start`, `window_end`, the aggregates, `pane` (early, on_time, late, and with
        sessions withdrawn) and `revision`, which counts up from 0 for one key and window.  Every row holds the whole
        result so far: upserting by key and window, with the highest revision kept, gives the exact answer.
        """
        where = caller()
        if self._window is None or self._keys is None or self._plan.time is None:
            raise ProgramError("aggregate: say over which window first: .key_by(…).window(…).aggregate(…)", where=where)
        if not aggregates:
            raise ProgramError("aggregate: name at least one, such as records=count()", where=where)
        for name, aggregate in aggregates.items():
            if not isinstance(aggregate, Aggregate):
                raise ProgramError(
                    f"aggregate: {name} must be an aggregate such as count(), not {aggregate!r}", where=where
                )
            if name in self._keys or name in ("window_start", "window_end", "pane", "revision"):
                raise ProgramError(f'aggregate: the result has a column "{name}" already', where=where)
        _refuse_reserved(aggregates, what="aggregate", where=where)
        step = WindowedAggregation(
            time=self._plan.time,
            keys=self._keys,
            window=self._window.window,
            allowed_lateness_us=self._window.allowed_lateness_us,
            early_us=self._window.early_us,
            aggregates=aggregates,
            records=self._schema,
            schema=pl.Schema(),
            where=where,
        )
        schema = step.checked_result_schema()
        before = self if self._repartition is None else self._with(self._repartition)
        stream = before._with(replace(step, schema=schema), schema=schema)
        stream._keys, stream._window, stream._repartition = None, None, None
        return stream

    def process(
        self,
        on_row: OnRow | Pattern,
        *,
        schema: Mapping[str, Dtype] | None = None,
        on_timer: OnTimer | None = None,
        outputs: Mapping[str, Mapping[str, Dtype]] | None = None,
        ttl: Duration | None = None,
    ) -> Stream:
        """Call `on_row(row, keyed)` with each row of a key, in order: state, timers, any rows out (see `Keyed`).

        `schema` are the columns of the rows given with `keyed.emit`, which go on; `outputs` those of
        `keyed.emit_to(name, …)`, which `.output(name, sink)` writes.  `on_timer(timer, keyed)` is called for timers
        that come due; when the source ends all of them do, once.  A key's state is forgotten when nobody
        looked at it for `ttl` of event time.

        In place of `on_row` there may be a `pattern(…)`, which brings its own timer and schema.

        This is Python row by row, some hundred thousand a second: for what expressions and windows cannot say.
        """
        where = caller()
        if self._keys is None or self._window is not None:
            raise ProgramError("process: say by which key: .key_by(…).process(…)", where=where)
        if isinstance(on_row, Pattern):
            if self._plan.time is None:
                raise ProgramError("process: a pattern is in event time: .event_time(…) first", where=where)
            if schema is not None or on_timer is not None:
                raise ProgramError("process: a pattern has its own schema and timer; leave them out", where=where)
            matching = on_row.over(self._schema, self._keys, self._plan.time.column, where=where)
            on_row, on_timer, schema = matching, matching.due, matching.schema
        if not all(callable(function) for function in (on_row, on_timer) if function is not None):
            raise ProgramError("process: needs functions: on_row(row, keyed) and on_timer(timer, keyed)", where=where)
        if schema is None:
            raise ProgramError('process: say what goes on: schema={"column": pl.String, …}', where=where)
        if ttl is not None and self._plan.time is None:
            raise ProgramError("process: ttl is measured in event time: .event_time(…) first", where=where)
        named = {name: pl.Schema(columns) for name, columns in (outputs or {}).items()}
        for columns in (schema, *named.values()):
            _refuse_reserved(columns, what="process", where=where)
        step = KeyedProcess(
            keys=self._keys,
            on_row=on_row,
            on_timer=on_timer,
            outputs=named,
            ttl_us=None if ttl is None else microseconds(ttl, what="process: ttl", where=where),
            records=self._schema,
            schema=pl.Schema(schema),
            where=where,
        )
        before = self if self._repartition is None else self._with(self._repartition)
        stream = before._with(step, schema=step.schema)
        stream._keys, stream._window, stream._repartition = None, None, None
        return stream

    # ---- out

    def to(self, sink: Sink | Writable, *, name: str | None = None) -> Stream:
        """Write the rows at this point to `sink`; the stream goes on, so there may be several.

        `name` names the output in checkpoints; without one it is `sink0`, `sink1`… in order.
        """
        where = caller()
        self._require_complete("to", where)
        taken = [step.name for step in self._plan.writes()]
        number = sum(isinstance(step, WriteTo) for step in self._plan.steps)
        step = self._write_step(sink, name or f"sink{number}", "to", where, self._schema)
        if step.name in taken or step.name in ("late", "dead-letters"):
            raise ProgramError(f'to: there is an output named "{step.name}" already', where=where)
        return self._with(step)

    def late(self, sink: Sink | Writable) -> Stream:
        """Write the records that came too late for their window to `sink`, as they were when they reached it."""
        where = caller()
        windowed = self._plan.windowed
        if windowed is None:
            raise ProgramError("late: only a windowed stream has late records: put it after .aggregate(…)", where=where)
        if self._plan.late is not None:
            raise ProgramError("late: there is a late sink already", where=where)
        stream = self._copy()
        stream._plan = replace(self._plan, late=self._write_step(sink, "late", "late", where, windowed.records))
        return stream

    def output(self, name: str, sink: Sink | Writable) -> Stream:
        """Write the rows of an output of `.process(…)`, other than the main one, to `sink`."""
        where = caller()
        keyed = self._plan.keyed
        if keyed is None:
            raise ProgramError("output: only .process(…, outputs=…) has other outputs", where=where)
        if name not in keyed.outputs:
            known = ", ".join(keyed.outputs) or "none"
            raise ProgramError(
                f'output: there is no output "{name}".{nearest(name, keyed.outputs)} Outputs: {known}', where=where
            )
        if name in self._plan.sides:
            raise ProgramError(f'output: "{name}" has a sink already', where=where)
        stream = self._copy()
        write = self._write_step(sink, name, "output", where, keyed.outputs[name])
        stream._plan = replace(self._plan, sides={**self._plan.sides, name: write})
        return stream

    def plan(self) -> Plan:
        """What the runtime runs.

        Raises:
            ProgramError: the program is not complete: it has no sink, or ends in the middle of a window.
        """
        self._require_complete("program", None)
        if not any(isinstance(step, WriteTo) for step in self._plan.steps):
            raise ProgramError("the program writes nowhere: end it with .to(…)")
        return self._plan

    # ---- inside

    def _apply(
        self, verb: str, parts: Iterable[object], function: Callable[[pl.DataFrame, Sequence[str]], pl.DataFrame]
    ) -> Stream:
        where = caller()
        self._require_complete(verb, where)
        after = schema_after(self._schema, lambda frame: function(frame, ()), what=verb, where=where)
        _refuse_reserved(after, what=verb, where=where)
        label = f".{verb}({', '.join(str(part) for part in parts)})"
        return self._with(Apply(function=function, label=label, where=where, schema=after), schema=after)

    def _write_step(self, sink: Sink | Writable, name: str, verb: str, where: str, schema: pl.Schema) -> WriteTo:
        if hasattr(sink, "as_sink"):
            sink = sink.as_sink()
        if not all(hasattr(sink, attribute) for attribute in ("open", "guarantees", "name")):
            raise ProgramError(f"{verb}: needs a sink, such as files(…), not {type(sink).__name__}", where=where)
        return WriteTo(sink=sink, name=name, where=where, schema=schema)

    def _require_complete(self, verb: str, where: str | None) -> None:
        if self._window is not None:
            raise ProgramError(f"{verb}: .window(…) must be followed by .aggregate(…)", where=where)
        if self._keys is not None:
            raise ProgramError(f"{verb}: .key_by(…) must be followed by .window(…) or .process(…)", where=where)

    def _with(self, step: Step, *, schema: pl.Schema | None = None) -> Stream:
        stream = self._copy()
        stream._plan = replace(self._plan, steps=(*self._plan.steps, step))
        if schema is not None:
            stream._schema = schema
        return stream

    def _copy(self) -> Stream:
        stream = Stream.__new__(Stream)
        stream._plan, stream._schema = self._plan, self._schema
        stream._keys, stream._window, stream._repartition = self._keys, self._window, self._repartition
        return stream


def _refuse_reserved(columns: Iterable[str], *, what: str, where: str) -> None:
    for column in columns:
        if column.startswith(RESERVED_PREFIX):
            raise ProgramError(f'{what}: column names that start with "__" are reserved: "{column}"', where=where)
