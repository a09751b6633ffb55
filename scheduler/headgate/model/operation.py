"""Reservations that worker slots keep on agents, and the operations that make and end them, as recorded.

Source: Mesos, `docs/reservation.md`, `docs/persistent-volume.md`, `docs/operation-feedback.md` (states of operations).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from headgate.model.ids import AgentId, JobName, OperationId, ReservationId
from headgate.model.resources import Resources

LABEL_FRAMEWORK = "headgate.framework"
LABEL_RESERVATION = "headgate.reservation"


class OperationKind(Enum):
    """What an operation does."""

    RESERVE = "reserve"
    CREATE = "create"
    DESTROY = "destroy"
    UNRESERVE = "unreserve"


class OperationState(Enum):
    """Every state of the v1 API."""

    PENDING = "OPERATION_PENDING"
    FINISHED = "OPERATION_FINISHED"
    FAILED = "OPERATION_FAILED"
    ERROR = "OPERATION_ERROR"
    DROPPED = "OPERATION_DROPPED"
    UNREACHABLE = "OPERATION_UNREACHABLE"
    GONE_BY_OPERATOR = "OPERATION_GONE_BY_OPERATOR"
    RECOVERING = "OPERATION_RECOVERING"
    UNKNOWN = "OPERATION_UNKNOWN"
    UNSUPPORTED = "OPERATION_UNSUPPORTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRecord:
    """One operation that was sent, or is about to be, and whose end is not known.

    `state` is what Mesos said last of it, None: nothing yet.  `sent_at` is when the intent was saved.
    """

    id: OperationId
    kind: OperationKind
    reservation: ReservationId
    agent_id: AgentId
    sent_at: float
    state: OperationState | None = None


class Hold(Enum):
    """Where a reservation is."""

    MAKING = "making"
    """The operations that make it are on their way."""
    HELD = "held"
    FREEING = "freeing"
    """Nobody wants it any more: it is given back as soon as it is offered, and forgotten once that is confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRecord:
    """What one worker slot keeps on one agent.

    `resources` are all its scalars, the volume's disk among them; `volume_m` is the size of the volume, 0: none.
    `since` is when `hold` was entered.
    """

    id: ReservationId
    job: JobName
    submission: int
    worker: int
    role: str
    agent_id: AgentId
    hostname: str
    resources: Resources
    volume_m: int = 0
    hold: Hold = Hold.MAKING
    since: float = 0.0


def reservation_labels(record: ReservationRecord, framework: str) -> Mapping[str, str]:
    """What is written on the reserved resources, so that everybody can see whose they are."""
    return {
        LABEL_FRAMEWORK: framework,
        LABEL_RESERVATION: record.id,
        "headgate.job": record.job,
        "headgate.worker": str(record.worker),
    }
