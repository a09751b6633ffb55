"""`pattern(…)`: one row then another of the same key within some time, unless a third comes between.

```python
from millstream import pattern

stolen = pattern(
    first=lambda row: row["amount"] < 5,
    then=lambda row: row["amount"] > 500,
    unless=lambda row: row["pin"],
    within="10m",
)
payments.event_time("at", out_of_orderness="5s").key_by("card").process(stolen)
```

Rows count in the order of their event times, those of one time in the order in which they were read.  A row waits until
the watermark has passed it, so that any order within `out_of_orderness` gives the same matches; without any, a match is
given as soon as its second row is read.

Every `first` row waits for the next `then` row: it gives one match at most, and several may be matched by the same
`then` row.  An `unless` row drops all that wait.  For a row of several kinds `unless` counts before `then`, and `then`
before `first`: it never matches itself.  A row that is late beyond `out_of_orderness` counts for what still waits.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final

import polars as pl

from millstream.durations import Duration, duration_text, microseconds
from millstream.errors import ProgramError
from millstream.keyed import Keyed, Timer, to_datetime, to_us
from millstream.schema import caller, no_column, require_column

Row = Mapping[str, Any]
Predicate = Callable[[dict[str, Any]], object]

_TIMER: Final = "pattern"
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What to look for among the rows of a key; made by `pattern`, for `.process(…)`."""

    first: Predicate
    then: Predicate
    unless: Predicate | None
    within_us: int
    columns: tuple[str, ...] | None

    def over(self, records: pl.Schema, keys: Sequence[str], time_column: str, *, where: str) -> Matching:
        """The pattern for rows of these columns.

        Raises:
            ProgramError: a column is not there, is of a type that cannot be kept, or stands for two.
        """
        require_column(records, time_column, what="pattern: event_time", where=where)
        for column in self.columns or ():
            if column not in records:
                raise ProgramError(f"pattern: {no_column(column, records)}", where=where)
        columns = [name for name in (self.columns or records.names()) if name not in keys]
        for name in columns:
            if _codec(records[name]) is None:
                others = ", ".join(f'"{each}"' for each in columns if _codec(records[each]) is not None)
                raise ProgramError(
                    f'pattern: "{name}" is {records[name]}, which cannot be kept; name others: columns=[{others}]',
                    where=where,
                )
        schema = {key: records[key] for key in keys}
        for name in (f"{which}_{column}" for which in ("first", "then") for column in columns):
            if name in schema:
                raise ProgramError(f'pattern: the result has two columns "{name}"; rename the key', where=where)
            schema[name] = records[name.partition("_")[2]]
        return Matching(self, {name: records[name] for name in columns}, time_column, pl.Schema(schema))


def pattern(
    first: Predicate,
    then: Predicate,
    *,
    within: Duration,
    unless: Predicate | None = None,
    columns: Sequence[str] | None = None,
) -> Pattern:
    """A row for which `first` holds, then one for which `then` holds, at most `within` later, with no `unless` between.

    The functions take a row as a dict, and say yes or no.  They are called once with each row, when it is read; where
    one raises, the row becomes a dead letter.  The stream needs an event time.

    What goes on are the key's columns and, of both rows, `first_…` and `then_…` for every other column, or for those in
    `columns`; times to the microsecond.  Only rows that may still become part of a match are kept.

    >>> from datetime import datetime, timedelta
    >>> import polars as pl
    >>> from millstream import Stream, files, pattern, stdout, testing
    >>> payment = {"card": pl.String, "at": pl.Datetime("ms"), "amount": pl.Int64, "pin": pl.Boolean}
    >>> stolen = pattern(
    ...     first=lambda row: row["amount"] < 5,
    ...     then=lambda row: row["amount"] > 500,
    ...     unless=lambda row: row["pin"],
    ...     within="10m",
    ... )
    >>> stream = (
    ...     Stream(files("payments/*.jsonl", schema=payment))
    ...     .event_time("at")
    ...     .key_by("card", partitioned=True)
    ...     .process(stolen)
    ...     .to(stdout())
    ... )
    >>> rows = [("a", 0, 2, False), ("b", 1, 3, False), ("b", 2, 50, True), ("a", 9, 900, False), ("b", 9, 900, False)]
    >>> noon = datetime(2024, 5, 1, 12)
    >>> made = [dict(zip(payment, (card, noon + timedelta(minutes=at), *more))) for card, at, *more in rows]
    >>> testing.run(stream, made).rows.select("card", "first_amount", "then_amount").rows()
    [('a', 2, 900)]

    Raises:
        ProgramError: a condition is no function, or `within` is no duration above zero.
    """
    where = caller()
    conditions: dict[str, object] = {"first": first, "then": then, **({} if unless is None else {"unless": unless})}
    for name, condition in conditions.items():
        if not callable(condition):
            hint = " (an expression is for columns)" if isinstance(condition, pl.Expr) else ""
            raise ProgramError(
                f'pattern: {name} must be a function of a row, such as lambda row: row["amount"] > 500, '
                f"not {type(condition).__name__}{hint}",
                where=where,
            )
    within_us = microseconds(within, what="pattern: within", where=where)
    if within_us == 0:
        raise ProgramError("pattern: within must be above zero", where=where)
    return Pattern(
        first=first,
        then=then,
        unless=unless,
        within_us=within_us,
        columns=None if columns is None else tuple(columns),
    )


class Matching:
    """A pattern over the rows of a key: what `.process` calls.

    Of a key is kept: `rows` that the watermark has not passed, in the order in which they were read; `open` ones for
    which `first` held; and when the timer is `due`.  All times are in microseconds.
    """

    def __init__(
        self, sought: Pattern, columns: Mapping[str, pl.DataType], time_column: str, schema: pl.Schema
    ) -> None:
        self.schema = schema
        self._sought = sought
        self._time = time_column
        self._codecs = {name: codec for name, dtype in columns.items() if (codec := _codec(dtype)) is not None}

    @property
    def __name__(self) -> str:
        """As it shows in plans and errors."""
        return f"pattern within {duration_text(self._sought.within_us)}"

    def __call__(self, row: dict[str, Any], keyed: Keyed) -> None:
        """Keep the row, if it is of any kind, until the watermark has passed it."""
        sought = self._sought
        kinds = [
            kind
            for kind, condition in (("unless", sought.unless), ("then", sought.then), ("first", sought.first))
            if condition is not None and condition(row)
        ]
        if not kinds:
            return
        if row[self._time] is None:
            raise ValueError(f'no event time: "{self._time}" is null')
        at_us = to_us(row[self._time])
        values = {} if kinds == ["unless"] else self._encoded(row)
        keyed.state.setdefault("rows", []).append([at_us, kinds, values])
        if at_us < keyed.state.get("due", at_us + 1):
            self._wait(keyed, at_us)

    def due(self, timer: Timer, keyed: Keyed) -> None:
        """Take the rows that the watermark has passed in the order of their times, and give the matches."""
        until_us = max(to_us(timer.at), to_us(keyed.watermark or timer.at))
        rows = sorted(keyed.state.pop("rows", []), key=_at)
        waiting = keyed.state.pop("open", [])
        keyed.state.pop("due", None)
        for at_us, kinds, values in (row for row in rows if row[0] <= until_us):
            if "unless" in kinds:
                waiting = [each for each in waiting if each[0] > at_us]
            if "then" in kinds:
                matched: list[Any] = []
                unmatched: list[Any] = []
                for each in waiting:
                    fits = each[0] <= at_us <= each[0] + self._sought.within_us
                    (matched if fits else unmatched).append(each)
                waiting = unmatched
                for _, before in sorted(matched, key=_at):
                    keyed.emit(**keyed.key, **self._decoded("first", before), **self._decoded("then", values))
            if "first" in kinds:
                waiting.append([at_us, values])
        waiting = [each for each in waiting if each[0] + self._sought.within_us >= until_us]
        later = [row for row in rows if row[0] > until_us]
        if later:
            keyed.state["rows"] = later
        if waiting:
            keyed.state["open"] = waiting
        dues = [row[0] for row in later[:1]] + [each[0] + self._sought.within_us + 1 for each in waiting]
        if dues:
            self._wait(keyed, min(dues))

    def _wait(self, keyed: Keyed, until_us: int) -> None:
        keyed.state["due"] = until_us
        keyed.timer(_TIMER, at=to_datetime(until_us))

    def _encoded(self, row: Row) -> dict[str, Any]:
        return {name: encode(row[name]) for name, (encode, _) in self._codecs.items() if row[name] is not None}

    def _decoded(self, which: str, values: Row) -> dict[str, Any]:
        return {f"{which}_{name}": decode(values[name]) for name, (_, decode) in self._codecs.items() if name in values}


def _at(row: Sequence[Any]) -> int:
    at_us: int = row[0]
    return at_us


Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _codec(dtype: pl.DataType) -> Codec | None:
    """How a value becomes JSON and comes back; None: it cannot."""
    if isinstance(dtype, pl.Datetime):
        zone = None if dtype.time_zone is None else timezone.utc
        return to_us, lambda us: to_datetime(us).replace(tzinfo=zone)
    if dtype.is_float():
        return (lambda value: value if math.isfinite(value) else repr(value)), float
    for kind, codec in _CODECS:
        if isinstance(dtype, kind):
            return codec
    is_plain = dtype.is_integer() or isinstance(dtype, pl.String | pl.Boolean | pl.Categorical | pl.Enum | pl.Null)
    return (_same, _same) if is_plain else None


def _same(value: Any) -> Any:
    return value


_CODECS: Final[Sequence[tuple[type[pl.DataType], Codec]]] = (
    (pl.Date, (date.isoformat, date.fromisoformat)),
    (pl.Time, (time.isoformat, time.fromisoformat)),
    (pl.Duration, (lambda value: value // _MICROSECOND, lambda us: us * _MICROSECOND)),
    (pl.Decimal, (str, Decimal)),
    (pl.Binary, (lambda value: base64.b64encode(value).decode(), base64.b64decode)),
)
