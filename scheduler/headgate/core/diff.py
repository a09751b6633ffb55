"""Wished against actual: which worker slots of a job to start, which of its tasks to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headgate.model.record import JobRecord
from headgate.model.task import Stage, TaskRecord, WorkerRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """`start`: slots to fill now.  `later`: slots that back off, and until when.  `drain`, `kill`: tasks to end.

    `held`: slots that wait because too many launches are on their way (`ramp`).
    `stale`: tasks that a restart is to replace, in the order in which that is done (`restart`).
    """

    start: tuple[int, ...] = ()
    held: tuple[int, ...] = ()
    later: Mapping[int, float]
    drain: tuple[TaskRecord, ...] = ()
    kill: tuple[TaskRecord, ...] = ()
    stale: tuple[TaskRecord, ...] = ()


def difference(
    job: JobRecord,
    tasks: Sequence[TaskRecord],
    slot: Callable[[int], WorkerRecord],
    may_leave: Callable[[TaskRecord], bool],
    given_up: Callable[[TaskRecord], bool],
    now: float,
) -> Difference:
    """What separates the job's tasks from its wish.

    Surplus workers, highest number first by construction, are drained once they `may_leave`, and killed at once if they
    do not run yet.  One that is to leave its agent leaves its slot to another attempt, and is drained in the same way
    once that one runs.  One that is `given_up` leaves it as well, while it is killed on.
    """
    ending = (Stage.DRAINING, Stage.KILLING)
    if job.state.over:
        return Difference(later={}, kill=tuple(task for task in tasks if task.stage is not Stage.KILLING))
    if job.state.leaving:
        return Difference(later={}, drain=tuple(task for task in tasks if task.stage not in ending))
    filled: dict[int, TaskRecord] = {}
    kill: list[TaskRecord] = []
    drain: list[TaskRecord] = []
    for task in sorted(tasks, key=lambda task: task.attempt, reverse=True):
        if task.worker >= job.workers:
            if task.stage in (Stage.LAUNCHING, Stage.STARTING, Stage.UNREACHABLE):
                kill.append(task)
            elif task.stage is Stage.RUNNING and may_leave(task):
                drain.append(task)
        elif task.moving_since is not None and task.stage in (Stage.RUNNING, Stage.DRAINING):
            successor = filled.get(task.worker)
            if successor is None and task.stage is Stage.DRAINING:
                filled[task.worker] = task
            elif task.stage is Stage.RUNNING and successor and successor.stage is Stage.RUNNING and may_leave(task):
                drain.append(task)
        elif given_up(task):
            continue
        elif task.worker in filled:
            # Two in one slot: the older one is what a crash between two saves has left.
            if task.stage is not Stage.KILLING:
                kill.append(task)
        else:
            filled[task.worker] = task
    missing = [slot(number) for number in range(job.workers) if number not in filled]
    return Difference(
        start=tuple(each.worker for each in missing if each.backoff_until <= now),
        later={each.worker: each.backoff_until for each in missing if each.backoff_until > now},
        drain=tuple(drain),
        kill=tuple(kill),
        stale=tuple(
            task
            for number, task in sorted(filled.items())
            if task.stage not in ending and task.attempt.attempt < slot(number).stale_below
        ),
    )
