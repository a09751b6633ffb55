"""How executors end, and with them the frameworks that have no other reason to be remembered.

Source: `Slave::_shutdownExecutor`, `executorTerminated`, `removeExecutor`, `removeFramework` and the timeouts beside
them.
"""

from __future__ import annotations

import signal

from headgate.simulator.agent import channel, durations, environment, status_flow, wait_status
from headgate.simulator.agent.executor_machine import Action, ExecutorEvent, ExecutorState
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord, FrameworkState, Termination
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.agent.task_states import gone
from headgate.simulator.messages import ExitedExecutor, SignalContainer, StreamEnd

UNKNOWN_CONTAINER = "Abnormal executor termination: unknown container"
"""What is said of a container that no containerizer has."""


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
