"""How executors begin and end, and with them the frameworks that have no other reason to be remembered.

Source: `Slave::launchExecutor`, `subscribe`, `_shutdownExecutor`, `executorTerminated`, `removeExecutor`,
`removeFramework` and the timeouts beside them.
"""

from __future__ import annotations

import signal
from random import Random

from headgate.simulator.agent import channel, containers, durations, environment, identifiers, status_flow, wait_status
from headgate.simulator.agent.builtin import BuiltinExecutor
from headgate.simulator.agent.command_executor import CommandExecutor
from headgate.simulator.agent.default_executor import DefaultExecutor
from headgate.simulator.agent.executor_machine import Action, ExecutorEvent, ExecutorState
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord, FrameworkState, Termination
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.agent.task_states import dropped, gone
from headgate.simulator.messages import ExitedExecutor, Json, SignalContainer, StreamEnd, StreamEvent

HEARTBEAT_S = 1800.0
_NO_CONTAINERIZER = "Abnormal executor termination: unknown container"


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
        end(state, framework, executor, wait_status.UNKNOWN, message=_NO_CONTAINERIZER, now=now)
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
        destroy(state, framework, executor, now=now)
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
        destroy(state, framework, executor, now=now)
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
    end(state, framework, executor, status, now=now)


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
        shutdown(state, executor, now=now)
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


# --- shut down ---------------------------------------------------------------------------------------------------


def shutdown(state: AgentState, executor: ExecutorRecord, *, now: float) -> None:
    """Ask an executor to end; after its grace period its container is destroyed."""
    has_subscribed = executor.state is ExecutorState.RUNNING
    if executor.on(ExecutorEvent.SHUTDOWN) is Action.ASK_TO_END:
        executor.deadline = now + environment.shutdown_grace_s(executor.info, state.settings)
        if has_subscribed:
            channel.send(state, executor, channel.SHUTDOWN)


def shutdown_framework(state: AgentState, framework: FrameworkRecord, *, now: float) -> None:
    """End all executors of a framework of which nothing more is to be reported."""
    if framework.state is FrameworkState.TERMINATING:
        return
    framework.state = FrameworkState.TERMINATING
    for executor in list(framework.executors.values()):
        if executor.state is ExecutorState.TERMINATED:
            _remove(state, framework, executor)
        else:
            shutdown(state, executor, now=now)
    remove_if_idle(state, framework)


def time_is_up(state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, *, now: float) -> None:
    """The executor's deadline has passed: it did not subscribe, or did not end."""
    executor.deadline = None
    limit_s = state.settings.executor_registration_timeout_s
    if executor.on(ExecutorEvent.TIMEOUT) is Action.DESTROY:
        executor.termination = Termination(
            state="TASK_FAILED",
            reason="REASON_EXECUTOR_REGISTRATION_TIMEOUT",
            message=f"Executor did not register within {durations.text(limit_s)}",
        )
        destroy(state, framework, executor, now=now)
    elif executor.on(ExecutorEvent.GRACE_OVER) is Action.DESTROY:
        destroy(state, framework, executor, now=now)


def did_not_return(state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, *, now: float) -> None:
    """After the agent's restart the executor has not subscribed in time."""
    if executor.on(ExecutorEvent.TIMEOUT) is Action.DESTROY:
        limit_s = state.settings.executor_reregistration_timeout_s
        executor.termination = Termination(
            state=gone(framework.info),
            reason="REASON_EXECUTOR_REREGISTRATION_TIMEOUT",
            message=f"Executor did not reregister within {durations.text(limit_s)}",
        )
        destroy(state, framework, executor, now=now)


def destroy(state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, *, now: float) -> None:
    """Kill all processes of an executor.  A built-in one has none of its own and is gone at once."""
    for container_id in sorted(executor.live):
        state.outbox.append(SignalContainer(agent_id=state.id, container_id=container_id, signal=signal.SIGKILL))
    if executor.builtin is not None:
        end(state, framework, executor, wait_status.KILLED, now=now)


# --- end ---------------------------------------------------------------------------------------------------------


def end(
    state: AgentState,
    framework: FrameworkRecord,
    executor: ExecutorRecord,
    status: int,
    *,
    message: str | None = None,
    now: float,
) -> None:
    """The container is gone: report the tasks that were still alive, then the executor itself.

    `status` is the raw wait status, `message` what the containerizer has to say of it.
    """
    if executor.on(ExecutorEvent.ENDED) is not Action.REPORT_END:
        return
    state.counters["executors_terminated"] += 1
    executor.start_at = executor.deadline = executor.heartbeat_at = None
    executor.builtin = None
    executor.containers.clear()
    executor.live.clear()
    if framework.state is FrameworkState.RUNNING:
        _report_tasks(state, framework, executor, message, now=now)
    else:
        executor.terminated |= executor.launched
        executor.launched = {}
    if not executor.command and state.phase is not Phase.RECOVERING:
        state.tell_master(
            ExitedExecutor(
                agent_id=state.id,
                framework_id=framework.framework_id,
                executor_id=executor.executor_id,
                status=status,
            )
        )
    if (
        state.phase is Phase.TERMINATING
        or framework.state is FrameworkState.TERMINATING
        or not executor.has_unfinished_business()
    ):
        _remove(state, framework, executor)
    remove_if_idle(state, framework)


def _report_tasks(
    state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, message: str | None, *, now: float
) -> None:
    why = executor.termination
    words = [text for text in (why.message if why else None, message) if text is not None]
    for task_id in (*executor.launched, *executor.queued):
        status_flow.from_agent(
            state,
            framework.framework_id,
            task_id,
            why.state if why else "TASK_FAILED",
            message="; ".join(words) or "Executor terminated",
            reason=why.reason if why else "REASON_EXECUTOR_TERMINATED",
            executor_id=executor.executor_id,
            now=now,
        )


def remove_if_done(state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord) -> None:
    """Forget a terminated executor once all its updates are acknowledged, and its framework with the last one."""
    if executor.state is ExecutorState.TERMINATED and not executor.has_unfinished_business():
        _remove(state, framework, executor)
    remove_if_idle(state, framework)


def _remove(state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord) -> None:
    if executor.stream is not None:
        state.outbox.append(StreamEnd(stream=executor.stream))
        executor.stream = None
    framework.executors.pop(executor.executor_id, None)
    framework.completed.append(executor)


def remove_if_idle(state: AgentState, framework: FrameworkRecord) -> None:
    """Forget a framework without executors, and the updates it has not acknowledged."""
    framework_id = framework.framework_id
    if framework.executors or state.frameworks.get(framework_id) is not framework:
        return
    state.updates.close(lambda key: key[0] == framework_id)
    del state.frameworks[framework_id]
    state.completed_frameworks.append(framework)
    state.settle_drain()
