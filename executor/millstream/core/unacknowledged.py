"""What an executor must list when it subscribes again: the tasks and updates that the agent has not confirmed.

A task counts as confirmed once any update of it was acknowledged.  An agent gives up a task that is still staging and
not listed; it takes a listed update for new unless it knows its UUID.

Source: Mesos, `docs/executor-http-api.md`, "Subscribe".
"""

from __future__ import annotations

from millstream.core.executor_api import StatusUpdate, Task, TaskId, UpdateId


class Unacknowledged:
    """The ledger, in the order in which things happened.  Not safe to share between threads."""

    def __init__(self) -> None:
        self._tasks: dict[TaskId, Task] = {}
        self._updates: dict[UpdateId, StatusUpdate] = {}

    def launched(self, task: Task) -> None:
        """A task has arrived."""
        self._tasks[task.task_id] = task

    def updated(self, update: StatusUpdate) -> None:
        """An update was made; it stays until it is acknowledged, sent or not."""
        self._updates[update.uuid] = update

    def acknowledged(self, task_id: TaskId, uuid: UpdateId) -> None:
        """The agent has it.  Idempotent; an unknown UUID changes nothing."""
        if self._updates.pop(uuid, None) is not None:
            self._tasks.pop(task_id, None)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of which no update was acknowledged, oldest first."""
        return tuple(self._tasks.values())

    @property
    def updates(self) -> tuple[StatusUpdate, ...]:
        """Updates that were not acknowledged, oldest first."""
        return tuple(self._updates.values())
