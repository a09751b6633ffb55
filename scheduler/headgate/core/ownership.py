"""Keeps a job's shard table: takes shards from the dead, gives them to the ready, moves them in the safe order.

Every change draws a new version from the job's counter, which the tasks it concerns are given as theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from headgate.core.assign import BUSY, balanced, shard_costs
from headgate.core.ledger import Ledger
from headgate.model.ids import JobName, ShardId, TaskId
from headgate.model.measurements import Heard
from headgate.model.note import NoteKind
from headgate.model.record import JobRecord, JobState
from headgate.model.settings import Patience
from headgate.model.shard import ShardRecord
from headgate.model.task import Stage, TaskRecord

EPOCHS_PER_SUBMISSION: Final = 1_000_000
"""Epochs of a later submission are above all of an earlier one, whose claims may still be in the shard's log."""
_EPOCH_MAX: Final = 2**53
"""Any JSON reader has integers up to here."""


def next_epoch(job: JobRecord, shard: ShardRecord) -> int:
    """The epoch of the shard's next owner."""
    return max(shard.epoch, job.submission * EPOCHS_PER_SUBMISSION) + 1


def orphan(ledger: Ledger, job: JobName) -> None:
    """Leave the shards of tasks that own nothing any more without owner."""
    tasks = ledger.tasks
    ledger.put_shards(
        job,
        [
            replace(shard, owner=None, releasing=None)
            for shard in ledger.shards(job).values()
            if shard.owner is not None and (shard.owner not in tasks or not tasks[shard.owner].stage.owns)
        ],
    )


def unconfirmed(shards: Iterable[ShardRecord], heard: Mapping[TaskId, Heard]) -> list[ShardRecord]:
    """The unfinished shards that no owner has reported as its own at their epoch, or that are on the move."""
    held: dict[TaskId, dict[str, int]] = {}
    found = []
    for shard in shards:
        if shard.finished:
            continue
        if shard.owner is None or shard.releasing is not None or shard.owner not in heard:
            found.append(shard)
            continue
        if shard.owner not in held:
            held[shard.owner] = {owned.shard: owned.epoch for owned in heard[shard.owner].report.owned}
        if held[shard.owner].get(shard.id) != shard.epoch:
            found.append(shard)
    return found


def assign(
    ledger: Ledger,
    job: JobRecord,
    heard: Mapping[TaskId, Heard],
    demands: Mapping[ShardId, float],
    patience: Patience,
    now: float,
    due: list[float],
) -> None:
    """Give out shards without owners and ask for what should move."""
    if job.state.leaving:
        return
    tasks = ledger.tasks_of(job.name)
    shards = [shard for shard in ledger.shards(job.name).values() if not shard.finished]
    ready = [task for task in tasks if task.stage is Stage.RUNNING and task.worker < job.workers and task.id in heard]
    replaced = {task.worker for task in ready if task.moving_since is None}
    moving = {task.id for task in tasks if task.moving_since is not None and task.worker in replaced}
    ready = [task for task in ready if task.id not in moving]
    arriving = [
        task.launched_at + patience.settle_s
        for task in tasks
        if task.worker < job.workers and task.stage in (Stage.LAUNCHING, Stage.STARTING, Stage.RUNNING)
        if task not in ready and task.launched_at + patience.settle_s > now
    ]
    # Workers come one after the other: who has nothing yet waits for the others a little, so that no shard moves twice.
    owners = {shard.owner for shard in shards}
    idle_since = [task.running_at or task.since for task in ready if task.id not in owners]
    if idle_since and len(ready) < job.workers and min(idle_since) + patience.settle_s > now:
        arriving.append(min(idle_since) + patience.settle_s)
    due += arriving
    level_at = 0.0 if job.rebalanced_at is None else job.rebalanced_at + patience.rebalance_s
    # A worker without any shard is worth another move soon; balance alone is not.
    rest_s = patience.rebalance_s if any(task.id not in owners for task in ready) else patience.shard_rest_s
    level_above = BUSY * job.spec.worker.cpus_m / 1000
    moves = balanced(
        shards,
        workers=[task.id for task in ready],
        leaving={task.id for task in tasks if task.worker >= job.workers} | moving,
        costs=shard_costs([shard.id for shard in shards], demands),
        may_give=_gathered(job, ready, patience, now, due),
        may_take=not arriving,
        # What is not measured says nothing of who has too much, and a job at rest has noise for its measurements.
        may_level=sum(demands.values()) > level_above and level_at <= now,
        resting={shard.id for shard in shards if shard.moved_at is not None and shard.moved_at + rest_s > now},
        level_above=level_above,
    )
    version = job.assignment_version + 1
    changed = [
        replace(
            shard,
            owner=moves.give[shard.id],
            epoch=next_epoch(job, shard),
            releasing=None,
            assigned_at=now,
            moved_from=None,
        )
        for shard in shards
        if shard.id in moves.give
    ]
    taken = set(moves.take)
    changed += [replace(shard, releasing=version, releasing_since=now) for shard in shards if shard.id in taken]
    changed += _shut_out(ledger, job, shards, heard, patience, now, due)
    if not changed:
        return
    ledger.put_shards(job.name, changed)
    ledger.jobs[job.name] = replace(
        ledger.jobs[job.name],
        moves=job.moves + len(taken),
        rebalanced_at=now if taken else job.rebalanced_at,
    )
    renew(ledger, job.name, {shard.owner for shard in changed if shard.owner is not None})
    _note(ledger, job.name, changed, now)


def renew(ledger: Ledger, job: JobName, tasks: Iterable[TaskId]) -> None:
    """Give these tasks of the job one new assignment version: what they are to own, or to do, has changed."""
    record = ledger.jobs[job]
    version = record.assignment_version + 1
    ledger.jobs[job] = replace(record, assignment_version=version)
    for task_id in tasks:
        ledger.put_task(replace(ledger.tasks[task_id], assignment_version=version))


def _gathered(job: JobRecord, ready: Sequence[TaskRecord], patience: Patience, now: float, due: list[float]) -> bool:
    """Whether shards may be given out: at the first start not before the workers are there, or time is up."""
    if job.state is not JobState.DEPLOYING or len(ready) >= job.workers or not ready:
        return True
    until = min(task.running_at if task.running_at is not None else task.since for task in ready) + patience.settle_s
    if until > now:
        due.append(until)
    return until <= now


def _shut_out(
    ledger: Ledger,
    job: JobRecord,
    shards: Sequence[ShardRecord],
    heard: Mapping[TaskId, Heard],
    patience: Patience,
    now: float,
    due: list[float],
) -> list[ShardRecord]:
    """Shards whose owner knows of them and yet does not hold them: a claim above ours is in their log.

    How high it is nobody tells us, so the epoch doubles until it is enough.  That happens when a scheduler has lost
    its records and a checkpoint store has not.
    """
    found = []
    holding: dict[TaskId, set[str]] = {}
    for shard in shards:
        if shard.owner is None or shard.releasing is not None or shard.assigned_at is None:
            continue
        task, report = ledger.tasks.get(shard.owner), heard.get(shard.owner)
        if task is None or task.stage is not Stage.RUNNING or report is None:
            continue
        if task.id not in holding:
            holding[task.id] = {owned.shard for owned in report.report.owned}
        if report.report.assignment_version < task.assignment_version or shard.id in holding[task.id]:
            continue
        until = shard.assigned_at + patience.shut_out_s
        if until > now:
            due.append(until)
            continue
        epoch = min(max(next_epoch(job, shard), shard.epoch * 2), max(_EPOCH_MAX, next_epoch(job, shard)))
        found.append(replace(shard, epoch=epoch, assigned_at=now))
        ledger.say(
            now,
            NoteKind.PROBLEM,
            f"{task.id} cannot hold shard {shard.id} at epoch {shard.epoch}: its log has a higher one; trying {epoch}",
            job.name,
            task.worker,
        )
    return found


def _note(ledger: Ledger, job: JobName, changed: Sequence[ShardRecord], now: float) -> None:
    by_owner: dict[tuple[TaskId, bool], list[ShardId]] = {}
    for shard in changed:
        if shard.owner is not None:
            by_owner.setdefault((shard.owner, shard.releasing is not None), []).append(shard.id)
    for (owner, releasing), names in sorted(by_owner.items()):
        what = _names(names)
        if releasing:
            ledger.say(now, NoteKind.MOVED, f"{owner} is to let go of {what}", job, ledger.tasks[owner].worker)
        else:
            ledger.say(now, NoteKind.ASSIGNED, f"{owner} is to own {what}", job, ledger.tasks[owner].worker)


def _names(shards: Sequence[ShardId]) -> str:
    if len(shards) > 4:
        return f"{len(shards)} shards ({', '.join(sorted(shards)[:3])} …)"
    return f"shard{'s' if len(shards) > 1 else ''} {', '.join(sorted(shards))}"
