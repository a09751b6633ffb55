"""A stage that is a real Mesos: as a simulated one, but what is up to its operators alone is left out."""

from __future__ import annotations

from typing import Final

from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources, parse, parse_attributes
from headgate.testing.story.acts import Act, AgentAct, AgentJoins, AgentVerb, Quota
from headgate.testing.story.http_stage import HttpStage
from headgate.testing.story.stage import CannotDo, StageFailed

_OPERATORS: Final = "that is in the hands of the real cluster's operators"


class RealStage(HttpStage):
    """See `Stage`.  `master` is `host:port` of the leading master, whose operator API must be open to us.

    An agent of the story that joins is one of the real ones that have at least its resources, and its attributes: the
    first of these on which something is launched.  At the end agents are reactivated, quotas taken back, and the
    framework is torn down.
    """

    def __init__(self, master: str) -> None:
        super().__init__()
        self._master = master
        self._fitting: dict[str, list[str]] = {}
        self._ids: dict[str, str] = {}
        self._sights.name_agent = self._name
        self._put_out: set[str] = set()
        self._limited: set[str] = set()

    def find_master(self) -> str:
        """See `HttpStage`."""
        return self._master

    def agent_id(self, name: str) -> str:
        """See `HttpStage`."""
        if name not in self._fitting:
            raise StageFailed(f"there is no agent {name}; there are {', '.join(self._fitting) or 'none'}")
        free = (each for each in self._fitting[name] if each not in self._ids.values())
        return self._ids.get(name) or self._ids.setdefault(name, next(free))

    def do(self, act: Act) -> None:
        """See `Stage`."""
        super().do(act)
        match act:
            case AgentAct(verb=AgentVerb.DRAINED | AgentVerb.DEACTIVATED, agent=agent):
                self._put_out.add(agent)
            case AgentAct(verb=AgentVerb.REACTIVATED, agent=agent):
                self._put_out.discard(agent)
            case Quota(role=role):
                self._limited.add(role)

    def act(self, act: Act) -> None:
        """See `HttpStage`."""
        if not isinstance(act, AgentJoins):
            raise CannotDo(_OPERATORS)
        fitting = [
            agent["agent_info"]["id"]["value"]
            for agent in self.agents()
            if _serves(agent["agent_info"], agent.get("total_resources", []), act)
        ]
        if sum(not set(fitting).isdisjoint(each) for each in self._fitting.values()) >= len(fitting):
            raise CannotDo(f"no further agent here has {act.resources} {act.attributes}".rstrip())
        self._fitting[act.name] = fitting

    def _name(self, agent_id: str) -> str | None:
        known = {each: name for name, each in self._ids.items()}
        if agent_id in known:
            return known[agent_id]
        found = next((n for n, fitting in self._fitting.items() if n not in self._ids and agent_id in fitting), None)
        if found is not None:
            self._ids[found] = agent_id
        return found

    def close(self) -> None:
        """See `Stage`."""
        super().close()
        problems = []
        calls: list[tuple[str, Json]] = [
            ("REACTIVATE_AGENT", {"agent_id": {"value": self._ids[name]}}) for name in sorted(self._put_out)
        ]
        calls += [
            ("UPDATE_QUOTA", {"force": True, "quota_configs": [{"role": role, "limits": {}}]})
            for role in sorted(self._limited)
        ]
        if self._sights.framework_id is not None:
            calls.append(("TEARDOWN", {"framework_id": {"value": self._sights.framework_id}}))
        self._put_out, self._limited, self._sights.framework_id = set(), set(), None
        for kind, body in calls:
            try:
                self.operate(kind, body)
            except StageFailed as problem:
                problems.append(str(problem))
        if problems:
            raise StageFailed(f"the real cluster is not left as it was found: {'; '.join(problems)}")


def _serves(info: Json, total: list[Json], act: AgentJoins) -> bool:
    """Whether an agent has what one of the story is to have; its ports do not matter."""
    wished = parse(act.resources).scalars()
    has = Resources.of(total).scalars()
    attributes = {each["name"]: each.get("text") for each in info.get("attributes", ())}
    wanted = {each["name"]: each.get("text") for each in parse_attributes(act.attributes)}
    return all(has.get(name, 0) >= amount for name, amount in wished.items()) and wanted.items() <= attributes.items()
