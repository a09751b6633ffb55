"""The flags of an agent, with the defaults of Mesos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources, parse, parse_attributes

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What an operator says when starting an agent.

    `resources` is the text of `--resources` (`cpus:4;mem:4096;ports:[31000-31500]`) or v1 Resource messages,
    `attributes` that of `--attributes` (`rack:r1;zone:z1`), `domain` is `REGION/ZONE`, or empty.  `work_dir` appears in
    `/state` only; the edge owns the real folder.  Times are seconds; `builtin_startup_s` is how long the executors that
    Mesos brings along take to come up (a task that is killed meanwhile never runs).  With `recover` "cleanup" an agent
    that finds an earlier one's work directory ends all that it left, and then itself.
    """

    resources: str | tuple[Json, ...] = "cpus:1;mem:1024;disk:10240;ports:[31000-32000]"
    attributes: str = ""
    domain: str = ""
    hostname: str = "localhost"
    ip: str = "127.0.0.1"
    port: int = 5051
    work_dir: str = "/var/lib/mesos"
    version: str = "1.12.0"
    executor_environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": DEFAULT_PATH})
    registration_backoff_s: float = 1.0
    ping_timeout_s: float = 75.0
    builtin_startup_s: float = 0.1
    executor_registration_timeout_s: float = 60.0
    executor_reregistration_timeout_s: float = 2.0
    executor_shutdown_grace_s: float = 5.0
    recovery_timeout_s: float = 900.0
    recover: Literal["reconnect", "cleanup"] = "reconnect"

    @property
    def address(self) -> str:
        """`ip:port`."""
        return f"{self.ip}:{self.port}"

    @property
    def pid(self) -> str:
        """The name of the agent's process inside Mesos."""
        return f"slave(1)@{self.address}"

    def total(self) -> Resources:
        """The resources as a pool.

        Raises:
            ValueError: the text is malformed; the message quotes the part.
        """
        return parse(self.resources) if isinstance(self.resources, str) else Resources.of(self.resources)

    def agent_info(self, agent_id: str | None) -> Json:
        """The v1 AgentInfo; without `id` before the first registration.

        Raises:
            ValueError: resources, attributes or domain are malformed.
        """
        info: Json = {"hostname": self.hostname, "port": self.port, "resources": self.total().json()}
        attributes = parse_attributes(self.attributes)
        if attributes:
            info["attributes"] = attributes
        if self.domain:
            region, _, zone = self.domain.partition("/")
            if not (region and zone):
                raise ValueError(f"a fault domain is REGION/ZONE, not {self.domain!r}")
            info["domain"] = {"fault_domain": {"region": {"name": region}, "zone": {"name": zone}}}
        if agent_id is not None:
            info["id"] = {"value": agent_id}
        return info
