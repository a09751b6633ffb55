"""The seam between the agent and the two executors that Mesos brings along.

In reality they are processes of their own that talk to the agent like any executor.  Here each is a small model: it
receives the events of the executor API and what happens to the processes of its tasks, and answers with acts.  It has
no process; a task's own process is what can be seen (`executor_pid`) and signalled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from headgate.simulator.messages import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SendUpdate:
    """An UPDATE call."""

    status: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTask:
    """Start a task in a nested container."""

    container_id: str
    task: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalTask:
    """Send a signal to a task's container."""

    container_id: str
    signal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """The executor ends by itself."""

    wait_status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformCheck:
    """Perform a check of the task in a container; `checked` is told its result.

    `target` is the CommandInfo of a check of kind COMMAND, else where to look (`port`, `path`, `scheme`, …).  A
    timeout of 0 is none.
    """

    check_id: str
    container_id: str
    task: Json
    kind: str
    target: Json
    timeout_s: float


Act: TypeAlias = SendUpdate | StartTask | SignalTask | PerformCheck | Exit


class BuiltinExecutor(Protocol):
    """One built-in executor.  Times are those of the driver; nothing is done twice when `tick` comes often."""

    def receive(self, event: Json, *, now: float) -> list[Act]:
        """An event of the executor API."""

    def container_started(self, container_id: str, *, now: float) -> list[Act]:
        """The process of a nested container runs."""

    def container_failed(self, container_id: str, message: str, *, now: float) -> list[Act]:
        """A nested container could not be started."""

    def container_exited(self, container_id: str, status: int, *, now: float) -> list[Act]:
        """The process of a task has ended, with this raw wait status."""

    def checked(self, check_id: str, outcome: Json | None, *, now: float) -> list[Act]:
        """A check has been performed; `outcome` is the body of a CheckStatusInfo, None without a result in time."""

    def tick(self, *, now: float) -> list[Act]:
        """Do what is due."""

    def wake_at(self) -> float | None:
        """When `tick` is due next."""


def first_check_status(task: Json) -> Json:
    """The `check_status` that every update of a checked task carries until there is a result; else nothing."""
    check = task.get("check", {}).get("type")
    if check not in ("COMMAND", "HTTP", "TCP"):
        return {}
    return {"check_status": {"type": check, check.lower(): {}}}
