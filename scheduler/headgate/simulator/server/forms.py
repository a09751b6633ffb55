"""The older endpoints that change things, as the operator calls they amount to.

Source: F.1 and B.2 of the protocol notes; Mesos, `src/master/http.cpp` and `weights_handler.cpp`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qs

from headgate.simulator.messages import Json, Reply
from headgate.simulator.schema import Unconvertible, convert
from headgate.simulator.server.checks import method_refusal
from headgate.simulator.server.request import Request

Form: TypeAlias = dict[str, str]


class _Refused(Exception):
    """The request is malformed; the text is the body of the 400."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    """What an endpoint takes: `changes` makes the call of a request by its method; others of `methods` only read."""

    methods: tuple[str, ...]
    changes: Mapping[str, Callable[[Request], Json]]


def translate(request: Request, endpoint: str) -> Json | Reply | None:
    """The operator call behind a request, or its refusal; None if there is none (reads are the service's own)."""
    known = _ENDPOINTS.get(endpoint)
    if known is None:
        return None
    translated = known.changes.get(request.method)
    if translated is None:
        return method_refusal(request, *known.methods)
    try:
        return translated(request)
    except _Refused as fault:
        return Reply(status=400, body=str(fault))


def _form(request: Request) -> Form:
    pairs = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in pairs.items()}


def _parameter(form: Form, name: str) -> str:
    if name not in form:
        raise _Refused(f"Missing '{name}' query parameter in the request body")
    return form[name]


def _parsed(text: str | bytes, kind: type, before: str = "") -> object:
    """JSON of one kind."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise _Refused(f"{before}syntax error: {fault}") from fault
    if not isinstance(value, kind):
        raise _Refused(f"{before}Unexpected JSON type parsed")
    return value


def _converted(message: str, items: object, before: str = "") -> list[Json]:
    assert isinstance(items, list)
    try:
        return [convert(message, item) for item in items]
    except Unconvertible as fault:
        raise _Refused(f"{before}{fault}") from fault


def _teardown(request: Request) -> Json:
    return {"type": "TEARDOWN", "teardown": {"framework_id": {"value": _parameter(_form(request), "frameworkId")}}}


def _schedule(request: Request) -> Json:
    try:
        schedule = convert("maintenance.Schedule", _parsed(request.body, dict))
    except Unconvertible as fault:
        raise _Refused(str(fault)) from fault
    return {"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": {"schedule": schedule}}


def _machines(kind: str) -> Callable[[Request], Json]:
    def call(request: Request) -> Json:
        return {"type": kind, kind.lower(): {"machines": _converted("MachineID", _parsed(request.body, list))}}

    return call


def _weights(request: Request) -> Json:
    body = request.body.decode("utf-8", "replace")
    items = _parsed(body, list, f"Failed to parse update weights request JSON '{body}': ")
    weights = _converted("WeightInfo", items, f"Failed to convert weights JSON array to protobuf '{body}': ")
    return {"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": weights}}


def _set_quota(request: Request) -> Json:
    body = request.body.decode("utf-8", "replace")
    value = _parsed(body, dict, f"Failed to parse set quota request JSON '{body}': ")
    try:
        asked = convert("quota.QuotaRequest", value)
    except Unconvertible as fault:
        raise _Refused(f"Failed to validate set quota request JSON '{body}': {fault}") from fault
    return {"type": "SET_QUOTA", "set_quota": {"quota_request": asked}}


def _remove_quota(request: Request) -> Json:
    """The role is the last part of the path."""
    parts = [part for part in request.path.split("/") if part and part != "master"]
    if len(parts) < 2:
        raise _Refused(
            f"Failed to parse remove quota request for path '/master{request.path.removeprefix('/master')}':"
            " expected 3 tokens, found 2 tokens"
        )
    return {"type": "REMOVE_QUOTA", "remove_quota": {"role": "/".join(parts[1:])}}


def _on_agent(kind: str, name: str, error: str) -> Callable[[Request], Json]:
    """A call of the form `slaveId=…&resources=[…]` (or `volumes`)."""

    def call(request: Request) -> Json:
        form = _form(request)
        agent_id, text = _parameter(form, "slaveId"), _parameter(form, name)
        before = f"{error} '{name}' query parameter in the request body: "
        items = _converted("Resource", _parsed(text, list, before), before)
        return {"type": kind, kind.lower(): {"agent_id": {"value": agent_id}, name: items}}

    return call


def _post(translate: Callable[[Request], Json]) -> _Endpoint:
    return _Endpoint(methods=("POST",), changes={"POST": translate})


READ_ONLY = ("/flags", "/maintenance/status", "/containers", "/monitor/statistics")
"""Endpoints that insist on GET; others that only read take any method."""

_ENDPOINTS = {
    "/teardown": _post(_teardown),
    "/maintenance/schedule": _Endpoint(methods=("GET", "POST"), changes={"POST": _schedule}),
    "/machine/down": _post(_machines("START_MAINTENANCE")),
    "/machine/up": _post(_machines("STOP_MAINTENANCE")),
    "/weights": _Endpoint(methods=("GET", "PUT"), changes={"PUT": _weights}),
    "/quota": _Endpoint(methods=("GET", "POST", "DELETE"), changes={"POST": _set_quota, "DELETE": _remove_quota}),
    "/reserve": _post(_on_agent("RESERVE_RESOURCES", "resources", "Error parsing")),
    "/unreserve": _post(_on_agent("UNRESERVE_RESOURCES", "resources", "Error in parsing")),
    "/create-volumes": _post(_on_agent("CREATE_VOLUMES", "volumes", "Error in parsing")),
    "/destroy-volumes": _post(_on_agent("DESTROY_VOLUMES", "volumes", "Error in parsing")),
}
