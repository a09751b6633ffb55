"""Records of the master's event stream → events of the model.

Nothing of what a newer master may add is an error: unknown event types are passed over, unknown fields too, unknown
reasons are handed on, an unknown task state becomes UNKNOWN (which says nothing).  What cannot be read at all becomes
`Undecodable`, so that one bad record does not end the stream.

Source: `Event` of Mesos's `v1/scheduler/scheduler.proto`, and `docs/scheduler-http-api.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from headgate.adapters.mesos_codec_offers import (
    Address,
    Domain,
    Id,
    InverseOffersBody,
    OfferReader,
    fault_domain,
    read_inverse_offers,
)
from headgate.adapters.mesos_codec_resources import ABSENT, BadOffer, ReservedPart
from headgate.model.event import (
    AgentLost,
    ExecutorEnded,
    Heartbeat,
    InverseOffers,
    MasterEvent,
    Message,
    Offers,
    OperationUpdate,
    Refused,
    Rescinded,
    Subscribed,
    Undecodable,
    Update,
)
from headgate.model.ids import AgentId, ExecutorId, FrameworkId, OfferId, TaskId
from headgate.model.status import OperationStatus, TaskState, TaskStatus

HEARTBEAT_S: Final = 15.0
"""What every released master does, should one not say it."""

EXCERPT_BYTES: Final = 200

_WAIT_STATUS_UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What one record came to: no events for an event type of a newer master."""

    events: tuple[MasterEvent, ...] = ()
    heartbeat_s: float | None = None
    reserved: dict[OfferId, tuple[ReservedPart, ...]] = field(default_factory=dict)


class _Capability(msgspec.Struct):
    type: str = "UNKNOWN"


class _MasterInfo(msgspec.Struct):
    hostname: str = ""
    port: int = 5050
    address: Address | None = None
    version: str | None = None
    capabilities: list[_Capability] = []
    domain: Domain | None = None


class _Subscribed(msgspec.Struct):
    framework_id: Id
    heartbeat_interval_seconds: float = HEARTBEAT_S
    master_info: _MasterInfo | None = None


class _Rescind(msgspec.Struct):
    offer_id: Id


class _RescindInverse(msgspec.Struct):
    inverse_offer_id: Id


class _TaskStatus(msgspec.Struct):
    task_id: Id
    state: str
    agent_id: Id | None = None
    executor_id: Id | None = None
    source: str | None = None
    reason: str | None = None
    message: str | None = None
    data: bytes | None = None
    healthy: bool | None = None
    timestamp: float | None = None
    uuid: str | None = None


class _Update(msgspec.Struct):
    status: _TaskStatus


class _OperationStatus(msgspec.Struct):
    state: str
    operation_id: Id | None = None
    message: str | None = None
    agent_id: Id | None = None
    resource_provider_id: Id | None = None
    uuid: Id | None = None


class _OperationUpdate(msgspec.Struct):
    status: _OperationStatus


class _Message(msgspec.Struct):
    agent_id: Id
    executor_id: Id
    data: bytes = b""


class _Failure(msgspec.Struct):
    agent_id: Id
    executor_id: Id | None = None
    status: int = _WAIT_STATUS_UNKNOWN


class _Error(msgspec.Struct):
    message: str = "the master gave no reason"


class _Event(msgspec.Struct):
    type: str
    subscribed: _Subscribed | None = None
    offers: msgspec.Raw = ABSENT
    inverse_offers: InverseOffersBody | None = None
    rescind: _Rescind | None = None
    rescind_inverse_offer: _RescindInverse | None = None
    update: _Update | None = None
    update_operation_status: _OperationUpdate | None = None
    message: _Message | None = None
    failure: _Failure | None = None
    error: _Error | None = None


_KNOWN: Final = frozenset(
    {
        "SUBSCRIBED",
        "OFFERS",
        "INVERSE_OFFERS",
        "RESCIND",
        "RESCIND_INVERSE_OFFER",
        "UPDATE",
        "UPDATE_OPERATION_STATUS",
        "MESSAGE",
        "FAILURE",
        "ERROR",
    }
)
_STATES: Final = {state.value: state for state in TaskState}


class EventDecoder:
    """Decodes one driver's records.  Remembers repeating pieces of offers; for one thread."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Event)
        self._offers = OfferReader()

    def decode(self, record: bytes, *, received_at: float, role: str) -> Decoded:
        """What a record says.  Never raises on what the master sent.

        `received_at` is in seconds of our own clock; `role` is that of offers which name none.
        """
        try:
            return self._decode(record, received_at, role)
        except UnicodeDecodeError:
            # Texts of executors pass through Mesos as they are; a byte that is no UTF-8 must not cost us the update.
            record = record.decode("utf-8", "replace").encode()
        except (msgspec.DecodeError, BadOffer) as problem:
            return _undecodable(str(problem), record)
        try:
            return self._decode(record, received_at, role)
        except (msgspec.DecodeError, BadOffer) as problem:
            return _undecodable(str(problem), record)

    def _decode(self, record: bytes, received_at: float, role: str) -> Decoded:
        event = self._decoder.decode(record)
        if event.type == "OFFERS" and event.offers:
            return self._read_offers(event.offers, received_at, role)
        if event.subscribed is not None and event.type == "SUBSCRIBED":
            return Decoded(
                events=(_subscribed(event.subscribed),), heartbeat_s=event.subscribed.heartbeat_interval_seconds
            )
        found = _simple(event, received_at)
        if found is None and event.type in _KNOWN:
            return _undecodable(f"{event.type} event without `{event.type.lower()}`", record)
        return Decoded(events=() if found is None else (found,))

    def _read_offers(self, body: msgspec.Raw, received_at: float, role: str) -> Decoded:
        read = self._offers.read(body, received_at=received_at, role=role)
        events: list[MasterEvent] = [Offers(offers=read.offers)] if read.offers else []
        events += [Undecodable(problem=problem, excerpt=_excerpt(raw)) for problem, raw in read.bad]
        return Decoded(events=tuple(events), reserved=read.reserved)


def _simple(event: _Event, received_at: float) -> MasterEvent | None:
    """The event of any type but SUBSCRIBED and OFFERS; None for an unknown type, or a missing body."""
    found: MasterEvent | None = None
    match event.type:
        case "HEARTBEAT":
            found = Heartbeat()
        case "UPDATE" if event.update:
            found = Update(status=_task_status(event.update.status))
        case "MESSAGE" if event.message:
            found = Message(
                agent_id=AgentId(event.message.agent_id.value),
                executor_id=ExecutorId(event.message.executor_id.value),
                data=event.message.data,
            )
        case "RESCIND" if event.rescind:
            found = Rescinded(offer_id=OfferId(event.rescind.offer_id.value))
        case "RESCIND_INVERSE_OFFER" if event.rescind_inverse_offer:
            found = Rescinded(offer_id=OfferId(event.rescind_inverse_offer.inverse_offer_id.value))
        case "INVERSE_OFFERS" if event.inverse_offers:
            found = InverseOffers(inverse_offers=read_inverse_offers(event.inverse_offers, received_at))
        case "UPDATE_OPERATION_STATUS" if event.update_operation_status:
            found = OperationUpdate(status=_operation_status(event.update_operation_status.status))
        case "FAILURE" if event.failure:
            found = _failure(event.failure)
        case "ERROR" if event.error:
            found = Refused(message=event.error.message)
    return found


def _subscribed(wire: _Subscribed) -> Subscribed:
    info = wire.master_info or _MasterInfo()
    domain = fault_domain(info.domain) if info.domain else None
    address = info.address or Address(port=info.port, hostname=info.hostname)
    return Subscribed(
        framework_id=FrameworkId(wire.framework_id.value),
        master=address.host_and_port,
        master_version=info.version,
        master_capabilities=frozenset(each.type for each in info.capabilities),
        master_domain_region=domain.region if domain else None,
    )


def _task_status(wire: _TaskStatus) -> TaskStatus:
    state = _STATES.get(wire.state)
    message = wire.message
    if state is None:
        state = TaskState.UNKNOWN
        message = f"state {wire.state} is not known to this build" + (f": {message}" if message else "")
    return TaskStatus(
        task_id=TaskId(wire.task_id.value),
        state=state,
        agent_id=AgentId(wire.agent_id.value) if wire.agent_id else None,
        executor_id=ExecutorId(wire.executor_id.value) if wire.executor_id else None,
        source=_bare(wire.source, "SOURCE_"),
        reason=_bare(wire.reason, "REASON_"),
        message=message,
        data=wire.data,
        healthy=wire.healthy,
        timestamp=wire.timestamp,
        uuid=wire.uuid,
    )


def _operation_status(wire: _OperationStatus) -> OperationStatus:
    return OperationStatus(
        operation_id=wire.operation_id.value if wire.operation_id else None,
        state=wire.state,
        message=wire.message,
        agent_id=AgentId(wire.agent_id.value) if wire.agent_id else None,
        resource_provider_id=wire.resource_provider_id.value if wire.resource_provider_id else None,
        uuid=wire.uuid.value if wire.uuid else None,
    )


def _failure(wire: _Failure) -> ExecutorEnded | AgentLost:
    agent_id = AgentId(wire.agent_id.value)
    if wire.executor_id is None:
        return AgentLost(agent_id=agent_id)
    return ExecutorEnded(agent_id=agent_id, executor_id=ExecutorId(wire.executor_id.value), status=wire.status)


def _bare(word: str | None, prefix: str) -> str | None:
    return word.removeprefix(prefix) if word is not None else None


def _undecodable(problem: str, record: bytes) -> Decoded:
    return Decoded(events=(Undecodable(problem=problem, excerpt=_excerpt(record)),))


def _excerpt(record: bytes) -> str:
    return record[:EXCERPT_BYTES].decode("utf-8", "replace")
