"""The v1 Executor API in JSON: calls to bytes, records to events.

Field names are those of the protobuf files; `bytes` fields are base64; an agent leaves out what is not set.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from millstream.core.executor_api import (
    Aborted,
    Acknowledged,
    ExecutorEvent,
    Kill,
    Launch,
    LaunchGroup,
    Message,
    Shutdown,
    StatusUpdate,
    Subscribed,
    Task,
    TaskId,
    UpdateId,
)

Json: TypeAlias = "dict[str, Any]"


class UnreadableEvent(ValueError):
    """A record is no event of the Executor API; the stream cannot be trusted behind it."""


class Calls:
    """Builds the calls of one executor, as the bytes of a request body."""

    def __init__(self, *, framework_id: str, executor_id: str) -> None:
        self._ids = {"framework_id": {"value": framework_id}, "executor_id": {"value": executor_id}}

    def subscribe(self, tasks: Iterable[Task], updates: Iterable[StatusUpdate]) -> bytes:
        """SUBSCRIBE, listing what was not acknowledged."""
        body = {
            "unacknowledged_tasks": [task.info for task in tasks],
            "unacknowledged_updates": [{"status": _status(update)} for update in updates],
        }
        return self._call("SUBSCRIBE", subscribe=body)

    def update(self, update: StatusUpdate) -> bytes:
        """UPDATE."""
        return self._call("UPDATE", update={"status": _status(update)})

    def message(self, data: bytes) -> bytes:
        """MESSAGE to the scheduler."""
        return self._call("MESSAGE", message={"data": _text(data)})

    def heartbeat(self) -> bytes:
        """HEARTBEAT."""
        return self._call("HEARTBEAT")

    def _call(self, kind: str, **body: Json) -> bytes:
        return json.dumps({**self._ids, "type": kind, **body}, separators=(",", ":")).encode()


def decode_event(record: bytes, *, shutdown_grace_s: float) -> ExecutorEvent | None:
    """The event in a record.  None for heartbeats and for kinds this build does not know, which are to be ignored.

    `shutdown_grace_s` goes into a `Shutdown`, whose event does not carry it.

    Raises:
        UnreadableEvent: not a JSON object, or a field that the event cannot be without is missing or malformed.
    """
    try:
        return _event(json.loads(record), shutdown_grace_s)
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise UnreadableEvent(f"no event of the Executor API: {record[:200]!r} ({problem!r})") from problem


def _event(event: Json, shutdown_grace_s: float) -> ExecutorEvent | None:
    match event["type"]:
        case "SUBSCRIBED":
            return _subscribed(event["subscribed"])
        case "LAUNCH":
            return Launch(task=_task(event["launch"]["task"]))
        case "LAUNCH_GROUP":
            return LaunchGroup(tasks=tuple(_task(task) for task in event["launch_group"]["task_group"]["tasks"]))
        case "KILL":
            kill = event["kill"]
            grace = kill.get("kill_policy", {}).get("grace_period", {}).get("nanoseconds")
            return Kill(task_id=TaskId(kill["task_id"]["value"]), grace_s=None if grace is None else grace / 1e9)
        case "ACKNOWLEDGED":
            body = event["acknowledged"]
            return Acknowledged(task_id=TaskId(body["task_id"]["value"]), uuid=UpdateId(_bytes(body["uuid"])))
        case "MESSAGE":
            return Message(data=_bytes(event["message"].get("data", "")))
        case "SHUTDOWN":
            return Shutdown(grace_s=shutdown_grace_s, reason="the agent asked for it")
        case "ERROR":
            return Aborted(message=event["error"]["message"])
        case _:
            return None


def _subscribed(body: Json) -> Subscribed:
    agent, framework = body["agent_info"], body.get("framework_info", {})
    return Subscribed(
        agent_id=agent["id"]["value"],
        hostname=agent.get("hostname", ""),
        container_id=body.get("container_id", {}).get("value", ""),
        framework_name=framework.get("name", ""),
        capabilities=frozenset(capability["type"] for capability in framework.get("capabilities", ())),
    )


def _task(info: Mapping[str, Any]) -> Task:
    return Task(
        task_id=TaskId(info["task_id"]["value"]),
        name=info.get("name", ""),
        data=_bytes(info.get("data", "")),
        info=info,
    )


def _status(update: StatusUpdate) -> Json:
    status: Json = {
        "task_id": {"value": update.task_id},
        "state": update.state.value,
        "source": "SOURCE_EXECUTOR",
        "uuid": _text(update.uuid),
        "timestamp": update.timestamp,
    }
    if update.message is not None:
        status["message"] = update.message
    if update.reason is not None:
        status["reason"] = update.reason
    if update.data is not None:
        status["data"] = _text(update.data)
    if update.healthy is not None:
        status["healthy"] = update.healthy
    return status


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as problem:
        raise ValueError(f"bad base64: {problem}") from problem
