"""The world → what interfaces show (`model.view`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headgate.core.attributes import value_text
from headgate.core.reconcile import reconciled
from headgate.core.show_upkeep import reservations, restart_progress, why_moving
from headgate.core.surroundings import avoided_agents
from headgate.model.ids import AgentId, JobName, ShardId, TaskId
from headgate.model.note import Note
from headgate.model.plan import Plan
from headgate.model.record import JobRecord
from headgate.model.shard import ShardRecord
from headgate.model.snapshot import Snapshot
from headgate.model.task import Stage, TaskRecord, WorkerRecord
from headgate.model.view import (
    AgentView,
    JobView,
    MasterView,
    OfferCounters,
    ReservationView,
    ShardView,
    TaskCounters,
    View,
    WorkerView,
)
from headgate.model.waiting import InverseAnswer, OfferFate
from millstream.contract.report import AuditCounters, ShardReport

LastReports = Mapping[tuple[JobName, int], Mapping[ShardId, tuple[ShardReport, float]]]
"""By submission of a job, and shard: its owner's last word, and when; also after the owner has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a view needs besides the snapshot and the plan made from it."""

    ticks: int
    master: MasterView
    last_reports: LastReports = field(default_factory=dict)
    counted: Mapping[str, int] = field(default_factory=dict)
    fates: Mapping[AgentId, OfferFate] = field(default_factory=dict)
    answers: Mapping[AgentId, InverseAnswer] = field(default_factory=dict)
    events: tuple[Note, ...] = ()


def show(snapshot: Snapshot, plan: Plan, told: Told) -> View:
    """Everything as it is after the plan."""
    jobs = sorted(plan.records.jobs.values(), key=lambda job: (job.submission, job.name))
    tasks: dict[JobName, list[TaskRecord]] = {}
    for task in sorted(plan.records.tasks.values(), key=_order):
        tasks.setdefault(task.job, []).append(task)
    running = sum(1 for task in plan.records.tasks.values() if task.stage is Stage.RUNNING)
    count = Counter(told.counted)
    kept = reservations(plan.records)
    return View(
        at=snapshot.now,
        ticks=told.ticks,
        master=replace(
            told.master,
            framework_id=plan.records.framework.framework_id,
            reconciled=reconciled(snapshot.link, snapshot.settings.patience.reconcile_gate_s, snapshot.now),
        ),
        jobs=tuple(
            _job(
                job,
                tasks.get(job.name, []),
                snapshot,
                plan,
                told.last_reports.get((job.name, job.submission), {}),
                kept.get(job.name, ()),
            )
            for job in jobs
        ),
        agents=_agents(snapshot, plan, told),
        offers=OfferCounters(
            received=count["received"],
            accepted=count["accepted"],
            declined=count["declined"],
            rescinded=count["rescinded"],
            inverse_accepted=count["inverse accepted"],
            inverse_declined=count["inverse declined"],
        ),
        tasks=TaskCounters(
            launched=count["note launched"],
            running=running,
            finished=count["note ended"],
            failed=count["note failed"],
            killed=count["note killed"],
            lost=count["note lost"],
            strays_killed=count["strays killed"],
        ),
        events=told.events,
        disaster=plan.records.framework.disaster.reason,
        disaster_since=plan.records.framework.disaster.since,
        left_behind=tuple(each for name, group in kept.items() if name not in plan.records.jobs for each in group),
    )


def _order(task: TaskRecord) -> tuple[JobName, int, int, int]:
    attempt = task.attempt
    return attempt.job, attempt.submission, attempt.worker, attempt.attempt


def _job(
    job: JobRecord,
    tasks: Sequence[TaskRecord],
    snapshot: Snapshot,
    plan: Plan,
    reports: Mapping[ShardId, tuple[ShardReport, float]],
    kept: tuple[ReservationView, ...],
) -> JobView:
    records = plan.records.shards.get(job.name, ())
    shards = tuple(_shard(shard, job, plan, snapshot, reports.get(shard.id)) for shard in records)
    workers = _workers(job, tasks, records, snapshot, plan)
    ages = [shard.checkpoint_at for shard in shards if shard.checkpoint_at is not None and not shard.finished]
    return JobView(
        name=job.name,
        submission=job.submission,
        spec=job.spec,
        state=job.state,
        state_since=job.state_since,
        goal=job.goal,
        submitted_at=job.submitted_at,
        workers_wished=0 if job.state.leaving else job.workers,
        workers_ready=sum(1 for worker in workers if worker.ready),
        workers=workers,
        shards=shards,
        shards_complete=job.shards_complete,
        shards_finished=sum(1 for shard in shards if shard.finished),
        backlog_records=_sum(shard.backlog_records for shard in shards),
        lag_s=max((shard.lag_s for shard in shards if shard.lag_s is not None), default=None),
        records_per_s=sum(shard.records_per_s or 0.0 for shard in shards),
        arrivals_per_s=_sum_floats(shard.arrivals_per_s for shard in shards),
        audit=_audit(shard.audit for shard in shards),
        checkpoint_age_s=snapshot.now - min(ages) if ages else None,
        restarts=job.restarts,
        moves=job.moves,
        scaling=plan.scaling.get(job.name),
        waiting=plan.waiting.get(job.name),
        restart=restart_progress(job, tasks, plan.records),
        reservations=kept,
        failure=job.failure,
        history=job.history,
    )


def _shard(
    shard: ShardRecord,
    job: JobRecord,
    plan: Plan,
    snapshot: Snapshot,
    reported: tuple[ShardReport, float] | None,
) -> ShardView:
    owner = plan.records.tasks.get(shard.owner) if shard.owner is not None else None
    load = snapshot.loads.get(job.name, {}).get(shard.id)
    demand = plan.demands.get(job.name, {}).get(shard.id)
    scaling = plan.scaling.get(job.name)
    view = ShardView(
        id=shard.id,
        epoch=shard.epoch,
        worker=owner.worker if owner else None,
        task_id=shard.owner,
        moving=shard.releasing is not None,
        finished=shard.finished,
        stuck=scaling is not None and shard.id in scaling.stuck_shards,
        owners_stuck=shard.stuck,
        arrivals_per_s=load.arrivals_per_s if load else None,
        cost_s=load.cost_s if load else None,
        demand_cores=demand,
        pause_s=load.pause_s if load else None,
        backlog_records=load.backlog_records if load else None,
    )
    return _reported(view, reported) if reported else view


def _reported(view: ShardView, reported: tuple[ShardReport, float]) -> ShardView:
    report, at = reported
    # Rates of an owner that is gone are no rates any more; what it had done stays done.
    current = view.task_id is not None and report.epoch == view.epoch and not view.finished
    return replace(
        view,
        state=report.state if current or view.finished else None,
        backlog_records=view.backlog_records if view.backlog_records is not None else report.backlog_records,
        lag_s=report.lag_s,
        watermark_ms=report.watermark_ms,
        records_per_s=report.records_per_s if current else 0.0,
        position=report.position,
        end_position=report.end_position,
        checkpoint=report.checkpoint,
        checkpoint_at=at - report.checkpoint.age_s if report.checkpoint else None,
        restored_from=report.restored_from,
        audit=report.audit,
        problem=report.problem,
    )


def _workers(
    job: JobRecord, tasks: Sequence[TaskRecord], shards: Sequence[ShardRecord], snapshot: Snapshot, plan: Plan
) -> tuple[WorkerView, ...]:
    owned: dict[TaskId, list[ShardId]] = {}
    for shard in shards:
        if shard.owner is not None:
            owned.setdefault(shard.owner, []).append(shard.id)
    filled = {task.worker for task in tasks}
    empty = [] if job.state.leaving else [number for number in range(job.workers) if number not in filled]
    views = [_worker(task, owned.get(task.id, []), job, snapshot, plan) for task in tasks]
    views += [_slot(_memory(job, number, plan), snapshot.now) for number in empty]
    return tuple(sorted(views, key=lambda view: (view.worker, view.attempt or 0)))


def _memory(job: JobRecord, number: int, plan: Plan) -> WorkerRecord:
    return plan.records.workers.get((job.name, number)) or WorkerRecord(job=job.name, worker=number)


def _slot(slot: WorkerRecord, now: float) -> WorkerView:
    return WorkerView(
        worker=slot.worker,
        since=slot.wanted_since,
        failures=slot.failures,
        backoff_until=slot.backoff_until if slot.backoff_until > now else None,
        last_failure=slot.last_failure,
    )


def _worker(task: TaskRecord, shards: Sequence[ShardId], job: JobRecord, snapshot: Snapshot, plan: Plan) -> WorkerView:
    slot = _memory(job, task.worker, plan)
    heard = snapshot.heard.get(task.id)
    report = heard.report if heard else None
    return WorkerView(
        worker=task.worker,
        task_id=task.id,
        attempt=task.attempt.attempt,
        stage=task.stage,
        since=task.since,
        ready=task.stage is Stage.RUNNING and heard is not None,
        agent_id=task.agent_id,
        hostname=task.hostname,
        resources=task.resources,
        shards=tuple(sorted(shards)),
        reported_at=heard.at if heard else None,
        records_per_s=sum(shard.records_per_s for shard in report.owned) if report else None,
        cpu_s=report.cpu_s if report else None,
        rss_bytes=report.rss_bytes if report else None,
        revision=report.revision if report else None,
        failures=slot.failures,
        last_failure=slot.last_failure,
        problem=report.problem if report else None,
        why=task.why or why_moving(task, snapshot.windows, snapshot.now),
        moving_since=task.moving_since,
        reservation=task.reservation,
    )


def _agents(snapshot: Snapshot, plan: Plan, told: Told) -> tuple[AgentView, ...]:
    tasks = Counter(task.agent_id for task in plan.records.tasks.values())
    with_gpus = {agent.agent_id for agent in plan.records.agents.values() if agent.gpus_seen_at is not None}
    troubled = [agent for _, agent in sorted(plan.records.agents.items()) if agent.failures]
    avoided: dict[AgentId, float] = {}
    for job in plan.records.jobs:
        patience = snapshot.settings.patience
        for agent_id, until in avoided_agents(job, snapshot.agents, troubled, patience, snapshot.now).items():
            avoided[agent_id] = max(until, avoided.get(agent_id, 0.0))
    return tuple(
        AgentView(
            id=agent.agent_id,
            hostname=agent.hostname,
            offered=agent.offered,
            seen_at=agent.at,
            has_gpus=agent.has_gpus or agent.agent_id in with_gpus,
            attributes={name: value_text(value) for name, value in sorted(agent.attributes.items())},
            domain=agent.domain,
            tasks=tasks[agent.agent_id],
            failures=len(plan.records.agents[agent.agent_id].failures) if agent.agent_id in plan.records.agents else 0,
            avoided_until=avoided.get(agent.agent_id),
            fate=told.fates.get(agent.agent_id),
            maintenance=snapshot.windows.get(agent.agent_id),
            answer=told.answers.get(agent.agent_id),
        )
        for _, agent in sorted(snapshot.agents.items())
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _sum_floats(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _audit(counters: Iterable[AuditCounters | None]) -> AuditCounters:
    known = [each for each in counters if each is not None]
    return AuditCounters(
        records_in=sum(each.records_in for each in known),
        records_out=sum(each.records_out for each in known),
        late=sum(each.late for each in known),
        dead=sum(each.dead for each in known),
        replayed=sum(each.replayed for each in known),
    )
