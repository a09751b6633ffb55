"""What the v1 operator API shows of frameworks, agents, tasks, executors and roles."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.simulator.master import quantities
from headgate.simulator.master.ledger import Ledger, nanoseconds
from headgate.simulator.master.quantities import Quantities
from headgate.simulator.master.records import AGENT_CAPABILITIES, Agent, Framework, Task
from headgate.simulator.messages import Json
from headgate.simulator.resources import Form, Resources, number, roles


def framework_used(framework: Framework) -> Resources:
    """What the tasks and executors of a framework use."""
    pools = [task.resources for task in framework.tasks.values() if task.holds_resources]
    pools += [executor.resources for by_id in framework.executors.values() for executor in by_id.values()]
    return Resources.total(pools)


def framework_offered(framework: Framework) -> Resources:
    """What is on offer to a framework."""
    return Resources.total(offer.resources for offer in framework.offers.values())


def agent_used(agent: Agent) -> Resources:
    """What all frameworks use of an agent."""
    return Resources.total(agent.used().values())


def agent_offered(agent: Agent) -> Resources:
    """What is on offer of an agent."""
    return Resources.total(offer.resources for offer in agent.offers.values())


def framework_message(framework: Framework) -> Json:
    """The Framework of GET_FRAMEWORKS and of the operators' events."""
    reregistered_at = framework.registered_at if framework.reregistered_at is None else framework.reregistered_at
    message: Json = {
        "framework_info": framework.info,
        "active": framework.active,
        "connected": framework.connected,
        "recovered": framework.recovered,
        "registered_time": nanoseconds(framework.registered_at),
        "reregistered_time": nanoseconds(reregistered_at),
        "unregistered_time": nanoseconds(framework.unregistered_at or 0.0),
    }
    pools = {
        "allocated_resources": framework_used(framework).json(Form.ENDPOINT),
        "offered_resources": framework_offered(framework).json(Form.ENDPOINT),
    }
    return message | {name: pool for name, pool in pools.items() if pool}


def agent_message(ledger: Ledger, agent: Agent) -> Json:
    """The Agent of GET_AGENTS and of the operators' events."""
    message: Json = {
        "agent_info": {**agent.info, "checkpoint": True},
        "active": agent.active,
        "deactivated": agent.id in ledger.deactivated,
        "version": ledger.settings.version,
        "pid": agent.pid,
        "registered_time": nanoseconds(agent.registered_at),
        "total_resources": ledger.allocator.total(agent.id).json(Form.ENDPOINT),
        "allocated_resources": agent_used(agent).json(Form.ENDPOINT),
        "offered_resources": agent_offered(agent).json(Form.ENDPOINT),
        "capabilities": [{"type": name} for name in AGENT_CAPABILITIES],
    }
    if agent.reregistered_at is not None:
        message["reregistered_time"] = nanoseconds(agent.reregistered_at)
    drain = ledger.draining.get(agent.id)
    if drain is not None:
        message["drain_info"] = drain.json()
        if drain.started_at is not None:
            message["estimated_drain_start_time"] = nanoseconds(drain.started_at)
    return message


def _frameworks(ledger: Ledger) -> list[Framework]:
    return [*ledger.frameworks.values(), *ledger.completed.values()]


def _messages(tasks: Iterable[Task]) -> list[Json]:
    return [task.json() for task in tasks]


def get_tasks(ledger: Ledger) -> Json:
    """The three task tables of all frameworks, completed ones included."""
    known = _frameworks(ledger)
    return {
        "tasks": [item for framework in known for item in _messages(framework.tasks.values())],
        "unreachable_tasks": [item for framework in known for item in _messages(framework.unreachable_tasks.values())],
        "completed_tasks": [item for framework in known for item in _messages(framework.completed_tasks)],
    }


def get_executors(ledger: Ledger) -> Json:
    """Custom and default executors."""
    return {
        "executors": [
            {"executor_info": executor.info, "agent_id": {"value": agent_id}}
            for framework in _frameworks(ledger)
            for agent_id, executors in framework.executors.items()
            for executor in executors.values()
        ]
    }


def get_frameworks(ledger: Ledger) -> Json:
    """Frameworks, and those that have been removed."""
    return {
        "frameworks": [framework_message(framework) for framework in ledger.frameworks.values()],
        "completed_frameworks": [framework_message(framework) for framework in ledger.completed.values()],
    }


def get_agents(ledger: Ledger) -> Json:
    """Registered agents, and those of the registry that have not come back."""
    return {
        "agents": [agent_message(ledger, agent) for agent in ledger.agents.values()],
        "recovered_agents": list(ledger.recovered_agents.values()),
    }


def get_state(ledger: Ledger) -> Json:
    """All four."""
    return {
        "get_tasks": get_tasks(ledger),
        "get_executors": get_executors(ledger),
        "get_frameworks": get_frameworks(ledger),
        "get_agents": get_agents(ledger),
    }


# --- roles -------------------------------------------------------------------------------------------------------


def known_roles(ledger: Ledger) -> list[str]:
    """Roles that have frameworks, resources in use, reservations, a weight or a quota, and the roles above those."""
    found = set(ledger.allocator.weights) | set(ledger.quota_roles)
    for framework in ledger.frameworks.values():
        found.update(framework.roles)
    for agent in ledger.agents.values():
        found.update(ledger.allocator.total(agent.id).reservations())
        found.update(kind.allocation for pool in agent.used().values() for kind, _ in pool if kind.allocation)
    for role in list(found):
        found.update(roles.ancestors(role))
    return sorted(found)


def role_allocated(ledger: Ledger, role: str) -> Quantities:
    """What tasks and executors of a role and those below it use."""
    return _of_subtree((pool for agent in ledger.agents.values() for pool in agent.used().values()), role)


def role_offered(ledger: Ledger, role: str) -> Quantities:
    """What is on offer to a role and those below it."""
    return _of_subtree((offer.resources for offer in ledger.offers.values()), role)


def _of_subtree(pools: Iterable[Resources], role: str) -> Quantities:
    total: Quantities = {}
    for pool in pools:
        part = pool.filter(lambda kind: roles.covers(role, kind.allocation or ""))
        quantities.add_to(total, quantities.of_pool(part))
    return total


def role_reserved(ledger: Ledger, role: str) -> Quantities:
    """What is reserved for a role and those below it, in use or not."""
    total: Quantities = {}
    for agent_id in ledger.agents:
        quantities.add_to(total, _reserved_in(ledger.allocator.total(agent_id), role))
    return total


def _reserved_in(pool: Resources, role: str) -> Quantities:
    found = pool.filter(lambda kind: bool(kind.reservations) and roles.covers(role, kind.reserved_role))
    return quantities.of_pool(found)


def role_consumed(ledger: Ledger, role: str) -> Quantities:
    """What counts against a role's quota: what it uses, and what of its reservations nobody uses."""
    total = role_allocated(ledger, role)
    for agent in ledger.agents.values():
        idle = _reserved_in(ledger.allocator.total(agent.id), role)
        for pool in agent.used().values():
            idle = quantities.minus(idle, _reserved_in(pool, role))
        quantities.add_to(total, idle)
    return total


def role_message(ledger: Ledger, role: str) -> Json:
    """The Role of GET_ROLES."""
    held = quantities.plus(role_allocated(ledger, role), role_offered(ledger, role))
    frameworks = [framework.id for framework in ledger.frameworks.values() if role in framework.roles]
    message: Json = {"name": role, "weight": ledger.allocator.weights.get(role, 1.0)}
    if frameworks:
        message["frameworks"] = [{"value": framework_id} for framework_id in frameworks]
    shown = [
        {"name": name, "type": "SCALAR", "scalar": {"value": number(held[name])}}
        for name in ("cpus", "disk", "gpus", "mem")
        if held.get(name, 0) > 0
    ]
    return message | ({"resources": shown} if shown else {})
