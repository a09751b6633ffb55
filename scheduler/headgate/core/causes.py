"""What a status means: the event it is for the task machine, and whom it speaks against.

Mesos says *what* by the state and *why* by the reason; reasons may be absent, or newer than this build.  The state
decides what becomes of the task.  The reason decides who is to blame when it is replaced: its worker, its agent, both
(nobody can tell), the request (the description is refused, so that trying again soon is pointless), or nobody.

Source: Mesos's `TaskState` and `TaskStatus.Reason` (`include/mesos/v1/mesos.proto`), and where its master and agent set
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from headgate.core.task_machine import TaskEvent
from headgate.model.status import TaskState, TaskStatus


class Blame(Enum):
    """Who is counted against when a task ends unasked."""

    NOBODY = "nobody"
    WORKER = "worker"
    AGENT = "agent"
    BOTH = "both"
    REQUEST = "request"
    """The worker, which is tried again at the longest interval only."""

    @property
    def on_agent(self) -> bool:
        """Whether the agent is."""
        return self in (Blame.AGENT, Blame.BOTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What a status is for the task machine, and whom it speaks against."""

    event: TaskEvent
    blame: Blame = Blame.NOBODY


_EVENTS: Final[Mapping[TaskState, TaskEvent]] = {
    TaskState.STAGING: TaskEvent.ACCEPTED,
    TaskState.STARTING: TaskEvent.STARTING,
    TaskState.RUNNING: TaskEvent.RUNNING,
    TaskState.KILLING: TaskEvent.KILLING,
    TaskState.FINISHED: TaskEvent.FINISHED,
    TaskState.FAILED: TaskEvent.FAILED,
    TaskState.ERROR: TaskEvent.FAILED,
    TaskState.KILLED: TaskEvent.KILLED,
    TaskState.LOST: TaskEvent.VANISHED,
    TaskState.DROPPED: TaskEvent.VANISHED,
    TaskState.GONE: TaskEvent.VANISHED,
    TaskState.GONE_BY_OPERATOR: TaskEvent.VANISHED,
    TaskState.UNKNOWN: TaskEvent.VANISHED,
    TaskState.UNREACHABLE: TaskEvent.UNREACHABLE,
}

_BLAME: Final[Mapping[TaskState, Blame]] = {
    TaskState.FINISHED: Blame.WORKER,
    TaskState.FAILED: Blame.BOTH,
    TaskState.ERROR: Blame.REQUEST,
}
"""Whom a state speaks against when its reason does not say; all others nobody."""

_OWN_DOING: Final = frozenset(
    {
        "CONTAINER_LIMITATION",
        "CONTAINER_LIMITATION_DISK",
        "CONTAINER_LIMITATION_MEMORY",
        "MAX_COMPLETION_TIME_REACHED",
    }
)
"""The worker took more than it asked for: it would anywhere."""

_AGENTS_DOING: Final = frozenset(
    {
        "AGENT_DRAINING",
        "CONTAINER_UPDATE_FAILED",
        "EXECUTOR_TERMINATED",
        "GC_ERROR",
        "RESOURCES_UNKNOWN",
        "TASK_GROUP_INVALID",
        "TASK_INVALID",
    }
)
"""The agent would not run what the master had let pass, and may go on so: an agent that still drains in its own view
drops whatever it is given until the last executor has left it."""


def cause_of(status: TaskStatus) -> Cause | None:
    """What a status means; None: nothing, it is a state that this build does not know (decoded as UNKNOWN).

    Only the master says TASK_UNKNOWN, which carries no uuid: anything else of that name is a newer Mesos's, and what it
    says of the task is not for us to guess.
    """
    if status.state is TaskState.UNKNOWN and status.uuid:
        return None
    return Cause(event=_EVENTS[status.state], blame=_blame(status))


def _blame(status: TaskStatus) -> Blame:
    match status.state:
        case TaskState.FAILED if status.reason in _OWN_DOING:
            return Blame.WORKER
        case TaskState.DROPPED | TaskState.LOST | TaskState.GONE if status.reason in _AGENTS_DOING:
            return Blame.AGENT
        case _:
            return _BLAME.get(status.state, Blame.NOBODY)
