"""Structural validation of the calls of an agent's operator API.

Source: src/slave/validation.cpp of Mesos; what it says of commands and container infos is left to the launch.
"""

from __future__ import annotations

from headgate.simulator.messages import Json

_PARTS = {
    "GET_METRICS",
    "SET_LOGGING_LEVEL",
    "LIST_FILES",
    "READ_FILE",
    "LAUNCH_NESTED_CONTAINER",
    "WAIT_NESTED_CONTAINER",
    "KILL_NESTED_CONTAINER",
    "REMOVE_NESTED_CONTAINER",
    "LAUNCH_NESTED_CONTAINER_SESSION",
    "ATTACH_CONTAINER_INPUT",
    "ATTACH_CONTAINER_OUTPUT",
    "LAUNCH_CONTAINER",
    "WAIT_CONTAINER",
    "KILL_CONTAINER",
    "REMOVE_CONTAINER",
}
_ID_CHARACTERS_MAX = 242
"""What is left of a file name when the names of control groups have taken their part."""


def agent_call_error(call: Json) -> str | None:
    """What is wrong with a call."""
    kind = call.get("type")
    if kind is None:
        return "Expecting 'type' to be present"
    part = kind.lower()
    if kind in _PARTS and part not in call:
        return f"Expecting '{part}' to be present"
    body = call.get(part, {})
    if kind == "ATTACH_CONTAINER_INPUT" and "type" not in body:
        return "Expecting 'attach_container_input.type' to be present"
    if "container_id" not in body:
        return None
    problem = container_id_problem(body["container_id"])
    if problem is not None:
        return f"'{part}.container_id' is invalid: {problem}"
    if "NESTED" in kind and "parent" not in body["container_id"]:
        return f"Expecting '{part}.container_id.parent' to be present"
    return _resources_problem(body) if kind == "LAUNCH_CONTAINER" else None


def container_id_problem(container_id: Json) -> str | None:
    """What is wrong with a container id, or with one that it is in."""
    text = container_id["value"]
    if not text:
        return "ID must not be empty"
    if text in (".", ".."):
        return f"'{text}' is disallowed"
    if any(character < " " or character in "/\\\x7f" for character in text):
        return f"'{text}' contains invalid characters"
    if len(text) > _ID_CHARACTERS_MAX:
        return f"'ContainerID.value' '{text}' exceeds the maximum length ({_ID_CHARACTERS_MAX})"
    if "." in text or " " in text:
        return f"'ContainerID.value' '{text}' contains invalid characters"
    problem = container_id_problem(container_id["parent"]) if "parent" in container_id else None
    return None if problem is None else f"'ContainerID.parent' is invalid: {problem}"


def _resources_problem(body: Json) -> str | None:
    nested = "parent" in body["container_id"]
    for item in () if nested else body.get("resources", ()):
        if item.get("reservations") or item.get("role", "*") != "*":
            return "'launch_container.resources' must be unreserved"
        if "persistence" in item.get("disk", {}):
            return "'launch_container.resources' may not use persistent volumes"
        if "revocable" in item:
            return "'launch_container.resources' must be non-revocable"
    if nested and "parent" in body["container_id"]["parent"]:
        for field, words in (("resources", "resources"), ("limits", "resource limits")):
            if body.get(field):
                return (
                    "'launch_container' is invalid: containers nested at the second level or greater"
                    f" cannot specify {words}"
                )
    return None
