"""How executors begin: the container, the subscription, and the tasks that were waiting for it.

Source: `Slave::launchExecutor`, `Slave::subscribe`.
"""

from __future__ import annotations

from random import Random

from headgate.simulator.agent import (
    channel,
    containers,
    environment,
    executor_end,
    identifiers,
    status_flow,
    wait_status,
)
from headgate.simulator.agent.builtin import BuiltinExecutor
from headgate.simulator.agent.command_executor import CommandExecutor
from headgate.simulator.agent.default_executor import DefaultExecutor
from headgate.simulator.agent.executor_machine import Action, ExecutorEvent
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord, FrameworkState, Termination
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.agent.task_states import dropped
from headgate.simulator.messages import Json, StreamEnd, StreamEvent

HEARTBEAT_S = 1800.0


# --- begin -------------------------------------------------------------------------------------------------------


def create(state: AgentState, framework: FrameworkRecord, info: Json, *, command: bool, now: float) -> ExecutorRecord:
    """A new executor; its container is asked for by `start`, once its tasks are queued."""
    executor_id = info["executor_id"]["value"]
    container_id = identifiers.container_id(state.randomness)
    executor = ExecutorRecord(
        framework_id=framework.framework_id,
        executor_id=executor_id,
        info=info,
        container_id=container_id,
        sandbox=containers.sandbox(state.id, framework.framework_id, executor_id, container_id),
        checkpoint=bool(framework.info.get("checkpoint")),
        command=command,
        builtin=_builtin(state, info, container_id, command=command),
        deadline=now + state.settings.executor_registration_timeout_s,
    )
    framework.executors[executor_id] = executor
    return executor


def start(
    state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, tasks: tuple[Json, ...], *, now: float
) -> None:
    """Ask for the container, now that the tasks are queued."""
    unsupported, problem = containers.refusal(executor.info)
    if unsupported:
        executor_end.end(
            state, framework, executor, wait_status.UNKNOWN, message=executor_end.UNKNOWN_CONTAINER, now=now
        )
    elif problem is not None:
        failed(state, framework, executor, problem, status=wait_status.UNKNOWN, now=now)
    else:
        executor.containers[executor.container_id] = None
        if executor.builtin is None:
            _start_process(state, framework, executor, tasks)
        elif state.settings.builtin_startup_s > 0:
            executor.start_at = now + state.settings.builtin_startup_s
        else:
            come_up(state, framework, executor, now=now)


def come_up(state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, *, now: float) -> None:
    """A built-in executor is there: it starts its command task, or subscribes if it needs no process for that."""
    executor.start_at = None
    if executor.on(ExecutorEvent.STARTED) is Action.DESTROY:
        executor_end.destroy(state, framework, executor, now=now)
    elif executor.command and executor.queued:
        _start_process(state, framework, executor, tuple(executor.queued.values()))
    else:
        subscribe(state, framework, executor, {}, stream=None, now=now)


def _start_process(
    state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, tasks: tuple[Json, ...]
) -> None:
    executor.live.add(executor.container_id)
    state.outbox.append(
        containers.of_executor(executor, tasks, framework=framework.info, agent_id=state.id, settings=state.settings)
    )


def started(
    state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, container_id: str, pid: int, *, now: float
) -> None:
    """A container's process runs.  A built-in executor subscribes with that."""
    executor.containers[container_id] = pid
    if executor.on(ExecutorEvent.STARTED) is Action.DESTROY:
        executor_end.destroy(state, framework, executor, now=now)
    elif executor.command:
        subscribe(state, framework, executor, {}, stream=None, now=now)


def failed(
    state: AgentState,
    framework: FrameworkRecord,
    executor: ExecutorRecord,
    message: str,
    *,
    status: int = 256,
    now: float,
) -> None:
    """The container could not be launched."""
    state.counters["container_launch_errors"] += 1
    if executor.termination is None:
        executor.termination = Termination(
            state="TASK_FAILED",
            reason="REASON_CONTAINER_LAUNCH_FAILED",
            message=f"Failed to launch container: {message}",
        )
    executor_end.end(state, framework, executor, status, now=now)


def _builtin(state: AgentState, info: Json, container_id: str, *, command: bool) -> BuiltinExecutor | None:
    executor_id = info["executor_id"]["value"]
    # A process of its own has randomness of its own, which also outlives the agent.
    randomness = Random(container_id)
    if command:
        return CommandExecutor(
            executor_id=executor_id,
            container_id=container_id,
            shutdown_grace_s=environment.shutdown_grace_s(info, state.settings),
            randomness=randomness,
        )
    if info.get("type") == "DEFAULT":
        return DefaultExecutor(executor_id=executor_id, container_id=container_id, randomness=randomness)
    return None


# --- subscribe ---------------------------------------------------------------------------------------------------


def subscribe(
    state: AgentState,
    framework: FrameworkRecord,
    executor: ExecutorRecord,
    call: Json,
    *,
    stream: str | None,
    now: float,
) -> None:
    """An executor opens its stream (built-in ones have none); `call` is the Subscribe message."""
    if state.phase is Phase.TERMINATING or framework.state is FrameworkState.TERMINATING:
        _turn_away(state, stream)
        return
    if executor.on(ExecutorEvent.SUBSCRIBE) is Action.TURN_AWAY:
        _turn_away(state, stream)
        return
    if executor.stream is not None:
        state.outbox.append(StreamEnd(stream=executor.stream))
    executor.stream = stream
    executor.heartbeat_at = None if stream is None else now + HEARTBEAT_S
    executor.deadline = None
    reports: list[Json] = [update["status"] for update in call.get("unacknowledged_updates", ())]
    owed = [(status_flow.accept(state, framework.framework_id, status, now=now), status) for status in reports]
    listed = {task["task_id"]["value"] for task in call.get("unacknowledged_tasks", ())}
    for task_id, task in list(executor.launched.items()):
        if task.state == "TASK_STAGING" and task_id not in listed:
            status_flow.from_agent(
                state,
                framework.framework_id,
                task_id,
                dropped(framework.info),
                message="Task launched during agent restart",
                reason="REASON_AGENT_RESTARTED",
                executor_id=executor.executor_id,
                now=now,
            )
    if executor.ever_sent_task() or executor.queued:
        agent_info = state.settings.agent_info(state.id)
        event = channel.subscribed(executor.info, framework.info, agent_info, executor.container_id)
        channel.send(state, executor, event)
        deliver(state, executor)
    else:
        executor_end.shutdown(state, executor, now=now)
    for owner, status in owed:
        if owner is not None:
            status_flow.acknowledge(state, owner, status)


def deliver(state: AgentState, executor: ExecutorRecord) -> None:
    """Hand over all that is queued: single tasks first, then groups."""
    groups = list(executor.groups)
    grouped = {task_id for group in groups for task_id in group}
    for task_id in [task_id for task_id in executor.queued if task_id not in grouped]:
        channel.send(state, executor, channel.launch(executor.launch(task_id)))
    for group in groups:
        channel.send(state, executor, channel.launch_group([executor.launch(task_id) for task_id in group]))


def _turn_away(state: AgentState, stream: str | None) -> None:
    if stream is not None:
        state.outbox += [StreamEvent(stream=stream, event=channel.SHUTDOWN), StreamEnd(stream=stream)]


def heartbeat(state: AgentState, executor: ExecutorRecord, *, now: float) -> None:
    """Send HEARTBEAT if it is due: every 30 min, none at the start."""
    if executor.heartbeat_at is not None and executor.heartbeat_at <= now:
        executor.heartbeat_at = now + HEARTBEAT_S
        channel.send(state, executor, channel.HEARTBEAT)
