"""stop() ends the driver at any moment and leaves no thread.

The timeouts here are long, so that only the stop itself can have ended what was waiting.
"""

import random
import socket
import threading

import pytest
from mesos_driving import driving, event_threads, subscribed_to, wait_until_refused_with
from scripted_master import PATIENCE_S, Mailbox, ScriptedMaster, rescind

from headgate.adapters.mesos_detection import ListedMasters
from headgate.adapters.mesos_subscription import Timing
from headgate.errors import MasterUnavailable
from headgate.model.call import Revive
from headgate.model.event import Disconnected, MasterEvent, Refused, Rescinded

pytestmark = pytest.mark.integration

PATIENT = Timing(connect_s=5.0, answer_s=600.0, backoff_s=600.0, backoff_max_s=600.0)


def test_before_the_start() -> None:
    """There is nothing to end."""
    with ScriptedMaster() as master, driving(master, start=False) as driven:
        driven.driver.stop(failover=True)
        assert driven.mailbox.events == []


def test_while_it_waits_for_an_answer() -> None:
    """The master has the request and says nothing."""
    with ScriptedMaster() as master, driving(master, timing=PATIENT) as driven:
        master.next_subscribe()
        driven.driver.stop(failover=True)
        assert not event_threads()
        assert driven.mailbox.events == []


def test_while_the_listener_does_not_accept() -> None:
    """The connection stands only in the kernel."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        located = ListedMasters([f"http://127.0.0.1:{mute.getsockname()[1]}"])
        with driving(located=located, timing=PATIENT) as driven:
            driven.driver.stop(failover=True)
            assert not event_threads()


def test_while_it_waits_for_the_next_attempt() -> None:
    """Ten minutes to go."""
    with ScriptedMaster() as master, driving(master, timing=PATIENT) as driven:
        master.next_subscribe().reply(503)
        wait_until_refused_with(driven, "answered 503")
        driven.driver.stop(failover=True)
        assert not event_threads()
        assert master.subscribes.empty()


def test_while_the_stream_is_silent() -> None:
    """The loss is told, as for any subscription."""
    with ScriptedMaster() as master, subscribed_to(master, timing=PATIENT) as (driven, _):
        driven.driver.stop(failover=True)
        assert not event_threads()
        assert driven.mailbox.events[-1] == Disconnected(reason="stopped")


def test_within_a_record() -> None:
    """Half of it has come."""
    with ScriptedMaster() as master, subscribed_to(master, timing=PATIENT) as (driven, stream):
        stream.record(rescind("1"))
        stream.chunk(b"100\n{")
        driven.mailbox.wait_for(1, Rescinded)
        driven.driver.stop(failover=True)
        assert not event_threads()


def test_while_a_call_is_under_way() -> None:
    """Whoever sent it hears that the outcome is unknown."""
    with ScriptedMaster() as master, subscribed_to(master, timing=PATIENT) as (driven, _):
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
        driven.driver.stop(failover=True)
        sender.join(PATIENCE_S)
        assert len(outcome) == 1
        assert not event_threads()


def test_while_events_keep_coming() -> None:
    """Those already read are not delivered any more once it stops."""
    stopping = threading.Event()
    first = threading.Event()

    class Box(Mailbox):
        def deliver(self, event: MasterEvent) -> None:
            super().deliver(event)
            if isinstance(event, Rescinded):
                first.set()
                assert stopping.wait(PATIENCE_S)

    with ScriptedMaster() as master, driving(master, timing=PATIENT, mailbox=Box()) as driven:
        stream = master.next_subscribe()
        stream.grant()
        for n in range(100):
            stream.record(rescind(str(n)))
        assert first.wait(PATIENCE_S)
        stopper = threading.Thread(target=lambda: driven.driver.stop(failover=True))
        stopper.start()
        assert driven.driver._link._stopping.wait(PATIENCE_S)
        stopping.set()
        stopper.join(PATIENCE_S)
        assert not event_threads()
        kinds = [type(event).__name__ for event in driven.mailbox.events]
        assert kinds == ["Subscribed", "Rescinded", "Disconnected"]


def test_after_a_refusal() -> None:
    """The thread has ended by itself."""
    with ScriptedMaster() as master, driving(master, timing=PATIENT) as driven:
        master.next_subscribe().reply(400, b"no")
        driven.mailbox.wait_for(1, Refused)
        driven.driver.stop(failover=True)
        with pytest.raises(MasterUnavailable):
            driven.driver.stop(failover=False)
        assert not event_threads()


@pytest.mark.parametrize("seed", range(25))
def test_at_any_moment(seed: int) -> None:
    """Whatever it is just doing: connecting, being redirected, subscribing, reading, calling, reconnecting."""
    rng = random.Random(seed)
    with ScriptedMaster() as one, ScriptedMaster() as two:
        over = threading.Event()

        def play(master: ScriptedMaster, other: ScriptedMaster) -> None:
            while not over.is_set():
                if master.subscribes.empty():
                    over.wait(0.001)
                    continue
                stream = master.next_subscribe()
                try:
                    match rng.randrange(5):
                        case 0:
                            stream.reply(307, Location=f"//127.0.0.1:{other.port}/api/v1/scheduler")
                        case 1:
                            stream.reply(503)
                        case 2:
                            stream.drop()
                        case 3:
                            stream.grant()
                            stream.record(rescind("1"))
                            stream.end()
                        case _:
                            stream.grant()
                            stream.record(rescind("1"))
                except OSError:
                    stream.finished.set()  # The driver has stopped and taken its end away.

        players = [threading.Thread(target=play, args=pair) for pair in ((one, two), (two, one))]
        for player in players:
            player.start()
        with driving(one, two) as driven:
            threading.Event().wait(rng.uniform(0, 0.05))
            driven.driver.stop(failover=True)
            assert not event_threads()
        over.set()
        for player in players:
            player.join(PATIENCE_S)
        ups_and_downs = [type(event).__name__ for event in driven.mailbox.events if not isinstance(event, Rescinded)]
        assert ups_and_downs == ["Subscribed", "Disconnected"] * (len(ups_and_downs) // 2)
