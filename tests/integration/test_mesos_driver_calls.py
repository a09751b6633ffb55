"""Calls over real sockets: what the master's answers mean, and that no call is ever sent twice."""

import gzip
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from mesos_driving import IMPATIENT, QUICK, driving, event_threads, subscribed_to
from scripted_master import PATIENCE_S, Exchange, ScriptedMaster, rescind

from headgate.errors import CallRejected, MasterUnavailable
from headgate.model.call import Accept, Decline, Kill, Launch, Revive, Suppress, Teardown
from headgate.model.event import Disconnected, Offers, Rescinded, Subscribed
from headgate.model.resources import Resources

pytestmark = pytest.mark.integration


def test_a_call() -> None:
    """With the stream's id, under the framework's, exactly typed."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, _):
        driven.driver.send(Kill(task_id="t"))
        call = master.next_call()
        assert (call.method, call.path) == ("POST", "/api/v1/scheduler")
        assert call.headers["mesos-stream-id"] == "stream-1"
        assert call.headers["content-type"] == "application/json"
        assert call.call == {"framework_id": {"value": "F-1"}, "type": "KILL", "kill": {"task_id": {"value": "t"}}}


def test_calls_before_the_subscription() -> None:
    """Refused here, with the reason why there is none."""
    with ScriptedMaster() as master, driving(master, start=False) as driven:
        with pytest.raises(MasterUnavailable, match="not started"):
            driven.driver.send(Revive())
        driven.driver.start()
        request = master.next_subscribe()
        with pytest.raises(MasterUnavailable, match="not subscribed yet"):
            driven.driver.send(Revive())
        request.reply(503, b"No leader elected")
        second = master.next_subscribe()
        with pytest.raises(MasterUnavailable, match="No leader elected"):
            driven.driver.send(Revive())
        second.grant()
        driven.mailbox.wait_for(1, Subscribed)
        driven.driver.send(Revive())
        assert master.next_call().call["type"] == "REVIVE"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, None),
        (202, None),
        (400, CallRejected),
        (401, CallRejected),
        (403, CallRejected),
        (405, CallRejected),
        (415, CallRejected),
        (501, CallRejected),
        (404, MasterUnavailable),
        (429, MasterUnavailable),
        (500, MasterUnavailable),
        (502, MasterUnavailable),
        (503, MasterUnavailable),
    ],
)
def test_what_an_answer_means(status: int, error: type[Exception] | None) -> None:
    """Taken, refused for good, or not now; the stream stays as it is."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        master.answer = lambda exchange: exchange.reply(status, b"Expecting 'kill' to be present")
        if error is None:
            driven.driver.send(Kill(task_id="t"))
        else:
            with pytest.raises(error, match=f"Kill: .* answered {status}: Expecting 'kill'") as raised:
                driven.driver.send(Kill(task_id="t"))
            assert getattr(raised.value, "status", None) in (status, None)
        stream.record(rescind("1"))
        driven.mailbox.wait_for(1, Rescinded)
        assert len(driven.mailbox.events) == 2


def test_a_refusal_that_arrives_packed() -> None:
    """Its text is read."""
    body = gzip.compress(b"Failed to validate scheduler::Call: " + b"x" * 5000)
    with ScriptedMaster() as master, subscribed_to(master) as (driven, _):
        master.answer = lambda exchange: exchange.reply(400, body, Content_Encoding="gzip")
        with pytest.raises(CallRejected, match="Failed to validate scheduler::Call: xxx"):
            driven.driver.send(Revive())


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "Framework is not subscribed"),
        (403, "Framework is not connected via HTTP"),
        (400, "Framework cannot be found"),
        (
            400,
            "The stream ID 'stream-1' included in this request didn't match the stream ID currently associated "
            "with framework ID F-1",
        ),
        (307, ""),
    ],
)
def test_a_master_that_does_not_know_our_subscription(status: int, text: str) -> None:
    """After a takeover, or a change of leader that the stream has not shown: subscribe anew, and calls go again."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, _):
        master.answer = lambda exchange: exchange.reply(status, text.encode(), Location="//127.0.0.1:1/x")
        with pytest.raises(MasterUnavailable, match=text or "307"):
            driven.driver.send(Revive())
        again = master.next_subscribe()
        assert again.call["framework_id"] == {"value": "F-1"}
        again.grant("stream-2")
        events = driven.mailbox.wait_for(2, Subscribed)
        assert [type(event) for event in events] == [Subscribed, Disconnected, Subscribed]
        master.answer = lambda exchange: exchange.reply(202)
        driven.driver.send(Revive())
        calls = [master.next_call(), master.next_call()]
        assert [call.headers["mesos-stream-id"] for call in calls] == ["stream-1", "stream-2"]


@pytest.mark.parametrize("kind", ["dropped", "cut", "silent"])
def test_an_answer_that_does_not_come(kind: str) -> None:
    """The outcome is unknown, so the call is not sent again; the next one goes, on another connection."""

    def answer(exchange: Exchange) -> None:
        if kind == "dropped":
            exchange.drop()
        elif kind == "cut":
            exchange.raw(b"HTTP/1.1 20")
            exchange.drop()

    with ScriptedMaster() as master, subscribed_to(master, timing=IMPATIENT) as (driven, _):
        master.answer = answer
        with pytest.raises(MasterUnavailable):
            driven.driver.send(Kill(task_id="t"))
        master.answer = lambda exchange: exchange.reply(202)
        driven.driver.send(Kill(task_id="u"))
        first, second = master.next_call(), master.next_call()
        assert (first.call["kill"]["task_id"], second.call["kill"]["task_id"]) == ({"value": "t"}, {"value": "u"})
        assert first.connection_number != second.connection_number
        assert master.calls.empty()


def test_one_connection_serves_many_calls() -> None:
    """And it is not the stream's."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        for _ in range(20):
            driven.driver.send(Revive())
        connections = {master.next_call().connection_number for _ in range(20)}
        assert len(connections) == 1
        assert stream.connection_number not in connections


def test_many_threads_may_send() -> None:
    """Every call arrives once and whole, those of one thread in its order."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, _):

        def send(name: int) -> None:
            for n in range(25):
                driven.driver.send(Kill(task_id=f"{name}.{n}"))

        threads = [threading.Thread(target=send, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        arrived = [master.next_call().call["kill"]["task_id"]["value"] for _ in range(150)]
        assert len(set(arrived)) == 150
        for name in range(6):
            assert [each for each in arrived if each.startswith(f"{name}.")] == [f"{name}.{n}" for n in range(25)]


def test_a_call_may_be_sent_from_where_events_arrive() -> None:
    """As a callback would."""
    with ScriptedMaster() as master, driving(master, start=False) as driven:
        seen = driven.mailbox.deliver

        def deliver(event: Any) -> None:
            if isinstance(event, Subscribed):
                driven.driver.send(Suppress())
            seen(event)

        driven.driver._deliver = deliver
        driven.driver.start()
        master.next_subscribe().grant()
        driven.mailbox.wait_for(1, Subscribed)
        assert master.next_call().call["type"] == "SUPPRESS"


def test_a_lost_stream_ends_the_call_under_way() -> None:
    """The thread that sends is not left waiting for a master that is gone, however patient it is."""
    patient = replace(QUICK, answer_s=600.0)
    with ScriptedMaster() as master, subscribed_to(master, timing=patient) as (driven, stream):
        master.answer = lambda exchange: None
        outcome: list[Exception] = []

        def send() -> None:
            try:
                driven.driver.send(Revive())
            except MasterUnavailable as problem:
                outcome.append(problem)

        sender = threading.Thread(target=send)
        sender.start()
        master.next_call()
        stream.drop()
        sender.join(PATIENCE_S)
        assert len(outcome) == 1
        driven.mailbox.wait_for(1, Disconnected)


def offer_with_reservation(offer_id: str) -> dict[str, Any]:
    """One cpu is reserved for us, one is not."""
    cpu = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}, "allocation_info": {"role": "web"}}
    reserved = {**cpu, "role": "web", "reservation": {"principal": "p"}}
    return {
        "id": {"value": offer_id},
        "agent_id": {"value": "S0"},
        "hostname": "h",
        "resources": [{**cpu, "role": "*"}, reserved],
        "allocation_info": {"role": "web"},
    }


def accepted_cpus(master: ScriptedMaster, send: Callable[[Accept], None], *offer_ids: str) -> dict[bool, float]:
    """How many cpus an ACCEPT asks for, of reserved ones and of others."""
    worker = Launch(
        task_id="t", agent_id="S0", name="n", resources=Resources(cpus_m=1500), argv=("a",), data=b"", role="web"
    )
    send(Accept(offer_ids=offer_ids, launches=(worker,)))
    (task,) = master.next_call().call["accept"]["operations"][0]["launch"]["task_infos"]
    asked: dict[bool, float] = {}
    for each in task["resources"] + task["executor"]["resources"]:
        key = "reservation" in each
        asked[key] = round(asked.get(key, 0.0) + each["scalar"]["value"], 3)
    return asked


def test_launches_name_the_reservations_of_their_offers() -> None:
    """As long as the offers stand; an answered or rescinded offer, or one of an earlier stream, is forgotten."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        send = driven.driver.send
        offers = [offer_with_reservation(f"O{n}") for n in range(5)]
        stream.record({"type": "OFFERS", "offers": {"offers": offers}})
        stream.record(rescind("O2"))
        driven.mailbox.wait_for(1, Offers)
        driven.mailbox.wait_for(1, Rescinded)
        assert accepted_cpus(master, send, "O0") == {True: 1.0, False: 0.5}
        assert accepted_cpus(master, send, "O0", "O1") == {True: 1.0, False: 0.5}
        assert accepted_cpus(master, send, "O1", "O2") == {False: 1.5}
        send(Decline(offer_ids=("O3",)))
        master.next_call()
        assert accepted_cpus(master, send, "O3") == {False: 1.5}
        stream.end()
        master.next_subscribe().grant("stream-2")
        driven.mailbox.wait_for(2, Subscribed)
        assert accepted_cpus(master, send, "O4") == {False: 1.5}


def test_teardown_is_the_end() -> None:
    """The stream ends as the master ends it, and nobody subscribes under a dead id."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        driven.driver.send(Teardown())
        stream.end()
        driven.mailbox.wait_for(1, Disconnected)
        with pytest.raises(MasterUnavailable, match="torn down"):
            driven.driver.send(Revive())
        driven.driver.stop(failover=False)
        assert not event_threads()
        assert master.subscribes.empty()
        assert [master.next_call().call["type"]] == ["TEARDOWN"]
        assert master.calls.empty()


def test_stop_for_good_tears_down() -> None:
    """Once, however often it is called."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, _):
        driven.driver.stop(failover=False)
        driven.driver.stop(failover=False)
        assert master.next_call().call["type"] == "TEARDOWN"
        assert master.calls.empty()
        assert not event_threads()


def test_stop_for_failover_does_not() -> None:
    """The next scheduler finds the tasks."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, _):
        driven.driver.stop(failover=True)
        assert master.calls.empty()
        assert isinstance(driven.mailbox.events[-1], Disconnected)
        with pytest.raises(MasterUnavailable, match="stopped"):
            driven.driver.send(Revive())


@pytest.mark.parametrize(("status", "error"), [(503, MasterUnavailable), (400, CallRejected)])
def test_stop_for_good_says_when_it_could_not_tear_down(status: int, error: type[Exception]) -> None:
    """And has stopped all the same."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, _):
        master.answer = lambda exchange: exchange.reply(status)
        with pytest.raises(error):
            driven.driver.stop(failover=False)
        assert not event_threads()
