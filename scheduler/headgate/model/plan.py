"""What to do, with a reason for each step, and when to decide again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.model.call import Framework, OfferConstraints, Reserve, Unreserve
from headgate.model.ids import AgentId, Attempt, JobName, OfferId, OperationId, ReservationId, ShardId, TaskId
from headgate.model.job import JobSpec
from headgate.model.note import Note
from headgate.model.record import Records
from headgate.model.resources import Resources
from headgate.model.view import ScalingView
from headgate.model.waiting import Waiting
from millstream.contract.assignment import Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Fill a worker slot.  The engine of the job makes the launch of it.

    `reservation`: the scalars come out of that one.  `revocable`: the kinds that come out of revocable resources.
    """

    attempt: Attempt
    spec: JobSpec
    resources: Resources
    reservation: ReservationId | None = None
    revocable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Take these offers of one agent, free and make reservations, start workers; the rest is refused for `refuse_s`.

    `left` is the plain rest.
    """

    agent_id: AgentId
    hostname: str
    offer_ids: tuple[OfferId, ...]
    starts: tuple[Start, ...]
    left: Resources
    refuse_s: float
    reason: str
    reserves: tuple[Reserve, ...] = ()
    unreserves: tuple[Unreserve, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Give offers back."""

    offer_ids: tuple[OfferId, ...]
    refuse_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Kill a task; with `shutdown`, end its executor as well, because a kill had no effect.

    `grace_s` is for its last commits; None: as the task itself sees fit.
    """

    task_id: TaskId
    agent_id: AgentId | None
    reason: str
    shutdown: bool = False
    grace_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dismiss:
    """End an executor that has outlived its task.  No harm if it is gone."""

    task_id: TaskId
    agent_id: AgentId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Tell a task all it is to own."""

    agent_id: AgentId
    assignment: Assignment
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Reconcile: these tasks, or all when none is named.

    `gate`: a round of those asked after a subscription.  `probe`: it is their agents that are asked about.
    """

    tasks: tuple[tuple[TaskId, AgentId | None], ...]
    reason: str
    gate: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskOperations:
    """Reconcile operations."""

    operations: tuple[tuple[OperationId, AgentId], ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Agree to give agents back, or not; not to be asked again for `refuse_s`."""

    inverse_offer_ids: tuple[OfferId, ...]
    agree: bool
    refuse_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Ask for offers of a role (`wanted` not empty), or for no more."""

    role: str
    wanted: frozenset[str]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Announce:
    """Change what the master knows of us."""

    framework: Framework
    suppressed_roles: tuple[str, ...]
    reason: str
    constraints: OfferConstraints = field(default_factory=dict)


Step = Announce | Flow | Ask | AskOperations | End | Dismiss | Place | Refuse | Answer | Assign


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`records` are to be saved before the first of `steps` is performed; the steps' order is the order to send in.

    `waiting` and `scaling` explain, per job; `notes` are what was decided, for people.
    `wake_at`: decide again then even if nothing happens; None: nothing is due.
    """

    records: Records
    steps: tuple[Step, ...] = ()
    notes: tuple[Note, ...] = ()
    strays: Mapping[TaskId, AgentId | None] = field(default_factory=dict)
    """Tasks without a record that may be alive, with their agents."""
    waiting: Mapping[JobName, Waiting] = field(default_factory=dict)
    scaling: Mapping[JobName, ScalingView] = field(default_factory=dict)
    demands: Mapping[JobName, Mapping[ShardId, float]] = field(default_factory=dict)
    """Cores each shard needs, as far as measured."""
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """What is still wanted after the plan, by role; see `RoleFlow.wanted`."""
    idle: str | None = None
    """Why nothing is sent, while nothing may be."""
    wake_at: float | None = None
