"""A worker's needs against what one agent offers: the vetoes.  None means that it fits.

Each thing is checked for itself, so that the answer names every shortfall, not the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.core.attributes import REGION, attribute_value
from headgate.core.placement import placement_veto
from headgate.core.pool import Pool
from headgate.core.units import size_text
from headgate.model.ids import AgentId
from headgate.model.job import JobSpec
from headgate.model.offer import Unavailability
from headgate.model.resources import Request
from headgate.model.waiting import Veto, VetoKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a fit depends on besides the job and the agent.

    `groups`: per attribute of a group_by, the known values on agents that the job could use.  `avoided`: agents the job
    leaves alone, until when; if `avoided_bend`, only as long as another one fits.  `gpus_kept`: agents with GPUs are
    left to GPU work.  `region`: the master's, the only one that is used unless the job speaks of regions; None: any.
    """

    now: float
    maintenance_s: float
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    avoided: Mapping[AgentId, float] = field(default_factory=dict)
    avoided_bend: bool = False
    gpus_kept: bool = True
    region: str | None = None


def confined_to(spec: JobSpec, region: str | None) -> str | None:
    """The region outside which the job uses no agent; None: it may use any.

    Source: Mesos, `docs/fault-domains.md`: remote agents are for who asks for them, since latency and cost differ.
    """
    return None if any(each.attribute == REGION for each in spec.placement) else region


def under_maintenance(window: Unavailability | None, around: Surroundings) -> bool:
    """Whether the window is open, or opens soon."""
    if window is None:
        return False
    over = window.duration_s is not None and window.start_at + window.duration_s <= around.now
    return not over and window.start_at <= around.now + around.maintenance_s


def vetoes(spec: JobSpec, pool: Pool, counts: Mapping[str, Counter[str]], around: Surroundings) -> tuple[Veto, ...]:
    """Every reason why a worker of the job cannot start on this pool now.

    `counts` tallies the job's other workers by attribute value (`placement.tally`).
    """
    found = [*static_vetoes(spec, pool, around), *shortfalls(spec.worker, pool)]
    for each in spec.placement:
        if each.weight is None:
            veto = placement_veto(
                each,
                attribute_value(pool, each.attribute),
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
    region = confined_to(spec, around.region)
    if region is not None and pool.domain is not None and pool.domain.region != region:
        found.append(
            Veto(
                kind=VetoKind.REGION,
                text=f"region: the agent is in {pool.domain.region}, the master in {region}",
                remedy="with a constraint on @region",
            )
        )
    if around.gpus_kept and pool.has_gpus and not spec.worker.gpus_m:
        found.append(Veto(kind=VetoKind.GPUS_KEPT, text="the agent has GPUs, which are kept for jobs that want them"))
    if under_maintenance(pool.unavailability, around):
        assert pool.unavailability is not None
        starts = pool.unavailability.start_at - around.now
        when = f"in {starts:.0f} s" if starts > 0 else "now"
        found.append(Veto(kind=VetoKind.MAINTENANCE, text=f"maintenance begins {when}"))
    until = around.avoided.get(pool.agent_id)
    if until is not None and until > around.now:
        found.append(
            Veto(
                kind=VetoKind.AVOIDED,
                text=f"tasks failed there lately: left alone for {until - around.now:.0f} s more",
                passing=True,
            )
        )
    return found


def shortfalls(request: Request, pool: Pool) -> list[Veto]:
    """What there is too little of."""
    offered = pool.resources
    amounts = (
        (VetoKind.CPUS, request.cpus_m, offered.cpus_m),
        (VetoKind.MEM, request.mem_m, offered.mem_m),
        (VetoKind.DISK, request.disk_m, offered.disk_m),
        (VetoKind.GPUS, request.gpus_m, offered.gpus_m),
        (VetoKind.PORTS, request.ports, offered.port_count),
    )
    return [
        Veto(
            kind=kind,
            text=f"{kind.value}: wants {amount_text(kind, wanted)}, {amount_text(kind, there)} free",
            remedy=at_most(kind, there),
            wanted=wanted,
            offered=there,
        )
        for kind, wanted, there in amounts
        if wanted > there
    ]


def at_most(kind: VetoKind, amount: int) -> str | None:
    """What would make an agent fit that has so much of it; None: nothing, since no worker does without any."""
    if not amount and kind in (VetoKind.CPUS, VetoKind.MEM):
        return None
    return f"{kind.value} ≤ {amount_text(kind, amount)}" if amount else f"without {kind.value}"


def amount_text(kind: VetoKind, amount: int) -> str:
    """An amount of one kind as people write it."""
    if kind in (VetoKind.MEM, VetoKind.DISK):
        return size_text(amount / 1000)
    return str(amount) if kind is VetoKind.PORTS else f"{amount / 1000:g}"
