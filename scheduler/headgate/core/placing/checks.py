"""One job against all known agents: what stands against each, check by check.

The same checks as `core.feasible`, in its order, all agents at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headgate.core.attributes import REGION
from headgate.core.feasible import Surroundings, confined_to, under_maintenance
from headgate.core.placement import is_static, label, without
from headgate.core.placing.columns import CountingRule, Rows
from headgate.core.placing.fleet import Amounts, Bools, Fleet, amounts_of
from headgate.model.job import JobSpec, Placement
from headgate.model.waiting import VetoKind

AMOUNT_KINDS = (VetoKind.CPUS, VetoKind.MEM, VetoKind.DISK, VetoKind.GPUS, VetoKind.PORTS)
"""In the order of `Fleet.free`."""


@dataclass(frozen=True, slots=True)
class Check:
    """What one check finds against each row.  `remedy`: what would lift it, where that is the same for all rows."""

    kind: VetoKind
    label: str
    against: Bools
    remedy: str | None = None


def role_and_place(spec: JobSpec, fleet: Fleet, around: Surroundings) -> list[Check]:
    """What does not depend on amounts and constraints, nor passes by itself."""
    found = [Check(VetoKind.ROLE, f"role {spec.role}", ~fleet.offers_role(spec.role))]
    found += [Check(VetoKind.REGION, "region", remote(spec, fleet, around.region), "with a constraint on @region")]
    if around.gpus_kept and not spec.worker.gpus_m:
        found.append(Check(VetoKind.GPUS_KEPT, VetoKind.GPUS_KEPT.value, fleet.has_gpus))
    found.append(Check(VetoKind.MAINTENANCE, VetoKind.MAINTENANCE.value, maintained(fleet, around)))
    return found


def remote(spec: JobSpec, fleet: Fleet, home: str | None) -> Bools:
    """Rows of regions that the job does not use."""
    region = confined_to(spec, home)
    if region is None:
        return np.zeros(len(fleet), dtype=np.bool_)
    column = fleet.column(REGION)
    by_code = np.array([value != region for value in column.values], dtype=np.bool_)
    return column.spread(by_code, missing=False)


def maintained(fleet: Fleet, around: Surroundings) -> Bools:
    """Rows of agents whose maintenance is near."""
    found = np.zeros(len(fleet), dtype=np.bool_)
    found[[row for row in fleet.maintained if under_maintenance(fleet.pools[row].unavailability, around)]] = True
    return found


def avoided(fleet: Fleet, around: Surroundings) -> Bools:
    """Rows of agents that the job leaves alone."""
    found = np.zeros(len(fleet), dtype=np.bool_)
    for agent_id, until in around.avoided.items():
        if until > around.now:
            found[fleet.rows_of(agent_id)] = True
    return found


def too_small(spec: JobSpec, amounts: Amounts) -> Bools:
    """By kind of amount and row: whether there is too little."""
    found: Bools = amounts_of(spec.worker)[:, None] > amounts
    return found


def ruled_out(spec: JobSpec, fleet: Fleet) -> Bools:
    """Rows that a constraint on the agent alone forbids."""
    found = np.zeros(len(fleet), dtype=np.bool_)
    for each in spec.placement:
        if each.weight is None and is_static(each):
            found |= ~fleet.allowed(each)
    return found


def could_ever_run(spec: JobSpec, fleet: Fleet, region: str | None) -> Bools:
    """Rows of agents that are large enough, and that no constraint on the agent alone forbids.

    Whatever role they were last offered for: the next offer may be for another.
    """
    found: Bools = ~(remote(spec, fleet, region) | ruled_out(spec, fleet) | too_small(spec, fleet.capacity).any(axis=0))
    return found


class Constraint:
    """One constraint of a job, be it a rule or a wish, over all rows."""

    def __init__(self, rule: Placement, fleet: Fleet, counts: Mapping[str, Counter[str]], around: Surroundings) -> None:
        self.rule = rule
        self._fixed = fleet.allowed(rule) if is_static(rule) else None
        self._counting = (
            None
            if is_static(rule)
            else CountingRule(
                rule,
                fleet.groups(rule.attribute),
                counts.get(rule.attribute, Counter()),
                around.groups.get(rule.attribute, frozenset()),
            )
        )

    def at(self, rows: Rows) -> Bools:
        """Which of these rows satisfy it now."""
        if self._counting is not None:
            return self._counting.at(rows)
        assert self._fixed is not None
        found: Bools = self._fixed[rows]
        return found

    def add(self, text: str) -> npt.NDArray[np.intp]:
        """One worker more on agents of that value; the rows whose answer has changed by it."""
        if self._counting is None:
            return _NO_ROWS
        changed = self._counting.add(text)
        return self._counting.column.rows_of(changed) if changed.size else _NO_ROWS


_NO_ROWS: npt.NDArray[np.intp] = np.empty(0, dtype=np.intp)


def checks(spec: JobSpec, fleet: Fleet, counts: Mapping[str, Counter[str]], around: Surroundings) -> list[Check]:
    """Everything that is checked, for the answer to why not."""
    found = role_and_place(spec, fleet, around)
    found.append(Check(VetoKind.AVOIDED, VetoKind.AVOIDED.value, avoided(fleet, around)))
    short = too_small(spec, fleet.free)
    wanted = amounts_of(spec.worker)
    found += [Check(kind, kind.value, short[number]) for number, kind in enumerate(AMOUNT_KINDS) if wanted[number] > 0]
    found += [
        Check(VetoKind.PLACEMENT, label(each), ~Constraint(each, fleet, counts, around).at(slice(None)), without(each))
        for each in spec.placement
        if each.weight is None
    ]
    return found
