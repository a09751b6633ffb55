"""What the HTTP API says and hears, as data: its OpenAPI description, and the client, are made of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from headgate.model.command import Command, Receipt
from headgate.model.ids import AgentId, JobName
from headgate.model.job import JobSpec
from headgate.model.note import Note
from headgate.model.operation import Hold
from headgate.model.record import Goal, JobState
from headgate.model.view import JobView, OperationView, ReservationView, ScalingView, ShardView, View
from headgate.model.waiting import AgentExplanation, DryRun, Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Leadership:
    """Whether the process that answers leads, and the URL of who does; None: nobody, as far as known."""

    leads: bool = True
    leader: str | None = None


class Gate(Protocol):
    """The scheduler, as the API sees it.  Safe to call from any thread."""

    def leadership(self) -> Leadership:
        """Who leads; never waits."""

    def view(self) -> View:
        """The newest view; never waits."""

    def dry_run(self, spec: JobSpec) -> DryRun:
        """What would become of a job if it were submitted now; never waits.

        Raises:
            StoreUnavailable: nothing is known of the cluster yet.
            StaleLeader: this scheduler does not lead.
        """

    def explain_agent(self, agent_id: AgentId) -> AgentExplanation | None:
        """What became of an agent's last offers; None: no such agent is known.  Never waits.

        Raises:
            StaleLeader: this scheduler does not lead.
        """

    def ask(self, command: Command) -> Receipt:
        """Have the scheduler take a command; returns once it is saved.

        Raises:
            BadJob: refused, with every reason.
            UnknownJob: no job of that name.
            StoreUnavailable: not saved, or perhaps; ask again.
            StaleLeader: this scheduler leads no more.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """`job` is the content of a job file, `bundle` the SHA-256 of a bundle that was put here before."""

    job: dict[str, Any]
    bundle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunRequest:
    """`job` is the content of a job file."""

    job: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRequest:
    """How many workers there shall be; null: as the scaling policy sees fit again."""

    workers: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiError:
    """What went wrong, in one sentence; `mistakes` lists every fault of what was sent."""

    error: str
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSummary:
    """One line about a job."""

    name: JobName
    state: JobState
    state_since: float
    submitted_at: float
    workers_wished: int
    workers_ready: int
    shards: int
    shards_finished: int
    backlog_records: int | None
    lag_s: float | None
    records_per_s: float
    restarts: int
    waiting: str | None
    failure: str | None
    remark: str | None = None
    """What else is worth knowing: a restart under way, workers that are moved, stuck shards, a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job is as it is: what it waits for, what the scaling policy decided, what went wrong, what happened.

    `disaster`: why kills, scaling down and restarts wait, if they do.  `doings`: what is under way, in words.
    """

    job: JobName
    state: JobState
    state_since: float
    at: float
    disaster: str | None = None
    doings: tuple[str, ...] = ()
    waiting: Waiting | None = None
    scaling: ScalingView | None = None
    failure: str | None = None
    problems: tuple[str, ...] = ()
    history: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`ready`: connected to the master and sure of its tasks; `problem` says what is missing.

    `leads`: this scheduler acts; one that stands by is healthy, never ready, and answers with the leader's words.
    """

    ready: bool
    problem: str | None = None
    leads: bool = True
    leader: str | None = None


def summary(job: JobView) -> JobSummary:
    """The job in one line."""
    return JobSummary(
        name=job.name,
        state=job.state,
        state_since=job.state_since,
        submitted_at=job.submitted_at,
        workers_wished=job.workers_wished,
        workers_ready=job.workers_ready,
        shards=len(job.shards),
        shards_finished=job.shards_finished,
        backlog_records=job.backlog_records,
        lag_s=job.lag_s,
        records_per_s=job.records_per_s,
        restarts=job.restarts,
        waiting=job.waiting.text if job.waiting else None,
        failure=job.failure,
        remark="; ".join(doings(job)) or None,
    )


def explanation(job: JobView, view: View) -> Explanation:
    """Everything the view knows of why."""
    problems = [f"worker {each.worker}: {each.problem}" for each in job.workers if each.problem]
    problems += [
        f"worker {each.worker}: failed {_times(each.failures)}: {each.last_failure}"
        for each in job.workers
        if each.failures and each.last_failure
    ]
    problems += [f"shard {each.id}: {each.problem}" for each in job.shards if each.problem]
    problems += [_stuck_text(each) for each in job.shards if each.stuck or each.owners_stuck]
    return Explanation(
        job=job.name,
        state=job.state,
        state_since=job.state_since,
        at=view.at,
        disaster=view.disaster,
        doings=tuple(doings(job)),
        waiting=job.waiting,
        scaling=job.scaling,
        failure=job.failure,
        problems=tuple(problems),
        history=job.history,
    )


def doings(job: JobView) -> list[str]:
    """What is under way with a job, or was asked of it: a pause, a restart, workers that move, reservations."""
    found = []
    if job.state is JobState.PAUSED:
        found.append(f"it rests, its state kept, until `headgate resume {job.name}`")
    elif job.goal is Goal.PAUSE and not job.state.over:
        found.append("it is to rest: its workers make their last checkpoints")
    if job.restart is not None:
        found.append(f"a restart is under way: {job.restart.replaced} of {job.restart.workers} workers are replaced")
    found += [f"worker {each.worker} is moved: {each.why}" for each in job.workers if each.moving_since is not None]
    return found + [text for text in map(_reservation_text, job.reservations) if text is not None]


def _reservation_text(kept: ReservationView) -> str | None:
    """What is being done about a reservation; None: it is simply held."""
    asked = ", ".join(f"{each.kind.value} {_operation_state(each)}" for each in kept.operations)
    match kept.hold:
        case Hold.MAKING:
            return f"worker {kept.worker}: resources are being reserved on {kept.hostname} ({asked or 'not sent yet'})"
        case Hold.FREEING:
            how = asked or "when its agent is offered again"
            return f"what worker {kept.worker} kept on {kept.hostname} is given back ({how})"
        case Hold.HELD:
            return f"worker {kept.worker}: on {kept.hostname}: {asked}" if asked else None


def _operation_state(operation: OperationView) -> str:
    return "sent" if operation.state is None else operation.state.value.removeprefix("OPERATION_").lower()


def _times(failures: int) -> str:
    return "once" if failures == 1 else f"{failures} times in a row, the last time so"


def _stuck_text(shard: ShardView) -> str:
    whom = "one worker" if shard.owners_stuck == 1 else f"{shard.owners_stuck} workers in a row"
    before = f"; taken from {whom} for that" if shard.owners_stuck else ""
    now = "has work waiting that is not done" if shard.stuck else "did not get on"
    return f"shard {shard.id}: {now}{before}"


def health(view: View, leadership: Leadership) -> Health:
    """Whether the scheduler can act on what is asked of it."""
    problem = None
    if not view.master.connected:
        problem = view.master.problem or "not connected to a Mesos master"
    elif not view.master.reconciled:
        problem = "the master has not yet said how our tasks are"
    ready = problem is None and leadership.leads
    return Health(ready=ready, problem=problem, leads=leadership.leads, leader=leadership.leader)
