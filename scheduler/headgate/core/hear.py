"""A worker's report → the world: which shards exist, which were let go, which are finished, how they fare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from headgate.core.ledger import Ledger
from headgate.core.measure import Gauges
from headgate.core.world import World
from headgate.model.ids import ShardId
from headgate.model.measurements import Heard
from headgate.model.note import NoteKind
from headgate.model.shard import ShardRecord
from headgate.model.task import TaskRecord
from millstream.contract.report import Report, ShardReport, ShardState
from millstream.contract.wire import Unreadable, decode

SHARD_ID_BYTES_MAX: Final = 512
"""A page of the shard table (`model.stored`) must fit a record."""


def hear(world: World, task: TaskRecord, data: bytes, now: float) -> str | None:
    """Take in a report of a recorded task.  What is wrong with it, if it cannot be used, or not wholly.

    A report older than the newest heard is dropped: they may overtake each other.
    """
    try:
        report = decode(data, Report)
    except Unreadable as problem:
        return f"{task.id} sent a message that cannot be read: {problem}"
    if report.task_id != task.id:
        return f"{task.id} sent a report in the name of {report.task_id}"
    before = world.heard.get(task.id)
    if before is not None and report.sequence <= before.report.sequence:
        return None
    world.heard[task.id] = Heard(report=report, at=now)
    job = world.ledger.jobs.get(task.job)
    if job is not None:
        measuring = world.settings.measuring.over(job.spec.scaling.window_s)
        world.gauges.setdefault(task.job, Gauges()).hear(report, task.id, now, measuring)
    shown = world.last_reports.setdefault((task.job, task.attempt.submission), {})
    owned = {ShardId(each.shard): each for each in report.owned}
    table = world.ledger.shards(task.job)
    _complain(world.ledger, task, _newly_failed(owned, shown), now)
    for shard_id, each in owned.items():
        if shard_id not in table or table[shard_id].owner == task.id:
            shown[shard_id] = (each, now)
    left_out = _discover(world.ledger, task, report, now)
    _update_shards(world.ledger, task, report, owned, now)
    return left_out


def _newly_failed(
    owned: Mapping[ShardId, ShardReport], shown: Mapping[ShardId, tuple[ShardReport, float]]
) -> list[ShardReport]:
    """Shards that their owner has tried in vain often enough to call them failed, and had not before."""
    return [
        each
        for shard_id, each in owned.items()
        if each.state is ShardState.FAILED
        and not (
            shard_id in shown
            and (shown[shard_id][0].state, shown[shard_id][0].problem) == (ShardState.FAILED, each.problem)
        )
    ]


def _complain(ledger: Ledger, task: TaskRecord, failed: list[ShardReport], now: float) -> None:
    if failed:
        which = failed[0].shard if len(failed) == 1 else f"{failed[0].shard} and {len(failed) - 1} more"
        text = f"{task.id}: failed on shard {which}: {failed[0].problem or 'no reason given'}"
        ledger.say(now, NoteKind.PROBLEM, text, task.job, task.worker)


def _discover(ledger: Ledger, task: TaskRecord, report: Report, now: float) -> str | None:
    table = ledger.shards(task.job)
    unknown = [ShardId(each.shard) for each in report.known if each.shard not in table]
    new = [shard for shard in unknown if len(shard.encode()) <= SHARD_ID_BYTES_MAX]
    if new:
        ledger.put_shards(task.job, [ShardRecord(id=shard) for shard in new])
        some = ", ".join(new[:3]) + (" …" if len(new) > 3 else "")
        ledger.say(now, NoteKind.ASSIGNED, f"{len(new)} shards discovered: {some}", task.job)
    job = ledger.jobs[task.job]
    if len(new) < len(unknown):
        first = next(shard for shard in unknown if len(shard.encode()) > SHARD_ID_BYTES_MAX)
        return (
            f"{len(unknown) - len(new)} shards have names of more than {SHARD_ID_BYTES_MAX} bytes and are left out, "
            f"so the job will not end; give them shorter ones: {first}"
        )
    if report.complete and not job.shards_complete:
        ledger.jobs[task.job] = replace(job, shards_complete=True)
    return None


def _update_shards(
    ledger: Ledger, task: TaskRecord, report: Report, owned: Mapping[ShardId, ShardReport], now: float
) -> None:
    changed = []
    for shard in ledger.shards(task.job).values():
        if shard.owner != task.id:
            continue
        mine = owned.get(shard.id)
        if mine is not None and mine.state is ShardState.FINISHED and mine.epoch == shard.epoch and not shard.finished:
            changed.append(replace(shard, finished=True, releasing=None))
        elif mine is None and shard.releasing is not None and report.assignment_version >= shard.releasing:
            changed.append(replace(shard, owner=None, releasing=None, moved_at=now, moved_from=task.id))
            ledger.say(now, NoteKind.MOVED, f"{task.id} has let go of shard {shard.id}", task.job, task.worker)
    ledger.put_shards(task.job, changed)
