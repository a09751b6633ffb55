"""What is wrong with a task, its executor or a task group, in Mesos's words and in the order of its checks.

The resources have been found valid as such, are in the stack form and carry their allocation.
Source: namespace `task` of Mesos's master/validation.cpp.
"""

from __future__ import annotations

import math

from headgate.simulator.master import container_rules, executor_info, identifiers, resource_rules
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources, number, number_text, thousandths

MIN_CPUS = 0.01
MIN_MEM_MB = 32.0


def task_problem(task: Json, framework: Framework, agent: Agent, available: Resources) -> str | None:
    """What is wrong with one task of a LAUNCH; `available` is what the operations before it have left."""
    return (
        _plain_problem(task, framework, agent)
        or _with_executor_problem(task, framework, agent, available)
        or _share_cgroups_problem(task)
    )


def group_problem(
    tasks: list[Json], executor: Json, framework: Framework, agent: Agent, available: Resources
) -> str | None:
    """What is wrong with a task group; it holds for all its tasks."""
    for task in tasks:
        found = _plain_problem(task, framework, agent) or _grouped_problem(task)
        if found is not None:
            return f"Task '{task['task_id']['value']}' is invalid: {found}"
    return _group_executor_problem(tasks, executor, framework, agent, available) or _group_cgroups_problem(
        tasks, executor, framework, agent
    )


# --- a task by itself --------------------------------------------------------------------------------------------


def _plain_problem(task: Json, framework: Framework, agent: Agent) -> str | None:
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
    return _pool_problem(
        listed,
        invalid="Task uses invalid resources",
        duplicate="Task uses duplicate persistence ID",
        roles="Invalid task resources",
        mixed="Task mixes revocable and non-revocable resources",
    )


def _pool_problem(listed: list[Json], *, invalid: str, duplicate: str, roles: str, mixed: str) -> str | None:
    found = resource_rules.problem(listed)
    if found is not None:
        return f"{invalid}: {found}"
    pool = Resources.of(listed)
    for title, check in (
        (duplicate, resource_rules.persistence_problem),
        (roles, resource_rules.allocation_problem),
        (mixed, resource_rules.mixture_problem),
    ):
        found = check(pool)
        if found is not None:
            return f"{title}: {found}"
    return None


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
    if _linux_info(task).get("share_cgroups") is False:
        return "Only tasks in a task group may have 'share_cgroups' set to 'false'"
    return None


def _linux_info(message: Json) -> Json:
    info: Json = message.get("container", {}).get("linux_info", {})
    return info


# --- executors ---------------------------------------------------------------------------------------------------


def _executor_problem(executor: Json, framework: Framework, agent: Agent) -> str | None:
    return (
        _executor_type_problem(executor)
        or identifiers.problem(executor["executor_id"]["value"])
        or _executor_description_problem(executor)
        or _executor_belongs_problem(executor, framework, agent)
    )


def _executor_type_problem(executor: Json) -> str | None:
    kind, container = executor.get("type"), executor.get("container")
    if kind == "DEFAULT":
        if "command" in executor:
            return "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"
        if container is not None and container.get("type") != "MESOS":
            return "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor"
        if container is not None and "image" in container.get("mesos", {}):
            return "'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor"
    if kind == "CUSTOM" and "command" not in executor:
        return "'ExecutorInfo.command' must be set for 'CUSTOM' executor"
    return None


def _executor_description_problem(executor: Json) -> str | None:
    if executor.get("shutdown_grace_period", {}).get("nanoseconds", 0) < 0:
        return "ExecutorInfo's 'shutdown_grace_period' must be non-negative"
    if "command" in executor:
        found = container_rules.command_problem(executor["command"])
        if found is not None:
            return f"Executor's `CommandInfo` is invalid: {found}"
    if "container" in executor:
        found = container_rules.container_problem(executor["container"])
        if found is not None:
            return f"Executor's `ContainerInfo` is invalid: {found}"
    return None


def _executor_belongs_problem(executor: Json, framework: Framework, agent: Agent) -> str | None:
    if "framework_id" not in executor:
        return "'ExecutorInfo.framework_id' must be set"
    named = executor["framework_id"]["value"]
    if named != framework.id:
        return f"ExecutorInfo has an invalid FrameworkID (Actual: {named} vs Expected: {framework.id})"
    found = _pool_problem(
        executor.get("resources", []),
        invalid="Executor uses invalid resources",
        duplicate="Executor uses duplicate persistence ID",
        roles="Invalid executor resources",
        mixed="Executor mixes revocable and non-revocable resources",
    )
    if found is not None:
        return found
    known = agent.executors.get(framework.id, {}).get(executor["executor_id"]["value"])
    if known is not None and not executor_info.equal(known.info, executor):
        return executor_info.incompatible(known.info, executor)
    return None


def _with_executor_problem(task: Json, framework: Framework, agent: Agent, available: Resources) -> str | None:
    executor = task.get("executor")
    if (executor is None) == ("command" not in task):
        return "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present"
    total = Resources.of(task["resources"])
    if executor is not None:
        found = _executor_problem(executor, framework, agent) or _launched_executor_problem(executor)
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
    return _executor_cgroups_problem(executor)


def _executor_cgroups_problem(executor: Json) -> str | None:
    if _linux_info(executor).get("share_cgroups") is True:
        return "The 'share_cgroups' field cannot be set to 'true' on executor containers"
    return None


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


# --- groups ------------------------------------------------------------------------------------------------------


def _grouped_problem(task: Json) -> str | None:
    container = task.get("container")
    if container is not None:
        kind = task.get("health_check", {}).get("type")
        if container.get("network_infos") and kind in ("HTTP", "TCP"):
            return "HTTP and TCP health checks are not supported for nested containers not joining parent's network"
        if container.get("type") == "DOCKER":
            return "Docker ContainerInfo is not supported on the task"
    if task.get("limits") and _linux_info(task).get("share_cgroups", True):
        return (
            "Resource limits may only be set for tasks within a task group when"
            " the 'share_cgroups' field is set to 'false'."
        )
    return None


def _group_executor_problem(
    tasks: list[Json], executor: Json, framework: Framework, agent: Agent, available: Resources
) -> str | None:
    found = _executor_problem(executor, framework, agent)
    if found is not None:
        return found
    executor_id = executor["executor_id"]["value"]
    if "type" not in executor:
        return "'ExecutorInfo.type' must be set"
    if executor["type"] == "UNKNOWN":
        return "Unknown executor type"
    if executor.get("container", {}).get("type") == "DOCKER":
        return "Docker ContainerInfo is not supported on the executor"
    for task in tasks:
        if "executor" in task and not executor_info.equal(task["executor"], executor):
            return f"The `ExecutorInfo` of task '{task['task_id']['value']}' is different from executor '{executor_id}'"
    return _group_pool_problem(tasks, executor, framework, agent, available)


def _group_pool_problem(
    tasks: list[Json], executor: Json, framework: Framework, agent: Agent, available: Resources
) -> str | None:
    executor_id = executor["executor_id"]["value"]
    own = Resources.of(executor.get("resources", ()))
    pools = [Resources.of(task["resources"]) for task in tasks]
    found = _executor_too_small(executor_id, own)
    if found is not None:
        return found
    everything = Resources.total([own, *pools])
    found = resource_rules.persistence_problem(everything)
    if found is not None:
        return f"Task group and executor use duplicate persistence ID: {found}"
    found = resource_rules.mixture_problem(everything)
    if found is not None:
        return f"Task group and executor mix revocable and non-revocable resources: {found}"
    if resource_rules.overlap([*pools, own]):
        return (
            "There are overlapping resources in the task group's task resources"
            f" {{ {', '.join(pool.text() for pool in pools)} }} and/or executor resources {own.text()}"
        )
    total = Resources.total(pools)
    if not agent.has_executor(framework.id, executor_id):
        total += own
    if not available.contains(total):
        return (
            f"Total resources {total.text()} required by task group and its executor"
            f" are more than available {available.text()}"
        )
    return None


def _executor_too_small(executor_id: str, own: Resources) -> str | None:
    held = own.scalars()
    if held.get("cpus", 0) < thousandths(MIN_CPUS):
        amount = number_text(held["cpus"]) if "cpus" in held else "None"
        return f"Executor '{executor_id}' uses less CPUs ({amount}) than the minimum required ({MIN_CPUS})"
    if held.get("mem", 0) < thousandths(MIN_MEM_MB):
        amount = _megabytes(held["mem"]) if "mem" in held else "None"
        return f"Executor '{executor_id}' uses less memory ({amount}) than the minimum required (32MB)"
    if "disk" not in held:
        return f"Executor '{executor_id}' uses no disk"
    return None


def _megabytes(amount: int) -> str:
    """A size as Mesos prints it: in the largest unit that divides it."""
    size, unit = int(number(amount) * 1024 * 1024), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if size == 0 or size % 1024:
            break
        size, unit = size // 1024, larger
    return f"{size}{unit}"


def _group_cgroups_problem(tasks: list[Json], executor: Json, framework: Framework, agent: Agent) -> str | None:
    found = _executor_cgroups_problem(executor)
    if found is not None:
        return found
    executor_id = executor["executor_id"]["value"]
    shares = {_linux_info(task).get("share_cgroups", True) for task in tasks}
    if agent.has_executor(framework.id, executor_id):
        for known in (*framework.tasks.values(), *framework.unreachable_tasks.values()):
            if known.agent_id == agent.id and known.executor_id == executor_id:
                shares.add(_linux_info(known.info).get("share_cgroups", True))
    if len(shares) > 1:
        return (
            "If set, the value of 'share_cgroups' must be the same for all"
            " tasks in each task group and under a single executor"
        )
    return None
