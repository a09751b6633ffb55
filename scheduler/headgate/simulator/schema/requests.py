"""From the body of a request to a call that has passed every check of structure, or to the exact refusal.

Rows 9 to 11 of A.2 of the protocol notes; the executor and operator APIs have the same ones.
"""

from __future__ import annotations

import enum
import json

from headgate.simulator.messages import Json, Reply
from headgate.simulator.schema import agent_validation, validation
from headgate.simulator.schema.conversion import Unconvertible, convert
from headgate.simulator.schema.protobuf import decode


class Api(enum.Enum):
    """The APIs that take calls; the value is the name of the call's message."""

    SCHEDULER = "scheduler.Call"
    EXECUTOR = "executor.Call"
    OPERATOR = "master.Call"
    AGENT = "agent.Call"


def read_call(api: Api, body: bytes, *, principal: str | None = None) -> Json | Reply:
    """The call in normal form, or the 400 that Mesos answers.  `principal` is the authenticated one."""
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_constant=_refuse_constant)
    except RecursionError:
        return _bad("Failed to parse body into JSON: nested too deeply")
    except ValueError as fault:
        return _bad(f"Failed to parse body into JSON: {fault}")
    return check_call(api, value, principal=principal)


def read_binary_call(api: Api, body: bytes, *, principal: str | None = None) -> Json | Reply:
    """As `read_call`, for a body in protobuf."""
    try:
        call = decode(api.value, body)
    except Unconvertible:
        return _bad("Failed to parse body into Call protobuf")
    return _judged(api, call, principal)


def check_call(api: Api, value: object, *, principal: str | None = None) -> Json | Reply:
    """As `read_call`, for JSON that has been parsed."""
    try:
        call = convert(api.value, value)
    except Unconvertible as fault:
        return _bad(f"Failed to convert JSON into Call protobuf: {fault}")
    except RecursionError:
        return _bad("Failed to convert JSON into Call protobuf: nested too deeply")
    return _judged(api, call, principal)


def _refuse_constant(text: str) -> object:
    raise ValueError(f"{text} is no JSON")


def _judged(api: Api, call: Json, principal: str | None) -> Json | Reply:
    if api is Api.SCHEDULER:
        name, error = "scheduler::Call", validation.scheduler_call_error(call, principal)
    elif api is Api.EXECUTOR:
        name, error = "Executor::Call", validation.executor_call_error(call)
    elif api is Api.AGENT:
        name, error = "agent::Call", agent_validation.agent_call_error(call)
    else:
        name, error = "master::Call", validation.operator_call_error(call)
    return _bad(f"Failed to validate {name}: {error}") if error else call


def _bad(text: str) -> Reply:
    return Reply(status=400, body=text)
