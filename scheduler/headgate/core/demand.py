"""How much work there is, and how many workers it takes: the formulas, free of policy.

    d_k(U) = s_k · (λ_k/U + B_k/Tc + λ_k·R/Tc)

in busy cores: shard k's arrivals λ at utilisation U, its backlog B cleared within Tc, and what arrives during a
handover R cleared as well; s is the cost of a record.  Workers are counted by packing shards, not by dividing the sum:
a shard cannot be split, so three shards of 0.4 do not fit two workers of 0.6.

Source: the three terms of Flink's autoscaler, per shard; Graham's longest-processing-time rule for the packing.
Units: records, seconds, cores.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence


def demand_cores(
    *, cost_s: float, arrivals_per_s: float, backlog: float, utilization: float, catch_up_s: float, handover_s: float
) -> float:
    """The formula above for one shard."""
    return cost_s * (arrivals_per_s / utilization + backlog / catch_up_s + arrivals_per_s * handover_s / catch_up_s)


def fullest(demands: Iterable[float], workers: int) -> float:
    """The fullest of so many workers when shards are packed largest first onto the emptiest."""
    assert workers >= 1, workers
    heap = [0.0] * workers
    for demand in sorted(demands, reverse=True):
        heapq.heapreplace(heap, heap[0] + demand)
    return max(heap)


def best_workers(demands: Sequence[float], *, cores: float, lowest: int, highest: int) -> int:
    """The fewest workers of `cores` each that carry the demands, within bounds.

    A shard that alone exceeds a worker sets the limit for all: more workers would not help it.
    """
    busy = [demand for demand in demands if demand > 0]
    if not busy:
        return lowest
    limit = max(cores, *busy) * (1 + 1e-9)
    top = max(lowest, min(highest, len(busy)))
    start = min(top, max(lowest, math.ceil(sum(busy) / limit)))
    return next((n for n in range(start, top + 1) if fullest(busy, n) <= limit), top)


def stay_s(*, backlog: float, arrivals_per_s: float, capacity_per_s: float) -> float:
    """How long it takes to clear the backlog as things are."""
    return backlog / (capacity_per_s - arrivals_per_s) if capacity_per_s > arrivals_per_s else math.inf


def go_s(*, backlog: float, arrivals_per_s: float, capacity_per_s: float, handover_s: float) -> float:
    """How long it takes with a new capacity, when getting there stops the work for a handover."""
    waiting = backlog + arrivals_per_s * handover_s
    return handover_s + stay_s(backlog=waiting, arrivals_per_s=arrivals_per_s, capacity_per_s=capacity_per_s)
