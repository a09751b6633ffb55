"""One task as the agent remembers it: the v1 Task message, kept up to date."""

from __future__ import annotations

from headgate.simulator.agent.task_states import TERMINAL
from headgate.simulator.messages import Json

_COPIED = ("limits", "labels", "discovery", "container", "health_check", "kill_policy")


class TaskRecord:
    """A task that was handed to its executor (or ended before that)."""

    __slots__ = ("json",)

    def __init__(self, json: Json) -> None:
        self.json = json

    @classmethod
    def of(cls, info: Json, framework_id: str, executor_id: str | None) -> TaskRecord:
        """From a TaskInfo, in state TASK_STAGING.  `executor_id` is None for a command task."""
        json: Json = {
            "name": info.get("name", ""),
            "task_id": info["task_id"],
            "framework_id": {"value": framework_id},
            "agent_id": info["agent_id"],
            "state": "TASK_STAGING",
            "resources": info.get("resources", []),
        }
        if executor_id is not None:
            json["executor_id"] = {"value": executor_id}
        json |= {name: info[name] for name in _COPIED if name in info}
        user = info.get("command", {}).get("user") or info.get("executor", {}).get("command", {}).get("user")
        if user:
            json["user"] = user
        return cls(json)

    @property
    def task_id(self) -> str:
        """Its id."""
        return str(self.json["task_id"]["value"])

    @property
    def state(self) -> str:
        """The newest state its executor (or the agent) gave it."""
        return str(self.json["state"])

    @property
    def is_terminal(self) -> bool:
        """Whether it has ended."""
        return self.state in TERMINAL

    @property
    def was_heard_of(self) -> bool:
        """Whether its executor ever said something of it."""
        return any(status.get("source") == "SOURCE_EXECUTOR" for status in self.json.get("statuses", ()))

    def advance(self, status: Json) -> None:
        """Take up a new status; the last one is replaced if it had the same state."""
        statuses = list(self.json.get("statuses", ()))
        if statuses and statuses[-1]["state"] == status["state"]:
            statuses.pop()
        self.json = {**self.json, "state": status["state"], "statuses": [*statuses, status]}

    def forwarded(self, status: Json) -> None:
        """Note the status that was last sent towards the scheduler."""
        self.json = {**self.json, "status_update_state": status["state"], "status_update_uuid": status["uuid"]}
