"""What the worker needs of the world, as shapes.  Adapters and the stream runtime fill them; tests fill them too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from millstream.core.executor_api import ExecutorEvent, TaskId, TaskState, UpdateId

Deliver = Callable[[ExecutorEvent], None]
"""Where a driver puts events: its user's mailbox.  Called from the driver's own thread; must not block."""


class Clock(Protocol):
    """The one source of time."""

    def now(self) -> float:
        """Seconds since the epoch, for what people and other machines see."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump, for intervals."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceUsage:
    """CPU seconds of this process, bytes of memory it holds, and seconds its container had to wait for CPU.

    `throttled_s` is 0 where the kernel does not tell.
    """

    cpu_s: float
    rss_bytes: int
    throttled_s: float


class Executor(Protocol):
    """The way to the agent, and through it to the scheduler.  Neither call blocks or raises for what the agent does."""

    def update(self, task_id: TaskId, state: TaskState, *, message: str | None = None) -> UpdateId:
        """Report a state of a task.  It arrives, however long that takes, in the order of the calls for that task."""
        ...

    def send(self, data: bytes) -> None:
        """Send the scheduler a message.  It may be lost; nobody says so."""
        ...
