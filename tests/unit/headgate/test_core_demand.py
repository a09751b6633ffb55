"""The formulas of scaling against worked examples."""

import math
from dataclasses import dataclass

import pytest

from headgate.core.demand import best_workers, demand_cores, fullest, go_s, stay_s
from headgate.core.scaling import worth_it_refusal


@dataclass(frozen=True)
class Shards:
    """So many alike: records per second, seconds per record, backlog of each."""

    count: int
    arrivals: float
    cost: float = 20e-6
    backlog: float = 0.0


VECTORS = {
    "even": ([Shards(8, 10_000)], 600, 20, 3, 2.339, 0.877),
    "backlog": ([Shards(8, 10_000, backlog=3e6)], 600, 20, 4, 3.139, 0.785),
    "less time to catch up": ([Shards(8, 10_000, backlog=3e6)], 120, 20, 8, 6.552, 0.819),
    "skew": ([Shards(1, 30_000), Shards(7, 3_000)], 600, 20, 2, 1.491, 0.877),
    "hot": ([Shards(1, 60_000), Shards(7, 1_000)], 600, 20, 2, 1.959, 1.754),
    "idle": ([Shards(8, 0)], 600, 20, 1, 0.0, 0.0),
    "twelve shards": ([Shards(12, 10_000, cost=28e-6)], 600, 20, 6, 4.912, 0.819),
    "mixed cost": ([Shards(4, 5_000, cost=10e-6), Shards(4, 5_000, cost=80e-6)], 600, 20, 4, 2.631, 0.658),
    "slow restart": ([Shards(8, 10_000, backlog=3e6)], 600, 120, 4, 3.406, 0.851),
}


@pytest.mark.parametrize(
    ("groups", "catch_up_s", "handover_s", "workers", "total", "bin_"), VECTORS.values(), ids=VECTORS.keys()
)
def test_workers_for_a_demand(
    groups: list[Shards], catch_up_s: float, handover_s: float, workers: int, total: float, bin_: float
) -> None:
    """Number of workers, cores in all, cores of the fullest worker."""
    demands = [
        demand_cores(
            cost_s=group.cost,
            arrivals_per_s=group.arrivals,
            backlog=group.backlog,
            utilization=0.7,
            catch_up_s=catch_up_s,
            handover_s=handover_s,
        )
        for group in groups
        for _ in range(group.count)
    ]
    assert best_workers(demands, cores=1, lowest=1, highest=16) == workers
    assert sum(demands) == pytest.approx(total, abs=5e-4)
    assert fullest(demands, workers) == pytest.approx(bin_, abs=5e-4)


def test_the_formula_agrees_with_flinks() -> None:
    """Its target rates for 80,000 records/s and 24 million waiting (cost one: cores are records per second)."""
    for catch_up_s, handover_s, expected in ((1800, 300, 140_952), (600, 20, 156_952)):
        rate = demand_cores(
            cost_s=1,
            arrivals_per_s=80_000,
            backlog=24e6,
            utilization=0.7,
            catch_up_s=catch_up_s,
            handover_s=handover_s,
        )
        assert rate == pytest.approx(expected, abs=1)


def test_bounds() -> None:
    """Never fewer than the lowest, more than the highest, or (above the lowest) more than shards with work."""
    assert best_workers([5.0, 5.0], cores=1, lowest=3, highest=8) == 3
    assert best_workers([0.9] * 20, cores=1, lowest=1, highest=8) == 8
    assert best_workers([0.9, 0.9, 0.0], cores=1, lowest=1, highest=8) == 2
    assert best_workers([], cores=1, lowest=0, highest=8) == 0


@pytest.mark.parametrize(
    ("backlog", "capacity", "then", "handover_s", "stay", "go", "worth"),
    [
        (24e6, 120_000, 200_000, 20, 600, 233, True),
        (4e6, 120_000, 140_000, 60, 100, 207, False),
        (24e6, 70_000, 120_000, 20, math.inf, None, True),
    ],
)
def test_going_is_refused_when_staying_is_as_fast(
    backlog: float, capacity: float, then: float, handover_s: float, stay: float, go: float | None, worth: bool
) -> None:
    """80,000 records/s arrive; what staying takes, what going takes, and the verdict."""
    arrivals = 80_000.0
    assert stay_s(backlog=backlog, arrivals_per_s=arrivals, capacity_per_s=capacity) == pytest.approx(stay)
    if go is not None:
        found = go_s(backlog=backlog, arrivals_per_s=arrivals, capacity_per_s=then, handover_s=handover_s)
        assert found == pytest.approx(go, abs=1)
    refusal = worth_it_refusal(
        backlog=backlog,
        arrivals_per_s=arrivals,
        capacity_per_s=capacity,
        capacity_then_per_s=then,
        handover_s=handover_s,
        highest_utilization=0.85,
    )
    assert (refusal is None) == worth
