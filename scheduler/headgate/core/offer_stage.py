"""Offers: what is started on them, what is given back and for how long, whether more should flow.

No offer is kept over a decision, but for those that arrive while reconciliation forbids launches, and these not long.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from headgate.core.announce import announcement, live_roles
from headgate.core.feasible import Surroundings, vetoes
from headgate.core.holding import flow_step
from headgate.core.job_stage import JobOutcome
from headgate.core.ledger import Ledger
from headgate.core.place import Placed, Want, placing
from headgate.core.pool import Pool, pools_of
from headgate.core.surroundings import known_pools, surroundings, worker_tally
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

    known: tuple[Pool, ...] = ()
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
    sure = [offer for offer_id, offer in snapshot.offers.items() if offer_id not in snapshot.doubtful]
    pools = pools_of(sure, snapshot.agents)
    known = known_pools(pools, snapshot.agents)
    wants = [_want(ledger, name, outcome, known, snapshot) for name, outcome in sorted(outcomes.items())]
    wants = [want for want in wants if want.workers]
    places: tuple[Place, ...] = ()
    left = pools
    if open_gate and wants and pools:
        result = placing(wants, pools)
        left = result.pools
        _record(ledger, result.placed, snapshot.now)
        places = _places(ledger, result.placed, left, snapshot)
        done = {(each.spec.name, each.worker) for each in result.placed}
        wants = [_less(want, done) for want in wants]
        wants = [want for want in wants if want.workers]
    used = {offer_id for place in places for offer_id in place.offer_ids}
    soon = _soon(ledger, outcomes, known, snapshot)
    needs = _needs(wants)
    refusals = _refusals(
        [pool for pool in left if not used & set(pool.offer_ids)], wants, soon, snapshot, due, open_gate
    )
    return OfferOutcome(
        known=known_pools(left, snapshot.agents),
        announce=announcement(ledger, snapshot),
        needs=needs,
        flows=_flows(ledger, needs, snapshot, due),
        places=places,
        refusals=refusals,
    )


def _want(ledger: Ledger, name: JobName, outcome: JobOutcome, known: Sequence[Pool], snapshot: Snapshot) -> Want:
    job = ledger.jobs[name]
    return Want(
        spec=job.spec,
        submission=job.submission,
        workers=outcome.difference.start,
        around=surroundings(job.spec, known, ledger.agents, snapshot.settings.patience, snapshot.now),
        counts=worker_tally(ledger, job.spec),
    )


def _less(want: Want, done: set[tuple[JobName, int]]) -> Want:
    return replace(want, workers=tuple(each for each in want.workers if (want.spec.name, each) not in done))


def _record(ledger: Ledger, placed: Sequence[Placed], now: float) -> None:
    """The intent: one launching task per worker placed."""
    for each in placed:
        slot = ledger.worker(each.spec.name, each.worker)
        attempt = Attempt(job=each.spec.name, submission=each.submission, worker=each.worker, attempt=slot.attempts)
        ledger.put_worker(replace(slot, attempts=slot.attempts + 1, wanted_since=None))
        ledger.put_task(
            TaskRecord(
                attempt=attempt,
                agent_id=each.pool.agent_id,
                hostname=each.pool.hostname,
                resources=each.resources,
                stage=Stage.LAUNCHING,
                launched_at=now,
                since=now,
                places=each.places,
            )
        )
        text = f"{attempt.task_id} is launched on {each.pool.hostname}"
        ledger.say(now, NoteKind.LAUNCHED, text, each.spec.name, each.worker)


def _places(ledger: Ledger, placed: Sequence[Placed], pools: Sequence[Pool], snapshot: Snapshot) -> tuple[Place, ...]:
    groups: dict[tuple[AgentId, str], list[Placed]] = {}
    for each in placed:
        groups.setdefault((each.pool.agent_id, each.pool.role), []).append(each)
    by_key = {(pool.agent_id, pool.role): pool for pool in pools}
    return tuple(
        Place(
            agent_id=agent_id,
            hostname=by_key[agent_id, role].hostname,
            offer_ids=by_key[agent_id, role].offer_ids,
            starts=tuple(_start(ledger, each) for each in group),
            left=by_key[agent_id, role].resources,
            refuse_s=snapshot.settings.patience.refuse_long_s,
            reason=f"the fullest that fits {len(group)} worker{'s' if len(group) > 1 else ''}",
        )
        for (agent_id, role), group in sorted(groups.items())
    )


def _start(ledger: Ledger, placed: Placed) -> Start:
    slot = ledger.worker(placed.spec.name, placed.worker)
    return Start(
        attempt=Attempt(
            job=placed.spec.name,
            submission=placed.submission,
            worker=placed.worker,
            attempt=slot.attempts - 1,
        ),
        spec=placed.spec,
        resources=placed.resources,
    )


def _soon(
    ledger: Ledger, outcomes: Mapping[JobName, JobOutcome], known: Sequence[Pool], snapshot: Snapshot
) -> list[Want]:
    """Jobs with a worker whose backoff ends soon."""
    horizon = snapshot.now + _SOON_S
    return [
        _want(ledger, name, outcome, known, snapshot)
        for name, outcome in sorted(outcomes.items())
        if any(until <= horizon for until in outcome.difference.later.values())
    ]


def _refusals(
    pools: Sequence[Pool],
    wants: Sequence[Want],
    soon: Sequence[Want],
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
        elif any(_may_help(want.spec, pool, want.counts, want.around) for want in (*wants, *soon)):
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
        reason = "fits nothing that is wanted" if wants else "nothing is wanted"
        found.append(Refuse(offer_ids=tuple(sorted(long)), refuse_s=patience.refuse_long_s, reason=reason))
    return tuple(found)


def _may_help(spec: JobSpec, pool: Pool, counts: Mapping[str, Counter[str]], around: Surroundings) -> bool:
    return pool.resources.holds(spec.worker) and all(veto.passing for veto in vetoes(spec, pool, counts, around))


def _needs(wants: Sequence[Want]) -> Mapping[str, frozenset[str]]:
    needs: dict[str, frozenset[str]] = {}
    for want in wants:
        needs[want.spec.role] = needs.get(want.spec.role, frozenset()) | {_need(want.spec, want.submission)}
    return needs


def _flows(
    ledger: Ledger, needs: Mapping[str, frozenset[str]], snapshot: Snapshot, due: list[float]
) -> tuple[Flow, ...]:
    patience, now = snapshot.settings.patience, snapshot.now
    # A worker that backs off wants nothing yet: REVIVE makes the master offer at once, so asking early gains nothing.
    steps = (
        flow_step(role, needs.get(role, frozenset()), snapshot.flows.get(role, RoleFlow()), patience, now, due)
        for role in live_roles(ledger, snapshot.settings.framework)
    )
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
