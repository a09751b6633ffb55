"""Every event of the master's stream becomes the model's, and nothing that a master may send breaks the decoder."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.adapters.mesos_codec_events import EXCERPT_BYTES, Decoded, EventDecoder
from headgate.model.event import (
    AgentLost,
    ExecutorEnded,
    Heartbeat,
    InverseOffers,
    MasterEvent,
    Message,
    OperationUpdate,
    Refused,
    Rescinded,
    Subscribed,
    Undecodable,
    Update,
)
from headgate.model.offer import InverseOffer, Unavailability
from headgate.model.status import OperationStatus, TaskState, TaskStatus

AGENT = "6f1f-S0"
UUID = "kKU/P4gbR/ONRZU0aBaXlg=="


def decoded(record: bytes | str | dict[str, Any]) -> Decoded:
    """What a fresh decoder makes of a record."""
    if isinstance(record, dict):
        record = json.dumps(record)
    raw = record if isinstance(record, bytes) else record.encode()
    return EventDecoder().decode(raw, received_at=7.0, role="*")


def only(record: bytes | str | dict[str, Any]) -> MasterEvent:
    """The one event of a record."""
    (event,) = decoded(record).events
    return event


SUBSCRIBED = {
    "type": "SUBSCRIBED",
    "subscribed": {
        "framework_id": {"value": "6f1f-0004"},
        "heartbeat_interval_seconds": 15.0,
        "master_info": {
            "id": "6f1f",
            "ip": 16777343,
            "port": 5050,
            "pid": "master@127.0.0.1:5050",
            "hostname": "localhost",
            "version": "1.12.0",
            "address": {"hostname": "localhost", "ip": "127.0.0.1", "port": 5050},
            "capabilities": [{"type": "AGENT_UPDATE"}, {"type": "QUOTA_V2"}],
            "domain": {"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "eu-1"}}},
        },
    },
}

CASES: list[tuple[str, dict[str, Any], MasterEvent]] = [
    (
        "subscribed",
        SUBSCRIBED,
        Subscribed(
            framework_id="6f1f-0004",
            master="localhost:5050",
            master_version="1.12.0",
            master_capabilities=frozenset({"AGENT_UPDATE", "QUOTA_V2"}),
            master_domain_region="eu",
        ),
    ),
    (
        "subscribed, a master that says little of itself",
        {
            "type": "SUBSCRIBED",
            "subscribed": {"framework_id": {"value": "F"}, "master_info": {"hostname": "m1", "port": 5055}},
        },
        Subscribed(framework_id="F", master="m1:5055"),
    ),
    (
        "subscribed, IPv6",
        {
            "type": "SUBSCRIBED",
            "subscribed": {"framework_id": {"value": "F"}, "master_info": {"address": {"ip": "::1", "port": 5050}}},
        },
        Subscribed(framework_id="F", master="[::1]:5050"),
    ),
    ("rescind", {"type": "RESCIND", "rescind": {"offer_id": {"value": "O7"}}}, Rescinded(offer_id="O7")),
    (
        "rescind of an inverse offer",
        {"type": "RESCIND_INVERSE_OFFER", "rescind_inverse_offer": {"inverse_offer_id": {"value": "O9"}}},
        Rescinded(offer_id="O9"),
    ),
    (
        "inverse offers",
        {
            "type": "INVERSE_OFFERS",
            "inverse_offers": {
                "inverse_offers": [
                    {
                        "id": {"value": "O2"},
                        "url": {"scheme": "http", "address": {"ip": "127.0.0.1", "port": 5052}, "path": "/slave(1)"},
                        "framework_id": {"value": "F"},
                        "agent_id": {"value": AGENT},
                        "unavailability": {
                            "start": {"nanoseconds": 4000000000000000000},
                            "duration": {"nanoseconds": 3600000000000},
                        },
                    },
                    {
                        "id": {"value": "O3"},
                        "agent_id": {"value": "6f1f-S1"},
                        "unavailability": {"start": {"nanoseconds": 1500000000}},
                    },
                ]
            },
        },
        InverseOffers(
            inverse_offers=(
                InverseOffer(
                    id="O2",
                    agent_id=AGENT,
                    unavailability=Unavailability(start_at=4e9, duration_s=3600.0),
                    received_at=7.0,
                ),
                InverseOffer(id="O3", agent_id="6f1f-S1", unavailability=Unavailability(start_at=1.5), received_at=7.0),
            )
        ),
    ),
    (
        "update of an executor",
        {
            "type": "UPDATE",
            "update": {
                "status": {
                    "task_id": {"value": "t"},
                    "state": "TASK_RUNNING",
                    "source": "SOURCE_EXECUTOR",
                    "message": "up",
                    "data": "aGk=",
                    "healthy": True,
                    "agent_id": {"value": AGENT},
                    "executor_id": {"value": "e"},
                    "timestamp": 1795224230.671759,
                    "uuid": UUID,
                    "container_status": {"container_id": {"value": "c", "parent": {"value": "p"}}},
                }
            },
        },
        Update(
            status=TaskStatus(
                task_id="t",
                state=TaskState.RUNNING,
                agent_id=AGENT,
                executor_id="e",
                source="EXECUTOR",
                message="up",
                data=b"hi",
                healthy=True,
                timestamp=1795224230.671759,
                uuid=UUID,
            )
        ),
    ),
    (
        "update of the master",
        {
            "type": "UPDATE",
            "update": {
                "status": {
                    "task_id": {"value": "t"},
                    "state": "TASK_UNREACHABLE",
                    "source": "SOURCE_MASTER",
                    "reason": "REASON_AGENT_REMOVED",
                    "unreachable_time": {"nanoseconds": 1795224230671759104},
                }
            },
        },
        Update(
            status=TaskStatus(task_id="t", state=TaskState.UNREACHABLE, source="MASTER", reason="AGENT_REMOVED"),
        ),
    ),
    (
        "a reason and a source of the future",
        {
            "type": "UPDATE",
            "update": {
                "status": {"task_id": {"value": "t"}, "state": "TASK_LOST", "source": "MOON", "reason": "REASON_NEW"}
            },
        },
        Update(status=TaskStatus(task_id="t", state=TaskState.LOST, source="MOON", reason="NEW")),
    ),
    (
        "a state of the future, to be acknowledged all the same",
        {
            "type": "UPDATE",
            "update": {
                "status": {"task_id": {"value": "t"}, "state": "TASK_PARKED", "message": "by the lake", "uuid": UUID}
            },
        },
        Update(
            status=TaskStatus(
                task_id="t",
                state=TaskState.UNKNOWN,
                message="state TASK_PARKED is not known to this build: by the lake",
                uuid=UUID,
            )
        ),
    ),
    (
        "operation status of an agent",
        {
            "type": "UPDATE_OPERATION_STATUS",
            "update_operation_status": {
                "status": {
                    "operation_id": {"value": "op"},
                    "state": "OPERATION_FINISHED",
                    "uuid": {"value": UUID},
                    "agent_id": {"value": AGENT},
                    "resource_provider_id": {"value": "rp"},
                }
            },
        },
        OperationUpdate(
            status=OperationStatus(
                operation_id="op",
                state="OPERATION_FINISHED",
                agent_id=AGENT,
                resource_provider_id="rp",
                uuid=UUID,
            )
        ),
    ),
    (
        "operation status of the master",
        {
            "type": "UPDATE_OPERATION_STATUS",
            "update_operation_status": {
                "status": {"operation_id": {"value": "op"}, "state": "OPERATION_ERROR", "message": "no"}
            },
        },
        OperationUpdate(status=OperationStatus(operation_id="op", state="OPERATION_ERROR", message="no")),
    ),
    (
        "message",
        {
            "type": "MESSAGE",
            "message": {"agent_id": {"value": AGENT}, "executor_id": {"value": "e"}, "data": "AP8="},
        },
        Message(agent_id=AGENT, executor_id="e", data=b"\x00\xff"),
    ),
    (
        "message of nothing",
        {"type": "MESSAGE", "message": {"agent_id": {"value": AGENT}, "executor_id": {"value": "e"}}},
        Message(agent_id=AGENT, executor_id="e", data=b""),
    ),
    ("agent lost", {"type": "FAILURE", "failure": {"agent_id": {"value": AGENT}}}, AgentLost(agent_id=AGENT)),
    (
        "executor ended",
        {"type": "FAILURE", "failure": {"agent_id": {"value": AGENT}, "executor_id": {"value": "e"}, "status": 256}},
        ExecutorEnded(agent_id=AGENT, executor_id="e", status=256),
    ),
    (
        "executor ended, nobody knows how",
        {"type": "FAILURE", "failure": {"agent_id": {"value": AGENT}, "executor_id": {"value": "e"}}},
        ExecutorEnded(agent_id=AGENT, executor_id="e", status=-1),
    ),
    (
        "error",
        {"type": "ERROR", "error": {"message": "Framework failed over"}},
        Refused(message="Framework failed over"),
    ),
]


@pytest.mark.parametrize(("record", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_event(record: dict[str, Any], expected: MasterEvent) -> None:
    """One record, one event, nothing lost."""
    assert only(record) == expected


def test_the_order_of_fields_means_nothing() -> None:
    """`type` may come last."""
    assert only('{"rescind":{"offer_id":{"value":"O7"}},"type":"RESCIND"}') == Rescinded(offer_id="O7")


def test_heartbeat_interval_comes_with_the_subscription() -> None:
    """The driver learns how long silence may last."""
    assert decoded(SUBSCRIBED).heartbeat_s == 15.0
    assert decoded({"type": "HEARTBEAT"}) == Decoded(events=(Heartbeat(),))


@pytest.mark.parametrize("state", list(TaskState))
def test_every_state(state: TaskState) -> None:
    """All states of the API have a name here."""
    event = only({"type": "UPDATE", "update": {"status": {"task_id": {"value": "t"}, "state": state.value}}})
    assert event == Update(status=TaskStatus(task_id="t", state=state))


def test_event_types_and_fields_of_the_future_are_passed_over() -> None:
    """What a newer master adds is no error."""
    assert decoded({"type": "WEATHER", "weather": {"sun": True}}) == Decoded()
    assert only({"type": "RESCIND", "rescind": {"offer_id": {"value": "O", "x": 1}, "y": []}, "z": None}) == Rescinded(
        offer_id="O"
    )


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (b"", "truncated"),
        (b"not json", "malformed"),
        (b"[]", "Expected `object`"),
        (b"{}", "type"),
        (b'{"type":"UPDATE"}', "UPDATE event without `update`"),
        (b'{"type":"OFFERS"}', "OFFERS event without `offers`"),
        (b'{"type":"SUBSCRIBED"}', "SUBSCRIBED event without `subscribed`"),
        (b'{"type":"UPDATE","update":{"status":{"state":"TASK_LOST"}}}', "task_id"),
        (b'{"type":"MESSAGE","message":{"agent_id":{"value":"a"},"executor_id":{"value":"e"},"data":"%"}}', "base64"),
        (b'{"type":"OFFERS","offers":{"offers":"many"}}', "array"),
    ],
)
def test_unreadable_records_say_what_is_wrong(record: bytes, problem: str) -> None:
    """With the record's beginning, for whoever reads the log."""
    event = only(record)
    assert isinstance(event, Undecodable)
    assert problem in event.problem
    assert event.excerpt == record.decode()


def test_excerpts_are_short() -> None:
    """A record of megabytes does not fill the log."""
    event = only(b'"' + b"x" * 10_000)
    assert isinstance(event, Undecodable)
    assert len(event.excerpt) == EXCERPT_BYTES


def test_a_text_that_is_no_utf8_does_not_cost_us_the_update() -> None:
    """Executors write what they like into messages, and Mesos hands it on."""
    event = only(
        b'{"type":"UPDATE","update":{"status":{"task_id":{"value":"t"},"state":"TASK_FAILED","message":"caf\xe9"}}}'
    )
    assert event == Update(status=TaskStatus(task_id="t", state=TaskState.FAILED, message="caf�"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _replaced(value: Any, path: list[int], by: Any) -> Any:
    """The same JSON with one place of it, found by going down along `path`, replaced."""
    if not path or not isinstance(value, (dict, list)) or not value:
        return by
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy = value.copy()
    copy[key] = _replaced(value[key], path[1:], by)
    return copy


@given(st.sampled_from([case[1] for case in CASES]), st.lists(st.integers(0, 9), max_size=6), json_values)
def test_events_with_anything_anywhere_never_raise(record: dict[str, Any], path: list[int], by: Any) -> None:
    """A wrong value in any place makes a readable or an undecodable event, or one to pass over."""
    assert len(decoded(json.dumps(_replaced(record, path, by))).events) <= 1


@given(st.sampled_from([case[1] for case in CASES]), st.data())
def test_damaged_bytes_never_raise(record: dict[str, Any], data: st.DataObject) -> None:
    """Nor does a flipped or a missing byte."""
    raw = bytearray(json.dumps(record).encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    assert len(decoded(bytes(raw)).events) <= 1
    assert len(decoded(bytes(raw[: data.draw(st.integers(0, len(raw)))])).events) <= 1
