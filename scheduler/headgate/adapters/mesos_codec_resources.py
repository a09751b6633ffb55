"""Resources as the API writes them → amounts of the model, sorted by what may be done with them.

Plain ones are scalars and ports, not revocable, not shared, no volume or special disk, of the agent itself, and
unreserved or reserved for the role they were offered to, or one above it.  A reservation with labels is its maker's
alone: ours are kept apart, other people's are left out.

Source: `Resource` of Mesos's `v1/mesos.proto`; both its old form (`role`, `reservation`) and the new (`reservations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from headgate.model.ids import ReservationId
from headgate.model.offer import Reserved
from headgate.model.operation import LABEL_FRAMEWORK, LABEL_RESERVATION
from headgate.model.resources import PortRange, Resources, merged_ports, thousandths

ABSENT: Final = msgspec.Raw()
_SCALARS: Final = frozenset({"cpus", "mem", "disk", "gpus"})


class BadOffer(ValueError):
    """An offer that says something impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedPart:
    """A resource of an offer that is not just anybody's; whoever uses it has to say which it is.

    `identity` holds the fields that say so, as the master wrote them.  `pledged`: an operator has reserved it for the
    very role.  `reservation` is the labelled one of ours that it belongs to, `volume` whether it is a persistent one.
    """

    name: str
    amount_m: int = 0
    ports: tuple[PortRange, ...] = ()
    identity: tuple[tuple[str, Any], ...]
    pledged: bool = False
    revocable: bool = False
    reservation: ReservationId | None = None
    volume: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """The resources of an offer, see `model.offer.Offer`; `parts` are those with an identity."""

    plain: Resources = field(default_factory=Resources)
    pledged: Resources = field(default_factory=Resources)
    revocable: Resources = field(default_factory=Resources)
    reserved: tuple[Reserved, ...] = ()
    parts: tuple[ReservedPart, ...] = ()


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


class _Label(msgspec.Struct, gc=False):
    key: str
    value: str = ""


class _Labels(msgspec.Struct, gc=False):
    labels: list[_Label] = []


class _Reservation(msgspec.Struct, gc=False):
    role: str = ""
    labels: _Labels | None = None


class _Disk(msgspec.Struct, gc=False):
    persistence: msgspec.Raw = ABSENT


@dataclass(frozen=True, slots=True)
class _Owner:
    """Whose a resource is: the fields that say so, the role it is reserved for, and the labels of a Headgate."""

    identity: tuple[tuple[str, Any], ...] = ()
    role: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def reservation(self) -> ReservationId | None:
        return ReservationId(self.labels[LABEL_RESERVATION]) if LABEL_RESERVATION in self.labels else None


_NOBODY: Final = _Owner()


class _Tally:
    """Sums of one sort of resources."""

    def __init__(self) -> None:
        self._scalars = {"cpus": 0, "mem": 0, "disk": 0, "gpus": 0}
        self._ports: tuple[PortRange, ...] = ()

    def add(self, name: str, amount_m: int, ports: tuple[PortRange, ...]) -> None:
        if ports:
            self._ports = merged_ports((*self._ports, *ports)) if self._ports else ports
        elif amount_m:
            self._scalars[name] += amount_m

    def total(self) -> Resources:
        return Resources(
            cpus_m=self._scalars["cpus"],
            mem_m=self._scalars["mem"],
            disk_m=self._scalars["disk"],
            gpus_m=self._scalars["gpus"],
            ports=self._ports,
        )


class _Sorter:
    def __init__(self, role: str) -> None:
        self._role = role
        self._plain, self._pledged, self._revocable = _Tally(), _Tally(), _Tally()
        self._reserved: dict[tuple[ReservationId, str], _Tally] = {}
        self._volumes: dict[tuple[ReservationId, str], int] = {}
        self._parts: list[ReservedPart] = []

    def take(self, wire: Resource) -> None:
        """Sort one resource in, or leave it out."""
        if wire.shared or wire.provider_id:
            return
        owner = _owner(wire, self._role) if wire.role != "*" or wire.reservations else _NOBODY
        amount_m, ports = _measure(wire)
        if owner is None or not (amount_m or ports):
            return
        if wire.disk:
            self._take_volume(wire, owner, amount_m)
            return
        identity = owner.identity + ((("revocable", msgspec.json.decode(wire.revocable)),) if wire.revocable else ())
        pledged = owner.role == self._role and owner.reservation is None and not wire.revocable
        tally = self._tally(owner, revocable=bool(wire.revocable))
        tally.add(wire.name, amount_m, ports)
        if pledged:
            self._pledged.add(wire.name, amount_m, ports)
        if identity:
            self._parts.append(
                ReservedPart(
                    name=wire.name,
                    amount_m=amount_m,
                    ports=ports,
                    identity=identity,
                    pledged=pledged,
                    revocable=bool(wire.revocable),
                    reservation=owner.reservation,
                )
            )

    def _tally(self, owner: _Owner, *, revocable: bool) -> _Tally:
        if owner.reservation is not None:
            return self._reserved.setdefault((owner.reservation, owner.labels.get(LABEL_FRAMEWORK, "")), _Tally())
        return self._revocable if revocable else self._plain

    def _take_volume(self, wire: Resource, owner: _Owner, amount_m: int) -> None:
        """A persistent volume of ours; any other special disk is left out."""
        if owner.reservation is None or not msgspec.json.decode(wire.disk, type=_Disk).persistence:
            return
        key = (owner.reservation, owner.labels.get(LABEL_FRAMEWORK, ""))
        self._reserved.setdefault(key, _Tally())
        self._volumes[key] = self._volumes.get(key, 0) + amount_m
        identity = (*owner.identity, ("disk", msgspec.json.decode(wire.disk)))
        self._parts.append(
            ReservedPart(
                name=wire.name, amount_m=amount_m, identity=identity, reservation=owner.reservation, volume=True
            )
        )

    def sorted(self) -> Sorted:
        """All of it."""
        reserved = tuple(
            Reserved(id=key[0], framework=key[1], resources=tally.total(), volume_m=self._volumes.get(key, 0))
            for key, tally in sorted(self._reserved.items(), key=lambda each: each[0])
        )
        return Sorted(
            plain=self._plain.total(),
            pledged=self._pledged.total(),
            revocable=self._revocable.total(),
            reserved=reserved,
            parts=tuple(self._parts),
        )


def sort_resources(wire: list[Resource], role: str) -> Sorted:
    """The resources offered to `role`.

    Raises:
        BadOffer: an amount or a range that cannot be.
    """
    sorter = _Sorter(role)
    for each in wire:
        sorter.take(each)
    return sorter.sorted()


def _owner(wire: Resource, role: str) -> _Owner | None:
    """Whose a reserved resource is; None where it is not for us.

    With RESERVATION_REFINEMENT there is a stack of reservations, of which the last decides; without, one role.
    """
    if wire.reservations:
        stack = [msgspec.json.decode(each, type=_Reservation) for each in wire.reservations]
        last = stack[-1]
        identity: tuple[tuple[str, Any], ...] = (
            ("reservations", [msgspec.json.decode(each) for each in wire.reservations]),
        )
    else:
        last = _Reservation()
        identity = (("role", wire.role),)
        if wire.reservation:
            identity = (*identity, ("reservation", msgspec.json.decode(wire.reservation)))
            last = msgspec.json.decode(wire.reservation, type=_Reservation)
        last.role = wire.role
        stack = [last]
    if role != last.role and not role.startswith(f"{last.role}/"):
        return None
    labels = {each.key: each.value for each in last.labels.labels} if last.labels else {}
    if LABEL_RESERVATION in labels:
        return _Owner(identity, last.role, labels)
    return None if any(each.labels and each.labels.labels for each in stack) else _Owner(identity, last.role)


def _measure(wire: Resource) -> tuple[int, tuple[PortRange, ...]]:
    """(thousandths, ports) of a kind that we use, else nothing."""
    if wire.scalar is not None and wire.name in _SCALARS:
        return _amount(wire.name, wire.scalar.value), ()
    if wire.ranges is not None and wire.name == "ports":
        return 0, port_ranges(wire.ranges)
    return 0, ()


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
