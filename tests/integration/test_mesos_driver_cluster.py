"""The driver with a simulated cluster: its own allocator, agents and rules, and real processes as executors."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from mesos_driving import Driven, driving
from requests.auth import HTTPBasicAuth

from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_detection import listed_masters
from headgate.errors import CallRejected
from headgate.model.call import (
    Accept,
    Acknowledge,
    AttributeConstraint,
    Decline,
    Framework,
    Kill,
    Launch,
    Predicate,
    Reconcile,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    TaskToReconcile,
    Teardown,
    UpdateFramework,
)
from headgate.model.event import (
    Disconnected,
    ExecutorEnded,
    MasterEvent,
    Message,
    Offers,
    Refused,
    Subscribed,
    Undecodable,
    Update,
)
from headgate.model.offer import Offer
from headgate.model.resources import PortRange, Request, Resources
from headgate.model.status import TaskState, TaskStatus
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.server.checks import Authentication

pytestmark = pytest.mark.integration

FRAMEWORK = Framework(user="root", roles=("web",), failover_timeout_s=600.0)
PLAIN = AgentSpec(resources="cpus:4;mem:4096;disk:1000;ports:[31000-31010]", attributes="rack:r1;level:2.5")
WORKER = Request(cpus_m=1000, mem_m=256_000, ports=2)
_E = TypeVar("_E", bound=MasterEvent)


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    """One agent, nothing special."""
    with EmbeddedCluster(agents=[PLAIN]) as running:
        yield running


def framework_on(cluster: EmbeddedCluster, **options: Any) -> AbstractContextManager[Driven]:
    """A driver for a cluster."""
    return driving(located=listed_masters(cluster.address), **{"framework": FRAMEWORK, **options})


class Seen:
    """Events of one driver, looked through kind by kind from the oldest, each once."""

    def __init__(self, driven: Driven) -> None:
        self._driven = driven
        self._counts: Counter[type[MasterEvent]] = Counter()

    def next(self, kind: type[_E]) -> _E:
        """The next event of a kind, when it comes; none may have been undecodable."""
        self._counts[kind] += 1
        events = self._driven.mailbox.wait_for(self._counts[kind], kind)
        assert not any(isinstance(event, Undecodable) for event in events), events
        return [event for event in events if isinstance(event, kind)][self._counts[kind] - 1]

    def offer(self) -> Offer:
        """The next single offer."""
        (offer,) = self.next(Offers).offers
        return offer

    def status(self, state: TaskState) -> TaskStatus:
        """The next update, which must say this."""
        status = self.next(Update).status
        assert status.state is state, status
        return status

    def acknowledged(self, state: TaskState) -> TaskStatus:
        """The same, acknowledged."""
        status = self.status(state)
        assert status.uuid is not None
        assert status.agent_id is not None
        self._driven.driver.send(Acknowledge(agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid))
        return status


def worker_on(offer: Offer, task_id: str = "delays.0.0.0", request: Request = WORKER) -> Accept:
    """Launch the echoing executor."""
    resources, _ = offer.resources.take(request)
    launch = Launch(
        task_id=task_id,
        agent_id=offer.agent_id,
        name="worker 0",
        resources=resources,
        argv=(sys.executable, str(Path(__file__).with_name("echo_executor.py"))),
        data=b"\x00spec\xff",
        role=offer.role,
        environment={"GREETING": "hello"},
        labels={"job": "delays"},
    )
    return Accept(offer_ids=(offer.id,), launches=(launch,), refuse_s=0.0)


def test_a_worker_from_offer_to_end(cluster: EmbeddedCluster) -> None:
    """Everything a scheduler does with a task, once."""
    with framework_on(cluster) as driven:
        send, seen = driven.driver.send, Seen(driven)
        subscribed = seen.next(Subscribed)
        assert subscribed.master == cluster.address.replace("127.0.0.1", "localhost")
        offer = seen.offer()
        assert offer.role == "web"
        assert offer.attributes == {"rack": "r1", "level": 2.5}
        assert offer.resources == Resources(
            cpus_m=4000, mem_m=4_096_000, disk_m=1_000_000, ports=(PortRange(begin=31000, end=31010),)
        )
        assert offer.agent_address is not None
        assert offer.agent_address.endswith(cluster.agents[0].address.rpartition(":")[2])

        send(Decline(offer_ids=(offer.id,), refuse_s=0.0))
        again = seen.offer()
        assert (again.agent_id, again.resources) == (offer.agent_id, offer.resources)
        assert again.id != offer.id

        send(worker_on(again))
        running = seen.acknowledged(TaskState.RUNNING)
        assert (running.task_id, running.source, running.message) == ("delays.0.0.0", "EXECUTOR", "hello")
        assert running.data == b"\x00spec\xff"
        assert running.executor_id == "delays.0.0.0"
        rest = seen.offer()
        assert rest.resources.cpus_m == 3000
        assert rest.resources.ports == (PortRange(begin=31002, end=31010),)
        assert rest.executor_ids == ("delays.0.0.0",)

        send(SendMessage(agent_id=again.agent_id, executor_id="delays.0.0.0", data=bytes(range(256))))
        assert seen.next(Message) == Message(
            agent_id=again.agent_id, executor_id="delays.0.0.0", data=bytes(range(256))
        )

        send(Reconcile(tasks=(TaskToReconcile(task_id="delays.0.0.0", agent_id=again.agent_id),)))
        known = seen.status(TaskState.RUNNING)
        assert (known.source, known.reason, known.uuid) == ("MASTER", "RECONCILIATION", None)
        send(Reconcile(tasks=(TaskToReconcile(task_id="delays.0.0.7"),)))
        assert seen.status(TaskState.UNKNOWN).task_id == "delays.0.0.7"

        send(Kill(task_id="delays.0.0.0", agent_id=again.agent_id, grace_s=1.0))
        seen.acknowledged(TaskState.KILLED)
        send(ShutdownExecutor(executor_id="delays.0.0.0", agent_id=again.agent_id))
        assert seen.next(ExecutorEnded) == ExecutorEnded(agent_id=again.agent_id, executor_id="delays.0.0.0", status=0)
        send(Teardown())
        seen.next(Disconnected)


def test_an_executor_that_dies(cluster: EmbeddedCluster) -> None:
    """Its task fails, and how it ended is told."""
    with framework_on(cluster) as driven:
        seen = Seen(driven)
        driven.driver.send(worker_on(seen.offer()))
        seen.acknowledged(TaskState.RUNNING)
        cluster.kill_executor("delays.0.0.0")
        failed = seen.acknowledged(TaskState.FAILED)
        assert (failed.source, failed.reason) == ("AGENT", "EXECUTOR_TERMINATED")
        assert seen.next(ExecutorEnded).status == 9


def test_an_offer_used_twice(cluster: EmbeddedCluster) -> None:
    """The master's answer to a stale ACCEPT is an update without anything to acknowledge."""
    with framework_on(cluster) as driven:
        seen = Seen(driven)
        offer = seen.offer()
        driven.driver.send(Decline(offer_ids=(offer.id,)))
        driven.driver.send(worker_on(offer))
        dropped = seen.status(TaskState.DROPPED)
        assert (dropped.source, dropped.reason, dropped.uuid) == ("MASTER", "INVALID_OFFERS", None)


@pytest.mark.parametrize("capabilities", [("PARTITION_AWARE",), ("MULTI_ROLE", "RESERVATION_REFINEMENT")])
def test_reserved_and_unreserved_resources_in_one_worker(capabilities: tuple[str, ...]) -> None:
    """In either form of the API; a worker of everything shows that nothing was named wrongly."""
    agent = AgentSpec(
        resources="cpus(web):1;cpus:1;mem(web):512;mem:512;disk:64;ports(web):[31000-31001];ports:[31002-31003]"
    )
    framework = Framework(user="root", roles=("web",), capabilities=capabilities)
    with EmbeddedCluster(agents=[agent]) as cluster, framework_on(cluster, framework=framework) as driven:
        seen = Seen(driven)
        offer = seen.offer()
        assert offer.resources == Resources(
            cpus_m=2000, mem_m=1_024_000, disk_m=64_000, ports=(PortRange(begin=31000, end=31003),)
        )
        everything = Request(cpus_m=2000, mem_m=1_024_000, disk_m=64_000, ports=4)
        driven.driver.send(worker_on(offer, request=everything))
        seen.acknowledged(TaskState.RUNNING)
        driven.driver.send(Teardown())
        seen.next(Disconnected)


def test_the_master_restarts(cluster: EmbeddedCluster) -> None:
    """We are back under our id, our task is still there, offers come anew."""
    with framework_on(cluster) as driven:
        seen = Seen(driven)
        first = seen.next(Subscribed)
        offer = seen.offer()
        driven.driver.send(worker_on(offer))
        seen.acknowledged(TaskState.RUNNING)
        cluster.restart_master()
        seen.next(Disconnected)
        second = seen.next(Subscribed)
        assert second.framework_id == first.framework_id
        seen.offer()
        driven.driver.send(Reconcile(tasks=(TaskToReconcile(task_id="delays.0.0.0", agent_id=offer.agent_id),)))
        assert seen.status(TaskState.RUNNING).reason == "RECONCILIATION"
        driven.driver.stop(failover=False)


def test_the_scheduler_fails_over(cluster: EmbeddedCluster) -> None:
    """The next one takes the id and the tasks, whether the first is gone or only thinks it leads."""
    with framework_on(cluster) as first:
        seen = Seen(first)
        framework_id = seen.next(Subscribed).framework_id
        first.driver.send(worker_on(seen.offer()))
        seen.acknowledged(TaskState.RUNNING)
        first.driver.stop(failover=True)
    with framework_on(cluster, framework_id=framework_id) as second:
        seen_by_second = Seen(second)
        assert seen_by_second.next(Subscribed).framework_id == framework_id
        second.driver.send(Reconcile(tasks=(TaskToReconcile(task_id="delays.0.0.0"),)))
        assert seen_by_second.status(TaskState.RUNNING).reason == "RECONCILIATION"
        with framework_on(cluster, framework_id=framework_id) as third:
            Seen(third).next(Subscribed)
            assert seen_by_second.next(Refused) == Refused(message="Framework failed over")
            third.driver.stop(failover=False)
    with framework_on(cluster, framework_id=framework_id) as fourth:
        assert Seen(fourth).next(Refused) == Refused(message="Framework has been removed")


def test_changes_of_the_framework(cluster: EmbeddedCluster) -> None:
    """Taken where they may be, and refused with the master's reason where not."""
    with framework_on(cluster) as driven:
        seen = Seen(driven)
        offer = seen.offer()
        elsewhere = AttributeConstraint(attribute="rack", predicate=Predicate.TEXT_EQUALS, value="r9")
        here = AttributeConstraint(attribute="rack", predicate=Predicate.TEXT_MATCHES, value="r[0-9]")
        for constraint in (elsewhere, here):
            changed = UpdateFramework(framework=FRAMEWORK, offer_constraints={"web": ((constraint,),)})
            driven.driver.send(changed)
        with pytest.raises(CallRejected, match=r"FrameworkInfo\.user") as raised:
            driven.driver.send(UpdateFramework(framework=Framework(user="nobody", roles=("web",))))
        assert raised.value.status == 400
        driven.driver.send(Suppress())
        driven.driver.send(Decline(offer_ids=(offer.id,)))
        driven.driver.send(Revive())
        assert seen.offer().attributes["rack"] == "r1"


def test_a_follower_redirects_us(cluster: EmbeddedCluster) -> None:
    """As a master does that does not lead."""
    with EmbeddedCluster(agents=[], leader=cluster.address) as follower, framework_on(follower) as driven:
        seen = Seen(driven)
        seen.next(Subscribed)
        driven.driver.send(worker_on(seen.offer()))
        seen.acknowledged(TaskState.RUNNING)
        driven.driver.stop(failover=False)


def test_a_master_that_asks_who_we_are() -> None:
    """The right secret opens, a wrong one is refused for good."""
    asks = Authentication(secrets={"principal": "sesame"}, frameworks=True)
    with EmbeddedCluster(agents=[PLAIN], authentication=asks) as cluster:
        right, wrong = (Access(auth=HTTPBasicAuth("principal", secret)) for secret in ("sesame", "shazam"))
        with framework_on(cluster, access=right) as driven:
            seen = Seen(driven)
            driven.driver.send(Decline(offer_ids=(seen.offer().id,)))
        for access in (wrong, Access()):
            with framework_on(cluster, access=access) as driven:
                assert "401" in Seen(driven).next(Refused).message
