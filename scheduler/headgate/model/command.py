"""What people (through CLI and API) ask of the scheduler, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.model.ids import JobName
from headgate.model.job import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Run this job.  Refused (BadJob) while a job of that name is not over."""

    spec: JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Have this many workers from now on, whatever the backlog; None: as the policy sees fit again.

    Refused (BadJob) outside the job's `workers.min`…`workers.max`.
    """

    job: JobName
    workers: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Stop the job: last checkpoints, then the end of its workers.  Repeating it changes nothing."""

    job: JobName


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Let the job's workers go after their last checkpoints; everything else stays.  Repeating it changes nothing."""

    job: JobName


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Go on from the checkpoints, with as many workers as before.  A job that is not paused goes on as it is."""

    job: JobName


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Replace every worker there is now by a new attempt, a few at a time (`upgrade.max_unavailable`).

    What is remembered of failures is forgotten.  Refused (BadJob) while the job is paused.
    """

    job: JobName


Command = Submit | Scale | Cancel | Pause | Resume | Restart


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The command is saved: it will be carried out even if the scheduler dies now."""

    job: JobName
    submission: int
    text: str
