"""Calls of the model → bodies of the v1 Scheduler API, as JSON.

Only here is it known how the API spells a call.  What comes back is read in `mesos_codec_events`.

Source: `Call` of Mesos's `v1/scheduler/scheduler.proto`; the JSON mapping is Mesos's own (snake_case names, bytes in
base64, 64-bit integers as numbers).
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import replace

import msgspec

from headgate.adapters.mesos_codec_drawer import Drawer, Json, labels
from headgate.adapters.mesos_codec_launch import task_info
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.model.call import (
    Accept,
    AcceptInverseOffers,
    Acknowledge,
    AcknowledgeOperation,
    AttributeConstraint,
    Call,
    Decline,
    DeclineInverseOffers,
    Framework,
    Kill,
    OfferConstraints,
    OperationToReconcile,
    PseudoAttribute,
    Reconcile,
    ReconcileOperations,
    RequestResources,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    TaskToReconcile,
    Teardown,
    UpdateFramework,
)
from headgate.model.ids import FrameworkId, OfferId

MULTI_ROLE = "MULTI_ROLE"


def encode_subscribe(terms: UpdateFramework, framework_id: FrameworkId | None) -> bytes:
    """The body of SUBSCRIBE; without an id the master registers a new framework, on trial if it is to be."""
    trial_s = terms.framework.trial_s
    if framework_id is None and trial_s is not None:
        trial = replace(terms.framework, failover_timeout_s=min(trial_s, terms.framework.failover_timeout_s))
        terms = replace(terms, framework=trial)
    call: Json = {"type": "SUBSCRIBE", "subscribe": _terms(terms, framework_id)}
    if framework_id is not None:
        call["framework_id"] = {"value": framework_id}
    return msgspec.json.encode(call)


def encode_call(
    call: Call, *, framework_id: FrameworkId, framework: Framework, reserved: Iterable[ReservedPart] = ()
) -> bytes:
    """The body of any other call.

    `reserved` are the resources with an identity in the offers that an ACCEPT names.
    """
    kind, body = _kind_and_body(call, framework_id, framework, reserved)
    encoded: Json = {"framework_id": {"value": framework_id}, "type": kind}
    if body is not None:
        encoded[kind.lower()] = body
    return msgspec.json.encode(encoded)


def framework_info(framework: Framework, framework_id: FrameworkId | None) -> Json:
    """The `FrameworkInfo` of a framework."""
    info: Json = {
        "user": framework.user,
        "name": framework.name,
        "failover_timeout": framework.failover_timeout_s,
        "checkpoint": framework.checkpoint,
        "capabilities": [{"type": each} for each in framework.capabilities],
    }
    if MULTI_ROLE in framework.capabilities:
        info["roles"] = list(framework.roles)
    else:
        (info["role"],) = framework.roles
    if framework_id is not None:
        info["id"] = {"value": framework_id}
    for name in ("hostname", "principal", "webui_url"):
        if (value := getattr(framework, name)) is not None:
            info[name] = value
    if framework.labels:
        info["labels"] = labels(framework.labels)
    return info


def _kind_and_body(
    call: Call, framework_id: FrameworkId, framework: Framework, reserved: Iterable[ReservedPart]
) -> tuple[str, Json | None]:
    match call:
        case Accept():
            return "ACCEPT", _accept(call, framework_id, framework, reserved)
        case Decline():
            return "DECLINE", {"offer_ids": _ids(call.offer_ids), "filters": _filters(call.refuse_s)}
        case AcceptInverseOffers():
            return "ACCEPT_INVERSE_OFFERS", {
                "inverse_offer_ids": _ids(call.inverse_offer_ids),
                "filters": _filters(call.refuse_s),
            }
        case DeclineInverseOffers():
            return "DECLINE_INVERSE_OFFERS", {
                "inverse_offer_ids": _ids(call.inverse_offer_ids),
                "filters": _filters(call.refuse_s),
            }
        case Revive():
            return "REVIVE", {"roles": list(call.roles)} if call.roles else None
        case Suppress():
            return "SUPPRESS", {"roles": list(call.roles)} if call.roles else None
        case Kill():
            return "KILL", _kill(call)
        case ShutdownExecutor():
            return "SHUTDOWN", {"executor_id": {"value": call.executor_id}, "agent_id": {"value": call.agent_id}}
        case Acknowledge():
            return "ACKNOWLEDGE", {
                "agent_id": {"value": call.agent_id},
                "task_id": {"value": call.task_id},
                "uuid": call.uuid,
            }
        case AcknowledgeOperation():
            return "ACKNOWLEDGE_OPERATION_STATUS", {**_operation(call), "uuid": call.uuid}
        case Reconcile():
            return "RECONCILE", {"tasks": [_task(each) for each in call.tasks]}
        case ReconcileOperations():
            return "RECONCILE_OPERATIONS", {"operations": [_operation(each) for each in call.operations]}
        case SendMessage():
            return "MESSAGE", {
                "agent_id": {"value": call.agent_id},
                "executor_id": {"value": call.executor_id},
                "data": base64.b64encode(call.data).decode(),
            }
        case RequestResources():
            request: Json = {"resources": Drawer((), allocated_to=None).draw(call.resources)}
            return "REQUEST", {"requests": [request | _agent(call.agent_id)]}
        case UpdateFramework():
            return "UPDATE_FRAMEWORK", _terms(call, framework_id)
        case Teardown():
            return "TEARDOWN", None


def _accept(call: Accept, framework_id: FrameworkId, framework: Framework, reserved: Iterable[ReservedPart]) -> Json:
    roles = {*(launch.role for launch in call.launches), *(each.role for each in call.reserve)}
    assert len(roles) <= 1, f"the offers of one ACCEPT are of one role, and so are its launches: {roles}"
    drawer = Drawer(
        reserved,
        allocated_to=next(iter(roles), None) if MULTI_ROLE in framework.capabilities else None,
        principal=framework.principal,
    )
    body: Json = {"offer_ids": _ids(call.offer_ids), "filters": _filters(call.refuse_s)}
    operations = [operation for each in call.unreserve for operation in drawer.unreserve(each)]
    operations += [operation for each in call.reserve for operation in drawer.reserve(each)]
    if call.launches:
        tasks = [task_info(launch, framework_id, drawer) for launch in call.launches]
        operations.append({"type": "LAUNCH", "launch": {"task_infos": tasks}})
    if operations:
        body["operations"] = operations
    return body


def _terms(terms: UpdateFramework, framework_id: FrameworkId | None) -> Json:
    body: Json = {"framework_info": framework_info(terms.framework, framework_id)}
    if terms.suppressed_roles:
        body["suppressed_roles"] = list(terms.suppressed_roles)
    if terms.offer_constraints:
        body["offer_constraints"] = _constraints(terms.offer_constraints)
    return body


def _constraints(constraints: OfferConstraints) -> Json:
    return {
        "role_constraints": {
            role: {"groups": [{"attribute_constraints": [_constraint(each) for each in group]} for group in groups]}
            for role, groups in constraints.items()
        }
    }


def _constraint(constraint: AttributeConstraint) -> Json:
    if isinstance(constraint.attribute, PseudoAttribute):
        selector = {"pseudoattribute_type": constraint.attribute.value}
    else:
        selector = {"attribute_name": constraint.attribute}
    operand: Json = {}
    if constraint.value is not None:
        operand = {"regex" if constraint.predicate.value.endswith("matches") else "value": constraint.value}
    return {"selector": selector, "predicate": {constraint.predicate.value: operand}}


def _kill(call: Kill) -> Json:
    body: Json = {"task_id": {"value": call.task_id}} | _agent(call.agent_id)
    if call.grace_s is not None:
        body["kill_policy"] = {"grace_period": {"nanoseconds": round(call.grace_s * 1e9)}}
    return body


def _task(task: TaskToReconcile) -> Json:
    return {"task_id": {"value": task.task_id}} | _agent(task.agent_id)


def _operation(operation: AcknowledgeOperation | OperationToReconcile) -> Json:
    body: Json = {"operation_id": {"value": operation.operation_id}} | _agent(operation.agent_id)
    if operation.resource_provider_id is not None:
        body["resource_provider_id"] = {"value": operation.resource_provider_id}
    return body


def _agent(agent_id: str | None) -> Json:
    return {"agent_id": {"value": agent_id}} if agent_id is not None else {}


def _ids(ids: tuple[OfferId, ...]) -> list[Json]:
    return [{"value": each} for each in ids]


def _filters(refuse_s: float) -> Json:
    return {"refuse_seconds": refuse_s}
