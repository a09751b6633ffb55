"""Feedback on operations: every state, for every kind of operation, and when to ask for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from paper_cluster import SETTINGS

from headgate.core.ledger import Ledger
from headgate.core.operations import END_OF, End, hear_operation, operation_questions
from headgate.core.presence import find_presence, probes
from headgate.model.call import AcknowledgeOperation
from headgate.model.ids import AgentId, JobName, OperationId, ReservationId, TaskId
from headgate.model.note import NoteKind
from headgate.model.operation import Hold, OperationKind, OperationRecord, OperationState, ReservationRecord
from headgate.model.record import Records
from headgate.model.resources import Resources
from headgate.model.snapshot import Link, Sent, Snapshot
from headgate.model.status import OperationStatus, TaskState, TaskStatus

NOW = 10_000.0
ASK_S = SETTINGS.patience.operation_ask_s
AGENT = AgentId("S0")
RECORD = ReservationRecord(
    id=ReservationId("j.1.0.0"),
    job=JobName("j"),
    submission=1,
    worker=0,
    role="web",
    agent_id=AGENT,
    hostname="h",
    resources=Resources(cpus_m=1000, disk_m=300),
    volume_m=200,
)


def operation(kind: OperationKind, sent_at: float = NOW - 100.0) -> OperationRecord:
    return OperationRecord(
        id=OperationId(f"{kind.value}.{RECORD.id}.1"), kind=kind, reservation=RECORD.id, agent_id=AGENT, sent_at=sent_at
    )


def ledger(*kinds: OperationKind, hold: Hold = Hold.MAKING, sent_at: float = NOW - 100.0) -> Ledger:
    record = replace(RECORD, hold=hold)
    operations = {each.id: each for each in (operation(kind, sent_at) for kind in kinds)}
    return Ledger(Records(reservations={record.id: record}, operations=operations))


def status(kind: OperationKind, state: str, **more: str) -> OperationStatus:
    return OperationStatus(operation_id=operation(kind).id, state=state, agent_id=AGENT, **more)  # type: ignore[arg-type]


ENDS: list[tuple[OperationKind, End, Hold | None]] = [
    (OperationKind.RESERVE, End.DONE, Hold.HELD),
    (OperationKind.RESERVE, End.NOT_DONE, None),
    (OperationKind.RESERVE, End.AGENT_GONE, None),
    (OperationKind.CREATE, End.DONE, Hold.HELD),
    (OperationKind.CREATE, End.NOT_DONE, Hold.FREEING),
    (OperationKind.CREATE, End.AGENT_GONE, None),
    (OperationKind.DESTROY, End.DONE, Hold.FREEING),
    (OperationKind.DESTROY, End.NOT_DONE, Hold.FREEING),
    (OperationKind.DESTROY, End.AGENT_GONE, None),
    (OperationKind.UNRESERVE, End.DONE, None),
    (OperationKind.UNRESERVE, End.NOT_DONE, Hold.FREEING),
    (OperationKind.UNRESERVE, End.AGENT_GONE, None),
]


@pytest.mark.parametrize(
    ("kind", "state", "hold"),
    [(kind, state, hold) for kind, end, hold in ENDS for state, each in END_OF.items() if each is end],
)
def test_every_end_of_every_operation(kind: OperationKind, state: OperationState, hold: Hold | None) -> None:
    """The record of the operation goes, and that of its reservation says what is true now.

    Source: marathon #3221, dcos-commons PR #740: without feedback a CREATE that failed looked like a volume.
    """
    making = kind in (OperationKind.RESERVE, OperationKind.CREATE)
    records = ledger(kind, hold=Hold.MAKING if making else Hold.FREEING)
    assert hear_operation(records, status(kind, state.value, message="m"), ASK_S, NOW) is None
    assert records.operations == {}
    found = records.reservations.get(RECORD.id)
    assert (found and found.hold) == hold
    if (kind, END_OF[state]) in ((OperationKind.CREATE, End.NOT_DONE), (OperationKind.DESTROY, End.DONE)):
        assert found is not None
        assert found.volume_m == 0
    if END_OF[state] is not End.DONE:
        assert records.notes[-1].kind in (NoteKind.RESERVED, NoteKind.PROBLEM)
        assert state.value in records.notes[-1].text or END_OF[state] is End.AGENT_GONE


@pytest.mark.parametrize("kind", OperationKind)
@pytest.mark.parametrize("state", [*(each.value for each in OperationState if each not in END_OF), "OPERATION_NEW"])
def test_what_is_no_end_is_remembered_and_waited_for(kind: OperationKind, state: str) -> None:
    """An agent that cannot be reached, or a master that has just taken over, says nothing of the outcome."""
    records = ledger(kind)
    hear_operation(records, status(kind, state), ASK_S, NOW)
    (found,) = records.operations.values()
    assert found.state is (OperationState(state) if state != "OPERATION_NEW" else OperationState.UNSUPPORTED)
    assert records.reservations == {RECORD.id: RECORD}


def test_a_reservation_is_held_once_all_of_it_is_made() -> None:
    """In whichever order the words come."""
    for order in ((OperationKind.RESERVE, OperationKind.CREATE), (OperationKind.CREATE, OperationKind.RESERVE)):
        records = ledger(*order)
        holds = []
        for kind in order:
            hear_operation(records, status(kind, "OPERATION_FINISHED"), ASK_S, NOW)
            holds.append(records.reservations[RECORD.id].hold)
        assert holds == [Hold.MAKING, Hold.HELD]


def test_a_finished_operation_is_acknowledged_again_and_again() -> None:
    """Whether its record is there or went with the first time; what the master says itself has no uuid."""
    records = ledger(OperationKind.UNRESERVE, hold=Hold.FREEING)
    finished = status(OperationKind.UNRESERVE, "OPERATION_FINISHED", uuid="u")
    expected = AcknowledgeOperation(operation_id=str(finished.operation_id), agent_id=AGENT, uuid="u")
    assert [hear_operation(records, finished, ASK_S, NOW) for _ in range(3)] == [expected] * 3
    assert hear_operation(records, status(OperationKind.CREATE, "OPERATION_ERROR"), ASK_S, NOW) is None
    assert hear_operation(records, OperationStatus(operation_id=None, state="OPERATION_ERROR"), ASK_S, NOW) is None


def test_an_answer_that_may_have_overtaken_the_accept_is_not_believed() -> None:
    """UNKNOWN of a young operation says nothing; of an old one that it never was."""
    records = ledger(OperationKind.RESERVE, sent_at=NOW - ASK_S / 2)
    hear_operation(records, status(OperationKind.RESERVE, "OPERATION_UNKNOWN"), ASK_S, NOW)
    assert len(records.operations) == len(records.reservations) == 1
    hear_operation(records, status(OperationKind.RESERVE, "OPERATION_UNKNOWN"), ASK_S, NOW + ASK_S)
    assert not records.operations
    assert not records.reservations


def asked(sent_at: float, *, count: int = 0, last_at: float = 0.0) -> tuple[int, list[float]]:
    records = ledger(OperationKind.RESERVE, sent_at=sent_at)
    (each,) = records.operations
    sent = Sent(operations={each: (count, last_at)} if count else {})
    due: list[float] = []
    snapshot = Snapshot(now=NOW, settings=SETTINGS, link=Link(connected=True, since=NOW), sent=sent)
    return len(operation_questions(records, snapshot, due)), due


def test_when_operations_are_asked_about() -> None:
    """After a while of silence, at once after a subscription if they are old, and less and less often."""
    assert asked(NOW - ASK_S) == (1, [])
    assert asked(NOW - 1.0) == (0, [NOW - 1.0 + ASK_S])
    assert asked(NOW - 500.0, count=1, last_at=NOW - 1.0) == (0, [NOW - 1.0 + 2 * ASK_S])
    assert asked(NOW - 500.0, count=1, last_at=NOW - 2 * ASK_S) == (1, [])
    assert asked(NOW - 9000.0, count=60, last_at=NOW - 1.0) == (0, [NOW - 1.0 + SETTINGS.patience.operation_ask_max_s])


@pytest.mark.parametrize(
    ("state", "there"),
    [
        (TaskState.GONE, True),
        (TaskState.UNREACHABLE, False),
        (TaskState.UNKNOWN, False),
        (TaskState.GONE_BY_OPERATOR, None),
        (TaskState.RUNNING, None),
    ],
)
def test_whether_an_agent_is_there(state: TaskState, there: bool | None) -> None:
    """A registered agent does not know the task that never was; nobody speaks for the others."""
    records = ledger(hold=Hold.FREEING)
    due: list[float] = []
    snapshot = Snapshot(now=NOW, settings=SETTINGS, link=Link(connected=True, since=NOW))
    (ask,) = probes(records, snapshot, due)
    ((task_id, agent_id),) = ask.tasks
    assert (ask.probe, agent_id) == (True, AGENT)
    found = find_presence(TaskStatus(task_id=task_id, state=state, agent_id=agent_id))
    assert found == (None if there is None else (AGENT, there))
    assert find_presence(TaskStatus(task_id=TaskId("j.1.0.0"), state=state, agent_id=agent_id)) is None
    later = replace(snapshot, sent=Sent(probes={AGENT: NOW}))
    assert probes(records, later, due) == []
    assert due == [NOW + SETTINGS.patience.probe_s]
    assert probes(ledger(hold=Hold.HELD), snapshot, due) == []
