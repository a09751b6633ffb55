"""Whether agents are there that have a reservation to give back.

While the master does not know an agent, or cannot reach it, nothing of it will be offered, and offers need not flow for
it; but nobody tells us when it is back, since no task of ours is there.  So the master is asked from time to time, by
way of a task that never was: a registered agent is said not to know it, GONE; others answer otherwise.

Source: Mesos, `docs/reconciliation.md`, and `reconcileTasks` of `src/master/master.cpp`.
"""

from __future__ import annotations

from typing import Final

from headgate.core.ledger import Ledger
from headgate.core.operations import under_way
from headgate.model.ids import AgentId, TaskId
from headgate.model.operation import Hold
from headgate.model.plan import Ask
from headgate.model.snapshot import Snapshot
from headgate.model.status import TaskState, TaskStatus

PROBE: Final = "probe."
"""What the id of a task begins with that never was.  Jobs' names have no dots, so it is none of ours."""
_THERE: Final = {TaskState.GONE: True, TaskState.UNREACHABLE: False, TaskState.UNKNOWN: False, TaskState.LOST: False}


def probes(ledger: Ledger, snapshot: Snapshot, due: list[float]) -> list[Ask]:
    """What to ask now."""
    patience = snapshot.settings.patience
    since: dict[AgentId, float] = {}
    busy = under_way(ledger)
    for record in ledger.reservations.values():
        if record.hold is Hold.FREEING and record.id not in busy:
            since[record.agent_id] = max(since.get(record.agent_id, 0.0), record.since)
    asked: list[tuple[TaskId, AgentId | None]] = []
    for agent_id, begun in sorted(since.items()):
        ask_at = begun + patience.operation_ask_s
        if agent_id in snapshot.sent.probes:
            ask_at = max(ask_at, snapshot.sent.probes[agent_id] + patience.probe_s)
        if ask_at > snapshot.now:
            due.append(ask_at)
        else:
            asked.append((TaskId(f"{PROBE}{agent_id}"), agent_id))
    return [Ask(tasks=tuple(asked), reason="are their agents there", probe=True)] if asked else []


def find_presence(status: TaskStatus) -> tuple[AgentId, bool] | None:
    """(agent, whether it is there), if the status answers a probe and says so."""
    if not status.task_id.startswith(PROBE) or status.state not in _THERE:
        return None
    return AgentId(status.task_id.removeprefix(PROBE)), _THERE[status.state]
