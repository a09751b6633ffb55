"""What RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME and SHRINK_VOLUME do to a pool of resources.

Master and agent apply the same operations to what they hold; both use `apply`.
Source: `getResourceConversions` of Mesos's resources_utils.cpp.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from headgate.simulator.messages import Json
from headgate.simulator.resources.kind import Disk, Kind, kind_and_amount
from headgate.simulator.resources.pool import Resources
from headgate.simulator.resources.values import thousandths

CONVERTING = frozenset({"RESERVE", "UNRESERVE", "CREATE", "DESTROY", "GROW_VOLUME", "SHRINK_VOLUME"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """One replacement; `gone` must not be left in the pool afterwards (shared copies of a destroyed volume)."""

    consumed: Resources
    converted: Resources
    gone: Resources | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The operation cannot be applied to this pool; `reason` is Mesos's text."""

    reason: str


def conversions(operation: Json) -> list[Conversion]:
    """The replacements of one operation whose type is in CONVERTING and whose resources are valid and stacked."""
    kind = operation["type"]
    body = operation[kind.lower()]
    if kind == "RESERVE":
        reserved = Resources.of(body.get("resources", ()))
        source = body.get("source")
        return [Conversion(consumed=Resources.of(source) if source else popped(reserved), converted=reserved)]
    if kind == "UNRESERVE":
        pools = [Resources.of([resource]) for resource in body.get("resources", ())]
        return [Conversion(consumed=pool, converted=popped(pool)) for pool in pools]
    if kind == "CREATE":
        pools = [Resources.of([volume]) for volume in body.get("volumes", ())]
        return [Conversion(consumed=_without_volume(pool), converted=pool) for pool in pools]
    if kind == "DESTROY":
        pools = [Resources.of([volume]) for volume in body.get("volumes", ())]
        return [Conversion(consumed=pool, converted=_without_volume(pool), gone=pool) for pool in pools]
    if kind == "GROW_VOLUME":
        volume, addition = body["volume"], body["addition"]
        return [
            Conversion(
                consumed=Resources.of([volume, addition]),
                converted=_resized(volume, addition["scalar"]["value"]),
            )
        ]
    assert kind == "SHRINK_VOLUME", kind
    freed = body["subtract"]["value"]
    rest = _without_volume(Resources.of([{**body["volume"], "scalar": {"value": freed}}]))
    return [Conversion(consumed=Resources.of([body["volume"]]), converted=_resized(body["volume"], -freed) + rest)]


def apply(pool: Resources, operation: Iterable[Conversion]) -> Resources | Refused:
    """The pool after all replacements, one after the other; nothing is changed if one is refused."""
    for step in operation:
        if not pool.contains(step.consumed):
            return Refused(reason=f"{pool.text()} does not contain {step.consumed.text()}")
        pool = pool - step.consumed + step.converted
        if step.gone is not None and pool.contains(step.gone):
            return Refused(
                reason=f"Persistent volume {step.gone.text()} cannot be removed due to additional shared copies"
            )
    return pool


def with_remembered(given: Resources, remembered: Resources) -> Resources | Refused:
    """An agent's configured resources with the dynamic reservations and volumes it has written down applied to them."""
    steps: list[Conversion] = []
    for kind, amount in remembered:
        piece = Resources({kind: amount})
        configured = _without_volume(piece).mapped(
            lambda kind: kind.reserved(tuple(entry for entry in kind.reservations[:1] if not entry.dynamic))
        )
        steps.append(Conversion(consumed=configured, converted=piece))
    return apply(given, steps)


def popped(pool: Resources) -> Resources:
    """Each resource without its last reservation; unreserved ones stay as they are."""
    return pool.mapped(lambda kind: kind.reserved(kind.reservations[:-1]))


def _without_volume(pool: Resources) -> Resources:
    """Volumes turned back into plain disk."""
    result = Resources()
    for kind, amount in pool:
        plain = kind
        if kind.disk is not None:
            info = {key: value for key, value in kind.disk.info.items() if key == "source"}
            plain = replace(kind, disk=Disk(info) if info else None, shared=False)
        result += _resplit(plain, kind.json(amount))
    return result


def _resplit(kind: Kind, original: Json) -> Resources:
    """The amount of `original` under another identity, which may be divisible where the old one was not."""
    message = {key: value for key, value in original.items() if key not in ("disk", "shared")}
    if kind.disk is not None:
        message["disk"] = kind.disk.info
    return Resources.of([message])


def _resized(volume: Json, change: float) -> Resources:
    size = thousandths(volume["scalar"]["value"]) + thousandths(change)
    kind, _ = kind_and_amount(volume)
    return Resources({replace(kind, size=size): 1}) if size > 0 else Resources()
