"""The executor of task groups (pods): one nested container per task.

Each task gets TASK_STARTING at once, and TASK_RUNNING when all of its group have been started.  A task that fails or is
killed takes the rest of its group with it; one that finishes does not.  When no task is left and the agent has
acknowledged every update (or 60 s later) the executor ends with status 0.

Source: src/launcher/default_executor.cpp of Mesos.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from random import Random

from headgate.simulator.agent import durations, identifiers, wait_status
from headgate.simulator.agent.builtin import Act, Exit, SendUpdate, SignalTask, StartTask, first_check_status
from headgate.simulator.agent.checks import TaskChecks
from headgate.simulator.agent.task_states import TERMINAL, has_capability
from headgate.simulator.messages import Json

KILL_GRACE_S = 3.0
ACKNOWLEDGEMENT_LIMIT_S = 60.0


@dataclass(slots=True)
class _Child:
    """One task and its nested container."""

    container_id: str
    task: Json
    group: tuple[str, ...]
    answered: bool = False
    launched: bool = False
    announced: bool = False
    problem: str | None = None
    exited: int | None = None
    killing: bool = False
    overdue: bool = False
    escalate_at: float | None = None
    complete_by: float | None = None
    checks: TaskChecks | None = None
    known: Json = field(default_factory=dict)

    @property
    def task_id(self) -> str:
        return str(self.task["task_id"]["value"])


class DefaultExecutor:
    """The executor of one or more task groups."""

    def __init__(self, *, executor_id: str, container_id: str, randomness: Random) -> None:
        self._executor_id = executor_id
        self._container_id = container_id
        self._randomness = randomness
        self._framework: Json = {}
        self._children: dict[str, _Child] = {}
        self._unacknowledged: set[str] = set()
        self._shutting_down = self._unhealthy = False
        self._exit_at: float | None = None

    def receive(self, event: Json, *, now: float) -> list[Act]:
        """An event of the executor API."""
        match event["type"]:
            case "SUBSCRIBED":
                self._framework = event["subscribed"]["framework_info"]
            case "LAUNCH_GROUP":
                return self._launch(tuple(event["launch_group"]["task_group"]["tasks"]), now=now)
            case "KILL":
                return self._kill_task(event["kill"], now=now)
            case "ACKNOWLEDGED":
                return self._acknowledged(event["acknowledged"]["uuid"])
            case "SHUTDOWN" | "LAUNCH":
                return self._shutdown(now=now)
        return []

    def container_started(self, container_id: str, *, now: float) -> list[Act]:
        """The process of a task runs."""
        child = self._child_in(container_id)
        if child is None:
            return []
        child.answered = child.launched = True
        return self._group_answered(child.group, now=now)

    def container_failed(self, container_id: str, message: str, *, now: float) -> list[Act]:
        """A task's container could not be started."""
        child = self._child_in(container_id)
        if child is None:
            return []
        child.answered, child.problem = True, message
        return self._group_answered(child.group, now=now)

    def container_exited(self, container_id: str, status: int, *, now: float) -> list[Act]:
        """The process of a task has ended."""
        child = self._child_in(container_id)
        if child is None:
            return []
        child.exited = status
        return self._ended(child, now=now) if child.announced else []

    def checked(self, check_id: str, outcome: Json | None, *, now: float) -> list[Act]:
        """A check of a task has been performed."""
        child = self._child_in(check_id.rpartition(".")[0])
        acts: list[Act] = []
        for finding in child.checks.concluded(check_id, outcome, now=now) if child and child.checks else ():
            assert child is not None
            child.known |= finding.fields
            acts.append(self._update("TASK_RUNNING", child, reason=finding.reason, more=child.known, now=now))
            if finding.kill:
                self._unhealthy = True
                acts += self._kill(child, _grace_s(child), now=now)
        return acts

    def tick(self, *, now: float) -> list[Act]:
        """Do what is due."""
        if self._exit_at is not None and self._exit_at <= now:
            self._exit_at = None
            return [Exit(wait_status=0)]
        acts: list[Act] = []
        for child in list(self._children.values()):
            if child.complete_by is not None and child.complete_by <= now:
                child.complete_by = None
                child.overdue = True
                acts += self._kill(child, 0.0, now=now)
            elif child.escalate_at is not None and child.escalate_at <= now:
                child.escalate_at = None
                acts.append(SignalTask(container_id=child.container_id, signal=signal.SIGKILL))
            if child.checks is not None:
                acts += child.checks.due(now=now)
        return acts

    def wake_at(self) -> float | None:
        """When `tick` is due next."""
        times = [
            at
            for child in self._children.values()
            for at in (child.complete_by, child.escalate_at, child.checks.wake_at() if child.checks else None)
        ]
        return min((at for at in (*times, self._exit_at) if at is not None), default=None)

    # --- launch --------------------------------------------------------------------------------------------------

    def _launch(self, tasks: tuple[Json, ...], *, now: float) -> list[Act]:
        if self._shutting_down:
            return []
        self._exit_at = None
        group = tuple(str(task["task_id"]["value"]) for task in tasks)
        acts: list[Act] = []
        for task in tasks:
            child = _Child(container_id=identifiers.container_id(self._randomness), task=task, group=group)
            self._children[child.task_id] = child
            acts.append(self._update("TASK_STARTING", child, now=now))
            acts.append(StartTask(container_id=child.container_id, task=task))
        return acts

    def _group_answered(self, group: tuple[str, ...], *, now: float) -> list[Act]:
        children = [self._children[task_id] for task_id in group if task_id in self._children]
        if not all(child.answered for child in children):
            return []
        acts: list[Act] = []
        for child in children:
            child.announced = True
            if child.launched:
                limit = child.task.get("max_completion_time")
                if limit is not None and durations.seconds(limit) > 0:
                    child.complete_by = now + durations.seconds(limit)
                child.checks = TaskChecks.of(child.task, child.container_id, now=now)
                acts.append(self._update("TASK_RUNNING", child, now=now))
        if self._shutting_down:
            for child in children:
                acts += self._kill(child, KILL_GRACE_S, now=now)
        for child in children:
            if not child.launched or child.exited is not None:
                acts += self._ended(child, now=now)
        return acts

    # --- end of a task -------------------------------------------------------------------------------------------

    def _ended(self, child: _Child, *, now: float) -> list[Act]:
        state, reason, message = _verdict(child)
        more = {"healthy": False} if self._unhealthy else {}
        acts: list[Act] = [self._update(state, child, message=message, reason=reason, more=more, now=now)]
        if not self._shutting_down and state in ("TASK_FAILED", "TASK_KILLED"):
            for task_id in child.group:
                other = self._children.get(task_id)
                if other is not None and other is not child:
                    acts += self._kill(other, KILL_GRACE_S, now=now)
        del self._children[child.task_id]
        if not self._children:
            self._exit_at = now + ACKNOWLEDGEMENT_LIMIT_S
        return acts

    def _acknowledged(self, uuid: str) -> list[Act]:
        if uuid not in self._unacknowledged:
            return []
        self._unacknowledged.discard(uuid)
        if self._children or self._unacknowledged:
            return []
        self._exit_at = None
        return [Exit(wait_status=0)]

    # --- kill ----------------------------------------------------------------------------------------------------

    def _kill_task(self, kill: Json, *, now: float) -> list[Act]:
        child = self._children.get(kill["task_id"]["value"])
        if self._shutting_down or child is None or child.killing:
            return []
        grace_s = durations.grace_period_s(kill.get("kill_policy"))
        return self._kill(child, _grace_s(child) if grace_s is None else grace_s, now=now)

    def _kill(self, child: _Child, grace_s: float, *, now: float) -> list[Act]:
        if not child.launched or child.killing or child.exited is not None:
            return []
        child.killing = True
        child.complete_by = child.checks = None
        child.escalate_at = now + grace_s
        acts: list[Act] = []
        if not child.overdue and has_capability(self._framework, "TASK_KILLING_STATE"):
            acts.append(self._update("TASK_KILLING", child, now=now))
        return [*acts, SignalTask(container_id=child.container_id, signal=signal.SIGTERM)]

    def _shutdown(self, *, now: float) -> list[Act]:
        if self._shutting_down:
            return []
        self._shutting_down = True
        if self._children:
            return [act for child in self._children.values() for act in self._kill(child, KILL_GRACE_S, now=now)]
        if not self._unacknowledged:
            return [Exit(wait_status=0)]
        self._exit_at = now + ACKNOWLEDGEMENT_LIMIT_S
        return []

    def _child_in(self, container_id: str) -> _Child | None:
        return next((child for child in self._children.values() if child.container_id == container_id), None)

    def _update(
        self,
        state: str,
        child: _Child,
        *,
        now: float,
        message: str | None = None,
        reason: str | None = None,
        more: Json | None = None,
    ) -> SendUpdate:
        uuid = identifiers.update_uuid(self._randomness)
        self._unacknowledged.add(uuid)
        status: Json = {"task_id": child.task["task_id"], "state": state}
        if message is not None:
            status["message"] = message
        status["source"] = "SOURCE_EXECUTOR"
        if reason is not None:
            status["reason"] = reason
        status["executor_id"] = {"value": self._executor_id}
        status["timestamp"] = now
        status["uuid"] = uuid
        container = {"value": child.container_id, "parent": {"value": self._container_id}}
        return SendUpdate(
            status={
                **status,
                "container_status": {"container_id": container},
                **first_check_status(child.task),
                **(more or {}),
            }
        )


def _grace_s(child: _Child) -> float:
    """How long its kill policy, or nothing, leaves a task."""
    grace_s = durations.grace_period_s(child.task.get("kill_policy"))
    return KILL_GRACE_S if grace_s is None else grace_s


def _verdict(child: _Child) -> tuple[str, str | None, str | None]:
    """State, reason and message of a task's end."""
    if child.exited is None:
        return ("TASK_KILLED" if child.killing else "TASK_FAILED"), None, child.problem
    message = f"Command {wait_status.describe(child.exited)}"
    if child.overdue:
        return "TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED", message
    if child.killing:
        return "TASK_KILLED", None, message
    state = "TASK_FINISHED" if wait_status.succeeded(child.exited) else "TASK_FAILED"
    assert state in TERMINAL
    return state, None, message
