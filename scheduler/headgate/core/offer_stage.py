"""Offers: what is started on them, what is given back and for how long, whether more should flow.

No offer is kept over a decision, but for those that arrive while reconciliation forbids launches and those held for a
gang (`placing.gang`), and these not long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from headgate.core.announce import announcement, live_roles
from headgate.core.diff import Difference
from headgate.core.filling import Filled, fill
from headgate.core.holding import flow_step
from headgate.core.job_stage import JobOutcome
from headgate.core.ledger import Ledger
from headgate.core.offer_constraints import constraints_of
from headgate.core.place import Placed, Want, may_help
from headgate.core.placing.fleet import Fleet
from headgate.core.placing.gang import take_turns
from headgate.core.placing.inventory import gpu_agents, needs_gpu_agents, remember_gpus
from headgate.core.pool import Pool, pools_of
from headgate.core.reservations import (
    GIVE_BACK,
    given_back,
    held_by,
    hosts_of_interest,
    settle_reservations,
    whole_request,
)
from headgate.core.revocable_stage import is_extra
from headgate.core.surroundings import Scene, known_fleet
from headgate.model.ids import AgentId, Attempt, JobName, OfferId
from headgate.model.job import JobSpec
from headgate.model.note import NoteKind
from headgate.model.plan import Announce, Flow, Place, Refuse, Start
from headgate.model.resources import Request
from headgate.model.snapshot import RoleFlow, Snapshot
from headgate.model.task import Stage, TaskRecord

_SOON_S: Final = 30.0
"""A backoff that ends within this may use an offer refused for a short while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferOutcome:
    """The steps about offers, and every agent as known after them; `needs` by role are those nothing in hand meets."""

    fleet: Fleet
    gathered: Mapping[JobName, int] = field(default_factory=dict)
    """Of a gang for which offers are held: for how many workers there is room."""
    announce: tuple[Announce, ...] = ()
    needs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    flows: tuple[Flow, ...] = ()
    places: tuple[Place, ...] = ()
    refusals: tuple[Refuse, ...] = ()


def use_offers(
    ledger: Ledger, outcomes: Mapping[JobName, JobOutcome], snapshot: Snapshot, due: list[float], *, open_gate: bool
) -> OfferOutcome:
    """Place what is wanted, record it as launching, and say what to do with the rest.

    `open_gate`: launches may go out.
    """
    remember_gpus(ledger, snapshot)
    sure = [offer for offer_id, offer in snapshot.offers.items() if offer_id not in snapshot.doubtful]
    fleet = known_fleet(pools_of(sure, snapshot.agents, gpu_agents(ledger)), ledger, snapshot)
    scene = Scene(fleet, ledger, snapshot)
    wants = [
        scene.want(ledger.jobs[name], outcome.difference.start)
        for name, outcome in sorted(outcomes.items())
        if outcome.difference.start
    ]
    # A gang of which some may not start yet waits for them.
    wants = [want for want in wants if not (want.gang and _is_partial(outcomes[want.spec.name].difference))]
    filled = Filled()
    gathered: tuple[Placed, ...] = ()
    if open_gate:
        patience = snapshot.settings.patience
        settle_reservations(ledger, snapshot, due)
        filled = fill(ledger, wants, fleet, sure, snapshot)
        done = filled.slots
        wants = [want for want in (_less(want, done) for want in wants) if want.workers]
        take_turns(ledger, filled.gathered, wants, patience, snapshot.now, due)
        gathered = tuple(each for each in filled.gathered if ledger.jobs[each.spec.name].gang.holds_since is not None)
    helpful = _helpful(_plain(ledger, [*wants, *_soon(ledger, outcomes, scene, snapshot)]), fleet) | filled.brief
    places = _record(ledger, filled, fleet, helpful, snapshot)
    used = {offer_id for place in places for offer_id in place.offer_ids}
    used.update(offer_id for each in gathered for offer_id in each.pool.offer_ids)
    left = [pool for pool in fleet.pools if pool.offer_ids and not used & set(pool.offer_ids)]
    needs = _needs(ledger, wants, snapshot.absent)
    return OfferOutcome(
        fleet=fleet,
        gathered=Counter(each.spec.name for each in gathered),
        announce=_announce(ledger, wants, outcomes, needs, fleet, snapshot, due),
        needs=needs,
        flows=_flows(ledger, needs, snapshot, due),
        places=places,
        refusals=_refusals(left, helpful, bool(wants), snapshot, due, open_gate),
    )


def _is_partial(wished: Difference) -> bool:
    return bool(wished.later or wished.held)


def _less(want: Want, done: AbstractSet[tuple[JobName, int]]) -> Want:
    return replace(want, workers=tuple(each for each in want.workers if (want.spec.name, each) not in done))


def _record(
    ledger: Ledger, filled: Filled, fleet: Fleet, helpful: AbstractSet[tuple[AgentId, str]], snapshot: Snapshot
) -> tuple[Place, ...]:
    """Write down the intent, one launching task per worker placed, and make it steps, one per agent and role.

    What is left is refused for long, unless it may be of use soon.
    """
    patience = snapshot.settings.patience
    starts: dict[tuple[AgentId, str], list[Start]] = {}
    for each in filled.placed:
        start = _start(ledger, each, filled, snapshot.now)
        starts.setdefault((each.pool.agent_id, each.pool.role), []).append(start)
    spots = sorted({*starts, *filled.reserves, *filled.unreserves})
    return tuple(
        Place(
            agent_id=at[0],
            hostname=pool.hostname,
            offer_ids=pool.offer_ids,
            starts=tuple(starts.get(at, ())),
            left=pool.resources,
            refuse_s=patience.refuse_short_s if at in helpful else patience.refuse_long_s,
            reason=_place_reason(len(starts.get(at, ())), len(filled.unreserves.get(at, ()))),
            reserves=filled.reserves.get(at, ()),
            unreserves=filled.unreserves.get(at, ()),
        )
        for at, pool in ((at, fleet.pool_of(*at)) for at in spots)
    )


def _start(ledger: Ledger, placed: Placed, filled: Filled, now: float) -> Start:
    slot = ledger.worker(placed.spec.name, placed.worker)
    attempt = Attempt(job=placed.spec.name, submission=placed.submission, worker=placed.worker, attempt=slot.attempts)
    reservation = filled.on.get((placed.spec.name, placed.worker))
    ledger.put_worker(replace(slot, attempts=slot.attempts + 1, wanted_since=None))
    ledger.put_task(
        TaskRecord(
            attempt=attempt,
            agent_id=placed.pool.agent_id,
            hostname=placed.pool.hostname,
            resources=placed.resources,
            stage=Stage.LAUNCHING,
            launched_at=now,
            since=now,
            places=placed.places,
            reservation=reservation,
        )
    )
    text = f"{attempt.task_id} is launched on {placed.pool.hostname}"
    ledger.say(now, NoteKind.LAUNCHED, text, placed.spec.name, placed.worker)
    return Start(
        attempt=attempt,
        spec=placed.spec,
        resources=placed.resources,
        reservation=reservation,
        revocable=filled.revocable.get((placed.spec.name, placed.worker), ()),
    )


def _place_reason(starts: int, freed: int) -> str:
    parts = []
    if freed:
        parts.append(f"{freed} reservation{'s' if freed > 1 else ''} nobody wants")
    if starts:
        parts.append(f"the fullest that fits {starts} worker{'s' if starts > 1 else ''}")
    return "; ".join(parts)


def _announce(
    ledger: Ledger,
    wants: Sequence[Want],
    outcomes: Mapping[JobName, JobOutcome],
    needs: Mapping[str, frozenset[str]],
    fleet: Fleet,
    snapshot: Snapshot,
    due: list[float],
) -> tuple[Announce, ...]:
    held = held_by(ledger)
    waiting = {
        held[want.spec.name, worker].id for want in wants for worker in want.workers if (want.spec.name, worker) in held
    }
    anywhere = [want.spec for want in wants if any((want.spec.name, worker) not in held for worker in want.workers)]
    later = [ledger.jobs[name].spec for name, outcome in sorted(outcomes.items()) if outcome.difference.later]
    constraints = constraints_of([*anywhere, *later], hosts_of_interest(ledger, waiting))
    pending = {*needs, *(spec.role for spec in later)}
    gpus = needs_gpu_agents(wants, fleet, snapshot, due)
    return announcement(ledger, constraints, pending, snapshot, due, gpus=gpus)


def _soon(ledger: Ledger, outcomes: Mapping[JobName, JobOutcome], scene: Scene, snapshot: Snapshot) -> list[Want]:
    """Jobs with a worker whose backoff ends soon."""
    horizon = snapshot.now + _SOON_S
    return [
        scene.want(ledger.jobs[name], sorted(outcome.difference.later))
        for name, outcome in sorted(outcomes.items())
        if any(until <= horizon for until in outcome.difference.later.values())
    ]


def _plain(ledger: Ledger, wants: Sequence[Want]) -> list[Want]:
    """What plain resources would do for: not for workers that wait for what is reserved, or revocable."""
    held = held_by(ledger)
    found = (
        replace(
            want,
            spec=want.spec if want.spec.keep is None else replace(want.spec, worker=whole_request(want.spec)),
            workers=tuple(
                worker
                for worker in want.workers
                if (want.spec.name, worker) not in held and not is_extra(want.spec, worker)
            ),
        )
        for want in wants
    )
    return [want for want in found if want.workers]


def _helpful(wants: Sequence[Want], fleet: Fleet) -> frozenset[tuple[AgentId, str]]:
    """The agents and roles that one of these could use, now or soon."""
    rows = np.flatnonzero(may_help(wants, fleet)).tolist() if wants else []
    return frozenset((fleet.pools[row].agent_id, fleet.pools[row].role) for row in rows)


def _refusals(
    pools: Sequence[Pool],
    helpful: AbstractSet[tuple[AgentId, str]],
    wanted: bool,
    snapshot: Snapshot,
    due: list[float],
    open_gate: bool,
) -> tuple[Refuse, ...]:
    """Give back what is not used: for long where it cannot help, briefly where it soon may."""
    patience = snapshot.settings.patience
    brief: list[OfferId] = []
    long: list[OfferId] = []
    for pool in pools:
        if not open_gate:
            newest = max(snapshot.offers[offer_id].received_at for offer_id in pool.offer_ids)
            if newest + patience.hold_offers_s > snapshot.now:
                due.append(newest + patience.hold_offers_s)
                continue
            brief += pool.offer_ids
        elif (pool.agent_id, pool.role) in helpful:
            brief += pool.offer_ids
        else:
            long += pool.offer_ids
    found = []
    if snapshot.doubtful:
        reason = "a call about them failed: if they are still ours, they come again"
        doubtful = tuple(sorted(snapshot.doubtful))
        found.append(Refuse(offer_ids=doubtful, refuse_s=patience.refuse_short_s, reason=reason))
    if brief:
        reason = "may help soon" if open_gate else "launches wait for the master's word of recorded tasks"
        found.append(Refuse(offer_ids=tuple(sorted(brief)), refuse_s=patience.refuse_short_s, reason=reason))
    if long:
        reason = "fits nothing that is wanted" if wanted else "nothing is wanted"
        found.append(Refuse(offer_ids=tuple(sorted(long)), refuse_s=patience.refuse_long_s, reason=reason))
    return tuple(found)


def _needs(ledger: Ledger, wants: Sequence[Want], absent: AbstractSet[AgentId]) -> Mapping[str, frozenset[str]]:
    needs = given_back(ledger, absent)
    for want in wants:
        needs[want.spec.role] = needs.get(want.spec.role, frozenset()) | {_need(want.spec, want.submission)}
    return needs


def _flows(
    ledger: Ledger, needs: Mapping[str, frozenset[str]], snapshot: Snapshot, due: list[float]
) -> tuple[Flow, ...]:
    patience, now = snapshot.settings.patience, snapshot.now
    look_until = (snapshot.link.since or 0.0) + patience.look_s
    # A worker that backs off wants nothing yet: REVIVE makes the master offer at once, so asking early gains nothing.
    steps = []
    for role in live_roles(ledger, snapshot.settings.framework):
        wanted = needs.get(role, frozenset())
        flow = snapshot.flows.get(role, RoleFlow())
        if not wanted and flow == RoleFlow() and look_until > now:
            # The first offers show what is there: agents, and executors of ours that nobody remembers.
            due.append(look_until)
            continue
        only_to_give_back = all(need.startswith(GIVE_BACK) for need in wanted)
        again_s = patience.refuse_long_s if only_to_give_back else patience.revive_again_s
        steps.append(flow_step(role, wanted, flow, again_s, patience, now, due))
    return tuple(step for step in steps if step is not None)


def _need(spec: JobSpec, submission: int) -> str:
    return f"{spec.name}.{submission} ({_request_text(spec.worker)})"


def _request_text(request: Request) -> str:
    parts = [f"{request.cpus_m / 1000:g} cpus", f"{request.mem_m / 1000:g} MiB"]
    if request.disk_m:
        parts.append(f"{request.disk_m / 1000:g} MiB disk")
    if request.gpus_m:
        parts.append(f"{request.gpus_m / 1000:g} gpus")
    if request.ports:
        parts.append(f"{request.ports} ports")
    return ", ".join(parts)
