"""The driver's pure parts: durations, environment, JSON, and the ledger of what is not acknowledged."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.adapters.executor_codec import Calls, UnreadableEvent, decode_event
from millstream.adapters.executor_environment import BadEnvironment, read_environment
from millstream.core.executor_api import (
    Aborted,
    ExecutorEvent,
    Kill,
    LaunchGroup,
    Shutdown,
    StatusUpdate,
    Task,
    TaskId,
    TaskState,
    UpdateId,
)
from millstream.core.mesos_duration import parse_duration
from millstream.core.unacknowledged import Unacknowledged

NEEDED = {"MESOS_FRAMEWORK_ID": "f", "MESOS_EXECUTOR_ID": "e", "MESOS_AGENT_ENDPOINT": "10.0.0.1:5051"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0ns", 0.0),
        ("1500us", 0.0015),
        ("500ms", 0.5),
        ("2500ms", 2.5),
        ("2.5secs", 2.5),
        ("15mins", 900.0),
        ("1hrs", 3600.0),
        ("2days", 172800.0),
        ("1weeks", 604800.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """Every unit, whole and with a fraction."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "secs", "5 secs", "5s", "5Secs", "nansecs", "infsecs", "five secs", "1h30m"])
def test_what_is_no_duration(text: str) -> None:
    """The message shows the text and what is expected."""
    with pytest.raises(ValueError, match="a number and one of ns us ms secs mins hrs days weeks"):
        parse_duration(text)


def test_environment_without_checkpointing() -> None:
    """A lost agent is not waited for, whatever other variables say; defaults are the agent's."""
    environment = read_environment({**NEEDED, "MESOS_CHECKPOINT": "0", "MESOS_RECOVERY_TIMEOUT": "15mins"})
    assert (environment.host, environment.port) == ("10.0.0.1", 5051)
    assert not environment.checkpoint
    assert environment.recovery_timeout_s == 0.0
    assert environment.shutdown_grace_s == 5.0
    assert environment.token is None


def test_environment_of_a_checkpointing_framework() -> None:
    """All variables set."""
    environment = read_environment(
        {
            **NEEDED,
            "MESOS_AGENT_ENDPOINT": "[::1]:5051",
            "MESOS_CHECKPOINT": "1",
            "MESOS_RECOVERY_TIMEOUT": "10mins",
            "MESOS_SUBSCRIPTION_BACKOFF_MAX": "500ms",
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "2500ms",
            "MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "a.b.c",
            "MESOS_SANDBOX": "/mnt/mesos/sandbox",
            "MESOS_DIRECTORY": "/var/lib/mesos/x",
        }
    )
    assert environment.host == "::1"
    assert environment.recovery_timeout_s == 600.0
    assert environment.backoff_max_s == 0.5
    assert environment.shutdown_grace_s == 2.5
    assert environment.sandbox == "/mnt/mesos/sandbox"
    assert "a.b.c" not in repr(environment)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"MESOS_FRAMEWORK_ID": ""}, "MESOS_FRAMEWORK_ID is not set"),
        ({"MESOS_EXECUTOR_ID": ""}, "MESOS_EXECUTOR_ID is not set"),
        ({"MESOS_AGENT_ENDPOINT": "5051"}, "MESOS_AGENT_ENDPOINT='5051' is no address"),
        ({"MESOS_AGENT_ENDPOINT": "host:0"}, "is no address"),
        ({"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5 s"}, "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD: '5 s'"),
    ],
)
def test_bad_environment_names_the_variable(change: dict[str, str], message: str) -> None:
    """Where, what, and what was expected."""
    with pytest.raises(BadEnvironment, match=message.replace("(", r"\(")):
        read_environment({**NEEDED, **change})


GROUP = {"task_id": {"value": "t2"}}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"type": "LAUNCH_GROUP", "launch_group": {"task_group": {"tasks": [GROUP]}}},
            LaunchGroup(tasks=(Task(task_id=TaskId("t2"), info=GROUP),)),
        ),
        ({"type": "KILL", "kill": {"task_id": {"value": "t"}}}, Kill(task_id=TaskId("t"))),
        ({"type": "SHUTDOWN"}, Shutdown(grace_s=5.0, reason="the agent asked for it")),
        ({"type": "ERROR", "error": {"message": "gone"}}, Aborted(message="gone")),
        ({"type": "HEARTBEAT"}, None),
    ],
)
def test_events(event: dict[str, Any], expected: ExecutorEvent | None) -> None:
    """Kinds that the agent of the integration tests does not send."""
    assert decode_event(json.dumps(event).encode(), shutdown_grace_s=5.0) == expected


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.sampled_from(["KILL", "LAUNCH", "SUBSCRIBED", "%"]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["type", "kill", "launch", "task", "task_id"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_json_is_an_event_or_unreadable(value: object) -> None:
    """No other error escapes, whatever the agent sends."""
    with suppress(UnreadableEvent):
        event = decode_event(json.dumps(value).encode(), shutdown_grace_s=1.0)
        assert event is None or type(event).__module__.endswith("executor_api")


def test_status_carries_only_what_is_set() -> None:
    """Optional fields of an update appear when given; the source and a base64 UUID always."""
    update = StatusUpdate(
        task_id=TaskId("t"),
        state=TaskState.FAILED,
        uuid=UpdateId(bytes(range(16))),
        timestamp=12.5,
        reason="REASON_TASK_INVALID",
        data=b"\x00\x01",
        healthy=False,
    )
    status = json.loads(Calls(framework_id="f", executor_id="e").update(update))["update"]["status"]
    assert status == {
        "task_id": {"value": "t"},
        "state": "TASK_FAILED",
        "source": "SOURCE_EXECUTOR",
        "uuid": base64.b64encode(bytes(range(16))).decode(),
        "timestamp": 12.5,
        "reason": "REASON_TASK_INVALID",
        "data": "AAE=",
        "healthy": False,
    }


ids = st.sampled_from([UpdateId(bytes([n]) * 16) for n in range(6)])
tasks = st.sampled_from([TaskId(name) for name in "ab"])
happenings = st.lists(st.tuples(st.sampled_from(["launched", "updated", "acknowledged"]), tasks, ids), max_size=30)


@given(happenings)
def test_ledger_holds_what_was_not_confirmed(happened: list[tuple[str, TaskId, UpdateId]]) -> None:
    """An update is listed from when it was made till it is acknowledged, once; a task till any update of it is."""
    ledger = Unacknowledged()
    updates: list[UpdateId] = []
    launched: list[TaskId] = []
    for what, task_id, uuid in happened:
        if what == "launched":
            ledger.launched(Task(task_id=task_id))
            launched = launched if task_id in launched else [*launched, task_id]
        elif what == "updated":
            ledger.updated(StatusUpdate(task_id=task_id, state=TaskState.RUNNING, uuid=uuid, timestamp=0.0))
            updates = updates if uuid in updates else [*updates, uuid]
        else:
            ledger.acknowledged(task_id, uuid)
            if uuid in updates:
                launched = [task for task in launched if task != task_id]
            updates = [other for other in updates if other != uuid]
        assert [update.uuid for update in ledger.updates] == updates
        assert [task.task_id for task in ledger.tasks] == launched
