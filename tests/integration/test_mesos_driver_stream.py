"""The event stream over real sockets: however it is cut, delayed, broken or silent."""

import json
import random
import threading
from dataclasses import replace

import pytest
from mesos_driving import IMPATIENT, QUICK, driving, subscribed_to
from scripted_master import PATIENCE_S, Mailbox, ScriptedMaster, framed, rescind, subscribed

from headgate.adapters.mesos_link import reconnect_delay_s
from headgate.adapters.mesos_subscription import Timing
from headgate.errors import MasterUnavailable
from headgate.model.call import Framework, Revive, Suppress, UpdateFramework
from headgate.model.event import Disconnected, MasterEvent, Offers, Refused, Rescinded, Subscribed, Undecodable

pytestmark = pytest.mark.integration


def names(events: list[MasterEvent]) -> list[str]:
    """What kinds of events came, rescinded offers by their ids."""
    return [event.offer_id if isinstance(event, Rescinded) else type(event).__name__ for event in events]


def test_subscribe_request() -> None:
    """Sent as the API wants it: exact content type, no stream id, nothing compressed."""
    with ScriptedMaster() as master, driving(master, framework_id="F-1") as driven:
        request = master.next_subscribe()
        assert (request.method, request.path) == ("POST", "/api/v1/scheduler")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["accept"] == "application/json"
        assert request.headers["accept-encoding"] == "identity"
        assert "mesos-stream-id" not in request.headers
        assert "authorization" not in request.headers
        assert request.call["framework_id"] == {"value": "F-1"}
        assert request.call["subscribe"]["framework_info"]["id"] == {"value": "F-1"}
        request.grant()
        assert driven.mailbox.wait_for(1, Subscribed) == [Subscribed(framework_id="F-1", master="m:5050")]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
def test_chunks_say_nothing_about_records(size: int) -> None:
    """Split headers, split bodies, split characters, many records in one chunk: the same events."""
    records = [subscribed(), {"type": "HEARTBEAT"}, rescind("Ö1"), rescind("☃2"), {"type": "NEW"}, rescind("3")]
    whole = b"".join(framed(json.dumps(record, ensure_ascii=False).encode()) for record in records)
    with ScriptedMaster() as master, driving(master) as driven:
        stream = master.next_subscribe()
        stream.begin()
        for at in range(0, len(whole), size):
            stream.chunk(whole[at : at + size])
        events = driven.mailbox.wait_for(3, Rescinded)
        assert names(events) == ["Subscribed", "Ö1", "☃2", "3"]


def test_a_gateway_may_end_the_stream_with_the_connection() -> None:
    """No chunks, just bytes until the end, as HTTP/1.0 has it; events come at once all the same."""
    with ScriptedMaster() as master, driving(master) as driven:
        stream = master.next_subscribe()
        stream.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\nMesos-Stream-Id: s\r\n\r\n" + framed(subscribed()))
        driven.mailbox.wait_for(1, Subscribed)
        stream.raw(framed(rescind("1")))
        driven.mailbox.wait_for(1, Rescinded)
        stream.drop()
        events = driven.mailbox.wait_for(1, Disconnected)
        assert names(events) == ["Subscribed", "1", "Disconnected"]


def test_after_the_end_of_a_stream_it_subscribes_again_under_its_id() -> None:
    """One Disconnected for each Subscribed, before the next."""
    with ScriptedMaster() as master, driving(master) as driven:
        first = master.next_subscribe()
        assert "framework_id" not in first.call
        first.grant()
        first.end()
        again = master.next_subscribe()
        assert again.call["framework_id"] == {"value": "F-1"}
        again.grant("stream-2")
        events = driven.mailbox.wait_for(2, Subscribed)
        assert names(events) == ["Subscribed", "Disconnected", "Subscribed"]
        assert events[1] == Disconnected(reason="the master ended the stream")


def test_a_stream_dropped_within_a_record() -> None:
    """The piece is no event, and the loss is told once."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        stream.record(rescind("1"))
        stream.chunk(framed(rescind("2"))[:-3])
        stream.drop()
        master.next_subscribe().grant()
        events = driven.mailbox.wait_for(2, Subscribed)
        assert names(events) == ["Subscribed", "1", "Disconnected", "Subscribed"]


def test_a_stream_dropped_within_a_chunk() -> None:
    """Even if whole records were in it before the break."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        content = framed(rescind("1"))
        stream.raw(b"%x\r\n%b" % (len(content) + 10, content))
        driven.mailbox.wait_for(1, Rescinded)
        stream.drop()
        events = driven.mailbox.wait_for(1, Disconnected)
        assert names(events) == ["Subscribed", "1", "Disconnected"]
        assert events[2] == Disconnected(reason="stream broken: cut off")


@pytest.mark.parametrize("garbage", [b"many\n{}", b"-1\n{}", b"99999999999999\n{}", b"\n{}", b"<html>no</html>"])
def test_garbage_for_a_record_length(garbage: bytes) -> None:
    """Nothing behind it can be trusted, so it subscribes anew."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        stream.record(rescind("1"))
        stream.chunk(garbage)
        stream.connection.settimeout(PATIENCE_S)
        assert stream.connection.recv(1) == b"", "the driver has let go of the old stream"
        master.next_subscribe().grant()
        events = driven.mailbox.wait_for(2, Subscribed)
        assert names(events) == ["Subscribed", "1", "Disconnected", "Subscribed"]
        assert "RecordIO" in events[2].reason


def test_a_record_that_cannot_be_read_does_not_end_the_stream() -> None:
    """It is told of, and the next is read."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        stream.record(b'{"type":"UPDATE","update":{}}')
        stream.record(rescind("1"))
        events = driven.mailbox.wait_for(1, Rescinded)
        assert names(events) == ["Subscribed", "Undecodable", "1"]
        assert isinstance(events[1], Undecodable)


def test_a_fault_of_our_own_does_not_end_it_for_good() -> None:
    """The stream is given up, told as lost, and begun anew."""

    class Faulty(Mailbox):
        def deliver(self, event: MasterEvent) -> None:
            if isinstance(event, Rescinded) and event.offer_id == "1":
                raise RuntimeError("a mistake")
            super().deliver(event)

    with ScriptedMaster() as master, driving(master, mailbox=Faulty()) as driven:
        stream = master.next_subscribe()
        stream.grant()
        stream.record(rescind("1"))
        again = master.next_subscribe()
        again.grant()
        again.record(rescind("2"))
        events = driven.mailbox.wait_for(1, Rescinded)
        assert names(events) == ["Subscribed", "Disconnected", "Subscribed", "2"]


def test_a_silent_stream_is_a_dead_stream() -> None:
    """The connection stands, nothing comes: three heartbeats of a twentieth second are missed."""
    with ScriptedMaster() as master, driving(master) as driven:
        master.next_subscribe().grant(heartbeat_s=0.05)
        master.next_subscribe().grant(heartbeat_s=15.0)
        events = driven.mailbox.wait_for(2, Subscribed)
        assert names(events) == ["Subscribed", "Disconnected", "Subscribed"]
        assert events[1] == Disconnected(reason="stream broken: silent for too long")


def test_heartbeats_keep_a_stream_alive() -> None:
    """Late ones, too, and for longer than the silence that would end it: ten of a fifth of a second."""
    with ScriptedMaster() as master, driving(master, timing=replace(QUICK, heartbeats_missed_max=10)) as driven:
        stream = master.next_subscribe()
        stream.grant(heartbeat_s=0.2)
        pause = threading.Event()
        for _ in range(5):
            pause.wait(0.5)
            stream.record({"type": "HEARTBEAT"})
        stream.record(rescind("1"))
        assert names(driven.mailbox.wait_for(1, Rescinded)) == ["Subscribed", "1"]
        assert driven.mailbox.heartbeats >= 5, "the core is told that the master was heard"


def test_a_master_that_never_answers() -> None:
    """It is left, without any event, for there was no subscription."""
    with ScriptedMaster() as master, driving(master, timing=IMPATIENT) as driven:
        master.next_subscribe()
        master.next_subscribe().grant()
        assert names(driven.mailbox.wait_for(1, Subscribed)) == ["Subscribed"]


def test_an_answer_without_stream_id() -> None:
    """Whatever that is, it is no master; it is tried again."""
    with ScriptedMaster() as master, driving(master) as driven:
        master.next_subscribe().reply(200, b"welcome to nginx")
        master.next_subscribe().grant()
        assert names(driven.mailbox.wait_for(1, Subscribed)) == ["Subscribed"]


def test_error_event_ends_it_for_good() -> None:
    """As when another scheduler has taken over; first what and then that, and no further attempt."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        stream.record({"type": "ERROR", "error": {"message": "Framework failed over"}})
        stream.end()
        events = driven.mailbox.wait_for(1, Disconnected)
        assert events[1:] == [
            Refused(message="Framework failed over"),
            Disconnected(reason="refused by the master: Framework failed over"),
        ]
        with pytest.raises(MasterUnavailable, match="Framework failed over"):
            driven.driver.send(Revive())
        driven.driver.stop(failover=True)
        assert master.subscribes.empty()


def test_refused_at_once() -> None:
    """A good head and then an ERROR: there was no subscription, so none is lost."""
    with ScriptedMaster() as master, driving(master) as driven:
        stream = master.next_subscribe()
        stream.begin()
        stream.record({"type": "ERROR", "error": {"message": "Framework has been removed"}})
        stream.end()
        driven.mailbox.wait_for(1, Refused)
        driven.driver.stop(failover=True)
        assert driven.mailbox.events == [Refused(message="Framework has been removed")]
        assert master.subscribes.empty()


def test_a_slow_consumer_loses_nothing() -> None:
    """While it sleeps the stream waits, megabytes of it, and silence is not held against the master."""
    gate = threading.Event()

    class Slow(Mailbox):
        def deliver(self, event: MasterEvent) -> None:
            if isinstance(event, Rescinded) and event.offer_id == "0":
                assert gate.wait(PATIENCE_S)
            super().deliver(event)

    offer = {"id": {"value": "O"}, "agent_id": {"value": "S"}, "hostname": "h" * 200}
    offers = framed({"type": "OFFERS", "offers": {"offers": [offer] * 100}})
    with ScriptedMaster() as master, driving(master, mailbox=Slow()) as driven:
        stream = master.next_subscribe()
        stream.grant(heartbeat_s=0.1)
        written = threading.Event()

        def write() -> None:
            stream.record(rescind("0"))
            for _ in range(500):
                stream.chunk(offers)
            written.set()
            stream.record(rescind("1"))

        writer = threading.Thread(target=write)
        writer.start()
        # Twelve megabytes are more than the buffers between the two hold, so the writer waits for the consumer.
        assert not written.wait(0.5)
        gate.set()
        events = driven.mailbox.wait_for(2, Rescinded)
        writer.join(PATIENCE_S)
        assert names(events) == ["Subscribed", "0", *["Offers"] * 500, "1"]
        assert sum(len(event.offers) for event in events if isinstance(event, Offers)) == 50_000


def test_what_was_suppressed_stays_so_at_the_next_subscription() -> None:
    """Because the master takes what SUBSCRIBE says in place of what it knew."""
    framework = Framework(user="worker", roles=("web", "db", "ml"))
    with ScriptedMaster() as master, driving(master, framework=framework) as driven:
        suppressed: list[object] = []
        for calls in ([Suppress(roles=("web",)), Suppress(roles=("db",))], [Revive(roles=("web",))], [Suppress()], []):
            stream = master.next_subscribe()
            suppressed.append(stream.call["subscribe"].get("suppressed_roles"))
            stream.grant()
            driven.mailbox.wait_for(len(suppressed), Subscribed)
            for call in calls:
                driven.driver.send(call)
            stream.end()
        assert suppressed == [None, ["db", "web"], ["db"], ["db", "ml", "web"]]


def test_a_refused_suppression_is_not_remembered() -> None:
    """Only what the master has taken."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        master.answer = lambda exchange: exchange.reply(503)
        with pytest.raises(MasterUnavailable):
            driven.driver.send(Suppress())
        stream.end()
        assert "suppressed_roles" not in master.next_subscribe().call["subscribe"]


def test_what_we_say_of_ourselves_can_be_changed() -> None:
    """By the call, or for the next subscription only; either replaces all of it."""
    with ScriptedMaster() as master, subscribed_to(master) as (driven, stream):
        changed = UpdateFramework(framework=Framework(user="worker", name="two", roles=("web",)))
        driven.driver.send(changed)
        assert master.next_call().call["update_framework"]["framework_info"]["name"] == "two"
        stream.end()
        again = master.next_subscribe()
        assert again.call["subscribe"]["framework_info"]["name"] == "two"
        again.grant()
        driven.mailbox.wait_for(2, Subscribed)
        framework = Framework(user="worker", name="three", roles=("web",))
        driven.driver.update_subscription(UpdateFramework(framework=framework, suppressed_roles=("web",)))
        assert master.calls.empty()
        again.end()
        terms = master.next_subscribe().call["subscribe"]
        assert (terms["framework_info"]["name"], terms["suppressed_roles"]) == ("three", ["web"])


def test_waits_grow_to_a_bound_and_are_spread() -> None:
    """Below half a second at first, below fifteen at last, and never the same twice."""
    timing = Timing()
    rng = random.Random(7)
    for failures, bound in [(0, 0.5), (1, 1.0), (4, 8.0), (5, 15.0), (100_000, 15.0)]:
        delays = [reconnect_delay_s(failures, timing, rng) for _ in range(500)]
        assert all(0 <= delay <= bound for delay in delays)
        assert max(delays) > 0.9 * bound
        assert min(delays) < 0.1 * bound


def test_only_a_subscription_that_held_starts_the_waits_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A master that takes us and drops us at once is not hammered."""
    failures: list[int] = []

    def noted(count: int, timing: Timing, rng: random.Random) -> float:
        failures.append(count)
        return 0.0

    monkeypatch.setattr("headgate.adapters.mesos_link.reconnect_delay_s", noted)
    with ScriptedMaster() as master, driving(master) as driven:
        for n, held_s in enumerate([0.0, QUICK.settled_s / 2, QUICK.settled_s * 2, 0.0], start=1):
            stream = master.next_subscribe()
            stream.grant()
            driven.mailbox.wait_for(n, Subscribed)
            driven.clock.at += held_s
            stream.end()
        driven.mailbox.wait_for(4, Disconnected)
        master.next_subscribe()
        assert failures == [0, 1, 0, 1]
