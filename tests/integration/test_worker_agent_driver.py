"""The executor driver against an agent on a real socket: framing, loss, refusal, resending."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from queue import SimpleQueue
from random import Random
from typing import Any, TypeVar

import pytest
from scripted_agent import PATIENCE_S, SUBSCRIBED, ScriptedAgent, scripted_agent

from millstream.adapters.clock import SystemClock
from millstream.adapters.executor_environment import read_environment
from millstream.adapters.mesos_agent import ExecutorDriver
from millstream.contract.recordio import encode
from millstream.core.executor_api import (
    Aborted,
    Acknowledged,
    Disconnected,
    ExecutorEvent,
    Kill,
    Launch,
    Message,
    Shutdown,
    Subscribed,
    Task,
    TaskId,
    TaskState,
)

pytestmark = pytest.mark.integration

E = TypeVar("E")
TASK = TaskId("t1")
LAUNCH: dict[str, Any] = {
    "type": "LAUNCH",
    "launch": {"task": {"task_id": {"value": "t1"}, "name": "größer", "data": base64.b64encode(b"spec").decode()}},
}


class Bench:
    """An agent, a driver at it, and the driver's mailbox."""

    def __init__(self, agent: ScriptedAgent, endpoint: str, **extra: str) -> None:
        self.agent = agent
        self.mailbox: SimpleQueue[ExecutorEvent] = SimpleQueue()
        variables = {
            "MESOS_FRAMEWORK_ID": "f1",
            "MESOS_EXECUTOR_ID": "e1",
            "MESOS_AGENT_ENDPOINT": endpoint,
            "MESOS_SUBSCRIPTION_BACKOFF_MAX": "20ms",
            **extra,
        }
        self.driver = ExecutorDriver(
            read_environment(variables), deliver=self.mailbox.put, clock=SystemClock(), randomness=Random(1)
        )

    def until(self, kind: type[E]) -> E:
        """The next event of a kind; others are passed over."""
        while True:
            event = self.mailbox.get(timeout=PATIENCE_S)
            if isinstance(event, kind):
                return event


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A framework with checkpointing."""
    with scripted_agent() as (agent, endpoint):
        bench = Bench(agent, endpoint, MESOS_CHECKPOINT="1", MESOS_RECOVERY_TIMEOUT="1hrs")
        try:
            yield bench
        finally:
            bench.driver.stop()


@pytest.fixture
def forgetful() -> Iterator[Bench]:
    """A framework without checkpointing."""
    with scripted_agent() as (agent, endpoint):
        bench = Bench(agent, endpoint, MESOS_CHECKPOINT="0", MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD="2500ms")
        try:
            yield bench
        finally:
            bench.driver.stop()


def test_first_subscription_lists_nothing_and_names_the_ids(bench: Bench) -> None:
    """SUBSCRIBE carries both ids and an empty ledger."""
    bench.driver.start()
    subscribed = bench.until(Subscribed)
    assert subscribed.agent_id == "agent-1"
    assert subscribed.capabilities == {"TASK_KILLING_STATE"}
    assert bench.agent.calls[0] == {
        "framework_id": {"value": "f1"},
        "executor_id": {"value": "e1"},
        "type": "SUBSCRIBE",
        "subscribe": {"unacknowledged_tasks": [], "unacknowledged_updates": []},
    }
    assert "Authorization" not in bench.agent.stream().headers


def test_records_may_be_cut_anywhere(bench: Bench) -> None:
    """Every byte a chunk of its own, then two records in one chunk."""
    bench.driver.start()
    for byte in encode(json.dumps(LAUNCH, ensure_ascii=False).encode()):
        bench.agent.stream().send_chunk(bytes([byte]))
    heartbeat = encode(b'{"type":"HEARTBEAT"}')
    future = encode(b'{"type":"SOMETHING_NEWER","something_newer":{}}')
    kill = encode(
        b'{"type":"KILL","kill":{"task_id":{"value":"t1"},"kill_policy":{"grace_period":{"nanoseconds":1500000000}}}}'
    )
    bench.agent.stream().send_chunk(heartbeat + future + kill + encode(b'{"type":"MESSAGE","message":{"data":"aGk="}}'))
    assert [bench.mailbox.get(timeout=PATIENCE_S) for _ in range(4)][1:] == [
        Launch(task=Task(task_id=TASK, name="größer", data=b"spec", info=LAUNCH["launch"]["task"])),
        Kill(task_id=TASK, grace_s=1.5),
        Message(data=b"hi"),
    ]


def test_update_is_acknowledged_and_forgotten(bench: Bench) -> None:
    """An update goes out once, complete; its acknowledgement settles the driver."""
    bench.driver.start()
    bench.until(Subscribed)
    uuid = bench.driver.update(TASK, TaskState.RUNNING, message="here")
    assert bench.until(Acknowledged) == Acknowledged(task_id=TASK, uuid=uuid)
    assert bench.driver.settled()
    [call] = bench.agent.of_type("UPDATE")
    status = call["update"]["status"]
    assert status.pop("timestamp") > 1e9
    assert status == {
        "task_id": {"value": "t1"},
        "state": "TASK_RUNNING",
        "source": "SOURCE_EXECUTOR",
        "uuid": base64.b64encode(uuid).decode(),
        "message": "here",
    }


def test_what_is_not_acknowledged_is_listed_after_a_lost_connection(bench: Bench) -> None:
    """Tasks and updates ride with the next SUBSCRIBE, in order and unchanged, and are not posted again besides."""
    bench.agent.acknowledges = False
    bench.driver.start()
    bench.agent.stream().send(LAUNCH)
    bench.until(Launch)
    bench.driver.update(TASK, TaskState.STARTING)
    bench.driver.update(TASK, TaskState.RUNNING)
    bench.agent.wait_for(lambda: len(bench.agent.of_type("UPDATE")) == 2)
    bench.agent.acknowledges = True
    bench.agent.stream().drop()
    bench.until(Disconnected)
    bench.until(Subscribed)
    listed = bench.agent.stream(1).subscribe["subscribe"]
    assert listed["unacknowledged_tasks"] == [LAUNCH["launch"]["task"]]
    assert [entry["status"] for entry in listed["unacknowledged_updates"]] == [
        call["update"]["status"] for call in bench.agent.of_type("UPDATE")
    ]
    bench.until(Acknowledged)
    bench.until(Acknowledged)
    assert bench.driver.settled()
    bench.driver.stop()
    assert len(bench.agent.of_type("UPDATE")) == 2


def test_acknowledged_task_is_not_listed_again(bench: Bench) -> None:
    """One acknowledged update is enough for the task."""
    bench.driver.start()
    bench.agent.stream().send(LAUNCH)
    bench.until(Launch)
    bench.driver.update(TASK, TaskState.STARTING)
    bench.until(Acknowledged)
    bench.agent.stream().end()
    listed = bench.agent.stream(1).subscribe["subscribe"]
    assert listed == {"unacknowledged_tasks": [], "unacknowledged_updates": []}


def test_update_made_while_disconnected_arrives(bench: Bench) -> None:
    """The agent is away when the update is made: it comes with the subscription, once, or right behind it."""
    bench.driver.start()
    bench.until(Subscribed)
    bench.agent.refuse_next.extend([("SUBSCRIBE", 503, "Agent has not finished recovery")] * 3)
    bench.agent.stream().drop()
    bench.until(Disconnected)
    uuid = bench.driver.update(TASK, TaskState.RUNNING)
    bench.driver.send(b"lost")
    assert bench.until(Acknowledged).uuid == uuid
    assert bench.agent.messages() == []


def test_update_between_subscribe_and_its_answer_is_posted(bench: Bench) -> None:
    """The ledger was read before the update was made; it must not wait for the subscription after this one."""
    bench.agent.greets = False
    bench.driver.start()
    stream = bench.agent.stream()
    uuid = bench.driver.update(TASK, TaskState.RUNNING)
    stream.send(SUBSCRIBED)
    assert bench.until(Acknowledged).uuid == uuid
    assert stream.subscribe["subscribe"]["unacknowledged_updates"] == []


def test_agent_that_is_not_ready_is_asked_again(forgetful: Bench) -> None:
    """503 and 404 mean later, with and without checkpointing."""
    forgetful.agent.refuse_next.extend([("SUBSCRIBE", 503, "recovering"), ("SUBSCRIBE", 404, "no route yet")])
    forgetful.driver.start()
    forgetful.until(Subscribed)


@pytest.mark.parametrize("status", [503, 404, 0])
def test_call_that_does_not_arrive_leads_to_a_new_subscription(bench: Bench, status: int) -> None:
    """An agent that is not ready, or no answer at all, for an update: subscribe again and list it."""
    bench.driver.start()
    bench.until(Subscribed)
    bench.agent.refuse_next.append(("UPDATE", status, "recovering"))
    uuid = bench.driver.update(TASK, TaskState.RUNNING)
    assert bench.until(Acknowledged).uuid == uuid
    assert len(bench.agent.stream(1).subscribe["subscribe"]["unacknowledged_updates"]) == 1


def test_no_checkpoint_means_shutdown_with_the_agent(forgetful: Bench) -> None:
    """Without checkpointing a lost agent is the end, at once."""
    forgetful.driver.start()
    forgetful.until(Subscribed)
    forgetful.agent.stream().drop()
    assert forgetful.until(Shutdown).grace_s == 2.5
    assert len(forgetful.agent.streams) == 1


def test_recovery_timeout_ends_the_wait() -> None:
    """Nobody at the agent's address: after the timeout, shutdown."""
    with scripted_agent() as (agent, endpoint):
        pass
    bench = Bench(agent, endpoint, MESOS_CHECKPOINT="1", MESOS_RECOVERY_TIMEOUT="100ms")
    bench.driver.start()
    try:
        assert "lost the agent" in bench.until(Shutdown).reason
    finally:
        bench.driver.stop()


def test_rejected_subscription_aborts(bench: Bench) -> None:
    """A 4xx other than 404 will not get better."""
    bench.agent.refuse_next.append(("SUBSCRIBE", 403, "Executor is not authorized"))
    bench.driver.start()
    assert "403 Executor is not authorized" in bench.until(Aborted).message


def test_rejected_update_aborts(bench: Bench) -> None:
    """An update the agent calls invalid can never be acknowledged."""
    bench.driver.start()
    bench.until(Subscribed)
    bench.agent.refuse_next.append(("UPDATE", 400, "Failed to validate"))
    bench.driver.update(TASK, TaskState.RUNNING)
    assert "UPDATE TASK_RUNNING: 400 Failed to validate" in bench.until(Aborted).message


@pytest.mark.parametrize("garbage", [b"what?\n", encode(b"[]"), encode(b'{"type":"LAUNCH","launch":{}}')])
def test_garbage_is_a_lost_stream(bench: Bench, garbage: bytes) -> None:
    """Broken framing and unreadable events: subscribe again."""
    bench.driver.start()
    bench.until(Subscribed)
    bench.agent.stream().send_chunk(garbage)
    bench.until(Disconnected)
    bench.until(Subscribed)


@pytest.mark.parametrize(
    ("event", "kind"),
    [({"type": "SHUTDOWN"}, Shutdown), ({"type": "ERROR", "error": {"message": "no such executor"}}, Aborted)],
)
def test_the_last_events_end_it(bench: Bench, event: dict[str, Any], kind: type[ExecutorEvent]) -> None:
    """SHUTDOWN and ERROR are not followed by another subscription; updates still go out while the stream lives."""
    bench.driver.start()
    bench.agent.stream().send(event)
    bench.until(kind)
    bench.driver.update(TASK, TaskState.KILLED)
    bench.until(Acknowledged)
    bench.agent.stream().end()
    bench.driver.stop()
    assert bench.mailbox.empty()
    assert len(bench.agent.streams) == 1


def test_token_is_sent() -> None:
    """Executor authentication: the JWT goes with the subscription and with calls."""
    with scripted_agent() as (agent, endpoint):
        bench = Bench(agent, endpoint, MESOS_EXECUTOR_AUTHENTICATION_TOKEN="secret.jwt.text")
        bench.driver.start()
        bench.until(Subscribed)
        bench.driver.update(TASK, TaskState.RUNNING)
        bench.until(Acknowledged)
        bench.driver.stop()
        assert [headers["Authorization"] for headers in agent.headers] == ["Bearer secret.jwt.text"] * 2


def test_stop_sends_what_is_queued(bench: Bench) -> None:
    """Updates and messages handed over before `stop` are posted before it returns, in order."""
    bench.driver.start()
    bench.until(Subscribed)
    for number in range(20):
        bench.driver.send(b"%d" % number)
    bench.driver.update(TASK, TaskState.FINISHED)
    bench.driver.stop()
    assert bench.agent.messages() == [b"%d" % number for number in range(20)]
    assert bench.agent.states() == ["TASK_FINISHED"]
