"""A batch through a program, without side effects: frames in, frames out.

Nothing here changes the shard's state or writes to a sink.  So a batch whose processing raised can be tried again, or
cut in pieces to find the record that crashes the program.

The usual case runs the steps on plain frames.  When a row needs to be followed back to its record (it has no event
time, or may be too late), the batch runs once more with two extra columns: the record's row, and the watermark as it
was when the record was read.  The latter makes lateness a matter of the order of records alone, not of how they were
batched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import polars as pl

from millstream.accumulators import Amounts, collected
from millstream.aggregates import TIME
from millstream.core.window_states.partials import ROWS
from millstream.core.window_states.state import WindowState
from millstream.errors import user_frame
from millstream.plan import Plan
from millstream.runtime.calls import Calls, ServiceFails
from millstream.runtime.rows import mapped
from millstream.steps import (
    Apply,
    EventTime,
    MapAsync,
    MapBatches,
    MapRows,
    RowStep,
    Step,
    WindowedAggregation,
    WriteTo,
)

_ROW = "__row"
_WATERMARK = "__watermark"


class StepFailed(Exception):
    """A step of the program raised."""

    def __init__(self, step: Step, problem: BaseException) -> None:
        super().__init__(f"{type(problem).__name__}: {problem}")
        self.operator = step.label
        self.where = user_frame(problem) or step.where


class ProgramFails(StepFailed):
    """A step fails whatever the records are: there is no bad one to look for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """What a batch came to.  `writes` are rows by name of output; `undated` are rows of the batch without event time,
    `unanswered` those that a service gave no answer to, with the reason.

    `partial` is for windows; `rows` is what reached a keyed process, or the end of a stage, and for the former
    `row_watermarks` where each row takes event time to.  `greatest_us` is the
    greatest event time in it, `watermark_us` the watermark behind it.
    """

    writes: Sequence[tuple[str, pl.DataFrame]]
    partial: pl.DataFrame | None = None
    rows: pl.DataFrame | None = None
    row_watermarks: Sequence[int | None] | None = None
    late_rows: int = 0
    undated: Sequence[int] = ()
    unanswered: Mapping[int, str] = field(default_factory=dict)
    watermark_us: int | None = None
    greatest_us: int | None = None
    amounts: Amounts = field(default_factory=dict)


class Pipeline:
    """The steps of one plan.  `state` only lends its shape: it is read, never changed."""

    def __init__(self, plan: Plan, state: WindowState | None) -> None:
        self._time = plan.time
        self._windowed = plan.windowed
        self._is_keyed = plan.keyed is not None
        self._late = plan.late
        self._until_time = plan.rows_until_time()
        self._until_state = plan.rows_until_state()
        self._of_partials = plan.of_partials
        self._after_state = plan.rows_after_state()
        self._state = state
        steps = (*self._until_time, *self._until_state)
        self._calls = {id(step): Calls(step) for step in steps if isinstance(step, MapAsync)}

    def process(self, records: pl.DataFrame, watermark_us: int | None) -> Processed:
        """Run the records up to the stateful step, given the watermark before them.

        Raises:
            StepFailed: the program raised.
        """
        if self._of_partials:
            return self._in_time(records, watermark_us)
        if self._calls:  # which are not to be made twice
            return _certain(self._attempt(records, watermark_us, follow=True))
        done = self._attempt(records, watermark_us, follow=False)
        return done if done is not None else _certain(self._attempt(records, watermark_us, follow=True))

    def after_state(self, results: pl.DataFrame) -> tuple[Sequence[tuple[str, pl.DataFrame]], Amounts]:
        """Run results of the stateful step through the steps behind it.

        Raises:
            StepFailed: the program raised.
        """
        writes: list[tuple[str, pl.DataFrame]] = []
        with collected() as amounts:
            self._run(results, self._after_state, (), writes, {})
        return writes, amounts

    def _in_time(self, partials: pl.DataFrame, watermark_us: int | None) -> Processed:
        """Partial aggregates of a stage before, without those whose window is gone."""
        state, late_rows = _certain(self._state), 0
        if watermark_us is not None:
            gone = state.gone(watermark_us)
            late_rows = int(partials.filter(gone)[ROWS].sum())
            partials = partials.filter(~gone)
        combined = _guarded(_certain(self._windowed), lambda: state.combined(partials))
        return Processed(writes=(), partial=combined, late_rows=late_rows, watermark_us=watermark_us)

    def _attempt(self, records: pl.DataFrame, watermark_us: int | None, *, follow: bool) -> Processed | None:
        """None: rows must be followed, and were not."""
        writes: list[tuple[str, pl.DataFrame]] = []
        unanswered: dict[int, str] = {}
        keep = [_ROW, _WATERMARK] if follow else []
        with collected() as amounts:
            if follow:
                records = records.with_row_index(_ROW).with_columns(pl.lit(watermark_us, pl.Int64).alias(_WATERMARK))
            rows = self._run(records, self._until_time, keep, writes, unanswered)
            if self._time is None:
                return Processed(
                    writes=writes,
                    rows=rows.drop(keep),
                    unanswered=unanswered,
                    watermark_us=watermark_us,
                    amounts=amounts,
                )
            times = _microseconds(rows, self._time)
            greatest = times.max()
            assert greatest is None or isinstance(greatest, int)
            after_us = _later(watermark_us, greatest, self._time.out_of_orderness_us)
            if follow or self._is_keyed:
                keep = [_ROW, _WATERMARK] if follow else [_WATERMARK]
                rows = rows.with_columns(_running(times, watermark_us, self._time.out_of_orderness_us))
            rows = self._run(rows, self._until_state, keep, writes, unanswered)
            if self._windowed is None or self._state is None:
                return Processed(
                    writes=writes,
                    rows=rows.drop(keep),
                    row_watermarks=rows[_WATERMARK].to_list() if self._is_keyed else None,
                    unanswered=unanswered,
                    watermark_us=after_us,
                    greatest_us=greatest,
                    amounts=amounts,
                )
            times = _microseconds(rows, self._time)
            if not follow and self._must_follow(times, after_us):
                return None
            rows = rows.with_columns(times)
            undated: list[int] = []
            late_rows = 0
            if follow:
                rows, late, undated = self._set_apart(rows, self._state)
                late_rows = late.height
                if self._late is not None and late_rows:
                    writes.append((self._late.name, late))
            partial = _guarded(self._windowed, lambda: _certain(self._state).partial(rows))
        return Processed(
            writes=writes,
            partial=partial,
            late_rows=late_rows,
            undated=undated,
            unanswered=unanswered,
            watermark_us=after_us,
            greatest_us=greatest,
            amounts=amounts,
        )

    def _run(
        self,
        rows: pl.DataFrame,
        steps: Sequence[RowStep],
        keep: Sequence[str],
        writes: list[tuple[str, pl.DataFrame]],
        unanswered: dict[int, str],
    ) -> pl.DataFrame:
        """The rows behind the steps; adds to `writes` and `unanswered`."""
        for step in steps:
            if isinstance(step, WriteTo):
                if rows.height:
                    writes.append((step.name, rows.drop(keep) if keep else rows))
            elif isinstance(step, Apply):
                rows = _applied(step, rows, keep)
            elif isinstance(step, MapRows):
                rows = _mapped_rows(step, rows, keep)
            elif isinstance(step, MapAsync):
                rows = self._answered(step, rows, keep, unanswered)
            else:
                rows = _mapped(step, rows, keep)
        return rows

    def _answered(
        self, step: MapAsync, rows: pl.DataFrame, keep: Sequence[str], unanswered: dict[int, str]
    ) -> pl.DataFrame:
        try:
            answers = self._calls[id(step)].answers(rows.drop(keep))
        except ServiceFails as problem:
            raise ProgramFails(step, problem) from problem
        except Exception as problem:
            raise StepFailed(step, problem) from problem
        for row, reason in answers.unanswered.items():
            record = rows[_ROW][row]
            known = unanswered.get(record)
            unanswered[record] = reason if known is None else f"{known}\nand another row of it: {reason}"
        return _traced(answers.frame, rows, answers.origins, keep)

    def _must_follow(self, times: pl.Series, after_us: int | None) -> bool:
        if times.null_count():
            return True
        least = times.min()
        return isinstance(least, int) and _certain(self._state).may_be_too_late(least, after_us)

    @staticmethod
    def _set_apart(rows: pl.DataFrame, state: WindowState) -> tuple[pl.DataFrame, pl.DataFrame, list[int]]:
        """Rows in time, rows too late, and the records that have no time."""
        undated = rows.filter(pl.col(TIME).is_null())[_ROW].drop_nulls().unique().sort().to_list()
        rows = rows.filter(pl.col(TIME).is_not_null())
        gone = state.too_late(pl.col(TIME), pl.col(_WATERMARK)).fill_null(value=False)
        internal = [_ROW, _WATERMARK]
        return rows.filter(~gone).drop(internal), rows.filter(gone).drop(*internal, TIME), undated


def _applied(step: Apply, rows: pl.DataFrame, keep: Sequence[str]) -> pl.DataFrame:
    try:
        return step.function(rows, keep)
    except Exception as problem:
        raise StepFailed(step, problem) from problem


def _mapped(step: MapBatches, rows: pl.DataFrame, keep: Sequence[str]) -> pl.DataFrame:
    if rows.height == 0:
        return pl.DataFrame(schema=pl.Schema([*step.schema.items(), *((name, rows.schema[name]) for name in keep)]))
    given = rows.drop(keep) if keep else rows
    try:
        result = step.function(given)
        _require_schema(result, step.schema)
    except Exception as problem:
        raise StepFailed(step, problem) from problem
    result = result.select(step.schema.names())
    if not keep:
        return result
    if result.height == rows.height:
        return result.with_columns(rows.select(keep))
    # Which row came from which record is not known: take the batch's first, so that no row counts as later than it is.
    return result.with_columns(pl.lit(rows[name].head(1)).first().alias(name) for name in keep)


def _mapped_rows(step: MapRows, rows: pl.DataFrame, keep: Sequence[str]) -> pl.DataFrame:
    try:
        result, origins = mapped(step, rows.drop(keep) if keep else rows)
    except Exception as problem:
        raise StepFailed(step, problem) from problem
    return _traced(result, rows, origins, keep)


def _traced(result: pl.DataFrame, rows: pl.DataFrame, origins: Sequence[int], keep: Sequence[str]) -> pl.DataFrame:
    """The result with the extra columns of the rows that its rows come from."""
    return result.with_columns(rows.select(keep)[pl.Series(origins, dtype=pl.UInt32)]) if keep else result


def _require_schema(result: object, expected: pl.Schema) -> None:
    if not isinstance(result, pl.DataFrame):
        raise TypeError(f"the function must return a polars DataFrame, not {type(result).__name__}")
    for name, dtype in expected.items():
        if name not in result.schema:
            raise TypeError(f'the function returned no column "{name}"; say what it returns with schema=')
        if result.schema[name] != dtype:
            raise TypeError(f'the function returned "{name}" as {result.schema[name]}, not {dtype}; see schema=')


def _guarded(step: WindowedAggregation, function: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    try:
        return function()
    except Exception as problem:
        raise StepFailed(step, problem) from problem


def _microseconds(rows: pl.DataFrame, time: EventTime) -> pl.Series:
    dtype = rows.schema[time.column]
    assert isinstance(dtype, pl.Datetime)
    times: pl.Series = rows[time.column].cast(pl.Datetime("us", dtype.time_zone)).to_physical().alias(TIME)
    return times


def _running(times: pl.Series, watermark_us: int | None, disorder_us: int) -> pl.Series:
    """The watermark as each row found it; with the row's own time, by which a row is never late."""
    seen = times.cum_max().fill_null(strategy="forward") - disorder_us
    before = pl.lit(watermark_us, dtype=pl.Int64)
    return pl.select(pl.max_horizontal(pl.lit(seen), before).alias(_WATERMARK)).to_series()


def _later(watermark_us: int | None, greatest_us: int | None, disorder_us: int) -> int | None:
    if greatest_us is None:
        return watermark_us
    seen = greatest_us - disorder_us
    return seen if watermark_us is None else max(watermark_us, seen)


Wanted = TypeVar("Wanted")


def _certain(value: Wanted | None) -> Wanted:
    assert value is not None
    return value
