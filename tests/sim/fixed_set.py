"""The worlds that every change has to pass, and the broken builds have to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeAlias

from headgate.testing.faults import Fault
from headgate.testing.world import Options

Worlds: TypeAlias = tuple[tuple[int, Options], ...]
"""Seeds and options."""

SHORT: Final = Options(storm_s=40.0)


def _worlds(seeds: range | tuple[int, ...], **weights: float) -> Worlds:
    options = replace(SHORT, weights={Fault[name]: weight for name, weight in weights.items()}) if weights else SHORT
    return tuple((seed, options) for seed in seeds)


DRAWN: Final = _worlds(range(1, 25))
FAILOVERS: Final = _worlds((12, 16), WORKER_DIES=20.0, MASTER_DIES=8.0, AGENT_DIES=10.0)
RIVALS: Final = _worlds((5, 12, 28), WORKER_DIES=10.0, SECOND_LEADER=6.0)
LOSSES: Final = _worlds((2, 5), MESSAGE_LOST=0.4)
WORLDS: Final = (*DRAWN, *FAILOVERS, *RIVALS, *LOSSES)
"""Faults drawn from the seed; masters that die; schedulers that do not know that they are over; messages lost."""
