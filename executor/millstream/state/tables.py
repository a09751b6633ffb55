"""State as it is saved, with names and times that a person can read.

Columns of the program (keys, partial aggregates such as `delay.sum`) keep their names.  Where one has the name of a
column of ours already, ours begins with `__`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from math import gcd
from typing import Final

import polars as pl

from millstream.core.keyed_state import TIMERS_ROLE, VALUES_ROLE
from millstream.core.window_states.partials import REVISION, ROWS, SHOWN, WINDOW
from millstream.core.window_states.session import LAST
from millstream.core.window_states.state import ROLE as WINDOWS_ROLE
from millstream.durations import microseconds

MAIN_ROLES: Final = (WINDOWS_ROLE, VALUES_ROLE, TIMERS_ROLE)
"""Which role is read unless one is named: the first that there is."""

_YEAR_10000_US: Final = 253_402_300_800_000_000
_WINDOW_TEXT = re.compile(r"(?:^|; )(tumbling|sliding|session)\(([^(),]+)(?:, every=([^(),]+))?(?:, offset=[^(),]+)?\)")
_NAMES: Final = {
    ROWS: "records",
    SHOWN: "records_shown",
    REVISION: "results_given",
    "__state": "state",
    "__touched": "last_used_at",  # in checkpoints of older versions
    "__used": "last_used_at",
    "__kind": "time",
    "__name": "timer",
    "__at": "due_at",
}
_TIMES: Final = frozenset({"__touched", "__used", "__at"})


def readable(saved: pl.DataFrame, *, role: str, state_shape: str, shard: str, checkpoint: int) -> pl.DataFrame:
    """The frame of a state file as a table, with shard and checkpoint in front and the bounds of windows as datetimes.

    Times are UTC, without a time zone; null is one that no calendar has.  `state_shape` is the manifest's.
    """
    named = _free(saved.columns)
    columns = [pl.lit(shard).alias(named("shard")), pl.lit(checkpoint, pl.Int64).alias(named("checkpoint"))]
    if WINDOW in saved.columns:
        columns += _bounds(saved.columns, role, state_shape, named)
    for column in saved.columns:
        value = datetime_of(pl.col(column)) if column in _TIMES else pl.col(column)
        if column not in (WINDOW, LAST):
            columns.append(value.alias(named(_NAMES[column])) if column in _NAMES else value)
    return saved.select(columns)


def datetime_of(us: pl.Expr) -> pl.Expr:
    """Microseconds since 1970 as a Datetime; null from the year 10000 on, such as the end of time."""
    return pl.when(us.is_between(-_YEAR_10000_US, _YEAR_10000_US, closed="none")).then(us).cast(pl.Datetime("us"))


def together(tables: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """All rows; of shards whose program was not the same, with the columns of each."""
    filled = [table for table in tables if table.width]
    return pl.concat(filled, how="diagonal_relaxed") if filled else pl.DataFrame()


def main_role(roles: Iterable[str]) -> str | None:
    """The role that is read unless one is named; None without any."""
    there = list(roles)
    return next((role for role in (*MAIN_ROLES, *there) if role in there), None)


def _bounds(columns: Iterable[str], role: str, state_shape: str, named: Callable[[str], str]) -> list[pl.Expr]:
    """Start and end of what a row is about: a window, or the pane that sliding windows share."""
    found = _WINDOW_TEXT.search(state_shape)
    kind = found.group(1) if found else ""
    size_us = microseconds(found.group(2)) if found else None
    what = "window"
    if found and kind == "sliding" and role == WINDOWS_ROLE:
        what, size_us = "pane", gcd(microseconds(found.group(2)), microseconds(found.group(3)))
    bounds = [datetime_of(pl.col(WINDOW)).alias(named(f"{what}_start"))]
    if size_us is not None:
        last = pl.col(LAST) if LAST in columns else pl.col(WINDOW)
        bounds.append(datetime_of(last + size_us).alias(named(f"{what}_end")))
    return bounds


def _free(taken: Iterable[str]) -> Callable[[str], str]:
    names: Mapping[str, None] = dict.fromkeys(taken)
    return lambda name: f"__{name}" if name in names else name
