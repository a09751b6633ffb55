"""KILL: of what is queued, the agent makes an end itself; what runs, only its executor can end.

Source: `Slave::killTask` and `Slave::kill`.
"""

from __future__ import annotations

from headgate.simulator.agent import channel, status_flow
from headgate.simulator.agent.executor_machine import Action, ExecutorEvent
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.agent.task_states import dropped
from headgate.simulator.messages import Json, KillTask

_ALONE = "Killed before delivery to the executor"
_IN_GROUP = "A task within the task group was killed before delivery to the executor"


def kill_task(state: AgentState, message: KillTask, *, now: float) -> None:
    """The master asks for a task's end."""
    if state.phase in (Phase.RECOVERING, Phase.TERMINATING):
        return
    framework = state.running_framework(message.framework_id)
    if framework is None:
        return
    executor = framework.executor_of(message.task_id)
    if executor is None:
        status_flow.from_agent(
            state,
            message.framework_id,
            message.task_id,
            dropped(framework.info),
            message="Cannot find executor",
            reason="REASON_EXECUTOR_TERMINATED",
            executor_id=None,
            now=now,
        )
        return
    kill(state, framework, executor, message.task_id, message.kill_policy, now=now)


def kill(
    state: AgentState,
    framework: FrameworkRecord,
    executor: ExecutorRecord,
    task_id: str,
    kill_policy: Json | None,
    *,
    now: float,
) -> None:
    """End a task that this executor has."""
    match executor.on(ExecutorEvent.KILL):
        case Action.KILL_QUEUED:
            _kill_queued(state, framework, executor, task_id, now=now)
        case Action.FORWARD_KILL:
            channel.send(state, executor, channel.kill(task_id, kill_policy))


def _kill_queued(
    state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, task_id: str, *, now: float
) -> None:
    grouped = any(task_id in group for group in executor.groups)
    for member in executor.group_of(task_id):
        status_flow.from_agent(
            state,
            framework.framework_id,
            member,
            "TASK_KILLED",
            message=_IN_GROUP if grouped else _ALONE,
            reason="REASON_TASK_KILLED_DURING_LAUNCH",
            executor_id=executor.executor_id,
            now=now,
        )
