"""From ExecutorInfo and TaskInfo to the container that is to be started."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.simulator.agent import durations, environment
from headgate.simulator.agent.builtin import PerformCheck
from headgate.simulator.agent.records import ExecutorRecord
from headgate.simulator.agent.settings import AgentSettings
from headgate.simulator.messages import CheckTask, Json, SandboxLink, StartContainer
from headgate.simulator.resources import Kind, Resources

OVERHEAD = {"cpus": 0.1, "mem": 32.0}
"""What the executor of a command task costs; only the agent counts it."""

REAP_MARGIN_S = 2.0
_SHOWN_COMMAND = 15


def sandbox(agent_id: str, framework_id: str, executor_id: str, container_id: str) -> str:
    """The folder of one run, relative to the work directory."""
    return f"slaves/{agent_id}/frameworks/{framework_id}/executors/{executor_id}/runs/{container_id}"


def command_executor_info(framework: Json, task: Json) -> Json:
    """The ExecutorInfo of the wrapper for a command task; executor id and task id are the same.

    Source: `Slave::getExecutorInfo`.
    """
    command = task.get("command", {})
    task_id = task["task_id"]["value"]
    role = environment.allocation_role(task)
    wrapper: Json = {"shell": False, "value": "mesos-executor", "arguments": ["mesos-executor"]}
    wrapper |= {name: command[name] for name in ("uris", "environment", "user") if name in command}
    info: Json = {
        "executor_id": {"value": task_id},
        "framework_id": framework["id"],
        "command": wrapper,
        "resources": [
            {"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": role}}
            for name, value in OVERHEAD.items()
        ],
        "name": f"Command Executor (Task: {task_id}) (Command: {_shown(command)})",
        "source": task_id,
    }
    info |= {name: task[name] for name in ("container", "labels", "discovery") if name in task}
    grace_s = durations.grace_period_s(task.get("kill_policy"))
    if grace_s is not None:
        info["shutdown_grace_period"] = {"nanoseconds": round((grace_s + REAP_MARGIN_S) * 1e9)}
    return info


def refusal(info: Json) -> tuple[bool, str | None]:
    """Whether no containerizer takes a container, and why it cannot be launched (None: it can).

    The agent has the Mesos containerizer and no image provider, as by default.
    """
    container = info.get("container", {})
    if container.get("type") == "DOCKER":
        return True, None
    image = container.get("mesos", {}).get("image")
    return False, None if image is None else f"Unsupported container image type: {image.get('type', 'UNKNOWN')}"


def of_executor(
    executor: ExecutorRecord, tasks: tuple[Json, ...], *, framework: Json, agent_id: str, settings: AgentSettings
) -> StartContainer:
    """The container of a custom executor, or of a command task (whose process stands for its executor too)."""
    info = executor.info
    variables = environment.of_executor(executor=info, framework=framework, agent_id=agent_id, settings=settings)
    command = info.get("command", {})
    if executor.command:
        command = tasks[0].get("command", {})
        variables = environment.of_command_task(executor_environment=variables, task=tasks[0])
    return _start(
        command,
        container_id=executor.container_id,
        sandbox_path=executor.sandbox,
        variables=variables,
        user=framework.get("user"),
        links=links((info, *tasks)),
        agent_id=agent_id,
    )


def of_nested_task(
    executor: ExecutorRecord,
    container_id: str,
    task: Json,
    *,
    framework: Json,
    agent_id: str,
    settings: AgentSettings,
) -> StartContainer:
    """The container of one task of the default executor."""
    return _start(
        task.get("command", {}),
        container_id=container_id,
        sandbox_path=f"{executor.sandbox}/containers/{container_id}",
        variables=environment.of_nested_task(task=task, settings=settings),
        user=executor.info.get("command", {}).get("user") or framework.get("user"),
        links=links((task,)),
        agent_id=agent_id,
    )


def of_check(
    executor: ExecutorRecord, order: PerformCheck, *, framework: Json, agent_id: str, settings: AgentSettings
) -> CheckTask:
    """A check as the edge performs it; a command runs beside the task, with its environment."""
    command = None
    if order.kind == "COMMAND":
        variables = environment.of_nested_task(task=order.task, settings=settings)
        path = executor.sandbox
        if executor.command:
            own = environment.of_executor(
                executor=executor.info, framework=framework, agent_id=agent_id, settings=settings
            )
            variables = environment.of_command_task(executor_environment=own, task=order.task)
        else:
            path = f"{executor.sandbox}/containers/{order.container_id}"
        command = of_command(
            order.target,
            container_id=order.check_id,
            sandbox_path=path,
            variables={**variables, **environment.of_command(order.target)},
            user=executor.info.get("command", {}).get("user") or framework.get("user"),
            agent_id=agent_id,
        )
    return CheckTask(
        agent_id=agent_id,
        check_id=order.check_id,
        kind=order.kind,
        target=order.target,
        timeout_s=order.timeout_s,
        command=command,
    )


def links(owners: Iterable[Json]) -> tuple[SandboxLink, ...]:
    """Where the persistent volumes among the owners' resources belong in the sandbox."""
    found: list[SandboxLink] = []
    for owner in owners:
        for kind, _ in Resources.of(owner.get("resources", ())).volumes():
            path = kind.disk.info.get("volume", {}).get("container_path") if kind.disk is not None else None
            if path:
                found.append(SandboxLink(path=path, volume=volume_folder(kind)))
    return tuple(dict.fromkeys(found))


def volume_folder(volume: Kind) -> str:
    """The folder of a persistent volume, relative to the work directory."""
    assert volume.disk is not None
    return f"volumes/roles/{volume.reserved_role.replace('/', ' ')}/{volume.disk.persistence_id}"


def of_command(
    command: Json,
    *,
    container_id: str,
    sandbox_path: str,
    variables: dict[str, str],
    user: str | None,
    agent_id: str,
) -> StartContainer:
    """A container that only runs a command."""
    return _start(
        command,
        container_id=container_id,
        sandbox_path=sandbox_path,
        variables=variables,
        user=user,
        links=(),
        agent_id=agent_id,
    )


def _start(
    command: Json,
    *,
    container_id: str,
    sandbox_path: str,
    variables: dict[str, str],
    user: str | None,
    links: tuple[SandboxLink, ...],
    agent_id: str,
) -> StartContainer:
    value = str(command.get("value", ""))
    if command.get("shell", True):
        executable, argv = "/bin/sh", ("sh", "-c", value)
    else:
        executable, argv = value, tuple(command.get("arguments", ())) or (value,)
    return StartContainer(
        agent_id=agent_id,
        container_id=container_id,
        executable=executable,
        argv=argv,
        environment=variables,
        sandbox=sandbox_path,
        uris=tuple(command.get("uris", ())),
        user=command.get("user") or user,
        links=links,
    )


def _shown(command: Json) -> str:
    if command.get("shell", True):
        if "value" not in command:
            return "NO COMMAND"
        value = str(command["value"])
        return f"sh -c '{value[:12]}...'" if len(value) > _SHOWN_COMMAND else f"sh -c '{value}'"
    if "value" not in command:
        return "NO EXECUTABLE"
    words = f"{command['value']}, {', '.join(command.get('arguments', ()))}"
    return f"[{words[:12]}...]" if len(words) > _SHOWN_COMMAND else f"[{words}]"
