"""What is true of a job now, for its state machine: made from the records and the newest reports alone."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.core.job_machine import Observed
from headgate.core.ledger import Ledger
from headgate.core.ownership import unconfirmed
from headgate.model.ids import TaskId
from headgate.model.measurements import Heard
from headgate.model.record import Goal, JobRecord, JobState
from headgate.model.task import Stage
from millstream.contract.worker_spec import Until


def observed(ledger: Ledger, job: JobRecord, heard: Mapping[TaskId, Heard]) -> Observed:
    """The first observation that holds, in the order of `Observed`."""
    tasks = ledger.tasks_of(job.name)
    shards = ledger.shards(job.name).values()
    resting = job.state in (JobState.PAUSING, JobState.PAUSED)
    if job.state.leaving and not resting and not tasks:
        return Observed.EMPTY
    if job.goal is Goal.CANCEL:
        return Observed.CANCEL
    if job.goal is Goal.PAUSE:
        return Observed.EMPTY if resting and not tasks else Observed.PAUSE
    if resting:
        return Observed.RESUME
    if find_hopeless(ledger, job) is not None:
        return Observed.GAVE_UP
    if job.spec.until is Until.END and job.shards_complete and all(shard.finished for shard in shards):
        return Observed.FINISHED
    ready = {task.worker for task in tasks if task.stage is Stage.RUNNING and task.id in heard}
    missing = [number for number in range(job.workers) if number not in ready]
    cut_off = {task.worker for task in tasks if task.stage is Stage.UNREACHABLE}
    if any(number in cut_off or ledger.worker(job.name, number).broken for number in missing):
        return Observed.HURT
    if missing or any(task.worker >= job.workers for task in tasks):
        return Observed.RESIZED
    if not shards and not job.shards_complete:
        return Observed.UNSETTLED
    return Observed.UNSETTLED if unconfirmed(shards, heard) else Observed.READY


def find_hopeless(ledger: Ledger, job: JobRecord) -> str | None:
    """Why the job gives up, if it does: a worker that failed as often in a row as the job allows.

    One that runs speaks for itself, however the attempts fare that are to take its place (`maintenance`).
    """
    limit = job.spec.restart.give_up_after
    if limit is None:
        return None
    running = {task.worker for task in ledger.tasks_of(job.name) if task.stage is Stage.RUNNING}
    for number in range(job.workers):
        if number in running:
            continue
        slot = ledger.worker(job.name, number)
        if slot.failures >= max(1, limit):
            return f"worker {number} failed {slot.failures} times in a row, last: {slot.last_failure}"
    return None
