"""Who is offered what: the hierarchical allocator.

Frameworks and agents come and go, resources are recovered, converted and refused; a run then decides on offers
(`allocation_run`) from the books (`books`).

A run is asked for by events (`is_asked`) or is the regular batch, which visits the agents that may have something new
to give: those whose resources came back, whose filters expired, or whose takers changed.

Source: Mesos's HierarchicalAllocatorProcess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

from headgate.simulator.master.allocation_run import AllocationRun, Grant
from headgate.simulator.master.books import Books, Giver, Quota, Subscriber, Taker
from headgate.simulator.master.filters import Filters
from headgate.simulator.master.quantities import Quantities
from headgate.simulator.master.settings import MasterSettings
from headgate.simulator.messages import Json
from headgate.simulator.resources import EMPTY, Conversion, Resources, apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run decided: offers, and (framework, agent) pairs to be asked for their resources back."""

    grants: tuple[Grant, ...]
    inverse: tuple[tuple[str, str], ...]


class Allocator:
    """The accounts of all agents and frameworks."""

    def __init__(self, settings: MasterSettings, randomness: Random) -> None:
        self._books = Books(settings)
        self._randomness = randomness
        self._asked: set[str] = set()
        self._stale: set[str] = set()
        self._awaited: int | None = None
        self.runs = 0

    # --- frameworks ----------------------------------------------------------------------------------------------

    def add_framework(
        self, framework_id: str, wishes: Subscriber, used: Mapping[str, Resources], *, active: bool
    ) -> None:
        """A framework and what it already has by agent; asks for a run if it is active."""
        taker = Taker(framework_id, wishes, active)
        self._books.takers[framework_id] = taker
        for role in wishes.roles:
            self._books.track_under(framework_id, role)
            self._books.set_sorted(taker, role)
        for agent_id, resources in used.items():
            if agent_id in self._books.givers:
                self._books.take(framework_id, agent_id, resources)
        if active:
            self.ask_all()

    def update_framework(self, framework_id: str, wishes: Subscriber) -> None:
        """New wishes; takes effect at the next run.  Filters of roles dropped or no longer suppressed are gone."""
        taker = self._books.takers[framework_id]
        old, taker.wishes = taker.wishes, wishes
        for role in wishes.roles:
            if role not in old.roles and not self._books.is_tracked(framework_id, role):
                self._books.track_under(framework_id, role)
            self._books.set_sorted(taker, role)
        for role in old.roles:
            if role not in wishes.roles:
                taker.filters.forget_role(role)
                self._books.set_sorted(taker, role)
                self._books.untrack_if_empty(taker, role)
        for role in old.suppressed - wishes.suppressed:
            taker.filters.forget_role(role)
        if old.suppressed - wishes.suppressed:
            taker.filters.forget_inverse()
        self._stale.update(self._books.givers)

    def activate_framework(self, framework_id: str) -> None:
        """It can be offered something again; asks for a run."""
        taker = self._books.takers[framework_id]
        taker.active = True
        for role in taker.wishes.roles:
            self._books.set_sorted(taker, role)
        self.ask_all()

    def deactivate_framework(self, framework_id: str) -> None:
        """No more offers; all its filters are forgotten."""
        taker = self._books.takers[framework_id]
        taker.active = False
        taker.filters = Filters()
        for role in taker.wishes.roles:
            self._books.set_sorted(taker, role)

    def remove_framework(self, framework_id: str) -> None:
        """Forget it; what it had is free."""
        taker = self._books.takers[framework_id]
        for agent_id, giver in self._books.givers.items():
            if framework_id in giver.used:
                self._books.give_back(framework_id, agent_id, giver.used[framework_id])
                self._stale.add(agent_id)
        for role in taker.wishes.roles:
            self._books.untrack(framework_id, role)
        del self._books.takers[framework_id]

    def suppress(self, framework_id: str, which: Iterable[str]) -> None:
        """No offers for these roles (none named: all)."""
        taker = self._books.takers[framework_id]
        chosen = frozenset(which) or frozenset(taker.wishes.roles)
        self._suppressed(taker, taker.wishes.suppressed | chosen)

    def revive(self, framework_id: str, which: Iterable[str]) -> None:
        """Offers for these roles again (none named: all), whatever was refused; asks for a run."""
        taker = self._books.takers[framework_id]
        chosen = frozenset(which) or frozenset(taker.wishes.roles)
        taker.filters.forget_inverse()
        for role in chosen:
            taker.filters.forget_role(role)
        self._suppressed(taker, taker.wishes.suppressed - chosen)
        self.ask_all()

    def _suppressed(self, taker: Taker, suppressed: frozenset[str]) -> None:
        old = taker.wishes
        taker.wishes = replace(old, suppressed=suppressed)
        for role in old.roles:
            self._books.set_sorted(taker, role)

    # --- agents --------------------------------------------------------------------------------------------------

    def add_agent(
        self, agent_id: str, info: Json, total: Resources, used: Mapping[str, Resources], unavailability: Json | None
    ) -> None:
        """An agent with what runs on it by (known) framework; asks for a run on it."""
        giver = Giver(id=agent_id, info=info, total=EMPTY, available=EMPTY, unavailability=unavailability)
        self._books.givers[agent_id] = giver
        self._books.set_total(giver, total)
        for framework_id, resources in used.items():
            self._books.take(framework_id, agent_id, resources)
        self._asked.add(agent_id)
        if self._awaited is not None and len(self._books.givers) >= self._awaited:
            self.resume()

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent with all that is on it, and the filters for it."""
        giver = self._books.givers[agent_id]
        for framework_id, resources in list(giver.used.items()):
            self._books.give_back(framework_id, agent_id, resources)
        self._books.set_total(giver, EMPTY)
        del self._books.givers[agent_id]
        self._asked.discard(agent_id)
        self._stale.discard(agent_id)
        for taker in self._books.takers.values():
            taker.filters.forget_agent(agent_id)

    def update_agent(self, agent_id: str, info: Json, total: Resources) -> None:
        """An agent came back, perhaps changed; asks for a run on it if it has."""
        giver = self._books.givers[agent_id]
        if giver.info.get("attributes") != info.get("attributes"):
            for taker in self._books.takers.values():
                taker.filters.forget_agent(agent_id)
        changed = giver.info != info or giver.total != total
        giver.info = info
        self._books.set_total(giver, total)
        if changed:
            self._asked.add(agent_id)

    def set_agent_active(self, agent_id: str, *, active: bool) -> None:
        """Whether it may be offered."""
        self._books.givers[agent_id].active = active
        if active:
            self._stale.add(agent_id)

    def set_unavailability(self, agent_id: str, unavailability: Json | None) -> None:
        """A maintenance window came, changed or went; inverse offers start anew; asks for a run on the agent."""
        giver = self._books.givers[agent_id]
        giver.unavailability = unavailability
        giver.asked.clear()
        for taker in self._books.takers.values():
            taker.filters.forget_inverse(agent_id)
        self._asked.add(agent_id)

    def total(self, agent_id: str) -> Resources:
        """All that an agent has, unallocated."""
        return self._books.givers[agent_id].total

    def available(self, agent_id: str) -> Resources:
        """What is neither offered nor allocated."""
        return self._books.givers[agent_id].available

    def cluster_totals(self) -> Quantities:
        """The scalars of all agents."""
        return {name: amount for name, amount in self._books.totals.items() if amount > 0}

    # --- accounts ------------------------------------------------------------------------------------------------

    def recover(
        self,
        framework_id: str,
        agent_id: str,
        resources: Resources,
        *,
        refuse_until: float | None = None,
    ) -> None:
        """Offered or allocated resources are free again; a filter keeps them from their last holder for a while."""
        if not resources or agent_id not in self._books.givers or framework_id not in self._books.takers:
            return
        self._books.give_back(framework_id, agent_id, resources)
        self._stale.add(agent_id)
        if refuse_until is not None:
            role = next(iter(resources))[0].allocation
            assert role is not None
            self._books.takers[framework_id].filters.add(role, agent_id, resources.allocated(None), refuse_until)

    def convert(self, framework_id: str, agent_id: str, offered: Resources, steps: list[Conversion]) -> None:
        """What a framework holds as offers is changed (reserved, made a volume …), and so is the agent's total."""
        changed = apply(offered, steps)
        assert isinstance(changed, Resources), changed
        self._books.give_back(framework_id, agent_id, offered)
        giver = self._books.givers[agent_id]
        total = apply(giver.total, [_unallocated(step) for step in steps if step.consumed])
        assert isinstance(total, Resources), total
        self._books.set_total(giver, total)
        self._books.take(framework_id, agent_id, changed)

    def convert_free(self, agent_id: str, steps: list[Conversion]) -> None:
        """The operator changes resources that nobody has."""
        giver = self._books.givers[agent_id]
        total = apply(giver.total, steps)
        assert isinstance(total, Resources), total
        self._books.set_total(giver, total)
        self._stale.add(agent_id)

    # --- roles ---------------------------------------------------------------------------------------------------

    @property
    def weights(self) -> Mapping[str, float]:
        """The weights that roles were given."""
        return self._books.weights

    @property
    def quotas(self) -> Mapping[str, Quota]:
        """The quotas that roles were given, empty ones included."""
        return self._books.quotas

    def set_weight(self, role: str, weight: float) -> None:
        """A role's weight; asks for nothing."""
        self._books.weights[role] = weight
        self._books.role_sorter.changed()

    def set_quota(self, role: str, quota: Quota) -> None:
        """A role's guarantees and limits; they hold from the next run."""
        self._books.quotas[role] = quota
        self._stale.update(self._books.givers)

    # --- filters and inverse offers ------------------------------------------------------------------------------

    def answered_inverse(self, framework_id: str, agent_id: str, *, refuse_until: float | None) -> None:
        """An inverse offer was answered or taken back; it may be made again (after the filter, if there is one)."""
        giver = self._books.givers.get(agent_id)
        if giver is not None:
            giver.asked.discard(framework_id)
            self._stale.add(agent_id)
        if refuse_until is not None and framework_id in self._books.takers:
            self._books.takers[framework_id].filters.add_inverse(agent_id, refuse_until)

    def filter_expired(self, agent_id: str) -> None:
        """A filter for this agent has run out."""
        if agent_id in self._books.givers:
            self._stale.add(agent_id)

    # --- runs ----------------------------------------------------------------------------------------------------

    def ask_all(self) -> None:
        """Ask for a run on all agents."""
        self._asked.update(self._books.givers)

    def pause(self, agents: int) -> None:
        """Hold all offers back until so many agents are there, or `resume`.

        With quotas, a new master must not give away what belongs to roles whose agents are still on their way.
        """
        self._awaited = agents or None

    def resume(self) -> None:
        """Offer again; what was asked for meanwhile is due now."""
        self._awaited = None

    def is_asked(self) -> bool:
        """Whether a run has been asked for."""
        return bool(self._asked) and self._awaited is None

    def has_work(self) -> bool:
        """Whether the next batch could decide anything that the last run did not."""
        return bool(self._stale) and self._awaited is None

    def batch(self, now: float) -> Outcome:
        """The regular run, on whatever may have changed."""
        self._asked |= set(self._books.givers) if any(self._books.quotas.values()) else self._stale
        return self.run(now)

    def run(self, now: float) -> Outcome:
        """Decide on the agents that were asked for."""
        self.runs += 1
        candidates = sorted(agent_id for agent_id in self._asked if agent_id in self._books.givers)
        self._asked.clear()
        self._stale.difference_update(candidates)
        visited = [agent_id for agent_id in candidates if self._books.givers[agent_id].active]
        grants = AllocationRun(self._books, self._randomness, now).decide(visited)
        inverse = [pair for agent_id in visited for pair in self._inverse(agent_id, now)]
        return Outcome(grants=tuple(grants), inverse=tuple(inverse))

    def _inverse(self, agent_id: str, now: float) -> list[tuple[str, str]]:
        giver = self._books.givers[agent_id]
        if giver.unavailability is None:
            return []
        asked: list[tuple[str, str]] = []
        for framework_id in giver.used:
            taker = self._books.takers.get(framework_id)
            if taker is None or not taker.active or framework_id in giver.asked:
                continue
            if not taker.filters.hides_inverse(agent_id, now):
                giver.asked.add(framework_id)
                asked.append((framework_id, agent_id))
        return asked


def _unallocated(step: Conversion) -> Conversion:
    gone = None if step.gone is None else step.gone.allocated(None)
    return Conversion(consumed=step.consumed.allocated(None), converted=step.converted.allocated(None), gone=gone)
