"""Events to executors: onto their stream, or into the mailbox of a built-in one.  Without a stream they are lost."""

from __future__ import annotations

from headgate.simulator.agent.records import ExecutorRecord
from headgate.simulator.agent.state import AgentState
from headgate.simulator.messages import Json, StreamEvent


def send(state: AgentState, executor: ExecutorRecord, event: Json) -> None:
    """Send one event of the executor API."""
    if executor.builtin is not None:
        state.mailbox.append((executor, event))
    elif executor.stream is not None:
        state.outbox.append(StreamEvent(stream=executor.stream, event=event))


def subscribed(executor_info: Json, framework: Json, agent_info: Json, container_id: str) -> Json:
    """SUBSCRIBED."""
    return {
        "type": "SUBSCRIBED",
        "subscribed": {
            "executor_info": executor_info,
            "framework_info": framework,
            "agent_info": agent_info,
            "container_id": {"value": container_id},
        },
    }


def launch(task: Json) -> Json:
    """LAUNCH."""
    return {"type": "LAUNCH", "launch": {"task": task}}


def launch_group(tasks: list[Json]) -> Json:
    """LAUNCH_GROUP."""
    return {"type": "LAUNCH_GROUP", "launch_group": {"task_group": {"tasks": tasks}}}


def kill(task_id: str, kill_policy: Json | None) -> Json:
    """KILL, with a kill policy only if the call had one."""
    body: Json = {"task_id": {"value": task_id}}
    if kill_policy is not None:
        body["kill_policy"] = kill_policy
    return {"type": "KILL", "kill": body}


def acknowledged(task_id: Json, uuid: str) -> Json:
    """ACKNOWLEDGED."""
    return {"type": "ACKNOWLEDGED", "acknowledged": {"task_id": task_id, "uuid": uuid}}


def message(data: str) -> Json:
    """MESSAGE."""
    return {"type": "MESSAGE", "message": {"data": data}}


SHUTDOWN: Json = {"type": "SHUTDOWN"}
HEARTBEAT: Json = {"type": "HEARTBEAT"}
