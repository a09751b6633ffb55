"""State and timers by key, for programs that handle rows one by one.

What is kept of a key is JSON, as text: so it is small, can be read by anybody, and is never shared with the program,
which works on a copy until its batch has gone through.

A `Transaction` lies over the state, and over it another for each piece of the batch; either becomes part of what is
below it, or is dropped and has never been.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import polars as pl

VALUES_ROLE: Final = "keyed"
TIMERS_ROLE: Final = "timers"
_TEXT, _TOUCHED, _KIND, _NAME, _AT = "__state", "__touched", "__kind", "__name", "__at"

Key = tuple[Any, ...]
"""The values of the key columns, in order."""


class TimerKind(Enum):
    """Which time a timer waits for."""

    EVENT = "event"
    CLOCK = "clock"


TimerId = tuple[TimerKind, Key, str]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a key: JSON, and the watermark when that was last changed."""

    text: str
    touched_us: int | None


@dataclass(slots=True)
class Transaction:
    """Changes that may be dropped.  `below` is what they are changes of."""

    below: KeyedState | Transaction
    at_us: int | None
    working: dict[Key, dict[str, Any]] = field(default_factory=dict)
    changed: dict[Key, str | None] = field(default_factory=dict)
    timers: dict[TimerId, int | None] = field(default_factory=dict)

    def over(self) -> Transaction:
        """A transaction over this one."""
        return Transaction(self, self.at_us)

    def state_of(self, key: Key) -> dict[str, Any]:
        """The key's state, to be changed in place; empty if there is none."""
        if key not in self.working:
            text = self.text_of(key)
            self.working[key] = {} if text is None else json.loads(text)
        return self.working[key]

    def set_timer(self, kind: TimerKind, key: Key, name: str, at_us: int | None) -> None:
        """Set a timer, in place of one of that name; None: there is to be none."""
        self.timers[kind, key, name] = at_us

    def text_of(self, key: Key) -> str | None:
        """What is kept of a key as of here, as JSON."""
        return self.changed[key] if key in self.changed else self.below.text_of(key)

    def settle(self) -> None:
        """Become part of the transaction below.

        Raises:
            TypeError, ValueError: a state holds what is not JSON; nothing has changed below.
        """
        assert isinstance(self.below, Transaction)
        for key, value in self.working.items():
            text = json.dumps(value, separators=(",", ":"), allow_nan=False) if value else None
            if text != self.text_of(key):
                self.changed[key] = text
        self.below.changed.update(self.changed)
        self.below.timers.update(self.timers)
        self.below.working.clear()


class KeyedState:
    """One shard's state and timers.  For one thread."""

    def __init__(self, keys: Mapping[str, pl.DataType], *, ttl_us: int | None) -> None:
        """`keys` are the key columns with their types; what was not changed for `ttl_us` of event time is forgotten."""
        self._keys = dict(keys)
        self._ttl_us = ttl_us
        self._values: dict[Key, Kept] = {}
        self._timers: dict[TimerId, int] = {}
        self._due: dict[TimerKind, list[tuple[int, str, str, Key]]] = {kind: [] for kind in TimerKind}
        self._watermark_us: int | None = None

    @property
    def rows(self) -> int:
        """Keys with state, and timers."""
        return len(self._values) + len(self._timers)

    def begin(self, watermark_us: int | None) -> Transaction:
        """A transaction over the state, as of a watermark."""
        self._watermark_us = watermark_us
        return Transaction(self, watermark_us)

    def text_of(self, key: Key) -> str | None:
        """What is kept of a key, as JSON, unless its time is over."""
        kept = self._values.get(key)
        return None if kept is None or self._is_over(kept) else kept.text

    def adopt(self, done: Transaction, watermark_us: int | None) -> None:
        """Make the changes of a transaction the state's, as of the watermark behind its batch."""
        for key, text in done.changed.items():
            if text is None:
                self._values.pop(key, None)
            else:
                self._values[key] = Kept(text, watermark_us)
        for (kind, key, name), at_us in done.timers.items():
            if at_us is None:
                self._timers.pop((kind, key, name), None)
            else:
                self._set(kind, key, name, at_us)

    def take_due(self, kind: TimerKind, until_us: int) -> list[tuple[int, Key, str]]:
        """The timers (at, key, name) that are due, in order of time and key; they are set no more."""
        found = []
        waiting = self._due[kind]
        while waiting and waiting[0][0] <= until_us:
            at_us, _, name, key = heapq.heappop(waiting)
            if self._timers.get((kind, key, name)) == at_us:
                del self._timers[kind, key, name]
                found.append((at_us, key, name))
        return found

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """State and timers as frames, by role; what is over is left out, and forgotten."""
        self._watermark_us = watermark_us
        self._values = {key: kept for key, kept in self._values.items() if not self._is_over(kept)}
        values = self._frame(
            self._values,
            {
                _TEXT: [kept.text for kept in self._values.values()],
                _TOUCHED: pl.Series([kept.touched_us for kept in self._values.values()], dtype=pl.Int64),
            },
        )
        timers = self._frame(
            [key for _, key, _ in self._timers],
            {
                _KIND: [kind.value for kind, _, _ in self._timers],
                _NAME: [name for _, _, name in self._timers],
                _AT: list(self._timers.values()),
            },
        )
        return {role: frame for role, frame in ((VALUES_ROLE, values), (TIMERS_ROLE, timers)) if frame.height}

    def load(self, frames: Mapping[str, pl.DataFrame]) -> None:
        """Go on from what `save` gave."""
        if VALUES_ROLE in frames:
            for *key, text, touched_us in frames[VALUES_ROLE].iter_rows():
                self._values[tuple(key)] = Kept(text, touched_us)
        if TIMERS_ROLE in frames:
            for *key, kind, name, at_us in frames[TIMERS_ROLE].iter_rows():
                self._set(TimerKind(kind), tuple(key), name, at_us)

    # ---- inside

    def _set(self, kind: TimerKind, key: Key, name: str, at_us: int) -> None:
        self._timers[kind, key, name] = at_us
        heapq.heappush(self._due[kind], (at_us, repr(key), name, key))

    def _is_over(self, kept: Kept) -> bool:
        if self._ttl_us is None or kept.touched_us is None or self._watermark_us is None:
            return False
        return kept.touched_us + self._ttl_us <= self._watermark_us

    def _frame(self, keys: Iterable[Key], more: Mapping[str, object]) -> pl.DataFrame:
        columns = list(zip(*keys, strict=True)) or [()] * len(self._keys)
        named = {
            name: pl.Series(values, dtype=dtype)
            for (name, dtype), values in zip(self._keys.items(), columns, strict=True)
        }
        return pl.DataFrame({**named, **more})
