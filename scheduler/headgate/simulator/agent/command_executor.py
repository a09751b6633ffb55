"""The executor of a command task: one task, one process, and an end of its own a good second later.

It reports TASK_STARTING and TASK_RUNNING at LAUNCH, and the end of the process.  KILL means SIGTERM, and SIGKILL after
the grace period of the task's kill policy (3 s without one); the policy in the event does not reach it, as between
agent and command executor the older protocol is spoken.  SHUTDOWN is a kill that must fit into the executor's own
grace period.

Source: src/launcher/executor.cpp and src/executor/v0_v1executor.cpp of Mesos.
"""

from __future__ import annotations

import signal
from random import Random

from headgate.simulator.agent import durations, identifiers, wait_status
from headgate.simulator.agent.builtin import Act, Exit, SendUpdate, SignalTask, first_check_status
from headgate.simulator.agent.checks import TaskChecks
from headgate.simulator.agent.task_states import has_capability
from headgate.simulator.messages import Json

KILL_GRACE_S = 3.0
LINGER_S = 1.5
"""The second that it waits before it stops, and half of one until the agent, which looks once a second, notices."""

SHUTDOWN_MARGIN_S = 2.0
"""What SHUTDOWN leaves of the grace period for telling the agent: one reap interval and a second."""


class CommandExecutor:
    """The wrapper of one command task, whose process is the executor's own container."""

    def __init__(self, *, executor_id: str, container_id: str, shutdown_grace_s: float, randomness: Random) -> None:
        self._executor_id = executor_id
        self._container_id = container_id
        self._shutdown_grace_s = shutdown_grace_s
        self._randomness = randomness
        self._framework: Json = {}
        self._task: Json | None = None
        self._checks: TaskChecks | None = None
        self._known: Json = {}
        self._overdue = self._unhealthy = False
        self._ended = False
        self._killed_at: float | None = None
        self._escalate_at: float | None = None
        self._complete_by: float | None = None
        self._exit_at: float | None = None

    def receive(self, event: Json, *, now: float) -> list[Act]:
        """An event of the executor API."""
        match event["type"]:
            case "SUBSCRIBED":
                self._framework = event["subscribed"]["framework_info"]
            case "LAUNCH":
                return self._launch(event["launch"]["task"], now=now)
            case "KILL":
                return self._kill(self._grace_s(), now=now)
            case "SHUTDOWN" | "LAUNCH_GROUP":
                return self._shutdown(now=now)
        return []

    def container_started(self, container_id: str, *, now: float) -> list[Act]:  # noqa: ARG002 (it has none but its own)
        """Never called: there is no nested container."""
        return []

    def container_failed(self, container_id: str, message: str, *, now: float) -> list[Act]:  # noqa: ARG002
        """Never called: there is no nested container."""
        return []

    def container_exited(self, container_id: str, status: int, *, now: float) -> list[Act]:  # noqa: ARG002
        """The task's process has ended."""
        if self._task is None or self._ended:
            return []
        self._ended = True
        self._checks = None
        self._escalate_at = self._complete_by = None
        self._exit_at = now + LINGER_S
        # Between this executor and its task there is a launcher that ends with code 1 if there is no such program.
        return [self._end_of_task(256 if status == wait_status.MISSING_PROGRAM else status, now=now)]

    def checked(self, check_id: str, outcome: Json | None, *, now: float) -> list[Act]:
        """A check of the task has been performed."""
        acts: list[Act] = []
        for finding in self._checks.concluded(check_id, outcome, now=now) if self._checks else ():
            assert self._task is not None
            self._known |= finding.fields
            acts.append(self._update("TASK_RUNNING", self._task, reason=finding.reason, more=self._known, now=now))
            if finding.kill:
                self._unhealthy = True
                acts += self._kill(self._grace_s(), now=now)
        return acts

    def tick(self, *, now: float) -> list[Act]:
        """Do what is due."""
        if self._exit_at is not None and self._exit_at <= now:
            self._exit_at = None
            return [Exit(wait_status=0)]
        if self._complete_by is not None and self._complete_by <= now:
            self._complete_by = None
            self._overdue = True
            return self._kill(0.0, now=now)
        if self._escalate_at is not None and self._escalate_at <= now:
            self._escalate_at = None
            return [SignalTask(container_id=self._container_id, signal=signal.SIGKILL)]
        return [*self._checks.due(now=now)] if self._checks else []

    def wake_at(self) -> float | None:
        """When `tick` is due next."""
        checks_at = self._checks.wake_at() if self._checks else None
        times = (self._exit_at, self._complete_by, self._escalate_at, checks_at)
        return min((at for at in times if at is not None), default=None)

    # --- launch and end ------------------------------------------------------------------------------------------

    def _launch(self, task: Json, *, now: float) -> list[Act]:
        if self._task is not None:
            message = 'Attempted to run multiple tasks using a "command" executor'
            return [self._update("TASK_FAILED", task, message=message, now=now)]
        self._task = task
        limit_s = durations.seconds(task["max_completion_time"]) if "max_completion_time" in task else 0.0
        if limit_s > 0:
            self._complete_by = now + limit_s
        self._checks = TaskChecks.of(task, self._container_id, now=now)
        return [self._update("TASK_STARTING", task, now=now), self._update("TASK_RUNNING", task, now=now)]

    def _end_of_task(self, status: int, *, now: float) -> SendUpdate:
        assert self._task is not None
        reason = None
        if self._overdue:
            state, reason = "TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED"
        elif self._killed_at is not None:
            state = "TASK_KILLED"
        else:
            state = "TASK_FINISHED" if wait_status.succeeded(status) else "TASK_FAILED"
        message = f"Command {wait_status.describe(status)}"
        more = {"healthy": False} if self._unhealthy else {}
        return self._update(state, self._task, message=message, reason=reason, more=more, now=now)

    # --- kill ----------------------------------------------------------------------------------------------------

    def _grace_s(self) -> float:
        grace_s = durations.grace_period_s(self._task.get("kill_policy")) if self._task else None
        return KILL_GRACE_S if grace_s is None else grace_s

    def _kill(self, grace_s: float, *, now: float) -> list[Act]:
        if self._task is None or self._ended:
            return []
        if self._killed_at is not None:
            # A later kill can only shorten the time that is left.
            if self._escalate_at is not None:
                self._escalate_at = min(self._escalate_at, max(now, self._killed_at + grace_s))
            return []
        self._complete_by = self._checks = None
        self._killed_at = now
        self._escalate_at = now + max(0.0, grace_s)
        acts: list[Act] = []
        if not self._overdue and has_capability(self._framework, "TASK_KILLING_STATE"):
            acts.append(self._update("TASK_KILLING", self._task, now=now))
        return [*acts, SignalTask(container_id=self._container_id, signal=signal.SIGTERM)]

    def _shutdown(self, *, now: float) -> list[Act]:
        if self._task is None:
            return [Exit(wait_status=0)]
        return self._kill(self._shutdown_grace_s - SHUTDOWN_MARGIN_S, now=now)

    def _update(
        self,
        state: str,
        task: Json,
        *,
        now: float,
        message: str | None = None,
        reason: str | None = None,
        more: Json | None = None,
    ) -> SendUpdate:
        status: Json = {"task_id": task["task_id"], "state": state}
        if message is not None:
            status["message"] = message
        status["source"] = "SOURCE_EXECUTOR"
        if reason is not None:
            status["reason"] = reason
        status["executor_id"] = {"value": self._executor_id}
        status["timestamp"] = now
        status["uuid"] = identifiers.update_uuid(self._randomness)
        return SendUpdate(status={**status, **first_check_status(task), **(more or {})})
