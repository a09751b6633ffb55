"""Starts → offers: who goes where, and what is done with the rest.

Job by job (GPU work first, since nothing else may take its agents, then in the order of submission), each worker onto
the best pool that fits.  A pool's rank changes only when something is taken from it, so rankings are kept in heaps, one
for all jobs alike in need, and only the pool last used is ranked again; constraints that look at where the job's other
workers are rank all anew.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
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
    table = _Table(pools)
    placed: list[Placed] = []
    for want in sorted(wants, key=lambda want: (not want.spec.worker.gpus_m, want.submission, want.spec.name)):
        placed += _place_job(want, table)
    return Placing(placed=tuple(placed), pools=tuple(table.pools))


_Entry = tuple[float, str, str, int]
"""Score (lower is better), agent, role, index of the pool: in the order of preference."""


class _Ranking:
    """The pools that fit one kind of need, best first."""

    def __init__(self, want: Want, counts: Mapping[str, Counter[str]]) -> None:
        self._want = want
        self._counts = counts
        self._heap: list[_Entry] = []
        self._current: dict[int, _Entry] = {}

    def put(self, index: int, pool: Pool) -> None:
        """Rank a pool, anew if it was ranked before."""
        self._current.pop(index, None)
        spec, around = self._want.spec, self._want.around
        # The cheap question first: most pools that do not fit are too small.
        if not pool.resources.holds(spec.worker) or vetoes(spec, pool, self._counts, around):
            return
        entry = (-score(spec, pool, self._counts, around), pool.agent_id, pool.role, index)
        self._current[index] = entry
        heapq.heappush(self._heap, entry)

    def best(self) -> int | None:
        """The index of the best pool; None if none fits."""
        while self._heap:
            entry = self._heap[0]
            if self._current.get(entry[3]) == entry:
                return entry[3]
            heapq.heappop(self._heap)
        return None


class _Table:
    """The pools, and the rankings made of them so far: jobs alike in need share one."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self.pools = list(pools)
        self._shared: dict[Hashable, _Ranking] = {}

    def ranking(self, want: Want, counts: Mapping[str, Counter[str]]) -> _Ranking:
        """The ranking for a need as things are; not kept if it depends on where the job's other workers are."""
        spec, around = want.spec, want.around
        if spec.placement:
            return self._made(want, counts)
        kind = (spec.role, spec.worker, around.gpus_kept, tuple(sorted(around.avoided.items())))
        if kind not in self._shared:
            self._shared[kind] = self._made(want, counts)
        return self._shared[kind]

    def take(self, index: int, want: Want) -> Resources:
        """What a worker gets out of a pool; the pool and its ranks are less by that."""
        taken, self.pools[index] = self.pools[index].after(want.spec.worker)
        for ranking in self._shared.values():
            ranking.put(index, self.pools[index])
        return taken

    def _made(self, want: Want, counts: Mapping[str, Counter[str]]) -> _Ranking:
        made = _Ranking(want, counts)
        for index, pool in enumerate(self.pools):
            made.put(index, pool)
        return made


def _place_job(want: Want, table: _Table) -> list[Placed]:
    counts = {name: Counter(values) for name, values in want.counts.items()}
    aware = any(each.operator in _AWARE for each in want.spec.placement)
    ranking = table.ranking(want, counts)
    placed = []
    for worker in want.workers:
        index = ranking.best()
        if index is None:
            break
        taken = table.take(index, want)
        pool = table.pools[index]
        places = _places(want.spec, pool)
        placed.append(
            Placed(spec=want.spec, submission=want.submission, worker=worker, pool=pool, resources=taken, places=places)
        )
        for name, value in places.items():
            counts.setdefault(name, Counter())[value] += 1
        if aware:
            ranking = table.ranking(want, counts)
        elif want.spec.placement:
            ranking.put(index, pool)
    return placed


def _places(spec: JobSpec, pool: Pool) -> dict[str, str]:
    found = {each.attribute: attribute_text(pool, each.attribute) for each in spec.placement}
    return {name: value for name, value in sorted(found.items()) if value is not None}
