"""A status update on its way: from executor or agent, into the records, into its stream, towards the master.

Each update changes the records first, so that the newest state of a task is always known, then joins its task's
stream; only then the executor gets ACKNOWLEDGED.  What is impossible (news of a task that has ended) is acknowledged
and dropped.

Source: `Slave::statusUpdate` and what follows it, `Slave::forward`.
"""

from __future__ import annotations

from headgate.simulator.agent import channel, identifiers
from headgate.simulator.agent.records import ExecutorRecord
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.agent.task_record import TaskRecord
from headgate.simulator.agent.task_states import TERMINAL, has_capability
from headgate.simulator.agent.update_streams import Key, Update
from headgate.simulator.messages import Json, StatusUpdate


def from_agent(
    state: AgentState,
    framework_id: str,
    task_id: str,
    task_state: str,
    *,
    message: str,
    reason: str,
    executor_id: str | None,
    now: float,
) -> None:
    """The agent itself has something to say of a task."""
    _handle(state, framework_id, _made_here(state, task_id, task_state, message, reason, executor_id, now), now=now)


def from_executor(state: AgentState, framework_id: str, status: Json, *, now: float) -> None:
    """An executor's UPDATE, checked by `schema`."""
    executor = accept(state, framework_id, status, now=now)
    if executor is not None:
        acknowledge(state, executor, status)


def accept(state: AgentState, framework_id: str, status: Json, *, now: float) -> ExecutorRecord | None:
    """An executor's UPDATE, without the acknowledgement; the executor to which that is owed, if any."""
    return _handle(state, framework_id, {**status, "source": "SOURCE_EXECUTOR"}, now=now)


def acknowledge(state: AgentState, executor: ExecutorRecord, status: Json) -> None:
    """Tell an executor that the agent has its update."""
    channel.send(state, executor, channel.acknowledged(status["task_id"], status["uuid"]))


def unknown_task(state: AgentState, framework_id: str, task_id: str, task_state: str, *, now: float) -> None:
    """Answer for a task that only the master knows; even if nothing of its framework is here."""
    message = "Reconciliation: task unknown to the agent"
    status = _made_here(state, task_id, task_state, message, "REASON_RECONCILIATION", None, now)
    _deliver(state, framework_id, status, timestamp_added=False, now=now)


def forward(state: AgentState, key: Key, update: Update) -> None:
    """Send the head of a stream to the master."""
    if state.phase is not Phase.RUNNING:
        return
    framework_id, task_id = key
    task = _record(state, framework_id, task_id)
    if task is not None:
        task.forwarded(update.status)
    state.tell_master(
        StatusUpdate(
            agent_id=state.id,
            framework_id=framework_id,
            status=update.status,
            latest_state=task.state if task is not None else update.status["state"],
            timestamp_added=update.timestamp_added,
        )
    )


def _made_here(
    state: AgentState, task_id: str, task_state: str, message: str, reason: str, executor_id: str | None, now: float
) -> Json:
    status: Json = {
        "task_id": {"value": task_id},
        "state": task_state,
        "message": message,
        "source": "SOURCE_AGENT",
        "reason": reason,
        "agent_id": {"value": state.id},
    }
    if executor_id is not None:
        status["executor_id"] = {"value": executor_id}
    return {**status, "timestamp": now, "uuid": identifiers.update_uuid(state.randomness)}


def _handle(state: AgentState, framework_id: str, status: Json, *, now: float) -> ExecutorRecord | None:
    """Take an update in; the executor that has its task, if there is one."""
    framework = state.running_framework(framework_id)
    if framework is None:
        return None
    status = {**_for_draining(state, framework.info, status), "agent_id": {"value": state.id}}
    timestamp_added = "timestamp" not in status
    executor = framework.executor_of(status["task_id"]["value"])
    if executor is None:
        status.setdefault("timestamp", now)
        _deliver(state, framework_id, status, timestamp_added=timestamp_added, now=now)
        return None
    status = _with_container(state, executor, status)
    if _advance(executor, status):
        if status["state"] in TERMINAL:
            state.counters[status["state"]] += 1
        status.setdefault("timestamp", now)
        _deliver(state, framework_id, status, timestamp_added=timestamp_added, now=now)
    return executor


def _deliver(state: AgentState, framework_id: str, status: Json, *, timestamp_added: bool, now: float) -> None:
    key = (framework_id, status["task_id"]["value"])
    update = Update(
        uuid=status["uuid"],
        terminal=status["state"] in TERMINAL,
        status=status,
        timestamp_added=timestamp_added,
    )
    head = state.updates.add(key, update, now=now)
    if head is not None:
        forward(state, key, head)


def _for_draining(state: AgentState, framework: Json, status: Json) -> Json:
    """While draining, every kill is told as the drain's."""
    if state.drain_config is None or status["state"] not in ("TASK_KILLING", "TASK_KILLED"):
        return status
    status = {**status, "reason": "REASON_AGENT_DRAINING"}
    if state.drain_config.get("mark_gone") and has_capability(framework, "PARTITION_AWARE"):
        status["state"] = "TASK_GONE_BY_OPERATOR"
    return status


def _with_container(state: AgentState, executor: ExecutorRecord, status: Json) -> Json:
    """Where the task ran; not for tasks that never reached their executor, nor when the container is gone."""
    task_id = status["task_id"]["value"]
    never_delivered = status["source"] == "SOURCE_AGENT" and status["state"] in ("TASK_DROPPED", "TASK_LOST")
    if task_id in executor.queued or (task_id in executor.launched and never_delivered) or not executor.containers:
        return status
    given = dict(status.get("container_status", {}))
    container = given.get("container_id", {"value": executor.container_id})
    pid = executor.containers.get(container["value"])
    merged: Json = {"container_id": container}
    networks = given.get("network_infos")
    merged["network_infos"] = networks or [
        {"ip_addresses": [{"protocol": "IPv4", "ip_address": state.settings.ip}]},
    ]
    if pid is not None:
        merged["executor_pid"] = pid
    return {**status, "container_status": {**given, **merged}}


def _advance(executor: ExecutorRecord, status: Json) -> bool:
    """Bring the records up to date; False if that cannot be."""
    task_id = status["task_id"]["value"]
    terminal = status["state"] in TERMINAL
    if task_id in executor.queued:
        if not terminal:
            return False
        task = executor.record_of(executor.dequeue(task_id))
    elif task_id in executor.launched:
        task = executor.launched.pop(task_id) if terminal else executor.launched[task_id]
    else:
        return False
    task.advance(dict(status))
    if terminal:
        executor.terminated[task_id] = task
    return True


def _record(state: AgentState, framework_id: str, task_id: str) -> TaskRecord | None:
    framework = state.frameworks.get(framework_id)
    executor = framework.executor_of(task_id) if framework is not None else None
    if executor is None:
        return None
    return executor.launched.get(task_id) or executor.terminated.get(task_id)
