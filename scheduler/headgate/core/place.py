"""Starts → offers: who goes where.

Job by job (GPU work first, since nothing else may take its agents, then in the order of submission), each worker onto
the best pool that fits.  A job that finds no room stands in nobody's way.  All agents are judged at once, in arrays
(`core.placing`); after a worker is placed only what it changed is judged again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from headgate.core.attributes import attribute_text
from headgate.core.feasible import Surroundings
from headgate.core.placing.checks import Constraint, avoided, role_and_place
from headgate.core.placing.fleet import Bools, Fleet
from headgate.core.placing.ranking import Ranking, Tightness
from headgate.core.pool import Pool
from headgate.model.ids import AgentId, JobName
from headgate.model.job import JobSpec
from headgate.model.resources import Request, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """The workers of one job to start, lowest number first, and where its others are.

    `since`: the first of them has been wanted for so long.  `counts`: the others by attribute value
    (`placement.tally`); `homes`: by agent.  `gang`: all of them, or none.
    """

    spec: JobSpec
    submission: int
    workers: tuple[int, ...]
    around: Surroundings
    since: float | None = None
    counts: Mapping[str, Counter[str]] = field(default_factory=dict)
    homes: Mapping[AgentId, int] = field(default_factory=dict)
    gang: bool = False


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
    """Who was placed, in order; `gathered`: what was found for a gang that is not complete, and is held for it."""

    placed: tuple[Placed, ...]
    gathered: tuple[Placed, ...] = ()


def placing(
    wants: Sequence[Want], fleet: Fleet, *, usable: Bools | None = None, holder: JobName | None = None
) -> Placing:
    """As many starts as fit.  Every resource is given once; the fleet has what is left.

    Only rows that are `usable` are used: by default those with an offer in hand.  `holder` is the gang for which pools
    are kept from who comes after it while it is not complete.
    """
    free = fleet.offered if usable is None else usable
    tightness: dict[Request, Tightness] = {}
    placed: list[Placed] = []
    gathered: list[Placed] = []
    in_order = sorted(wants, key=lambda want: (not want.spec.worker.gpus_m, want.submission, want.spec.name))
    for want in in_order:
        request = want.spec.worker
        if request not in tightness:
            tightness[request] = Tightness(request, fleet)
        before: dict[int, Pool] | None = {} if want.gang else None
        found = _place_job(want, fleet, tightness[request], free, before)
        if before is not None and len(found) < len(want.workers):
            for row, pool in before.items():
                fleet.put_back(row, pool)
            if want.spec.name == holder:
                gathered = found
                free = free.copy()
                free[list(before)] = False
        else:
            placed += found
    return Placing(placed=tuple(placed), gathered=tuple(gathered))


def may_help(wants: Sequence[Want], fleet: Fleet) -> Bools:
    """Rows that a worker of any of these could use, now or once what stands against it has passed by itself."""
    helps = np.zeros(len(fleet), dtype=np.bool_)
    tightness: dict[Request, Tightness] = {}
    for want in wants:
        spec = want.spec
        if spec.worker not in tightness:
            tightness[spec.worker] = Tightness(spec.worker, fleet)
        fits = tightness[spec.worker].shares() > -np.inf
        for check in role_and_place(spec, fleet, want.around):
            fits &= ~check.against
        for each in spec.placement:
            if each.weight is None:
                fits &= Constraint(each, fleet, want.counts, want.around).at(slice(None))
        helps |= fits
    return helps


def _place_job(
    want: Want, fleet: Fleet, tightness: Tightness, free: Bools, before: dict[int, Pool] | None
) -> list[Placed]:
    """As many of the job's workers as fit; the pools as they were go to `before`."""
    spec, around = want.spec, want.around
    usable = free.copy()
    for check in role_and_place(spec, fleet, around):
        usable &= ~check.against
    shunned = avoided(fleet, around)
    ranking = Ranking(spec, fleet, tightness, usable & ~shunned, want.counts, want.homes, around)
    bends = around.avoided_bend and bool(around.avoided)
    names = sorted({each.attribute for each in spec.placement})
    placed = []
    for worker in want.workers:
        row = ranking.best()
        if row is None and bends:
            bends = False
            ranking.use(usable)
            row = ranking.best()
        if row is None:
            break
        if before is not None:
            before.setdefault(row, fleet.pools[row])
        taken = fleet.take(row, spec.worker)
        pool = fleet.pools[row]
        places = {name: text for name in names if (text := attribute_text(pool, name)) is not None}
        placed.append(
            Placed(spec=spec, submission=want.submission, worker=worker, pool=pool, resources=taken, places=places)
        )
        ranking.taken(row, fleet.rows_of(pool.agent_id), places)
    return placed
