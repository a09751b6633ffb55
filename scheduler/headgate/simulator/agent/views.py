"""What an agent shows: `/state`, `/containers`, `/monitor/statistics`, `/flags`, `/metrics/snapshot` and so on.

Old words (`slave_id`) as in Mesos.

Source: slave/http.cpp, common/http.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.simulator.agent import metrics
from headgate.simulator.agent.executor_machine import ExecutorState
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.agent.task_states import has_capability
from headgate.simulator.messages import Json, Reply
from headgate.simulator.resources import Form, Resources
from headgate.simulator.resources.values import ranges_text

CAPABILITIES = (
    "MULTI_ROLE",
    "HIERARCHICAL_ROLE",
    "RESERVATION_REFINEMENT",
    "RESOURCE_PROVIDER",
    "RESIZE_VOLUME",
    "AGENT_OPERATION_FEEDBACK",
    "AGENT_DRAINING",
    "TASK_RESOURCE_LIMITS",
)
_SCALARS = ("cpus", "gpus", "mem", "disk")


def get(state: AgentState, path: str, query: Mapping[str, str], *, now: float) -> Reply:
    """Answer a GET; 404 for what does not exist."""
    match path.removeprefix("/slave(1)"):
        case "/health":
            return Reply(status=200)
        case "/version":
            return Reply(status=200, body=version(state))
        case "/flags":
            return Reply(status=200, body={"flags": flags(state)})
        case "/metrics/snapshot":
            return Reply(status=200, body=metrics.snapshot(state, now=now))
        case "/state" | "/containers" | "/monitor/statistics" if state.phase is Phase.RECOVERING:
            return Reply(status=503, body="Agent has not finished recovery")
        case "/state":
            return Reply(status=200, body=agent_state(state))
        case "/containers":
            return Reply(status=200, body=containers(state, query))
        case "/monitor/statistics":
            return Reply(
                status=200, body=[_without(entry, "status", "container_id") for entry in containers(state, {})]
            )
    return Reply(status=404, body="404 Not Found.")


def agent_state(state: AgentState) -> Json:
    """The whole `/state`."""
    settings = state.settings
    shown: Json = {
        **version(state),
        "start_time": state.started_at,
        "id": state.agent_id or "",
        "pid": settings.pid,
        "hostname": settings.hostname,
        "capabilities": list(CAPABILITIES),
    }
    if state.drain_config is not None:
        shown["drain_config"] = state.drain_config
        shown["estimated_drain_start_time_seconds"] = int(state.drain_started_at or 0)
    allocated = Resources.total(executor.allocated() for _, executor in state.executors())
    attributes = settings.agent_info(None).get("attributes", ())
    return {
        **shown,
        "resources": quantities(state.total),
        "reserved_resources": _by_role(state.total),
        "unreserved_resources": quantities(state.total.unreserved()),
        "reserved_resources_full": {
            role: pool.json(Form.ENDPOINT) for role, pool in state.total.reservations().items()
        },
        "unreserved_resources_full": state.total.unreserved().json(Form.ENDPOINT),
        "reserved_resources_allocated": _by_role(allocated),
        "unreserved_resources_allocated": quantities(allocated.unreserved()),
        "resource_providers": [],
        "attributes": {attribute["name"]: _bare(attribute) for attribute in attributes},
        "flags": flags(state),
        "frameworks": [_framework(state, framework) for framework in state.frameworks.values()],
        "completed_frameworks": [_framework(state, framework) for framework in state.completed_frameworks],
    }


def containers(state: AgentState, query: Mapping[str, str]) -> list[Json]:
    """`/containers`, of one container if the query names it."""
    wanted = query.get("container_id")
    return [
        {
            "framework_id": framework.framework_id,
            "executor_id": executor.executor_id,
            "executor_name": executor.info.get("name", ""),
            "source": executor.info.get("source", ""),
            "container_id": executor.container_id,
            "status": _container_status(executor),
            "statistics": {
                "cpus_limit": executor.allocated().scalar("cpus"),
                "mem_limit_bytes": int(executor.allocated().scalar("mem") * 1024 * 1024),
            },
        }
        for framework, executor in state.executors()
        if executor.state is not ExecutorState.TERMINATED and wanted in (None, executor.container_id)
    ]


def quantities(pool: Resources) -> Json:
    """Resources as old endpoints show them: the four scalars always, ranges and sets as text if there are any."""
    shown: Json = {name: pool.scalar(name) for name in _SCALARS}
    for kind, amount in pool:
        if kind.type == "SCALAR":
            shown.setdefault(kind.name, pool.scalar(kind.name))
        elif kind.type == "RANGES":
            shown[kind.name] = ranges_text(pool.ranges(kind.name).parts)
        else:
            shown[kind.name] = str(amount)
    return shown


# --- parts -------------------------------------------------------------------------------------------------------


def _without(entry: Json, *names: str) -> Json:
    return {name: value for name, value in entry.items() if name not in names}


def version(state: AgentState) -> Json:
    """`/version`; the build is said to be of the epoch, as nothing was built."""
    return {
        "version": state.settings.version,
        "build_date": "1970-01-01 00:00:00",
        "build_time": 0.0,
        "build_user": "headgate",
    }


def flags(state: AgentState) -> dict[str, str]:
    """The flags that the simulation honours, as texts."""
    settings = state.settings
    return {"hostname": settings.hostname, "ip": settings.ip, "port": str(settings.port), "work_dir": settings.work_dir}


def _by_role(pool: Resources) -> Json:
    return {role: quantities(reserved) for role, reserved in pool.reservations().items()}


def _bare(attribute: Json) -> Any:
    match attribute["type"]:
        case "SCALAR":
            return attribute["scalar"]["value"]
        case "RANGES":
            return ranges_text((part["begin"], part["end"]) for part in attribute["ranges"]["range"])
        case "SET":
            return "{" + ", ".join(attribute["set"]["item"]) + "}"
    return attribute["text"]["value"]


def _framework(state: AgentState, framework: FrameworkRecord) -> Json:
    info = framework.info
    shown: Json = {
        "id": framework.framework_id,
        "name": info.get("name", ""),
        "user": info.get("user", ""),
        "failover_timeout": info.get("failover_timeout", 0.0),
        "checkpoint": bool(info.get("checkpoint")),
        "hostname": info.get("hostname", ""),
    }
    if "principal" in info:
        shown["principal"] = info["principal"]
    if has_capability(info, "MULTI_ROLE"):
        shown["roles"] = info.get("roles", [])
    else:
        shown["role"] = info.get("role", "*")
    shown["executors"] = [_executor(state, executor) for executor in framework.executors.values()]
    shown["completed_executors"] = [_executor(state, executor) for executor in framework.completed]
    return shown


def _executor(state: AgentState, executor: ExecutorRecord) -> Json:
    info = executor.info
    shown: Json = {
        "id": executor.executor_id,
        "name": info.get("name", ""),
        "source": info.get("source", ""),
        "container": executor.container_id,
        "directory": f"{state.settings.work_dir}/{executor.sandbox}",
        "resources": quantities(executor.allocated()),
    }
    if info.get("resources"):
        shown["role"] = _role(info)
    if "labels" in info:
        shown["labels"] = info["labels"].get("labels", [])
    if "type" in info:
        shown["type"] = info["type"]
    shown["tasks"] = [_task(task.json) for task in executor.launched.values()]
    shown["queued_tasks"] = [_queued(task) for task in executor.queued.values()]
    shown["completed_tasks"] = [_task(task.json) for task in (*executor.completed, *executor.terminated.values())]
    return shown


def _task(task: Json) -> Json:
    shown: Json = {
        "id": task["task_id"]["value"],
        "name": task["name"],
        "framework_id": task["framework_id"]["value"],
        "executor_id": task.get("executor_id", {}).get("value", ""),
        "slave_id": task["agent_id"]["value"],
        "state": task["state"],
        "resources": quantities(Resources.of(task["resources"])),
        "role": _role(task),
        "statuses": [_status(status) for status in task.get("statuses", ())],
    }
    if "user" in task:
        shown["user"] = task["user"]
    if "labels" in task:
        shown["labels"] = task["labels"].get("labels", [])
    return {**shown, **{name: task[name] for name in ("discovery", "container", "health_check") if name in task}}


def _status(status: Json) -> Json:
    shown: Json = {"state": status["state"], "timestamp": status.get("timestamp", 0.0)}
    if "labels" in status:
        shown["labels"] = status["labels"].get("labels", [])
    if "container_status" in status:
        kept = ("container_id", "network_infos", "cgroup_info")
        shown["container_status"] = {
            name: status["container_status"][name] for name in kept if name in status["container_status"]
        }
    if "healthy" in status:
        shown["healthy"] = status["healthy"]
    return shown


def _queued(task: Json) -> Json:
    shown: Json = {
        "id": task["task_id"]["value"],
        "name": task.get("name", ""),
        "slave_id": task["agent_id"]["value"],
        "resources": quantities(Resources.of(task.get("resources", ()))),
        "role": _role(task),
    }
    if "command" in task:
        command = task["command"]
        shown["command"] = {
            "shell": command.get("shell", True),
            "value": command.get("value", ""),
            "argv": command.get("arguments", []),
            "uris": command.get("uris", []),
        }
    if "executor" in task:
        shown["executor_id"] = task["executor"]["executor_id"]["value"]
    if "discovery" in task:
        shown["discovery"] = task["discovery"]
    return shown


def _container_status(executor: ExecutorRecord) -> Json:
    status: Json = {"container_id": {"value": executor.container_id}}
    pid = executor.containers.get(executor.container_id)
    if pid is not None:
        status["executor_pid"] = pid
    return status


def _role(owner: Json) -> str:
    resources = owner.get("resources", ())
    return str(resources[0].get("allocation_info", {}).get("role", "*")) if resources else "*"
