"""What survives a restart of the scheduler: the records, and all of them together.

How they are written down is `stored`'s concern.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from headgate.model.ids import AgentId, FrameworkId, JobName, OperationId, ReservationId, TaskId
from headgate.model.job import JobSpec
from headgate.model.note import Note
from headgate.model.operation import OperationRecord, ReservationRecord
from headgate.model.shard import ShardRecord
from headgate.model.task import TaskRecord, WorkerRecord

HISTORY_MAX = 40
"""Notes kept in a job's record."""


class Goal(Enum):
    """What the owner wants of a job now."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class JobState(Enum):
    """Where a job is; the moves are `core.job_machine`'s."""

    DEPLOYING = "deploying"
    RUNNING = "running"
    RESCALING = "rescaling"
    RECOVERING = "recovering"
    PAUSING = "pausing"
    PAUSED = "paused"
    DRAINING = "draining"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether nothing will be started for the job again."""
        return self in _OVER

    @property
    def leaving(self) -> bool:
        """Whether its workers are to end, for good or until it is resumed."""
        return self in _LEAVING


_OVER = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED})
_LEAVING = _OVER | {JobState.PAUSING, JobState.PAUSED, JobState.DRAINING, JobState.CANCELLING}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingAction:
    """The policy changed the number of workers, up or down."""

    at: float
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingTrial:
    """Workers were added to clear a backlog: what was processed per second before, by how many."""

    at: float
    workers: int
    rate_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """More than so many workers did not help, `times` in a row; until then there are no more."""

    workers: int
    until: float
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingMemory:
    """What the scaling policy remembers between its decisions.

    `up_since`/`down_since`: since when it would go up, or down, without a break; `down_to` is the highest number of
    workers it would have gone down to in that time.  `pinned`: a person set the number, the policy leaves it alone.
    `actions` are its own changes of the last hour, oldest first.
    """

    changed_at: float | None = None
    up_since: float | None = None
    down_since: float | None = None
    down_to: int | None = None
    pinned: bool = False
    actions: tuple[ScalingAction, ...] = ()
    trial: ScalingTrial | None = None
    saturation: Saturation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GangTurn:
    """A gang's turn to gather offers: since when they are held for it, or until when it leaves that to others."""

    holds_since: float | None = None
    rests_until: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One submission of a job.

    `workers` is how many it should have now.  `assignment_version` is the counter that assignments draw from.
    `shards_complete`: no further shards will appear.  `failure` is why it is FAILED.
    """

    spec: JobSpec
    submission: int
    submitted_at: float
    goal: Goal = Goal.RUN
    state: JobState = JobState.DEPLOYING
    state_since: float = 0.0
    workers: int = 1
    scaling: ScalingMemory = field(default_factory=ScalingMemory)
    gang: GangTurn = field(default_factory=GangTurn)
    assignment_version: int = 0
    shards_complete: bool = False
    rebalanced_at: float | None = None
    restarts: int = 0
    moves: int = 0
    failure: str | None = None
    history: tuple[Note, ...] = ()

    @property
    def name(self) -> JobName:
        """The job's name."""
        return self.spec.name


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFailure:
    """A task of the job failed there."""

    at: float
    job: JobName


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRecord:
    """What is remembered of an agent: which tasks failed there lately, oldest first, and whether it has GPUs.

    `gpus_seen_at`: when the agent was last known to be there, give or take some hours; None: it has no GPUs, as far as
    we know.  An agent with nothing to remember has no record.
    """

    agent_id: AgentId
    failures: tuple[AgentFailure, ...] = ()
    gpus_seen_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """How many running tasks were lost within some seconds from `at` on, and the agents they were on."""

    at: float
    tasks: int
    agents: tuple[AgentId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DisasterRecord:
    """Tasks lost lately, oldest first, and the disaster that they make, if they do.

    `since` is when it began, `worst_at` when it was last as bad; both None while there is none.
    """

    losses: tuple[Losses, ...] = ()
    since: float | None = None
    worst_at: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkRecord:
    """Who we are to Mesos, and the last submission and operation numbers given out."""

    framework_id: FrameworkId | None = None
    user: str | None = None
    """As whom Mesos runs our tasks, whatever we tell it later."""
    submissions: int = 0
    disaster: DisasterRecord = field(default_factory=DisasterRecord)
    operations: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Everything that survives a restart.  Shards are in the order in which they were discovered."""

    framework: FrameworkRecord = field(default_factory=FrameworkRecord)
    jobs: Mapping[JobName, JobRecord] = field(default_factory=dict)
    tasks: Mapping[TaskId, TaskRecord] = field(default_factory=dict)
    workers: Mapping[tuple[JobName, int], WorkerRecord] = field(default_factory=dict)
    shards: Mapping[JobName, tuple[ShardRecord, ...]] = field(default_factory=dict)
    agents: Mapping[AgentId, AgentRecord] = field(default_factory=dict)
    reservations: Mapping[ReservationId, ReservationRecord] = field(default_factory=dict)
    operations: Mapping[OperationId, OperationRecord] = field(default_factory=dict)
