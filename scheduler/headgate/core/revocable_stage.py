"""Extra workers on revocable resources: what others have been given and do not use, and may want back at any time.

Only workers above the job's minimum, only of jobs that ask for it, and only on these resources: CPUs always, memory
where enough of it is revocable; the rest is plain.  A task must not mix both kinds of one resource.

Source: Mesos, `docs/oversubscription.md`; a worker that is evicted ends with TASK_GONE, and is replaced at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headgate.core.place import Placed, Want, placing
from headgate.core.placing.fleet import Fleet
from headgate.core.pool import Pool
from headgate.core.reservations import Place
from headgate.model.ids import JobName
from headgate.model.job import JobSpec
from headgate.model.offer import Offer
from headgate.model.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """Who was placed, and which kinds of resources are revocable for them."""

    placed: tuple[Placed, ...] = ()
    kinds: Mapping[tuple[JobName, int], tuple[str, ...]] = field(default_factory=dict)


def is_extra(spec: JobSpec, worker: int) -> bool:
    """Whether the worker runs on revocable resources."""
    return spec.revocable and worker >= spec.workers.min


def why_extra_waits(spec: JobSpec, workers: Iterable[int]) -> str | None:
    """What to say of workers that all wait for revocable resources; None: they wait for something else."""
    if not all(is_extra(spec, worker) for worker in workers):
        return None
    return f"runs on revocable resources only, and none fit now; those up to {spec.workers.min} need none"


def place_extra(wants: Sequence[Want], fleet: Fleet, offers: Iterable[Offer]) -> Extra:
    """Place the workers in `wants`, all of them extra ones, job by job; the fleet has what is left of the plain."""
    if not wants:
        return Extra()
    revocable: dict[Place, Resources] = {}
    for offer in offers:
        if offer.revocable != Resources():
            at = (offer.agent_id, offer.role)
            revocable[at] = revocable.get(at, Resources()) + offer.revocable
    placed: list[Placed] = []
    kinds: dict[tuple[JobName, int], tuple[str, ...]] = {}
    rows = {(pool.agent_id, pool.role): row for row, pool in enumerate(fleet.pools) if pool.offer_ids}
    for want in sorted(wants, key=lambda want: (want.submission, want.spec.name)):
        soft = {at: _kinds(want.spec, found) for at, found in revocable.items()}
        for each in placing([replace(want, gang=False)], Fleet(_mixed(fleet.pools, revocable, soft))).placed:
            at = (each.pool.agent_id, each.pool.role)
            kinds[each.spec.name, each.worker] = soft[at]
            softly = Resources(cpus_m=each.resources.cpus_m, mem_m=each.resources.mem_m if "mem" in soft[at] else 0)
            revocable[at] = revocable[at].less(softly)
            pool = fleet.pools[rows[at]]
            fleet.put_back(rows[at], replace(pool, resources=pool.resources.less(each.resources.less(softly))))
            placed.append(replace(each, pool=fleet.pools[rows[at]]))
    return Extra(placed=tuple(placed), kinds=kinds)


def _kinds(spec: JobSpec, revocable: Resources) -> tuple[str, ...]:
    return ("cpus", "mem") if revocable.mem_m >= spec.worker.mem_m else ("cpus",)


def _mixed(
    pools: Iterable[Pool], revocable: Mapping[Place, Resources], soft: Mapping[Place, tuple[str, ...]]
) -> list[Pool]:
    """What a worker may use on each agent, each kind from one source."""
    found = []
    for pool in pools:
        at = (pool.agent_id, pool.role)
        amount = revocable.get(at, Resources())
        mem_m = amount.mem_m if "mem" in soft.get(at, ()) else pool.resources.mem_m
        found.append(replace(pool, resources=replace(pool.resources, cpus_m=amount.cpus_m, mem_m=mem_m)))
    return found
