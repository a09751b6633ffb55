"""The flow of offers: nothing hoarded, nobody starved, and what is needed comes.  The numbers are others' bugs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from paper_cluster import GIB, SETTINGS, PaperCluster, job_spec, started

from headgate.adapters.memory_store import MemoryStore
from headgate.core.intake import heeds_constraints
from headgate.errors import CallRejected, MasterUnavailable
from headgate.model.call import Accept, Call, Decline, Kill, Revive, SendMessage, Suppress, UpdateFramework
from headgate.model.event import Disconnected, Offers, Rescinded, Subscribed
from headgate.model.ids import AgentId, JobName, OfferId, TaskId
from headgate.model.job import Operator, Placement, Workers
from headgate.model.offer import Offer
from headgate.model.resources import Request, Resources
from headgate.model.status import TaskState

PATIENCE = SETTINGS.patience


def declines(cluster: PaperCluster) -> list[Decline]:
    return [call for call in cluster.calls if isinstance(call, Decline)]


def flow_calls(cluster: PaperCluster) -> list[Call]:
    return [call for call in cluster.calls if isinstance(call, Revive | Suppress)]


def test_an_idle_scheduler_holds_no_offer_and_asks_for_none() -> None:
    """mesos/storm #50, #132, #200: nimbus took every CPU before there was any topology, and kept what it had.

    spark SPARK-19702: the dispatcher was offered everything while it had nothing to start.
    """
    cluster = PaperCluster(3)
    started(cluster)
    cluster.advance(120.0)
    assert cluster.suppressed == {"*"}
    assert cluster.offers == {}
    assert len(flow_calls(cluster)) == 1


def test_what_cannot_help_is_declined_for_long_and_never_for_ever() -> None:
    """Marathon #1931: declines of 5 s starve everybody else; dpark's of 0xFFFFFFFF s starve oneself."""
    cluster = PaperCluster(3, cpus=1)
    started(cluster, job_spec(worker=Request(cpus_m=3000, mem_m=GIB)))
    cluster.advance(30.0)
    assert declines(cluster)
    assert {call.refuse_s for call in declines(cluster)} == {PATIENCE.refuse_long_s}
    assert 120.0 <= PATIENCE.refuse_long_s <= 3600.0
    assert len(declines(cluster)) <= 2, "once declined it is not offered again"


def test_a_job_that_has_all_its_workers_gets_no_more_offers() -> None:
    """Spark SPARK-13001, SPARK-20483: frameworks at their maximum kept being offered, and kept others from it."""
    cluster = PaperCluster(3)
    cluster.put_shards("delays", 2)
    started(cluster, job_spec(workers=2))
    cluster.until(lambda: len(cluster.live()) == 2)
    cluster.advance(10.0)
    assert cluster.suppressed == {"*"}
    received = len(cluster.sent(Decline)) + len(cluster.sent(Accept))
    cluster.advance(300.0)
    assert len(cluster.sent(Decline)) + len(cluster.sent(Accept)) == received


def test_offers_that_do_not_fit_do_not_pile_up() -> None:
    """FLINK-14029, FLINK-14158: a few skewed offers that were kept filled the role's quota, and nothing else came."""
    cluster = PaperCluster(0)
    started(cluster, job_spec(worker=Request(cpus_m=2000, mem_m=GIB)))
    for number in range(40):
        cluster.add_agent(f"skewed{number}", cpus=1)
    for _ in range(20):
        cluster.advance(1.0)
        assert cluster.offers == {}
    cluster.add_agent("good", cpus=4)
    cluster.until(lambda: [task.launch.agent_id for task in cluster.live()] == ["good"], within=10.0)


def test_suppression_is_believed_only_until_an_offer_comes() -> None:
    """A SUPPRESS that was lost on its way is said again when offers show it (dcos-commons: rewritten eight times)."""
    cluster = PaperCluster(1)
    started(cluster)
    cluster.advance(5.0)
    assert cluster.suppressed == {"*"}
    cluster.suppressed.clear()
    cluster.filters.clear()
    cluster.advance(5.0)
    assert cluster.suppressed == {"*"}
    assert cluster.offers == {}


def test_after_a_subscription_what_is_there_is_looked_at_first() -> None:
    """Offers show agents, and executors of ours that a leader before knew of; without any it waits for a moment."""
    seen = PaperCluster(1)
    scheduler = started(seen)
    seen.advance(10.0)
    assert [agent.hostname for agent in scheduler.view.agents]
    empty = PaperCluster(0)
    started(empty)
    empty.advance(PATIENCE.look_s - 1.0)
    assert flow_calls(empty) == []
    empty.advance(2.0)
    assert empty.suppressed == {"*"}


def test_one_place_decides_whether_offers_flow() -> None:
    """Marathon #3991, MARATHON-8663: one part suppressed what another had just revived, many times a minute."""
    cluster = PaperCluster(2)
    cluster.put_shards("delays", 4)
    scheduler = started(cluster, job_spec(workers=Workers(min=1, max=4, initial=1)))
    cluster.advance(5.0)
    sent = [(0.0, call) for call in flow_calls(cluster)]
    cluster.watchers.append(lambda: sent.extend((cluster.now, call) for call in flow_calls(cluster)[len(sent) :]))
    for workers in (4, 1, 3, 2, 4):
        scheduler.scale(JobName("delays"), workers)
        cluster.advance(3.0)
    cluster.advance(60.0)
    instants = [at for at, _ in sent if at]
    assert len(instants) <= 10
    assert all(later - earlier >= PATIENCE.revive_s for earlier, later in itertools.pairwise(instants))
    assert cluster.suppressed == {"*"}


def test_a_role_that_wants_nothing_is_suppressed_while_another_flows() -> None:
    """By role, as of MULTI_ROLE; and a role goes with its last job."""
    cluster = PaperCluster(1)
    scheduler = started(
        cluster,
        job_spec("small", role="web"),
        job_spec("large", role="db", worker=Request(cpus_m=64_000, mem_m=GIB)),
    )
    cluster.until(lambda: len(cluster.live("small")) == 1)
    cluster.advance(5.0)
    assert cluster.suppressed == {"*", "web"}
    scheduler.cancel(JobName("large"))
    cluster.until(lambda: cluster.roles == ("*", "web"))
    scheduler.cancel(JobName("small"))
    cluster.until(lambda: cluster.roles == ("*",))


def test_a_launch_on_an_offer_that_is_gone_is_repeated_without_punishment() -> None:
    """The RESCIND crosses the ACCEPT on the wire: DROPPED with REASON_INVALID_OFFERS says nothing of the worker.

    task_processing PR #69: such tasks were lost, or put back by hand.
    """
    cluster = PaperCluster(1)
    scheduler = started(cluster)
    cluster.advance(5.0)
    scheduler.deliver(
        Offers(
            offers=(
                Offer(
                    id=OfferId("gone"),
                    agent_id=AgentId("a0"),
                    hostname="a0.example",
                    resources=Resources(cpus_m=4000, mem_m=8 * GIB),
                    received_at=cluster.now,
                ),
            )
        )
    )
    scheduler.submit(job_spec(worker=Request(cpus_m=1000, mem_m=GIB)))
    cluster.tick()
    scheduler.deliver(Rescinded(offer_id=OfferId("gone")))
    assert TaskId("delays.1.0.0") not in cluster.tasks
    cluster.until(lambda: [task.id for task in cluster.live()] == ["delays.1.0.1"], within=10.0)
    cluster.until(lambda: all(task.state is TaskState.RUNNING for task in cluster.live()))
    slot = scheduler._world.ledger.worker(JobName("delays"), 0)
    assert slot.failures == 0
    assert not scheduler._world.ledger.agents.get(AgentId("a0"))


def test_who_waits_for_revocable_resources_keeps_no_others_from_anybody() -> None:
    """Plain offers are of no use to an extra worker, so they are declined for long; and the wait is explained."""
    cluster = PaperCluster(2)
    scheduler = started(cluster, job_spec(workers=2, revocable=True))
    cluster.until(lambda: len(cluster.live()) == 1)
    told = cluster.sent(UpdateFramework)[-1]
    assert isinstance(told, UpdateFramework)
    assert "REVOCABLE_RESOURCES" in told.framework.capabilities
    cluster.calls.clear()
    cluster.advance(50.0)
    assert [task.launch.revocable for task in cluster.live()] == [()]
    assert {call.refuse_s for call in declines(cluster)} <= {PATIENCE.refuse_long_s}
    assert len(declines(cluster)) <= 2
    waiting = scheduler.view.jobs[0].waiting
    assert waiting is not None
    assert "runs on revocable resources only, and none fit now" in waiting.text


PICKY = job_spec(role="web", placement=(Placement(attribute="rack", operator=Operator.IS, value="r1"),))


class Master:
    """The paper master, of a version of choice, that may refuse constraints."""

    def __init__(self, cluster: PaperCluster, *, refuses: bool = False) -> None:
        self._cluster = cluster
        self._refuses = refuses
        self.updates: list[UpdateFramework] = []

    def send(self, call: Call) -> None:
        if isinstance(call, UpdateFramework):
            self.updates.append(call)
            if self._refuses and call.offer_constraints:
                raise CallRejected("Offer constraints are not valid", status=400)
        self._cluster.send(call)


def constrained(version: str | None, *, refuses: bool = False) -> tuple[PaperCluster, Master]:
    cluster = PaperCluster(1)
    master = Master(cluster, refuses=refuses)
    scheduler = cluster.attach(MemoryStore(), master)
    scheduler.deliver(Disconnected(reason="other version"))
    scheduler.deliver(Subscribed(framework_id=cluster.framework_id, master="paper:5050", master_version=version))
    scheduler.submit(PICKY)
    cluster.advance(20.0)
    return cluster, master


@pytest.mark.parametrize(
    ("version", "heeded"),
    [("1.11.0", True), ("1.12.0-dev", True), ("2.0.0", True), ("1.10.1", False), ("1.9.0", False), (None, False)],
)
def test_constraints_are_for_masters_that_know_them(version: str | None, heeded: bool) -> None:
    """From 1.11 on; to an older one nothing is said of them."""
    assert heeds_constraints(version) is heeded
    _, master = constrained(version)
    assert bool(master.updates[-1].offer_constraints) is heeded
    assert ("web" in master.updates[-1].framework.roles) is True


def test_a_master_that_refuses_constraints_is_told_the_rest_without() -> None:
    """And is not asked again and again."""
    cluster, master = constrained("1.12.0", refuses=True)
    assert [bool(call.offer_constraints) for call in master.updates] == [True, False]
    assert "web" in cluster.roles
    cluster.advance(600.0)
    assert not any(call.offer_constraints for call in master.updates[1:])
    assert len(master.updates) <= 4


class Mumbling:
    """The paper master, whose first answer to a change is lost though it has taken it."""

    def __init__(self, cluster: PaperCluster) -> None:
        self._cluster = cluster
        self.updates: list[UpdateFramework] = []

    def send(self, call: Call) -> None:
        self._cluster.send(call)
        if isinstance(call, UpdateFramework):
            self.updates.append(call)
            if len(self.updates) == 1:
                raise MasterUnavailable("the answer is lost")


def test_a_change_whose_answer_was_lost_is_not_taken_for_one_that_was_not_made() -> None:
    """Else constraints that nobody wants any more would hide agents for ever."""
    cluster = PaperCluster(1)
    master = Mumbling(cluster)
    scheduler = cluster.attach(MemoryStore(), master)
    scheduler.deliver(Disconnected(reason="other version"))
    scheduler.deliver(Subscribed(framework_id=cluster.framework_id, master="paper:5050", master_version="1.12.0"))
    scheduler.submit(PICKY)
    cluster.until(lambda: bool(master.updates))
    assert set(master.updates[0].offer_constraints) == {"web"}
    scheduler.cancel(PICKY.name)
    cluster.advance(30.0)
    assert len(master.updates) > 1
    assert "web" not in master.updates[-1].framework.roles
    assert master.updates[-1].offer_constraints == {}


class Stubborn:
    """The paper master, which refuses some kinds of calls."""

    def __init__(self, cluster: PaperCluster, *kinds: type) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self.refused: list[Call] = []

    def send(self, call: Call) -> None:
        if isinstance(call, self._kinds):
            self.refused.append(call)
            raise CallRejected("not like this", status=400)
        self._cluster.send(call)


def test_what_the_master_refuses_is_not_asked_for_every_second() -> None:
    """Nobody reads a log of refusals; what is repeated waits as long as if it had been taken."""
    cluster = PaperCluster(1)
    master = Stubborn(cluster, Revive, SendMessage, Kill)
    scheduler = cluster.attach(MemoryStore(), master)
    cluster.put_shards("delays", 1)
    scheduler.submit(job_spec())
    scheduler.submit(job_spec("huge", worker=Request(cpus_m=64_000)))
    cluster.advance(30.0)
    assert len([call for call in master.refused if isinstance(call, Revive)]) <= 3
    assert (
        len([call for call in master.refused if isinstance(call, SendMessage)]) <= 30.0 / PATIENCE.assignment_resend_s
    )
    scheduler.cancel(JobName("delays"))
    cluster.advance(120.0)
    kills = [call for call in master.refused if isinstance(call, Kill)]
    assert 1 <= len(kills) <= 60.0 / PATIENCE.kill_resend_s


def test_constraints_follow_what_is_pending() -> None:
    """They change with it, at most so often, and come with the offers they are for."""
    cluster, master = constrained("1.12.0")
    scheduler = cluster.scheduler
    assert scheduler is not None
    before = len(master.updates)
    scheduler.submit(replace(PICKY, name=JobName("other"), placement=()))
    cluster.advance(5.0)
    assert master.updates[before].offer_constraints == {}, "the other job may go anywhere"
    assert set(master.updates[-1].offer_constraints) == {"web"}, "and has gone"
    before = len(master.updates)
    for number in range(5):
        scheduler.submit(replace(PICKY, name=JobName(f"n{number}"), role=f"role{number}"))
        cluster.advance(0.5)
    cluster.advance(10.0)
    assert len(master.updates) - before <= 6, "one for each new role, and one for constraints"
    assert set(master.updates[-1].offer_constraints) == {"web", *(f"role{number}" for number in range(5))}
