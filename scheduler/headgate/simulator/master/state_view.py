"""The older JSON of `/state`, `/slaves`, `/frameworks`, `/tasks` and `/roles`: bare ids, sums by name, v0 words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from headgate.simulator.master import quantities, views
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.quantities import Quantities
from headgate.simulator.master.records import AGENT_CAPABILITIES, Agent, Executor, Framework, Task
from headgate.simulator.messages import Json
from headgate.simulator.resources import Form, Items, Ranges, Resources, number
from headgate.simulator.resources.values import items_text, merged, ranges_text

_COUNTED_STATES = (
    "TASK_STAGING",
    "TASK_STARTING",
    "TASK_RUNNING",
    "TASK_KILLING",
    "TASK_FINISHED",
    "TASK_KILLED",
    "TASK_FAILED",
    "TASK_LOST",
    "TASK_ERROR",
    "TASK_UNREACHABLE",
)


def sums(pool: Resources) -> Json:
    """Resources by name: numbers for scalars (the usual four always), texts for ranges and sets."""
    shown: Json = dict.fromkeys(("cpus", "gpus", "mem", "disk"), 0.0)
    for revocable, suffix in ((False, ""), (True, "_revocable")):
        part = pool.filter(lambda kind, revocable=revocable: kind.revocable is revocable)  # type: ignore[misc]
        shown |= {name + suffix: number(amount) for name, amount in part.scalars().items()}
        ranges: dict[str, list[tuple[int, int]]] = {}
        items: dict[str, list[str]] = {}
        for kind, amount in part:
            if isinstance(amount, Ranges):
                ranges.setdefault(kind.name, []).extend(amount.parts)
            elif isinstance(amount, Items):
                items.setdefault(kind.name, []).extend(amount.names)
        shown |= {name + suffix: ranges_text(merged(parts).parts) for name, parts in ranges.items()}
        shown |= {name + suffix: items_text(dict.fromkeys(names)) for name, names in items.items()}
    return shown


def amounts(found: Quantities) -> Json:
    """Quantities as bare numbers."""
    return {name: number(amount) for name, amount in found.items()}


def labels(message: Json) -> list[Json]:
    """The list inside a Labels message."""
    listed: list[Json] = message.get("labels", [])
    return listed


# --- tasks and executors -----------------------------------------------------------------------------------------


def task_view(task: Task) -> Json:
    """One task."""
    info = task.info
    role = next((kind.allocation for kind, _ in task.resources if kind.allocation is not None), None)
    view: Json = {
        "id": task.id,
        "name": info["name"],
        "framework_id": task.framework_id,
        "executor_id": task.executor_id or "",
        "slave_id": task.agent_id,
        "state": task.state,
        "resources": sums(task.resources),
    }
    if role is not None:
        view["role"] = role
    view["statuses"] = [_status_view(status) for status in task.statuses]
    if "limits" in info:
        view["limits"] = {name: limit["value"] for name, limit in info["limits"].items()}
    if "user" in info:
        view["user"] = info["user"]
    if "labels" in info:
        view["labels"] = labels(info["labels"])
    return view | {field: info[field] for field in ("discovery", "container", "health_check") if field in info}


def _status_view(status: Json) -> Json:
    view: Json = {"state": status["state"], "timestamp": float(status.get("timestamp", 0.0))}
    if "labels" in status:
        view["labels"] = labels(status["labels"])
    if "container_status" in status:
        shown = ("container_id", "network_infos", "cgroup_info")
        view["container_status"] = {
            key: status["container_status"][key] for key in shown if key in status["container_status"]
        }
    if "healthy" in status:
        view["healthy"] = status["healthy"]
    return view


def _executor_view(executor: Executor, agent_id: str) -> Json:
    info = executor.info
    view: Json = {
        "executor_id": executor.id,
        "name": info.get("name", ""),
        "framework_id": info.get("framework_id", {}).get("value", ""),
        "command": _command_view(info.get("command", {})),
        "resources": sums(executor.resources),
    }
    role = next((kind.allocation for kind, _ in executor.resources), None)
    if role is not None:
        view["role"] = role
    if "labels" in info:
        view["labels"] = labels(info["labels"])
    if "type" in info:
        view["type"] = info["type"]
    return view | {"slave_id": agent_id}


def _command_view(command: Json) -> Json:
    view: Json = {field: command[field] for field in ("shell", "value") if field in command}
    view["argv"] = command.get("arguments", [])
    if "environment" in command:
        view["environment"] = command["environment"]
    view["uris"] = [
        {"value": uri["value"], "executable": bool(uri.get("executable", False))} for uri in command.get("uris", ())
    ]
    return view


# --- frameworks --------------------------------------------------------------------------------------------------


def framework_summary(framework: Framework) -> Json:
    """What `/state` and `/state-summary` have in common."""
    info = framework.info
    return {
        "id": framework.id,
        "name": info["name"],
        "used_resources": sums(views.framework_used(framework)),
        "offered_resources": sums(views.framework_offered(framework)),
        "capabilities": [item.get("type", "UNKNOWN") for item in info.get("capabilities", ())],
        "hostname": info.get("hostname", ""),
        "webui_url": info.get("webui_url", ""),
        "active": framework.active,
        "connected": framework.connected,
        "recovered": framework.recovered,
    }


def framework_view(framework: Framework) -> Json:
    """One framework with its tasks, offers and executors."""
    info = framework.info
    view = framework_summary(framework)
    view |= {
        "user": info["user"],
        "failover_timeout": float(info["failover_timeout"]),
        "checkpoint": info["checkpoint"],
        "registered_time": framework.registered_at,
        "unregistered_time": framework.unregistered_at or 0.0,
    }
    if framework.principal is not None:
        view["principal"] = framework.principal
    view["resources"] = sums(views.framework_used(framework) + views.framework_offered(framework))
    if framework.reregistered_at is not None and framework.reregistered_at != framework.registered_at:
        view["reregistered_time"] = framework.reregistered_at
    if "MULTI_ROLE" in framework.capabilities:
        view["roles"] = list(info.get("roles", []))
    else:
        view["role"] = info.get("role", "*")
    view["tasks"] = [task_view(task) for task in framework.tasks.values()]
    view["unreachable_tasks"] = [task_view(task) for task in framework.unreachable_tasks.values()]
    view["completed_tasks"] = [task_view(task) for task in framework.completed_tasks]
    view["offers"] = [
        {
            "id": offer.id,
            "framework_id": offer.framework_id,
            "allocation_info": {"role": offer.role},
            "slave_id": offer.agent_id,
            "resources": sums(offer.resources),
        }
        for offer in framework.offers.values()
    ]
    view["executors"] = [
        _executor_view(executor, agent_id)
        for agent_id, executors in framework.executors.items()
        for executor in executors.values()
    ]
    if "labels" in info:
        view["labels"] = labels(info["labels"])
    view["offer_constraints"] = framework.constraints
    return view


def frameworks_view(ledger: Ledger, wanted: str | None) -> Json:
    """`/frameworks`."""

    def chosen(frameworks: Iterable[Framework]) -> list[Json]:
        return [framework_view(framework) for framework in frameworks if wanted in (None, framework.id)]

    return {
        "frameworks": chosen(ledger.frameworks.values()),
        "completed_frameworks": chosen(ledger.completed.values()),
        "unregistered_frameworks": [],
    }


# --- agents ------------------------------------------------------------------------------------------------------


def _info_view(info: Json) -> Json:
    view: Json = {
        "id": info["id"]["value"],
        "hostname": info["hostname"],
        "port": info.get("port", 5051),
        "attributes": {item["name"]: _attribute(item) for item in info.get("attributes", ())},
    }
    return view | ({"domain": info["domain"]} if "domain" in info else {})


def _attribute(attribute: Json) -> Any:
    kind = attribute["type"]
    if kind == "SCALAR":
        return float(attribute["scalar"]["value"])
    if kind == "RANGES":
        return ranges_text((part["begin"], part["end"]) for part in attribute["ranges"].get("range", ()))
    if kind == "SET":
        return items_text(attribute["set"].get("item", ()))
    return attribute["text"]["value"]


def agent_view(ledger: Ledger, agent: Agent) -> Json:
    """One agent."""
    total = ledger.allocator.total(agent.id)
    view = _info_view(agent.info)
    view |= {"pid": agent.pid, "registered_time": agent.registered_at}
    if agent.reregistered_at is not None:
        view["reregistered_time"] = agent.reregistered_at
    view |= {
        "resources": sums(total),
        "used_resources": sums(views.agent_used(agent)),
        "offered_resources": sums(views.agent_offered(agent)),
        "reserved_resources": {role: sums(pool) for role, pool in total.reservations().items()},
        "unreserved_resources": sums(total.unreserved()),
        "active": agent.active,
        "deactivated": agent.id in ledger.deactivated,
        "version": ledger.settings.version,
        "capabilities": list(AGENT_CAPABILITIES),
    }
    drain = ledger.draining.get(agent.id)
    if drain is not None:
        view["drain_info"] = drain.json()
        if drain.started_at is not None:
            view["estimated_drain_start_time_seconds"] = drain.started_at
    return view


def agents_view(ledger: Ledger, wanted: str | None) -> Json:
    """`/slaves`."""
    listed: list[Json] = []
    for agent in ledger.agents.values():
        if wanted in (None, agent.id):
            total = ledger.allocator.total(agent.id)
            full = {
                "reserved_resources_full": {
                    role: pool.json(Form.ENDPOINT) for role, pool in total.reservations().items()
                },
                "unreserved_resources_full": total.unreserved().json(Form.ENDPOINT),
                "used_resources_full": views.agent_used(agent).json(Form.ENDPOINT),
                "offered_resources_full": views.agent_offered(agent).json(Form.ENDPOINT),
            }
            listed.append(agent_view(ledger, agent) | full)
    return {"slaves": listed, "recovered_slaves": _recovered(ledger, wanted)}


def _recovered(ledger: Ledger, wanted: str | None = None) -> list[Json]:
    return [_info_view(info) for key, info in ledger.recovered_agents.items() if wanted in (None, key)]


# --- the whole ---------------------------------------------------------------------------------------------------


def state_view(ledger: Ledger, version: Json, flags: Json) -> Json:
    """`/state`."""
    settings = ledger.settings
    active = sum(agent.active for agent in ledger.agents.values())
    pid = f"master@{settings.address}"
    view: Json = {
        **version,
        "start_time": ledger.started_at,
        "elected_time": ledger.started_at,
        "id": ledger.master_id,
        "pid": pid,
        "hostname": settings.hostname,
        "capabilities": [item["type"] for item in ledger.master_info()["capabilities"]],
        "activated_slaves": float(active),
        "deactivated_slaves": float(len(ledger.agents) - active),
        "unreachable_slaves": float(len(ledger.unreachable)),
        "leader": pid,
        "leader_info": {"id": ledger.master_id, "pid": pid, "port": settings.port, "hostname": settings.hostname},
        "flags": flags,
        "slaves": [agent_view(ledger, agent) for agent in ledger.agents.values()],
        "recovered_slaves": _recovered(ledger),
    }
    return view | frameworks_view(ledger, None) | {"orphan_tasks": [], "unregistered_frameworks": []}


def _tasks_of(framework: Framework) -> list[Task]:
    return [*framework.tasks.values(), *framework.unreachable_tasks.values(), *framework.completed_tasks]


def summary_view(ledger: Ledger) -> Json:
    """`/state-summary`: sums and counts of tasks by state."""
    by_agent: dict[str, Counter[str]] = {}
    owners: dict[str, dict[str, None]] = {}
    frameworks: list[Json] = []
    for framework in ledger.frameworks.values():
        tasks = _tasks_of(framework)
        for task in tasks:
            by_agent.setdefault(task.agent_id, Counter())[task.state] += 1
            owners.setdefault(task.agent_id, {})[framework.id] = None
        counts = Counter(task.state for task in tasks)
        frameworks.append(
            framework_summary(framework)
            | {state: counts[state] for state in _COUNTED_STATES}
            | {"slave_ids": list(dict.fromkeys(task.agent_id for task in tasks))}
        )
    agents = [
        agent_view(ledger, agent)
        | {state: by_agent.get(agent.id, Counter())[state] for state in _COUNTED_STATES}
        | {"framework_ids": list(owners.get(agent.id, {}))}
        for agent in ledger.agents.values()
    ]
    return {"hostname": ledger.settings.hostname, "slaves": agents, "frameworks": frameworks}


def tasks_view(
    ledger: Ledger, *, limit: int, offset: int, ascending: bool, framework_id: str | None, task_id: str | None
) -> Json:
    """`/tasks`: live, unreachable and completed ones, by the time of their first status."""
    tasks = [
        task
        for framework in (*ledger.frameworks.values(), *ledger.completed.values())
        if framework_id in (None, framework.id)
        for task in _tasks_of(framework)
        if task_id in (None, task.id)
    ]
    tasks.sort(key=lambda task: task.statuses[0].get("timestamp", 0.0) if task.statuses else 0.0, reverse=not ascending)
    return {"tasks": [task_view(task) for task in tasks[offset : offset + limit]]}


def roles_view(ledger: Ledger) -> Json:
    """`/roles`."""
    listed: list[Json] = []
    for role in views.known_roles(ledger):
        quota = ledger.allocator.quotas.get(role)
        allocated = views.role_allocated(ledger, role)
        offered = views.role_offered(ledger, role)
        listed.append(
            {
                "name": role,
                "weight": ledger.allocator.weights.get(role, 1.0),
                "quota": {
                    "role": role,
                    "guarantee": amounts(dict(quota.guarantees) if quota else {}),
                    "limit": amounts(dict(quota.limits) if quota else {}),
                    "consumed": amounts(views.role_consumed(ledger, role)),
                },
                "resources": amounts(quantities.plus(allocated, offered)),
                "allocated": amounts(allocated),
                "offered": amounts(offered),
                "reserved": amounts(views.role_reserved(ledger, role)),
                "frameworks": [item.id for item in ledger.frameworks.values() if role in item.roles],
            }
        )
    return {"roles": listed}
