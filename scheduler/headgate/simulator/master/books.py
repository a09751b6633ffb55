"""The allocator's books: what each agent has, who holds what of it, and in which order roles and frameworks are served.

Every change of a holding goes through `take` and `give_back`, which keep the sums that sorting and quota need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.simulator.master import quantities
from headgate.simulator.master.constraints import Constraints
from headgate.simulator.master.filters import Filters
from headgate.simulator.master.quantities import Quantities
from headgate.simulator.master.settings import MasterSettings
from headgate.simulator.master.sorter import Sorter
from headgate.simulator.messages import Json
from headgate.simulator.resources import EMPTY, Kind, Resources, Thousandths, roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a role is promised at least, and what it may have at most; limits name only what they limit."""

    guarantees: Mapping[str, Thousandths] = field(default_factory=dict)
    limits: Mapping[str, Thousandths] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.guarantees or self.limits)


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """What the allocator needs to know of a framework's wishes."""

    roles: tuple[str, ...]
    suppressed: frozenset[str]
    capabilities: frozenset[str]
    min_allocatable: Mapping[str, tuple[Mapping[str, Thousandths], ...]] = field(default_factory=dict)
    constraints: Constraints = field(default_factory=Constraints)


@dataclass(slots=True)
class Taker:
    """A framework."""

    id: str
    wishes: Subscriber
    active: bool
    filters: Filters = field(default_factory=Filters)


@dataclass(slots=True)
class Giver:
    """An agent.  `used` is what is offered or allocated, by framework; `asked` are those with an inverse offer."""

    id: str
    info: Json
    total: Resources
    available: Resources
    used: dict[str, Resources] = field(default_factory=dict)
    active: bool = True
    unavailability: Json | None = None
    asked: set[str] = field(default_factory=set)

    @property
    def has_gpus(self) -> bool:
        """Whether it has any, in use or not."""
        return self.total.scalars().get("gpus", 0) > 0


class Books:
    """Takers, givers and sums."""

    def __init__(self, settings: MasterSettings) -> None:
        self._settings = settings
        self.takers: dict[str, Taker] = {}
        self.givers: dict[str, Giver] = {}
        self.totals: Quantities = {}
        self.weights: dict[str, float] = {}
        self.quotas: dict[str, Quota] = {}
        self.role_sorter = Sorter(self.totals, self.weights)
        self.framework_sorters: dict[str, Sorter] = {}
        self.reserved_in_use: Quantities = {}
        self._free_of_role: dict[str, Quantities] = {}

    # --- holdings ------------------------------------------------------------------------------------------------

    def take(self, framework_id: str, agent_id: str, resources: Resources) -> None:
        """A (known) framework holds more of an agent, as an offer or an allocation."""
        giver = self.givers[agent_id]
        giver.used[framework_id] = giver.used.get(framework_id, EMPTY) + resources
        giver.available = giver.available - resources.allocated(None).filter(_not_shared)
        self._count(framework_id, resources, 1)

    def give_back(self, framework_id: str, agent_id: str, resources: Resources) -> None:
        """A framework holds less of an agent."""
        giver = self.givers[agent_id]
        left = giver.used.get(framework_id, EMPTY) - resources
        if left:
            giver.used[framework_id] = left
        else:
            giver.used.pop(framework_id, None)
        self._refresh(giver)
        self._count(framework_id, resources, -1)

    def _count(self, framework_id: str, resources: Resources, sign: int) -> None:
        taker = self.takers[framework_id]
        for role in dict.fromkeys(kind.allocation for kind, _ in resources):
            assert role is not None, resources
            part = resources.filter(lambda kind, role=role: kind.allocation == role)  # type: ignore[misc]
            if not self.is_tracked(framework_id, role):
                self.track_under(framework_id, role)
            amounts = part.scalars()
            for sorter, client in ((self.role_sorter, role), (self.framework_sorters[role], framework_id)):
                (sorter.allocated if sign > 0 else sorter.unallocated)(client, amounts)
            free = part.filter(counts_for_quota).scalars()
            quantities.add_to(self._free_of_role.setdefault(role, {}), free, sign)
            reserved = part.filter(is_reserved).scalars()
            quantities.add_to(self.reserved_in_use, reserved, sign)
            if sign < 0 and role not in taker.wishes.roles:
                self.untrack_if_empty(taker, role)

    def _refresh(self, giver: Giver) -> None:
        used = Resources.total(giver.used.values()).allocated(None).filter(_not_shared)
        giver.available = giver.total - used

    def set_total(self, giver: Giver, total: Resources) -> None:
        """An agent has something else than before."""
        if giver.total != total:
            quantities.add_to(self.totals, giver.total.scalars(), -1)
            quantities.add_to(self.totals, total.scalars())
            giver.total = total
            self.role_sorter.changed()
            for sorter in self.framework_sorters.values():
                sorter.changed()
        self._refresh(giver)

    # --- roles ---------------------------------------------------------------------------------------------------

    def is_tracked(self, framework_id: str, role: str) -> bool:
        """Whether a framework is sorted under a role."""
        return role in self.framework_sorters and framework_id in self.framework_sorters[role]

    def track_under(self, framework_id: str, role: str) -> None:
        """Begin to sort a framework under a role, inactive."""
        if role not in self.framework_sorters:
            self.role_sorter.add(role)
            self.role_sorter.activate(role)
            self.framework_sorters[role] = Sorter(self.totals, {})
        self.framework_sorters[role].add(framework_id)

    def untrack(self, framework_id: str, role: str) -> None:
        """Sort it there no more."""
        sorter = self.framework_sorters[role]
        sorter.remove(framework_id)
        if not len(sorter):
            del self.framework_sorters[role]
            self.role_sorter.remove(role)

    def untrack_if_empty(self, taker: Taker, role: str) -> None:
        """Sort a framework under a dropped role no more, once it holds nothing there."""
        if not self.framework_sorters[role].holds_anything(taker.id):
            self.untrack(taker.id, role)

    def set_sorted(self, taker: Taker, role: str) -> None:
        """Have a framework served for a role, or passed over, as it wishes now."""
        wanted = taker.active and role in taker.wishes.roles and role not in taker.wishes.suppressed
        sorter = self.framework_sorters[role]
        (sorter.activate if wanted else sorter.deactivate)(taker.id)

    def quota_use(self, role: str) -> Quantities:
        """What counts against a top-level role's quota: all reservations for it or below, and the unreserved
        resources offered or allocated to it or below.
        """
        total: Quantities = {}
        for used_role, amounts in self._free_of_role.items():
            if roles.covers(role, used_role):
                quantities.add_to(total, amounts)
        for giver in self.givers.values():
            for reserved_role, pool in giver.total.reservations().items():
                if roles.covers(role, reserved_role):
                    quantities.add_to(total, pool.scalars())
        return {name: amount for name, amount in total.items() if amount > 0}

    # --- who may have what ---------------------------------------------------------------------------------------

    def is_enough(self, pool: Resources, role: str, taker: Taker) -> bool:
        """Whether a pool is worth an offer."""
        if not pool:
            return False
        alternatives = taker.wishes.min_allocatable.get(role, self._settings.min_allocatable)
        return not alternatives or quantities.satisfies(pool, alternatives)

    def may_receive(self, taker: Taker, giver: Giver) -> bool:
        """Whether an agent is shown to a framework at all: gpus and regions."""
        capabilities = taker.wishes.capabilities
        if self._settings.filter_gpu_resources and giver.has_gpus and "GPU_RESOURCES" not in capabilities:
            return False
        domain = giver.info.get("domain", {}).get("fault_domain")
        is_remote = domain is not None and domain["region"]["name"] != self._settings.region
        return not is_remote or "REGION_AWARE" in capabilities


def is_reserved(kind: Kind) -> bool:
    """Whether it is reserved, statically or dynamically."""
    return bool(kind.reservations)


def counts_for_quota(kind: Kind) -> bool:
    """Whether unallocated amounts of it are what quota is about."""
    return kind.type == "SCALAR" and not kind.reservations and not kind.revocable


def _not_shared(kind: Kind) -> bool:
    return not kind.shared
