"""Checkpoints, state and dead letters as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from rich.table import Table
from rich.text import Text

from headgate.adapters.terminal import console
from headgate.adapters.terminal_text import NOTHING, age_text, bytes_text, count_text, event_time_text

Row = Mapping[str, Any]

_RAW_SHOWN = 60
_UNBOUNDED = 10_000


def print_table(table: Table) -> None:
    """Print it on standard output; into a pipe with nothing cut or folded."""
    screen = console()
    if not screen.is_terminal:
        screen.width = max(screen.width, screen.measure(table, options=screen.options.update(width=_UNBOUNDED)).maximum)
    screen.print(table)


def checkpoints_table(rows: Sequence[Row], *, at: float) -> Table:
    """One line per checkpoint; `at` is now."""
    heads = ("shard", "number", "age", "epoch", "state", "position", "watermark", "in", "out", "late", "dead", "")
    table = _table(heads, right=set(heads[1:6] + heads[7:11]))
    for row in rows:
        if row["created_at"] is None:
            figures = [NOTHING] * (len(heads) - 3)
        else:
            figures = [
                age_text(at - _seconds(row["created_at"])),
                str(row["epoch"]),
                bytes_text(row["state_bytes"]),
                _positions(row["positions"]),
                NOTHING if row["watermark"] is None else event_time_text(round(_seconds(row["watermark"]) * 1000)),
                *(count_text(row[name]) for name in ("records_in", "records_out", "late", "dead")),
            ]
        table.add_row(row["shard"], str(row["checkpoint"]), *figures, _remark(row))
    return table


def rows_table(rows: Sequence[Row]) -> Table:
    """Rows that all have the same columns."""
    names = list(rows[0])
    numbers = {name for name in names if any(isinstance(row[name], (int, float)) for row in rows)}
    table = _table(names, right=numbers)
    for row in rows:
        table.add_row(*(Text(_value(row[name])) for name in names))
    return table


def dead_letters_table(rows: Sequence[Row]) -> Table:
    """One line per record that could not be processed, its beginning in the end."""
    table = _table(("shard", "position", "reason", "record"), right={"position"})
    for row in rows:
        raw = row["raw"] if row["encoding"] == "utf-8" else f"({row['encoding']}) {row['raw']}"
        shown = raw if len(raw) <= _RAW_SHOWN else f"{raw[:_RAW_SHOWN]}…"
        table.add_row(row["shard"], str(row["position"]), Text(row["reason"]), Text(shown, style="bright_black"))
    return table


def _table(names: Sequence[str], *, right: set[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black underline")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def _remark(row: Row) -> Text:
    if row["problem"]:
        return Text(row["problem"], style="red")
    notes = ["finished"] if row["finished"] else []
    return Text(", ".join(notes + ([f"{count_text(row['replayed'])} replayed"] if row["replayed"] else [])))


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).replace(tzinfo=timezone.utc).timestamp()


def _positions(text: str) -> str:
    """The position of the one input, or each with its name."""
    positions = json.loads(text)
    if len(positions) == 1:
        return str(next(iter(positions.values())))
    return " ".join(f"{name}={position}" for name, position in positions.items())


def _value(value: object) -> str:
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
