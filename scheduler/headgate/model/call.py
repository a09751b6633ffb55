"""Every call of the v1 Scheduler API but SUBSCRIBE (the driver's own), as values.

A call that was sent has reached the master's queue, no more: what it did shows in later events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from headgate.model.ids import AgentId, ExecutorId, OfferId, OperationId, ReservationId, TaskId
from headgate.model.resources import Resources


class ContainerType(Enum):
    """Who runs the container."""

    NONE = "none"
    MESOS = "mesos"
    DOCKER = "docker"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchUri:
    """A file the agent fetches into the sandbox before the start."""

    value: str
    extract: bool = True
    executable: bool = False
    cache: bool = False
    output_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A path of the host, or of the sandbox when relative, mounted into the container."""

    container_path: str
    host_path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What the executor runs in."""

    type: ContainerType = ContainerType.NONE
    image: str | None = None
    network: str = "host"
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One worker: a task on a custom executor of its own, whose id is the task's.

    `resources` are the whole worker's; `argv` is executed without a shell, argv[0] is looked up in PATH;
    `environment` is added to what the agent gives; `data` reaches the executor in LAUNCH.
    `reservation`: its scalars, and the volume, come out of that one.  `revocable` names the kinds of resources
    (`cpus`, `mem`) that come out of the revocable ones.
    """

    task_id: TaskId
    agent_id: AgentId
    name: str
    resources: Resources
    argv: tuple[str, ...]
    data: bytes
    role: str = "*"
    environment: Mapping[str, str] = field(default_factory=dict)
    uris: tuple[FetchUri, ...] = ()
    container: Container = field(default_factory=Container)
    labels: Mapping[str, str] = field(default_factory=dict)
    shutdown_grace_s: float = 10.0
    reservation: ReservationId | None = None
    revocable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """RESERVE scalars, their disk with room for a volume, and CREATE the volume on it (`volume_m` 0: none).

    `labels` say whose the reservation is; `id` is the volume's persistence id as well.
    """

    id: ReservationId
    role: str
    resources: Resources
    labels: Mapping[str, str]
    operation_id: OperationId
    volume_m: int = 0
    volume_path: str = ""
    volume_operation_id: OperationId | None = None

    def __post_init__(self) -> None:
        assert not self.resources.ports, self
        assert (self.volume_operation_id is not None) == (self.volume_m > 0), self


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreserve:
    """DESTROY the volume of a reservation, if there is one in the offers, and UNRESERVE all that they hold of it."""

    id: ReservationId
    operation_id: OperationId
    volume_operation_id: OperationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """Use one agent's offers; what is left of them is declined for `refuse_s`.

    In this order: `unreserve`, `reserve`, `launches`.
    """

    offer_ids: tuple[OfferId, ...]
    launches: tuple[Launch, ...] = ()
    refuse_s: float = 5.0
    reserve: tuple[Reserve, ...] = ()
    unreserve: tuple[Unreserve, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decline:
    """Give offers back, and ask not to see the same for `refuse_s`."""

    offer_ids: tuple[OfferId, ...]
    refuse_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptInverseOffers:
    """Agree to give agents back; not to be asked again for `refuse_s`."""

    inverse_offer_ids: tuple[OfferId, ...]
    refuse_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclineInverseOffers:
    """Refuse to, for now."""

    inverse_offer_ids: tuple[OfferId, ...]
    refuse_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Revive:
    """Ask for offers again: clears filters and suppression of these roles (none named: of all)."""

    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """Ask for no more offers of these roles (none named: of all)."""

    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End a task.  Without an agent id an unknown task is answered like a reconciliation."""

    task_id: TaskId
    agent_id: AgentId | None = None
    grace_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownExecutor:
    """End an executor."""

    executor_id: ExecutorId
    agent_id: AgentId


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """An update's effect is saved."""

    agent_id: AgentId
    task_id: TaskId
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeOperation:
    """An operation status's effect is saved."""

    operation_id: str
    agent_id: AgentId
    uuid: str
    resource_provider_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskToReconcile:
    """A task we would like to hear of."""

    task_id: TaskId
    agent_id: AgentId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Ask for the state of these tasks; none named: of all the master knows."""

    tasks: tuple[TaskToReconcile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationToReconcile:
    """An operation we would like to hear of."""

    operation_id: str
    agent_id: AgentId | None = None
    resource_provider_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOperations:
    """Ask for the state of operations."""

    operations: tuple[OperationToReconcile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessage:
    """Bytes for an executor: no acknowledgement, no queue; lost if any hop is away."""

    agent_id: AgentId
    executor_id: ExecutorId
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResources:
    """Ask for resources; the default allocator ignores it."""

    resources: Resources
    agent_id: AgentId | None = None


class PseudoAttribute(Enum):
    """What every agent has besides its attributes."""

    HOSTNAME = "HOSTNAME"
    REGION = "REGION"
    ZONE = "ZONE"


class Predicate(Enum):
    """What can be asked of an attribute; the text ones hold for every attribute that is no TEXT, too."""

    EXISTS = "exists"
    NOT_EXISTS = "not_exists"
    TEXT_EQUALS = "text_equals"
    TEXT_NOT_EQUALS = "text_not_equals"
    TEXT_MATCHES = "text_matches"
    TEXT_NOT_MATCHES = "text_not_matches"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeConstraint:
    """A condition on an agent that the master itself checks before it offers.

    `value` is the text, or the RE2 expression that has to match the whole of it; none with EXISTS and NOT_EXISTS.
    """

    attribute: str | PseudoAttribute
    predicate: Predicate
    value: str | None = None

    def __post_init__(self) -> None:
        assert (self.value is None) == (self.predicate in (Predicate.EXISTS, Predicate.NOT_EXISTS)), self


OfferConstraints = Mapping[str, tuple[tuple[AttributeConstraint, ...], ...]]
"""By role: groups of which one must hold, each with conditions of which all must hold.  Master 1.11 or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFramework:
    """Change what we said of ourselves at the subscription; replaces suppression and constraints as a whole."""

    framework: Framework
    suppressed_roles: tuple[str, ...] = ()
    offer_constraints: OfferConstraints = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Teardown:
    """End the framework and all its tasks.  Cannot be undone: the id is dead."""


Call = (
    Accept
    | Decline
    | AcceptInverseOffers
    | DeclineInverseOffers
    | Revive
    | Suppress
    | Kill
    | ShutdownExecutor
    | Acknowledge
    | AcknowledgeOperation
    | Reconcile
    | ReconcileOperations
    | SendMessage
    | RequestResources
    | UpdateFramework
    | Teardown
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """What we tell the master of ourselves.

    `failover_timeout_s` is how long the master keeps our tasks while no scheduler is there; the default is a week.
    `trial_s` is what it is told instead when it does not know us yet, until it is told otherwise: should we never hear
    which id it gave us, nobody could come back under that one, and it would keep it for nothing.  None: no trial.
    """

    user: str
    name: str = "headgate"
    roles: tuple[str, ...] = ("*",)
    capabilities: tuple[str, ...] = (
        "PARTITION_AWARE",
        "MULTI_ROLE",
        "TASK_KILLING_STATE",
        "REGION_AWARE",
        "RESERVATION_REFINEMENT",
    )
    failover_timeout_s: float = 7 * 24 * 3600.0
    trial_s: float | None = None
    checkpoint: bool = True
    hostname: str | None = None
    principal: str | None = None
    webui_url: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
