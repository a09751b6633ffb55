"""Distinct types for the names of things, and the one id we make ourselves: the task's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

FrameworkId = NewType("FrameworkId", str)
AgentId = NewType("AgentId", str)
OfferId = NewType("OfferId", str)
TaskId = NewType("TaskId", str)
ExecutorId = NewType("ExecutorId", str)
JobName = NewType("JobName", str)
"""A DNS label, so it has no dots."""
ShardId = NewType("ShardId", str)
OperationId = NewType("OperationId", str)
ReservationId = NewType("ReservationId", str)
"""The id of the attempt that a reservation was made for, so that none is ever used twice."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Attempt:
    """What a task id says: the n-th attempt to fill a worker slot of a job.

    `submission` is the number of the job's submission, which is never used twice, so that a job submitted again under
    an old name never meets tasks of the earlier one.
    """

    job: JobName
    submission: int
    worker: int
    attempt: int

    @property
    def task_id(self) -> TaskId:
        """The Mesos task id, and executor id: `job.submission.worker.attempt`."""
        return TaskId(f"{self.job}.{self.submission}.{self.worker}.{self.attempt}")


def find_attempt(task_id: str) -> Attempt | None:
    """The attempt a task id stands for; None for a task id that is not of our making."""
    parts = task_id.split(".")
    if len(parts) != 4 or not parts[0] or not all(part.isascii() and part.isdigit() for part in parts[1:]):
        return None
    submission, worker, attempt = (int(part) for part in parts[1:])
    found = Attempt(job=JobName(parts[0]), submission=submission, worker=worker, attempt=attempt)
    return found if found.task_id == task_id else None
