"""The feeder process: appends the flights to a partitioned log, faster than one worker can read.

Run as `python -m headgate.demo.feeder FOLDER`.  One file of JSON lines per partition; appends are whole batches of
lines; an empty file `_SUCCESS` at the end says that nothing more comes.  It ends when its parent does.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import polars as pl

from headgate.adapters.clock import SystemClock
from headgate.demo.flights import flights, lines

TICK_S = 0.1

PHASES: tuple[tuple[float, float], ...] = ((6.0, 1_500.0), (26.0, 9_500.0), (1_000.0, 2_000.0))
"""(seconds, records per second): a calm start, a flood, and a trickle that few workers can follow."""


def due(elapsed_s: float, phases: tuple[tuple[float, float], ...] = PHASES) -> int:
    """How many records are to be in the log after so many seconds."""
    records = 0.0
    for length_s, rate in phases:
        records += rate * min(max(elapsed_s, 0.0), length_s)
        elapsed_s -= length_s
    return int(records)


def batches(log: pl.DataFrame, begin: int, end: int) -> Iterator[tuple[str, str]]:
    """(partition, text to append) for the records from `begin` to before `end`."""
    for (partition,), part in log.slice(begin, end - begin).group_by("partition", maintain_order=True):
        yield str(partition), "".join(part["line"])


def feed(folder: Path, *, full_speed: bool = False) -> int:
    """Append everything, then `_SUCCESS`; the number of records.  Files are made first, so all shards are known."""
    log = lines(flights())
    clock = SystemClock()
    files: dict[str, TextIO] = {}
    parent = os.getppid()
    try:
        for partition in sorted(set(log["partition"])):
            files[partition] = (folder / f"{partition}.jsonl").open("a", encoding="utf-8")
        begun_at = clock.monotonic()
        done = 0
        while done < log.height and os.getppid() == parent:
            end = log.height if full_speed else min(log.height, due(clock.monotonic() - begun_at))
            for partition, text in batches(log, done, end):
                files[partition].write(text)
                files[partition].flush()
            done = end
            if done < log.height:
                time.sleep(TICK_S)
    finally:
        for file in files.values():
            file.close()
    if done == log.height:
        (folder / "_SUCCESS").touch()
    return done


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser(prog="python -m headgate.demo.feeder", description="append the flights to a log")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full-speed", action="store_true", help="all at once")
    options = parser.parse_args()
    feed(options.folder, full_speed=options.full_speed)


if __name__ == "__main__":
    main()
