"""The statuses that a master makes by itself, and the events that carry statuses.

They have no uuid: nobody is to acknowledge them.
"""

from __future__ import annotations

from headgate.simulator.master.ledger import Ledger, nanoseconds
from headgate.simulator.master.records import Framework, Task
from headgate.simulator.messages import Json


def task_status(
    ledger: Ledger,
    task_id: str,
    agent_id: str | None,
    state: str,
    reason: str,
    message: str,
    *,
    executor_id: str | None = None,
    unreachable_since: float | None = None,
) -> Json:
    """A TaskStatus from the master, of now."""
    status: Json = {"task_id": {"value": task_id}, "state": state, "message": message, "source": "SOURCE_MASTER"}
    status["reason"] = reason
    if agent_id is not None:
        status["agent_id"] = {"value": agent_id}
    if executor_id is not None:
        status["executor_id"] = {"value": executor_id}
    status["timestamp"] = ledger.now
    if unreachable_since is not None:
        status["unreachable_time"] = nanoseconds(unreachable_since)
    return status


def status_of_task(
    ledger: Ledger, task: Task, state: str, reason: str, message: str, *, unreachable_since: float | None = None
) -> Json:
    """A TaskStatus from the master about a task it knows; the executor is named unless it is a command task's."""
    return task_status(
        ledger,
        task.id,
        task.agent_id,
        state,
        reason,
        message,
        executor_id=task.executor_id,
        unreachable_since=unreachable_since,
    )


def with_last_known(status: Json, statuses: list[Json]) -> Json:
    """The same with health, check and container as the last update had them."""
    last = statuses[-1] if statuses else {}
    return status | {key: last[key] for key in ("healthy", "check_status", "container_status") if key in last}


def lost(framework: Framework, state: str) -> str:
    """The state for frameworks that understand it, TASK_LOST for the others."""
    return state if framework.partition_aware else "TASK_LOST"


def update_event(status: Json) -> Json:
    """UPDATE."""
    return {"type": "UPDATE", "update": {"status": status}}


def operation_event(status: Json) -> Json:
    """UPDATE_OPERATION_STATUS."""
    return {"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": status}}


def operation_status(
    state: str,
    operation_id: str | None,
    message: str | None = None,
    *,
    agent_id: str | None = None,
    provider_id: str | None = None,
) -> Json:
    """An OperationStatus from the master."""
    status: Json = {}
    if operation_id is not None:
        status["operation_id"] = {"value": operation_id}
    status["state"] = state
    if message is not None:
        status["message"] = message
    if agent_id is not None:
        status["agent_id"] = {"value": agent_id}
    if provider_id is not None:
        status["resource_provider_id"] = {"value": provider_id}
    return status
