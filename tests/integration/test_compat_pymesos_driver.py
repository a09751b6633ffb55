"""pymesos's interface, where pymesos itself does otherwise: lost links, calls without one, callbacks that fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from scripted_agent import scripted_agent
from scripted_master import PATIENCE_S, ScriptedMaster, rescind

from headgate.adapters.dcos_login import read_service_account
from headgate.adapters.mesos_subscription import Timing
from headgate.compat import pymesos
from headgate.compat.pymesos import CallNotSent, CallRefused, Doors, MesosExecutorDriver, MesosSchedulerDriver
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.server.checks import Authentication
from headgate.testing.iam import StandInIam

pytestmark = pytest.mark.integration

QUICK = Timing(answer_s=600.0, heartbeats_missed_max=3, backoff_s=0.005, backoff_max_s=0.02)
"""So patient with answers that only missed heartbeats can have ended a silent stream."""


class Noting:
    """Keeps the callbacks in order, with their arguments after the driver; `during` is run within each."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.changed = threading.Condition()

    def during(self, name: str, driver: Any, *arguments: Any) -> None:
        """For a test to fill."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("calls", "changed", "during", "wait_for", "names") or name.startswith("__"):
            return super().__getattribute__(name)

        def called(driver: Any, *arguments: Any) -> None:
            with self.changed:
                self.calls.append((name, arguments))
                self.changed.notify_all()
            self.during(name, driver, *arguments)

        return called

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def wait_for(self, name: str, count: int = 1) -> tuple[Any, ...]:
        """The arguments of the callback of that name, once it has come so many times."""
        with self.changed:
            came = self.changed.wait_for(lambda: self.names().count(name) >= count, PATIENCE_S)
            assert came, self.calls
            return [arguments for each, arguments in self.calls if each == name][count - 1]


class NotingScheduler(Noting, pymesos.Scheduler):
    pass


class NotingExecutor(Noting, pymesos.Executor):
    pass


@contextmanager
def scheduling(
    master: ScriptedMaster, sched: Noting, framework: dict[str, Any] | None = None, **options: Any
) -> Iterator[MesosSchedulerDriver]:
    driver = MesosSchedulerDriver(
        sched, framework if framework is not None else {"user": "u", "name": "n"}, master.url, **options  # type: ignore[arg-type]
    )  # fmt: skip
    driver._timing = QUICK
    driver.start()
    try:
        yield driver
    finally:
        driver.stop(failover=True)
        driver._failure = None
        driver.join()
        assert not [thread for thread in threading.enumerate() if thread.name == "mesos-callbacks"]


def test_a_silent_link_is_left() -> None:
    """As asked for in pymesos 61 and 93: a stream that stands and says nothing is subscribed anew, and that is told."""
    sched = NotingScheduler()
    with ScriptedMaster() as master, scheduling(master, sched) as driver:
        first = master.next_subscribe()
        assert first.call["subscribe"]["framework_info"] == {
            "user": "u", "name": "n", "failover_timeout": 100, "capabilities": [{"type": "GPU_RESOURCES"}]
        }  # fmt: skip
        first.grant(heartbeat_s=0.05)
        again = master.next_subscribe()
        assert again.call["framework_id"] == {"value": "F-1"}
        again.grant()
        (info,) = sched.wait_for("reregistered")
        assert info["port"] == master.port or info["hostname"]
        names = [name for name in sched.names() if name != "processHeartBeat"]
        assert names == ["registered", "disconnected", "reregistered"]
        assert driver.connected
        assert driver.framework_id == "F-1"


def test_calls_without_a_link_are_errors() -> None:
    """Never dropped in silence, as of pymesos PR 91."""
    sched = NotingScheduler()
    with ScriptedMaster() as master, scheduling(master, sched) as driver:
        request = master.next_subscribe()
        for call in (
            lambda: driver.declineOffer({"value": "O"}),
            lambda: driver.acceptOffers([{"value": "O"}], [{"type": "LAUNCH"}]),
            lambda: driver.killTask({"value": "t"}),
            lambda: driver.reviveOffers(),
            lambda: driver.reconcileTasks([]),
            lambda: driver.sendFrameworkMessage({"value": "e"}, {"value": "a"}, ""),
        ):
            with pytest.raises(CallNotSent, match="was not sent: not subscribed yet"):
                call()
        request.grant()
        sched.wait_for("registered")
        driver.reviveOffers()
        assert master.next_call().call["type"] == "REVIVE"


def test_a_refused_call_is_an_error() -> None:
    sched = NotingScheduler()
    with ScriptedMaster() as master, scheduling(master, sched) as driver:
        master.next_subscribe().grant()
        sched.wait_for("registered")
        master.answer = lambda exchange: exchange.reply(400, b"Expecting 'kill' to be present")
        with pytest.raises(CallRefused, match="Expecting 'kill'"):
            driver.killTask({"value": "t"})


def test_a_call_within_a_callback_that_has_no_link_any_more() -> None:
    """It is the world's fault, and the driver goes on."""
    sched = NotingScheduler()

    def revive(name: str, driver: Any, *arguments: Any) -> None:
        if name == "disconnected":
            driver.reviveOffers()

    sched.during = revive  # type: ignore[method-assign]
    with ScriptedMaster() as master, scheduling(master, sched):
        stream = master.next_subscribe()
        stream.grant()
        sched.wait_for("registered")
        stream.end()
        master.next_subscribe().grant()
        sched.wait_for("reregistered")


@pytest.mark.parametrize("failover", [False, True])
def test_a_callback_that_fails_ends_the_driver(failover: bool) -> None:
    """`join` raises it; the framework is torn down, unless it was made to stay."""
    sched = NotingScheduler()

    def fail(name: str, driver: Any, *arguments: Any) -> None:
        if name == "offerRescinded":
            raise ZeroDivisionError("a mistake")

    sched.during = fail  # type: ignore[method-assign]
    with ScriptedMaster() as master, scheduling(master, sched, failover=failover) as driver:
        stream = master.next_subscribe()
        stream.grant()
        sched.wait_for("registered")
        stream.record(rescind("O1"))
        with pytest.raises(ZeroDivisionError, match="a mistake"):
            driver.join()
        assert driver.aborted
        assert sched.names()[-1] == "disconnected"
        if failover:
            assert master.calls.empty()
        else:
            assert master.next_call().call["type"] == "TEARDOWN"


def test_an_error_of_the_master_ends_the_driver() -> None:
    """And the callback hears of it when the driver has ended, as Mesos's interface has it."""
    sched = NotingScheduler()
    ended: list[bool] = []

    def note(name: str, driver: Any, *arguments: Any) -> None:
        if name == "error":
            ended.append(driver.aborted)

    sched.during = note  # type: ignore[method-assign]
    with ScriptedMaster() as master, scheduling(master, sched) as driver:
        stream = master.next_subscribe()
        stream.grant()
        stream.record({"type": "ERROR", "error": {"message": "Framework failed over"}})
        assert sched.wait_for("error") == ("Framework failed over",)
        driver.join()
        assert ended == [True]
        driver.start()
        assert master.next_subscribe().call["framework_id"] == {"value": "F-1"}, "it can be started again"


def test_a_framework_that_is_taken_up_again() -> None:
    """With its id it is re-registered from the start; stop leaves it, or tears it down."""
    sched = NotingScheduler()
    framework = {"user": "u", "name": "n", "id": {"value": "F-1"}, "failover_timeout": 7}
    with ScriptedMaster() as master, scheduling(master, sched, framework, gpu_resources=False) as driver:
        request = master.next_subscribe()
        info = request.call["subscribe"]["framework_info"]
        assert (info["failover_timeout"], info["capabilities"]) == (7, [])
        request.grant()
        sched.wait_for("reregistered")
        driver.stop(failover=True)
        driver.join()
        assert master.calls.empty()
        driver.start()
        master.next_subscribe().grant()
        sched.wait_for("reregistered", 2)
        driver.stop()
        driver.join()
        assert master.next_call().call == {"type": "TEARDOWN", "framework_id": {"value": "F-1"}}
        assert "id" not in framework


def test_every_event_reaches_its_callback() -> None:
    """With what the interface says, and the acknowledgement only when it has returned."""
    sched = NotingScheduler()
    status = {"task_id": {"value": "t"}, "agent_id": {"value": "a"}, "uuid": "dTE=", "state": "TASK_RUNNING"}
    operation = {"operation_id": {"value": "o"}, "uuid": {"value": "dTI="}, "agent_id": {"value": "a"}, "state": "X"}
    ids = {"executor_id": {"value": "e"}, "agent_id": {"value": "a"}}
    events: list[tuple[dict[str, Any], str, tuple[Any, ...]]] = [
        (
            {"type": "OFFERS", "offers": {"offers": [{"id": {"value": "O"}}]}},
            "resourceOffers",
            ([{"id": {"value": "O"}}],),
        ),
        (
            {"type": "INVERSE_OFFERS", "inverse_offers": {"inverse_offers": [{"id": {"value": "I"}}]}},
            "inverseOffers",
            ([{"id": {"value": "I"}}],),
        ),
        (rescind("O"), "offerRescinded", ({"value": "O"},)),
        (
            {"type": "RESCIND_INVERSE_OFFER", "rescind_inverse_offer": {"inverse_offer_id": {"value": "I"}}},
            "inverseOfferRescinded",
            ({"value": "I"},),
        ),
        ({"type": "UPDATE", "update": {"status": status}}, "statusUpdate", (status,)),
        (
            {"type": "UPDATE_OPERATION_STATUS", "update_operation_status": {"status": operation}},
            "operationStatusUpdate",
            (operation,),
        ),
        ({"type": "MESSAGE", "message": {**ids, "data": "aGk="}}, "frameworkMessage", (*ids.values(), "aGk=")),
        ({"type": "FAILURE", "failure": {**ids, "status": 9}}, "executorLost", (*ids.values(), 9)),
        ({"type": "FAILURE", "failure": {"agent_id": {"value": "a"}}}, "slaveLost", ({"value": "a"},)),
    ]
    with ScriptedMaster() as master, scheduling(master, sched) as driver:
        stream = master.next_subscribe()
        stream.grant()
        for event, name, arguments in events:
            stream.record(event)
            assert sched.wait_for(name) == arguments
        stream.record(b"no event")
        stream.record({"type": "OF_A_NEWER_MASTER"})
        stream.record(rescind("P"))
        sched.wait_for("offerRescinded", 2)
        first, second = master.next_call().call, master.next_call().call
        assert first["acknowledge"] == {name: status[name] for name in ("agent_id", "task_id", "uuid")}
        assert second["acknowledge_operation_status"] == {
            "agent_id": {"value": "a"}, "operation_id": {"value": "o"}, "uuid": "dTI="
        }  # fmt: skip
        driver.implicit_acknowledgements = False
        stream.record({"type": "UPDATE", "update": {"status": status}})
        sched.wait_for("statusUpdate", 2)
        driver.acceptInverseOffers({"value": "I"}, {"refuse_seconds": 1})
        assert master.next_call().call["accept_inverse_offers"] == {
            "inverse_offer_ids": [{"value": "I"}], "filters": {"refuse_seconds": 1}
        }  # fmt: skip


def test_doors_that_pymesos_has_no_key_to() -> None:
    """The same framework behind a token, and with pymesos's own principal and secret."""
    with StandInIam() as iam:
        locked = Authentication(secrets={"us": "sesame"}, frameworks=True, tokens=iam.principal_of)
        with EmbeddedCluster(agents=[AgentSpec(resources="cpus:1;mem:512")], authentication=locked) as cluster:
            account = read_service_account(iam.add_service_account("robot"), source="test")
            for options in ({"doors": Doors(service_account=account)}, {"principal": "us", "secret": "sesame"}):
                sched = NotingScheduler()
                driver = MesosSchedulerDriver(sched, {"user": "root", "name": "n"}, cluster.address, **options)  # type: ignore[arg-type]
                driver.start()
                sched.wait_for("resourceOffers")
                driver.stop()
                driver.join()
            sched = NotingScheduler()
            driver = MesosSchedulerDriver(sched, {"user": "root", "name": "n"}, cluster.address)  # type: ignore[arg-type]
            driver.run()
            assert "401" in sched.wait_for("error")[0]


def test_an_operator_asks_and_watches() -> None:
    """Questions to master and agent, and the master's events."""
    noted: list[str] = []
    changed = threading.Event()

    class Watching(pymesos.OperatorMaster):
        def frameworkAdded(self, framework_info: dict[str, Any]) -> None:  # noqa: N802
            noted.append(framework_info["framework_info"]["name"])
            changed.set()

    with EmbeddedCluster(agents=[AgentSpec(resources="cpus:1;mem:512")]) as cluster:
        driver = pymesos.MesosOperatorMasterDriver(cluster.address, Watching())
        driver.start()
        assert driver.getVersion()["get_version"]["version_info"]["version"]
        assert driver.getHealth()["get_health"]["healthy"] is True
        driver.updateWeights([{"role": "web", "weight": 2.0}])
        assert driver.getWeights()["get_weights"]["weight_infos"] == [{"role": "web", "weight": 2.0}]
        with pytest.raises(CallRefused, match="400"):
            driver.setQuota({"nonsense": 1})
        sched = NotingScheduler()
        # The watcher must be in place before there is something to see.
        pause = threading.Event()
        for _ in range(1000):
            if driver.connected:
                break
            pause.wait(0.01)
        framework = MesosSchedulerDriver(sched, {"user": "root", "name": "watched"}, cluster.address)  # type: ignore[arg-type]
        framework.start()
        assert changed.wait(PATIENCE_S)
        framework.stop()
        framework.join()
        driver.stop()
        driver.join()
        assert noted == ["watched"]
    with pytest.raises(CallNotSent, match="GET_HEALTH"):
        driver.getHealth()


@contextmanager
def executing(
    monkeypatch: pytest.MonkeyPatch, executor: Noting, **variables: str
) -> Iterator[tuple[Any, MesosExecutorDriver]]:
    with scripted_agent() as (agent, endpoint):
        place = {
            "MESOS_FRAMEWORK_ID": "f1",
            "MESOS_EXECUTOR_ID": "e1",
            "MESOS_AGENT_ENDPOINT": endpoint,
            "MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "tok",
            "MESOS_LOCAL": "1",
            **variables,
        }
        for name, value in place.items():
            monkeypatch.setenv(name, value)
        driver = MesosExecutorDriver(executor)  # type: ignore[arg-type]
        driver._timing = replace(QUICK, backoff_max_s=0.05)
        driver.start()
        try:
            yield agent, driver
        finally:
            driver.stop()
            driver.join()


LAUNCH = {"type": "LAUNCH", "launch": {"task": {"task_id": {"value": "t1"}, "name": "n", "agent_id": {"value": "a"}}}}


def test_updates_survive_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not acknowledged goes with the next subscription, and what was sent meanwhile too."""
    executor = NotingExecutor()
    with executing(monkeypatch, executor, MESOS_CHECKPOINT="1", MESOS_RECOVERY_TIMEOUT="10mins") as (agent, driver):
        agent.acknowledges = False
        agent.stream().send(LAUNCH)
        executor.wait_for("launchTask")
        driver.sendStatusUpdate({"task_id": {"value": "t1"}, "state": "TASK_RUNNING"})
        assert {headers["Authorization"] for headers in agent.headers} == {"Bearer tok"}
        agent.stream().drop()
        executor.wait_for("disconnected")
        agent.acknowledges = True
        subscribe = agent.stream(1).subscribe["subscribe"]
        assert [each["task_id"]["value"] for each in subscribe["unacknowledged_tasks"]] == ["t1"]
        assert [each["status"]["state"] for each in subscribe["unacknowledged_updates"]] == ["TASK_RUNNING"]
        executor.wait_for("reregistered")
        driver.sendStatusUpdate({"task_id": {"value": "t1"}, "state": "TASK_FINISHED"})
        agent.wait_for(lambda: agent.states()[-1:] == ["TASK_FINISHED"])


def test_without_checkpointing_a_lost_agent_is_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = NotingExecutor()
    with executing(monkeypatch, executor) as (agent, driver):
        executor.wait_for("registered")
        agent.stream().drop()
        driver.join()
        assert executor.names() == ["registered", "disconnected", "shutdown"]


def test_an_agent_that_stays_away_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recovery timeout is over, and the executor ends."""
    executor = NotingExecutor()
    variables = {"MESOS_CHECKPOINT": "1", "MESOS_RECOVERY_TIMEOUT": "10ms"}
    with executing(monkeypatch, executor, **variables) as (agent, driver):
        executor.wait_for("registered")
        agent.refuse_next.extend([("SUBSCRIBE", 503, "recovering")] * 1000)
        agent.stream().drop()
        driver.join()
        assert executor.names() == ["registered", "disconnected", "shutdown"]


def test_an_executor_is_told_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """And gets what else an agent sends."""
    executor = NotingExecutor()
    with executing(monkeypatch, executor) as (agent, driver):
        stream = agent.stream()
        executor.wait_for("registered")
        group = {"tasks": [LAUNCH["launch"]["task"]]}
        stream.send({"type": "LAUNCH_GROUP", "launch_group": {"task_group": group}})
        stream.send({"type": "KILL", "kill": {"task_id": {"value": "t1"}}})
        stream.send({"type": "MESSAGE", "message": {"data": "aGk="}})
        assert executor.wait_for("frameworkMessage") == ("aGk=",)
        driver.sendFrameworkMessage("aG8=")
        agent.wait_for(lambda: agent.messages() == [b"ho"])
        stream.send({"type": "SHUTDOWN"})
        driver.join()
        names = ["registered", "launchTaskGroup", "killTask", "frameworkMessage", "shutdown", "disconnected"]
        assert executor.names() == names
        with pytest.raises(CallNotSent):
            driver.sendFrameworkMessage("aG8=")


def test_an_agent_that_refuses_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = NotingExecutor()
    with executing(monkeypatch, executor) as (agent, driver):
        agent.stream().send({"type": "ERROR", "error": {"message": "no"}})
        assert executor.wait_for("error") == ("no",)
        driver.join()
        assert len(agent.streams) == 1
