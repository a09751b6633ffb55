"""What an agent remembers: executors with their tasks, and frameworks with their executors."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from headgate.simulator.agent.builtin import BuiltinExecutor
from headgate.simulator.agent.executor_machine import Action, ExecutorEvent, ExecutorState, step
from headgate.simulator.agent.task_record import TaskRecord
from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources

COMPLETED_TASKS = 200
COMPLETED_EXECUTORS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """Why the agent ended a container, to be told for its tasks once it is gone."""

    state: str
    reason: str
    message: str


@dataclass(slots=True, kw_only=True)
class ExecutorRecord:
    """One run of an executor.

    A task moves from `queued` (TaskInfo) to `launched`, `terminated` (its last update is not acknowledged) and
    `completed`.  `command` marks the wrapper that the agent made for a command task.  `containers` are those of this
    run (the executor's own, and the nested ones of tasks), with the pid of their process once it is known; `live` are
    those whose process was asked for and has not ended.  `start_at` is when a built-in executor has come up; `deadline`
    is the end of the time it has: to subscribe while REGISTERING, to end while TERMINATING.
    """

    framework_id: str
    executor_id: str
    info: Json
    container_id: str
    sandbox: str
    checkpoint: bool
    command: bool
    builtin: BuiltinExecutor | None = None
    state: ExecutorState = ExecutorState.REGISTERING
    stream: str | None = None
    heartbeat_at: float | None = None
    start_at: float | None = None
    deadline: float | None = None
    containers: dict[str, int | None] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    termination: Termination | None = None
    queued: dict[str, Json] = field(default_factory=dict)
    groups: list[tuple[str, ...]] = field(default_factory=list)
    launched: dict[str, TaskRecord] = field(default_factory=dict)
    terminated: dict[str, TaskRecord] = field(default_factory=dict)
    completed: deque[TaskRecord] = field(default_factory=lambda: deque(maxlen=COMPLETED_TASKS))

    def on(self, event: ExecutorEvent) -> Action:
        """Let the machine make a step."""
        self.state, action = step(self.state, event)
        return action

    def enqueue(self, tasks: tuple[Json, ...], *, group: bool) -> None:
        """Keep tasks for delivery."""
        for task in tasks:
            self.queued[task["task_id"]["value"]] = task
        if group:
            self.groups.append(tuple(task["task_id"]["value"] for task in tasks))

    def dequeue(self, task_id: str) -> Json:
        """Take one task out; its group goes with its last member."""
        task = self.queued.pop(task_id)
        self.groups = [group for group in self.groups if any(member in self.queued for member in group)]
        return task

    def group_of(self, task_id: str) -> tuple[str, ...]:
        """The queued task together with its group."""
        return next((group for group in self.groups if task_id in group), (task_id,))

    def launch(self, task_id: str) -> Json:
        """A queued task is handed over."""
        info = self.dequeue(task_id)
        self.launched[task_id] = self.record_of(info)
        return info

    def record_of(self, info: Json) -> TaskRecord:
        """A task of this executor as it is remembered."""
        return TaskRecord.of(info, self.framework_id, None if self.command else self.executor_id)

    def knows(self, task_id: str) -> bool:
        """Whether the task is here and not completed."""
        return task_id in self.queued or task_id in self.launched or task_id in self.terminated

    def has_unfinished_business(self) -> bool:
        """Whether a task lives, or its end is not acknowledged."""
        return bool(self.queued or self.launched or self.terminated)

    def ever_sent_task(self) -> bool:
        """Whether some task reached it."""
        if self.launched:
            return True
        return any(task.was_heard_of for task in (*self.terminated.values(), *self.completed))

    def complete(self, task_id: str) -> None:
        """The end of a task was acknowledged."""
        self.completed.append(self.terminated.pop(task_id))

    def allocated(self) -> Resources:
        """The executor's own resources and those of its live tasks."""
        tasks = [*self.queued.values(), *(task.json for task in self.launched.values())]
        return Resources.total(Resources.of(owner.get("resources", ())) for owner in (self.info, *tasks))


class FrameworkState(enum.Enum):
    """Whether a framework is wanted."""

    RUNNING = "as usual"
    TERMINATING = "the master has removed it; its executors are ending and nothing more is reported of it"


@dataclass(slots=True, kw_only=True)
class FrameworkRecord:
    """A framework that has executors here."""

    info: Json
    state: FrameworkState = FrameworkState.RUNNING
    executors: dict[str, ExecutorRecord] = field(default_factory=dict)
    completed: deque[ExecutorRecord] = field(default_factory=lambda: deque(maxlen=COMPLETED_EXECUTORS))

    @property
    def framework_id(self) -> str:
        """Its id."""
        return str(self.info["id"]["value"])

    def executor_of(self, task_id: str) -> ExecutorRecord | None:
        """The executor that has the task (completed ones do not count)."""
        return next((executor for executor in self.executors.values() if executor.knows(task_id)), None)

    def tasks(self) -> Iterator[TaskRecord]:
        """All tasks that are not completed, queued ones as they would be remembered."""
        for executor in self.executors.values():
            yield from executor.launched.values()
            yield from executor.terminated.values()
            yield from (executor.record_of(info) for info in executor.queued.values())
