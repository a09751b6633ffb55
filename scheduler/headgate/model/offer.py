"""An offer as received: what one agent has free for one role, until we answer or it is rescinded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.model.ids import AgentId, ExecutorId, OfferId
from headgate.model.resources import PortRange, Resources

AttributeValue = str | float | tuple[PortRange, ...] | frozenset[str]
"""TEXT, SCALAR, RANGES or SET of Mesos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultDomain:
    """Where an agent stands."""

    region: str
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailability:
    """A maintenance window, in seconds since the epoch; no duration: for good."""

    start_at: float
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One agent, one role.  `resources` are the plain ones (unreserved, or reserved for `role`; not revocable).

    `received_at` is in seconds of our own clock.
    """

    id: OfferId
    agent_id: AgentId
    hostname: str
    resources: Resources
    received_at: float
    role: str = "*"
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    domain: FaultDomain | None = None
    unavailability: Unavailability | None = None
    executor_ids: tuple[ExecutorId, ...] = ()
    agent_address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseOffer:
    """A wish to have an agent back."""

    id: OfferId
    agent_id: AgentId
    unavailability: Unavailability
    received_at: float
