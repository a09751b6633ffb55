"""A master's flags, and what survives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.simulator.messages import Json
from headgate.simulator.resources import Thousandths

MEGABYTES_32: Thousandths = 32_000
HUNDREDTH: Thousandths = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSettings:
    """Flags of the master that the simulation honours; times in seconds, defaults are Mesos's.

    After a failover with quotas no offer is made until `agent_recovery_factor` of the agents are back, for
    `allocation_recovery_timeout` at most.
    `roles` are the ones frameworks may have (None: any); `acls` is the JSON of `--acls` (see `acls`).
    `min_allocatable` is a list of alternatives, each name → thousandths; leftovers that satisfy none are withheld.
    """

    hostname: str = "localhost"
    ip: str = "127.0.0.1"
    port: int = 5050
    version: str = "1.12.0"
    allocation_interval: float = 1.0
    agent_ping_timeout: float = 15.0
    max_agent_ping_timeouts: int = 5
    agent_reregister_timeout: float = 600.0
    agent_recovery_factor: float = 0.8
    allocation_recovery_timeout: float = 600.0
    heartbeat_interval: float = 15.0
    max_completed_frameworks: int = 50
    max_completed_tasks_per_framework: int = 1000
    filter_gpu_resources: bool = True
    offer_timeout: float | None = None
    min_allocatable: tuple[Mapping[str, Thousandths], ...] = field(default=({"cpus": HUNDREDTH}, {"mem": MEGABYTES_32}))
    region: str | None = None
    roles: frozenset[str] | None = None
    root_submissions: bool = True
    acls: Mapping[str, Any] = field(default_factory=dict)
    registry_gc_interval: float = 900.0
    registry_max_agent_age: float = 1_209_600.0
    registry_max_agent_count: int = 102_400

    @property
    def address(self) -> str:
        """`ip:port`."""
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """What a master writes down for the next one; nothing of frameworks and tasks is in it.

    `agents` are the admitted ones (AgentInfo by id), `unreachable` and `gone` map ids to the time, `draining` and
    `deactivated` are the operator's wishes, `machines_down` are `hostname@ip`.
    """

    agents: Mapping[str, Json] = field(default_factory=dict)
    unreachable: Mapping[str, float] = field(default_factory=dict)
    gone: Mapping[str, float] = field(default_factory=dict)
    draining: Mapping[str, Json] = field(default_factory=dict)
    deactivated: frozenset[str] = frozenset()
    schedule: tuple[Json, ...] = ()
    machines_down: frozenset[tuple[str, str]] = frozenset()
    quotas: Mapping[str, Json] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
