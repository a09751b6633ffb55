"""`decide(snapshot) -> Plan`: the stages in their order, and nothing else.

1. time: deadlines of tasks (`watch`); whether so much is lost that the cluster is left in peace (`disaster`)
2. each job: scaling, state, what to start and end (`diff`), who owns which shard (`ownership`)
3. offers: who goes where (`place`), what is given back, whether more should flow (`holding`)
4. words: reconciliation, kills, assignments not yet seen (`words`)
5. reasons: why jobs wait (`explain`)

Pure: equal snapshots give equal plans.  Everything is walked in the order of submissions, workers, ids.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from headgate.core import words
from headgate.core.explain import cause, explain
from headgate.core.job_stage import JobOutcome, settle_job
from headgate.core.ledger import Ledger
from headgate.core.maintenance import answers, plan_moves
from headgate.core.offer_stage import OfferOutcome, use_offers
from headgate.core.operations import operation_questions
from headgate.core.placing.gang import held_until, room_for
from headgate.core.placing.judgement import judgement
from headgate.core.presence import probes
from headgate.core.ramp import ramped
from headgate.core.reconcile import questions, reconciled
from headgate.core.reservations import why_wait
from headgate.core.revocable_stage import why_extra_waits
from headgate.core.surroundings import Scene, known_fleet
from headgate.core.tidy import tidy
from headgate.core.watch import watch
from headgate.model.ids import JobName
from headgate.model.note import NoteKind
from headgate.model.plan import Plan, Step
from headgate.model.record import JobRecord
from headgate.model.settings import Settings
from headgate.model.snapshot import Snapshot
from headgate.model.task import WorkerRecord
from headgate.model.waiting import Waiting

_NOTED_AFTER_S = 5.0
"""Waits shorter than this are no news."""


def decide(snapshot: Snapshot) -> Plan:
    """What to do about the world in the snapshot, with a reason for each step.

    While there is no connection nothing is decided, since nothing could be done and silence proves nothing.
    """
    ledger = Ledger(snapshot.records)
    due: list[float] = []
    if not snapshot.link.connected:
        return _disconnected(ledger, snapshot)
    strays = dict(snapshot.strays)
    watched = watch(ledger, snapshot, strays, due)
    frozen = watched.frozen
    plan_moves(ledger, snapshot, frozen, due)
    outcomes = {job.name: settle_job(ledger, job.name, snapshot, due, frozen) for job in _in_order(ledger)}
    outcomes = _ramped(ledger, outcomes, snapshot.settings, frozen)
    open_gate = reconciled(snapshot.link, snapshot.settings.patience.reconcile_gate_s, snapshot.now)
    gate = None if open_gate else f"waits for word of {len(snapshot.link.unanswered)} recorded tasks from the master"
    offers = use_offers(ledger, outcomes, snapshot, due, open_gate=open_gate)
    steps: tuple[Step, ...] = (
        *offers.announce,
        *questions(ledger, snapshot, watched.overdue, due),
        *operation_questions(ledger, snapshot, due),
        *probes(ledger, snapshot, due),
        *offers.flows,
        *words.kills(ledger, snapshot, strays, due, open_gate=open_gate, frozen=frozen),
        *words.dismissals(snapshot, strays, due, open_gate=open_gate, frozen=frozen),
        *words.assignments(ledger, snapshot, due),
        *offers.places,
        *offers.refusals,
        *answers(ledger, snapshot, offers.fleet),
    )
    held = {name: _held_text(outcome, frozen) for name, outcome in outcomes.items() if outcome.difference.held}
    waiting = _explained(ledger, snapshot, offers, gate, held, due)
    tidy(ledger, snapshot.settings.patience, snapshot.now)
    return Plan(
        records=ledger.frozen(),
        steps=steps,
        notes=tuple(ledger.notes),
        strays=strays,
        waiting=waiting,
        scaling={name: outcome.scaling for name, outcome in outcomes.items() if outcome.scaling is not None},
        demands={name: outcome.demands for name, outcome in outcomes.items()},
        needs=offers.needs,
        idle=gate,
        wake_at=min((at for at in due if at > snapshot.now), default=None),
    )


def _disconnected(ledger: Ledger, snapshot: Snapshot) -> Plan:
    idle = "not connected to a master"
    offers = OfferOutcome(fleet=known_fleet((), ledger, snapshot))
    waiting = _explained(ledger, snapshot, offers, idle, {}, [])
    return Plan(records=snapshot.records, strays=dict(snapshot.strays), waiting=waiting, idle=idle)


def _ramped(
    ledger: Ledger, outcomes: Mapping[JobName, JobOutcome], settings: Settings, frozen: str | None
) -> dict[JobName, JobOutcome]:
    """The same with as many launches as may be on their way at once."""
    most = min(settings.patience.starting_max, settings.disaster.starting_max if frozen else sys.maxsize)
    slower = ramped(ledger, {name: outcome.difference for name, outcome in outcomes.items()}, most)
    return {name: replace(outcome, difference=slower[name]) for name, outcome in outcomes.items()}


def _in_order(ledger: Ledger) -> list[JobRecord]:
    return sorted(ledger.jobs.values(), key=lambda job: (job.submission, job.name))


def _explained(
    ledger: Ledger,
    snapshot: Snapshot,
    offers: OfferOutcome,
    gate: str | None,
    held: Mapping[JobName, str],
    due: list[float],
) -> Mapping[JobName, Waiting]:
    """Why jobs wait whose workers are wished and not there; a new reason becomes a note once it lasts.

    `gate` is why none is started, `held` why some of a job are not.
    """
    found = {}
    scene, patience = Scene(offers.fleet, ledger, snapshot), snapshot.settings.patience
    for job in _in_order(ledger):
        if job.state.leaving:
            continue
        filled = {task.worker for task in ledger.tasks_of(job.name)}
        missing = [ledger.worker(job.name, number) for number in range(job.workers) if number not in filled]
        if not missing:
            continue
        want = scene.want(job, [slot.worker for slot in missing])
        judged = judgement(want, offers.fleet)
        gathered = offers.gathered.get(job.name)
        if gathered is None and want.gang and judged.fitting:
            gathered = room_for(want, offers.fleet)
        stopped = gate or held.get(job.name)
        waiting = explain(
            missing,
            judged,
            offers=len(snapshot.offers),
            gate=stopped or _special(ledger, job, missing, snapshot.now),
            now=snapshot.now,
            gathered=gathered,
            held_until=held_until(job.gang, patience),
        )
        found[job.name] = waiting
        if stopped is None:
            _note(ledger, job, waiting, snapshot.now, due)
    return found


def _held_text(outcome: JobOutcome, frozen: str | None) -> str:
    text = f"{len(outcome.difference.held)} launches wait for those on their way"
    return f"{text}; {frozen}" if frozen else text


def _special(ledger: Ledger, job: JobRecord, missing: Sequence[WorkerRecord], now: float) -> str | None:
    """Why workers wait that want no plain resources."""
    return why_wait(ledger, job.spec, missing, now) or why_extra_waits(job.spec, [slot.worker for slot in missing])


def _note(ledger: Ledger, job: JobRecord, waiting: Waiting, now: float, due: list[float]) -> None:
    if waiting.since + _NOTED_AFTER_S > now:
        due.append(waiting.since + _NOTED_AFTER_S)
        return
    text = cause(waiting)
    said = [note.text for note in job.history if note.kind is NoteKind.WAITING and note.at >= waiting.since]
    if not said or said[-1] != text:
        ledger.say(now, NoteKind.WAITING, text, job.name)
