"""What a job's upkeep looks like: workers that leave an agent, a restart under way, what is kept on agents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.model.ids import AgentId, JobName, ReservationId
from headgate.model.offer import Unavailability
from headgate.model.operation import ReservationRecord
from headgate.model.record import JobRecord, Records
from headgate.model.task import Stage, TaskRecord, WorkerRecord
from headgate.model.view import OperationView, ReservationView, RestartView


def why_moving(task: TaskRecord, windows: Mapping[AgentId, Unavailability], now: float) -> str | None:
    """Why a worker is to leave its agent; None: it is not."""
    if task.moving_since is None:
        return None
    window = windows.get(task.agent_id)
    if window is None:
        return f"{task.hostname} was to be maintained"
    left_s = window.start_at - now
    when = f"begins in {left_s:.0f} s" if left_s > 0 else "has begun"
    return f"maintenance of {task.hostname} {when}"


def restart_progress(job: JobRecord, tasks: Sequence[TaskRecord], records: Records) -> RestartView | None:
    """How far a restart is; None: all workers run anew, or are about to."""
    slots = [_slot(job, number, records) for number in range(job.workers)]
    asked = [slot for slot in slots if slot.stale_below]
    if job.state.leaving or not asked:
        return None
    newest = {task.worker: task for task in sorted(tasks, key=lambda task: task.attempt)}
    # A slot whose next attempt is the first of the new ones has lost the old one and is about to be filled.
    waiting = [slot for slot in asked if slot.attempts == slot.stale_below]
    old = [task for task in newest.values() if task.worker < job.workers and _stale(task, job, records)]
    if not waiting and not old:
        return None
    fresh = [
        slot for slot in asked
        if slot.worker in newest
        and newest[slot.worker].stage is Stage.RUNNING
        and not _stale(newest[slot.worker], job, records)
    ]  # fmt: skip
    return RestartView(workers=len(asked), replaced=len(fresh))


def _slot(job: JobRecord, number: int, records: Records) -> WorkerRecord:
    return records.workers.get((job.name, number)) or WorkerRecord(job=job.name, worker=number)


def _stale(task: TaskRecord, job: JobRecord, records: Records) -> bool:
    return task.attempt.attempt < _slot(job, task.worker, records).stale_below


def reservations(records: Records) -> dict[JobName, tuple[ReservationView, ...]]:
    """What is kept, by job, in the order of workers; each with its operations whose end is not known."""
    operations: dict[ReservationId, list[OperationView]] = {}
    for _, operation in sorted(records.operations.items()):
        operations.setdefault(operation.reservation, []).append(
            OperationView(id=operation.id, kind=operation.kind, sent_at=operation.sent_at, state=operation.state)
        )
    found: dict[JobName, list[ReservationView]] = {}
    for each in sorted(records.reservations.values(), key=lambda each: (each.job, each.worker, each.id)):
        found.setdefault(each.job, []).append(_reservation(each, operations.get(each.id, ())))
    return {name: tuple(group) for name, group in found.items()}


def _reservation(record: ReservationRecord, operations: Sequence[OperationView]) -> ReservationView:
    return ReservationView(
        id=record.id,
        job=record.job,
        worker=record.worker,
        role=record.role,
        agent_id=record.agent_id,
        hostname=record.hostname,
        resources=record.resources,
        volume_m=record.volume_m,
        hold=record.hold,
        since=record.since,
        operations=tuple(operations),
    )
