"""What is wrong with a task group, in Mesos's words and in the order of its checks.

The resources have been found valid as such, are in the stack form and carry their allocation.
Source: namespace `task::group` of Mesos's master/validation.cpp.
"""

from __future__ import annotations

from headgate.simulator.master import container_rules, executor_info, executor_rules, resource_rules, task_rules
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources, number, number_text, thousandths

MIN_CPUS = 0.01
MIN_MEM_MB = 32.0


def problem(tasks: list[Json], executor: Json, framework: Framework, agent: Agent, available: Resources) -> str | None:
    """What is wrong with a task group; it holds for all its tasks."""
    seen: set[str] = set()
    for task in tasks:
        task_id = task["task_id"]["value"]
        found = task_rules.plain_problem(task, framework, agent) or _grouped_problem(task)
        if found is None and task_id in seen:
            # A real master dies of this; it is refused here in the words for the nearest case.
            found = f"Task has duplicate ID: {task_id}"
        if found is not None:
            return f"Task '{task_id}' is invalid: {found}"
        seen.add(task_id)
    return _executor_problem(tasks, executor, framework, agent, available) or _cgroups_problem(
        tasks, executor, framework, agent
    )


def _grouped_problem(task: Json) -> str | None:
    container = task.get("container")
    if container is not None:
        kind = task.get("health_check", {}).get("type")
        if container.get("network_infos") and kind in ("HTTP", "TCP"):
            return "HTTP and TCP health checks are not supported for nested containers not joining parent's network"
        if container.get("type") == "DOCKER":
            return "Docker ContainerInfo is not supported on the task"
    if task.get("limits") and container_rules.linux_info(task).get("share_cgroups", True):
        return (
            "Resource limits may only be set for tasks within a task group when"
            " the 'share_cgroups' field is set to 'false'."
        )
    return None


def _executor_problem(
    tasks: list[Json], executor: Json, framework: Framework, agent: Agent, available: Resources
) -> str | None:
    found = executor_rules.problem(executor, framework, agent)
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
    return _pool_problem(tasks, executor, framework, agent, available)


def _pool_problem(
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


def _cgroups_problem(tasks: list[Json], executor: Json, framework: Framework, agent: Agent) -> str | None:
    found = executor_rules.cgroups_problem(executor)
    if found is not None:
        return found
    executor_id = executor["executor_id"]["value"]
    shares = {container_rules.linux_info(task).get("share_cgroups", True) for task in tasks}
    if agent.has_executor(framework.id, executor_id):
        for known in (*framework.tasks.values(), *framework.unreachable_tasks.values()):
            if known.agent_id == agent.id and known.executor_id == executor_id:
                shares.add(container_rules.linux_info(known.info).get("share_cgroups", True))
    if len(shares) > 1:
        return (
            "If set, the value of 'share_cgroups' must be the same for all"
            " tasks in each task group and under a single executor"
        )
    return None
