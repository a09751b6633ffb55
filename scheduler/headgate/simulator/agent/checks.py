"""The check and the health check of one task: when they are performed, and what their results amount to.

Both begin after a delay and are performed again an interval after each result.  A check reports every change of its
result.  A health check reports the first success, every failure after the grace period (which ends early with the
first success), and the first success after failures; too many failures in a row are the end of the task.

Source: src/checks/{checker_process,checker,health_checker}.cpp of Mesos.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from headgate.simulator.agent.builtin import PerformCheck
from headgate.simulator.messages import Json

Outcome: TypeAlias = "Json | None"
"""A result as the body of a CheckStatusInfo (`{"http": {"status_code": 200}}`); None if there was none in time."""

_KINDS = ("COMMAND", "HTTP", "TCP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is to be reported: fields of the status, and whether the task has to end."""

    fields: Json
    reason: str
    kill: bool = False


@dataclass(slots=True)
class _Probe:
    """When one of the two is due.  While it is being performed it is not."""

    name: str
    definition: Json
    kind: str
    due_at: float | None

    @classmethod
    def of(cls, name: str, definition: Json | None, now: float) -> _Probe | None:
        kind = _kind(definition) if definition is not None else None
        if definition is None or kind is None:
            return None
        return cls(name, definition, kind, now + definition.get("delay_seconds", 15.0))

    def order(self, container_id: str, task: Json) -> PerformCheck:
        self.due_at = None
        part = self.definition.get(self.kind.lower(), {})
        command = part.get("command", part) if self.name == "check" else part
        return PerformCheck(
            check_id=f"{container_id}.{self.name}",
            container_id=container_id,
            task=task,
            kind=self.kind,
            target=command if self.kind == "COMMAND" else part,
            timeout_s=self.definition.get("timeout_seconds", 20.0),
        )

    def concluded(self, now: float) -> None:
        self.due_at = now + self.definition.get("interval_seconds", 10.0)


@dataclass(slots=True)
class TaskChecks:
    """Both checks of a task that runs in a container; a task without any has nothing due."""

    container_id: str
    _task: Json
    _check: _Probe | None
    _health: _Probe | None
    _began_at: float
    _last: Json = field(default_factory=dict)
    _initializing: bool = True
    _failures: int = 0

    @classmethod
    def of(cls, task: Json, container_id: str, *, now: float) -> TaskChecks:
        """The checks of a TaskInfo whose process has just begun."""
        return cls(
            container_id,
            task,
            _Probe.of("check", task.get("check"), now),
            _Probe.of("health", task.get("health_check"), now),
            now,
        )

    def wake_at(self) -> float | None:
        """When one is due next."""
        return min((probe.due_at for probe in self._probes() if probe.due_at is not None), default=None)

    def due(self, *, now: float) -> list[PerformCheck]:
        """The checks to be performed now; each is answered through `concluded`."""
        return [
            probe.order(self.container_id, self._task)
            for probe in self._probes()
            if probe.due_at is not None and probe.due_at <= now
        ]

    def concluded(self, check_id: str, outcome: Outcome, *, now: float) -> list[Finding]:
        """A check has been performed; what is to be reported of it."""
        for probe in self._probes():
            if check_id == f"{self.container_id}.{probe.name}":
                probe.concluded(now)
                if probe is self._check:
                    return self._changed(probe.kind, outcome)
                return self._healthy() if _is_good(outcome) else self._failed(probe.definition, now)
        return []

    def _probes(self) -> list[_Probe]:
        return [probe for probe in (self._check, self._health) if probe is not None]

    def _changed(self, kind: str, outcome: Outcome) -> list[Finding]:
        result = outcome or {}
        if result == self._last:
            return []
        self._last = result
        status = {"type": kind, **(result or {kind.lower(): {}})}
        return [Finding(fields={"check_status": status}, reason="REASON_TASK_CHECK_STATUS_UPDATED")]

    def _healthy(self) -> list[Finding]:
        news = self._initializing or self._failures > 0
        self._initializing, self._failures = False, 0
        return [Finding(fields={"healthy": True}, reason="REASON_TASK_HEALTH_CHECK_STATUS_UPDATED")] if news else []

    def _failed(self, definition: Json, now: float) -> list[Finding]:
        grace_s = definition.get("grace_period_seconds", 10.0)
        if self._initializing and grace_s > 0 and now - self._began_at <= grace_s:
            return []
        self._failures += 1
        return [
            Finding(
                fields={"healthy": False},
                reason="REASON_TASK_HEALTH_CHECK_STATUS_UPDATED",
                kill=self._failures >= definition.get("consecutive_failures", 3),
            )
        ]


def _kind(definition: Json) -> str | None:
    if (named := definition.get("type")) in _KINDS:
        return str(named)
    return next((kind for kind in _KINDS if kind.lower() in definition), None)


def _is_good(outcome: Outcome) -> bool:
    match outcome:
        case {"command": {"exit_code": code}}:
            return bool(code == 0)
        case {"http": {"status_code": code}}:
            return bool(200 <= code < 400)
        case {"tcp": {"succeeded": succeeded}}:
            return bool(succeeded)
    return False
