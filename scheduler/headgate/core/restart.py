"""A job's rolling restart: which of the workers to be replaced may go now.

One after the other, as many at a time as `upgrade.max_unavailable` allows, and the next only when those before it are
there again and every shard is with its owner; a job that does not settle gets on all the same after a while, since a
restart may be what is to mend it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from headgate.model.record import JobRecord
from headgate.model.task import Stage, TaskRecord

SETTLE_S: Final = 60.0
"""How long the next worker waits for shards that find no owner."""


def replaceable(
    job: JobRecord, tasks: Sequence[TaskRecord], stale: Sequence[TaskRecord], *, settled: bool, now: float
) -> tuple[TaskRecord, ...] | float:
    """Which of `stale`, in their order, are to end now; if only time is missing, the instant to look again.

    `settled`: every shard is with its owner.  Those that do not run yet are no loss and go at once.
    """
    idle = tuple(task for task in stale if task.stage is not Stage.RUNNING)
    if idle:
        return idle
    running = {task.worker: task for task in tasks if task.stage is Stage.RUNNING and task.worker < job.workers}
    budget = max(1, job.spec.upgrade.max_unavailable) - (job.workers - len(running))
    if budget <= 0:
        return ()
    if not settled:
        settles_at = max((task.since for task in running.values()), default=now) + SETTLE_S
        if settles_at > now:
            return settles_at
    return tuple(stale[:budget])
