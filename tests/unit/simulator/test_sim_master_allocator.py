"""The allocator by itself: fairness as examples, its accounts as laws that hold for any history."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from headgate.simulator.master.allocator import Allocator
from headgate.simulator.master.books import Quota, Subscriber
from headgate.simulator.master.settings import MasterSettings
from headgate.simulator.master.sorter import Sorter
from headgate.simulator.resources import Resources, parse

TOTALS = {"cpus": 10_000, "mem": 100_000}


def sorter(*clients: str, weights: dict[str, float] | None = None) -> Sorter:
    made = Sorter(TOTALS, weights or {})
    for client in clients:
        made.add(client)
        made.activate(client)
    return made


def test_the_largest_fraction_of_any_kind_decides() -> None:
    made = sorter("a", "b")
    made.allocated("a", {"cpus": 2_000})
    made.allocated("b", {"cpus": 1_000, "mem": 30_000})
    assert made.sort() == ["a", "b"]


def test_equal_shares_go_by_the_number_of_allocations_then_by_name() -> None:
    made = sorter("b", "a", "c")
    assert made.sort() == ["a", "b", "c"]
    made.allocated("a", {"cpus": 1})
    made.unallocated("a", {"cpus": 1})
    assert made.sort() == ["b", "c", "a"]


def test_a_weight_divides_the_share() -> None:
    made = sorter("a", "b", weights={"a": 3.0})
    made.allocated("a", {"cpus": 2_000})
    made.allocated("b", {"cpus": 1_000})
    assert made.sort() == ["a", "b"]


def test_siblings_compete_with_all_that_is_below_them() -> None:
    made = sorter("eng", "eng/web", "ops", "eng/db")
    made.allocated("eng/db", {"cpus": 3_000})
    made.allocated("ops", {"cpus": 2_000})
    assert made.sort() == ["ops", "eng", "eng/web", "eng/db"]
    made.deactivate("eng")
    assert made.sort() == ["ops", "eng/web", "eng/db"]


def test_a_removed_client_leaves_no_share_behind() -> None:
    made = sorter("eng", "eng/web", "ops")
    made.allocated("eng/web", {"cpus": 5_000})
    made.allocated("ops", {"cpus": 1_000})
    made.remove("eng/web")
    assert made.sort() == ["eng", "ops"]
    assert made.total_holding()["cpus"] == 1_000


paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@given(st.sets(paths, min_size=1), st.lists(st.tuples(paths, st.integers(1, 3_000)), max_size=10))
def test_every_active_client_is_sorted_once(clients: set[str], held: list[tuple[str, int]]) -> None:
    made = sorter(*sorted(clients))
    for client, amount in held:
        if client in clients:
            made.allocated(client, {"cpus": amount})
    assert sorted(made.sort()) == sorted(clients)


class Accounts(RuleBasedStateMachine):
    """Offers are made, declined, used and given back in any order; nobody may ever have what another has."""

    offers = Bundle("offers")
    tasks = Bundle("tasks")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.allocator = Allocator(MasterSettings(), Random(3))
        self.totals = {f"S{number}": parse("cpus:2;mem:1024;ports:[1-50]") for number in range(3)}
        for agent_id, total in self.totals.items():
            self.allocator.add_agent(agent_id, {"hostname": "h"}, total, {}, None)
        for number in range(3):
            wishes = Subscriber(roles=(f"r{number % 2}",), suppressed=frozenset(), capabilities=frozenset())
            self.allocator.add_framework(f"F{number}", wishes, {}, active=True)
        self.held: dict[int, tuple[str, str, Resources]] = {}
        self.refused: list[tuple[str, str, Resources, float]] = []
        self.number = 0

    def hold(self, framework_id: str, agent_id: str, resources: Resources) -> int:
        self.number += 1
        self.held[self.number] = (framework_id, agent_id, resources)
        return self.number

    @rule(target=offers)
    def batch(self) -> int:
        self.now += 1.0
        for agent_id in self.totals:
            self.allocator.filter_expired(agent_id)
        made = [0]
        for grant in self.allocator.batch(self.now).grants:
            offered = grant.resources.allocated(None)
            for framework_id, agent_id, resources, until in self.refused:
                same = (framework_id, agent_id) == (grant.framework_id, grant.agent_id)
                assert not (same and until > self.now and resources.contains(offered)), "a filter was not honoured"
            made.append(self.hold(grant.framework_id, grant.agent_id, grant.resources))
        return made[-1]

    @rule(offer=consumes(offers), seconds=st.sampled_from([0.0, 3.0, 20.0]))
    def decline(self, offer: int, seconds: float) -> None:
        if offer in self.held:
            framework_id, agent_id, resources = self.held.pop(offer)
            until = self.now + seconds if seconds else None
            self.allocator.recover(framework_id, agent_id, resources, refuse_until=until)
            if until is not None:
                self.refused.append((framework_id, agent_id, resources.allocated(None), until))

    @rule(target=tasks, offer=consumes(offers), cpus=st.integers(1, 2_000))
    def launch(self, offer: int, cpus: int) -> int:
        if offer not in self.held:
            return 0
        framework_id, agent_id, resources = self.held.pop(offer)
        role = next(iter(resources))[0].allocation
        wanted = parse(f"cpus:{cpus / 1000}").allocated(role)
        used = wanted if resources.contains(wanted) else Resources()
        self.allocator.recover(framework_id, agent_id, resources - used)
        return self.hold(framework_id, agent_id, used)

    @rule(task=consumes(tasks))
    def end(self, task: int) -> None:
        if task in self.held:
            framework_id, agent_id, resources = self.held.pop(task)
            self.allocator.recover(framework_id, agent_id, resources)

    @rule(number=st.integers(0, 2))
    def revive(self, number: int) -> None:
        framework_id = f"F{number}"
        self.refused = [entry for entry in self.refused if entry[0] != framework_id]
        self.allocator.revive(framework_id, ())

    @rule(role=st.sampled_from(["r0", "r1"]), cpus=st.integers(0, 4))
    def limit(self, role: str, cpus: int) -> None:
        self.allocator.set_quota(role, Quota(limits={"cpus": 1000 * cpus} if cpus else {}))

    @invariant()
    def held_and_free_make_the_total(self) -> None:
        for agent_id, total in self.totals.items():
            held = Resources.total(
                resources.allocated(None) for _, agent, resources in self.held.values() if agent == agent_id
            )
            assert held + self.allocator.available(agent_id) == total


Accounts.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAccounts = Accounts.TestCase


@given(st.integers(0, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_guarantees_and_limits_hold_in_one_run(guarantee: int, limit: int, seed: int) -> None:
    allocator = Allocator(MasterSettings(), Random(seed))
    for number in range(3):
        allocator.add_agent(f"S{number}", {"hostname": "h"}, parse("cpus:2;mem:1024"), {}, None)
    guaranteed = {"cpus": 1000 * guarantee} if guarantee else {}
    allocator.set_quota("a", Quota(guarantees=guaranteed))
    allocator.set_quota("b", Quota(limits={"cpus": 1000 * limit}))
    for role in ("b", "c"):
        wishes = Subscriber(roles=(role,), suppressed=frozenset(), capabilities=frozenset())
        allocator.add_framework(role, wishes, {}, active=True)
    grants = allocator.run(0.0).grants
    offered = {role: Resources.total(g.resources for g in grants if g.role == role).scalar("cpus") for role in "bc"}
    assert offered["b"] <= limit
    assert sum(offered.values()) <= 6 - guarantee


def test_ten_thousand_agents_are_offered_in_one_run() -> None:
    allocator = Allocator(MasterSettings(), Random(1))
    total = parse("cpus:8;mem:16384;disk:100000;ports:[31000-32000]")
    for number in range(10_000):
        allocator.add_agent(f"S{number}", {"hostname": "h"}, total, {}, None)
    wishes = Subscriber(roles=("web",), suppressed=frozenset(), capabilities=frozenset())
    allocator.add_framework("F", wishes, {}, active=True)
    assert len(allocator.run(0.0).grants) == 10_000
    assert not allocator.has_work()
