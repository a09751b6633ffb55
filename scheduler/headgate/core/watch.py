"""What time does to tasks: the deadline each is under now, and what happens when it passes.

Silence counts only while we were listening: from the moment we were connected and awake, up to the one at which the
master was last heard.  The stream may be dead by now, and nobody have noticed: that takes several heartbeats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from headgate.core.attempts import happen
from headgate.core.disaster import count_loss, judge
from headgate.core.ledger import Ledger
from headgate.core.task_machine import Effect, TaskEvent
from headgate.model.ids import AgentId, TaskId
from headgate.model.job import JobSpec
from headgate.model.snapshot import Snapshot
from headgate.model.task import Stage, TaskRecord, WorkerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """`event` happens at `at` unless something else does before; `text` says why."""

    at: float
    event: TaskEvent
    text: str


def deadline(task: TaskRecord, spec: JobSpec, slot: WorkerRecord, snapshot: Snapshot) -> Deadline | None:
    """What time will do to the task in its `slot`; None: nothing."""
    patience = snapshot.settings.patience
    match task.stage:
        case Stage.LAUNCHING | Stage.STARTING:
            # An image that takes longer than this would be begun anew for ever: the next attempt gets twice as long.
            wait_s = min(patience.staging_max_s, patience.staging_s * 2.0 ** min(slot.stuck, 30))
            return Deadline(
                at=max(task.launched_at, task.since, listening_since(snapshot)) + wait_s,
                event=TaskEvent.STUCK,
                text=f"not running within {wait_s:.0f} s of its launch",
            )
        case Stage.RUNNING:
            heard = snapshot.heard.get(task.id)
            # From here a worker out of reach and one that hangs look the same.
            wait_s = max(
                patience.report_silent_s if heard else patience.first_report_s, spec.unreachable_replace_after_s
            )
            return Deadline(
                at=max(heard.at if heard else task.since, task.since, listening_since(snapshot)) + wait_s,
                event=TaskEvent.MUTE,
                text=f"no report for {wait_s:.0f} s",
            )
        case Stage.DRAINING:
            return Deadline(
                at=max(task.since, listening_since(snapshot)) + patience.drain_s,
                event=TaskEvent.OVERDUE,
                text=f"not drained within {patience.drain_s:.0f} s",
            )
        case Stage.KILLING:
            return Deadline(
                at=max(task.since, listening_since(snapshot)) + patience.kill_overdue_s,
                event=TaskEvent.OVERDUE,
                text=f"not ended within {patience.kill_overdue_s:.0f} s of its kill",
            )
        case Stage.UNREACHABLE:
            return Deadline(
                at=max(task.since, listening_since(snapshot)) + spec.unreachable_replace_after_s,
                event=TaskEvent.CUT_OFF,
                text=f"unreachable for {spec.unreachable_replace_after_s:.0f} s",
            )
        case Stage.ENDED:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """`frozen`: why kills wait, if there is a disaster: then silent and stuck workers are left alone.

    `overdue`: tasks whose time is up if the master can be heard at all, by attempt.  It was not, since.
    """

    frozen: str | None
    overdue: tuple[TaskId, ...]


def watch(ledger: Ledger, snapshot: Snapshot, strays: dict[TaskId, AgentId | None], due: list[float]) -> Watched:
    """Let happen what is due, and clear the failures of workers that have been well for long enough.

    Instants still to come are added to `due`; tasks that may live on without a record to `strays`.
    """
    late: list[tuple[TaskRecord, Deadline]] = []
    overdue: list[TaskId] = []
    listened_until = heard_until(snapshot)
    for task in ledger.tasks_in_order():
        job = ledger.jobs.get(task.job)
        if job is None:
            continue
        limit = deadline(task, job.spec, ledger.worker(task.job, task.worker), snapshot)
        if limit is not None and limit.at > snapshot.now:
            due.append(limit.at)
        elif limit is not None and limit.at > listened_until:
            overdue.append(task.id)
        elif limit is not None:
            late.append((task, limit))
    silent = [(limit.at, task.agent_id) for task, limit in late if limit.event is TaskEvent.MUTE]
    frozen = judge(ledger, snapshot, silent, due)
    for task, limit in late:
        if frozen and limit.event in (TaskEvent.MUTE, TaskEvent.STUCK):
            continue
        if limit.event is TaskEvent.MUTE:
            count_loss(ledger, task.agent_id, limit.at)
        if Effect.STRAY in happen(ledger, task, limit.event, snapshot.now, limit.text):
            strays[task.id] = task.agent_id
    for task in list(ledger.tasks.values()):
        job = ledger.jobs.get(task.job)
        # One that is to leave its agent says nothing of how the attempts fare that are to take its place.
        if job is not None and task.stage is Stage.RUNNING and task.moving_since is None:
            _forgive(ledger, task, job.spec.restart.healthy_after_s, snapshot.now, due)
    return Watched(frozen=frozen, overdue=tuple(overdue))


def _forgive(ledger: Ledger, task: TaskRecord, healthy_after_s: float, now: float, due: list[float]) -> None:
    slot = ledger.worker(task.job, task.worker)
    if not slot.failures:
        return
    current = ledger.tasks.get(task.id)
    if current is None or current.stage is not Stage.RUNNING:
        return
    well_at = current.since + healthy_after_s
    if well_at > now:
        due.append(well_at)
    else:
        ledger.put_worker(replace(slot, failures=0, backoff_until=0.0))


def given_up(task: TaskRecord, snapshot: Snapshot) -> bool:
    """Whether a task that is being killed is silent for so long that its slot is filled again before its end is known.

    Its shards have other owners and epochs by then.  One with resources kept for it holds what its successor needs.
    """
    if task.stage is not Stage.KILLING or task.running_at is None or task.reservation is not None:
        return False
    heard = snapshot.heard.get(task.id)
    silent_since = max(heard.at if heard else task.since, listening_since(snapshot))
    patience = snapshot.settings.patience
    given_up_at = max(silent_since + patience.report_silent_s, task.since + patience.kill_resend_s)
    return given_up_at <= snapshot.now


def listening_since(snapshot: Snapshot) -> float:
    """Since when silence proves something."""
    return max(snapshot.awake_since, snapshot.link.since or snapshot.awake_since)


def heard_until(snapshot: Snapshot) -> float:
    """Until when silence proves something: what came before has been heard, what comes after may be on its way."""
    link = snapshot.link
    return min(snapshot.now, link.heard_at or link.since or snapshot.now)
