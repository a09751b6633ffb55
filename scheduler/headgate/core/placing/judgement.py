"""What all known agents have against a job: by check, the nearest of them, and what alone would make one fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from headgate.core.feasible import amount_text, at_most, vetoes
from headgate.core.place import Want
from headgate.core.placing.checks import AMOUNT_KINDS, Check, checks, remote, ruled_out, too_small
from headgate.core.placing.fleet import Bools, Fleet, amounts_of
from headgate.model.job import JobSpec
from headgate.model.waiting import FunnelStep, NearestFit, VetoCount, VetoKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Numbers are of agents.  `nearest` is None when one fits, or none is known."""

    agents: int
    fitting: int
    vetoed: tuple[VetoCount, ...]
    funnel: tuple[FunnelStep, ...]
    nearest: NearestFit | None = None
    alternatives: tuple[str, ...] = ()
    never: str | None = None


def judgement(want: Want, fleet: Fleet) -> Judgement:
    """The fleet, as it is now, against one more worker of the job."""
    spec = want.spec
    found = checks(spec, fleet, want.counts, want.around)
    # Of an agent that is offered for several roles, the pools of the others tell nothing.
    ours = fleet.offers_role(spec.role)
    relevant = np.ones(len(fleet), dtype=np.bool_)
    if len(fleet.agents) < len(fleet):
        for rows in map(fleet.rows_of, fleet.agents):
            if len(rows) > 1 and ours[rows].any():
                relevant[rows] = ours[rows]
    against = np.array([check.against for check in found]) & relevant
    problems = against.sum(axis=0)
    fits = relevant & (problems == 0)
    large = relevant & ~too_small(spec, fleet.capacity).any(axis=0)
    return Judgement(
        agents=len(fleet.agents),
        fitting=fleet.agents_in(fits),
        vetoed=_by_kind(found, against, fleet),
        funnel=_funnel(found, against, relevant, fleet),
        nearest=None if fits.any() or not len(fleet) else _nearest(want, fleet, found, against, relevant),
        alternatives=() if fits.any() else _alternatives(fleet, found, against, problems == 1, large),
        never=None if fits.any() else _never(spec, fleet, want.around.region),
    )


def _by_kind(found: Sequence[Check], against: Bools, fleet: Fleet) -> tuple[VetoCount, ...]:
    kinds: dict[VetoKind, Bools] = {}
    for check, rows in zip(found, against, strict=True):
        kinds[check.kind] = kinds[check.kind] | rows if check.kind in kinds else rows
    counts = {kind: fleet.agents_in(rows) for kind, rows in kinds.items()}
    return tuple(VetoCount(kind=kind, agents=counts[kind]) for kind in VetoKind if counts.get(kind))


def _funnel(found: Sequence[Check], against: Bools, relevant: Bools, fleet: Fleet) -> tuple[FunnelStep, ...]:
    left = relevant
    steps = []
    for check, rows in zip(found, against, strict=True):
        left = left & ~rows
        steps.append(
            FunnelStep(check=check.label, kind=check.kind, vetoed=fleet.agents_in(rows), left=fleet.agents_in(left))
        )
    return tuple(steps)


def _nearest(want: Want, fleet: Fleet, found: Sequence[Check], against: Bools, relevant: Bools) -> NearestFit:
    """The agent with the least against it: the share that is missing of each amount, and one for anything else."""
    wanted = dict(zip(AMOUNT_KINDS, zip(amounts_of(want.spec.worker), fleet.free, strict=True), strict=True))
    distance = np.where(relevant, 0.0, np.inf)
    for check, rows in zip(found, against, strict=True):
        if check.kind.of_amount:
            amount, free = wanted[check.kind]
            distance += np.where(rows, (amount - free) / amount, 0.0)
        else:
            distance += rows
    row = int(distance.argmin())
    pool = fleet.pools[row]
    return NearestFit(
        agent_id=pool.agent_id,
        hostname=pool.hostname,
        vetoes=vetoes(want.spec, pool, want.counts, want.around),
    )


def _alternatives(fleet: Fleet, found: Sequence[Check], against: Bools, alone: Bools, large: Bools) -> tuple[str, ...]:
    """What would do for some agent that only one thing stands against, or that would be `large` enough were it free."""
    ways = []
    for check, rows in zip(found, against & alone, strict=True):
        if not rows.any():
            continue
        if check.kind.of_amount:
            ways.append(at_most(check.kind, int(fleet.free[AMOUNT_KINDS.index(check.kind)][rows].max())))
        elif check.kind is VetoKind.ROLE:
            ways.append(f"role {fleet.pools[int(rows.argmax())].role}")
        else:
            ways.append(check.remedy)
    full = fleet.agents_in(large & ~_others(found, against))
    if full:
        where = f"one of the {full} agents that are" if full > 1 else "the one agent that is"
        ways.append(f"something ends on {where} large enough")
    return tuple(way for way in ways if way is not None)


def _others(found: Sequence[Check], against: Bools) -> Bools:
    """Rows that something other than an amount stands against."""
    rows = [each for check, each in zip(found, against, strict=True) if not check.kind.of_amount]
    found_any: Bools = np.any(rows, axis=0)
    return found_any


def _never(spec: JobSpec, fleet: Fleet, region: str | None) -> str | None:
    """Why no known agent is large enough, even if all that we have there were free; None: one is, or none is known."""
    allowed = ~(remote(spec, fleet, region) | ruled_out(spec, fleet))
    small = too_small(spec, fleet.capacity)
    if not allowed.any() or not small[:, allowed].any(axis=0).all():
        return None
    wanted, most = amounts_of(spec.worker), fleet.capacity[:, allowed].max(axis=1)
    lacking = [
        f"{kind.value}: wants {amount_text(kind, int(wanted[number]))}, the largest agent known has "
        f"{amount_text(kind, int(most[number]))}"
        for number, kind in enumerate(AMOUNT_KINDS)
        if wanted[number] > most[number]
    ]
    return ", ".join(lacking) or "no agent known has all of it together"
