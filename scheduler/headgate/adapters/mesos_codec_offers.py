"""Offers as the master writes them → offers of the model.

An event may hold ten thousand offers.  So the outer shape is decoded in one typed pass, and what repeats from offer to
offer (an agent's attributes, its resources while nothing changes) is kept as raw bytes and looked up by
them; only bytes not seen before are taken apart.  One offer that cannot be read does not spoil the others.

Source: `Offer`, `InverseOffer`, `Attribute` of Mesos's `v1/mesos.proto`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, Generic, TypeVar

import msgspec

from headgate.adapters.mesos_codec_resources import (
    ABSENT,
    BadOffer,
    Ranges,
    ReservedPart,
    Resource,
    Scalar,
    Sorted,
    port_ranges,
    sort_resources,
)
from headgate.model.ids import AgentId, ExecutorId, OfferId
from headgate.model.offer import AttributeValue, FaultDomain, InverseOffer, Offer, Unavailability

REMEMBERED_MAX = 32_768
"""Distinct pieces kept of each kind; above it the memory starts anew."""

_NEW: Final = object.__new__
"""Half of the time would go into the constructor of a frozen dataclass; the slots of offers are set without it."""
_FIELDS: Final = [
    "id",
    "agent_id",
    "hostname",
    "resources",
    "received_at",
    "role",
    "attributes",
    "domain",
    "unavailability",
    "executor_ids",
    "agent_address",
    "pledged",
    "revocable",
    "reserved",
]
assert [each.name for each in fields(Offer)] == _FIELDS, "whoever changes Offer's fields has to set them here, too"
(
    _id,
    _agent_id,
    _hostname,
    _resources,
    _received_at,
    _role,
    _attributes_of,
    _domain,
    _unavailability_of,
    _executor_ids,
    _agent_address,
    _pledged,
    _revocable,
    _reserved,
) = (getattr(Offer, name).__set__ for name in _FIELDS)
_NANOSECONDS: Final = 1e9
_NOTHING: Final = Sorted()


class Id(msgspec.Struct, gc=False, frozen=True):
    """Any id of the API."""

    value: str


class _Set(msgspec.Struct, gc=False):
    item: list[str] = []


class _Attribute(msgspec.Struct, gc=False):
    name: str
    text: Id | None = None
    scalar: Scalar | None = None
    ranges: Ranges | None = None
    set: _Set | None = None


class Address(msgspec.Struct, gc=False):
    """Where a process of Mesos listens."""

    port: int
    hostname: str = ""
    ip: str = ""

    @property
    def host_and_port(self) -> str:
        """`host:port`, by name where there is one."""
        host = self.hostname or self.ip
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class _Url(msgspec.Struct, gc=False):
    address: Address


class _Named(msgspec.Struct, gc=False):
    name: str


class _RegionAndZone(msgspec.Struct, gc=False):
    region: _Named
    zone: _Named


class Domain(msgspec.Struct, gc=False):
    """Where a machine stands."""

    fault_domain: _RegionAndZone | None = None


class _Nanoseconds(msgspec.Struct, gc=False):
    nanoseconds: int


class _Unavailability(msgspec.Struct, gc=False):
    start: _Nanoseconds
    duration: _Nanoseconds | None = None


class _Allocation(msgspec.Struct, gc=False):
    role: str = "*"


class _OfferId(msgspec.Struct, gc=False):
    value: OfferId


class _AgentId(msgspec.Struct, gc=False):
    value: AgentId


class _ExecutorId(msgspec.Struct, gc=False):
    value: ExecutorId


class _Offer(msgspec.Struct, gc=False):
    id: _OfferId
    agent_id: _AgentId
    hostname: str
    url: _Url | None = None
    domain: msgspec.Raw = ABSENT
    resources: msgspec.Raw = ABSENT
    attributes: msgspec.Raw = ABSENT
    executor_ids: list[_ExecutorId] = []
    unavailability: _Unavailability | None = None
    allocation_info: _Allocation | None = None


class _SplitOffers(msgspec.Struct):
    offers: list[msgspec.Raw] = []


class _WholeOffers(msgspec.Struct):
    offers: list[_Offer] = []


class _InverseOffer(msgspec.Struct):
    id: Id
    agent_id: Id
    unavailability: _Unavailability


class InverseOffersBody(msgspec.Struct):
    """What INVERSE_OFFERS carries."""

    inverse_offers: list[_InverseOffer] = []


_T = TypeVar("_T")


class _Remembered(Generic[_T]):
    """A pure function of bytes with a bounded memory."""

    def __init__(self, read: Callable[[bytes], _T]) -> None:
        self._read = read
        self.known: dict[bytes, _T] = {}

    def __call__(self, raw: bytes) -> _T:
        found = self.known.get(raw)
        if found is None:
            if len(self.known) >= REMEMBERED_MAX:
                self.known.clear()
            found = self.known[raw] = self._read(raw)
        return found


@dataclass(frozen=True, slots=True)
class ReadOffers:
    """What came of one event.

    `reserved` has an entry for each offer some of whose resources have an identity; `bad` says of each offer that
    could not be read why, with its beginning.
    """

    offers: tuple[Offer, ...]
    reserved: dict[OfferId, tuple[ReservedPart, ...]]
    bad: tuple[tuple[str, bytes], ...] = ()


class OfferReader:
    """Reads the bodies of OFFERS events.  Keeps what it has seen, so one for the life of a driver; one thread."""

    def __init__(self) -> None:
        self._whole = msgspec.json.Decoder(_WholeOffers)
        self._split = msgspec.json.Decoder(_SplitOffers)
        self._one = msgspec.json.Decoder(_Offer)
        self._attributes = _Remembered(_reader(list[_Attribute], _attributes))
        self._domain = _Remembered(_reader(Domain, fault_domain))
        self._decode_resources = msgspec.json.Decoder(list[Resource]).decode
        self._resources: dict[str, _Remembered[Sorted]] = {}

    def read(self, body: msgspec.Raw, *, received_at: float, role: str) -> ReadOffers:
        """The offers of one event; `role` is theirs where they name none (a framework without MULTI_ROLE).

        Raises:
            msgspec.DecodeError: the body as a whole is not of the known shape.
        """
        reserved: dict[OfferId, tuple[ReservedPart, ...]] = {}
        try:
            return ReadOffers(self._offers(self._whole.decode(body).offers, received_at, role, reserved), reserved)
        except (msgspec.ValidationError, BadOffer):
            return self._read_one_by_one(body, received_at, role)

    def _read_one_by_one(self, body: msgspec.Raw, received_at: float, role: str) -> ReadOffers:
        reserved: dict[OfferId, tuple[ReservedPart, ...]] = {}
        good: list[Offer] = []
        bad: list[tuple[str, bytes]] = []
        for raw in self._split.decode(body).offers:
            try:
                good.extend(self._offers([self._one.decode(raw)], received_at, role, reserved))
            except (msgspec.ValidationError, BadOffer) as problem:
                bad.append((str(problem), bytes(raw)))
        return ReadOffers(tuple(good), reserved, tuple(bad))

    def _offers(
        self, wires: list[_Offer], received_at: float, role: str, reserved: dict[OfferId, tuple[ReservedPart, ...]]
    ) -> tuple[Offer, ...]:
        """The offers in their order; `reserved` is added to.  One loop with few calls: ten thousand pass here."""
        made: list[Offer] = []
        attributes_known, attributes_of = self._attributes.known, self._attributes
        for wire in wires:
            of_role = role if wire.allocation_info is None else wire.allocation_info.role
            resources = self._resources.get(of_role) or self._resources_for(of_role)
            raw = bytes(wire.resources)
            found = resources.known.get(raw) or (resources(raw) if raw else _NOTHING)
            raw = bytes(wire.attributes)
            attributes = attributes_known.get(raw)
            if attributes is None:
                attributes = attributes_of(raw) if raw else {}
            offer = _NEW(Offer)
            _id(offer, wire.id.value)
            _agent_id(offer, wire.agent_id.value)
            _hostname(offer, wire.hostname)
            _resources(offer, found.plain)
            _received_at(offer, received_at)
            _role(offer, of_role)
            _attributes_of(offer, attributes)
            _domain(offer, self._domain(bytes(wire.domain)) if wire.domain else None)
            _unavailability_of(offer, unavailability(wire.unavailability) if wire.unavailability else None)
            _executor_ids(offer, tuple([each.value for each in wire.executor_ids]) if wire.executor_ids else ())
            _agent_address(offer, None if wire.url is None else wire.url.address.host_and_port)
            _pledged(offer, found.pledged)
            _revocable(offer, found.revocable)
            _reserved(offer, found.reserved)
            made.append(offer)
            if found.parts:
                reserved[offer.id] = found.parts
        return tuple(made)

    def _resources_for(self, role: str) -> _Remembered[Sorted]:
        found = self._resources.get(role)
        if found is None:
            found = self._resources[role] = _Remembered(lambda raw: sort_resources(self._decode_resources(raw), role))
        return found


def read_inverse_offers(body: InverseOffersBody, received_at: float) -> tuple[InverseOffer, ...]:
    """The inverse offers of one event."""
    return tuple(
        InverseOffer(
            id=OfferId(each.id.value),
            agent_id=AgentId(each.agent_id.value),
            unavailability=unavailability(each.unavailability),
            received_at=received_at,
        )
        for each in body.inverse_offers
    )


def unavailability(wire: _Unavailability) -> Unavailability:
    """A maintenance window in seconds."""
    return Unavailability(
        start_at=wire.start.nanoseconds / _NANOSECONDS,
        duration_s=wire.duration.nanoseconds / _NANOSECONDS if wire.duration else None,
    )


def fault_domain(wire: Domain) -> FaultDomain | None:
    """The fault domain, where there is one."""
    found = wire.fault_domain
    return FaultDomain(region=found.region.name, zone=found.zone.name) if found else None


_W = TypeVar("_W")


def _reader(shape: type[_W], convert: Callable[[_W], _T]) -> Callable[[bytes], _T]:
    decode = msgspec.json.Decoder(shape).decode
    return lambda raw: convert(decode(raw))


def _attributes(wire: list[_Attribute]) -> dict[str, AttributeValue]:
    """By name; of several with one name the first counts, and of an unknown kind none."""
    found: dict[str, AttributeValue] = {}
    for each in wire:
        if each.text is not None:
            found.setdefault(each.name, each.text.value)
        elif each.scalar is not None:
            found.setdefault(each.name, each.scalar.value)
        elif each.ranges is not None:
            found.setdefault(each.name, port_ranges(each.ranges))
        elif each.set is not None:
            found.setdefault(each.name, frozenset(each.set.item))
    return found
