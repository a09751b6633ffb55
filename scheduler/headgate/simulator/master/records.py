"""What the master knows of frameworks, agents, tasks, executors, offers and operations.

Plain mutable records; who may change what is said where it is done.  Ids are the bare texts.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field

from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources

TERMINAL_TASK_STATES = frozenset(
    {
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    }
)
TERMINAL_OPERATION_STATES = frozenset(
    {"OPERATION_FINISHED", "OPERATION_FAILED", "OPERATION_ERROR", "OPERATION_DROPPED", "OPERATION_GONE_BY_OPERATOR"}
)

AGENT_CAPABILITIES = (
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
)
MASTER_CAPABILITIES = ("AGENT_UPDATE", "AGENT_DRAINING", "QUOTA_V2")


@dataclass(slots=True, kw_only=True)
class Task:
    """A task in the live, unreachable or completed table.  `info` is the v1 Task without its changing fields;
    `update_state` and `update_uuid` are of the update last forwarded to the framework.
    """

    info: Json
    resources: Resources
    framework_id: str
    agent_id: str
    executor_id: str | None
    state: str
    statuses: list[Json] = field(default_factory=list)
    update_state: str | None = None
    update_uuid: str | None = None

    @property
    def id(self) -> str:
        """The task id."""
        return str(self.info["task_id"]["value"])

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended, acknowledged or not."""
        return self.state in TERMINAL_TASK_STATES

    @property
    def holds_resources(self) -> bool:
        """Whether its resources are in use."""
        return not self.is_terminal and self.state != "TASK_UNREACHABLE"

    @property
    def reported_state(self) -> str:
        """What reconciliation answers: the state last forwarded, else the current one."""
        return self.update_state or self.state

    def json(self) -> Json:
        """The v1 Task message."""
        message = {**self.info, "state": self.state}
        if self.statuses:
            message["statuses"] = list(self.statuses)
        if self.update_state is not None:
            message["status_update_state"] = self.update_state
            message["status_update_uuid"] = self.update_uuid
        return message


@dataclass(slots=True, kw_only=True)
class Executor:
    """A custom or default executor that is on an agent."""

    info: Json
    resources: Resources

    @property
    def id(self) -> str:
        """The executor id."""
        return str(self.info["executor_id"]["value"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An outstanding offer; the resources are allocated to the role."""

    id: str
    framework_id: str
    agent_id: str
    role: str
    resources: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class InverseOffer:
    """An outstanding inverse offer."""

    id: str
    framework_id: str
    agent_id: str
    unavailability: Json


@dataclass(slots=True, kw_only=True)
class Operation:
    """An operation that an agent has been told and whose end has not been acknowledged."""

    uuid: str
    info: Json
    framework_id: str | None
    agent_id: str
    latest: Json
    statuses: list[Json] = field(default_factory=list)

    @property
    def id(self) -> str | None:
        """The framework's name for it."""
        return str(self.info["id"]["value"]) if "id" in self.info else None


@dataclass(slots=True, kw_only=True)
class Framework:
    """A framework that is registered, or has been.

    `recovered` ones are known from agents only and have not subscribed with this master.  `stream` is the last
    subscription's, also when it is gone.
    """

    info: Json
    registered_at: float
    recovered: bool = False
    connected: bool = False
    active: bool = False
    stream: str | None = None
    reregistered_at: float | None = None
    unregistered_at: float | None = None
    constraints: Json = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    unreachable_tasks: dict[str, Task] = field(default_factory=dict)
    completed_tasks: deque[Task] = field(default_factory=deque)
    executors: dict[str, dict[str, Executor]] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    inverse_offers: dict[str, InverseOffer] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The framework id."""
        return str(self.info["id"]["value"])

    @property
    def capabilities(self) -> frozenset[str]:
        """The names of its capabilities."""
        return capabilities_of(self.info)

    @property
    def partition_aware(self) -> bool:
        """Whether it understands more than TASK_LOST."""
        return "PARTITION_AWARE" in self.capabilities

    @property
    def roles(self) -> tuple[str, ...]:
        """The roles it is subscribed to."""
        return roles_of(self.info)

    @property
    def principal(self) -> str | None:
        """Its principal, if it has one."""
        principal = self.info.get("principal")
        return None if principal is None else str(principal)


class DrainState(enum.Enum):
    """How far a drained agent has come."""

    DRAINING = "DRAINING"
    DRAINED = "DRAINED"


@dataclass(slots=True, kw_only=True)
class Drain:
    """An operator's wish to empty an agent."""

    config: Json
    state: DrainState
    started_at: float | None = None

    def json(self) -> Json:
        """The v1 DrainInfo."""
        return {"state": self.state.value, "config": self.config}


@dataclass(slots=True, kw_only=True)
class Agent:
    """A registered agent.  `active` ones are offered; tasks and executors are by framework id and their own id."""

    id: str
    info: Json
    address: str
    registered_at: float
    reregistered_at: float | None = None
    connected: bool = True
    active: bool = True
    tasks: dict[str, dict[str, Task]] = field(default_factory=dict)
    executors: dict[str, dict[str, Executor]] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    inverse_offers: dict[str, InverseOffer] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    killed: set[tuple[str, str]] = field(default_factory=set)
    missed_pings: int = 0

    @property
    def hostname(self) -> str:
        """Its hostname."""
        return str(self.info["hostname"])

    @property
    def ip(self) -> str:
        """The address it connects from."""
        return self.address.rsplit(":", 1)[0]

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rsplit(":", 1)[1])

    @property
    def pid(self) -> str:
        """The name of its process: `slave(1)@ip:port`."""
        return f"slave(1)@{self.address}"

    @property
    def machine(self) -> tuple[str, str]:
        """The machine it runs on, as maintenance names it: hostname (lower case) and ip."""
        return self.hostname.lower(), self.ip

    @property
    def description(self) -> str:
        """How messages name it."""
        return f"{self.id} at {self.pid} ({self.hostname})"

    @property
    def all_tasks(self) -> list[Task]:
        """The tasks of all frameworks."""
        return [task for by_id in self.tasks.values() for task in by_id.values()]

    def has_executor(self, framework_id: str, executor_id: str) -> bool:
        """Whether the master knows this executor here."""
        return executor_id in self.executors.get(framework_id, {})

    def used_by(self, framework_id: str) -> Resources:
        """What a framework's tasks and executors use."""
        pools = [task.resources for task in self.tasks.get(framework_id, {}).values() if task.holds_resources]
        pools += [executor.resources for executor in self.executors.get(framework_id, {}).values()]
        return Resources.total(pools)

    def used(self) -> dict[str, Resources]:
        """What each framework uses, where it is anything."""
        pools = {framework_id: self.used_by(framework_id) for framework_id in {**self.tasks, **self.executors}}
        return {framework_id: pool for framework_id, pool in pools.items() if pool}


def capabilities_of(framework_info: Json) -> frozenset[str]:
    """The names of a FrameworkInfo's capabilities."""
    return frozenset(item.get("type", "UNKNOWN") for item in framework_info.get("capabilities", ()))


def roles_of(framework_info: Json) -> tuple[str, ...]:
    """The roles a FrameworkInfo asks for, whichever field it uses, each once."""
    if "MULTI_ROLE" in capabilities_of(framework_info):
        return tuple(dict.fromkeys(framework_info.get("roles", ())))
    return (framework_info.get("role", "*"),)
