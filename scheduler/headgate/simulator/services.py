"""The models behind their ports: what the HTTP edge calls a `Service`, as master and as agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from headgate.simulator.cluster import Cluster, Life
from headgate.simulator.messages import Json, Reply, Stream
from headgate.simulator.ports import MasterModel
from headgate.simulator.schema import Api

_DEAD = Reply(status=503, body="the process is gone")
"""Nobody reads this: the connection is broken already."""


class MasterService:
    """The port of the master."""

    def __init__(self, cluster: Cluster, now: Callable[[], float], settle: Callable[[], None]) -> None:
        self._cluster, self._now, self.settle = cluster, now, settle
        self.standby: MasterModel | None = None
        """Answers for itself (health, version, flags, metrics) while another master leads."""

    def call(
        self, api: Api, call: Json, *, stream_id: str | None = None, principal: str | None = None
    ) -> Reply | Stream:
        """A scheduler or operator call."""
        if not self._cluster.has_master:
            return _DEAD
        if api is Api.OPERATOR:
            return self._cluster.master.operator(call, now=self._now())
        return self._cluster.master.call(call, stream_id=stream_id, principal=principal, now=self._now())

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """A read-only endpoint."""
        if self._cluster.has_master:
            return self._cluster.master.get(path, query, now=self._now())
        if self.standby is None:
            return _DEAD
        found = self.standby.get(path, query, now=self._now())
        if isinstance(found.body, dict) and "master/elected" in found.body:
            return replace(found, body={**found.body, "master/elected": 0.0})
        return found

    def disconnected(self, stream: str) -> None:
        """The client of a stream has gone."""
        if self._cluster.has_master:
            self._cluster.master.disconnected(stream, now=self._now())


class AgentService:
    """The port of one agent."""

    def __init__(self, address: str, cluster: Cluster, now: Callable[[], float], settle: Callable[[], None]) -> None:
        self._address, self._cluster, self._now, self.settle = address, cluster, now, settle

    def call(
        self, api: Api, call: Json, *, stream_id: str | None = None, principal: str | None = None
    ) -> Reply | Stream:
        """An executor's or an operator's call."""
        del stream_id, principal  # agents know neither
        if self._dead:
            return _DEAD
        if api is Api.AGENT:
            return self._cluster.agent(self._address).operator(call, now=self._now())
        return self._cluster.agent(self._address).call(call, now=self._now())

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """A read-only endpoint."""
        return _DEAD if self._dead else self._cluster.agent(self._address).get(path, query, now=self._now())

    def disconnected(self, stream: str) -> None:
        """The client of a stream has gone."""
        if not self._dead:
            self._cluster.agent(self._address).disconnected(stream, now=self._now())

    @property
    def _dead(self) -> bool:
        return self._cluster.life(self._address) is Life.DEAD
