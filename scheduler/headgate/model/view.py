"""What the scheduler shows of itself after each tick: frozen, and JSON as it stands (msgspec).

The CLI, the API, the console and the demo read this and nothing else.  Instants are seconds since the epoch, durations
are seconds; None means unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from headgate.model.ids import AgentId, FrameworkId, JobName, OperationId, ReservationId, ShardId, TaskId
from headgate.model.job import JobSpec
from headgate.model.note import Note
from headgate.model.offer import FaultDomain, Unavailability
from headgate.model.operation import Hold, OperationKind, OperationState
from headgate.model.record import Goal, JobState
from headgate.model.resources import Resources
from headgate.model.task import Stage
from headgate.model.waiting import InverseAnswer, OfferFate, Waiting
from millstream.contract.report import AuditCounters, CheckpointReport, ShardState


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardView:
    """One shard: its owner, and what the owner last reported of it.

    `moving`: on its way from one worker to another.  `pause_s`: for how long, at most, nobody worked on it when it last
    changed hands.  `stuck`: it has work waiting that is not done; `owners_stuck` counts in a row the owners it was
    taken from for that.  The report's fields are None until the owner has reported it.
    """

    id: ShardId
    epoch: int
    worker: int | None = None
    task_id: TaskId | None = None
    moving: bool = False
    finished: bool = False
    stuck: bool = False
    owners_stuck: int = 0
    state: ShardState | None = None
    backlog_records: int | None = None
    lag_s: float | None = None
    watermark_ms: int | None = None
    records_per_s: float | None = None
    arrivals_per_s: float | None = None
    cost_s: float | None = None
    """Busy seconds per record."""
    demand_cores: float | None = None
    position: int | None = None
    end_position: int | None = None
    checkpoint: CheckpointReport | None = None
    checkpoint_at: float | None = None
    restored_from: int | None = None
    pause_s: float | None = None
    audit: AuditCounters | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """One worker slot and the task that fills it, if any.

    `ready`: it runs and reports.  `backoff_until` is None unless the slot waits for it.  `moving_since`: it is to leave
    its agent, once another attempt has taken its place.  `why` says why it is being ended, or moved.
    """

    worker: int
    task_id: TaskId | None = None
    attempt: int | None = None
    stage: Stage | None = None
    since: float | None = None
    ready: bool = False
    agent_id: AgentId | None = None
    hostname: str | None = None
    resources: Resources | None = None
    shards: tuple[ShardId, ...] = ()
    reported_at: float | None = None
    records_per_s: float | None = None
    cpu_s: float | None = None
    rss_bytes: int | None = None
    revision: str | None = None
    failures: int = 0
    backoff_until: float | None = None
    last_failure: str | None = None
    problem: str | None = None
    why: str | None = None
    moving_since: float | None = None
    reservation: ReservationId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingView:
    """The scaling policy's last decision and what it was made of.

    `best` is the number of workers the formula asks for; `verdict` says in a sentence what was done and which rule
    bound it.
    """

    enabled: bool
    pinned: bool
    verdict: str
    best: int | None = None
    demand_cores: float | None = None
    utilization: float | None = None
    hot_shard: ShardId | None = None
    stuck_shards: tuple[ShardId, ...] = ()
    """With work waiting that is not done: more workers would not help them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationView:
    """An operation on resources whose end is not known; `state` is what Mesos said last of it."""

    id: OperationId
    kind: OperationKind
    sent_at: float
    state: OperationState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationView:
    """What a worker keeps on an agent, and what is being done about it; `since` is when `hold` was entered."""

    id: ReservationId
    job: JobName
    worker: int
    role: str
    agent_id: AgentId
    hostname: str
    resources: Resources
    volume_m: int
    hold: Hold
    since: float
    operations: tuple[OperationView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartView:
    """A restart that somebody asked for and that is under way: `replaced` of `workers` run anew."""

    workers: int
    replaced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """One job."""

    name: JobName
    submission: int
    spec: JobSpec
    state: JobState
    state_since: float
    goal: Goal
    submitted_at: float
    workers_wished: int
    workers_ready: int
    workers: tuple[WorkerView, ...] = ()
    shards: tuple[ShardView, ...] = ()
    shards_complete: bool = False
    shards_finished: int = 0
    backlog_records: int | None = None
    lag_s: float | None = None
    records_per_s: float = 0.0
    arrivals_per_s: float | None = None
    audit: AuditCounters = field(default_factory=AuditCounters)
    """Over all shards with a report."""
    checkpoint_age_s: float | None = None
    """Of the shard whose newest checkpoint is oldest."""
    restarts: int = 0
    moves: int = 0
    scaling: ScalingView | None = None
    waiting: Waiting | None = None
    restart: RestartView | None = None
    reservations: tuple[ReservationView, ...] = ()
    failure: str | None = None
    history: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent as last offered, and what became of that offer.

    `avoided_until`: too many tasks failed there lately.  `maintenance`: when it is to be maintained; `answer` is what
    the wish to have it back was answered with, if operators have asked.
    """

    id: AgentId
    hostname: str
    offered: Resources
    seen_at: float
    has_gpus: bool = False
    attributes: dict[str, str] = field(default_factory=dict)
    domain: FaultDomain | None = None
    tasks: int = 0
    failures: int = 0
    avoided_until: float | None = None
    fate: OfferFate | None = None
    maintenance: Unavailability | None = None
    answer: InverseAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferCounters:
    """Since this scheduler started."""

    received: int = 0
    accepted: int = 0
    declined: int = 0
    rescinded: int = 0
    inverse_accepted: int = 0
    inverse_declined: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCounters:
    """Since this scheduler started.  `lost` counts those no fault of the worker's."""

    launched: int = 0
    running: int = 0
    finished: int = 0
    failed: int = 0
    killed: int = 0
    lost: int = 0
    strays_killed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterView:
    """The connection to Mesos.  `reconciled`: what we know of our tasks has been confirmed since we connected."""

    connected: bool = False
    reconciled: bool = False
    framework_id: FrameworkId | None = None
    master: str | None = None
    version: str | None = None
    since: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything.  `ticks` only grows; `events` are the newest notes of all jobs and of the scheduler, oldest first."""

    at: float
    ticks: int = 0
    master: MasterView = field(default_factory=MasterView)
    jobs: tuple[JobView, ...] = ()
    agents: tuple[AgentView, ...] = ()
    offers: OfferCounters = field(default_factory=OfferCounters)
    tasks: TaskCounters = field(default_factory=TaskCounters)
    events: tuple[Note, ...] = ()
    disaster: str | None = None
    """Why kills, scaling down and restarts wait, while so much is lost that they do."""
    disaster_since: float | None = None
    left_behind: tuple[ReservationView, ...] = ()
    """Reservations of jobs that are known no more, to be given back."""

    def find_job(self, name: str) -> JobView | None:
        """The job of that name."""
        return next((job for job in self.jobs if job.name == name), None)
