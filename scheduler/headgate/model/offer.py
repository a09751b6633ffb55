"""An offer as received: what one agent has free for one role, until we answer or it is rescinded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.model.ids import AgentId, ExecutorId, OfferId, ReservationId
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
class Reserved:
    """What an offer holds of one labelled reservation of a Headgate: `framework` is whose, by its labels.

    `resources` are without the persistent volume, whose size `volume_m` is (0: there is none).
    """

    id: ReservationId
    framework: str
    resources: Resources = field(default_factory=Resources)
    volume_m: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One agent, one role.  `resources` are the plain ones (unreserved, or reserved for `role`; not revocable).

    Resources under a labelled reservation are never among them: they are in `reserved` when the labels are a
    Headgate's, and left out when they are somebody else's.  `pledged` is what of `resources` is reserved for the very
    role already, by an operator, so that no reservation of ours can be made of it.  `revocable` may be taken away from
    who uses it at any time.  `received_at` is in seconds of our own clock.
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
    pledged: Resources = field(default_factory=Resources)
    revocable: Resources = field(default_factory=Resources)
    reserved: tuple[Reserved, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseOffer:
    """A wish to have an agent back."""

    id: OfferId
    agent_id: AgentId
    unavailability: Unavailability
    received_at: float
