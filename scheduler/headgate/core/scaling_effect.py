"""Did it help?  What became of the last workers that were added to clear a backlog.

Whatever a model says, more workers are no use when something else is the limit: a database that they all write to, a
hot partition, a quota of calls.  They may even make it worse (KEDA #7092: scaling out took the database down with it).
So while the backlog lasts, what is processed per second is compared with what it was before:

    e = (now - before) / (expected - before),   expected = before · workers / workers before

Below a tenth the number stays; if less is done than before, the workers are let go again.  Either way it is remembered
for an hour, and twice as long each time it happens anew.  Source: the detection of ineffective scale-ups of Flink's
autoscaler.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from headgate.model.record import Saturation, ScalingTrial

EFFICIENCY_MIN: Final = 0.1
FELL: Final = 0.95
"""Less than this share of what was processed before is less, and not noise."""
REMEMBERED_S: Final = 3600.0
REMEMBERED_MAX_S: Final = 86400.0
_DOUBLINGS_MAX: Final = 10
"""Beyond the longest, and small enough not to overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """`saturation` is None if it helped; `back_to` how many workers to go back to, None: they stay."""

    text: str
    saturation: Saturation | None = None
    back_to: int | None = None


def effect(
    trial: ScalingTrial, workers: int, rate_per_s: float, *, backlogged: bool, before: Saturation | None, now: float
) -> Effect:
    """What came of a trial whose time is up.  Without a backlog left to clear it has done what it was to do."""
    if not backlogged or workers <= trial.workers or trial.rate_per_s <= 0:
        return Effect(text="the backlog is cleared")
    rates = f"{trial.rate_per_s:.0f} records/s with {trial.workers} workers, {rate_per_s:.0f} with {workers}"
    expected = trial.rate_per_s * workers / trial.workers
    efficiency = (rate_per_s - trial.rate_per_s) / (expected - trial.rate_per_s)
    if efficiency >= EFFICIENCY_MIN:
        return Effect(text=f"it helped: {rates}")
    times = before.times + 1 if before is not None else 1
    fell = rate_per_s < FELL * trial.rate_per_s
    until = now + min(REMEMBERED_MAX_S, REMEMBERED_S * 2.0 ** min(times - 1, _DOUBLINGS_MAX))
    saturation = Saturation(workers=trial.workers if fell else workers, until=until, times=times)
    text = f"more workers did not help: {rates}"
    return Effect(text=text, saturation=saturation, back_to=trial.workers if fell else None)
