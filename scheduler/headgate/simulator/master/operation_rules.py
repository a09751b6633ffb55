"""What is wrong with RESERVE, CREATE and the other operations, in Mesos's words.

`first_problem_of` judges an operation as it came; the `*_problem` functions one whose resources are valid, in the
stack form and, on the scheduler API, allocated.  `framework` is None for the operator.
Source: `validateAndUpgradeResources` and namespace `operation` of Mesos's master/validation.cpp.
"""

from __future__ import annotations

from headgate.simulator.master import resource_rules
from headgate.simulator.master.framework_rules import braces
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.messages import Json
from headgate.simulator.resources import Kind, Resources, describe, first_problem, kind_and_amount, thousandths
from headgate.simulator.resources import problem as resource_problem

_FIELDS: dict[str, tuple[str, ...]] = {
    "RESERVE": ("resources", "source"),
    "UNRESERVE": ("resources",),
    "CREATE": ("volumes",),
    "DESTROY": ("volumes",),
    "GROW_VOLUME": ("volume", "addition"),
    "SHRINK_VOLUME": ("volume",),
    "CREATE_DISK": ("source",),
    "DESTROY_DISK": ("source",),
    "LAUNCH": ("task_infos",),
    "LAUNCH_GROUP": ("task_group",),
}
KNOWN = frozenset(_FIELDS)
LAUNCHES = frozenset({"LAUNCH", "LAUNCH_GROUP"})


def resource_lists(operation: Json) -> list[list[Json]]:
    """Every list of resources in an operation, in the order in which they are checked."""
    kind = operation["type"]
    body = operation.get(kind.lower(), {})
    if kind == "LAUNCH":
        return [part for task in body.get("task_infos", ()) for part in _of_task(task)]
    if kind == "LAUNCH_GROUP":
        own = [body["executor"].get("resources", [])] if "executor" in body else []
        return own + [part for task in body.get("task_group", {}).get("tasks", ()) for part in _of_task(task)]
    lists: list[list[Json]] = []
    for field in _FIELDS[kind]:
        value = body.get(field, [])
        lists.append([value] if isinstance(value, dict) else value)
    return lists


def _of_task(task: Json) -> list[list[Json]]:
    lists = [task.get("resources", [])]
    return [*lists, task["executor"].get("resources", [])] if "executor" in task else lists


def first_problem_of(operation: Json) -> str | None:
    """A missing part or an invalid resource of an operation of a known type, as it came."""
    kind = operation["type"]
    if kind.lower() not in operation:
        article = "An" if kind == "UNRESERVE" else "A"
        noun = "operation" if kind == "GROW_VOLUME" else "offer operation"
        stop = "" if kind in ("GROW_VOLUME", "SHRINK_VOLUME") else "."
        return f"{article} {kind} {noun} must have the Offer.Operation.{kind.lower()} field set{stop}"
    single = kind in ("GROW_VOLUME", "SHRINK_VOLUME", "CREATE_DISK", "DESTROY_DISK")
    for resources in resource_lists(operation):
        # Mesos judges a lone Resource without naming it.
        found = resource_problem(resources[0]) if single and resources else first_problem(resources)
        if found is not None:
            return found
    if kind == "RESERVE" and operation["reserve"].get("source"):
        return "Reservation updates are not yet implemented for the scheduler API."
    return None


def problem(operation: Json, agent: Agent, pool_of_agent: Resources, framework: Framework | None) -> str | None:
    """What is wrong with an operation that is neither LAUNCH nor LAUNCH_GROUP."""
    kind = operation["type"]
    body = operation[kind.lower()]
    if kind == "RESERVE":
        return _reserve_problem(body.get("resources", []), framework)
    if kind == "UNRESERVE":
        return _unreserve_problem(body.get("resources", []))
    if kind == "CREATE":
        return _create_problem(body.get("volumes", []), pool_of_agent, framework)
    if kind == "DESTROY":
        return _destroy_problem(body.get("volumes", []), agent, pool_of_agent)
    if kind == "GROW_VOLUME":
        return _grow_problem(body["volume"], body["addition"])
    if kind == "SHRINK_VOLUME":
        return _shrink_problem(body["volume"], body["subtract"]["value"])
    return _disk_problem(operation)


def _pool_problem(resources: list[Json]) -> str | None:
    found = resource_rules.problem(resources) or resource_rules.provider_problem(resources)
    return None if found is None else f"Invalid resources: {found}"


def _kind(resource: Json) -> Kind:
    return kind_and_amount(resource)[0]


def _reserve_problem(resources: list[Json], framework: Framework | None) -> str | None:
    found = _pool_problem(resources)
    if found is not None:
        return found
    for resource in resources:
        kind = _kind(resource)
        if not kind.is_dynamically_reserved:
            return f"Resource {describe(resource)} is not dynamically reserved"
        found = _operator_reservation_problem(kind) if framework is None else _reservation_problem(kind, framework)
        if found is not None:
            return found
    if framework is not None:
        found = resource_rules.allocation_problem(Resources.of(resources))
        if found is not None:
            return f"Invalid reservation resources: {found}"
    return None


def _operator_reservation_problem(kind: Kind) -> str | None:
    if kind.allocation is not None:
        return (
            "A reserve operation was attempted with an allocated resource, but the operator API only allows"
            " reservations to be made to unallocated resources"
        )
    return None


def _reservation_problem(kind: Kind, framework: Framework) -> str | None:
    principal, given = framework.principal, kind.reservations[-1].principal
    if principal is not None and given is None:
        return (
            f"A reserve operation was attempted by principal '{principal}', but there is a reserved resource"
            " in the request with no principal set"
        )
    if principal is not None and given != principal:
        return (
            f"A reserve operation was attempted by authenticated principal '{principal}', which does not match a"
            f" reserved resource in the request with principal '{given}'"
        )
    if kind.allocation != kind.reserved_role:
        return (
            f"A reserve operation was attempted for a resource with role '{kind.reserved_role}', but the resource"
            f" was allocated to role '{kind.allocation}'"
        )
    if kind.allocation not in framework.roles:
        return (
            f"A reserve operation was attempted for a resource allocated to role '{kind.allocation}',"
            f" but the framework only has roles '{braces(sorted(framework.roles))}'"
        )
    return None


def _unreserve_problem(resources: list[Json]) -> str | None:
    found = _pool_problem(resources)
    if found is not None:
        return found
    for resource in resources:
        kind = _kind(resource)
        if not kind.is_dynamically_reserved:
            return f"Resource {describe(resource)} is not dynamically reserved"
        if kind.is_volume:
            return (
                f"A dynamically reserved persistent volume {describe(resource)} cannot be unreserved directly."
                " Please destroy the persistent volume first then unreserve the resource"
            )
    return None


def _create_problem(volumes: list[Json], pool: Resources, framework: Framework | None) -> str | None:
    found = _pool_problem(volumes)
    if found is not None:
        return found
    found = resource_rules.volume_problem(volumes)
    if found is not None:
        return f"Not a persistent volume: {found}"
    found = _identity_problem(volumes, pool)
    if found is not None:
        return found
    for volume in volumes:
        if framework is not None:
            found = _creation_problem(volume, framework)
            if found is not None:
                return found
    if framework is not None:
        found = resource_rules.allocation_problem(Resources.of(volumes))
        if found is not None:
            return f"Invalid volume resources: {found}"
    return None


def _identity_problem(volumes: list[Json], pool: Resources) -> str | None:
    taken = {_volume_id(kind) for kind, _ in pool.volumes()}
    for volume in volumes:
        identity = _volume_id(_kind(volume))
        if identity in taken:
            return f"Persistence ID '{identity[1]}' is not unique"
        taken.add(identity)
    return None


def _volume_id(kind: Kind) -> tuple[str, str]:
    assert kind.disk is not None
    return kind.reserved_role, str(kind.disk.persistence_id)


def _creation_problem(volume: Json, framework: Framework) -> str | None:
    if "shared" in volume and "SHARED_RESOURCES" not in framework.capabilities:
        return (
            f"Create volume operation for '{describe(volume)}' has been attempted by framework '{framework.id}'"
            " with no SHARED_RESOURCES capability"
        )
    principal, given = framework.principal, volume["disk"]["persistence"].get("principal")
    if principal is not None and given is None:
        return (
            f"Create volume operation attempted by principal '{principal}', but there is a volume in the operation"
            " with no principal set in 'disk.persistence'"
        )
    if principal is not None and given != principal:
        return (
            f"Create volume operation attempted by authenticated principal '{principal}', which does not match a"
            f" volume in the operation with principal '{given}' set in 'disk.persistence'"
        )
    return None


def _destroy_problem(volumes: list[Json], agent: Agent, pool: Resources) -> str | None:
    found = _pool_problem(volumes)
    if found is not None:
        return found
    found = resource_rules.volume_problem(volumes)
    if found is not None:
        return f"Not a persistent volume: {found}"
    wanted = [Resources.of([volume]).allocated(None) for volume in volumes]
    if not all(pool.contains(volume) for volume in wanted):
        return "Persistent volumes not found"
    used = [resources.allocated(None) for resources in agent.used().values()]
    if any(resources.contains(volume) for resources in used for volume in wanted):
        return "Persistent volumes in use"
    return None


def _grow_problem(volume: Json, addition: Json) -> str | None:
    if thousandths(addition.get("scalar", {}).get("value", 0)) <= 0:
        return "The size of 'GrowVolume.addition' field must be greater than zero"
    if "provider_id" in volume:
        return "Growing a volume from a resource provider is not supported"
    found = resource_rules.volume_problem([volume])
    if found is not None:
        return f"Invalid persistent volume in the 'GrowVolume.volume' field: {found}"
    if "shared" in volume:
        return "Growing a shared persistent volume is not supported"
    if len(Resources.of([_without_volume(volume), addition])) != 1:
        return "Incompatible resources in the 'GrowVolume.volume' and 'GrowVolume.addition' fields"
    return None


def _without_volume(volume: Json) -> Json:
    plain = {key: value for key, value in volume.items() if key != "disk"}
    return plain | {"disk": {"source": volume["disk"]["source"]}} if "source" in volume["disk"] else plain


def _shrink_problem(volume: Json, subtract: float) -> str | None:
    if thousandths(subtract) <= 0:
        return "Value of 'ShrinkVolume.subtract' must be greater than zero"
    if thousandths(volume.get("scalar", {}).get("value", 0)) <= thousandths(subtract):
        return "Value of 'ShrinkVolume.subtract' must be smaller than the size of 'ShrinkVolume.volume'"
    if "provider_id" in volume:
        return "Shrinking a volume from a resource provider is not supported"
    if volume.get("disk", {}).get("source", {}).get("type") == "MOUNT":
        return "Shrinking a volume on a MOUNT disk is not supported"
    found = resource_rules.volume_problem([volume])
    if found is not None:
        return f"Invalid persistent volume in the 'ShrinkVolume.volume' field: {found}"
    return "Shrinking a shared persistent volume is not supported" if "shared" in volume else None


def _disk_problem(operation: Json) -> str | None:
    source = operation[operation["type"].lower()]["source"]
    found = resource_rules.problem([source])
    if found is not None:
        return f"Invalid resource: {found}"
    # No simulated agent has a resource provider, so nothing can be made of what names one either.
    if "provider_id" not in source:
        return "'source' is not managed by a resource provider"
    return None
