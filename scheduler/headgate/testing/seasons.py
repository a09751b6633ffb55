"""When storms come: one that fills the run, or a few in the course of a long time with lulls between them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from headgate.testing.randomness import log_uniform

STORMS_MAX: Final = 3
HOP_S: Final = (600.0, 8 * 3600.0)
"""How much of a lull is left out at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """Things go wrong for `seconds`, from `begin` seconds after the world's beginning at the earliest."""

    begin: float
    seconds: float


def draw_storms(randomness: Random, storm_s: float, span_s: float | None) -> tuple[Storm, ...]:
    """One storm of `storm_s`; or some within `span_s`, about as long together, of which the first comes at once."""
    if span_s is None:
        return (Storm(begin=0.0, seconds=storm_s),)
    count = randomness.randint(1, STORMS_MAX)
    begins = sorted(randomness.uniform(0.0, span_s) for _ in range(count - 1))
    return tuple(Storm(begin=begin, seconds=randomness.uniform(0.3, 1.0) * storm_s / count) for begin in (0.0, *begins))


def draw_hop(randomness: Random, left_s: float) -> float:
    """How much to leave out next of a lull that lasts so much longer."""
    return min(left_s, log_uniform(randomness, *HOP_S))
