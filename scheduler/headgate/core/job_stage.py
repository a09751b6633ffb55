"""One job, one decision: scaling, state, attempts to end, shards to give and take; what is left to start.

Changes the ledger; starting is `offer_stage`'s, since it takes offers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from headgate.core.attempts import happen
from headgate.core.condition import find_hopeless, observed
from headgate.core.diff import Difference, difference
from headgate.core.job_machine import Observed, next_state
from headgate.core.ledger import Ledger
from headgate.core.ownership import assign, orphan, renew, unconfirmed
from headgate.core.restart import replaceable
from headgate.core.scaling import ScalingDecision, decide_workers
from headgate.core.stuck import unstick
from headgate.core.task_machine import TaskEvent
from headgate.core.watch import given_up
from headgate.model.ids import JobName, ShardId
from headgate.model.note import NoteKind
from headgate.model.record import JobRecord, JobState
from headgate.model.snapshot import Snapshot
from headgate.model.task import Stage, TaskRecord
from headgate.model.view import ScalingView
from millstream.contract.report import ShardState

_MOVES_MAX: Final = 3
"""States a job may pass through in one decision: running, draining, completed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """What the job still wants, and what to show of it."""

    difference: Difference
    scaling: ScalingView | None = None
    demands: Mapping[ShardId, float] = field(default_factory=dict)


def settle_job(
    ledger: Ledger, name: JobName, snapshot: Snapshot, due: list[float], frozen: str | None = None
) -> JobOutcome:
    """Bring the job's records up to date with what is known, and say what is still missing.

    `frozen`: why nothing that runs is to be ended but at a person's wish, if that is so.
    """
    orphan(ledger, name)
    decision = _scale(ledger, name, snapshot, frozen)
    if not frozen:
        unstick(ledger, name, snapshot, due)
    wanted = _advance(ledger, name, snapshot, due, frozen)
    demands = decision.demands if decision else {}
    orphan(ledger, name)  # again: workers may just have been ended
    assign(ledger, ledger.jobs[name], snapshot.heard, demands, snapshot.settings.patience, snapshot.now, due)
    return JobOutcome(difference=wanted, scaling=decision.view if decision else None, demands=demands)


def _scale(ledger: Ledger, name: JobName, snapshot: Snapshot, frozen: str | None) -> ScalingDecision | None:
    job = ledger.jobs[name]
    if job.state.leaving:
        return None
    shards = [shard.id for shard in ledger.shards(name).values() if not shard.finished]
    loads = snapshot.loads.get(name, {})
    measuring = snapshot.settings.measuring.over(job.spec.scaling.window_s)
    no_down = frozen or _unsure(ledger, job, snapshot)
    decision = decide_workers(job, shards, loads, measuring, snapshot.now, no_down=no_down)
    if decision.memory != job.scaling or decision.workers != job.workers:
        ledger.jobs[name] = replace(job, scaling=decision.memory, workers=decision.workers)
    if decision.workers != job.workers:
        ledger.say(snapshot.now, NoteKind.SCALED, decision.view.verdict, name)
    return decision


def _unsure(ledger: Ledger, job: JobRecord, snapshot: Snapshot) -> str | None:
    """Why fewer workers would be a guess now."""
    for task in ledger.tasks_of(job.name):
        if task.attempt.attempt < ledger.worker(job.name, task.worker).stale_below:
            return "a restart is under way"
        heard = snapshot.heard.get(task.id)
        failed = [each.shard for each in heard.report.owned if each.state is ShardState.FAILED] if heard else []
        if failed:
            return f"shard {failed[0]} fails"
    return None


def _advance(ledger: Ledger, name: JobName, snapshot: Snapshot, due: list[float], frozen: str | None) -> Difference:
    """Let the job move to the state its condition asks for, and end what that leaves without a place."""
    for _ in range(_MOVES_MAX):
        job = ledger.jobs[name]
        seen = observed(ledger, job, snapshot.heard)
        state = next_state(job.state, seen)
        if state is not job.state:
            _enter(ledger, job, state, seen, snapshot.now)
        wanted = _difference(ledger, ledger.jobs[name], snapshot)
        if frozen and not (job.scaling.pinned or ledger.jobs[name].state.leaving):
            wanted = replace(wanted, drain=(), kill=(), stale=())
        _end(ledger, name, wanted, snapshot.now)
        if not frozen:
            _restart(ledger, ledger.jobs[name], wanted, snapshot, due)
        if state is job.state:
            break
    _remember_wants(ledger, ledger.jobs[name], wanted, snapshot.now)
    due += wanted.later.values()
    return wanted


def _enter(ledger: Ledger, job: JobRecord, state: JobState, seen: Observed, now: float) -> None:
    failure = find_hopeless(ledger, job) if state is JobState.FAILED else None
    ledger.jobs[job.name] = replace(job, state=state, state_since=now, failure=failure)
    text = f"{state.value}: {failure or seen.value} (was {job.state.value})"
    ledger.say(now, NoteKind.STATE, text, job.name)


def _difference(ledger: Ledger, job: JobRecord, snapshot: Snapshot) -> Difference:
    shards = ledger.shards(job.name).values()
    # A worker leaves once what it had is seen in other hands.
    settled = not unconfirmed(shards, snapshot.heard)
    owners = {shard.owner for shard in shards if not shard.finished}

    def may_leave(task: TaskRecord) -> bool:
        return settled and task.id not in owners

    return difference(
        job,
        ledger.tasks_of(job.name),
        lambda number: ledger.worker(job.name, number),
        may_leave,
        lambda task: given_up(task, snapshot),
        snapshot.now,
    )


def _end(ledger: Ledger, name: JobName, wanted: Difference, now: float) -> None:
    for task in wanted.kill:
        happen(ledger, task, TaskEvent.KILL, now, _why(ledger.jobs[name], task))
    for task in wanted.drain:
        _drain(ledger, name, [task], now, _why(ledger.jobs[name], task))


def _drain(ledger: Ledger, name: JobName, tasks: Sequence[TaskRecord], now: float, why: str) -> None:
    draining = []
    for task in tasks:
        happen(ledger, task, TaskEvent.DRAIN, now, why)
        current = ledger.tasks.get(task.id)
        if current is not None and current.stage is Stage.DRAINING:
            draining.append(task.id)
    if draining:
        renew(ledger, name, draining)


def _restart(ledger: Ledger, job: JobRecord, wanted: Difference, snapshot: Snapshot, due: list[float]) -> None:
    """Let the next workers go that a restart is to replace."""
    if not wanted.stale:
        return
    settled = not unconfirmed(ledger.shards(job.name).values(), snapshot.heard)
    tasks = ledger.tasks_of(job.name)
    heard = [task for task in tasks if task.id in snapshot.heard or task.stage is not Stage.RUNNING]
    going = replaceable(job, heard, wanted.stale, settled=settled, now=snapshot.now)
    if isinstance(going, float):
        due.append(going)
        return
    _drain(ledger, job.name, going, snapshot.now, "it is restarted")


def _why(job: JobRecord, task: TaskRecord) -> str:
    if job.state.leaving:
        return f"the job is {job.state.value}"
    if task.worker >= job.workers:
        return f"{job.workers} workers are enough"
    if task.moving_since is not None:
        return "its agent is to be maintained, and another attempt has taken its place"
    return "another attempt fills its slot"


def _remember_wants(ledger: Ledger, job: JobRecord, wanted: Difference, now: float) -> None:
    """Write down since when slots have wanted a task."""
    missing = {*wanted.start, *wanted.later}
    for number in sorted(missing):
        slot = ledger.worker(job.name, number)
        if slot.wanted_since is None:
            ledger.put_worker(replace(slot, wanted_since=now))
    for number in range(job.workers):
        slot = ledger.worker(job.name, number)
        if number not in missing and slot.wanted_since is not None:
            ledger.put_worker(replace(slot, wanted_since=None))
