"""Structural validation of calls that have been converted: which parts must be there for which type.

Each function returns the text that Mesos puts behind its `Failed to validate …: `, or None.

Sources: A.6 (scheduler), D.3 (executor) and F.2 (operator) of the protocol notes.
"""

from __future__ import annotations

import base64

from headgate.simulator.messages import Json

_NO_PART_NEEDED = {"UNKNOWN", "TEARDOWN", "REVIVE", "SUPPRESS"}


def scheduler_call_error(call: Json, principal: str | None = None) -> str | None:
    """What is wrong with a scheduler call.  `principal` is the authenticated one."""
    kind = call.get("type")
    if kind is None:
        return _expecting("type")
    if kind == "SUBSCRIBE":
        return _subscribe_error(call, principal)
    if "framework_id" not in call:
        return _expecting("framework_id")
    part = kind.lower()
    if kind not in _NO_PART_NEEDED and part not in call:
        return _expecting(part)
    if kind in ("ACKNOWLEDGE", "ACKNOWLEDGE_OPERATION_STATUS") and not is_uuid(call[part]["uuid"]):
        return "Not a valid UUID"
    if kind == "ACKNOWLEDGE_OPERATION_STATUS" and "agent_id" not in call[part]:
        return _expecting("agent_id")
    if kind == "UPDATE_FRAMEWORK" and _differs(call, call[part]["framework_info"]):
        return "'framework_id' differs from 'update_framework.framework_info.id'"
    return None


def _subscribe_error(call: Json, principal: str | None) -> str | None:
    if "subscribe" not in call:
        return _expecting("subscribe")
    info = call["subscribe"]["framework_info"]
    if _differs(call, info):
        return "'framework_id' differs from 'subscribe.framework_info.id'"
    declared = info.get("principal")
    if principal is not None and declared is not None and declared != principal:
        return f"Authenticated principal '{principal}' does not match principal '{declared}' set in `FrameworkInfo`"
    return None


def _differs(call: Json, info: Json) -> bool:
    """An absent id counts as the empty one."""
    return bool(call.get("framework_id", _NO_ID)["value"] != info.get("id", _NO_ID)["value"])


_NO_ID = {"value": ""}


def executor_call_error(call: Json) -> str | None:
    """What is wrong with an executor call."""
    kind = call.get("type")
    if kind is None:
        return _expecting("type")
    if kind in ("SUBSCRIBE", "UPDATE", "MESSAGE") and kind.lower() not in call:
        return _expecting(kind.lower())
    return _status_error(call, call["update"]["status"]) if kind == "UPDATE" else None


def _status_error(call: Json, status: Json) -> str | None:
    executor, framework = call["executor_id"]["value"], call["framework_id"]["value"]
    if "uuid" not in status:
        return _expecting("uuid")
    if not is_uuid(status["uuid"]):
        return "Not a valid UUID"
    if "executor_id" in status and status["executor_id"]["value"] != executor:
        return (
            f"ExecutorID in Call: {executor} does not match ExecutorID in TaskStatus: {status['executor_id']['value']}"
        )
    received = f"from executor {executor} of framework {framework}"
    if status.get("source") != "SOURCE_EXECUTOR":
        return f"Received Call {received} with invalid source, expecting 'SOURCE_EXECUTOR'"
    if status["state"] == "TASK_STAGING":
        return f"Received TASK_STAGING {received} which is not allowed"
    return _check_status_error(status["check_status"]) if "check_status" in status else None


def _check_status_error(check: Json) -> str | None:
    kind = check.get("type")
    if kind is None:
        return "CheckStatusInfo must specify 'type'"
    if kind == "UNKNOWN":
        return "'UNKNOWN' is not a valid check's status type"
    if kind.lower() not in check:
        return f"Expecting '{kind.lower()}' to be set for {kind} check's status"
    return None


_OPERATOR_PARTS = {
    "GET_METRICS",
    "SET_LOGGING_LEVEL",
    "LIST_FILES",
    "READ_FILE",
    "UPDATE_WEIGHTS",
    "RESERVE_RESOURCES",
    "UNRESERVE_RESOURCES",
    "CREATE_VOLUMES",
    "DESTROY_VOLUMES",
    "GROW_VOLUME",
    "SHRINK_VOLUME",
    "UPDATE_MAINTENANCE_SCHEDULE",
    "START_MAINTENANCE",
    "STOP_MAINTENANCE",
    "DRAIN_AGENT",
    "DEACTIVATE_AGENT",
    "REACTIVATE_AGENT",
    "UPDATE_QUOTA",
    "SET_QUOTA",
    "REMOVE_QUOTA",
    "TEARDOWN",
    "MARK_AGENT_GONE",
}


def operator_call_error(call: Json) -> str | None:
    """What is wrong with an operator call, but for the resources it names: those are the master's to judge."""
    kind = call.get("type")
    if kind is None:
        return _expecting("type")
    part = kind.lower()
    if kind in _OPERATOR_PARTS and part not in call:
        return _expecting(part)
    if kind in ("GROW_VOLUME", "SHRINK_VOLUME") and "agent_id" not in call[part]:
        return _expecting("agent_id") + "; only agent default resources are supported right now"
    return None


def _expecting(field: str) -> str:
    return f"Expecting '{field}' to be present"


def is_uuid(text: str) -> bool:
    """Whether base64 text holds a UUID's 16 bytes, of version 1 to 5."""
    raw = base64.b64decode(text)
    return len(raw) == 16 and 1 <= raw[6] >> 4 <= 5
