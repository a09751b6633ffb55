"""What a framework has refused, and until when."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources

DEFAULT_REFUSE_SECONDS = 5.0
MAX_REFUSE_SECONDS = 365 * 86400.0


def refuse_seconds(filters: Json | None) -> float:
    """How long a Filters message refuses: 5 s unless it says otherwise, at most a year; 0 means not at all."""
    seconds = float((filters or {}).get("refuse_seconds", DEFAULT_REFUSE_SECONDS))
    if math.isnan(seconds) or seconds < 0:
        return DEFAULT_REFUSE_SECONDS
    return min(seconds, MAX_REFUSE_SECONDS)


@dataclass(slots=True)
class Filters:
    """The filters of one framework: of offers by role and agent, of inverse offers by agent."""

    _refused: dict[str, dict[str, list[tuple[float, Resources]]]] = field(default_factory=dict)
    _inverse: dict[str, list[float]] = field(default_factory=dict)

    def add(self, role: str, agent_id: str, resources: Resources, until: float) -> None:
        """Refuse (unallocated) resources of an agent, and anything less."""
        self._refused.setdefault(role, {}).setdefault(agent_id, []).append((until, resources))

    def hides(self, role: str, agent_id: str, offered: Resources, now: float) -> bool:
        """Whether a would-be offer is contained in what was refused."""
        by_agent = self._refused.get(role)
        if not by_agent or agent_id not in by_agent:
            return False
        live = [entry for entry in by_agent[agent_id] if entry[0] > now]
        if live:
            by_agent[agent_id] = live
        else:
            del by_agent[agent_id]
        return any(refused.contains(offered) for _, refused in live)

    def add_inverse(self, agent_id: str, until: float) -> None:
        """Have no more inverse offers of an agent for a while."""
        self._inverse.setdefault(agent_id, []).append(until)

    def hides_inverse(self, agent_id: str, now: float) -> bool:
        """Whether an inverse offer would come too soon."""
        return any(until > now for until in self._inverse.get(agent_id, ()))

    def forget_role(self, role: str) -> None:
        """Drop the offer filters of a role."""
        self._refused.pop(role, None)

    def forget_inverse(self, agent_id: str | None = None) -> None:
        """Drop the filters of inverse offers (of one agent, or all)."""
        if agent_id is None:
            self._inverse.clear()
        else:
            self._inverse.pop(agent_id, None)

    def forget_agent(self, agent_id: str) -> None:
        """Drop everything about an agent."""
        self._inverse.pop(agent_id, None)
        for by_agent in self._refused.values():
            by_agent.pop(agent_id, None)
