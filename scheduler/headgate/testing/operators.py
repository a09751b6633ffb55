"""What the people who run the cluster do to it: drain, deactivate, maintain and write off agents, and set quotas.

All through the operator API, and taken back by `mend`.
"""

from __future__ import annotations

from typing import Final

from headgate.simulator.messages import Json, Reply
from headgate.simulator.schema import Api
from headgate.simulator.schema.requests import check_call
from headgate.testing.timeline import Timeline
from headgate.testing.town import Town

GRACE_S: Final = 20
AGAIN_S: Final = 5.0
ATTEMPTS_MAX: Final = 100
"""To have an agent back; one that died while it was drained never comes."""


class Operators:
    """They act on agents by address, and find no master at times: then nothing happens, and None is returned."""

    def __init__(self, town: Town, timeline: Timeline) -> None:
        self._town = town
        self._timeline = timeline
        self._quotas: set[str] = set()
        self._deactivated: dict[str, int] = {}

    def drain(self, address: str) -> str | None:
        """Have the tasks of an agent ended, and nothing more offered of it."""
        return self._put_out(address, "DRAIN_AGENT", {"max_grace_period": {"seconds": GRACE_S}})

    def deactivate(self, address: str) -> str | None:
        """Have nothing more offered of an agent."""
        return self._put_out(address, "DEACTIVATE_AGENT", {})

    def reactivate(self) -> None:
        """Have every agent offered again that was drained or deactivated, once it has come to the end of that."""
        for agent_id in list(self._deactivated):
            done = self._do("REACTIVATE_AGENT", {"agent_id": {"value": agent_id}}) is not None
            self._deactivated[agent_id] -= 1
            if done or not self._deactivated[agent_id]:
                del self._deactivated[agent_id]

    def write_off(self, address: str) -> str | None:
        """Say that an agent is gone for good, with everything on it."""
        agent_id = self._town.agent_id(address)
        return None if agent_id is None else self._do("MARK_AGENT_GONE", {"agent_id": {"value": agent_id}})

    def plan_maintenance(self, address: str, *, in_s: float, for_s: float) -> str | None:
        """Announce that an agent's machine will be down; it takes the place of what was announced before."""
        window: Json = {
            "machine_ids": [self._town.machine(address)],
            "unavailability": {
                "start": {"nanoseconds": round((self._timeline.now() + in_s) * 1e9)},
                "duration": {"nanoseconds": round(for_s * 1e9)},
            },
        }
        return self._do("UPDATE_MAINTENANCE_SCHEDULE", {"schedule": {"windows": [window]}})

    def limit(self, role: str, cpus: float) -> str | None:
        """Let a role have so many cpus and no more."""
        self._quotas.add(role)
        return self._set_quota(role, {"cpus": {"value": cpus}})

    def unlimit(self, role: str) -> str | None:
        """Let a role have as much as there is."""
        self._quotas.discard(role)
        return self._set_quota(role, {})

    def unlimit_all(self) -> None:
        """Take back every quota, as far as a master is there to hear of it."""
        for role in sorted(self._quotas):
            if self.unlimit(role) is None:
                self._quotas.add(role)

    def mend(self) -> None:
        """Everything as it was, as soon as the master lets us."""
        self._do("UPDATE_MAINTENANCE_SCHEDULE", {"schedule": {"windows": []}})
        self.unlimit_all()
        self.reactivate()
        if self._deactivated or self._quotas:
            self._timeline.after(AGAIN_S, self.mend)

    def _put_out(self, address: str, kind: str, more: Json) -> str | None:
        agent_id = self._town.agent_id(address)
        if agent_id is None:
            return None
        self._deactivated[agent_id] = ATTEMPTS_MAX
        return self._do(kind, {"agent_id": {"value": agent_id}, **more})

    def _set_quota(self, role: str, limits: Json) -> str | None:
        return self._do("UPDATE_QUOTA", {"force": True, "quota_configs": [{"role": role, "limits": limits}]})

    def _do(self, kind: str, body: Json) -> str | None:
        if not self._town.cluster.has_master:
            return None
        call = check_call(Api.OPERATOR, {"type": kind, kind.lower(): body})
        assert not isinstance(call, Reply), call
        answer = self._town.cluster.master.operator(call, now=self._timeline.now())
        self._town.settle()
        return kind if isinstance(answer, Reply) and answer.status < 300 else None
