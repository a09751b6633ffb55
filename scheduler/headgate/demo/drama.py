"""What the demo watches for: when to kill a worker, and the figures that it prints at the end.  Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from headgate.model.ids import TaskId
from headgate.model.view import JobView

KILL_BETWEEN = (0.2, 0.6)
"""The worker dies when this share of the records has been processed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """When the kill comes, and who it hits: both follow from the seed alone.

    `after_records`: not before so many are processed.  `choice` in [0, 1) picks one of the workers that run then.
    """

    after_records: int
    choice: float

    def find_victim(self, job: JobView) -> TaskId | None:
        """The task to kill now; None: not yet.

        It waits for two workers that own shards, one of which has a checkpoint, so that there is something to resume
        from and somebody who keeps running meanwhile.
        """
        if job.audit.records_in < self.after_records:
            return None
        owners = [each for each in job.workers if each.ready and each.task_id is not None and each.shards]
        saved = {each.task_id for each in job.shards if each.checkpoint is not None and not each.finished}
        able = [each.task_id for each in owners if each.task_id in saved]
        return able[int(self.choice * len(able))] if len(owners) >= 2 and able else None


def script(seed: int, records: int) -> Script:
    """The script of a seed, for a log of so many records."""
    draw = Random(f"{seed}:kill")
    return Script(after_records=int(records * draw.uniform(*KILL_BETWEEN)), choice=draw.random())


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The most of what was seen, and what the job says of itself last."""

    backlog_peak: int = 0
    workers_peak: int = 0
    workers_last: int = 0
    restarts: int = 0
    moves: int = 0
    records_in: int = 0
    replayed: int = 0
    late: int = 0
    dead: int = 0
    busy_rate_per_s: float | None = None
    """Records per second that a worker spends on them, waiting left out."""

    def seeing(self, job: JobView) -> Figures:
        """These figures after one more look."""
        running = sum(each.ready for each in job.workers)
        measured = [(each.audit.records_in, each.cost_s) for each in job.shards if each.audit and each.cost_s]
        busy_s = sum(records * cost_s for records, cost_s in measured)
        return replace(
            self,
            backlog_peak=max(self.backlog_peak, job.backlog_records or 0),
            workers_peak=max(self.workers_peak, running),
            workers_last=running or self.workers_last,
            restarts=job.restarts,
            moves=job.moves,
            records_in=job.audit.records_in,
            replayed=job.audit.replayed,
            late=job.audit.late,
            dead=job.audit.dead,
            busy_rate_per_s=sum(records for records, _ in measured) / busy_s if busy_s else self.busy_rate_per_s,
        )
