"""The executor API: SUBSCRIBE, UPDATE, MESSAGE and HEARTBEAT, after `schema` has checked their form.

Source: `Http::executor` of Mesos's slave/http.cpp.
"""

from __future__ import annotations

from headgate.simulator.agent import channel, executor_begin, status_flow
from headgate.simulator.agent.executor_machine import Action, ExecutorEvent, ExecutorState
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.messages import ExecutorMessage, FrameworkMessage, Json, Reply, Stream
from headgate.simulator.ports import uuid4_text

_ACCEPTED = Reply(status=202)


def call(state: AgentState, call: Json, *, now: float) -> Reply | Stream:
    """Answer one call; a Stream for a SUBSCRIBE that is let in or turned away, a Reply for all else."""
    kind = call["type"]
    if kind == "HEARTBEAT":
        return _ACCEPTED
    if kind != "SUBSCRIBE" and state.phase is Phase.RECOVERING:
        return Reply(status=503, body="Agent has not finished recovery")
    framework = state.frameworks.get(call["framework_id"]["value"])
    if framework is None:
        return Reply(status=400, body="Framework cannot be found")
    executor = framework.executors.get(call["executor_id"]["value"])
    if executor is None or executor.builtin is not None:
        return Reply(status=400, body="Executor cannot be found")
    if kind == "SUBSCRIBE":
        stream = uuid4_text(state.randomness)
        executor_begin.subscribe(state, framework, executor, call["subscribe"], stream=stream, now=now)
        return Stream(stream=stream)
    if executor.state is ExecutorState.REGISTERING:
        return Reply(status=403, body="Executor is not subscribed")
    if kind == "UPDATE":
        status_flow.from_executor(state, framework.framework_id, call["update"]["status"], now=now)
        return _ACCEPTED
    if kind == "MESSAGE":
        if state.phase is Phase.RUNNING and state.running_framework(framework.framework_id) is framework:
            state.tell_master(
                ExecutorMessage(
                    agent_id=state.id,
                    framework_id=framework.framework_id,
                    executor_id=executor.executor_id,
                    data=call["message"]["data"],
                )
            )
        return _ACCEPTED
    return Reply(status=501, body="501 Not Implemented.")


def framework_message(state: AgentState, message: FrameworkMessage) -> None:
    """A scheduler's message; lost unless the executor is running."""
    framework = state.running_framework(message.framework_id)
    executor = framework.executors.get(message.executor_id) if framework is not None else None
    if executor is None or state.phase is not Phase.RUNNING:
        return
    if executor.on(ExecutorEvent.MESSAGE) is Action.FORWARD_MESSAGE:
        channel.send(state, executor, channel.message(message.data))


def disconnected(state: AgentState, stream: str) -> None:
    """A stream is gone.  The executor counts as running all the same; what is sent to it meanwhile is lost."""
    for _, executor in state.executors():
        if executor.stream == stream:
            executor.stream = None
            executor.heartbeat_at = None
