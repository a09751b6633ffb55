"""What is wrong with a Resource message, in Mesos's words.

Two levels, as Mesos has them: `problem` and `first_problem` judge messages as a client sends them (any form, not yet
converted); the checks of sets of valid resources that tasks and operations go through are with those.

Source: `Resources::validate` in resources.cpp; the order of the checks is part of the contract.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from headgate.simulator.messages import Json
from headgate.simulator.resources import roles
from headgate.simulator.resources.kind import describe
from headgate.simulator.resources.values import thousandths

_VALUE_FIELDS = {"SCALAR": "scalar", "RANGES": "ranges", "SET": "set"}


def first_problem(resources: Iterable[Json]) -> str | None:
    """The first invalid resource: `Resource 'cpus:-1' is invalid: …`; None if all are valid."""
    for resource in resources:
        found = problem(resource)
        if found is not None:
            return f"Resource '{describe(resource)}' is invalid: {found}"
    return None


def problem(resource: Json) -> str | None:
    """What is wrong with one Resource message; None if nothing is."""
    if not resource["name"]:
        return "Empty resource name"
    return (
        _value_problem(resource)
        or _disk_problem(resource)
        or _reservation_problem(resource)
        or _shared_problem(resource)
    )


def _value_problem(resource: Json) -> str | None:
    kind = resource["type"]
    if kind not in _VALUE_FIELDS:
        return "Unsupported resource type"
    present = {name for name in _VALUE_FIELDS.values() if name in resource}
    if present != {_VALUE_FIELDS[kind]}:
        return f"Invalid {_VALUE_FIELDS[kind]} resource"
    if kind == "SCALAR":
        value = resource["scalar"]["value"]
        return "Invalid scalar resource: value <= 0" if value != 0 and thousandths(value) <= 0 else None
    if kind == "SET":
        items = resource["set"].get("item", [])
        return "Invalid set resource: duplicated elements" if len(set(items)) < len(items) else None
    return _ranges_problem([(part["begin"], part["end"]) for part in resource["ranges"].get("range", [])])


def _ranges_problem(parts: list[tuple[int, int]]) -> str | None:
    for index, (begin, end) in enumerate(parts):
        if begin > end:
            return "Invalid ranges resource: begin > end"
        # Only a later range that begins inside this one is found, as in Mesos.
        if any(begin <= other <= end for other, _ in parts[index + 1 :]):
            return "Invalid ranges resource: overlapping ranges"
    return None


def _disk_problem(resource: Json) -> str | None:
    if "disk" not in resource:
        return None
    if resource["name"] != "disk":
        return f"DiskInfo should not be set for {resource['name']} resource"
    source = resource["disk"].get("source")
    if source is not None and source.get("type") in ("BLOCK", "RAW"):
        for field in ("mount", "path"):
            if field in source:
                return f"{field.capitalize()} should not be set for {source['type']} disk source"
    return None


def _reservation_problem(resource: Json) -> str | None:
    stack = resource.get("reservations", [])
    return _stack_problem(resource, stack) if stack else _old_form_problem(resource)


def _old_form_problem(resource: Json) -> str | None:
    role = resource.get("role", roles.DEFAULT)
    found = roles.problem(role)
    if found is not None:
        return found
    reservation = resource.get("reservation")
    if reservation is None:
        return None
    for field in ("type", "role"):
        if field in reservation:
            return f"'Resource.ReservationInfo.{field}' must not be set for the 'Resource.reservation' field"
    if role == roles.DEFAULT:
        return 'Invalid reservation: role "*" cannot be dynamically reserved'
    return None


def _stack_problem(resource: Json, stack: list[Json]) -> str | None:
    for entry in stack:
        for field in ("type", "role"):
            if field not in entry:
                return f"Invalid reservation: 'Resource.ReservationInfo.{field}' field must be set."
        found = roles.problem(entry["role"])
        if found is not None:
            return found
        if entry["role"] == roles.DEFAULT:
            return 'Invalid reservation: role "*" cannot be reserved'
    for above, entry in pairwise(stack):
        if entry["type"] == "STATIC":
            return "Invalid refined reservation: A refined reservation cannot be STATIC"
        if not roles.is_strict_subrole(entry["role"], above["role"]):
            return f"Invalid refined reservation: role '{entry['role']}' is not a refinement of '{above['role']}'"
    if len(stack) == 1:
        return _mixed_forms_problem(resource, stack[0])
    for field in ("role", "reservation"):
        if field in resource:
            return (
                f"Invalid resource format: 'Resource.{field}' must not be set if there is more than one reservation"
                " in 'Resource.reservations'"
            )
    return None


def _mixed_forms_problem(resource: Json, entry: Json) -> str | None:
    old = resource.get("reservation")
    if "role" in resource and resource["role"] != entry["role"]:
        return (
            f"Invalid resource format: 'Resource.role' field with '{resource['role']}' does not match the role"
            f" '{entry['role']}' in 'Resource.reservations'"
        )
    if entry["type"] == "STATIC":
        if old is not None:
            return (
                "Invalid resource format: 'Resource.reservation' must not be set if the single reservation in"
                " 'Resource.reservations' is STATIC"
            )
        return None
    if ("role" in resource) != (old is not None):
        return (
            "Invalid resource format: 'Resource.role' and 'Resource.reservation' must either be both set or both"
            " not set if the single reservation in 'Resource.reservations' is DYNAMIC"
        )
    if old is not None and old.get("principal", "") != entry.get("principal", ""):
        return (
            f"Invalid resource format: 'Resource.reservation.principal' field with '{old.get('principal', '')}'"
            f" does not match the principal '{entry.get('principal', '')}' in 'Resource.reservations'"
        )
    return None


def _shared_problem(resource: Json) -> str | None:
    if "shared" not in resource:
        return None
    if resource["name"] != "disk":
        return f"Resource {resource['name']} cannot be shared"
    if "persistence" not in resource.get("disk", {}):
        return "Only persistent volumes can be shared"
    return None
