"""What people ask for → the records.  Refusals are exceptions with complete sentences; nothing has changed then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from headgate.core.ledger import Ledger
from headgate.errors import BadJob, UnknownJob
from headgate.model.command import Cancel, Command, Pause, Receipt, Restart, Resume, Scale, Submit
from headgate.model.ids import JobName
from headgate.model.job import JobSpec
from headgate.model.note import NoteKind
from headgate.model.record import Goal, JobRecord, JobState, ScalingMemory
from headgate.model.stored import encoded

_JOB_BYTES_MAX: Final = 256 * 1024
"""Half of what a store takes, since a record's history comes on top."""

Checks = Mapping[str, Callable[[JobSpec], tuple[str, ...]]]
"""By engine: what is wrong with a job for it."""


def carry_out(ledger: Ledger, command: Command, checks: Checks, now: float) -> Receipt:
    """Write a command's wish into the records.

    Raises:
        BadJob: the job, or the number of workers, cannot be accepted, or what is asked for makes no sense now.
        UnknownJob: there is no such job, or it is over.
    """
    match command:
        case Submit():
            return _submit(ledger, command.spec, checks, now)
        case Scale():
            return _scale(ledger, command, now)
        case Cancel():
            return _cancel(ledger, command.job, now)
        case Pause():
            return _pause(ledger, command.job, now)
        case Resume():
            return _resume(ledger, command.job, now)
        case Restart():
            return _restart(ledger, command.job, now)


def _submit(ledger: Ledger, spec: JobSpec, checks: Checks, now: float) -> Receipt:
    before = ledger.jobs.get(spec.name)
    if before is not None and (not before.state.over or ledger.tasks_of(spec.name)):
        raise BadJob((f"name: a job named {spec.name} is {before.state.value}; cancel it first, or choose another",))
    if spec.engine not in checks:
        known = ", ".join(sorted(checks))
        raise BadJob((f"engine: there is no engine {spec.engine!r}; this scheduler has {known}",))
    mistakes = checks[spec.engine](spec)
    if mistakes:
        raise BadJob(mistakes)
    submission = ledger.framework.submissions + 1
    job = JobRecord(spec=spec, submission=submission, submitted_at=now, state_since=now, workers=spec.workers.initial)
    size = len(encoded(f"jobs/{spec.name}", job))
    if size > _JOB_BYTES_MAX:
        raise BadJob((f"the job takes {size} bytes as JSON, {_JOB_BYTES_MAX} are the limit: pass data by reference",))
    ledger.drop_job(spec.name)
    ledger.framework = replace(ledger.framework, submissions=submission)
    ledger.jobs[spec.name] = job
    ledger.say(now, NoteKind.SUBMITTED, f"submitted as number {submission}", spec.name)
    return Receipt(job=spec.name, submission=submission, text=_submitted(before, spec))


def _submitted(before: JobRecord | None, spec: JobSpec) -> str:
    """What is to be expected of a job whose name was in use before."""
    if before is None:
        return f"{spec.name} is submitted"
    if before.spec.checkpoint.store != spec.checkpoint.store:
        return f"{spec.name} is submitted again; it goes by its new checkpoint.store, whatever was read before"
    text = f"{spec.name} is submitted again and goes on from its checkpoints"
    if before.state is not JobState.COMPLETED:
        return text
    anew = "to begin anew, choose another name or checkpoint.store"
    return f"{text}: shards that are finished are not read again, new ones are; {anew}"


def _scale(ledger: Ledger, command: Scale, now: float) -> Receipt:
    job = _find(ledger, command.job)
    allowed = job.spec.workers
    if command.workers is None:
        ledger.jobs[job.name] = replace(job, scaling=replace(job.scaling, pinned=False))
        text = "workers follow the backlog again"
    elif not allowed.min <= command.workers <= allowed.max:
        raise BadJob((f"workers: {command.workers} is not within {allowed.min}…{allowed.max} of {job.name}",))
    else:
        scaling = ScalingMemory(pinned=True, changed_at=now)
        ledger.jobs[job.name] = replace(job, workers=command.workers, scaling=scaling)
        text = f"{command.workers} workers from now on (was {job.workers})"
    ledger.say(now, NoteKind.SCALED, f"asked for: {text}", job.name)
    return Receipt(job=job.name, submission=job.submission, text=text)


def _cancel(ledger: Ledger, name: JobName, now: float) -> Receipt:
    job = _find(ledger, name)
    if job.goal is not Goal.CANCEL:
        ledger.jobs[name] = replace(job, goal=Goal.CANCEL)
        ledger.say(now, NoteKind.STATE, "asked to stop", name)
    return Receipt(job=name, submission=job.submission, text=f"{name} is being stopped")


def _pause(ledger: Ledger, name: JobName, now: float) -> Receipt:
    job = _stays(_find(ledger, name), "pause")
    if job.goal is Goal.RUN:
        ledger.jobs[name] = replace(job, goal=Goal.PAUSE)
        ledger.say(now, NoteKind.STATE, "asked to pause", name)
    text = f"{name} is paused" if job.state is JobState.PAUSED else f"{name} is being paused; its state is kept"
    return Receipt(job=name, submission=job.submission, text=text)


def _resume(ledger: Ledger, name: JobName, now: float) -> Receipt:
    job = _stays(_find(ledger, name), "resume")
    if job.goal is Goal.RUN:
        return Receipt(job=name, submission=job.submission, text=f"{name} is not paused; it is {job.state.value}")
    ledger.jobs[name] = replace(job, goal=Goal.RUN, scaling=replace(job.scaling, up_since=None, down_since=None))
    for number in range(job.workers):
        _forgive(ledger, name, number)
    ledger.say(now, NoteKind.STATE, "asked to go on", name)
    return Receipt(job=name, submission=job.submission, text=f"{name} goes on with {job.workers} workers")


def _restart(ledger: Ledger, name: JobName, now: float) -> Receipt:
    job = _stays(_find(ledger, name), "restart")
    if job.goal is Goal.PAUSE:
        raise BadJob((f"{name} is {job.state.value}: resume it, and its workers are new ones anyway",))
    for number in range(job.workers):
        _forgive(ledger, name, number)
        slot = ledger.worker(name, number)
        ledger.put_worker(replace(slot, stale_below=slot.attempts))
    ledger.say(now, NoteKind.STATE, f"asked to restart its {job.workers} workers", name)
    at_once = max(1, job.spec.upgrade.max_unavailable)
    text = f"{name}: {job.workers} workers are restarted, {at_once} at a time"
    return Receipt(job=name, submission=job.submission, text=text)


def _stays(job: JobRecord, verb: str) -> JobRecord:
    """The job, unless it is about to end."""
    if job.goal is Goal.CANCEL or job.state in (JobState.CANCELLING, JobState.DRAINING):
        raise BadJob((f"{job.name} is about to end ({job.state.value}): there is nothing to {verb}",))
    return job


def _forgive(ledger: Ledger, name: JobName, number: int) -> None:
    """Forget a slot's failures: a person has asked for another try, now."""
    slot = ledger.worker(name, number)
    ledger.put_worker(replace(slot, failures=0, losses=0, stuck=0, backoff_until=0.0))


def _find(ledger: Ledger, name: JobName) -> JobRecord:
    job = ledger.jobs.get(name)
    if job is None:
        known = ", ".join(sorted(ledger.jobs)) or "none"
        raise UnknownJob(f"there is no job named {name}; known: {known}")
    if job.state.over:
        raise UnknownJob(f"job {name} is {job.state.value} since {job.state_since:.0f}; submit it again to run it")
    return job
