"""Restart: what an agent leaves on its disk, and what a new process makes of it.

Kept are the agent's id, reservations and volumes, a drain under way, operations, operators' containers, and the
frameworks that checkpoint with their executors, tasks and unacknowledged updates.  The executors' own memory is not the
agent's: custom ones live on as processes; the model of a built-in one is handed over whole, as its process would live
on too.

Source: slave/state.cpp, `Slave::recover`, `recoverFramework`, `recoverExecutor`, `reregisterExecutorTimeout`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from headgate.simulator.agent import executor_begin, executor_end, operator_containers
from headgate.simulator.agent.executor_machine import ExecutorState
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord, FrameworkState
from headgate.simulator.agent.state import AgentState, Operation, OperatorContainer, Phase
from headgate.simulator.agent.update_streams import StoredStream
from headgate.simulator.messages import Json, SignalContainer
from headgate.simulator.resources import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What outlives an agent's process; successors take a copy.

    `orphans` are containers that are still running but will not be taken up (those of frameworks that do not
    checkpoint); the successor destroys them.
    """

    agent_id: str | None
    total: Resources
    drain_config: Json | None
    drain_started_at: float | None
    frameworks: tuple[FrameworkRecord, ...]
    updates: tuple[StoredStream, ...]
    operations: tuple[Operation, ...]
    operation_updates: tuple[StoredStream, ...]
    orphans: tuple[str, ...]
    operator_containers: tuple[OperatorContainer, ...] = ()


def export(state: AgentState) -> Checkpoint:
    """The checkpoint of this moment.  The state is not changed and shares nothing with it."""
    kept = [
        framework for framework in state.frameworks.values() if framework.info.get("checkpoint") and framework.executors
    ]
    known = {(framework.framework_id, task.task_id) for framework in kept for task in framework.tasks()}
    orphans = [
        container_id
        for framework in state.frameworks.values()
        if not framework.info.get("checkpoint")
        for executor in framework.executors.values()
        for container_id in sorted(executor.live)
    ]
    return copy.deepcopy(
        Checkpoint(
            agent_id=state.agent_id,
            total=state.total,
            drain_config=state.drain_config,
            drain_started_at=state.drain_started_at,
            frameworks=tuple(kept),
            updates=state.updates.stored(lambda key: key in known),
            operations=tuple(state.operations.values()),
            operation_updates=state.operation_updates.stored(lambda _: True),
            orphans=tuple(orphans),
            operator_containers=tuple(state.operator_containers.values()),
        )
    )


def restore(state: AgentState, checkpoint: Checkpoint) -> None:
    """Take up what the predecessor left; executors have to subscribe again."""
    left = copy.deepcopy(checkpoint)
    state.agent_id = left.agent_id
    state.total = left.total
    state.drain_config, state.drain_started_at = left.drain_config, left.drain_started_at
    state.updates.restore(left.updates)
    state.operations = {operation.uuid: operation for operation in left.operations}
    state.operation_updates.restore(left.operation_updates)
    for container in left.operator_containers:
        state.operator_containers[operator_containers.key(container.container_id)] = container
    for framework in left.frameworks:
        framework.state = FrameworkState.RUNNING
        state.frameworks[framework.framework_id] = framework
        for executor in framework.executors.values():
            _as_found(executor)
    if left.agent_id is not None:
        state.phase = Phase.RECOVERING


def reattach(state: AgentState, orphans: tuple[str, ...], *, now: float) -> None:
    """Destroy what nobody wants, give up what never ran, and let built-in executors subscribe."""
    for container_id in orphans:
        state.outbox.append(SignalContainer(agent_id=state.id, container_id=container_id, signal=9))
    for framework, executor in state.executors():
        if executor.state is ExecutorState.TERMINATED:
            continue
        never_ran = executor.live and all(pid is None for pid in executor.containers.values())
        if never_ran or executor.start_at is not None:
            for container_id in sorted(executor.live):
                state.outbox.append(SignalContainer(agent_id=state.id, container_id=container_id, signal=9))
            executor_end.end(state, framework, executor, -1, message=executor_end.UNKNOWN_CONTAINER, now=now)
        elif executor.builtin is not None:
            call = {"unacknowledged_tasks": [task.json for task in executor.launched.values()]}
            executor_begin.subscribe(state, framework, executor, call, stream=None, now=now)


def give_up_missing(state: AgentState, *, now: float) -> None:
    """End the executors that have not subscribed again in time."""
    for framework, executor in state.executors():
        executor_end.did_not_return(state, framework, executor, now=now)


def _as_found(executor: ExecutorRecord) -> None:
    """An executor as its files tell of it: not subscribed, and all its tasks handed over."""
    executor.stream = executor.heartbeat_at = executor.deadline = None
    for task_id in list(executor.queued):
        executor.launch(task_id)
    if executor.state is not ExecutorState.TERMINATED:
        executor.state = ExecutorState.REGISTERING
