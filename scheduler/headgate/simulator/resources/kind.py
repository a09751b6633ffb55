"""What a resource is, apart from how much of it: the identity by which resources add up.

A resource is a (kind, amount) pair.  Kinds that never merge or split (persistent volumes, MOUNT and BLOCK disks, RAW
disks with an id, shared volumes) carry their size in the kind and have a count of pieces as amount instead.

Source: `operator==`, `addable` and `subtractable` of Mesos's resources.cpp.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from headgate.simulator.messages import Json
from headgate.simulator.resources.roles import DEFAULT
from headgate.simulator.resources.values import (
    Amount,
    Items,
    Ranges,
    items_text,
    merged,
    number,
    number_text,
    ranges_text,
    thousandths,
)


class Form(enum.Enum):
    """How JSON says who a resource is reserved to."""

    STACK = "reservations only; unreserved ones have neither `reservations` nor `role`"
    OLD = "`role` (always) and `reservation`; cannot express refined reservations"
    ENDPOINT = "`reservations`, and the old fields beside it where they can express it"


@dataclass(frozen=True, slots=True)
class Reservation:
    """One entry of the stack."""

    role: str
    dynamic: bool
    principal: str | None = None
    labels: str | None = None  # canonical JSON of the Labels message

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Reservation:
        """From a ReservationInfo (JSON)."""
        labels = entry.get("labels")
        return cls(
            role=entry.get("role", DEFAULT),
            dynamic=entry.get("type") == "DYNAMIC",
            principal=entry.get("principal"),
            labels=None if labels is None else json.dumps(labels),
        )

    def json(self) -> Json:
        """As a ReservationInfo with type and role."""
        return {"type": "DYNAMIC" if self.dynamic else "STATIC", "role": self.role, **self.details()}

    def details(self) -> Json:
        """Principal and labels alone, as the old `reservation` field has them."""
        entry: Json = {}
        if self.principal is not None:
            entry["principal"] = self.principal
        if self.labels is not None:
            entry["labels"] = json.loads(self.labels)
        return entry


class Disk:
    """A DiskInfo; equality ignores the volume, which says how a disk is used and not what it is."""

    __slots__ = ("_identity", "info")

    def __init__(self, info: Json) -> None:
        self.info = info
        source = info.get("source")
        self._identity = (
            None if source is None else json.dumps(source, sort_keys=True),
            info.get("persistence", {}).get("id") if "persistence" in info else None,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Disk) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __repr__(self) -> str:
        return f"Disk({self.info!r})"

    @property
    def persistence_id(self) -> str | None:
        """The id of the persistent volume, if it is one."""
        return self._identity[1]

    @property
    def is_whole(self) -> bool:
        """Whether it can be had only as a whole."""
        source = self.info.get("source", {})
        kind = source.get("type")
        return self.persistence_id is not None or kind in ("MOUNT", "BLOCK") or (kind == "RAW" and "id" in source)


@dataclass(frozen=True, slots=True)
class Kind:
    """The identity of a resource.  `size` is set where the amount counts indivisible pieces."""

    name: str
    type: str
    allocation: str | None = None
    reservations: tuple[Reservation, ...] = ()
    disk: Disk | None = None
    revocable: bool = False
    shared: bool = False
    provider: str | None = None
    size: Amount | None = None
    # Kinds are looked up far more often than they are made.
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        identity = (self.name, self.type, self.allocation, self.reservations, self.disk, self.provider, self.size)
        object.__setattr__(self, "_hash", hash((*identity, self.revocable, self.shared)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def reserved_role(self) -> str:
        """The role of the last reservation; `*` for unreserved resources."""
        return self.reservations[-1].role if self.reservations else DEFAULT

    @property
    def is_volume(self) -> bool:
        """Whether it is a persistent volume."""
        return self.disk is not None and self.disk.persistence_id is not None

    @property
    def is_dynamically_reserved(self) -> bool:
        """Whether a RESERVE made it what it is."""
        return bool(self.reservations) and self.reservations[-1].dynamic

    def allocated(self, role: str | None) -> Kind:
        """The same, allocated to a role (None: to nobody)."""
        if self.allocation == role:
            return self
        # Disks that are equal may still be mounted in different places, so they cannot stand for each other.
        return _allocated(self, role) if self.disk is None else replace(self, allocation=role)

    def reserved(self, reservations: tuple[Reservation, ...]) -> Kind:
        """The same with another stack of reservations."""
        return self if self.reservations == reservations else replace(self, reservations=reservations)

    def json(self, amount: Amount, form: Form = Form.STACK) -> Json:
        """One Resource message, fields in their declared order; amounts that count pieces give one piece."""
        value = amount if self.size is None else self.size
        message: Json = {"name": self.name, "type": self.type, **_value_json(value)}
        if self.provider is not None:
            message = {"provider_id": {"value": self.provider}, **message}
        if form is not Form.STACK and len(self.reservations) <= 1:
            message["role"] = self.reserved_role
        if self.allocation is not None:
            message["allocation_info"] = {"role": self.allocation}
        if form is not Form.STACK and len(self.reservations) == 1 and self.reservations[0].dynamic:
            message["reservation"] = self.reservations[0].details()
        if form is not Form.OLD and self.reservations:
            message["reservations"] = [reservation.json() for reservation in self.reservations]
        if self.disk is not None:
            message["disk"] = self.disk.info
        if self.revocable:
            message["revocable"] = {}
        if self.shared:
            message["shared"] = {}
        return message

    def text(self, amount: Amount) -> str:
        """As messages print it, such as `cpus(allocated: web)(reservations: [(DYNAMIC,web)]):0.5`."""
        return describe(self.json(amount))


def stacked(resource: Json) -> Json:
    """The same Resource in the form with a reservation stack; what is in that form already is returned as it is."""
    if "role" not in resource and "reservation" not in resource:
        return resource
    message = {key: value for key, value in resource.items() if key not in ("role", "reservation")}
    role = resource.get("role", DEFAULT)
    if not message.get("reservations") and role != DEFAULT:
        if "reservation" in resource:
            message["reservations"] = [{**resource["reservation"], "type": "DYNAMIC", "role": role}]
        else:
            message["reservations"] = [{"type": "STATIC", "role": role}]
    return message


def kind_and_amount(resource: Json) -> tuple[Kind, Amount]:
    """Take a valid Resource message (either form) apart.  Pieces count as 1, or 0 if they are empty."""
    message = stacked(resource)
    amount = _amount(message)
    allocation = message.get("allocation_info", {}).get("role")
    if message.keys() <= _PLAIN_FIELDS:
        return _plain(message["name"], message["type"], allocation), amount
    disk = Disk(message["disk"]) if "disk" in message else None
    shared = "shared" in message
    whole = shared or (disk is not None and disk.is_whole)
    kind = Kind(
        name=message["name"],
        type=message["type"],
        allocation=allocation,
        reservations=tuple(Reservation.of(entry) for entry in message.get("reservations", ())),
        disk=disk,
        revocable="revocable" in message,
        shared=shared,
        provider=message.get("provider_id", {}).get("value"),
        size=amount if whole else None,
    )
    return kind, (1 if amount else 0) if whole else amount


_PLAIN_FIELDS = frozenset({"name", "type", "scalar", "ranges", "set", "allocation_info"})


@lru_cache(maxsize=4096)
def _plain(name: str, value_type: str, allocation: str | None) -> Kind:
    return Kind(name=name, type=value_type, allocation=allocation)


@lru_cache(maxsize=4096)
def _allocated(kind: Kind, role: str | None) -> Kind:
    return replace(kind, allocation=role)


def describe(resource: Json) -> str:
    """The printed form of a Resource message as it came: not converted, perhaps not valid."""
    text = [str(resource["name"])]
    if "allocation_info" in resource:
        text.append(f"(allocated: {resource['allocation_info'].get('role', '')})")
    if resource.get("reservations"):
        entries = ",".join(f"({_reservation_text(entry)})" for entry in resource["reservations"])
        text.append(f"(reservations: [{entries}])")
    if "disk" in resource:
        text.append(f"[{_disk_text(resource['disk'])}]")
    if "revocable" in resource:
        text.append("{REV}")
    if "shared" in resource:
        text.append("<SHARED>")
    return "".join(text) + ":" + _value_text(resource)


def _amount(message: Json) -> Amount:
    if message["type"] == "SCALAR":
        return thousandths(message["scalar"]["value"])
    if message["type"] == "RANGES":
        return merged((part["begin"], part["end"]) for part in message["ranges"].get("range", ()))
    return Items(tuple(message["set"].get("item", ())))


def _value_json(amount: Amount) -> Json:
    if isinstance(amount, int):
        return {"scalar": {"value": number(amount)}}
    if isinstance(amount, Ranges):
        return {"ranges": {"range": [{"begin": begin, "end": end} for begin, end in amount.parts]}}
    return {"set": {"item": list(amount.names)}}


def _value_text(resource: Json) -> str:
    if resource["type"] == "SCALAR":
        return number_text(thousandths(resource.get("scalar", {}).get("value", 0.0)))
    if resource["type"] == "RANGES":
        return ranges_text((part["begin"], part["end"]) for part in resource.get("ranges", {}).get("range", ()))
    return items_text(resource.get("set", {}).get("item", ()))


def _reservation_text(entry: Json) -> str:
    parts = [entry.get("type", "UNKNOWN"), entry.get("role", "")]
    if "principal" in entry:
        parts.append(entry["principal"])
    if "labels" in entry:
        pairs = entry["labels"].get("labels", ())
        parts.append(items_text(f"{p['key']}: {p['value']}" if "value" in p else p["key"] for p in pairs))
    return ",".join(parts)


def _disk_text(info: Json) -> str:
    text = ""
    if "source" in info:
        source = info["source"]
        kind = source.get("type", "UNKNOWN")
        root = source.get(kind.lower(), {}).get("root")
        if "id" in source or "profile" in source:
            text += f"{kind}({source.get('vendor', '')},{source.get('id', '')},{source.get('profile', '')})"
        else:
            text += f"{kind}:{root}" if root is not None else kind
    if "persistence" in info:
        text += ("," if text else "") + str(info["persistence"]["id"])
    if "volume" in info:
        volume = info["volume"]
        path = volume["container_path"]
        if "host_path" in volume:
            path = f"{volume['host_path']}:{path}" + (f":{volume['mode'].lower()}" if "mode" in volume else "")
        text += ":" + path
    return text
