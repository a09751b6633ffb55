"""A worker's needs against what an agent offers: the vetoes.  None means that it fits.

Resources are checked each for itself, so that the answer names every shortfall, not the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.core.placement import placement_veto
from headgate.core.pool import Pool, attribute_text
from headgate.core.units import size_text
from headgate.model.ids import AgentId
from headgate.model.job import JobSpec
from headgate.model.resources import Request
from headgate.model.waiting import Veto, VetoKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a fit depends on besides the job and the agent.

    `groups`: known values per attribute.  `avoided`: agents the job leaves alone, until when.  `gpus_kept`: agents with
    GPUs are left to GPU work (not so when every known agent has them).
    """

    now: float
    maintenance_s: float
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    avoided: Mapping[AgentId, float] = field(default_factory=dict)
    gpus_kept: bool = True


def vetoes(spec: JobSpec, pool: Pool, counts: Mapping[str, Counter[str]], around: Surroundings) -> tuple[Veto, ...]:
    """Every reason why a worker of the job cannot start on this pool now.

    `counts` tallies the job's other workers by attribute value (`placement.tally`).
    """
    found = [*static_vetoes(spec, pool, around), *shortfalls(spec.worker, pool)]
    for each in spec.placement:
        if each.weight is None:
            veto = placement_veto(
                each,
                attribute_text(pool, each.attribute),
                counts.get(each.attribute, Counter()),
                around.groups.get(each.attribute, frozenset()),
            )
            if veto:
                found.append(veto)
    return tuple(found)


def static_vetoes(spec: JobSpec, pool: Pool, around: Surroundings) -> list[Veto]:
    """Those that do not depend on what is taken from the pool."""
    found = []
    if pool.role != spec.role:
        found.append(
            Veto(
                kind=VetoKind.ROLE,
                text=f"role: offered for {pool.role}, wants {spec.role}",
                remedy=f"role {pool.role}",
            )
        )
    if around.gpus_kept and pool.has_gpus and not spec.worker.gpus_m:
        found.append(Veto(kind=VetoKind.GPUS_KEPT, text="the agent has GPUs, which are kept for jobs that want them"))
    until = around.avoided.get(pool.agent_id)
    if until is not None and until > around.now:
        found.append(
            Veto(
                kind=VetoKind.AVOIDED,
                text=f"tasks failed there lately: left alone for {until - around.now:.0f} s more",
                passing=True,
            )
        )
    window = pool.unavailability
    if window is not None:
        over = window.duration_s is not None and window.start_at + window.duration_s <= around.now
        if not over and window.start_at <= around.now + around.maintenance_s:
            starts = window.start_at - around.now
            when = f"in {starts:.0f} s" if starts > 0 else "now"
            found.append(Veto(kind=VetoKind.MAINTENANCE, text=f"maintenance begins {when}"))
    return found


def shortfalls(request: Request, pool: Pool) -> list[Veto]:
    """What there is too little of."""
    offered = pool.resources
    amounts = (
        (VetoKind.CPUS, request.cpus_m, offered.cpus_m, _number),
        (VetoKind.MEM, request.mem_m, offered.mem_m, _size),
        (VetoKind.DISK, request.disk_m, offered.disk_m, _size),
        (VetoKind.GPUS, request.gpus_m, offered.gpus_m, _number),
        (VetoKind.PORTS, request.ports, offered.port_count, str),
    )
    return [
        Veto(
            kind=kind,
            text=f"{kind.value}: wants {text(wanted)}, {text(there)} free",
            remedy=f"{kind.value} ≤ {text(there)}",
            wanted=wanted,
            offered=there,
        )
        for kind, wanted, there, text in amounts
        if wanted > there
    ]


def _number(thousandths: int) -> str:
    return f"{thousandths / 1000:g}"


def _size(thousandths: int) -> str:
    return size_text(thousandths / 1000)
