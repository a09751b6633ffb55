"""Who is offered what: the hierarchical allocator.

It keeps, for each agent, what there is and what is offered or allocated to whom.  A run visits agents in random order
and gives each to the roles and frameworks in order of fairness (`sorter`), everything an agent has to the first that
may have it.  Quota guarantees are served first, and headroom for those that are not yet met is kept free.

A run is asked for by events (`ask`) or by the regular batch, which visits the agents that may have something new to
give: those whose resources came back, whose filters expired, or whose takers changed.

Source: Mesos's HierarchicalAllocatorProcess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from headgate.simulator.master import quantities
from headgate.simulator.master.constraints import Constraints
from headgate.simulator.master.filters import Filters
from headgate.simulator.master.quantities import Quantities
from headgate.simulator.master.settings import MasterSettings
from headgate.simulator.master.sorter import Sorter
from headgate.simulator.messages import Json
from headgate.simulator.resources import EMPTY, Conversion, Kind, Resources, Thousandths, apply, roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a role is promised at least, and what it may have at most; limits name only what they limit."""

    guarantees: Mapping[str, Thousandths] = field(default_factory=dict)
    limits: Mapping[str, Thousandths] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.guarantees or self.limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """What the allocator needs to know of a framework's wishes."""

    roles: tuple[str, ...]
    suppressed: frozenset[str]
    capabilities: frozenset[str]
    min_allocatable: Mapping[str, tuple[Mapping[str, Thousandths], ...]] = field(default_factory=dict)
    constraints: Constraints = field(default_factory=Constraints)


@dataclass(slots=True)
class _Taker:
    id: str
    wishes: Subscriber
    active: bool
    filters: Filters = field(default_factory=Filters)


@dataclass(slots=True)
class _Giver:
    info: Json
    total: Resources
    available: Resources
    used: dict[str, Resources] = field(default_factory=dict)
    active: bool = True
    unavailability: Json | None = None
    asked: set[str] = field(default_factory=set)

    @property
    def has_gpus(self) -> bool:
        return self.total.scalars().get("gpus", 0) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One offer to be made; the resources are allocated to the role."""

    framework_id: str
    role: str
    agent_id: str
    resources: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run decided: offers, and (framework, agent) pairs to be asked for their resources back."""

    grants: tuple[Grant, ...]
    inverse: tuple[tuple[str, str], ...]


class Allocator:
    """The accounts of all agents and frameworks."""

    def __init__(self, settings: MasterSettings, randomness: Random) -> None:
        self._settings = settings
        self._randomness = randomness
        self._takers: dict[str, _Taker] = {}
        self._givers: dict[str, _Giver] = {}
        self._totals: Quantities = {}
        self.weights: dict[str, float] = {}
        self.quotas: dict[str, Quota] = {}
        self._role_sorter = Sorter(self._totals, self.weights)
        self._framework_sorters: dict[str, Sorter] = {}
        self._free_of_role: dict[str, Quantities] = {}
        self._reserved_in_use: Quantities = {}
        self._asked: set[str] = set()
        self._stale: set[str] = set()
        self.runs = 0

    # --- frameworks ----------------------------------------------------------------------------------------------

    def add_framework(
        self, framework_id: str, wishes: Subscriber, used: Mapping[str, Resources], *, active: bool
    ) -> None:
        """A framework and what it already has by agent; asks for a run if it is active."""
        taker = _Taker(framework_id, wishes, active)
        self._takers[framework_id] = taker
        for role in wishes.roles:
            self._track_under(framework_id, role)
            self._set_sorted(taker, role)
        for agent_id, resources in used.items():
            if agent_id in self._givers:
                self._take(framework_id, agent_id, resources)
        if active:
            self.ask_all()

    def update_framework(self, framework_id: str, wishes: Subscriber) -> None:
        """New wishes; takes effect at the next run.  Filters of roles dropped or no longer suppressed are gone."""
        taker = self._takers[framework_id]
        old, taker.wishes = taker.wishes, wishes
        for role in wishes.roles:
            if role not in old.roles and not self._is_tracked(framework_id, role):
                self._track_under(framework_id, role)
            self._set_sorted(taker, role)
        for role in old.roles:
            if role not in wishes.roles:
                taker.filters.forget_role(role)
                self._set_sorted(taker, role)
                self._untrack_if_empty(taker, role)
        for role in old.suppressed - wishes.suppressed:
            taker.filters.forget_role(role)
        if old.suppressed - wishes.suppressed:
            taker.filters.forget_inverse()
        self._stale.update(self._givers)

    def activate_framework(self, framework_id: str) -> None:
        """It can be offered something again; asks for a run."""
        taker = self._takers[framework_id]
        taker.active = True
        for role in taker.wishes.roles:
            self._set_sorted(taker, role)
        self.ask_all()

    def deactivate_framework(self, framework_id: str) -> None:
        """No more offers; all its filters are forgotten."""
        taker = self._takers[framework_id]
        taker.active = False
        taker.filters = Filters()
        for role in taker.wishes.roles:
            self._set_sorted(taker, role)

    def remove_framework(self, framework_id: str) -> None:
        """Forget it; what it had is free."""
        taker = self._takers[framework_id]
        for agent_id, giver in self._givers.items():
            if framework_id in giver.used:
                self._give_back(framework_id, agent_id, giver.used[framework_id])
        for role in taker.wishes.roles:
            self._untrack(framework_id, role)
        del self._takers[framework_id]

    def suppress(self, framework_id: str, which: Iterable[str]) -> None:
        """No offers for these roles (none named: all)."""
        taker = self._takers[framework_id]
        chosen = frozenset(which) or frozenset(taker.wishes.roles)
        self._suppressed(taker, taker.wishes.suppressed | chosen)

    def revive(self, framework_id: str, which: Iterable[str]) -> None:
        """Offers for these roles again (none named: all), whatever was refused; asks for a run."""
        taker = self._takers[framework_id]
        chosen = frozenset(which) or frozenset(taker.wishes.roles)
        taker.filters.forget_inverse()
        for role in chosen:
            taker.filters.forget_role(role)
        self._suppressed(taker, taker.wishes.suppressed - chosen)
        self.ask_all()

    def suppressed(self, framework_id: str) -> frozenset[str]:
        """The roles that are suppressed now."""
        return self._takers[framework_id].wishes.suppressed

    def _suppressed(self, taker: _Taker, suppressed: frozenset[str]) -> None:
        old = taker.wishes
        taker.wishes = Subscriber(
            roles=old.roles,
            suppressed=suppressed,
            capabilities=old.capabilities,
            min_allocatable=old.min_allocatable,
            constraints=old.constraints,
        )
        for role in old.roles:
            self._set_sorted(taker, role)

    def _set_sorted(self, taker: _Taker, role: str) -> None:
        wanted = taker.active and role in taker.wishes.roles and role not in taker.wishes.suppressed
        sorter = self._framework_sorters[role]
        (sorter.activate if wanted else sorter.deactivate)(taker.id)

    # --- agents --------------------------------------------------------------------------------------------------

    def add_agent(
        self, agent_id: str, info: Json, total: Resources, used: Mapping[str, Resources], unavailability: Json | None
    ) -> None:
        """An agent with what runs on it by (known) framework; asks for a run on it."""
        giver = _Giver(info=info, total=EMPTY, available=EMPTY, unavailability=unavailability)
        self._givers[agent_id] = giver
        self._set_total(giver, total)
        for framework_id, resources in used.items():
            self._take(framework_id, agent_id, resources)
        self._asked.add(agent_id)

    def remove_agent(self, agent_id: str) -> None:
        """Forget an agent with all that is on it, and the filters for it."""
        giver = self._givers[agent_id]
        for framework_id, resources in list(giver.used.items()):
            self._give_back(framework_id, agent_id, resources)
        self._set_total(giver, EMPTY)
        del self._givers[agent_id]
        self._asked.discard(agent_id)
        self._stale.discard(agent_id)
        for taker in self._takers.values():
            taker.filters.forget_agent(agent_id)

    def update_agent(self, agent_id: str, info: Json, total: Resources) -> None:
        """An agent came back, perhaps changed; asks for a run on it if it has."""
        giver = self._givers[agent_id]
        if giver.info.get("attributes") != info.get("attributes"):
            for taker in self._takers.values():
                taker.filters.forget_agent(agent_id)
        changed = giver.info != info or giver.total != total
        giver.info = info
        self._set_total(giver, total)
        if changed:
            self._asked.add(agent_id)

    def set_agent_active(self, agent_id: str, *, active: bool) -> None:
        """Whether it may be offered."""
        self._givers[agent_id].active = active
        if active:
            self._stale.add(agent_id)

    def set_unavailability(self, agent_id: str, unavailability: Json | None) -> None:
        """A maintenance window came, changed or went; inverse offers start anew; asks for a run on the agent."""
        giver = self._givers[agent_id]
        giver.unavailability = unavailability
        giver.asked.clear()
        for taker in self._takers.values():
            taker.filters.forget_inverse(agent_id)
        self._asked.add(agent_id)

    def total(self, agent_id: str) -> Resources:
        """All that an agent has, unallocated."""
        return self._givers[agent_id].total

    def available(self, agent_id: str) -> Resources:
        """What is neither offered nor allocated."""
        return self._givers[agent_id].available

    def cluster_totals(self) -> Quantities:
        """The scalars of all agents."""
        return {name: amount for name, amount in self._totals.items() if amount > 0}

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
        if not resources or agent_id not in self._givers or framework_id not in self._takers:
            return
        self._give_back(framework_id, agent_id, resources)
        if refuse_until is not None:
            role = next(iter(resources))[0].allocation
            assert role is not None
            self._takers[framework_id].filters.add(role, agent_id, resources.allocated(None), refuse_until)

    def convert(self, framework_id: str, agent_id: str, offered: Resources, steps: list[Conversion]) -> None:
        """What a framework holds as offers is changed (reserved, made a volume …), and so is the agent's total."""
        changed = apply(offered, steps)
        assert isinstance(changed, Resources), changed
        self._give_back(framework_id, agent_id, offered)
        giver = self._givers[agent_id]
        total = apply(giver.total, [_unallocated(step) for step in steps if step.consumed])
        assert isinstance(total, Resources), total
        self._set_total(giver, total)
        self._take(framework_id, agent_id, changed)

    def convert_free(self, agent_id: str, steps: list[Conversion]) -> None:
        """The operator changes resources that nobody has."""
        giver = self._givers[agent_id]
        total = apply(giver.total, steps)
        assert isinstance(total, Resources), total
        self._set_total(giver, total)
        self._stale.add(agent_id)

    def allocate(self, framework_id: str, agent_id: str, resources: Resources) -> None:
        """Account for something more (further copies of shared resources)."""
        self._take(framework_id, agent_id, resources)

    def _take(self, framework_id: str, agent_id: str, resources: Resources) -> None:
        giver = self._givers[agent_id]
        giver.used[framework_id] = giver.used.get(framework_id, EMPTY) + resources
        giver.available = giver.available - resources.allocated(None).filter(_not_shared)
        self._count(framework_id, resources, 1)

    def _give_back(self, framework_id: str, agent_id: str, resources: Resources) -> None:
        giver = self._givers[agent_id]
        left = giver.used.get(framework_id, EMPTY) - resources
        if left:
            giver.used[framework_id] = left
        else:
            giver.used.pop(framework_id, None)
        self._refresh(giver)
        self._stale.add(agent_id)
        self._count(framework_id, resources, -1)

    def _count(self, framework_id: str, resources: Resources, sign: int) -> None:
        taker = self._takers[framework_id]
        for role in dict.fromkeys(kind.allocation for kind, _ in resources):
            assert role is not None, resources
            part = resources.filter(lambda kind, role=role: kind.allocation == role)  # type: ignore[misc]
            if not self._is_tracked(framework_id, role):
                self._track_under(framework_id, role)
            amounts = part.scalars()
            for sorter, client in ((self._role_sorter, role), (self._framework_sorters[role], framework_id)):
                (sorter.allocated if sign > 0 else sorter.unallocated)(client, amounts)
            free = part.filter(_counts_for_quota).scalars()
            quantities.add_to(self._free_of_role.setdefault(role, {}), free, sign)
            reserved = part.filter(_is_reserved).scalars()
            quantities.add_to(self._reserved_in_use, reserved, sign)
            if sign < 0 and role not in taker.wishes.roles:
                self._untrack_if_empty(taker, role)

    def _refresh(self, giver: _Giver) -> None:
        used = Resources.total(giver.used.values()).allocated(None).filter(_not_shared)
        giver.available = giver.total - used

    def _set_total(self, giver: _Giver, total: Resources) -> None:
        if giver.total != total:
            quantities.add_to(self._totals, giver.total.scalars(), -1)
            quantities.add_to(self._totals, total.scalars())
            giver.total = total
            self._role_sorter.changed()
            for sorter in self._framework_sorters.values():
                sorter.changed()
        self._refresh(giver)

    # --- roles ---------------------------------------------------------------------------------------------------

    def _is_tracked(self, framework_id: str, role: str) -> bool:
        return role in self._framework_sorters and framework_id in self._framework_sorters[role]

    def _track_under(self, framework_id: str, role: str) -> None:
        if role not in self._framework_sorters:
            self._role_sorter.add(role)
            self._role_sorter.activate(role)
            self._framework_sorters[role] = Sorter(self._totals, {})
        self._framework_sorters[role].add(framework_id)

    def _untrack(self, framework_id: str, role: str) -> None:
        sorter = self._framework_sorters[role]
        sorter.remove(framework_id)
        if not len(sorter):
            del self._framework_sorters[role]
            self._role_sorter.remove(role)

    def _untrack_if_empty(self, taker: _Taker, role: str) -> None:
        if not self._framework_sorters[role].holds_anything(taker.id):
            self._untrack(taker.id, role)

    def set_weight(self, role: str, weight: float) -> None:
        """A role's weight; asks for nothing."""
        self.weights[role] = weight
        self._role_sorter.changed()

    def set_quota(self, role: str, quota: Quota) -> None:
        """A role's guarantees and limits; they hold from the next run."""
        self.quotas[role] = quota
        self._stale.update(self._givers)

    def quota_use(self, role: str) -> Quantities:
        """What counts against a top-level role's quota: all reservations for it or below, and the unreserved
        resources offered or allocated to it or below.
        """
        total: Quantities = {}
        for used_role, amounts in self._free_of_role.items():
            if roles.covers(role, used_role):
                quantities.add_to(total, amounts)
        for giver in self._givers.values():
            for reserved_role, pool in giver.total.reservations().items():
                if roles.covers(role, reserved_role):
                    quantities.add_to(total, pool.scalars())
        return {name: amount for name, amount in total.items() if amount > 0}

    # --- filters and inverse offers ------------------------------------------------------------------------------

    def answered_inverse(self, framework_id: str, agent_id: str, *, refuse_until: float | None) -> None:
        """An inverse offer was answered or taken back; it may be made again (after the filter, if there is one)."""
        giver = self._givers.get(agent_id)
        if giver is not None:
            giver.asked.discard(framework_id)
            self._stale.add(agent_id)
        if refuse_until is not None and framework_id in self._takers:
            self._takers[framework_id].filters.add_inverse(agent_id, refuse_until)

    def filter_expired(self, agent_id: str) -> None:
        """A filter for this agent has run out."""
        if agent_id in self._givers:
            self._stale.add(agent_id)

    # --- runs ----------------------------------------------------------------------------------------------------

    def ask(self, agent_id: str) -> None:
        """Ask for a run on one agent."""
        self._asked.add(agent_id)

    def ask_all(self) -> None:
        """Ask for a run on all agents."""
        self._asked.update(self._givers)

    def is_asked(self) -> bool:
        """Whether a run has been asked for."""
        return bool(self._asked)

    def has_work(self) -> bool:
        """Whether the next batch could decide anything that the last run did not."""
        return bool(self._stale)

    def batch(self, now: float) -> Outcome:
        """The regular run, on whatever may have changed."""
        self._asked |= set(self._givers) if self.quotas else self._stale
        return self.run(now)

    def run(self, now: float) -> Outcome:
        """Decide on the agents that were asked for."""
        self.runs += 1
        candidates = sorted(agent_id for agent_id in self._asked if agent_id in self._givers)
        self._asked.clear()
        self._stale.difference_update(candidates)
        visited = [agent_id for agent_id in candidates if self._givers[agent_id].active]
        grants = _Run(self, now).decide(visited)
        inverse = [pair for agent_id in visited for pair in self._inverse(agent_id, now)]
        return Outcome(grants=tuple(grants), inverse=tuple(inverse))

    def _is_enough(self, pool: Resources, role: str, taker: _Taker) -> bool:
        if not pool:
            return False
        alternatives = taker.wishes.min_allocatable.get(role, self._settings.min_allocatable)
        return not alternatives or quantities.satisfies(pool, alternatives)

    def _may_receive(self, taker: _Taker, giver: _Giver) -> bool:
        capabilities = taker.wishes.capabilities
        if self._settings.filter_gpu_resources and giver.has_gpus and "GPU_RESOURCES" not in capabilities:
            return False
        domain = giver.info.get("domain", {}).get("fault_domain")
        is_remote = domain is not None and domain["region"]["name"] != self._settings.region
        return not is_remote or "REGION_AWARE" in capabilities

    def _inverse(self, agent_id: str, now: float) -> list[tuple[str, str]]:
        giver = self._givers[agent_id]
        if giver.unavailability is None:
            return []
        asked: list[tuple[str, str]] = []
        for framework_id in giver.used:
            taker = self._takers.get(framework_id)
            if taker is None or not taker.active or framework_id in giver.asked:
                continue
            if not taker.filters.hides_inverse(agent_id, now):
                giver.asked.add(framework_id)
                asked.append((framework_id, agent_id))
        return asked


class _Run:
    """One pass over some agents."""

    def __init__(self, allocator: Allocator, now: float) -> None:
        self._a = allocator
        self._now = now
        self._grants: list[Grant] = []
        self._shared: dict[str, Resources] = {}
        self._consumed: dict[str, Quantities] = {}
        self._required: Quantities = {}
        self._headroom: Quantities = {}
        if any(allocator.quotas.values()):
            self._count_quota()

    def decide(self, agents: list[str]) -> list[Grant]:
        """All grants, in order."""
        order = list(agents)
        if any(quota.guarantees for quota in self._a.quotas.values()):
            self._a._randomness.shuffle(order)
            for agent_id in order:
                self._serve_guarantees(agent_id)
        self._a._randomness.shuffle(order)
        for agent_id in order:
            self._serve(agent_id)
        return self._grants

    def _count_quota(self) -> None:
        a = self._a
        for role, quota in a.quotas.items():
            if quota:
                self._consumed[role] = a.quota_use(role)
                missing = quantities.minus(quota.guarantees, self._consumed[role])
                self._required = quantities.plus(self._required, missing)
        free = quantities.minus(a._totals, a._role_sorter.total_holding())
        reserved: Quantities = {}
        revocable: Quantities = {}
        for giver in a._givers.values():
            quantities.add_to(reserved, giver.total.filter(_is_reserved).scalars())
            quantities.add_to(revocable, giver.available.filter(lambda kind: kind.revocable).scalars())
        idle_reserved = quantities.minus(reserved, a._reserved_in_use)
        self._headroom = quantities.minus(quantities.minus(free, idle_reserved), revocable)

    def _serve_guarantees(self, agent_id: str) -> None:
        a, giver = self._a, self._a._givers[agent_id]
        for role in list(a._role_sorter.sort()):
            quota = a.quotas.get(role, Quota())
            missing = quantities.minus(quota.guarantees, self._consumed.get(role, {}))
            if not giver.available:
                return
            for framework_id in list(a._framework_sorters[role].sort()) if missing else ():
                missing = quantities.minus(quota.guarantees, self._consumed.get(role, {}))
                if not missing:
                    break
                available = self._eligible(framework_id, role, agent_id)
                if not available:
                    continue
                scalars = available.filter(_counts_for_quota)
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
        a, giver = self._a, self._a._givers[agent_id]
        for role in list(a._role_sorter.sort()):
            if not giver.available:
                return
            for framework_id in list(a._framework_sorters[role].sort()):
                available = self._eligible(framework_id, role, agent_id)
                if not available:
                    continue
                scalars = available.filter(_counts_for_quota)
                additional = self._additional(role, scalars, already=EMPTY)
                rest = available if additional is scalars else available - scalars + additional
                self._grant(framework_id, role, agent_id, rest, additional)

    def _eligible(self, framework_id: str, role: str, agent_id: str) -> Resources:
        """What the framework could be given for this role, quota aside; nothing if the agent is not for it."""
        a, giver, taker = self._a, self._a._givers[agent_id], self._a._takers[framework_id]
        if taker.wishes.constraints.excludes(role, giver.info):
            return EMPTY
        available = giver.available.allocatable_to(role) - self._shared.get(agent_id, EMPTY)
        if not a._is_enough(available, role, taker) or not a._may_receive(taker, giver):
            return EMPTY
        return available.filter(lambda kind: _understands(taker.wishes.capabilities, kind))

    def _additional(self, role: str, scalars: Resources, *, already: Resources) -> Resources:
        """What limits and the headroom for others' guarantees leave of unreserved scalars."""
        result = scalars
        limits = self._a.quotas.get(role, Quota()).limits
        if limits:
            gone = quantities.plus(self._consumed.get(role, {}), already.scalars())
            left = {name: max(0, amount - gone.get(name, 0)) for name, amount in limits.items()}
            result = quantities.within_limits(result, left)
        if self._required and result:
            result = quantities.shrunk_to(result, quantities.minus(self._headroom, self._required))
        return result

    def _grant(self, framework_id: str, role: str, agent_id: str, offered: Resources, counted: Resources) -> bool:
        """Make it an offer unless it is too little or filtered; `counted` is what it takes of quota and headroom."""
        a, taker = self._a, self._a._takers[framework_id]
        if not a._is_enough(offered, role, taker) or taker.filters.hides(role, agent_id, offered, self._now):
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
        a._take(framework_id, agent_id, allocated)
        return True


def _is_reserved(kind: Kind) -> bool:
    return bool(kind.reservations)


def _not_shared(kind: Kind) -> bool:
    return not kind.shared


def _counts_for_quota(kind: Kind) -> bool:
    return kind.type == "SCALAR" and not kind.reservations and not kind.revocable


def _understands(capabilities: frozenset[str], kind: Kind) -> bool:
    if kind.shared and "SHARED_RESOURCES" not in capabilities:
        return False
    if kind.revocable and "REVOCABLE_RESOURCES" not in capabilities:
        return False
    return len(kind.reservations) <= 1 or "RESERVATION_REFINEMENT" in capabilities


def _unallocated(step: Conversion) -> Conversion:
    gone = None if step.gone is None else step.gone.allocated(None)
    return Conversion(consumed=step.consumed.allocated(None), converted=step.converted.allocated(None), gone=gone)
