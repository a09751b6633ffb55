"""Checks of the resources of tasks, executors and operations beyond what makes a Resource valid.

Source: namespace `resource` of Mesos's master/validation.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable

from headgate.simulator.master import identifiers
from headgate.simulator.messages import Json
from headgate.simulator.resources import Items, Ranges, Resources, describe, first_problem, kind_and_amount
from headgate.simulator.resources.kind import Kind


def problem(resources: list[Json]) -> str | None:
    """What is wrong with a list of resources: each one, then gpus, disks and reservations."""
    found = first_problem(resources)
    if found is not None:
        return f"Invalid resources: {found}"
    if Resources.of(resources).scalars().get("gpus", 0) % 1000:
        return "Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer"
    for resource in resources:
        found = _disk_problem(resource)
        if found is not None:
            return f"Invalid DiskInfo: {found}"
    for resource in resources:
        if "revocable" in resource and _kind(resource).is_dynamically_reserved:
            return (
                f"Invalid ReservationInfo: Dynamically reserved resource {describe(resource)}"
                " cannot be created from revocable resources"
            )
    return None


def _disk_problem(resource: Json) -> str | None:
    disk = resource.get("disk")
    if disk is None:
        return None
    if "persistence" not in disk:
        if "volume" in disk:
            return "Non-persistent volume not supported"
        return None if "source" in disk else "DiskInfo is set but empty"
    if "revocable" in resource:
        return "Persistent volumes cannot be created from revocable resources"
    if not _kind(resource).reservations:
        return "Persistent volumes cannot be created from unreserved resources"
    if "volume" not in disk:
        return "Expecting 'volume' to be set for persistent volume"
    if "host_path" in disk["volume"]:
        return "Expecting 'host_path' to be unset for persistent volume"
    found = identifiers.problem(disk["persistence"]["id"])
    return None if found is None else f"Invalid persistence ID for persistent volume: {found}"


def pool_problem(listed: list[Json], *, invalid: str, duplicate: str, roles: str, mixed: str) -> str | None:
    """All checks of a task's or an executor's own resources, with the openings of their messages."""
    found = problem(listed)
    if found is not None:
        return f"{invalid}: {found}"
    pool = Resources.of(listed)
    for title, check in (
        (duplicate, persistence_problem),
        (roles, allocation_problem),
        (mixed, mixture_problem),
    ):
        found = check(pool)
        if found is not None:
            return f"{title}: {found}"
    return None


def persistence_problem(resources: Resources) -> str | None:
    """Persistence ids must be unique for each role."""
    seen: set[tuple[str, str]] = set()
    for kind, _ in resources:
        if kind.disk is None or kind.disk.persistence_id is None:
            continue
        volume = kind.reserved_role, kind.disk.persistence_id
        if volume in seen:
            return f"Persistence ID '{volume[1]}' is not unique"
        seen.add(volume)
    return None


def allocation_problem(resources: Resources) -> str | None:
    """All must be allocated to one role."""
    role: str | None = None
    for kind, _ in resources:
        if kind.allocation is None:
            return "The resources are not allocated to a role"
        if role is not None and kind.allocation != role:
            return (
                f"The resources have multiple allocation roles ('{kind.allocation}' and '{role}')"
                " but only one allocation role is allowed"
            )
        role = kind.allocation
    return None


def mixture_problem(resources: Resources) -> str | None:
    """Revocable and other resources of one name do not go together."""
    for name in resources.names():
        if len({kind.revocable for kind, _ in resources if kind.name == name}) > 1:
            return f"Cannot use both revocable and non-revocable '{name}' at the same time"
    return None


def provider_problem(resources: Iterable[Json]) -> str | None:
    """All must come from one resource provider, or all from the agent itself."""
    providers = {resource.get("provider_id", {}).get("value") for resource in resources}
    if len(providers) == 1:
        return None
    if None in providers:
        return "Some resources have a resource provider and some do not"
    return "The resources have multiple resource providers: " + ", ".join(sorted(filter(None, providers)))


def volume_problem(volumes: Iterable[Json]) -> str | None:
    """All must be persistent volumes."""
    for volume in volumes:
        disk = volume.get("disk")
        if disk is None:
            return f"Resource {describe(volume)} does not have DiskInfo"
        if "persistence" not in disk:
            return "'persistence' is not set in DiskInfo"
        if "volume" not in disk:
            return "Expecting 'volume' to be set for persistent volume"
        if disk["volume"].get("mode") == "RO":
            return "Read-only persistent volume not supported"
    return None


def overlap(pools: list[Resources]) -> bool:
    """Whether ranges or sets of several pools have anything in common."""
    return sum(_elements(pool) for pool in pools) != _elements(Resources.total(pools))


def _elements(pool: Resources) -> int:
    found = 0
    for _, amount in pool:
        if isinstance(amount, Ranges):
            found += sum(end - begin + 1 for begin, end in amount.parts)
        elif isinstance(amount, Items):
            found += len(amount.names)
    return found


def _kind(resource: Json) -> Kind:
    return kind_and_amount(resource)[0]
