"""Calls and events of the scheduler API as things seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from headgate.simulator.messages import Json
from headgate.testing.story.expectations import Seen, Sight

DEFAULT_REFUSE_S: Final = 5.0
"""What a filter lasts that says nothing."""


class Sights:
    """Writes down what is seen; `seen` is what was."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._names: dict[str, tuple[str, ...]] = {}
        self._hosts: dict[str, str] = {}
        self._roles: tuple[str, ...] = ()
        self.name_agent: Callable[[str], str | None] = _nameless
        """The name in the story of the agent of an id on which something is launched."""
        self.framework_id: str | None = None
        self.seen: list[Seen] = []

    def call(self, call: Json) -> None:
        """The framework has made a call."""
        kind = str(call.get("type", ""))
        body: Json = call.get(kind.lower()) or {}
        match kind:
            case "SUBSCRIBE" | "UPDATE_FRAMEWORK":
                info = body.get("framework_info") or {}
                self._roles = tuple(info.get("roles") or [info.get("role", "*")])
            case "ACCEPT":
                self._accept(body)
            case "DECLINE":
                refuse_s = _refuse_s(body)
                self._see(Sight.DECLINED, f"DECLINE {_ids(body)} for {refuse_s:g} s", number=refuse_s)
            case "KILL":
                task_id = _value(body, "task_id")
                self._see(Sight.KILLED, f"KILL {task_id}", *self.names(task_id))
            case "SUPPRESS" | "REVIVE":
                roles = tuple(body.get("roles") or self._roles)
                sight = Sight.SUPPRESSED if kind == "SUPPRESS" else Sight.REVIVED
                self._see(sight, f"{kind} {', '.join(roles)}", *roles)
            case "RECONCILE":
                tasks = [_value(each, "task_id") for each in body.get("tasks", ())]
                self._see(Sight.RECONCILED, f"RECONCILE {', '.join(tasks) or 'all'}", *tasks, number=len(tasks))
            case "ACKNOWLEDGE":
                task_id = _value(body, "task_id")
                self._see(Sight.ACKNOWLEDGED, f"ACKNOWLEDGE {task_id}", *self.names(task_id))

    def event(self, event: Json) -> None:
        """The framework is told of an event."""
        match event.get("type"):
            case "SUBSCRIBED":
                self.framework_id = _value(event["subscribed"], "framework_id")
                self._see(Sight.REGISTERED, f"SUBSCRIBED as {self.framework_id}")
            case "OFFERS":
                for offer in event["offers"]["offers"]:
                    self._hosts[_value(offer, "agent_id")] = str(offer["hostname"])
            case "UPDATE":
                status: Json = event["update"]["status"]
                task_id, state = _value(status, "task_id"), str(status["state"])
                why = " ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
                agent = self._agent(_value(status, "agent_id"))
                text = f"UPDATE {task_id} {state} on {agent} {why}".rstrip()
                self._see(Sight.TASK, text, *self.names(task_id), state=state, agent=agent)

    def _accept(self, body: Json) -> None:
        launched = [task for operation in body.get("operations", ()) for task in _tasks(operation)]
        for task in launched:
            task_id, agent = _value(task, "task_id"), self._agent(_value(task, "agent_id"))
            self._names[task_id] = tuple(dict.fromkeys((task_id, str(task.get("name", task_id)))))
            text = f"ACCEPT {_ids(body)} for {task_id} on {agent}"
            self._see(Sight.LAUNCHED, text, *self.names(task_id), agent=agent)
        if not body.get("operations"):
            refuse_s = _refuse_s(body)
            self._see(Sight.DECLINED, f"ACCEPT {_ids(body)} for nothing, {refuse_s:g} s", number=refuse_s)

    def names(self, task_id: str) -> tuple[str, ...]:
        """What a task can be found by: its id, and its name."""
        return self._names.get(task_id, (task_id,))

    def _agent(self, agent_id: str) -> str:
        return self.name_agent(agent_id) or self._hosts.get(agent_id, agent_id)

    def _see(
        self,
        sight: Sight,
        text: str,
        *names: str,
        state: str | None = None,
        agent: str | None = None,
        number: float | None = None,
    ) -> None:
        self.seen.append(
            Seen(at=self._now(), sight=sight, text=text, names=names, state=state, agent=agent, number=number)
        )


def _nameless(agent_id: str) -> str | None:
    del agent_id
    return None


def _tasks(operation: Json) -> list[Json]:
    launch: Json = operation.get("launch") or {}
    group: Json = (operation.get("launch_group") or {}).get("task_group") or {}
    return [*launch.get("task_infos", ()), *group.get("tasks", ())]


def _refuse_s(body: Json) -> float:
    return float((body.get("filters") or {}).get("refuse_seconds", DEFAULT_REFUSE_S))


def _ids(body: Json) -> str:
    return " ".join(str(each["value"]).rpartition("-")[2] for each in body.get("offer_ids", ()))


def _value(message: Mapping[str, object], field: str) -> str:
    found = message.get(field)
    return str(found.get("value", "")) if isinstance(found, dict) else ""
