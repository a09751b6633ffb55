"""Bodies of requests: the refusals of parsing, conversion and validation, in their order."""

import json

import pytest

from headgate.simulator.messages import Reply
from headgate.simulator.schema import Api, read_call

SCHEDULER = "Failed to validate scheduler::Call: "
EXECUTOR = "Failed to validate Executor::Call: "
OPERATOR = "Failed to validate master::Call: "
CONVERT = "Failed to convert JSON into Call protobuf: "
F = {"framework_id": {"value": "f"}}
GOOD_UUID = "bxwcPgAAQACAAAAAAAAAAA=="


def refusal(api: Api, body: object, principal: str | None = None) -> str:
    """The text of the 400; empty if the call passes."""
    answer = read_call(api, body if isinstance(body, bytes) else json.dumps(body).encode(), principal=principal)
    if not isinstance(answer, Reply):
        return ""
    assert answer.status == 400
    assert isinstance(answer.body, str)
    return answer.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"type":"TEARDOWN"} more',
        b"{'type':'TEARDOWN'}",
        b"[" * 100_000,
        b"NaN",
        b'{"a":Infinity}',
        b'"\x01"',
        b"\xff\xfe",
        b"1" * 5000,
    ],
)
def test_what_is_no_json(body: bytes) -> None:
    """All that is no JSON is refused as such, however odd."""
    assert refusal(Api.SCHEDULER, body).startswith("Failed to parse body into JSON: ")


def test_nesting_without_end_is_refused() -> None:
    """A message that may contain itself cannot be used to exhaust the stack."""
    depth = 400
    inner = '{"value":"c","parent":' * depth + '{"value":"c"}' + "}" * depth
    body = '{"type":"UPDATE","update":{"status":{"container_status":{"container_id":' + inner + "}}}}"
    assert refusal(Api.EXECUTOR, body.encode()) == CONVERT + "nested too deeply"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({}, "Expecting 'type' to be present"),
        ({"type": "DANCE"}, "Expecting 'type' to be present"),
        ({"type": "teardown"}, "Expecting 'type' to be present"),
        ({"type": "TEARDOWN"}, "Expecting 'framework_id' to be present"),
        ({"type": "SUBSCRIBE"}, "Expecting 'subscribe' to be present"),
        *[
            ({"type": kind, **F}, f"Expecting '{kind.lower()}' to be present")
            for kind in (
                "ACCEPT",
                "DECLINE",
                "ACCEPT_INVERSE_OFFERS",
                "DECLINE_INVERSE_OFFERS",
                "KILL",
                "SHUTDOWN",
                "ACKNOWLEDGE",
                "ACKNOWLEDGE_OPERATION_STATUS",
                "RECONCILE",
                "RECONCILE_OPERATIONS",
                "MESSAGE",
                "REQUEST",
                "UPDATE_FRAMEWORK",
            )
        ],
        *[({"type": kind, **F}, "") for kind in ("TEARDOWN", "REVIVE", "SUPPRESS", "UNKNOWN")],
        (
            {
                "type": "SUBSCRIBE",
                **F,
                "subscribe": {"framework_info": {"user": "u", "name": "n", "id": {"value": "g"}}},
            },
            "'framework_id' differs from 'subscribe.framework_info.id'",
        ),
        (
            {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n", "id": {"value": "g"}}}},
            "'framework_id' differs from 'subscribe.framework_info.id'",
        ),
        (
            {"type": "SUBSCRIBE", **F, "subscribe": {"framework_info": {"user": "u", "name": "n"}}},
            "'framework_id' differs from 'subscribe.framework_info.id'",
        ),
        (
            {
                "type": "SUBSCRIBE",
                **F,
                "subscribe": {"framework_info": {"user": "u", "name": "n", "id": {"value": "f"}}},
            },
            "",
        ),
        (
            {"type": "UPDATE_FRAMEWORK", **F, "update_framework": {"framework_info": {"user": "u", "name": "n"}}},
            "'framework_id' differs from 'update_framework.framework_info.id'",
        ),
        *[
            (
                {
                    "type": "ACKNOWLEDGE",
                    **F,
                    "acknowledge": {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": uuid},
                },
                text,
            )
            for uuid, text in (("AAAA", "Not a valid UUID"), ("A" * 22 + "==", "Not a valid UUID"), (GOOD_UUID, ""))
        ],
        (
            {
                "type": "ACKNOWLEDGE_OPERATION_STATUS",
                **F,
                "acknowledge_operation_status": {"operation_id": {"value": "o"}, "uuid": GOOD_UUID},
            },
            "Expecting 'agent_id' to be present",
        ),
        (
            {
                "type": "ACKNOWLEDGE_OPERATION_STATUS",
                **F,
                "acknowledge_operation_status": {"operation_id": {"value": "o"}, "uuid": "AAAA"},
            },
            "Not a valid UUID",
        ),
    ],
)
def test_scheduler_calls(call: dict[str, object], text: str) -> None:
    """Which parts a scheduler call needs."""
    assert refusal(Api.SCHEDULER, call) == (SCHEDULER + text if text else "")


@pytest.mark.parametrize(
    ("declared", "authenticated", "text"),
    [
        ("p", "q", "Authenticated principal 'q' does not match principal 'p' set in `FrameworkInfo`"),
        ("p", "p", ""),
        (None, "q", ""),
        ("p", None, ""),
    ],
)
def test_principal_of_a_subscription(declared: str | None, authenticated: str | None, text: str) -> None:
    """A declared principal must be the authenticated one."""
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n", "principal": declared}}}
    assert refusal(Api.SCHEDULER, call, authenticated) == (SCHEDULER + text if text else "")


E = {"executor_id": {"value": "e"}, "framework_id": {"value": "f"}}
STATUS = {"task_id": {"value": "t"}, "state": "TASK_RUNNING", "source": "SOURCE_EXECUTOR", "uuid": GOOD_UUID}


def update(**changes: object) -> dict[str, object]:
    """An UPDATE with some fields of its status changed (None: absent)."""
    return {**E, "type": "UPDATE", "update": {"status": {**STATUS, **changes}}}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (E, EXECUTOR + "Expecting 'type' to be present"),
        ({**E, "type": "DANCE"}, EXECUTOR + "Expecting 'type' to be present"),
        ({"type": "HEARTBEAT", "framework_id": {"value": "f"}}, CONVERT + "Missing required fields: executor_id"),
        ({"type": "HEARTBEAT", "executor_id": {"value": "e"}}, CONVERT + "Missing required fields: framework_id"),
        ({**E, "type": "SUBSCRIBE"}, EXECUTOR + "Expecting 'subscribe' to be present"),
        ({**E, "type": "SUBSCRIBE", "subscribe": {}}, ""),
        ({**E, "type": "MESSAGE"}, EXECUTOR + "Expecting 'message' to be present"),
        ({**E, "type": "UPDATE"}, EXECUTOR + "Expecting 'update' to be present"),
        ({**E, "type": "HEARTBEAT"}, ""),
        (update(), ""),
        (update(uuid=None), EXECUTOR + "Expecting 'uuid' to be present"),
        (update(uuid="AAAA"), EXECUTOR + "Not a valid UUID"),
        (
            update(executor_id={"value": "x"}),
            EXECUTOR + "ExecutorID in Call: e does not match ExecutorID in TaskStatus: x",
        ),
        (
            update(source=None),
            EXECUTOR + "Received Call from executor e of framework f with invalid source, expecting 'SOURCE_EXECUTOR'",
        ),
        (
            update(source="SOURCE_MASTER"),
            EXECUTOR + "Received Call from executor e of framework f with invalid source, expecting 'SOURCE_EXECUTOR'",
        ),
        (
            update(state="TASK_STAGING"),
            EXECUTOR + "Received TASK_STAGING from executor e of framework f which is not allowed",
        ),
        (update(check_status={}), EXECUTOR + "CheckStatusInfo must specify 'type'"),
        (update(check_status={"type": "UNKNOWN"}), EXECUTOR + "'UNKNOWN' is not a valid check's status type"),
        (update(check_status={"type": "HTTP"}), EXECUTOR + "Expecting 'http' to be set for HTTP check's status"),
        (update(check_status={"type": "TCP", "tcp": {"succeeded": True}}), ""),
    ],
)
def test_executor_calls(call: dict[str, object], text: str) -> None:
    """Which parts an executor call needs, and what a status may say."""
    assert refusal(Api.EXECUTOR, call) == text


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({}, "Expecting 'type' to be present"),
        ({"type": "GET_STATE"}, ""),
        ({"type": "GET_METRICS"}, "Expecting 'get_metrics' to be present"),
        ({"type": "GET_METRICS", "get_metrics": {}}, ""),
        ({"type": "TEARDOWN"}, "Expecting 'teardown' to be present"),
        ({"type": "DRAIN_AGENT"}, "Expecting 'drain_agent' to be present"),
        (
            {"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": "a"}, "max_grace_period": {"seconds": 600}}},
            "",
        ),
        (
            {
                "type": "GROW_VOLUME",
                "grow_volume": {
                    "volume": {"name": "disk", "type": "SCALAR"},
                    "addition": {"name": "disk", "type": "SCALAR"},
                },
            },
            "Expecting 'agent_id' to be present; only agent default resources are supported right now",
        ),
    ],
)
def test_operator_calls(call: dict[str, object], text: str) -> None:
    """Which parts an operator call needs."""
    assert refusal(Api.OPERATOR, call) == (OPERATOR + text if text else "")


def test_a_duration_must_be_an_object() -> None:
    """The documentation's text form of a grace period is refused."""
    call = {"type": "DRAIN_AGENT", "drain_agent": {"agent_id": {"value": "a"}, "max_grace_period": "10mins"}}
    assert refusal(Api.OPERATOR, call) == CONVERT + "Not expecting a JSON string for field 'max_grace_period'"
