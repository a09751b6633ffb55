"""What a function of `.process(…)` gets to work with: the key's state, timers, and where its rows go.

```python
def spend(row, keyed):
    keyed.state["spent"] = keyed.state.get("spent", 0) + row["amount"]
    keyed.timer("quiet", at=row["at"] + timedelta(hours=1))
    if keyed.state["spent"] > 1000:
        keyed.emit(card=row["card"], spent=keyed.state["spent"])

def quiet(timer, keyed):
    keyed.state.clear()

stream.key_by("card").process(spend, on_timer=quiet, schema={"card": pl.String, "spent": pl.Float64})
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from millstream.core.keyed_state import Key, TimerKind, Transaction
from millstream.durations import Duration, microseconds
from millstream.schema import nearest

MAIN = ""
"""The name of the output that goes on down the program."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A timer that has come due, at `at` (UTC, no time zone).  `by_clock`: of processing time, not event time."""

    name: str
    at: datetime
    by_clock: bool


class Keyed:
    """One key's view of the state while one of its rows, or timers, is handled.  Not to be kept."""

    def __init__(
        self,
        key: Key,
        names: tuple[str, ...],
        work: Transaction,
        rows: Mapping[str, list[dict[str, Any]]],
        columns: Mapping[str, frozenset[str]],
        now: float,
    ) -> None:
        self._key, self._names, self._work = key, names, work
        self._rows, self._columns, self._now = rows, columns, now

    @property
    def key(self) -> dict[str, Any]:
        """The key's columns."""
        return dict(zip(self._names, self._key, strict=True))

    @property
    def state(self) -> dict[str, Any]:
        """What is kept of this key: whatever JSON can hold, changed in place.  An empty one is not kept."""
        return self._work.state_of(self._key)

    @property
    def watermark(self) -> datetime | None:
        """How far event time is, this row included (UTC, no time zone); in a second stage, as before this batch."""
        return None if self._work.at_us is None else to_datetime(self._work.at_us)

    def emit(self, **row: Any) -> None:
        """A row for what follows in the program.  Columns left out are null."""
        self._add(MAIN, row)

    def emit_to(self, output: str, **row: Any) -> None:
        """A row for another output, which the program names in `outputs`."""
        if output not in self._rows or output == MAIN:
            known = [name for name in self._rows if name != MAIN]
            raise ValueError(
                f'there is no output "{output}".{nearest(output, known)} Outputs: {", ".join(known) or "none"}'
            )
        self._add(output, row)

    def timer(self, name: str, *, at: datetime) -> None:
        """Call `on_timer` when the watermark has reached `at`; replaces this key's timer of that name."""
        self._work.set_timer(TimerKind.EVENT, self._key, name, to_us(at))

    def clock_timer(self, name: str, *, after: Duration) -> None:
        """Call `on_timer` when that much time of the clock has passed; replaces this key's clock timer of that name."""
        at_us = round(self._now * 1_000_000) + microseconds(after, what="clock_timer: after")
        self._work.set_timer(TimerKind.CLOCK, self._key, name, at_us)

    def cancel(self, name: str) -> None:
        """Forget this key's timers of that name."""
        for kind in TimerKind:
            self._work.set_timer(kind, self._key, name, None)

    def _add(self, output: str, row: dict[str, Any]) -> None:
        unknown = [name for name in row if name not in self._columns[output]]
        if unknown:
            columns = sorted(self._columns[output])
            raise ValueError(
                f'the output has no column "{unknown[0]}".{nearest(unknown[0], columns)} Columns: {", ".join(columns)}'
            )
        self._rows[output].append(row)


OnRow = Callable[[dict[str, Any], Keyed], None]
OnTimer = Callable[[Timer, Keyed], None]


def to_us(at: datetime) -> int:
    """Microseconds since the epoch; without a time zone it counts as UTC."""
    aware = at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def to_datetime(at_us: int) -> datetime:
    """The same back, without a time zone; beyond what a datetime can hold, its greatest."""
    try:
        return (_EPOCH + timedelta(microseconds=at_us)).replace(tzinfo=None)
    except OverflowError:
        return datetime.max
