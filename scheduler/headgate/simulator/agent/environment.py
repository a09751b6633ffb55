"""The environment of executors and tasks: exactly what a real agent gives, nothing inherited.

`{sandbox}` stands for the absolute path of the container's sandbox.

Source: `executorEnvironment` of Mesos's slave.cpp; for tasks its executors.
"""

from __future__ import annotations

import base64

from headgate.simulator.agent import durations
from headgate.simulator.agent.settings import DEFAULT_PATH, AgentSettings
from headgate.simulator.messages import Json

SANDBOX = "{sandbox}"


def shutdown_grace_s(executor: Json, settings: AgentSettings) -> float:
    """How long an executor has for its end."""
    if "shutdown_grace_period" in executor:
        return durations.seconds(executor["shutdown_grace_period"])
    return settings.executor_shutdown_grace_s


def of_executor(*, executor: Json, framework: Json, agent_id: str, settings: AgentSettings) -> dict[str, str]:
    """The variables of an executor's process; those of its CommandInfo win."""
    environment = {
        "LIBPROCESS_IP": settings.ip,
        **settings.executor_environment,
        "LIBPROCESS_PORT": "0",
        "MESOS_FRAMEWORK_ID": str(framework["id"]["value"]),
        "MESOS_EXECUTOR_ID": str(executor["executor_id"]["value"]),
        "MESOS_DIRECTORY": SANDBOX,
        "MESOS_SANDBOX": SANDBOX,
        "MESOS_SLAVE_ID": agent_id,
        "MESOS_SLAVE_PID": settings.pid,
        "MESOS_AGENT_ENDPOINT": settings.address,
        "MESOS_CHECKPOINT": "1" if framework.get("checkpoint") else "0",
        "MESOS_HTTP_COMMAND_EXECUTOR": "0",
        "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": durations.text(shutdown_grace_s(executor, settings)),
    }
    if framework.get("checkpoint"):
        environment["MESOS_RECOVERY_TIMEOUT"] = durations.text(settings.recovery_timeout_s)
        environment["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = durations.text(settings.executor_reregistration_timeout_s)
    return {"PATH": DEFAULT_PATH, **environment, **of_command(executor.get("command", {}))}


def of_command_task(*, executor_environment: dict[str, str], task: Json) -> dict[str, str]:
    """The variables of a command task: those of its executor and its role; those of its CommandInfo win."""
    return {
        **executor_environment,
        **of_command(task.get("command", {})),
        "MESOS_ALLOCATION_ROLE": allocation_role(task),
    }


def of_nested_task(*, task: Json, settings: AgentSettings) -> dict[str, str]:
    """The variables of a task of the default executor."""
    return {
        "PATH": DEFAULT_PATH,
        "MESOS_SANDBOX": SANDBOX,
        **of_command(task.get("command", {})),
        "MESOS_CONTAINER_IP": settings.ip,
        "MESOS_ALLOCATION_ROLE": allocation_role(task),
    }


def of_operator_container(command: Json) -> dict[str, str]:
    """The variables of a container without a task."""
    return {"PATH": DEFAULT_PATH, "MESOS_SANDBOX": SANDBOX, **of_command(command)}


def of_command(command: Json) -> dict[str, str]:
    """The variables a CommandInfo names.  Secrets given by value are resolved, others are left out."""
    found: dict[str, str] = {}
    for variable in command.get("environment", {}).get("variables", ()):
        if variable.get("type", "VALUE") == "VALUE":
            found[variable["name"]] = variable.get("value", "")
        elif "data" in variable.get("secret", {}).get("value", {}):
            found[variable["name"]] = base64.b64decode(variable["secret"]["value"]["data"]).decode(errors="replace")
    return found


def allocation_role(owner: Json) -> str:
    """The role to which a task's (or an executor's) resources are allocated."""
    resources = owner.get("resources", ())
    return str(resources[0].get("allocation_info", {}).get("role", "*")) if resources else "*"
