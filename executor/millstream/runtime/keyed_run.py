"""Runs a keyed process over rows and timers: the one place where a program is called row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from millstream.core.keyed_state import Key, TimerKind, Transaction
from millstream.keyed import MAIN, Keyed, Timer, to_datetime
from millstream.runtime.rows import frame_of
from millstream.steps import KeyedProcess

Outputs = Mapping[str, pl.DataFrame]
"""Rows by output; `MAIN` is the one that goes on."""


class KeyedRun:
    """Calls the functions of one step, over a transaction that the caller settles or drops."""

    def __init__(self, step: KeyedProcess) -> None:
        self._step = step
        self._schemas = {MAIN: step.schema, **step.outputs}
        self._columns = {name: frozenset(schema.names()) for name, schema in self._schemas.items()}

    def rows(self, rows: pl.DataFrame, work: Transaction, now: float) -> Outputs:
        """What the rows give, in their order.  Raises whatever the program raises."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self._schemas}
        keys = rows.select(self._step.keys).rows()
        for key, row in zip(keys, rows.iter_rows(named=True), strict=True):
            self._step.on_row(row, self._keyed(key, work, found, now))
        return self._frames(found)

    def timers(self, due: Sequence[tuple[int, Key, str]], kind: TimerKind, work: Transaction, now: float) -> Outputs:
        """What timers that are due give, in their order.  Raises whatever the program raises."""
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in self._schemas}
        if self._step.on_timer is None and due:
            raise ValueError(f'timer "{due[0][2]}" is due, and the program has no on_timer')
        for at_us, key, name in due:
            assert self._step.on_timer is not None
            timer = Timer(name=name, at=to_datetime(at_us), by_clock=kind is TimerKind.CLOCK)
            self._step.on_timer(timer, self._keyed(key, work, found, now))
        return self._frames(found)

    def _keyed(self, key: Key, work: Transaction, found: Mapping[str, list[dict[str, Any]]], now: float) -> Keyed:
        return Keyed(key, self._step.keys, work, found, self._columns, now)

    def _frames(self, found: Mapping[str, list[dict[str, Any]]]) -> Outputs:
        return {name: frame_of(rows, self._schemas[name]) for name, rows in found.items()}
