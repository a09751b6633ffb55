"""The worlds that every change has to pass, and the broken builds have to fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from headgate.testing.faults import Fault
from headgate.testing.world import Options

SHORT: Final = Options(storm_s=40.0)
FAILOVERS: Final = replace(SHORT, weights={Fault.WORKER_DIES: 20.0, Fault.MASTER_DIES: 8.0, Fault.AGENT_DIES: 10.0})
RIVALS: Final = replace(SHORT, weights={Fault.WORKER_DIES: 10.0, Fault.SECOND_LEADER: 6.0})
WORLDS: Final = (
    *((seed, SHORT) for seed in range(1, 31)),
    *((seed, FAILOVERS) for seed in (1, 2, 3, 4, 22)),
    *((seed, RIVALS) for seed in range(1, 6)),
)
"""Seed and options: faults drawn from the seed, masters that die, schedulers that do not know that they are over."""
