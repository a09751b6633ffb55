"""Gives resources out of the offers of one ACCEPT, operation after operation.

The master applies the operations in order, so what one converts is there for the next: what is reserved by RESERVE can
be launched on in the same ACCEPT.

Source: `Offer.Operation` and `Resource` of Mesos's `v1/mesos.proto`; `docs/reservation.md`,
`docs/persistent-volume.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.model.call import Launch, Reserve, Unreserve
from headgate.model.ids import OperationId, ReservationId
from headgate.model.resources import PortRange, Resources

Json = dict[str, Any]


def labels(pairs: Mapping[str, str]) -> Json:
    """Labels in the API's shape."""
    return {"labels": [{"key": key, "value": value} for key, value in pairs.items()]}


class Drawer:
    """What the offers of one ACCEPT hold.

    Parts with an identity are given first, for nobody else can use them.  Without `allocated_to`, resources do not say
    which role they were allocated to: the master knows.  `principal` is the framework's.
    """

    def __init__(
        self, parts: Iterable[ReservedPart], *, allocated_to: str | None, principal: str | None = None
    ) -> None:
        self._parts = list(parts)
        self._common: Json = {"allocation_info": {"role": allocated_to}} if allocated_to is not None else {}
        self._principal: Json = {"principal": principal} if principal is not None else {}

    def draw(self, wanted: Resources) -> list[Json]:
        """Plain resources as the API writes them."""
        return Source(self).draw(wanted)

    def for_launch(self, launch: Launch) -> Source:
        """Where the resources of a launch come from."""
        return Source(self, reservation=launch.reservation, revocable=frozenset(launch.revocable))

    def unreserve(self, call: Unreserve) -> list[Json]:
        """DESTROY and UNRESERVE of all there is of a reservation."""
        mine = [part for part in self._parts if part.reservation == call.id]
        self._parts = [part for part in self._parts if part.reservation != call.id]
        volumes = [self._scalar(part.name, part.amount_m, dict(part.identity)) for part in mine if part.volume]
        plain = [
            self._scalar(part.name, part.amount_m, {key: value for key, value in part.identity if key != "disk"})
            for part in mine
        ]
        operations = []
        if volumes and call.volume_operation_id is not None:
            operations.append(_operation("DESTROY", call.volume_operation_id, {"volumes": volumes}))
        operations.append(_operation("UNRESERVE", call.operation_id, {"resources": plain}))
        return operations

    def reserve(self, call: Reserve) -> list[Json]:
        """RESERVE and CREATE; what they make can be drawn from then on."""
        added: Json = {"type": "DYNAMIC", "role": call.role, **self._principal, "labels": labels(call.labels)}
        volume = self._refine("disk", call.volume_m, added, call.id, whole=True)
        rest = [
            part
            for name, amount_m in scalars_of(call.resources)
            for part in self._refine(name, amount_m - (call.volume_m if name == "disk" else 0), added, call.id)
        ]
        reserved = [self._scalar(part.name, part.amount_m, dict(part.identity)) for part in (*rest, *volume)]
        operations = [_operation("RESERVE", call.operation_id, {"resources": reserved})]
        if call.volume_operation_id is not None:
            disk = {
                "persistence": {"id": call.id, **self._principal},
                "volume": {"container_path": call.volume_path, "mode": "RW"},
            }
            made = [replace(part, identity=(*part.identity, ("disk", disk)), volume=True) for part in volume]
            volumes = [self._scalar(part.name, part.amount_m, dict(part.identity)) for part in made]
            operations.append(_operation("CREATE", call.volume_operation_id, {"volumes": volumes}))
            volume = made
        self._parts += [*rest, *volume]
        return operations

    def _refine(
        self, name: str, amount_m: int, added: Json, reservation: ReservationId, *, whole: bool = False
    ) -> list[ReservedPart]:
        """So much under a reservation on top of what reserves it for a role above, or of nothing.

        `whole`: from one source, since a volume is one piece of disk.
        """
        found = []
        for at, part in enumerate(self._parts):
            if part.name != name or not _is_refinable(part) or amount_m <= 0 or (whole and part.amount_m < amount_m):
                continue
            taken = min(amount_m, part.amount_m)
            self._parts[at] = replace(part, amount_m=part.amount_m - taken)
            amount_m -= taken
            stack = dict(part.identity)["reservations"]
            found.append(_reserved(name, taken, [*stack, added], reservation))
        if amount_m > 0:
            found.append(_reserved(name, amount_m, [added], reservation))
        return found

    def _scalar(self, name: str, amount_m: int, identity: Json) -> Json:
        return {
            "name": name,
            "type": "SCALAR",
            "scalar": {"value": amount_m / 1000},
            **identity,
            **self._common,
        }

    def _ranges(self, ports: tuple[PortRange, ...], identity: Json) -> Json:
        ranges = [{"begin": each.begin, "end": each.end} for each in ports]
        return {"name": "ports", "type": "RANGES", "ranges": {"range": ranges}, **identity, **self._common}


@dataclass(frozen=True, slots=True)
class Source:
    """The part of a drawer that one launch may draw from."""

    drawer: Drawer
    reservation: ReservationId | None = None
    revocable: frozenset[str] = frozenset()

    def draw(self, wanted: Resources) -> list[Json]:
        """`wanted` as the API's resources."""
        drawn = [each for name, amount_m in scalars_of(wanted) for each in self._scalars(name, amount_m)]
        return drawn + self._ports(wanted.ports)

    def volumes(self) -> list[Json]:
        """The persistent volumes of the reservation, all of them."""
        drawer = self.drawer
        mine = [part for part in drawer._parts if part.volume and self._may_use(part)]
        drawer._parts = [part for part in drawer._parts if part not in mine]
        return [drawer._scalar(part.name, part.amount_m, dict(part.identity)) for part in mine]

    def _may_use(self, part: ReservedPart) -> bool:
        reservation = None if part.name == "ports" else self.reservation
        return part.reservation == reservation and part.revocable == (part.name in self.revocable)

    def _scalars(self, name: str, amount_m: int) -> list[Json]:
        drawer = self.drawer
        drawn: list[Json] = []
        for at, part in enumerate(drawer._parts):
            taken = min(amount_m, part.amount_m) if part.name == name and not part.volume else 0
            if taken > 0 and self._may_use(part):
                drawn.append(drawer._scalar(name, taken, dict(part.identity)))
                drawer._parts[at] = replace(part, amount_m=part.amount_m - taken)
                amount_m -= taken
        if amount_m > 0:
            drawn.append(drawer._scalar(name, amount_m, {}))
        return drawn

    def _ports(self, wanted: tuple[PortRange, ...]) -> list[Json]:
        drawn: list[Json] = []
        for part in self.drawer._parts:
            if part.name == "ports" and wanted and self._may_use(part):
                taken, wanted = _overlap(wanted, part.ports)
                if taken:
                    drawn.append(self.drawer._ranges(taken, dict(part.identity)))
        if wanted:
            drawn.append(self.drawer._ranges(wanted, {}))
        return drawn


def scalars_of(amount: Resources) -> Iterator[tuple[str, int]]:
    """Name and thousandths of each scalar."""
    yield "cpus", amount.cpus_m
    yield "mem", amount.mem_m
    yield "disk", amount.disk_m
    yield "gpus", amount.gpus_m


def _is_refinable(part: ReservedPart) -> bool:
    """Whether a reservation can be put on top of the one it has: that must be for a role above, in the new form."""
    plain = part.reservation is None and not part.revocable and not part.pledged
    return plain and any(key == "reservations" for key, _ in part.identity)


def _reserved(name: str, amount_m: int, stack: list[Json], reservation: ReservationId) -> ReservedPart:
    return ReservedPart(name=name, amount_m=amount_m, identity=(("reservations", stack),), reservation=reservation)


def _operation(kind: str, operation_id: OperationId, body: Json) -> Json:
    return {"type": kind, "id": {"value": operation_id}, kind.lower(): body}


def _overlap(
    wanted: tuple[PortRange, ...], pool: tuple[PortRange, ...]
) -> tuple[tuple[PortRange, ...], tuple[PortRange, ...]]:
    """(the wanted ports that are in the pool, those that are not)."""
    taken: list[PortRange] = []
    left: list[PortRange] = []
    for each in wanted:
        begin = each.begin
        for have in pool:
            low, high = max(begin, have.begin), min(each.end, have.end)
            if low > high:
                continue
            if begin < low:
                left.append(PortRange(begin=begin, end=low - 1))
            taken.append(PortRange(begin=low, end=high))
            begin = high + 1
        if begin <= each.end:
            left.append(PortRange(begin=begin, end=each.end))
    return tuple(taken), tuple(left)
