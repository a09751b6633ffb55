"""What is said to tasks again and again until it shows: kills and assignments; and to executors that outlive them.

Messages may be lost, and a kill is only advice, so both are repeated for as long as the records ask for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from headgate.core.ledger import Ledger
from headgate.model.ids import AgentId, JobName, ShardId, TaskId
from headgate.model.plan import Assign, Dismiss, End
from headgate.model.snapshot import Snapshot
from headgate.model.task import Stage
from millstream.contract.assignment import Assignment, ShardAssignment


def kills(
    ledger: Ledger,
    snapshot: Snapshot,
    strays: Mapping[TaskId, AgentId | None],
    due: list[float],
    *,
    open_gate: bool,
    frozen: str | None = None,
) -> tuple[End, ...]:
    """Kills for tasks in KILLING, and for strays once reconciliation has told us which are ours.

    `frozen`: why strays are left alone for now.  A stray that a kill did not move has its executor shut down.
    """
    wanted: list[End] = [
        End(
            task_id=task.id,
            agent_id=task.agent_id,
            reason=task.why or "to be ended",
            grace_s=snapshot.settings.patience.kill_grace_s,
        )
        for task in ledger.tasks_in_order()
        if task.stage is Stage.KILLING
    ]
    if open_gate and not frozen:
        wanted += [
            End(
                task_id=task_id,
                agent_id=strays[task_id],
                reason="nothing is recorded of it",
                shutdown=task_id in snapshot.sent.kills and strays[task_id] is not None,
            )
            for task_id in sorted(strays)
            if task_id not in ledger.tasks
        ]
    found = []
    for end in wanted:
        sent_at = snapshot.sent.kills.get(end.task_id)
        again_at = None if sent_at is None else sent_at + snapshot.settings.patience.kill_resend_s
        if again_at is not None and again_at > snapshot.now:
            due.append(again_at)
        else:
            found.append(end)
    return tuple(found)


def dismissals(
    snapshot: Snapshot,
    strays: Mapping[TaskId, AgentId | None],
    due: list[float],
    *,
    open_gate: bool,
    frozen: str | None = None,
) -> tuple[Dismiss, ...]:
    """Ends of executors that do not end by themselves, hold what their container holds, and are of no more use.

    Not before reconciliation, nor in a disaster, as for strays, which are `kills`' concern.
    """
    if not open_gate or frozen:
        return ()
    wait_s = snapshot.settings.patience.kill_overdue_s
    found = []
    for task_id, leaving in sorted(snapshot.leaving.items()):
        if task_id in strays:
            continue
        until = max(leaving.since, leaving.told_at or 0.0) + wait_s
        if until > snapshot.now:
            due.append(until)
        else:
            reason = f"it has not ended within {wait_s:.0f} s of its task"
            found.append(Dismiss(task_id=task_id, agent_id=leaving.agent_id, reason=reason))
    return tuple(found)


def assignments(ledger: Ledger, snapshot: Snapshot, due: list[float]) -> tuple[Assign, ...]:
    """Assignments whose version the task has not reported to have seen."""
    found = []
    owned: dict[TaskId, list[ShardAssignment]] | None = None
    for task in ledger.tasks_in_order():
        if task.stage not in (Stage.RUNNING, Stage.DRAINING) or not task.assignment_version:
            continue
        heard = snapshot.heard.get(task.id)
        if heard is not None and heard.report.assignment_version >= task.assignment_version:
            continue
        version, sent_at = snapshot.sent.assignments.get(task.id, (0, 0.0))
        again_at = sent_at + snapshot.settings.patience.assignment_resend_s
        if version == task.assignment_version and again_at > snapshot.now:
            due.append(again_at)
            continue
        if owned is None:
            owned = _owned(ledger, snapshot.read)
        drain = task.stage is Stage.DRAINING
        assignment = Assignment(
            job=task.job,
            task_id=task.id,
            version=task.assignment_version,
            shards=() if drain else tuple(owned.get(task.id, ())),
            drain=drain,
        )
        reason = "drain" if drain else f"{len(assignment.shards)} shards"
        found.append(Assign(agent_id=task.agent_id, assignment=assignment, reason=reason))
    return tuple(found)


def _owned(ledger: Ledger, read: Mapping[JobName, Mapping[ShardId, int]]) -> dict[TaskId, list[ShardAssignment]]:
    found: dict[TaskId, list[ShardAssignment]] = {}
    for job in ledger.jobs:
        furthest = read.get(job, {})
        for shard in ledger.shards(job).values():
            if shard.owner is not None and shard.releasing is None:
                each = ShardAssignment(shard=shard.id, epoch=shard.epoch, read_before=furthest.get(shard.id))
                found.setdefault(shard.owner, []).append(each)
    return {task: sorted(shards, key=lambda each: each.shard) for task, shards in found.items()}
