"""What keeps built-in executors going: carries events to them and carries out what they answer."""

from __future__ import annotations

from headgate.simulator.agent import containers, executor_end, status_flow
from headgate.simulator.agent.builtin import Act, Exit, PerformCheck, SendUpdate, SignalTask, StartTask
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord
from headgate.simulator.agent.state import AgentState
from headgate.simulator.messages import SignalContainer


def settle(state: AgentState, *, now: float) -> None:
    """Deliver all events that wait for built-in executors, and those that this brings about."""
    while state.mailbox:
        executor, event = state.mailbox.popleft()
        framework = state.frameworks.get(executor.framework_id)
        if framework is not None and executor.builtin is not None:
            perform(state, framework, executor, executor.builtin.receive(event, now=now), now=now)


def perform(
    state: AgentState, framework: FrameworkRecord, executor: ExecutorRecord, acts: list[Act], *, now: float
) -> None:
    """Carry out what a built-in executor wants done, in order."""
    for act in acts:
        match act:
            case SendUpdate(status=status):
                status_flow.from_executor(state, framework.framework_id, status, now=now)
            case StartTask(container_id=container_id, task=task):
                executor.containers[container_id] = None
                executor.live.add(container_id)
                state.outbox.append(
                    containers.of_nested_task(
                        executor,
                        container_id,
                        task,
                        framework=framework.info,
                        agent_id=state.id,
                        settings=state.settings,
                    )
                )
            case SignalTask(container_id=container_id, signal=number):
                if container_id in executor.live:
                    state.outbox.append(
                        SignalContainer(agent_id=state.id, container_id=container_id, signal=int(number))
                    )
            case PerformCheck():
                if act.container_id in executor.live:
                    state.outbox.append(
                        containers.of_check(
                            executor, act, framework=framework.info, agent_id=state.id, settings=state.settings
                        )
                    )
            case Exit(wait_status=status):
                for container_id in sorted(executor.live):
                    state.outbox.append(SignalContainer(agent_id=state.id, container_id=container_id, signal=9))
                executor_end.end(state, framework, executor, status, now=now)
