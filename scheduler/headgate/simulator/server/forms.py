"""The older endpoints that change things, as the operator calls they amount to.

Source: F.1 and B.2 of the protocol notes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qs

from headgate.simulator.messages import Json, Reply
from headgate.simulator.server.checks import method_refusal
from headgate.simulator.server.request import Request


def translate(request: Request, endpoint: str) -> Json | Reply | None:
    """The operator call (the schema has yet to check it) behind a request, or its refusal; None if there is none."""
    if endpoint == "/maintenance/schedule" and request.method == "GET":
        return {"type": "GET_MAINTENANCE_SCHEDULE"}
    if endpoint == "/maintenance/status":
        return {"type": "GET_MAINTENANCE_STATUS"}
    known = _ENDPOINTS.get(endpoint)
    if known is None:
        return None
    method, translator = known
    if request.method == "GET" and method != "POST":
        return None
    return method_refusal(request, method) or translator(request)


def _form(request: Request) -> dict[str, str]:
    pairs = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[-1] for name, values in pairs.items()}


def _teardown(request: Request) -> Json | Reply:
    framework_id = _form(request).get("frameworkId")
    if framework_id is None:
        return Reply(status=400, body="Missing 'frameworkId' query parameter in the request body")
    return {"type": "TEARDOWN", "teardown": {"framework_id": {"value": framework_id}}}


def _json_body(request: Request) -> object | Reply:
    try:
        value: object = json.loads(request.body)
    except (ValueError, RecursionError) as fault:
        return Reply(status=400, body=f"Failed to parse body into JSON: {fault}")
    return value


def _json_call(kind: str, field: str) -> Callable[[Request], Json | Reply]:
    """A call whose only field is the JSON body."""

    def translator(request: Request) -> Json | Reply:
        value = _json_body(request)
        return value if isinstance(value, Reply) else {"type": kind, kind.lower(): {field: value}}

    return translator


def _on_agent(kind: str, parameter: str) -> Callable[[Request], Json | Reply]:
    """A call of the form `slaveId=…&resources=[…]` (or `volumes`)."""

    def translator(request: Request) -> Json | Reply:
        form = _form(request)
        for name in ("slaveId", parameter):
            if name not in form:
                return Reply(status=400, body=f"Missing '{name}' query parameter in the request body")
        try:
            value = json.loads(form[parameter])
        except (ValueError, RecursionError) as fault:
            return Reply(
                status=400, body=f"Error in parsing '{parameter}' query parameter in the request body: {fault}"
            )
        return {"type": kind, kind.lower(): {"agent_id": {"value": form["slaveId"]}, parameter: value}}

    return translator


_ENDPOINTS: dict[str, tuple[str, Callable[[Request], Json | Reply]]] = {
    "/teardown": ("POST", _teardown),
    "/maintenance/schedule": ("POST", _json_call("UPDATE_MAINTENANCE_SCHEDULE", "schedule")),
    "/machine/down": ("POST", _json_call("START_MAINTENANCE", "machines")),
    "/machine/up": ("POST", _json_call("STOP_MAINTENANCE", "machines")),
    "/weights": ("PUT", _json_call("UPDATE_WEIGHTS", "weight_infos")),
    "/reserve": ("POST", _on_agent("RESERVE_RESOURCES", "resources")),
    "/unreserve": ("POST", _on_agent("UNRESERVE_RESOURCES", "resources")),
    "/create-volumes": ("POST", _on_agent("CREATE_VOLUMES", "volumes")),
    "/destroy-volumes": ("POST", _on_agent("DESTROY_VOLUMES", "volumes")),
}
