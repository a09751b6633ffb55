"""State and timers by key, for programs that handle rows one by one.

What is kept of a key is JSON, as text: so it is small, can be read by anybody, and is never shared with the program,
which works on a copy until its batch has gone through.

A `Transaction` lies over the state, and over it another for each piece of the batch; either becomes part of what is
below it, or is dropped and has never been.
"""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import polars as pl

VALUES_ROLE: Final = "keyed"
TIMERS_ROLE: Final = "timers"
_TEXT, _USED, _KIND, _NAME, _AT = "__state", "__used", "__kind", "__name", "__at"

Key = tuple[Any, ...]
"""The values of the key columns, in order."""


class TimerKind(Enum):
    """Which time a timer waits for."""

    EVENT = "event"
    CLOCK = "clock"


TimerId = tuple[TimerKind, Key, str]
Due = tuple[int, str, str, Key, TimerKind]
"""(at, key as text, name, key, kind) of a timer: the first three are its place in the order."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a key: JSON, and the watermark when it was last looked at."""

    text: str
    used_us: int | None


@dataclass(slots=True)
class Transaction:
    """Changes that may be dropped.  `below` is what they are changes of; `at_us` the watermark now."""

    below: KeyedState | Transaction
    at_us: int | None
    working: dict[Key, dict[str, Any]] = field(default_factory=dict)
    used_us: dict[Key, int | None] = field(default_factory=dict)
    changed: dict[Key, Kept | None] = field(default_factory=dict)
    timers: dict[TimerId, int | None] = field(default_factory=dict)
    fresh: list[Due] = field(default_factory=list)
    """Timers set since somebody last emptied it."""

    def over(self) -> Transaction:
        """A transaction over this one."""
        return Transaction(self, self.at_us)

    def state_of(self, key: Key) -> dict[str, Any]:
        """The key's state, to be changed in place; empty if there is none, or its time is over."""
        if key in self.working:
            over = self.is_over(self.used_us[key], self.at_us)
        else:
            kept = self.kept(key)
            over = kept is None or self.is_over(kept.used_us, self.at_us)
            self.working[key] = {} if kept is None or over else json.loads(kept.text)
        if over:
            self.working[key].clear()
        self.used_us[key] = self.at_us
        return self.working[key]

    def set_timer(self, kind: TimerKind, key: Key, name: str, at_us: int | None) -> None:
        """Set a timer, in place of one of that name; None: there is to be none."""
        self.timers[kind, key, name] = at_us
        if at_us is not None:
            self.fresh.append((at_us, repr(key), name, key, kind))

    def timer(self, kind: TimerKind, key: Key, name: str) -> int | None:
        """When a timer is due as of here; None: it is not set."""
        timer = kind, key, name
        return self.timers[timer] if timer in self.timers else self.below.timer(kind, key, name)

    def due(self, kind: TimerKind, until_us: int) -> list[Due]:
        """The timers that are due as of here, in order of time and key."""
        found = [each for each in self.below.due(kind, until_us) if (kind, each[3], each[2]) not in self.timers]
        found += [
            (at_us, repr(key), name, key, kind)
            for (of, key, name), at_us in self.timers.items()
            if of is kind and at_us is not None and at_us <= until_us
        ]
        return sorted(found, key=lambda each: each[:3])

    def kept(self, key: Key) -> Kept | None:
        """What is kept of a key as of here."""
        return self.changed[key] if key in self.changed else self.below.kept(key)

    def is_over(self, used_us: int | None, at_us: int | None) -> bool:
        """Whether what was last looked at then is forgotten at `at_us`."""
        return self.below.is_over(used_us, at_us)

    def settle(self) -> None:
        """Become part of the transaction below.

        Raises:
            TypeError, ValueError: a state holds what is not JSON; nothing has changed below.
        """
        assert isinstance(self.below, Transaction)
        for key, value in self.working.items():
            text = json.dumps(value, separators=(",", ":"), allow_nan=False) if value else None
            self.changed[key] = None if text is None else Kept(text, self.used_us[key])
        self.below.changed.update(self.changed)
        self.below.timers.update(self.timers)
        self.below.working.clear()
        self.below.at_us = self.at_us


class KeyedState:
    """One shard's state and timers.  For one thread."""

    def __init__(self, keys: Mapping[str, pl.DataType], *, ttl_us: int | None) -> None:
        """`keys` are the key columns and types; what nobody looks at for `ttl_us` of event time is forgotten."""
        self._keys = dict(keys)
        self._ttl_us = ttl_us
        self._values: dict[Key, Kept] = {}
        self._timers: dict[TimerId, int] = {}
        self._due: dict[TimerKind, list[Due]] = {kind: [] for kind in TimerKind}

    @property
    def rows(self) -> int:
        """Keys with state, and timers."""
        return len(self._values) + len(self._timers)

    def begin(self, watermark_us: int | None) -> Transaction:
        """A transaction over the state, as of a watermark."""
        return Transaction(self, watermark_us)

    def kept(self, key: Key) -> Kept | None:
        """What is kept of a key."""
        return self._values.get(key)

    def is_over(self, used_us: int | None, at_us: int | None) -> bool:
        """Whether what was last looked at then is forgotten at `at_us`."""
        if self._ttl_us is None or used_us is None or at_us is None:
            return False
        return used_us + self._ttl_us <= at_us

    def adopt(self, done: Transaction) -> None:
        """Make the changes of a transaction the state's."""
        for key, kept in done.changed.items():
            if kept is None:
                self._values.pop(key, None)
            else:
                self._values[key] = kept
        for (kind, key, name), at_us in done.timers.items():
            self._unset(kind, key, name)
            if at_us is not None:
                self._set(kind, key, name, at_us)

    def timer(self, kind: TimerKind, key: Key, name: str) -> int | None:
        """When a timer is due; None: it is not set."""
        return self._timers.get((kind, key, name))

    def due(self, kind: TimerKind, until_us: int) -> list[Due]:
        """The timers that are due, in order of time and key."""
        waiting = self._due[kind]
        return waiting[: bisect.bisect_right(waiting, until_us, key=_at)]

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """State and timers as frames, by role; what is over is left out, and forgotten."""
        self._values = {key: kept for key, kept in self._values.items() if not self.is_over(kept.used_us, watermark_us)}
        values = self._frame(
            self._values,
            {
                _TEXT: [kept.text for kept in self._values.values()],
                _USED: pl.Series([kept.used_us for kept in self._values.values()], dtype=pl.Int64),
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
            for *key, text, used_us in frames[VALUES_ROLE].iter_rows():
                self._values[tuple(key)] = Kept(text, used_us)
        if TIMERS_ROLE in frames:
            for *key, kind, name, at_us in frames[TIMERS_ROLE].iter_rows():
                self._set(TimerKind(kind), tuple(key), name, at_us)

    # ---- inside

    def _set(self, kind: TimerKind, key: Key, name: str, at_us: int) -> None:
        self._timers[kind, key, name] = at_us
        bisect.insort(self._due[kind], (at_us, repr(key), name, key, kind), key=_place)

    def _unset(self, kind: TimerKind, key: Key, name: str) -> None:
        at_us = self._timers.pop((kind, key, name), None)
        if at_us is not None:
            del self._due[kind][bisect.bisect_left(self._due[kind], (at_us, repr(key), name), key=_place)]

    def _frame(self, keys: Iterable[Key], more: Mapping[str, object]) -> pl.DataFrame:
        columns = list(zip(*keys, strict=True)) or [()] * len(self._keys)
        named = {
            name: pl.Series(values, dtype=dtype)
            for (name, dtype), values in zip(self._keys.items(), columns, strict=True)
        }
        return pl.DataFrame({**named, **more})


def _at(due: Due) -> int:
    return due[0]


def _place(due: Due) -> tuple[int, str, str]:
    return due[:3]
