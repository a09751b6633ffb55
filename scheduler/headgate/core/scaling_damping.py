"""Keeps the policy from swinging: the more it has changed its mind lately, the smaller its steps.

A loop that goes up, finds that too much, goes down, finds that too little, does harm with each change, since each moves
shards.  The share of the majority among the recent changes says how sure the policy is of its direction; its third
power scales the step.  Source: the gain damping of Netflix Mantis's Clutch scaler.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from headgate.model.record import ScalingAction

SPAN_S: Final = 3600.0
ACTIONS_MAX: Final = 12
ACTIONS_MIN: Final = 4
"""Fewer changes than this within the hour are no swinging."""
DOWN_STEP: Final = 0.6
"""The share of the workers that one step down may take away: the least a mistake leaves is enough to go on with."""


def remembered(actions: Sequence[ScalingAction], now: float, *, up: bool) -> tuple[ScalingAction, ...]:
    """The changes to remember after one more."""
    recent = [each for each in actions if now - each.at < SPAN_S]
    return (*recent, ScalingAction(at=now, up=up))[-ACTIONS_MAX:]


def gain(actions: Sequence[ScalingAction], now: float) -> float:
    """By how much a step is to be scaled: 1 while all recent changes went one way, 1/8 when half of them did."""
    recent = [each.up for each in actions if now - each.at < SPAN_S]
    if len(recent) < ACTIONS_MIN:
        return 1.0
    majority = max(recent.count(True), recent.count(False))
    return float((majority / len(recent)) ** 3)


def damped_up(workers: int, best: int, actions: Sequence[ScalingAction], now: float) -> int:
    """How many to go up to: at least one more, since work that is not done piles up."""
    return min(best, workers + max(1, math.ceil((best - workers) * gain(actions, now))))


def damped_down(workers: int, target: int, actions: Sequence[ScalingAction], now: float) -> int:
    """How many to go down to; `workers` if it is better to wait, which costs no more than what is there already."""
    least = math.ceil(workers * (1 - DOWN_STEP))
    return max(target, least, workers - math.floor((workers - target) * gain(actions, now)))
