"""What is wrong with an executor, in Mesos's words and in the order of its checks.

Source: namespace `executor` of Mesos's master/validation.cpp.
"""

from __future__ import annotations

from headgate.simulator.master import container_rules, executor_info, identifiers, resource_rules
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.messages import Json


def problem(executor: Json, framework: Framework, agent: Agent) -> str | None:
    """What is wrong with an ExecutorInfo, whichever operation it is for."""
    return (
        _type_problem(executor)
        or identifiers.problem(executor["executor_id"]["value"])
        or _description_problem(executor)
        or _belongs_problem(executor, framework, agent)
    )


def _type_problem(executor: Json) -> str | None:
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


def _description_problem(executor: Json) -> str | None:
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


def _belongs_problem(executor: Json, framework: Framework, agent: Agent) -> str | None:
    if "framework_id" not in executor:
        return "'ExecutorInfo.framework_id' must be set"
    named = executor["framework_id"]["value"]
    if named != framework.id:
        return f"ExecutorInfo has an invalid FrameworkID (Actual: {named} vs Expected: {framework.id})"
    found = resource_rules.pool_problem(
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


def cgroups_problem(executor: Json) -> str | None:
    """Executors have control groups of their own."""
    if container_rules.linux_info(executor).get("share_cgroups") is True:
        return "The 'share_cgroups' field cannot be set to 'true' on executor containers"
    return None
