"""What one agent is at a moment: its phase, its records, and what it has to say.

The modules that decide (`launching`, `killing`, …) are functions over this; `front` is the only one that makes it.
Events for built-in executors go into `mailbox` and are delivered when the input that caused them is done with, so
that nothing calls back into the middle of a decision.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord, FrameworkState
from headgate.simulator.agent.settings import AgentSettings
from headgate.simulator.agent.update_streams import UpdateStreams
from headgate.simulator.messages import AgentOutput, FromAgent, Json, SendToMaster
from headgate.simulator.resources import Kind, Resources

COMPLETED_FRAMEWORKS = 50


class Phase(enum.Enum):
    """Where an agent is in its life."""

    RECOVERING = "started from a checkpoint; executors may return"
    DISCONNECTED = "not registered with a master"
    RUNNING = "registered"
    TERMINATING = "ending; over when no framework is left"


@dataclass(slots=True, kw_only=True)
class Operation:
    """An operation whose end is not acknowledged."""

    framework_id: str | None
    uuid: str
    info: Json
    status: Json


@dataclass(slots=True, kw_only=True)
class OperatorContainer:
    """A container without a task.  `status` is the raw wait status of its end."""

    container_id: Json
    sandbox: str
    user: str | None = None
    pid: int | None = None
    status: int | None = None


@dataclass(slots=True, kw_only=True)
class AgentState:
    """The agent's memory.

    `operator_containers` are known by their printed id; `waiting` are those who wait for the end of a container: their
    streams and what kind of answer they want.  `counters` hold what only metrics want to know:
    ends of tasks by state, and of executors.
    """

    settings: AgentSettings
    randomness: Random
    total: Resources
    phase: Phase = Phase.DISCONNECTED
    agent_id: str | None = None
    started_at: float = 0.0
    frameworks: dict[str, FrameworkRecord] = field(default_factory=dict)
    completed_frameworks: deque[FrameworkRecord] = field(default_factory=lambda: deque(maxlen=COMPLETED_FRAMEWORKS))
    updates: UpdateStreams = field(default_factory=UpdateStreams)
    operations: dict[str, Operation] = field(default_factory=dict)
    operation_updates: UpdateStreams = field(default_factory=UpdateStreams)
    operator_containers: dict[str, OperatorContainer] = field(default_factory=dict)
    waiting: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    drain_config: Json | None = None
    drain_started_at: float | None = None
    counters: Counter[str] = field(default_factory=Counter)
    outbox: list[AgentOutput] = field(default_factory=list)
    mailbox: deque[tuple[ExecutorRecord, Json]] = field(default_factory=deque)

    @property
    def id(self) -> str:
        """The id the master gave; only to be asked once there is one."""
        assert self.agent_id is not None
        return self.agent_id

    def tell_master(self, message: FromAgent) -> None:
        """Send a message, best effort."""
        self.outbox.append(SendToMaster(address=self.settings.address, message=message))

    def running_framework(self, framework_id: str) -> FrameworkRecord | None:
        """The framework, if it is here and wanted."""
        framework = self.frameworks.get(framework_id)
        return framework if framework is not None and framework.state is FrameworkState.RUNNING else None

    def executors(self) -> Iterator[tuple[FrameworkRecord, ExecutorRecord]]:
        """All executors; a copy, so that they may be removed meanwhile."""
        pairs = [
            (framework, executor) for framework in self.frameworks.values() for executor in framework.executors.values()
        ]
        return iter(pairs)

    def settle_drain(self) -> None:
        """Draining is over once neither frameworks nor operations are left."""
        if not self.frameworks and not self.operations:
            self.drain_config = None
            self.drain_started_at = None


def is_remembered(kind: Kind) -> bool:
    """Whether an agent has to remember such a resource over a restart: dynamic reservations and volumes."""
    return kind.is_dynamically_reserved or kind.is_volume
