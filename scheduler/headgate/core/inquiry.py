"""Answers to what people ask between decisions: what of this agent, and what if this job were submitted.

Made from the newest snapshot and the plan made from it, as things are after the plan.  Nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from headgate.core.explain import explain
from headgate.core.feasible import vetoes
from headgate.core.ledger import Ledger
from headgate.core.place import Placed, Want, placing
from headgate.core.placement import tally
from headgate.core.placing.fleet import Fleet
from headgate.core.placing.inventory import gpu_agents
from headgate.core.placing.judgement import judgement
from headgate.core.pool import Pool, pools_of
from headgate.core.surroundings import Scene, known_fleet
from headgate.model.ids import AgentId
from headgate.model.job import JobSpec
from headgate.model.plan import Place, Plan
from headgate.model.snapshot import Snapshot
from headgate.model.task import WorkerRecord
from headgate.model.waiting import AgentExplanation, DryRun, DryStart, InverseAnswer, OfferFate, Verdict, Waiting


def agent_explanation(
    agent_id: AgentId, snapshot: Snapshot, plan: Plan, fate: OfferFate | None, answer: InverseAnswer | None = None
) -> AgentExplanation | None:
    """What became of the agent's last offers, and what jobs that wait lack there; None: no such agent is known."""
    seen = snapshot.agents.get(agent_id)
    if seen is None:
        return None
    ledger, fleet = _after(snapshot, plan)
    scene = Scene(fleet, ledger, snapshot)
    pools = [fleet.pools[row] for row in fleet.rows_of(agent_id)]
    verdicts = []
    for name, waiting in plan.waiting.items():
        want = scene.want(ledger.jobs[name], waiting.workers)
        verdicts += [
            Verdict(job=name, role=pool.role, vetoes=vetoes(want.spec, pool, want.counts, want.around))
            for pool in pools
        ]
    used = {offer_id for step in plan.steps if isinstance(step, Place) for offer_id in step.offer_ids}
    return AgentExplanation(
        agent_id=agent_id,
        hostname=seen.hostname,
        seen_at=seen.at,
        free=pools[0].resources,
        in_hand=any(offer_id not in used for pool in pools for offer_id in pool.offer_ids),
        fate=fate,
        verdicts=tuple(verdicts),
        maintenance=snapshot.windows.get(agent_id),
        answer=answer,
    )


def dry_run(spec: JobSpec, snapshot: Snapshot, plan: Plan) -> DryRun:
    """What would become of the job's first workers, were all known agents offered now as they last were."""
    ledger, fleet = _after(snapshot, plan)
    assumed = bool(len(fleet)) and not fleet.offers_role(spec.role).any()
    if assumed:
        fleet = Fleet([replace(pool, role=spec.role) for pool in _one_each(fleet)], ledger.tasks.values())
    around = Scene(fleet, ledger, snapshot).around(spec)
    want = Want(
        spec=spec,
        submission=0,
        workers=tuple(range(spec.workers.initial)),
        around=around,
        gang=spec.workers.gang,
    )
    placed = placing([want], fleet, usable=np.ones(len(fleet), dtype=np.bool_)).placed
    waiting = _rest(want, placed, fleet, snapshot)
    return DryRun(
        job=spec.name,
        wished=len(want.workers),
        text="; ".join(part for part in (_text(placed, len(want.workers)), waiting.text if waiting else None) if part),
        starts=tuple(
            DryStart(worker=each.worker, agent_id=each.pool.agent_id, hostname=each.pool.hostname) for each in placed
        ),
        waiting=waiting,
        role_assumed=assumed,
    )


def _after(snapshot: Snapshot, plan: Plan) -> tuple[Ledger, Fleet]:
    """The records and the agents once the plan is carried out."""
    ledger = Ledger(plan.records)
    left = {step.offer_ids: step.left for step in plan.steps if isinstance(step, Place)}
    pools = [
        replace(pool, resources=left[pool.offer_ids]) if pool.offer_ids in left else pool
        for pool in pools_of(snapshot.offers.values(), snapshot.agents, gpu_agents(ledger))
    ]
    return ledger, known_fleet(pools, ledger, snapshot)


def _one_each(fleet: Fleet) -> list[Pool]:
    return [fleet.pools[fleet.rows_of(agent_id)[0]] for agent_id in fleet.agents]


def _rest(want: Want, placed: tuple[Placed, ...], fleet: Fleet, snapshot: Snapshot) -> Waiting | None:
    """Why the workers that found no place would wait, with the others in theirs."""
    found = {each.worker for each in placed}
    slots = [
        WorkerRecord(job=want.spec.name, worker=worker, wanted_since=snapshot.now)
        for worker in want.workers
        if worker not in found
    ]
    if not slots:
        return None
    others = replace(
        want,
        counts=tally(want.spec.placement, [each.places for each in placed]),
        homes=Counter(each.pool.agent_id for each in placed),
    )
    judged = judgement(others, fleet)
    return explain(slots, judged, offers=len(snapshot.offers), gate=None, now=snapshot.now)


def _text(placed: tuple[Placed, ...], wished: int) -> str:
    if not placed:
        return f"none of {wished} workers would start now"
    hosts = Counter(each.pool.hostname for each in placed)
    where = ", ".join(f"{count} on {name}" for name, count in sorted(hosts.items())[:5])
    more = f" and {len(hosts) - 5} more agents" if len(hosts) > 5 else ""
    return f"{len(placed)} of {wished} workers would start now: {where}{more}"
