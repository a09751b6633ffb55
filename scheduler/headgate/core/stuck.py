"""Shards that do not get on where they are: restored for ever, not let go, or a backlog and nothing done about it.

The worker is otherwise well (a silent one is `watch`'s concern), so only the shard is taken from it and given to
another at a higher epoch, which shuts the old owner out whatever it hangs in.  If there is no other, it is given to the
same one anew, and if that does not help the worker is replaced.  Each owner has twice as long as the one before: a
large state takes its time, and a shard that is stuck everywhere is not thrown about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from headgate.core.attempts import happen
from headgate.core.ledger import Ledger
from headgate.core.ownership import renew
from headgate.core.task_machine import TaskEvent
from headgate.core.watch import heard_until, listening_since
from headgate.model.ids import JobName, TaskId
from headgate.model.measurements import ShardLoad
from headgate.model.note import NoteKind
from headgate.model.shard import ShardRecord
from headgate.model.snapshot import Snapshot
from headgate.model.task import Stage, TaskRecord
from millstream.contract.report import ShardReport, ShardState

SINK_BOUND: Final = 0.5
"""A shard that waits for its sink for more of its time than this is not stuck: elsewhere it would wait as well."""
_DOUBLINGS_MAX: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stuck:
    """When the patience with a shard ends, and what it is said to have done by then."""

    at: float
    text: str


def unstick(ledger: Ledger, name: JobName, snapshot: Snapshot, due: list[float]) -> None:
    """Take shards from owners that do not get on with them, and forget what was wrong with those that do.

    What is left without owner is given out by `ownership.assign`, in the same decision.
    """
    job = ledger.jobs[name]
    if job.state.leaving:
        return
    ready = {
        task.id: task for task in ledger.tasks_of(name) if task.stage is Stage.RUNNING and task.id in snapshot.heard
    }
    reports: dict[TaskId, dict[str, ShardReport]] = {}
    for shard in list(ledger.shards(name).values()):
        owner = None if shard.owner is None else ready.get(shard.owner)
        if owner is None or shard.finished:
            continue
        if owner.id not in reports:
            reports[owner.id] = {each.shard: each for each in snapshot.heard[owner.id].report.owned}
        report = reports[owner.id].get(shard.id)
        if report is not None and report.epoch != shard.epoch:
            report = None
        if shard.stuck and report is not None and report.records > 0:
            shard = replace(shard, stuck=0)
            ledger.put_shards(name, [shard])
        stuck = _stuck(shard, owner, report, snapshot.loads.get(name, {}).get(shard.id), snapshot)
        if stuck is None:
            continue
        if stuck.at > snapshot.now:
            due.append(stuck.at)
            continue
        if stuck.at > heard_until(snapshot):
            continue
        # Whoever was killed for another shard of this same round has had its remedy.
        if owner.id in ledger.tasks and ledger.tasks[owner.id].stage is Stage.RUNNING:
            _mend(ledger, shard, owner, alone=len(ready) == 1, text=stuck.text, now=snapshot.now)


def _stuck(
    shard: ShardRecord, owner: TaskRecord, report: ShardReport | None, load: ShardLoad | None, snapshot: Snapshot
) -> _Stuck | None:
    """When this shard's time is up, if it is under any limit now."""
    patience = snapshot.settings.patience
    times = 2.0 ** min(shard.stuck, _DOUBLINGS_MAX)
    since = max(shard.assigned_at or 0.0, owner.since, listening_since(snapshot))
    if shard.releasing is not None:
        asked_at = max(shard.releasing_since or 0.0, listening_since(snapshot))
        wait_s = patience.release_s * times
        return _Stuck(at=asked_at + wait_s, text=f"is not let go of within {wait_s:.0f} s")
    if report is None:
        return None
    if report.state in (ShardState.CLAIMING, ShardState.RESTORING):
        wait_s = patience.restore_s * times
        return _Stuck(at=since + wait_s, text=f"is {report.state.value} for {wait_s:.0f} s")
    if report.state is ShardState.RUNNING and report.backlog_records and load and load.blocked < SINK_BOUND:
        wait_s = patience.stuck_shard_s * times
        since = max(since, load.grown_at or 0.0)
        text = f"has {report.backlog_records} records waiting and has got on with none for {wait_s:.0f} s"
        return _Stuck(at=since + wait_s, text=text)
    return None


def _mend(ledger: Ledger, shard: ShardRecord, owner: TaskRecord, *, alone: bool, text: str, now: float) -> None:
    if alone and shard.stuck:
        happen(ledger, owner, TaskEvent.STUCK, now, f"shard {shard.id} {text}, again")
        return
    taken = replace(shard, owner=None, releasing=None, moved_at=now, moved_from=owner.id, stuck=shard.stuck + 1)
    ledger.put_shards(owner.job, [taken])
    renew(ledger, owner.job, [owner.id])
    ledger.say(now, NoteKind.PROBLEM, f"shard {shard.id} {text}: taken from {owner.id}", owner.job, owner.worker)
