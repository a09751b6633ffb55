"""Resources as the API writes them → amounts of the model, and back to what a launch has to say of them.

Counted are plain ones: scalars and ports, not revocable, not shared, no volume or special disk, of the agent itself,
and unreserved or reserved for the role they were offered to, or one above it.

Source: `Resource` of Mesos's `v1/mesos.proto`; both its old form (`role`, `reservation`) and the new (`reservations`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from headgate.model.resources import PortRange, Resources, merged_ports, thousandths

ABSENT: Final = msgspec.Raw()


class BadOffer(ValueError):
    """An offer that says something impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedPart:
    """A resource of an offer that is reserved for us; a launch that uses it has to name the reservation.

    `identity` holds the fields that say which reservation it is, as the master wrote them.
    """

    name: str
    amount_m: int = 0
    ports: tuple[PortRange, ...] = ()
    identity: tuple[tuple[str, Any], ...]


class Scalar(msgspec.Struct, gc=False):
    """A number."""

    value: float


class Range(msgspec.Struct, gc=False):
    """Both ends belong to it."""

    begin: int
    end: int


class Ranges(msgspec.Struct, gc=False):
    """Such as ports."""

    range: list[Range] = []


class Resource(msgspec.Struct, gc=False):
    """What is looked at of a resource; of some fields only whether they are there."""

    name: str
    scalar: Scalar | None = None
    ranges: Ranges | None = None
    role: str = "*"
    reservation: msgspec.Raw = ABSENT
    reservations: list[msgspec.Raw] = []
    revocable: msgspec.Raw = ABSENT
    shared: msgspec.Raw = ABSENT
    disk: msgspec.Raw = ABSENT
    provider_id: msgspec.Raw = ABSENT


class _Reservation(msgspec.Struct, gc=False):
    role: str


def plain(wire: list[Resource], role: str) -> tuple[Resources, tuple[ReservedPart, ...]]:
    """(the plain resources offered to `role`, those of them that are reserved).

    Raises:
        BadOffer: an amount or a range that cannot be.
    """
    amounts = {"cpus": 0, "mem": 0, "disk": 0, "gpus": 0}
    ports: tuple[PortRange, ...] = ()
    reserved: list[ReservedPart] = []
    for each in wire:
        if each.revocable or each.shared or each.disk or each.provider_id:
            continue
        identity = () if each.role == "*" and not each.reservations else _reservation(each, role)
        if identity is None:
            continue
        if each.scalar is not None and each.name in amounts:
            amount = _amount(each.name, each.scalar.value)
            amounts[each.name] += amount
            if identity:
                reserved.append(ReservedPart(name=each.name, amount_m=amount, identity=identity))
        elif each.ranges is not None and each.name == "ports":
            found = port_ranges(each.ranges)
            ports = merged_ports((*ports, *found)) if ports else found
            if identity:
                reserved.append(ReservedPart(name="ports", ports=found, identity=identity))
    total = Resources(
        cpus_m=amounts["cpus"], mem_m=amounts["mem"], disk_m=amounts["disk"], gpus_m=amounts["gpus"], ports=ports
    )
    return total, tuple(reserved)


def _reservation(wire: Resource, role: str) -> tuple[tuple[str, Any], ...] | None:
    """The fields naming the reservation of a reserved resource; None where it is not for us.

    With RESERVATION_REFINEMENT there is a stack of reservations, of which the last decides; without, one role.
    """
    if wire.reservations:
        owner = msgspec.json.decode(wire.reservations[-1], type=_Reservation).role
        stack = [msgspec.json.decode(each) for each in wire.reservations]
        identity: tuple[tuple[str, Any], ...] = (("reservations", stack),)
    else:
        owner = wire.role
        identity = (("role", owner),)
        if wire.reservation:
            identity = (*identity, ("reservation", msgspec.json.decode(wire.reservation)))
    return identity if role == owner or role.startswith(f"{owner}/") else None


def _amount(name: str, value: float) -> int:
    try:
        return thousandths(value)
    except OverflowError as problem:
        raise BadOffer(f"{name} of {value}") from problem


def port_ranges(wire: Ranges) -> tuple[PortRange, ...]:
    """Ranges of the model: sorted, disjoint, maximal.

    Raises:
        BadOffer: a range upside down.
    """
    for each in wire.range:
        if each.begin > each.end:
            raise BadOffer(f"range from {each.begin} to {each.end}")
    ranges = tuple([PortRange(begin=each.begin, end=each.end) for each in wire.range])
    return ranges if len(ranges) == 1 else merged_ports(ranges)
