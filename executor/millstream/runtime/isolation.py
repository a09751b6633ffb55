"""Find the records that crash a program, by halving the batch until they stand alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from millstream.runtime.pipeline import Processed, ProgramFails, StepFailed

Process = Callable[[pl.DataFrame, int | None], Processed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolated:
    """What became of a batch: pieces that went through, each with the row it begins at, and rows that crash alone."""

    pieces: Sequence[tuple[int, Processed]]
    crashed: Sequence[tuple[int, StepFailed]] = ()


def isolate(
    process: Process, records: pl.DataFrame, watermark_us: int | None, *, cut: int, crashes_max: int
) -> Isolated:
    """Process all of `records` that can be, in order, each piece with the watermark behind the piece before.

    No piece reaches over row `cut` (0: there is no cut).

    Raises:
        StepFailed: `crashes_max` records crashed and not one went through: it is the program, not the records.
        ProgramFails: likewise.
    """
    pieces: list[tuple[int, Processed]] = []
    crashed: list[tuple[int, StepFailed]] = []
    ranges = [(start, stop) for start, stop in ((cut, records.height), (0, cut)) if start < stop]
    while ranges:
        start, stop = ranges.pop()
        try:
            done = process(records.slice(start, stop - start), watermark_us)
        except ProgramFails:
            raise
        except StepFailed as problem:
            if stop - start > 1:
                middle = (start + stop) // 2
                ranges += [(middle, stop), (start, middle)]
                continue
            crashed.append((start, problem))
            if len(crashed) >= crashes_max and not pieces:
                raise
        else:
            pieces.append((start, done))
            watermark_us = done.watermark_us
    return Isolated(pieces=pieces, crashed=crashed)
