"""One run of the allocator: every agent's free resources go to the first that may have them.

Agents are visited in random order; for each, roles and within them frameworks are asked in order of fairness.  Quota
guarantees are served first, and headroom for those that are not met is kept free.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from headgate.simulator.master import quantities
from headgate.simulator.master.books import NO_QUOTA, Books, counts_for_quota, is_reserved
from headgate.simulator.master.quantities import Quantities
from headgate.simulator.resources import EMPTY, Kind, Resources, roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One offer to be made; the resources are allocated to the role."""

    framework_id: str
    role: str
    agent_id: str
    resources: Resources


class AllocationRun:
    """One pass over some agents, in random order."""

    def __init__(self, books: Books, randomness: Random, now: float) -> None:
        self._books = books
        self._randomness = randomness
        self._now = now
        self._grants: list[Grant] = []
        self._shared: dict[str, Resources] = {}
        self._consumed: dict[str, Quantities] = {}
        self._required: Quantities = {}
        self._headroom: Quantities = {}
        if any(books.quotas.values()):
            self._count_quota()

    def decide(self, agents: list[str]) -> list[Grant]:
        """All grants, in order."""
        order = list(agents)
        if any(quota.guarantees for quota in self._books.quotas.values()):
            self._randomness.shuffle(order)
            for agent_id in order:
                self._serve_guarantees(agent_id)
        self._randomness.shuffle(order)
        for agent_id in order:
            self._serve(agent_id)
        return self._grants

    def _count_quota(self) -> None:
        books = self._books
        for role, quota in books.quotas.items():
            if quota:
                self._consumed[role] = books.quota_use(role)
                missing = quantities.minus(quota.guarantees, self._consumed[role])
                self._required = quantities.plus(self._required, missing)
        free = quantities.minus(books.totals, books.role_sorter.total_holding())
        reserved: Quantities = {}
        revocable: Quantities = {}
        for giver in books.givers.values():
            quantities.add_to(reserved, giver.total.filter(is_reserved).scalars())
            quantities.add_to(revocable, giver.available.filter(lambda kind: kind.revocable).scalars())
        idle_reserved = quantities.minus(reserved, books.reserved_in_use)
        self._headroom = quantities.minus(quantities.minus(free, idle_reserved), revocable)

    def _serve_guarantees(self, agent_id: str) -> None:
        books, giver = self._books, self._books.givers[agent_id]
        for role in books.role_sorter.sort():
            quota = books.quotas.get(role, NO_QUOTA)
            missing = quantities.minus(quota.guarantees, self._consumed.get(role, {}))
            if not giver.available:
                return
            for framework_id in books.framework_sorters[role].sort() if missing else ():
                missing = quantities.minus(quota.guarantees, self._consumed.get(role, {}))
                if not missing:
                    break
                available = self._eligible(framework_id, role, agent_id)
                if not available:
                    continue
                scalars = available.filter(counts_for_quota)
                promised = quantities.shrunk_to(scalars, missing)
                if not promised:
                    continue
                others = available.filter(
                    lambda kind, role=role: kind.reserved_role == role or kind.type != "SCALAR" or kind.revocable  # type: ignore[misc]
                )
                more = self._additional(role, scalars - promised, already=promised)
                if self._grant(framework_id, role, agent_id, promised + others + more, promised + more):
                    self._required = quantities.minus(self._required, promised.scalars())

    def _serve(self, agent_id: str) -> None:
        books, giver = self._books, self._books.givers[agent_id]
        for role in books.role_sorter.sort():
            if not giver.available:
                return
            for framework_id in books.framework_sorters[role].sort():
                available = self._eligible(framework_id, role, agent_id)
                if not available:
                    continue
                scalars = available.filter(counts_for_quota)
                additional = self._additional(role, scalars, already=EMPTY)
                rest = available if additional is scalars else available - scalars + additional
                self._grant(framework_id, role, agent_id, rest, additional)

    def _eligible(self, framework_id: str, role: str, agent_id: str) -> Resources:
        """What the framework could be given for this role, quota aside; nothing if the agent is not for it."""
        books, giver, taker = self._books, self._books.givers[agent_id], self._books.takers[framework_id]
        if not books.may_receive(taker, giver) or taker.wishes.constraints.excludes(role, giver.info):
            return EMPTY
        available = giver.available.allocatable_to(role) - self._shared.get(agent_id, EMPTY)
        if not books.is_enough(available, role, taker):
            return EMPTY
        return available.filter(lambda kind: _understands(taker.wishes.capabilities, kind))

    def _additional(self, role: str, scalars: Resources, *, already: Resources) -> Resources:
        """What limits and the headroom for others' guarantees leave of unreserved scalars."""
        result = scalars
        limits = self._books.quotas.get(role, NO_QUOTA).limits
        if limits:
            gone = quantities.plus(self._consumed.get(role, {}), already.scalars())
            left = {name: max(0, amount - gone.get(name, 0)) for name, amount in limits.items()}
            result = quantities.within_limits(result, left)
        if self._required and result:
            result = quantities.shrunk_to(result, quantities.minus(self._headroom, self._required))
        return result

    def _grant(self, framework_id: str, role: str, agent_id: str, offered: Resources, counted: Resources) -> bool:
        """Make it an offer unless it is too little or filtered; `counted` is what it takes of quota and headroom."""
        books, taker = self._books, self._books.takers[framework_id]
        if not books.is_enough(offered, role, taker) or taker.filters.hides(role, agent_id, offered, self._now):
            return False
        allocated = offered.allocated(role)
        self._grants.append(Grant(framework_id=framework_id, role=role, agent_id=agent_id, resources=allocated))
        shared = offered.filter(lambda kind: kind.shared)
        if shared:
            self._shared[agent_id] = self._shared.get(agent_id, EMPTY) + shared
        amounts = counted.scalars()
        for consumer in (role, *roles.ancestors(role)):
            if consumer in self._consumed:
                quantities.add_to(self._consumed[consumer], amounts)
        self._headroom = quantities.minus(self._headroom, amounts)
        books.take(framework_id, agent_id, allocated)
        return True


def _understands(capabilities: frozenset[str], kind: Kind) -> bool:
    if kind.shared and "SHARED_RESOURCES" not in capabilities:
        return False
    if kind.revocable and "REVOCABLE_RESOURCES" not in capabilities:
        return False
    return len(kind.reservations) <= 1 or "RESERVATION_REFINEMENT" in capabilities
