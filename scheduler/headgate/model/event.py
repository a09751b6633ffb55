"""What comes out of the master's event stream, as the loop sees it."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.model.ids import AgentId, ExecutorId, FrameworkId, OfferId
from headgate.model.offer import InverseOffer, Offer
from headgate.model.status import OperationStatus, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """The stream is up.  All offers from before are void; nothing is replayed, so reconcile."""

    framework_id: FrameworkId
    master: str
    master_version: str | None = None
    master_capabilities: frozenset[str] = frozenset()
    master_domain_region: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The stream is down (lost, silent, or moved); the driver reconnects by itself."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """New offers."""

    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseOffers:
    """Agents that somebody wants back."""

    inverse_offers: tuple[InverseOffer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescinded:
    """An offer, or inverse offer, is no more."""

    offer_id: OfferId


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A task's status."""

    status: TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationUpdate:
    """An operation's status."""

    status: OperationStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Bytes from an executor."""

    agent_id: AgentId
    executor_id: ExecutorId
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorEnded:
    """A hint, not a fact to act on alone: task updates follow.  `status` is a raw wait status."""

    agent_id: AgentId
    executor_id: ExecutorId
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLost:
    """A hint as well."""

    agent_id: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The master ended the subscription with an ERROR: this framework cannot go on as it is.  Not retried."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The stream lives.  All that it says is that the master was heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A record of the stream that this build cannot read; `excerpt` is its beginning.  The stream goes on."""

    problem: str
    excerpt: str


MasterEvent = (
    Subscribed
    | Disconnected
    | Offers
    | InverseOffers
    | Rescinded
    | Update
    | OperationUpdate
    | Message
    | ExecutorEnded
    | AgentLost
    | Refused
    | Heartbeat
    | Undecodable
)
