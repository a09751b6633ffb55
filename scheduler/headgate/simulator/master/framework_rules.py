"""What is wrong with a FrameworkInfo, in Mesos's words and in the order of its checks.

Source: `validateFramework` and `createAllocatorFrameworkOptions` of master.cpp, and validation.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from headgate.simulator.master import constraints as offer_constraints
from headgate.simulator.master import identifiers, quantities
from headgate.simulator.master.books import Subscriber
from headgate.simulator.master.constraints import Invalid
from headgate.simulator.master.records import capabilities_of, roles_of
from headgate.simulator.master.settings import MasterSettings
from headgate.simulator.messages import Json
from headgate.simulator.resources import Thousandths, roles

_LONGEST_DURATION_SECONDS = (2**63 - 1) / 1e9
_SMALLEST_NORMAL = 2.2250738585072014e-308


def info_problem(info: Json) -> str | None:
    """The first thing wrong with a FrameworkInfo as such."""
    return _roles_problem(info) or _id_problem(info) or _offer_filters_problem(info) or _failover_timeout_problem(info)


def flags_problem(info: Json, settings: MasterSettings) -> str | None:
    """What the master's flags do not let a framework be."""
    strange = [] if settings.roles is None else sorted(set(roles_of(info)) - settings.roles - {roles.DEFAULT})
    if strange:
        return f"Roles {braces(strange)} are not present in the master's --roles"
    if info["user"] == "root" and not settings.root_submissions:
        return "User 'root' is not allowed to run frameworks without --root_submissions set"
    return None


def _roles_problem(info: Json) -> str | None:
    if "MULTI_ROLE" not in capabilities_of(info):
        if info.get("roles"):
            return "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"
        found = roles.problem(info.get("role", roles.DEFAULT))
        return None if found is None else f"'FrameworkInfo.role' is not a valid role: {found}"
    if "role" in info:
        return "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable"
    listed = info.get("roles", [])
    duplicates = sorted({role for role in listed if listed.count(role) > 1})
    if duplicates:
        return f"'FrameworkInfo.roles' contains duplicate items: {braces(duplicates)}"
    for role in listed:
        found = roles.problem(role)
        if found is not None:
            return f"'FrameworkInfo.roles' contains invalid role: {found}"
    return None


def _id_problem(info: Json) -> str | None:
    identifier = info.get("id", {}).get("value", "")
    return identifiers.problem(identifier) if identifier else None


def _offer_filters_problem(info: Json) -> str | None:
    for filters in info.get("offer_filters", {}).values():
        for alternative in filters.get("min_allocatable_resources", {}).get("quantities", ()):
            amounts = alternative.get("quantities", {})
            if not amounts:
                return "Resource quantities must contain at least one quantity"
            for name, amount in amounts.items():
                found = amount_problem(amount["value"])
                if found is not None:
                    return f"Invalid resource quantity for '{name}': {found}"
    return None


def _failover_timeout_problem(info: Json) -> str | None:
    timeout = float(info.get("failover_timeout", 0.0))
    if math.isnan(timeout) or abs(timeout) > _LONGEST_DURATION_SECONDS:
        return f"The framework failover_timeout ({timeout:g}) is invalid"
    return None


def amount_problem(value: float) -> str | None:
    """What is wrong with an amount of a resource."""
    if math.isinf(value):
        return "Infinite values not supported"
    if math.isnan(value):
        return "NaN not supported"
    if 0 < abs(value) < _SMALLEST_NORMAL:
        return "Subnormal values not supported"
    return "Negative values not supported" if value < 0 else None


def update_problem(old: Json, new: Json) -> str | None:
    """What a framework may not change about itself."""
    if old.get("principal") != new.get("principal"):
        return "Changing framework's principal is not allowed."
    if old["user"] != new["user"]:
        return (
            f"Updating 'FrameworkInfo.user' is unsupported; attempted to update from '{old['user']}' to '{new['user']}'"
        )
    before, after = bool(old.get("checkpoint")), bool(new.get("checkpoint"))
    if before != after:
        return (
            "Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update"
            f" from '{str(before).lower()}' to '{str(after).lower()}'"
        )
    return None


def wishes(info: Json, body: Json) -> Subscriber | Invalid:
    """What the allocator is to know, from a valid FrameworkInfo and the rest of a SUBSCRIBE or UPDATE_FRAMEWORK."""
    subscribed = roles_of(info)
    suppressed = frozenset(body.get("suppressed_roles", ()))
    unknown = sorted(suppressed - set(subscribed))
    if unknown:
        return Invalid(reason=f"Suppressed roles {braces(unknown)} are not contained in the set of roles")
    constraints = body.get("offer_constraints", {})
    for role in constraints.get("role_constraints", {}):
        if role not in subscribed:
            return Invalid(
                reason=f"Offer constraints specify `role_constraints` for a role '{role}'"
                "not contained in the set of roles"
            )
    compiled = offer_constraints.compiled(constraints)
    if isinstance(compiled, Invalid):
        return Invalid(reason=f"Offer constraints are not valid: {compiled.reason}")
    return Subscriber(
        roles=subscribed,
        suppressed=suppressed,
        capabilities=capabilities_of(info),
        min_allocatable=_min_allocatable(info),
        constraints=compiled,
    )


def _min_allocatable(info: Json) -> dict[str, tuple[Mapping[str, Thousandths], ...]]:
    return {
        role: tuple(
            quantities.of_json(alternative["quantities"])
            for alternative in filters["min_allocatable_resources"].get("quantities", ())
        )
        for role, filters in info.get("offer_filters", {}).items()
        if "min_allocatable_resources" in filters
    }


def braces(names: list[str]) -> str:
    """A set as messages print it: `{ db, web }`."""
    return "{ " + ", ".join(names) + " }"
