"""What Mesos says of a task or an operation.  What we make of it is recorded elsewhere (`task`)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from headgate.model.ids import AgentId, ExecutorId, TaskId


class TaskState(Enum):
    """Every state of the v1 API."""

    STAGING = "TASK_STAGING"
    STARTING = "TASK_STARTING"
    RUNNING = "TASK_RUNNING"
    KILLING = "TASK_KILLING"
    FINISHED = "TASK_FINISHED"
    FAILED = "TASK_FAILED"
    KILLED = "TASK_KILLED"
    ERROR = "TASK_ERROR"
    LOST = "TASK_LOST"
    DROPPED = "TASK_DROPPED"
    UNREACHABLE = "TASK_UNREACHABLE"
    GONE = "TASK_GONE"
    GONE_BY_OPERATOR = "TASK_GONE_BY_OPERATOR"
    UNKNOWN = "TASK_UNKNOWN"

    @property
    def terminal(self) -> bool:
        """Whether the task can never run again.  UNREACHABLE can; UNKNOWN says nothing."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        TaskState.FINISHED,
        TaskState.FAILED,
        TaskState.KILLED,
        TaskState.ERROR,
        TaskState.LOST,
        TaskState.DROPPED,
        TaskState.GONE,
        TaskState.GONE_BY_OPERATOR,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """One status update.

    `uuid` present and non-empty means: acknowledge it, once its effect is saved.  `reason` and `source` are Mesos's
    own words without the prefix (`EXECUTOR_TERMINATED`, `AGENT`); unknown ones are passed on as they are.
    """

    task_id: TaskId
    state: TaskState
    agent_id: AgentId | None = None
    executor_id: ExecutorId | None = None
    source: str | None = None
    reason: str | None = None
    message: str | None = None
    data: bytes | None = None
    healthy: bool | None = None
    timestamp: float | None = None
    uuid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationStatus:
    """Feedback on a RESERVE, CREATE and so on; `state` as Mesos says it (`OPERATION_FINISHED` …)."""

    operation_id: str | None
    state: str
    message: str | None = None
    agent_id: AgentId | None = None
    resource_provider_id: str | None = None
    uuid: str | None = None
