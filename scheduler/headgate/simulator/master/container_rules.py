"""What is wrong with commands, containers and health checks, in Mesos's words.

Source: Mesos's common/validation.cpp.
"""

from __future__ import annotations

import base64

from headgate.simulator.messages import Json

_VOLUME_SOURCES = {
    "DOCKER_VOLUME": ("docker_volume", "DOCKER_VOLUME"),
    "HOST_PATH": ("host_path", "HOST_PATH"),
    "SANDBOX_PATH": ("sandbox_path", "SANDBOX_PATH"),
    "SECRET": ("secret", "SECRET"),
    "CSI_VOLUME": ("csi_volume", "CSI"),
}


def command_problem(command: Json) -> str | None:
    """What is wrong with a CommandInfo: only its environment is looked at."""
    for variable in command.get("environment", {}).get("variables", ()):
        found = _variable_problem(variable)
        if found is not None:
            return found
    return None


def _variable_problem(variable: Json) -> str | None:
    kind, name = variable.get("type", "VALUE"), variable["name"]
    if kind == "UNKNOWN":
        return "Environment variable of type 'UNKNOWN' is not allowed"
    wanted, other = ("secret", "value") if kind == "SECRET" else ("value", "secret")
    if wanted not in variable:
        return f"Environment variable '{name}' of type '{kind}' must have a {wanted} set"
    if other in variable:
        return f"Environment variable '{name}' of type '{kind}' must not have a {other} set"
    if kind == "VALUE":
        return None
    found = _secret_problem(variable["secret"])
    if found is not None:
        return f"Environment variable '{name}' specifies an invalid secret: {found}"
    data = variable["secret"].get("value", {}).get("data", "")
    if b"\0" in base64.b64decode(data):
        return (
            f"Environment variable '{name}' specifies a secret containing null bytes,"
            " which is not allowed in the environment"
        )
    return None


def _secret_problem(secret: Json) -> str | None:
    kind = secret.get("type", "UNKNOWN")
    if kind == "REFERENCE":
        if "reference" not in secret:
            return "Secret of type REFERENCE must have the 'reference' field set"
        if "value" in secret:
            return f"Secret '{secret['reference']['name']}' of type REFERENCE must not have the 'value' field set"
    elif kind == "VALUE":
        if "value" not in secret:
            return "Secret of type VALUE must have the 'value' field set"
        if "reference" in secret:
            return "Secret of type VALUE must not have the 'reference' field set"
    return None


def container_problem(container: Json) -> str | None:
    """What is wrong with a ContainerInfo."""
    for volume in container.get("volumes", ()):
        found = _volume_problem(volume)
        if found is not None:
            return f"Invalid volume: {found}"
    if container.get("type") != "DOCKER":
        return None
    if "docker" not in container:
        return "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo"
    if any(parameter["key"] == "name" for parameter in container["docker"].get("parameters", ())):
        return "Parameter in DockerInfo must not be 'name'"
    return None


def _volume_problem(volume: Json) -> str | None:
    if sum(field in volume for field in ("host_path", "image", "source")) != 1:
        return "Only one of them should be set: 'host_path', 'image' and 'source'"
    source = volume.get("source")
    if source is None:
        return None
    if source.get("type") not in _VOLUME_SOURCES:
        return "'source.type' is unknown"
    field, title = _VOLUME_SOURCES[source["type"]]
    if field not in source:
        return f"'source.{field}' is not set for {title} volume"
    if field == "csi_volume" and "static_provisioning" not in source[field]:
        return "'source.csi_volume.static_provisioning' is not set for CSI volume"
    return None


def health_check_problem(check: Json) -> str | None:
    """What is wrong with a HealthCheck."""
    if "type" not in check:
        return "HealthCheck must specify 'type'"
    return _check_problem(check, "health check", check.get("command", {})) or _durations_problem(
        check, ("delay_seconds", "grace_period_seconds", "interval_seconds", "timeout_seconds")
    )


def check_problem(check: Json) -> str | None:
    """What is wrong with a CheckInfo."""
    if "type" not in check:
        return "CheckInfo must specify 'type'"
    return _check_problem(check, "check", check.get("command", {}).get("command", {})) or _durations_problem(
        check, ("delay_seconds", "interval_seconds", "timeout_seconds")
    )


def _check_problem(check: Json, title: str, command: Json) -> str | None:
    kind = check["type"]
    if kind not in ("COMMAND", "HTTP", "TCP"):
        return f"'{kind}' is not a valid {title} type"
    if kind.lower() not in check:
        return f"Expecting '{kind.lower()}' to be set for {kind} {title}"
    if kind == "COMMAND":
        if "value" not in command:
            wanted = "'shell command'" if command.get("shell", True) else "'executable path'"
            return f"Command {title} must contain {wanted}"
        found = command_problem(command)
        return None if found is None else f"{title.capitalize()}'s `CommandInfo` is invalid: {found}"
    if kind == "HTTP":
        http = check["http"]
        if title == "health check" and http.get("scheme", "http") not in ("http", "https"):
            return f"Unsupported HTTP health check scheme: '{http['scheme']}'"
        if "path" in http and not http["path"].startswith("/"):
            return f"The path '{http['path']}' of HTTP {title} must start with '/'"
    return None


def _durations_problem(check: Json, fields: tuple[str, ...]) -> str | None:
    for field in fields:
        if check.get(field, 0) < 0:
            return f"Expecting '{field}' to be non-negative"
    return None


def linux_info(message: Json) -> Json:
    """The LinuxInfo of a TaskInfo's or ExecutorInfo's container; empty if there is none."""
    info: Json = message.get("container", {}).get("linux_info", {})
    return info
