"""A scheduler whose lead does not hold says nothing to the master, and one whose lead is over leaves it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from serving import until

from headgate.adapters.clock import SystemClock
from headgate.adapters.interruptible_http import Access
from headgate.adapters.lease import Lease
from headgate.adapters.memory_store import MemoryStore
from headgate.adapters.mesos_detection import listed_masters
from headgate.engines.millstream import NAME, MillstreamEngine
from headgate.errors import FrameworkRefused, StaleLeader
from headgate.leader import Leader, Office
from headgate.model.command import Cancel, Submit
from headgate.model.ids import JobName
from headgate.model.job import JobSpec, Program
from headgate.model.settings import Settings
from headgate.service_options import default_framework
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

pytestmark = pytest.mark.integration

Lead = Callable[[Lease], Leader]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    agents = [AgentSpec(resources="cpus:4;mem:4096;disk:10000", hostname="agent-1")]
    with EmbeddedCluster(agents=agents, work_dir=tmp_path / "cluster") as running:
        yield running


@pytest.fixture
def office(cluster: EmbeddedCluster) -> Office:
    return Office(
        clock=SystemClock(),
        rng=random.Random(1),
        store=MemoryStore(),
        engines={NAME: MillstreamEngine(default_store="/checkpoints", python="python3")},
        settings=Settings(framework=default_framework(user="nobody"), bundles_url="http://127.0.0.1:1/v1/bundles"),
        masters=lambda: listed_masters(cluster.address),
        access=Access(),
    )


@pytest.fixture
def lead(office: Office) -> Iterator[Lead]:
    """Makes leaders and starts them."""
    begun: list[Leader] = []

    def begin(lease: Lease) -> Leader:
        begun.append(Leader(office, lease))
        begun[-1].start()
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()


def connected(leader: Leader) -> bool:
    return leader.scheduler.view.master.connected


SPEC = JobSpec(name=JobName("delays"), program=Program(file="delays.py", sha256="ab" * 32))


def test_without_the_lead_it_does_not_subscribe_and_with_it_it_does(lead: Lead) -> None:
    """To subscribe is to take the framework from who leads."""
    reached = [False]
    leader = lead(Lease(SystemClock(), reached=lambda: reached[0]))
    receipt = leader.scheduler.submit(SPEC)
    assert receipt.result(30).job == "delays"
    assert not connected(leader)
    reached[0] = True
    until(lambda: connected(leader), "a subscription")


def test_amid_a_lead_that_pauses_nothing_is_sent_and_then_it_is(lead: Lead) -> None:
    """A suspended session: events still come, jobs are taken; calls wait until the lead holds again."""
    reached = [True]
    leader = lead(Lease(SystemClock(), reached=lambda: reached[0]))
    until(lambda: leader.scheduler.view.master.reconciled, "a subscription")
    reached[0] = False
    leader.scheduler.submit(SPEC).result(30)
    until(lambda: any("does not lead now" in note.text for note in leader.scheduler.view.events), "a call not sent")
    assert leader.scheduler.view.tasks.launched == 0
    reached[0] = True
    until(lambda: leader.scheduler.view.tasks.launched > 0, "a launch")


def test_a_lead_that_is_over_ends_loop_and_stream_and_the_framework_stays(
    lead: Lead, office: Office, cluster: EmbeddedCluster
) -> None:
    """Whoever waits for a receipt is told; the next leader is the same framework."""
    lease = Lease(SystemClock())
    leader = lead(lease)
    until(lambda: leader.scheduler.view.master.reconciled, "a subscription")
    lease.end()
    leader.wait()
    late = leader.scheduler.ask(Cancel(job=JobName("delays")))
    leader.stop(failover=False)
    with pytest.raises(StaleLeader, match="ask again"):
        late.result(10)
    follower = lead(Lease(SystemClock()))
    assert follower.scheduler.framework_id == leader.scheduler.framework_id
    until(lambda: connected(follower), "the next leader's subscription")


def test_a_framework_that_another_takes_is_an_error_while_we_lead(lead: Lead, office: Office) -> None:
    """Two stores with one framework id: a copy was put to use.  With one store, the old leader's end is no error."""
    old = lead(Lease(SystemClock()))
    until(lambda: old.scheduler.view.master.reconciled, "a subscription")
    copy = MemoryStore()
    copy.write(dict(office.store.load("")), term=copy.new_term())
    new = Leader(replace(office, store=copy), Lease(SystemClock()))
    new.start()
    until(lambda: connected(new), "the other's subscription")
    old.wait()
    with pytest.raises(FrameworkRefused, match="failed over"):
        old.stop()
    new.stop()


def test_a_leader_of_the_past_ends_quietly(lead: Lead, office: Office) -> None:
    """Its writes are refused: that is how it learns of it, and no fault."""
    leader = lead(Lease(SystemClock()))
    until(lambda: leader.scheduler.view.master.reconciled, "a subscription")
    office.store.new_term()
    promise = leader.scheduler.ask(Submit(spec=SPEC))
    with pytest.raises(StaleLeader):
        promise.result(30)
    leader.wait()
    leader.stop()
