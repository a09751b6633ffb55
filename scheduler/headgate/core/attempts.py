"""Carries the task machine's moves out on the ledger: stages, slot memory, the agent's failures, notes.

The same whether an update says it, a timer, or a wish of ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from headgate.core.backoff import delay_s, loss_delay_s
from headgate.core.causes import Blame
from headgate.core.disaster import count_loss
from headgate.core.ledger import Ledger
from headgate.core.task_machine import Effect, TaskEvent, move
from headgate.model.note import NoteKind
from headgate.model.record import AgentFailure, AgentRecord
from headgate.model.task import Stage, TaskRecord

_LOST: Final = frozenset({TaskEvent.VANISHED, TaskEvent.UNREACHABLE})
AGENT_FAILURES_MAX: Final = 10
"""Failures remembered per agent."""


def happen(
    ledger: Ledger, task: TaskRecord, event: TaskEvent, now: float, text: str, blame: Blame = Blame.BOTH
) -> tuple[Effect, ...]:
    """Let `event` happen to a recorded task; `text` says why, for the notes, and `blame` whom it speaks against.

    Returns the effects; STRAY and CLEAR are left to the caller, who keeps the strays.
    """
    made = move(task.stage, event)
    if made.stage is not task.stage and event in _LOST and task.stage in (Stage.RUNNING, Stage.DRAINING):
        count_loss(ledger, task.agent_id, now)
    if made.stage is Stage.ENDED:
        ledger.drop_task(task.id)
    elif made.stage is not task.stage:
        ledger.put_task(
            replace(
                task,
                stage=made.stage,
                since=now,
                why=text if made.stage in (Stage.KILLING, Stage.DRAINING) else task.why,
                running_at=now if made.stage is Stage.RUNNING and task.running_at is None else task.running_at,
            )
        )
    for effect in made.effects:
        match effect:
            case Effect.UP:
                _up(ledger, task, now)
            case Effect.FAILURE:
                _failure(ledger, task, event, now, text, blame)
            case Effect.LOSS:
                _loss(ledger, task, now, text, blame)
            case Effect.DONE:
                kind = NoteKind.KILLED if task.stage is Stage.KILLING else NoteKind.ENDED
                ledger.say(now, kind, f"{task.id} ended: {task.why or text}", task.job, task.worker)
            case Effect.STRAY | Effect.CLEAR:
                pass
    return made.effects


def _up(ledger: Ledger, task: TaskRecord, now: float) -> None:
    slot = ledger.worker(task.job, task.worker)
    ledger.put_worker(replace(slot, broken=False, losses=0, stuck=0))
    again = " again" if task.running_at is not None else ""
    ledger.say(now, NoteKind.RUNNING, f"{task.id} runs{again} on {task.hostname}", task.job, task.worker)


def _failure(ledger: Ledger, task: TaskRecord, event: TaskEvent, now: float, text: str, blame: Blame) -> None:
    job = ledger.jobs.get(task.job)
    if job is None:
        return
    slot = ledger.worker(task.job, task.worker)
    failures = slot.failures + 1
    pointless = blame is Blame.REQUEST
    until = now + (job.spec.restart.backoff_max_s if pointless else delay_s(job.spec.restart, failures, task.id))
    never_ran = event is TaskEvent.STUCK and task.running_at is None
    ledger.put_worker(
        replace(
            slot,
            failures=failures,
            stuck=slot.stuck + 1 if never_ran else slot.stuck,
            backoff_until=until,
            broken=True,
            last_failure=text,
            last_failure_at=now,
        )
    )
    ledger.jobs[task.job] = replace(job, restarts=job.restarts + 1)
    if blame.on_agent:
        _blame(ledger, task, now)
    retry = f"next attempt in {until - now:.1f} s" if not job.state.leaving else "not started again"
    ledger.say(now, NoteKind.FAILED, f"{task.id} on {task.hostname} failed: {text}; {retry}", task.job, task.worker)


def _loss(ledger: Ledger, task: TaskRecord, now: float, text: str, blame: Blame) -> None:
    job = ledger.jobs.get(task.job)
    if job is None:
        return
    slot = ledger.worker(task.job, task.worker)
    losses = 0 if task.running_at is not None else slot.losses + 1
    wait_s = loss_delay_s(job.spec.restart, losses, task.id)
    ledger.put_worker(replace(slot, broken=True, losses=losses, backoff_until=max(slot.backoff_until, now + wait_s)))
    if blame.on_agent:
        _blame(ledger, task, now)
    ledger.jobs[task.job] = replace(job, restarts=job.restarts + 1)
    ledger.say(now, NoteKind.LOST, f"{task.id} on {task.hostname} is lost: {text}", task.job, task.worker)


def _blame(ledger: Ledger, task: TaskRecord, now: float) -> None:
    agent = ledger.agents.get(task.agent_id) or AgentRecord(agent_id=task.agent_id)
    failures = (*agent.failures, AgentFailure(at=now, job=task.job))[-AGENT_FAILURES_MAX:]
    ledger.agents[task.agent_id] = replace(agent, failures=failures)
