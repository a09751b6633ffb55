"""What we recorded of a task: one attempt to fill a worker slot, from the saved intent to its end.

`status` is what Mesos said (`status.TaskState`); `stage` is what we made of it (`core.task_machine`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from headgate.model.ids import AgentId, Attempt, JobName, ReservationId, TaskId
from headgate.model.resources import Resources


class Stage(Enum):
    """Where an attempt is.  An ended task has no record: ENDED stands for every task we know nothing of."""

    LAUNCHING = "launching"
    """The intent is saved, and perhaps sent; nothing heard yet."""
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    """Asked to release everything and to end itself."""
    KILLING = "killing"
    UNREACHABLE = "unreachable"
    """Its agent is cut off; the task may run on."""
    ENDED = "ended"

    @property
    def owns(self) -> bool:
        """Whether shards may stay with a task in this stage."""
        return self in _OWNERS


_OWNERS = frozenset({Stage.LAUNCHING, Stage.STARTING, Stage.RUNNING, Stage.DRAINING, Stage.UNREACHABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """One attempt that has not ended, as far as we know.

    `since` is when the stage was entered.  `assignment_version` is the version of the assignment it was last given
    (0: none yet); it is drawn from the job's counter whenever what the task is to own changes.
    `places` are the values of its agent's attributes that the job's placement names.
    `why` says why it is being ended, once it is.  `reservation` is the one it uses.
    `moving_since`: it is to leave its agent, once another attempt has taken its place.
    """

    attempt: Attempt
    agent_id: AgentId
    hostname: str
    resources: Resources
    stage: Stage
    launched_at: float
    since: float
    running_at: float | None = None
    assignment_version: int = 0
    places: Mapping[str, str] = field(default_factory=dict)
    why: str | None = None
    reservation: ReservationId | None = None
    moving_since: float | None = None

    @property
    def id(self) -> TaskId:
        """The Mesos task id, and executor id."""
        return self.attempt.task_id

    @property
    def job(self) -> JobName:
        """The job it works for."""
        return self.attempt.job

    @property
    def worker(self) -> int:
        """The slot it fills."""
        return self.attempt.worker


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """What is remembered of a worker slot over its attempts, and over scheduler restarts.

    `attempts` is the number of the next attempt: never used twice.  `failures` counts those in a row;
    nothing is started before `backoff_until`.  `broken`: the last attempt ended unasked, and none has run since.
    `losses`: attempts in a row that ended before they ran, through no fault of their own.  `stuck`: attempts in a row
    that did not run in time.  `stale_below`: attempts before this one are to be replaced: a restart was asked for.
    """

    job: JobName
    worker: int
    attempts: int = 0
    failures: int = 0
    backoff_until: float = 0.0
    broken: bool = False
    last_failure: str | None = None
    last_failure_at: float | None = None
    losses: int = 0
    stuck: int = 0
    stale_below: int = 0
    wanted_since: float | None = None
    """Since when the slot wants a task and has none; None: it has one, or wants none."""
