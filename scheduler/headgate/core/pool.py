"""What one agent has on offer for one role: all offers in hand, taken together.

Mesos may have several offers of one agent open at once (what is freed later is offered separately), and takes them all
in one ACCEPT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from headgate.model.ids import AgentId, OfferId
from headgate.model.offer import AttributeValue, FaultDomain, Offer, Unavailability
from headgate.model.resources import PortRange, Request, Resources
from headgate.model.snapshot import AgentSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One agent, one role.  `has_gpus`: the agent has some, though perhaps none free now."""

    agent_id: AgentId
    hostname: str
    role: str
    resources: Resources
    offer_ids: tuple[OfferId, ...] = ()
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    domain: FaultDomain | None = None
    unavailability: Unavailability | None = None
    has_gpus: bool = False

    def after(self, request: Request) -> tuple[Resources, Pool]:
        """(what the request gets, the pool without it)."""
        taken, left = self.resources.take(request)
        return taken, replace(self, resources=left)


def pools_of(offers: Iterable[Offer], agents: Mapping[AgentId, AgentSeen]) -> tuple[Pool, ...]:
    """One pool per agent and role, by agent id and role."""
    merged: dict[tuple[AgentId, str], list[Offer]] = {}
    for offer in offers:
        merged.setdefault((offer.agent_id, offer.role), []).append(offer)
    pools = []
    for (agent_id, role), group in sorted(merged.items()):
        resources = Resources()
        for offer in group:
            resources += offer.resources
        newest = max(group, key=lambda offer: (offer.received_at, offer.id))
        seen = agents.get(agent_id)
        pools.append(
            Pool(
                agent_id=agent_id,
                hostname=newest.hostname,
                role=role,
                resources=resources,
                offer_ids=tuple(sorted(offer.id for offer in group)),
                attributes=newest.attributes,
                domain=newest.domain,
                unavailability=newest.unavailability,
                has_gpus=resources.gpus_m > 0 or (seen is not None and seen.has_gpus),
            )
        )
    return tuple(pools)


def remembered_pool(agent: AgentSeen) -> Pool:
    """An agent as last offered, as if it were offered now."""
    return Pool(
        agent_id=agent.agent_id,
        hostname=agent.hostname,
        role=agent.role,
        resources=agent.offered,
        attributes=agent.attributes,
        domain=agent.domain,
        unavailability=agent.unavailability,
        has_gpus=agent.has_gpus,
    )


def attribute_text(pool: Pool, name: str) -> str | None:
    """An attribute as text (`hostname`, `@region`, `@zone` are ones); None: the agent has none of that name."""
    if name == "hostname":
        return pool.hostname
    if name in ("@region", "@zone"):
        if pool.domain is None:
            return None
        return pool.domain.region if name == "@region" else pool.domain.zone
    value = pool.attributes.get(name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(value)) + "}"
    return "[" + ",".join(_range_text(each) for each in value) + "]"


def _range_text(each: PortRange) -> str:
    return f"{each.begin}-{each.end}"
