"""What a benchmark answers with, and how two ways of doing one thing are timed.

A module of this folder with a dictionary `FIGURES` (name → measurement) is found by `run.py`.  A measurement is called
with an empty folder that goes with it and the number of rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One result.  `ratio`: how many times better than what it is held against; above 1 is better.

    For times and rates that is the peer's time over ours; for a bound (milliseconds, bytes) the bound over ours.
    """

    value: float
    unit: str
    against: str
    ratio: float


Measurement: TypeAlias = Callable[[Path, int], Figure]


def best(rounds: int, ours: Callable[[], None], theirs: Callable[[], None]) -> tuple[float, float]:
    """The shortest times of both in seconds, taken in turn.

    On a shared machine the best is the least disturbed.
    """
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        ours()
        between = time.perf_counter()
        theirs()
        times.append((between - begun, time.perf_counter() - between))
    return min(mine for mine, _ in times), min(other for _, other in times)
