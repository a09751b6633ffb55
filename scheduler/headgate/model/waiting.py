"""Why an offer does not fit, and why a job waits: data first, sentences from it (`core.explain`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from headgate.model.ids import AgentId, JobName, TaskId
from headgate.model.offer import Unavailability
from headgate.model.resources import Resources


class VetoKind(Enum):
    """What can be wrong with an offer."""

    CPUS = "cpus"
    MEM = "mem"
    DISK = "disk"
    GPUS = "gpus"
    PORTS = "ports"
    ROLE = "role"
    REGION = "region"
    GPUS_KEPT = "gpus kept for GPU work"
    PLACEMENT = "placement"
    AVOIDED = "agent avoided"
    MAINTENANCE = "maintenance"

    @property
    def of_amount(self) -> bool:
        """Whether less would fit."""
        return self in _AMOUNTS


_AMOUNTS = frozenset({VetoKind.CPUS, VetoKind.MEM, VetoKind.DISK, VetoKind.GPUS, VetoKind.PORTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """One reason why an offer does not fit.

    `wanted` and `offered` are amounts (thousandths; a number of ports) for kinds that have one.  `text` is a fragment
    such as `mem: wants 4 GiB, 3.5 GiB free`; `remedy` one such as `mem ≤ 3.5 GiB` or `without constraint rack`.
    `passing`: it may go away by itself soon.
    """

    kind: VetoKind
    text: str
    remedy: str | None = None
    wanted: int | None = None
    offered: int | None = None
    passing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VetoCount:
    """How many agents were vetoed for one kind of reason."""

    kind: VetoKind
    agents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunnelStep:
    """One check on the way from all known agents to those that fit.

    `check` names it (`mem`, `rack is r1`); `vetoed` counts the agents it is against, whatever else is; `left` those
    that passed it and all checks before it.
    """

    check: str
    kind: VetoKind
    vetoed: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestFit:
    """The agent with the least against it."""

    agent_id: AgentId
    hostname: str
    vetoes: tuple[Veto, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A job with workers that are wished and not started.

    `workers` are the slots; `since` is when the first of them began to want; `offers` counts those in hand now,
    `agents` those known from their last offer, `fitting` those of them that would do.  `funnel` is the way from the
    one to the other.  `remedy` is what would help, in words: each of `alternatives`, if there are any, would alone.
    `never`: why no agent we know could ever run such a worker.  A gang has found room for `gathered` workers; if it
    is its turn to gather, that is held until `held_until`.  `text` says all of it in a sentence or two, `head` only
    who waits and what for.
    """

    since: float
    workers: tuple[int, ...]
    text: str
    head: str = ""
    agents: int = 0
    fitting: int = 0
    offers: int = 0
    vetoed: tuple[VetoCount, ...] = ()
    funnel: tuple[FunnelStep, ...] = ()
    nearest: NearestFit | None = None
    remedy: str | None = None
    alternatives: tuple[str, ...] = ()
    never: str | None = None
    gathered: int | None = None
    held_until: float | None = None
    backoff_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferFate:
    """What became of an agent's last offers: `tasks` were started on them, or they were refused for `refuse_s`."""

    at: float
    reason: str
    tasks: tuple[TaskId, ...] = ()
    refuse_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseAnswer:
    """What an inverse offer was answered with, and why."""

    at: float
    agree: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an agent, as last offered for `role`, has against one more worker of a job that waits; nothing: it fits."""

    job: JobName
    role: str
    vetoes: tuple[Veto, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentExplanation:
    """An agent as last offered: what was left free, what became of the offers, what jobs that wait lack there.

    `in_hand`: there are offers of it that are not answered yet.  `maintenance`: when it is to be maintained; `answer`
    is what the wish to have it back was answered with, if operators have asked.
    """

    agent_id: AgentId
    hostname: str
    seen_at: float
    free: Resources
    in_hand: bool = False
    fate: OfferFate | None = None
    verdicts: tuple[Verdict, ...] = ()
    maintenance: Unavailability | None = None
    answer: InverseAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DryStart:
    """A worker that would be started, and where."""

    worker: int
    agent_id: AgentId
    hostname: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would become of a job if it were submitted now, and every agent offered as it last was.

    `waiting` is about the workers that would not be started; `text` says all of it.  `role_assumed`: the job's role has
    not been offered anything yet; agents are taken to be offered to it as they are to others.
    """

    job: JobName
    wished: int
    text: str
    starts: tuple[DryStart, ...] = ()
    waiting: Waiting | None = None
    role_assumed: bool = False
