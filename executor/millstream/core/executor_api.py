"""What an agent tells an executor, and what an executor says of its tasks: the v1 Executor API as plain data.

The events are what a driver hands over, in the order the agent sent them.  Two of them are the driver's own:
`Disconnected`, and a `Shutdown` whose reason says that the agent stayed away.

Source: Mesos, `include/mesos/v1/executor/executor.proto`, `docs/executor-http-api.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NewType

TaskId = NewType("TaskId", str)
UpdateId = NewType("UpdateId", bytes)
"""The 16 bytes of a status update's UUID."""


class TaskState(Enum):
    """States that an executor may report."""

    STARTING = "TASK_STARTING"
    RUNNING = "TASK_RUNNING"
    KILLING = "TASK_KILLING"
    FINISHED = "TASK_FINISHED"
    FAILED = "TASK_FAILED"
    KILLED = "TASK_KILLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task as launched.  `info` is the whole TaskInfo, as the agent sent it."""

    task_id: TaskId
    name: str = ""
    data: bytes = b""
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """One status of one task, unchanged however often it is sent.  `timestamp` is in seconds since the epoch."""

    task_id: TaskId
    state: TaskState
    uuid: UpdateId
    timestamp: float
    message: str | None = None
    reason: str | None = None
    data: bytes | None = None
    healthy: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """The agent takes calls and will send events.  Comes again after each reconnection.

    `capabilities` are those of the framework, such as TASK_KILLING_STATE.
    """

    agent_id: str
    hostname: str = ""
    container_id: str = ""
    framework_name: str = ""
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The event stream is gone.  What the agent sends before the next `Subscribed` is lost."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Run this task."""

    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchGroup:
    """Run these tasks together."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End this task.  Comes as often as it is asked for; nobody enforces it.  `grace_s` only if the call had one."""

    task_id: TaskId
    grace_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """The agent has saved this update; it cares for its way to the scheduler from here on."""

    task_id: TaskId
    uuid: UpdateId


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of the scheduler: it may be lost, doubled or late."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """End all tasks, send their terminal updates, and exit before `grace_s` is over."""

    grace_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """The agent refuses this executor for good; nothing that it sends arrives any more."""

    message: str


ExecutorEvent = Subscribed | Disconnected | Launch | LaunchGroup | Kill | Acknowledged | Message | Shutdown | Aborted
