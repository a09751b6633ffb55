"""What becomes of reservations when Mesos speaks of the operations on them, and when to ask it to.

An operation is recorded before it is sent, and its record goes when its end is known: every end, also that it never
began.  What it was to do shows in the record of its reservation.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import Final

from headgate.core.ledger import Ledger
from headgate.model.call import AcknowledgeOperation
from headgate.model.ids import AgentId, OperationId, ReservationId
from headgate.model.note import NoteKind
from headgate.model.operation import Hold, OperationKind, OperationRecord, OperationState, ReservationRecord
from headgate.model.plan import AskOperations
from headgate.model.snapshot import Snapshot
from headgate.model.status import OperationStatus

_DOUBLINGS_MAX: Final = 20


class End(Enum):
    """How an operation ended."""

    DONE = auto()
    NOT_DONE = auto()
    AGENT_GONE = auto()


END_OF: Final = {
    OperationState.FINISHED: End.DONE,
    OperationState.FAILED: End.NOT_DONE,
    OperationState.ERROR: End.NOT_DONE,
    OperationState.DROPPED: End.NOT_DONE,
    OperationState.UNKNOWN: End.NOT_DONE,
    OperationState.GONE_BY_OPERATOR: End.AGENT_GONE,
}
"""States that end an operation.  UNKNOWN does: a finished one is known until we acknowledge it, which we do only once
its end is saved.  PENDING, UNREACHABLE and RECOVERING mean waiting, and so does what this build does not know."""


def hear_operation(ledger: Ledger, status: OperationStatus, ask_s: float, now: float) -> AcknowledgeOperation | None:
    """Take in feedback; what to acknowledge once that is saved.

    An operation younger than `ask_s` is not believed to be unknown: the answer may have overtaken the ACCEPT.
    """
    state = _state(status)
    if state is OperationState.GONE_BY_OPERATOR and status.agent_id is not None:
        agent_gone(ledger, status.agent_id, now)
    if status.operation_id is None:
        return None
    operation = ledger.operations.get(OperationId(status.operation_id))
    if operation is not None:
        young = state is OperationState.UNKNOWN and operation.sent_at + ask_s > now
        end = None if young else END_OF.get(state)
        if end is None:
            ledger.operations[operation.id] = replace(operation, state=state)
        else:
            del ledger.operations[operation.id]
            _ended(ledger, operation, end, f"{state.value}{f': {status.message}' if status.message else ''}", now)
    if not status.uuid or status.agent_id is None:
        return None
    return AcknowledgeOperation(
        operation_id=status.operation_id,
        agent_id=status.agent_id,
        uuid=status.uuid,
        resource_provider_id=status.resource_provider_id,
    )


def agent_gone(ledger: Ledger, agent_id: AgentId, now: float) -> None:
    """The agent is gone for good, and what was reserved there with it."""
    for record in [each for each in ledger.reservations.values() if each.agent_id == agent_id]:
        _forget(ledger, record, "its agent is gone for good", now)


def operation_questions(ledger: Ledger, snapshot: Snapshot, due: list[float]) -> list[AskOperations]:
    """What to ask now: of every recorded operation, and of the silent ones again after longer and longer waits."""
    patience = snapshot.settings.patience
    asked = []
    for operation in sorted(ledger.operations.values(), key=lambda each: each.id):
        count, last_at = snapshot.sent.operations.get(operation.id, (0, 0.0))
        ask_at = operation.sent_at + patience.operation_ask_s
        if count:
            doubled = patience.operation_ask_s * 2.0 ** min(count, _DOUBLINGS_MAX)
            ask_at = last_at + min(patience.operation_ask_max_s, doubled)
        if ask_at > snapshot.now:
            due.append(ask_at)
        else:
            asked.append((operation.id, operation.agent_id))
    return [AskOperations(operations=tuple(asked), reason="their ends are not known")] if asked else []


def under_way(ledger: Ledger) -> frozenset[ReservationId]:
    """Reservations with an operation that has not ended, as far as we know."""
    return frozenset(each.reservation for each in ledger.operations.values())


def free(ledger: Ledger, record: ReservationRecord, why: str, now: float) -> None:
    """Nobody wants the reservation any more: it is given back when it is offered."""
    if record.hold is Hold.FREEING:
        return
    ledger.reservations[record.id] = replace(record, hold=Hold.FREEING, since=now)
    text = f"the reservation {record.id} on {record.hostname} is given back: {why}"
    ledger.say(now, NoteKind.RESERVED, text, record.job, record.worker)


def _state(status: OperationStatus) -> OperationState:
    try:
        return OperationState(status.state)
    except ValueError:
        return OperationState.UNSUPPORTED


def _ended(ledger: Ledger, operation: OperationRecord, end: End, text: str, now: float) -> None:
    record = ledger.reservations.get(operation.reservation)
    if record is None:
        return
    match operation.kind, end:
        case _, End.AGENT_GONE:
            agent_gone(ledger, operation.agent_id, now)
        case OperationKind.RESERVE, End.NOT_DONE:
            _forget(ledger, record, f"it could not be made ({text})", now)
        case OperationKind.CREATE, End.NOT_DONE:
            ledger.reservations[record.id] = replace(record, volume_m=0)
            free(ledger, ledger.reservations[record.id], f"its volume could not be made ({text})", now)
        case OperationKind.RESERVE | OperationKind.CREATE, End.DONE:
            if record.hold is Hold.MAKING and record.id not in under_way(ledger):
                ledger.reservations[record.id] = replace(record, hold=Hold.HELD, since=now)
        case OperationKind.DESTROY, End.DONE:
            ledger.reservations[record.id] = replace(record, volume_m=0)
        case OperationKind.UNRESERVE, End.DONE:
            _forget(ledger, record, "it is given back", now)
        case _:
            # Seen again in an offer it is tried again.
            text = f"{operation.kind.value} of {record.id} on {record.hostname} did not happen: {text}"
            ledger.say(now, NoteKind.PROBLEM, text, record.job, record.worker)


def _forget(ledger: Ledger, record: ReservationRecord, why: str, now: float) -> None:
    del ledger.reservations[record.id]
    text = f"the reservation {record.id} on {record.hostname} is no more: {why}"
    ledger.say(now, NoteKind.RESERVED, text, record.job, record.worker)
