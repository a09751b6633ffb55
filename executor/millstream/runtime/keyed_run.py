"""Runs a keyed process over rows and timers: the one place where a program is called row by row.

A timer of event time comes due before the row that takes the watermark to it: so what a row finds does not depend on
how rows were batched.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from millstream.contract.checkpoint import END_OF_TIME_US
from millstream.core.keyed_state import Due, Key, TimerKind, Transaction
from millstream.keyed import MAIN, Keyed, Timer, to_datetime
from millstream.steps import KeyedProcess

Outputs = Mapping[str, pl.DataFrame]
"""Rows by output; `MAIN` is the one that goes on."""

_REPEATS_MAX = 1000


class KeyedRun:
    """Calls the functions of one step, over a transaction that the caller settles or drops."""

    def __init__(self, step: KeyedProcess) -> None:
        self._step = step
        self._schemas = {MAIN: step.schema, **step.outputs}
        self._columns = {name: frozenset(schema.names()) for name, schema in self._schemas.items()}

    def rows(
        self, rows: pl.DataFrame, watermarks: Sequence[int | None] | None, work: Transaction, now: float
    ) -> Outputs:
        """What the rows give, in their order.  Raises whatever the program raises.

        `watermarks` are those that each row takes event time to; None: that is not known row by row.
        """
        call = _Call(self._step, self._columns, work, now)
        keys = rows.select(self._step.keys).rows()
        reached = [-END_OF_TIME_US if each is None else each for each in watermarks or ()]
        timers = _Timers(call, TimerKind.EVENT, reached[-1]) if reached else None
        for number, (key, row) in enumerate(zip(keys, rows.iter_rows(named=True), strict=True)):
            if timers is not None and watermarks is not None:
                timers.fire(reached[number])
                work.at_us = watermarks[number]
            self._step.on_row(row, call.keyed(key))
        return self._frames(call)

    def timers(self, kind: TimerKind, until_us: int, work: Transaction, now: float) -> tuple[int, Outputs]:
        """(how many timers were due, what they give in their order).  Raises whatever the program raises.

        Those that they set count, if they are due as well; not so at the end of the source, when all are: a timer that
        sets itself again would never end.
        """
        call = _Call(self._step, self._columns, work, now)
        timers = _Timers(call, kind, until_us)
        timers.fire(until_us)
        return timers.fired, self._frames(call)

    def _frames(self, call: _Call) -> Outputs:
        return {name: _frame(rows, self._schemas[name]) for name, rows in call.found.items()}


class _Call:
    """What the functions are called with, and the rows that they give."""

    def __init__(
        self, step: KeyedProcess, columns: Mapping[str, frozenset[str]], work: Transaction, now: float
    ) -> None:
        self.step, self.work = step, work
        self._columns, self._now = columns, now
        self.found: dict[str, list[dict[str, Any]]] = {name: [] for name in columns}

    def keyed(self, key: Key) -> Keyed:
        return Keyed(key, self.step.keys, self.work, self.found, self._columns, self._now)


class _Timers:
    """The timers of one kind that are due up to some time, in order; those set meanwhile take their place there."""

    def __init__(self, call: _Call, kind: TimerKind, until_us: int) -> None:
        self._call, self._kind, self._until_us = call, kind, until_us
        self._waiting = call.work.due(kind, until_us)
        call.work.fresh.clear()
        self._repeats: dict[tuple[str, str], int] = {}
        self.fired = 0

    def fire(self, until_us: int) -> None:
        """Call `on_timer` for those that are due at `until_us`."""
        self._take_in()
        while self._waiting and self._waiting[0][0] <= until_us:
            self._fire(heapq.heappop(self._waiting))
            self._take_in()

    def _fire(self, due: Due) -> None:
        at_us, text, name, key, kind = due
        work, on_timer = self._call.work, self._call.step.on_timer
        if work.timer(kind, key, name) != at_us:
            return  # moved, or cancelled
        if on_timer is None:
            raise ValueError(f'timer "{name}" is due, and the program has no on_timer')
        work.set_timer(kind, key, name, None)
        on_timer(Timer(name=name, at=to_datetime(at_us), by_clock=kind is TimerKind.CLOCK), self._call.keyed(key))
        self.fired += 1
        again_us = work.timer(kind, key, name)
        repeats = self._repeats.get((text, name), 0) + 1 if again_us is not None and again_us <= at_us else 0
        self._repeats[text, name] = repeats
        if repeats >= _REPEATS_MAX:
            raise RuntimeError(f'timer "{name}" sets itself for a time that is over, {repeats} times in a row')

    def _take_in(self) -> None:
        fresh, self._call.work.fresh = self._call.work.fresh, []
        if self._until_us == END_OF_TIME_US:
            return
        for due in fresh:
            if due[4] is self._kind and due[0] <= self._until_us:
                heapq.heappush(self._waiting, due)


def _frame(rows: Sequence[Mapping[str, Any]], schema: pl.Schema) -> pl.DataFrame:
    """The rows in columns; TypeError: a value is not of its column's type."""
    columns = {}
    for name, dtype in schema.items():
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pl.Series(name, values, dtype=dtype)
        except (TypeError, pl.exceptions.PolarsError) as problem:
            raise TypeError(f'a value of the column "{name}" is no {dtype}: {problem}') from problem
    return pl.DataFrame(columns)
