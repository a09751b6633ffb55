"""RECONCILE: what the master knows of tasks, said without uuid."""

from __future__ import annotations

from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.records import Framework, Task
from headgate.simulator.master.statuses import lost, status_of_task, task_status, update_event, with_last_known
from headgate.simulator.messages import Json

REASON = "REASON_RECONCILIATION"


def reconcile(ledger: Ledger, framework: Framework, body: Json) -> None:
    """Answer for the tasks named, in order; for all live ones if none is named."""
    ledger.counters["messages_reconcile_tasks"] += 1
    asked = body.get("tasks", [])
    if not asked:
        for task in framework.tasks.values():
            ledger.tell(framework, update_event(_known(ledger, task)))
    for item in asked:
        status = _answer(ledger, framework, item)
        if status is not None:
            ledger.tell(framework, update_event(status))


def _known(ledger: Ledger, task: Task) -> Json:
    status = status_of_task(ledger, task, task.reported_state, REASON, "Reconciliation: Latest task state")
    return with_last_known(status, task.statuses)


def _answer(ledger: Ledger, framework: Framework, item: Json) -> Json | None:
    """The answer for one task; none while agents may still come back and know it."""
    task_id = item["task_id"]["value"]
    agent_id = item.get("agent_id", {}).get("value")
    task = framework.tasks.get(task_id)
    if task is not None:
        return _known(ledger, task)
    if agent_id in ledger.recovered_agents or (agent_id is None and ledger.recovered_agents):
        return None
    since = None
    if agent_id in ledger.agents:
        state, text = "TASK_GONE", "Task is unknown to the agent"
    elif agent_id in ledger.unreachable:
        state, text, since = "TASK_UNREACHABLE", "Task is unreachable", ledger.unreachable[agent_id]
    elif agent_id in ledger.gone:
        state, text = "TASK_GONE_BY_OPERATOR", "Task is gone"
    else:
        state, text = "TASK_UNKNOWN", "Task is unknown"
    return task_status(
        ledger, task_id, agent_id, lost(framework, state), REASON, f"Reconciliation: {text}", unreachable_since=since
    )
