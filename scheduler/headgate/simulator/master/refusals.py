"""Telling a framework that a task or an operation it asked for will not be."""

from __future__ import annotations

from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.records import Framework
from headgate.simulator.master.statuses import operation_event, operation_status, task_status, update_event
from headgate.simulator.messages import Json


def refuse_task(ledger: Ledger, framework: Framework, task: Json, state: str, reason: str, message: str) -> None:
    """Tell a framework that a task it described will not be."""
    if state == "TASK_ERROR":
        ledger.counters["tasks_error"] += 1
    status = task_status(ledger, task["task_id"]["value"], task["agent_id"]["value"], state, reason, message)
    ledger.tell(framework, update_event(status))


def refuse_operation(ledger: Ledger, framework: Framework, operation: Json, message: str) -> None:
    """OPERATION_ERROR, if the operation has an id."""
    if "id" in operation:
        status = operation_status("OPERATION_ERROR", operation["id"]["value"], message)
        ledger.tell(framework, operation_event(status))
