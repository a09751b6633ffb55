"""Everything a decision may look at, `now` included.  Equal snapshots give equal plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.model.call import OfferConstraints
from headgate.model.ids import AgentId, JobName, OfferId, OperationId, ShardId, TaskId
from headgate.model.measurements import Heard, ShardLoad
from headgate.model.offer import AttributeValue, FaultDomain, InverseOffer, Offer, Unavailability
from headgate.model.record import Records
from headgate.model.resources import Resources
from headgate.model.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSeen:
    """An agent as last offered to us, for one role.

    `has_gpus` stays once an offer showed a GPU.  `most`: the most of each kind that it ever offered.
    """

    agent_id: AgentId
    hostname: str
    role: str
    offered: Resources
    at: float
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    domain: FaultDomain | None = None
    unavailability: Unavailability | None = None
    has_gpus: bool = False
    most: Resources = field(default_factory=Resources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The connection to the master.

    `unanswered`: recorded tasks the master has not spoken of since we subscribed, with the instant of the last
    question (None: not asked yet); `asked` counts the rounds.  `reconciled_all_at`: the last implicit reconciliation.
    `heard_at` is when the stream last brought anything, `since` if it is None: what it does not bring after that may
    be its own fault, since a connection that is dead looks like one on which nothing is said.
    """

    connected: bool = False
    since: float | None = None
    heard_at: float | None = None
    unanswered: tuple[TaskId, ...] = ()
    asked: int = 0
    asked_at: float | None = None
    reconciled_all_at: float | None = None
    region: str | None = None
    constrains: bool = False
    """Whether the master heeds offer constraints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What the master last heard of us.  `tried_at` is when we last tried to change it, `refusals` count in a row.

    `lasting`: it keeps our tasks for as long as the settings say; else it has us on trial, as one just registered.
    `sure`: it has heard nothing else since; else the answer to a change is missing, and it may have taken it.
    """

    roles: tuple[str, ...]
    capabilities: tuple[str, ...]
    constraints: OfferConstraints = field(default_factory=dict)
    lasting: bool = True
    sure: bool = True
    tried_at: float | None = None
    refusals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFlow:
    """What we believe of the flow of offers for one role, since we subscribed.

    `wanted` are the needs that the last REVIVE was sent for and that nothing has met since: a new one needs another,
    since filters set before may hide the offer that fits it, and so does one that was met and is there again.
    """

    suppressed: bool = False
    changed_at: float | None = None
    offered_at: float | None = None
    wanted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """When something was last sent, by what it was about."""

    assignments: Mapping[TaskId, tuple[int, float]] = field(default_factory=dict)
    """Version and instant."""
    kills: Mapping[TaskId, float] = field(default_factory=dict)
    asked: Mapping[TaskId, float] = field(default_factory=dict)
    probes: Mapping[AgentId, float] = field(default_factory=dict)
    """When it was asked whether an agent is there."""
    operations: Mapping[OperationId, tuple[int, float]] = field(default_factory=dict)
    """How often an operation was asked about since we subscribed, and when last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """An executor whose task has ended at `since`, and of whose own end nothing was heard.

    `shutdowns`: how often it was told to end, the last time at `told_at`.
    """

    agent_id: AgentId
    since: float
    shutdowns: int = 0
    told_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The world as we know it.  `strays` are tasks of our framework that no record speaks of, with their agents.

    `doubtful`: offers in a call that failed; whether they are still ours nobody knows.

    `awake_since`: since when the scheduler has been listening without a break; silence before that proves nothing.
    """

    now: float
    settings: Settings
    awake_since: float = 0.0
    records: Records = field(default_factory=Records)
    link: Link = field(default_factory=Link)
    offers: Mapping[OfferId, Offer] = field(default_factory=dict)
    doubtful: frozenset[OfferId] = frozenset()
    agents: Mapping[AgentId, AgentSeen] = field(default_factory=dict)
    heard: Mapping[TaskId, Heard] = field(default_factory=dict)
    loads: Mapping[JobName, Mapping[ShardId, ShardLoad]] = field(default_factory=dict)
    read: Mapping[JobName, Mapping[ShardId, int]] = field(default_factory=dict)
    """The furthest position that any owner of a shard has reported to this scheduler."""
    flows: Mapping[str, RoleFlow] = field(default_factory=dict)
    sent: Sent = field(default_factory=Sent)
    strays: Mapping[TaskId, AgentId | None] = field(default_factory=dict)
    leaving: Mapping[TaskId, Leaving] = field(default_factory=dict)
    """Executors that are to end by themselves, by their task."""
    announced: Announced | None = None
    """None: as in the settings."""
    inverse_offers: Mapping[OfferId, InverseOffer] = field(default_factory=dict)
    windows: Mapping[AgentId, Unavailability] = field(default_factory=dict)
    """Announced maintenance of agents."""
    absent: frozenset[AgentId] = frozenset()
    """Agents that the master could not reach when it was asked last."""
