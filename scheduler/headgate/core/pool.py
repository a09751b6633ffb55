"""What one agent has on offer for one role: all offers in hand, taken together.

Mesos may have several offers of one agent open at once (what is freed later is offered separately), and takes them all
in one ACCEPT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from headgate.model.ids import AgentId, OfferId
from headgate.model.offer import AttributeValue, FaultDomain, Offer, Unavailability
from headgate.model.resources import Request, Resources
from headgate.model.snapshot import AgentSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One agent, one role.  `has_gpus`: the agent has some, though perhaps none free now.

    `most`: the most of each kind that it ever offered.
    """

    agent_id: AgentId
    hostname: str
    role: str
    resources: Resources
    offer_ids: tuple[OfferId, ...] = ()
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    domain: FaultDomain | None = None
    unavailability: Unavailability | None = None
    has_gpus: bool = False
    most: Resources = field(default_factory=Resources)

    def after(self, request: Request) -> tuple[Resources, Pool]:
        """(what the request gets, the pool without it)."""
        taken, left = self.resources.take(request)
        return taken, replace(self, resources=left)


def pools_of(
    offers: Iterable[Offer], agents: Mapping[AgentId, AgentSeen], with_gpus: Set[AgentId] = frozenset()
) -> tuple[Pool, ...]:
    """One pool per agent and role, by agent id and role.  `with_gpus`: agents remembered to have GPUs."""
    merged: dict[tuple[AgentId, str], list[Offer]] = {}
    for offer in offers:
        merged.setdefault((offer.agent_id, offer.role), []).append(offer)
    pools = []
    for (agent_id, role), group in sorted(merged.items()):
        newest = group[0]
        resources = newest.resources
        if len(group) > 1:
            newest = max(group, key=lambda offer: (offer.received_at, offer.id))
            resources = sum((offer.resources for offer in group), start=Resources())
        seen = agents.get(agent_id)
        pools.append(
            Pool(
                agent_id=agent_id,
                hostname=newest.hostname,
                role=role,
                resources=resources,
                offer_ids=tuple(sorted(offer.id for offer in group)) if len(group) > 1 else (newest.id,),
                attributes=newest.attributes,
                domain=newest.domain,
                unavailability=newest.unavailability,
                has_gpus=resources.gpus_m > 0 or (seen is not None and seen.has_gpus) or agent_id in with_gpus,
                most=seen.most if seen is not None else resources,
            )
        )
    return tuple(pools)


def remembered_pool(agent: AgentSeen, with_gpus: Set[AgentId] = frozenset()) -> Pool:
    """An agent as last offered, as if it were offered now."""
    return Pool(
        agent_id=agent.agent_id,
        hostname=agent.hostname,
        role=agent.role,
        resources=agent.offered,
        attributes=agent.attributes,
        domain=agent.domain,
        unavailability=agent.unavailability,
        has_gpus=agent.has_gpus or agent.agent_id in with_gpus,
        most=agent.most,
    )
