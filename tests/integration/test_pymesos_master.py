"""`--driver pymesos`: our loop's calls and events over pymesos, an independent client, at the simulated cluster."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from scripted_master import Mailbox, ManualClock, ScriptedMaster
from serving import Serving, headgate, until, write_job, written

from headgate.adapters.dcos_login import read_service_account
from headgate.adapters.mesos_access import Doors
from headgate.adapters.pymesos_master import NOT_IMPLEMENTED, PymesosMaster, load_pymesos
from headgate.errors import BadOption, CallRejected, MasterUnavailable
from headgate.model.call import (
    Accept,
    Acknowledge,
    Decline,
    Framework,
    Kill,
    Launch,
    Reconcile,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    UpdateFramework,
)
from headgate.model.event import Disconnected, Message, Offers, Refused, Subscribed, Update
from headgate.model.resources import Resources
from headgate.model.status import TaskState
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.server.checks import Authentication
from headgate.testing.iam import StandInIam

pytest.importorskip("pymesos", reason="make setup installs it")
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ECHO = Path(__file__).with_name("echo_executor.py")
FRAMEWORK = Framework(user="root", roles=("web",), failover_timeout_s=600.0)


@contextmanager
def over_pymesos(
    address: str, *, framework: Framework = FRAMEWORK, doors: Doors | None = None
) -> Iterator[tuple[PymesosMaster, Mailbox]]:
    box = Mailbox()
    driver = PymesosMaster(
        master=address, doors=doors or Doors(), framework=framework, framework_id=None, deliver=box.deliver,
        clock=ManualClock(),
    )  # fmt: skip
    driver.start()
    try:
        yield driver, box
    finally:
        driver.stop(failover=False)


def test_it_leaves_signals_and_the_log_alone() -> None:
    """Importing pymesos would take SIGINT, and write each line of its log twice."""
    before = signal.getsignal(signal.SIGINT)
    load_pymesos()
    assert signal.getsignal(signal.SIGINT) is before
    assert not logging.getLogger("pymesos").handlers


def test_a_task_from_offer_to_end() -> None:
    """Offers, launch, update, acknowledgement, message, kill: the events are those of our own driver."""
    with (
        EmbeddedCluster(agents=[AgentSpec(resources="cpus:2;mem:1024;disk:100")]) as cluster,
        over_pymesos(cluster.address) as (driver, box),
    ):
        events = box.wait_for(1, Offers)
        subscribed = events[0]
        assert isinstance(subscribed, Subscribed)
        assert subscribed.master_version == "1.12.0"
        offer = next(event for event in events if isinstance(event, Offers)).offers[0]
        launch = Launch(
            task_id="t1", agent_id=offer.agent_id, name="t1", resources=Resources(cpus_m=500, mem_m=128_000),
            argv=(sys.executable, str(ECHO)), data=b"told", role="web", environment={"GREETING": "hello"},
        )  # fmt: skip
        driver.send(Accept(offer_ids=(offer.id,), launches=(launch,)))
        status = next(event for event in box.wait_for(1, Update) if isinstance(event, Update)).status
        assert (status.state, status.message, status.data) == (TaskState.RUNNING, "hello", b"told")
        assert status.uuid is not None
        driver.send(Acknowledge(agent_id=offer.agent_id, task_id="t1", uuid=status.uuid))
        driver.send(SendMessage(agent_id=offer.agent_id, executor_id="t1", data=b"there and back"))
        assert next(event for event in box.wait_for(1, Message) if isinstance(event, Message)).data == b"there and back"
        driver.send(Suppress())
        driver.send(Revive())
        driver.send(Reconcile())
        driver.send(Kill(task_id="t1", agent_id=offer.agent_id, grace_s=1.0))
        states = [event.status.state for event in box.wait_for(3, Update) if isinstance(event, Update)]
        assert set(states) >= {TaskState.RUNNING, TaskState.KILLED}


def test_what_pymesos_cannot_say_is_refused() -> None:
    """As calls that will be refused again; what can be said by subscribing anew, is."""
    with (
        EmbeddedCluster(agents=[AgentSpec(resources="cpus:1;mem:512")]) as cluster,
        over_pymesos(cluster.address) as (driver, box),
    ):
        box.wait_for(1, Subscribed)
        for call in (ShutdownExecutor(executor_id="e", agent_id="a"), UpdateFramework(framework=FRAMEWORK)):
            with pytest.raises(CallRejected, match="pymesos has no") as raised:
                driver.send(call)
            assert raised.value.status == NOT_IMPLEMENTED
        driver.send(UpdateFramework(framework=replace(FRAMEWORK, roles=("web", "db"))))
        events = box.wait_for(2, Subscribed)
        kinds = [type(event) for event in events if isinstance(event, (Subscribed, Disconnected))]
        assert kinds == [Subscribed, Disconnected, Subscribed]
        roles: set[str] = set()
        for _ in range(20):
            events = box.wait_for(1, Offers)
            roles = {offer.role for event in events if isinstance(event, Offers) for offer in event.offers}
            if "db" in roles:
                break
            offers = [offer.id for event in events if isinstance(event, Offers) for offer in event.offers]
            driver.send(Suppress(roles=("web",)))
            driver.send(Decline(offer_ids=tuple(offers), refuse_s=0.1))
            box.wait_for(sum(isinstance(event, Offers) for event in events) + 1, Offers)
        assert "db" in roles


def test_calls_without_a_link_are_errors() -> None:
    """Where pymesos would have dropped them (its PR 91), and before the start."""
    box = Mailbox()
    with ScriptedMaster() as master:
        driver = PymesosMaster(
            master=f"127.0.0.1:{master.port}", doors=Doors(), framework=FRAMEWORK, framework_id=None,
            deliver=box.deliver, clock=ManualClock(),
        )  # fmt: skip
        with pytest.raises(MasterUnavailable, match="Revive was not sent"):
            driver.send(Revive())
        driver.stop(failover=True)


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (400, b"Expecting 'x' to be present", CallRejected),
        (403, b"Framework is not subscribed", MasterUnavailable),
        (503, b"No leader elected", MasterUnavailable),
    ],
)
def test_what_an_answer_means(status: int, text: bytes, error: type[Exception]) -> None:
    """Told apart as our own driver does."""

    def answer(exchange: object) -> None:
        exchange.reply(status, text)  # type: ignore[attr-defined]

    with ScriptedMaster() as master, over_pymesos(f"127.0.0.1:{master.port}") as (driver, box):
        stream = master.next_subscribe()
        stream.grant()
        box.wait_for(1, Subscribed)
        master.answer = answer
        with pytest.raises(error, match=text.decode()):
            driver.send(Revive())
        master.answer = lambda exchange: exchange.reply(202)


def test_a_locked_door() -> None:
    """Principal and secret open it; without, the end of pymesos's thread is told."""
    authentication = Authentication(secrets={"us": "sesame"}, frameworks=True)
    with EmbeddedCluster(agents=[AgentSpec(resources="cpus:1;mem:512")], authentication=authentication) as cluster:
        framework = replace(FRAMEWORK, principal="us")
        doors = Doors(principal="us", secret="sesame")
        with over_pymesos(cluster.address, framework=framework, doors=doors) as (_, box):
            box.wait_for(1, Offers)
        with over_pymesos(cluster.address, framework=framework) as (_, box):
            (event,) = box.wait_for(1, Refused)
            assert isinstance(event, Refused)
            assert "pymesos has given up" in event.message


def test_options_that_pymesos_has_no_means_for(tmp_path: Path) -> None:
    """Refused by name, before anything is begun."""
    with StandInIam() as iam:
        account = read_service_account(iam.add_service_account("robot"), source="test")
    for master, doors, said in [
        ("https://h/mesos", Doors(), "no URL"),
        ("a:5050,b:5050", Doors(), "takes one master"),
        ("a:5050", Doors(service_account=account), "DC/OS service account"),
        ("a:5050", Doors(ca_file=tmp_path / "ca"), "no TLS"),
    ]:
        with pytest.raises(BadOption, match=said), over_pymesos(master, doors=doors):
            pass


def test_without_pymesos_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymesos", None)
    with pytest.raises(BadOption, match=r"pip install 'headgate\[pymesos\]'"):
        load_pymesos()


def test_a_job_over_pymesos(tmp_path: Path) -> None:
    """The scheduler's whole life of a job: submitted, placed, run, cancelled."""
    job = write_job(tmp_path / "job")
    state = ["--data-dir", str(tmp_path / "state"), "--listen", "127.0.0.1:0", "--worker-python", sys.executable]
    with EmbeddedCluster(agents=[AgentSpec(resources="cpus:4;mem:4096;disk:10000;ports:[31000-31099]")]) as cluster:
        running = Serving(*state, "--master", cluster.address, "--driver", "pymesos")
        try:
            api = running.api()
            headgate("submit", job, "--api", api)
            until(lambda: written(job) == sorted([*range(10)] * 3), "all numbers in the output")
            headgate("cancel", "numbers", "--api", api)
            until(lambda: not cluster.containers(), "no worker left")
            assert running.end() == 0
            assert "no heartbeat watchdog" in "".join(running.lines)
        finally:
            running.close()
