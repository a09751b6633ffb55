"""What an agent says to an executor through its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from millstream.adapters.agent_tls import AgentTls, BadTlsSetting, read_tls
from millstream.core.mesos_duration import parse_duration

_SHUTDOWN_GRACE: Final = "5secs"
_RECOVERY_TIMEOUT: Final = "15mins"
_BACKOFF_MAX: Final = "2secs"


class BadEnvironment(ValueError):
    """A variable is missing or makes no sense; this process was not started by a Mesos agent as an executor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorEnvironment:
    """One executor's place in the cluster.  Durations are seconds.

    `recovery_timeout_s` bounds how long a lost agent is waited for; 0 without checkpointing: not at all.
    `token` is the JWT of executor authentication, and never printed; `tls` is how the agent is spoken to, None: plain.

    Source: Mesos, `docs/executor-http-api.md`, "Environment variables".
    """

    framework_id: str
    executor_id: str
    host: str
    port: int
    checkpoint: bool
    recovery_timeout_s: float
    backoff_max_s: float
    shutdown_grace_s: float
    sandbox: str = "."
    token: str | None = field(default=None, repr=False)
    tls: AgentTls | None = None


def read_environment(variables: Mapping[str, str]) -> ExecutorEnvironment:
    """The environment of an executor, from its variables.

    Raises:
        BadEnvironment: naming the variable and what is wrong with it.
    """
    host, port = _endpoint(variables)
    checkpoint = variables.get("MESOS_CHECKPOINT", "0") == "1"
    recovery_timeout_s = _duration(variables, "MESOS_RECOVERY_TIMEOUT", _RECOVERY_TIMEOUT) if checkpoint else 0.0
    return ExecutorEnvironment(
        framework_id=_required(variables, "MESOS_FRAMEWORK_ID"),
        executor_id=_required(variables, "MESOS_EXECUTOR_ID"),
        host=host,
        port=port,
        checkpoint=checkpoint,
        recovery_timeout_s=recovery_timeout_s,
        backoff_max_s=_duration(variables, "MESOS_SUBSCRIPTION_BACKOFF_MAX", _BACKOFF_MAX),
        shutdown_grace_s=_duration(variables, "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", _SHUTDOWN_GRACE),
        sandbox=variables.get("MESOS_SANDBOX") or variables.get("MESOS_DIRECTORY") or ".",
        token=variables.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN") or None,
        tls=_tls(variables),
    )


def _required(variables: Mapping[str, str], name: str) -> str:
    value = variables.get(name)
    if not value:
        raise BadEnvironment(f"{name} is not set: an executor is started by a Mesos agent, which sets it")
    return value


def _endpoint(variables: Mapping[str, str]) -> tuple[str, int]:
    name = "MESOS_AGENT_ENDPOINT"
    value = _required(variables, name)
    host, colon, port = value.rpartition(":")
    if not host or not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadEnvironment(f"{name}={value!r} is no address: expected ip:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _tls(variables: Mapping[str, str]) -> AgentTls | None:
    try:
        return read_tls(variables)
    except BadTlsSetting as problem:
        raise BadEnvironment(str(problem)) from problem


def _duration(variables: Mapping[str, str], name: str, default: str) -> float:
    try:
        return parse_duration(variables.get(name) or default)
    except ValueError as problem:
        raise BadEnvironment(f"{name}: {problem}") from problem
