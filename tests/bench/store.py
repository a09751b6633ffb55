"""What a saved decision costs."""

from __future__ import annotations

import os
from pathlib import Path

from figure import Figure, Measurement, best

from headgate.adapters.sqlite_store import SqliteStore

WRITES = 200


def store_writes(folder: Path, rounds: int) -> Figure:
    """Durable writes of one small record to the SQLite store, against write and fdatasync of a plain file."""
    turn = iter(range(1000))
    value = b"x" * 2000

    def ours() -> None:
        store = SqliteStore(folder / f"{next(turn)}.db")
        term = store.new_term()
        for number in range(WRITES):
            store.write({f"tasks/{number % 20}": value + b"%d" % number}, term=term)
        store.close()

    def theirs() -> None:
        with (folder / f"{next(turn)}.plain").open("wb") as file:
            for _ in range(WRITES):
                file.write(value)
                file.flush()
                os.fdatasync(file.fileno())

    mine, other = best(rounds, ours, theirs)
    return Figure(value=WRITES / mine, unit="writes/s", against="write and fdatasync of a file", ratio=other / mine)


FIGURES: dict[str, Measurement] = {"store writes": store_writes}
