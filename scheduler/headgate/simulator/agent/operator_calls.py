"""`POST /api/v1` of an agent: what it knows, and containers without tasks.

Source: `Http::_api` of Mesos's slave/http.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable

from headgate.simulator.agent import metrics, operator_containers, views
from headgate.simulator.agent.executor_machine import ExecutorState
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.messages import Json, Reply, Stream

_NOT_IMPLEMENTED = Reply(status=501, body="501 Not Implemented.")


def call(state: AgentState, call: Json, *, now: float) -> Reply | Stream:
    """One call that has passed `schema`.  Files are the edge's."""
    if state.phase is Phase.RECOVERING:
        return Reply(status=503, body="Agent has not finished recovery")
    kind = call["type"]
    body = call.get(kind.lower(), {})
    match kind:
        case "LAUNCH_CONTAINER" | "LAUNCH_NESTED_CONTAINER":
            return operator_containers.launch(state, body)
        case "WAIT_CONTAINER" | "WAIT_NESTED_CONTAINER":
            return operator_containers.wait(state, body, kind)
        case "KILL_CONTAINER" | "KILL_NESTED_CONTAINER":
            return operator_containers.kill(state, body)
        case "REMOVE_CONTAINER" | "REMOVE_NESTED_CONTAINER":
            return operator_containers.remove(state, body)
        case "SET_LOGGING_LEVEL" | "PRUNE_IMAGES":
            return Reply(status=200)
    found = _read(state, kind, body, now)
    return _NOT_IMPLEMENTED if found is None else Reply(status=200, body={"type": kind, kind.lower(): found})


def _read(state: AgentState, kind: str, body: Json, now: float) -> Json | None:
    match kind:
        case "GET_HEALTH":
            return {"healthy": True}
        case "GET_FLAGS":
            return {"flags": [{"name": name, "value": value} for name, value in views.flags(state).items()]}
        case "GET_VERSION":
            return {"version_info": views.version(state)}
        case "GET_METRICS":
            found = metrics.snapshot(state, now=now)
            return {"metrics": [{"name": name, "value": value} for name, value in found.items()]}
        case "GET_LOGGING_LEVEL":
            return {"level": 0}
        case "GET_STATE":
            return {
                "get_tasks": _tasks(state),
                "get_executors": _executors(state),
                "get_frameworks": _frameworks(state),
            }
        case "GET_FRAMEWORKS":
            return _frameworks(state)
        case "GET_EXECUTORS":
            return _executors(state)
        case "GET_TASKS":
            return _tasks(state)
        case "GET_OPERATIONS":
            return {"operations": _operations(state)}
        case "GET_CONTAINERS":
            return {"containers": _containers(state, body, now)}
        case "GET_AGENT":
            return _agent(state)
        case "GET_RESOURCE_PROVIDERS":
            return {}
    return None


def _all_frameworks(state: AgentState) -> list[FrameworkRecord]:
    return [*state.frameworks.values(), *state.completed_frameworks]


def _all_executors(state: AgentState) -> Iterable[ExecutorRecord]:
    for framework in _all_frameworks(state):
        yield from framework.executors.values()
        yield from framework.completed


def _frameworks(state: AgentState) -> Json:
    return {
        "frameworks": [{"framework_info": framework.info} for framework in state.frameworks.values()],
        "completed_frameworks": [{"framework_info": framework.info} for framework in state.completed_frameworks],
    }


def _executors(state: AgentState) -> Json:
    return {
        "executors": [{"executor_info": executor.info} for _, executor in state.executors()],
        "completed_executors": [
            {"executor_info": executor.info} for framework in _all_frameworks(state) for executor in framework.completed
        ],
    }


def _tasks(state: AgentState) -> Json:
    every = list(_all_executors(state))
    return {
        "queued_tasks": [
            executor.record_of(info).json for _, executor in state.executors() for info in executor.queued.values()
        ],
        "launched_tasks": [task.json for executor in every for task in executor.launched.values()],
        "terminated_tasks": [task.json for executor in every for task in executor.terminated.values()],
        "completed_tasks": [task.json for executor in every for task in executor.completed],
    }


def _operations(state: AgentState) -> list[Json]:
    return [
        {
            **({"framework_id": {"value": operation.framework_id}} if operation.framework_id else {}),
            "agent_id": {"value": state.id},
            "info": operation.info,
            "latest_status": operation.status,
            "uuid": {"value": operation.uuid},
        }
        for operation in state.operations.values()
    ]


def _containers(state: AgentState, body: Json, now: float) -> list[Json]:
    """Those of executors; on request also those inside them, and those without executors."""
    found: list[Json] = []
    for framework, executor in state.executors():
        if executor.state is ExecutorState.TERMINATED:
            continue
        owner = {
            "framework_id": {"value": framework.framework_id},
            "executor_id": {"value": executor.executor_id},
            "executor_name": executor.info.get("name", ""),
        }
        allocated = executor.allocated()
        own = {"value": executor.container_id}
        status = {"container_id": own, **_pid(executor.containers.get(executor.container_id))}
        limits = {"cpus_limit": allocated.scalar("cpus"), "mem_limit_bytes": int(allocated.scalar("mem") * 1024**2)}
        statistics = {"timestamp": now, **limits}
        found.append({**owner, "container_id": own, "container_status": status, "resource_statistics": statistics})
        if body.get("show_nested"):
            for name in sorted(executor.live - {executor.container_id}):
                nested = {"value": name, "parent": own}
                status = {"container_id": nested, **_pid(executor.containers.get(name))}
                found.append({**owner, "container_id": nested, "container_status": status})
    for container in state.operator_containers.values():
        asked = "show_nested" if "parent" in container.container_id else "show_standalone"
        if body.get(asked) and container.status is None:
            status = {"container_id": container.container_id, **_pid(container.pid)}
            found.append({"container_id": container.container_id, "container_status": status})
    return found


def _pid(number: int | None) -> Json:
    return {} if number is None else {"executor_pid": number}


def _agent(state: AgentState) -> Json:
    found: Json = {"agent_info": state.settings.agent_info(state.agent_id)}
    if state.drain_config is not None:
        found["drain_config"] = state.drain_config
        if state.drain_started_at is not None:
            found["estimated_drain_start_time"] = {"nanoseconds": int(state.drain_started_at) * 1_000_000_000}
    return found
