"""Who may do what: the ACLs of the local authorizer, as far as they touch frameworks.

In the form of `--acls`: `{"permissive": true, "register_frameworks": [{"principals": E, "roles": E}], "run_tasks":
[{"principals": E, "users": E}]}`, where an entity E is `{"values": [...]}` or `{"type": "ANY"}` or `{"type": "NONE"}`.
The first rule that concerns a request decides; where none does, `permissive` does.

Source: src/authorizer/local/authorizer.cpp, src/master/authorization.cpp of Mesos.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headgate.simulator.master.records import roles_of
from headgate.simulator.messages import Json

_ANY: Json = {"type": "ANY"}


def registration_problem(acls: Mapping[str, Any], info: Json) -> str | None:
    """Why a framework may not subscribe with its roles."""
    roles = sorted(roles_of(info))
    if _allowed(acls, "register_frameworks", "roles", info.get("principal"), roles):
        return None
    name = info.get("id", {}).get("value", "")
    return f"Not authorized to register framework {name} with roles {{ {', '.join(roles)} }}"


def launch_problem(acls: Mapping[str, Any], info: Json, task: Json) -> str | None:
    """Why a framework may not launch a task under its user."""
    executor = task.get("executor", {}).get("command", {})
    user = task.get("command", {}).get("user") or executor.get("user") or info["user"]
    if _allowed(acls, "run_tasks", "users", info.get("principal"), [user]):
        return None
    return (
        f"Principal '{info.get('principal', '')}' no authorized to launch task {task['task_id']['value']}"
        f" of framework {info['id']['value']} under user '{user}'"
    )


def _allowed(acls: Mapping[str, Any], action: str, objects: str, principal: str | None, wanted: list[str]) -> bool:
    subject = None if principal is None else [principal]
    for rule in acls.get(action, ()):
        sides = ((subject, rule.get("principals", _ANY)), (wanted, rule.get(objects, _ANY)))
        if all(_concerns(request, entity) for request, entity in sides):
            return all(_allows(request, entity) for request, entity in sides)
    return bool(acls.get("permissive", True))


def _kind(entity: Json) -> str:
    return str(entity.get("type", "SOME"))


def _holds(request: Iterable[str], entity: Json) -> bool:
    return set(request) <= set(entity.get("values", ()))


def _concerns(request: list[str] | None, entity: Json) -> bool:
    """Whether a rule speaks of a request; a request without a name is one of anybody."""
    if _kind(entity) in ("ANY", "NONE"):
        return True
    return request is not None and _holds(request, entity)


def _allows(request: list[str] | None, entity: Json) -> bool:
    if _kind(entity) == "ANY":
        return True
    return _kind(entity) == "SOME" and request is not None and _holds(request, entity)
