"""What is wrong with a task, in Mesos's words and in the order of its checks.

The resources have been found valid as such, are in the stack form and carry their allocation.
Source: namespace `task` of Mesos's master/validation.cpp.
"""

from __future__ import annotations

import math

from headgate.simulator.master import container_rules, executor_rules, identifiers, resource_rules
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources, number


def task_problem(task: Json, framework: Framework, agent: Agent, available: Resources) -> str | None:
    """What is wrong with one task of a LAUNCH; `available` is what the operations before it have left."""
    return (
        plain_problem(task, framework, agent)
        or _with_executor_problem(task, framework, agent, available)
        or _share_cgroups_problem(task)
    )


def plain_problem(task: Json, framework: Framework, agent: Agent) -> str | None:
    """What is wrong with a task whether it comes alone or in a group, its executor aside."""
    return (
        _identity_problem(task, framework, agent)
        or _duration_problem(task)
        or _checks_problem(task)
        or _resources_problem(task)
        or _description_problem(task)
        or _limits_problem(task)
    )


def _identity_problem(task: Json, framework: Framework, agent: Agent) -> str | None:
    task_id = task["task_id"]["value"]
    found = identifiers.problem(task_id)
    if found is not None:
        return found
    if task_id in framework.tasks:
        return f"Task has duplicate ID: {task_id}"
    if task_id in framework.unreachable_tasks:
        return f"Task reuses the ID of an unreachable task: {task_id}"
    named = task["agent_id"]["value"]
    if named != agent.id:
        return f"Task uses invalid agent {named} while agent {agent.id} is expected"
    return None


def _duration_problem(task: Json) -> str | None:
    if task.get("kill_policy", {}).get("grace_period", {}).get("nanoseconds", 0) < 0:
        return "Task's 'kill_policy.grace_period' must be non-negative"
    if task.get("max_completion_time", {}).get("nanoseconds", 0) < 0:
        return "Task's `max_completion_time` must be non-negative"
    return None


def _checks_problem(task: Json) -> str | None:
    if "check" in task:
        found = container_rules.check_problem(task["check"])
        if found is not None:
            return f"Task uses invalid check: {found}"
    if "health_check" in task:
        found = container_rules.health_check_problem(task["health_check"])
        if found is not None:
            return f"Task uses invalid health check: {found}"
    return None


def _resources_problem(task: Json) -> str | None:
    listed = task.get("resources", [])
    if not listed:
        return "Task uses no resources"
    return resource_rules.pool_problem(
        listed,
        invalid="Task uses invalid resources",
        duplicate="Task uses duplicate persistence ID",
        roles="Invalid task resources",
        mixed="Task mixes revocable and non-revocable resources",
    )


def _description_problem(task: Json) -> str | None:
    if "command" in task:
        found = container_rules.command_problem(task["command"])
        if found is not None:
            return f"Task's `CommandInfo` is invalid: {found}"
    if "container" in task:
        found = container_rules.container_problem(task["container"])
        if found is not None:
            return f"Task's `ContainerInfo` is invalid: {found}"
    return None


def _limits_problem(task: Json) -> str | None:
    limits = task.get("limits", {})
    if not limits:
        return None
    if set(limits) - {"cpus", "mem"}:
        return "Only cpus and mem may be included in a task's resource limits"
    requests = Resources.of(task["resources"]).scalars()
    for name, title, short in (("cpus", "CPU", "cpu"), ("mem", "memory", "memory")):
        if name not in limits:
            continue
        if name not in requests:
            return f"When a {title} limit is specified, a {title} request must also be specified"
        limit = limits[name]["value"]
        if not math.isinf(limit) and limit < number(requests[name]):
            return f"The {short} limit must be greater than or equal to the {short} request"
    return None


def _share_cgroups_problem(task: Json) -> str | None:
    if container_rules.linux_info(task).get("share_cgroups") is False:
        return "Only tasks in a task group may have 'share_cgroups' set to 'false'"
    return None


def _with_executor_problem(task: Json, framework: Framework, agent: Agent, available: Resources) -> str | None:
    executor = task.get("executor")
    if (executor is None) == ("command" not in task):
        return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    total = Resources.of(task["resources"])
    if executor is not None:
        found = executor_rules.problem(executor, framework, agent) or _launched_executor_problem(executor)
        if found is not None:
            return found
        if not agent.has_executor(framework.id, executor["executor_id"]["value"]):
            total += Resources.of(executor.get("resources", ()))
    found = _together_problem(task, executor)
    if found is not None:
        return found
    if not available.contains(total):
        return (
            f"Total resources {total.text()} required by task and its executor"
            f" is more than available {available.text()}"
        )
    return None


def _launched_executor_problem(executor: Json) -> str | None:
    if executor.get("type", "CUSTOM") != "CUSTOM":
        return "'ExecutorInfo.type' must be 'CUSTOM'"
    if "command" not in executor:
        return "'ExecutorInfo.command' must be set"
    pool = Resources.of(executor.get("resources", ()))
    if pool.filter(lambda kind: kind.shared):
        return f"Executor resources {pool.text()} should not contain any shared resources"
    return executor_rules.cgroups_problem(executor)


def _together_problem(task: Json, executor: Json | None) -> str | None:
    own = Resources.of(task["resources"])
    others = Resources.of(executor.get("resources", ())) if executor is not None else Resources()
    total = own + others
    found = resource_rules.problem(total.json())
    if found is not None:
        return f"Task and its executor use invalid resources: {found}"
    if resource_rules.overlap([own, others]):
        return (
            f"There are overlapping resources in the task resources {own.text()} and executor resources {others.text()}"
        )
    found = resource_rules.persistence_problem(total)
    if found is not None:
        return f"Task and its executor use duplicate persistence ID: {found}"
    found = resource_rules.mixture_problem(total)
    if found is not None:
        return f"Task and its executor mix revocable and non-revocable resources: {found}"
    return None
