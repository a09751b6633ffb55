"""Starts → offers: who goes where, and what is done with the rest.

Job by job (GPU work first, since nothing else may take its agents, then in the order of submission), each worker onto
the best pool that fits.  A pool's rank changes only when something is taken from it, so the ranking is kept in a heap
and only the pool last used is ranked again; constraints that look at where the job's other workers are rank all anew.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headgate.core.feasible import Surroundings, vetoes
from headgate.core.pool import Pool, attribute_text
from headgate.core.rank import score
from headgate.model.job import JobSpec, Operator
from headgate.model.resources import Resources

_AWARE = frozenset({Operator.UNIQUE, Operator.MAX_PER, Operator.GROUP_BY, Operator.CLUSTER})
"""Operators that look at where the job's other workers are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """The workers of one job to start, lowest number first, and where its others are (`placement.tally`)."""

    spec: JobSpec
    submission: int
    workers: tuple[int, ...]
    around: Surroundings
    counts: Mapping[str, Counter[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One worker and what it was given, on which agent."""

    spec: JobSpec
    submission: int
    worker: int
    pool: Pool
    resources: Resources
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """Who was placed, in order, and every pool as it is afterwards."""

    placed: tuple[Placed, ...]
    pools: tuple[Pool, ...]


def placing(wants: Sequence[Want], pools: Sequence[Pool]) -> Placing:
    """As many starts as fit.  Every resource is given once."""
    left = list(pools)
    placed: list[Placed] = []
    for want in sorted(wants, key=lambda want: (not want.spec.worker.gpus_m, want.submission, want.spec.name)):
        placed += _place_job(want, left)
    return Placing(placed=tuple(placed), pools=tuple(left))


def _place_job(want: Want, pools: list[Pool]) -> list[Placed]:
    """Place one job's workers, taking from `pools` in place."""
    counts = {name: Counter(values) for name, values in want.counts.items()}
    aware = any(each.operator in _AWARE for each in want.spec.placement)
    heap = _ranking(want.spec, pools, counts, want.around)
    placed = []
    for worker in want.workers:
        if not heap:
            break
        _, _, _, index = heapq.heappop(heap)
        taken, pools[index] = pools[index].after(want.spec.worker)
        places = _places(want.spec, pools[index])
        placed.append(
            Placed(
                spec=want.spec,
                submission=want.submission,
                worker=worker,
                pool=pools[index],
                resources=taken,
                places=places,
            )
        )
        for name, value in places.items():
            counts.setdefault(name, Counter())[value] += 1
        if aware:
            heap = _ranking(want.spec, pools, counts, want.around)
        else:
            for entry in _entry(want.spec, index, pools[index], counts, want.around):
                heapq.heappush(heap, entry)
    return placed


_Entry = tuple[float, str, str, int]


def _ranking(
    spec: JobSpec, pools: Sequence[Pool], counts: Mapping[str, Counter[str]], around: Surroundings
) -> list[_Entry]:
    heap = [entry for index, pool in enumerate(pools) for entry in _entry(spec, index, pool, counts, around)]
    heapq.heapify(heap)
    return heap


def _entry(
    spec: JobSpec, index: int, pool: Pool, counts: Mapping[str, Counter[str]], around: Surroundings
) -> list[_Entry]:
    """The pool's place in the ranking, best first; none if it does not fit."""
    if vetoes(spec, pool, counts, around):
        return []
    return [(-score(spec, pool, counts, around), pool.agent_id, pool.role, index)]


def _places(spec: JobSpec, pool: Pool) -> dict[str, str]:
    found = {each.attribute: attribute_text(pool, each.attribute) for each in spec.placement}
    return {name: value for name, value in sorted(found.items()) if value is not None}
