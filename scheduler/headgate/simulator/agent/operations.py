"""RESERVE, UNRESERVE, CREATE, DESTROY and volume sizes on the agent, and the feedback on them.

The master has judged an operation before it comes here, so it is done and OPERATION_FINISHED at once; that is repeated
until it is acknowledged, by the scheduler or, if it gave the operation no id, by the master.

Source: `Slave::applyOperation`, `reconcileOperations`, `operationStatusAcknowledgement`.
"""

from __future__ import annotations

from headgate.simulator.agent import containers, identifiers
from headgate.simulator.agent.state import AgentState, Operation, Phase
from headgate.simulator.agent.update_streams import Key, Outcome, Update
from headgate.simulator.messages import (
    AcknowledgeOperation,
    ApplyOperation,
    Json,
    OperationUpdate,
    ReconcileOperations,
    RemoveVolume,
)
from headgate.simulator.resources import CONVERTING, Refused, apply, conversions


def apply_operation(state: AgentState, message: ApplyOperation, *, now: float) -> None:
    """Carry out an operation and report it."""
    operation = message.operation
    _convert(state, operation)
    status: Json = {
        **({"operation_id": operation["id"]} if "id" in operation else {}),
        "state": "OPERATION_FINISHED",
        "uuid": {"value": identifiers.update_uuid(state.randomness)},
        "agent_id": {"value": state.id},
    }
    state.operations[message.operation_uuid] = Operation(
        framework_id=message.framework_id, uuid=message.operation_uuid, info=operation, status=status
    )
    key = _key(message.operation_uuid)
    update = Update(uuid=status["uuid"]["value"], terminal=True, status=status)
    head = state.operation_updates.add(key, update, now=now)
    if head is not None:
        forward(state, key, head)


def acknowledge(state: AgentState, message: AcknowledgeOperation, *, now: float) -> None:
    """The scheduler (or the master for it) has got the end of an operation."""
    if message.operation_uuid not in state.operations:
        return
    key = _key(message.operation_uuid)
    outcome, head = state.operation_updates.acknowledge(key, message.status_uuid, now=now)
    if head is not None:
        forward(state, key, head)
    if outcome is Outcome.CLOSED:
        del state.operations[message.operation_uuid]
        state.settle_drain()


def forward(state: AgentState, key: Key, update: Update) -> None:
    """Send the head of an operation's stream to the master."""
    operation = state.operations.get(key[1])
    if state.phase is not Phase.RUNNING or operation is None:
        return
    state.tell_master(
        OperationUpdate(
            agent_id=state.id,
            framework_id=operation.framework_id,
            status=update.status,
            operation_uuid=operation.uuid,
        )
    )


def reconcile(state: AgentState, message: ReconcileOperations) -> None:
    """Answer for operations the master does not know; there is no resource provider here that might."""
    known = {
        operation.info["id"]["value"]: operation
        for operation in state.operations.values()
        if operation.framework_id == message.framework_id and "id" in operation.info
    }
    for asked in message.operations:
        found = known.get(asked["operation_id"]["value"])
        if found is not None:
            status = {name: value for name, value in found.status.items() if name != "uuid"}
        else:
            status = {
                "operation_id": asked["operation_id"],
                "state": "OPERATION_UNKNOWN",
                "agent_id": {"value": state.id},
            }
            if "resource_provider_id" in asked:
                status["resource_provider_id"] = asked["resource_provider_id"]
        state.tell_master(
            OperationUpdate(
                agent_id=state.id,
                framework_id=message.framework_id,
                status=status,
                operation_uuid=found.uuid if found is not None else "",
            )
        )


def _convert(state: AgentState, operation: Json) -> None:
    if operation["type"] not in CONVERTING:
        return
    steps = conversions(_unallocated(operation))
    pool = apply(state.total, steps)
    # The master applied it before; a pool that differs is put right by the next registration.
    if isinstance(pool, Refused):
        return
    state.total = pool
    for step in steps:
        for volume, _ in step.gone.volumes() if step.gone is not None else ():
            state.outbox.append(RemoveVolume(agent_id=state.id, volume=containers.volume_folder(volume)))


def _unallocated(operation: Json) -> Json:
    """The same operation on resources that are allocated to nobody, as an agent's are."""
    name = operation["type"].lower()
    body = {key: _stripped(value) for key, value in operation.get(name, {}).items()}
    return {**operation, name: body}


def _stripped(value: object) -> object:
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    if isinstance(value, dict) and "name" in value:
        return {key: item for key, item in value.items() if key != "allocation_info"}
    return value


def _key(operation_uuid: str) -> Key:
    return ("", operation_uuid)
