"""Agents that somebody wants back: workers leave them in time, and inverse offers are answered accordingly.

A worker on an agent whose maintenance begins soon is replaced while it works on: another attempt starts elsewhere,
takes its shards over (`ownership`), and only then it goes (`diff`).  Of each job as many at a time as
`upgrade.max_unavailable`, by worker.  A worker with resources kept on its agent stays: it comes back to them after the
maintenance, or starts elsewhere when that lasts too long.

Consent is a promise, and nothing that Mesos enforces.  So it is given when the plan can be carried out in time.
Source: Mesos, `docs/maintenance.md`; of its frameworks Aurora alone has done as much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from headgate.core.feasible import vetoes
from headgate.core.ledger import Ledger
from headgate.core.placing.fleet import Fleet
from headgate.core.placing.judgement import judgement
from headgate.core.surroundings import Scene
from headgate.model.ids import AgentId, JobName
from headgate.model.note import NoteKind
from headgate.model.offer import InverseOffer, Unavailability
from headgate.model.plan import Answer
from headgate.model.record import JobRecord
from headgate.model.settings import Patience
from headgate.model.snapshot import Snapshot
from headgate.model.task import Stage, TaskRecord

_COMING = (Stage.LAUNCHING, Stage.STARTING)


def plan_moves(ledger: Ledger, snapshot: Snapshot, frozen: str | None, due: list[float]) -> None:
    """Mark the workers that are to leave their agents now, and take the mark from those that may stay after all.

    `frozen`: why nothing that runs is to be ended, if that is so.
    """
    soon = _closing(snapshot.windows, snapshot.settings.patience, snapshot.now, due)
    for job in sorted(ledger.jobs.values(), key=lambda job: job.submission):
        tasks = ledger.tasks_of(job.name)
        _stay(ledger, tasks, soon)
        if not frozen and not job.state.leaving and soon:
            _move(ledger, job, tasks, soon, snapshot.now)


def _closing(
    windows: Mapping[AgentId, Unavailability], patience: Patience, now: float, due: list[float]
) -> dict[AgentId, Unavailability]:
    found = {}
    for agent_id, window in sorted(windows.items()):
        if window.duration_s is not None and window.start_at + window.duration_s <= now:
            continue
        begin_at = window.start_at - patience.maintenance_s
        if begin_at > now:
            due.append(begin_at)
        else:
            found[agent_id] = window
    return found


def _stay(ledger: Ledger, tasks: Sequence[TaskRecord], soon: Mapping[AgentId, Unavailability]) -> None:
    attempts = Counter(task.worker for task in tasks)
    for task in tasks:
        if task.moving_since is not None and task.agent_id not in soon and attempts[task.worker] == 1:
            ledger.put_task(replace(task, moving_since=None))


def _move(
    ledger: Ledger, job: JobRecord, tasks: Sequence[TaskRecord], soon: Mapping[AgentId, Unavailability], now: float
) -> None:
    on_the_move = sum(task.moving_since is not None for task in tasks)
    on_the_way = sum(task.stage in _COMING for task in tasks)
    budget = max(1, job.spec.upgrade.max_unavailable) - max(on_the_move, on_the_way)
    for task in tasks:
        if budget <= 0:
            return
        if _may_move(job, task) and task.moving_since is None and task.agent_id in soon:
            budget -= 1
            ledger.put_task(replace(task, moving_since=now))
            starts_s = soon[task.agent_id].start_at - now
            when = f"begins in {starts_s:.0f} s" if starts_s > 0 else "has begun"
            text = f"{task.id} is to leave {task.hostname}, whose maintenance {when}"
            ledger.say(now, NoteKind.MOVED, text, job.name, task.worker)


def _may_move(job: JobRecord, task: TaskRecord) -> bool:
    return task.stage is Stage.RUNNING and task.worker < job.workers and task.reservation is None


def answers(ledger: Ledger, snapshot: Snapshot, fleet: Fleet) -> tuple[Answer, ...]:
    """What to say to each inverse offer; one answer for each reason."""
    patience = snapshot.settings.patience
    scene = Scene(fleet, ledger, snapshot)
    found: dict[tuple[bool, str], list[InverseOffer]] = {}
    for inverse in sorted(snapshot.inverse_offers.values(), key=lambda each: each.id):
        objection = _objection(ledger, inverse, scene, patience, snapshot.now)
        found.setdefault((objection is None, objection or "all of ours can leave in time"), []).append(inverse)
    return tuple(
        Answer(
            inverse_offer_ids=tuple(each.id for each in inverses),
            agree=agree,
            refuse_s=patience.refuse_long_s if agree else patience.answer_again_s,
            reason=reason,
        )
        for (agree, reason), inverses in found.items()
    )


def _objection(ledger: Ledger, inverse: InverseOffer, scene: Scene, patience: Patience, now: float) -> str | None:
    """Why the agent cannot be given back in time; None: it can."""
    tasks = [task for task in ledger.tasks.values() if task.agent_id == inverse.agent_id]
    by_job: dict[JobName, list[TaskRecord]] = {}
    for task in sorted(tasks, key=lambda task: task.attempt):
        by_job.setdefault(task.job, []).append(task)
    left_s = inverse.unavailability.start_at - now
    disaster = ledger.framework.disaster
    frozen = f"disaster mode: {disaster.reason}" if disaster.since is not None else None
    for name, group in by_job.items():
        job = ledger.jobs.get(name)
        if job is None or job.state.leaving:
            continue
        if any(task.reservation is not None for task in group):
            return f"workers of {name} keep their resources there, and come back to them"
        rounds = -(-len(group) // max(1, job.spec.upgrade.max_unavailable))
        if left_s < rounds * patience.move_s:
            who = f"a worker of {name}" if len(group) == 1 else f"{len(group)} workers of {name}"
            return f"it takes {rounds * patience.move_s:.0f} s until {who} can have left, and maintenance begins sooner"
        if frozen:
            return f"nothing is moved now: {frozen}"
        want = scene.want(job, [task.worker for task in group])
        fleet = scene.fleet
        here = [fleet.pools[row] for row in fleet.rows_of(inverse.agent_id)]
        own = any(not vetoes(want.spec, pool, want.counts, want.around) for pool in here)
        if judgement(want, fleet).fitting <= int(own):
            return f"no other agent has room for a worker of {name}"
    return None
