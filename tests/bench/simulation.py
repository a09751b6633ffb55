"""How many random worlds of a virtual day each are run in a minute on one core.

Against the rate at which a night's run of ten hours covers half a century of days.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from figure import Figure, Measurement

from headgate.testing.simulation import report, simulate
from headgate.testing.world import Options

DAY = Options(storm_s=30.0, span_s=86400.0)
SEEDS = 1000
AT_LEAST_PER_MINUTE = 300.0


def simulated_days(folder: Path, rounds: int) -> Figure:
    """Worlds per minute, each with half a minute of storms spread over its day.  Rounds make no difference.

    Raises:
        AssertionError: one of them breaks a rule.
    """
    del folder, rounds
    begun = time.perf_counter()
    for seed in range(1, SEEDS + 1):
        outcome = simulate(seed, DAY)
        assert outcome.failure is None, report(outcome)
    rate = SEEDS * 60.0 / (time.perf_counter() - begun)
    return Figure(
        value=rate,
        unit="seeds/min",
        against=f"{AT_LEAST_PER_MINUTE:.0f} a minute on one core, a virtual day each, of {SEEDS:,} seeds",
        ratio=rate / AT_LEAST_PER_MINUTE,
    )


FIGURES: Mapping[str, Measurement] = {"simulated_days": simulated_days}
