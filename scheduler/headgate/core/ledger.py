"""The records while they are being changed: mutable shelves of frozen records.

The loop keeps one and folds events into it; `decide` works on a copy and hands it back frozen.  It holds no rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from headgate.model.ids import AgentId, JobName, OperationId, ReservationId, ShardId, TaskId
from headgate.model.note import Note, NoteKind
from headgate.model.operation import OperationRecord, ReservationRecord
from headgate.model.record import HISTORY_MAX, AgentRecord, FrameworkRecord, JobRecord, Records
from headgate.model.shard import ShardRecord
from headgate.model.task import TaskRecord, WorkerRecord

TEXT_MAX: Final = 400
"""Characters of a message that came from outside."""


def shortened(text: str) -> str:
    """The text, or its beginning."""
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 2]} …"


class Ledger:
    """Records by key, changed by whole records.  Not thread-safe.

    `notes` are those written since the ledger was made, oldest first.
    """

    def __init__(self, records: Records) -> None:
        self.framework: FrameworkRecord = records.framework
        self.jobs: dict[JobName, JobRecord] = dict(records.jobs)
        self.workers: dict[tuple[JobName, int], WorkerRecord] = dict(records.workers)
        self.agents: dict[AgentId, AgentRecord] = dict(records.agents)
        self.reservations: dict[ReservationId, ReservationRecord] = dict(records.reservations)
        self.operations: dict[OperationId, OperationRecord] = dict(records.operations)
        self.notes: list[Note] = []
        self._tasks: dict[TaskId, TaskRecord] = dict(records.tasks)
        self._tasks_of: dict[JobName, dict[TaskId, None]] = {}
        for task_id, task in records.tasks.items():
            self._tasks_of.setdefault(task.job, {})[task_id] = None
        self._order: list[TaskId] | None = None
        self._orders_of: dict[JobName, list[TaskId]] = {}
        self._shards: dict[JobName, tuple[ShardRecord, ...]] = dict(records.shards)
        self._open_shards: dict[JobName, dict[ShardId, ShardRecord]] = {}

    def frozen(self) -> Records:
        """The records as they are now."""
        for job, shards in self._open_shards.items():
            table = tuple(shards.values())
            if table != self._shards.get(job, ()):
                self._shards[job] = table
        return Records(
            framework=self.framework,
            jobs=dict(self.jobs),
            tasks=dict(self._tasks),
            workers=dict(self.workers),
            shards=dict(self._shards),
            agents=dict(self.agents),
            reservations=dict(self.reservations),
            operations=dict(self.operations),
        )

    @property
    def tasks(self) -> Mapping[TaskId, TaskRecord]:
        """Every task, by id."""
        return self._tasks

    def tasks_in_order(self) -> list[TaskRecord]:
        """Every task as it is now, by attempt."""
        if self._order is None:
            self._order = sorted(self._tasks, key=self._attempt)
        return [self._tasks[task_id] for task_id in self._order]

    def tasks_of(self, job: JobName) -> list[TaskRecord]:
        """The tasks of one job, by worker and attempt."""
        if job not in self._orders_of:
            self._orders_of[job] = sorted(self._tasks_of.get(job, ()), key=self._attempt)
        return [self._tasks[task_id] for task_id in self._orders_of[job]]

    def _attempt(self, task_id: TaskId) -> tuple[JobName, int, int, int]:
        attempt = self._tasks[task_id].attempt
        return attempt.job, attempt.submission, attempt.worker, attempt.attempt

    def put_task(self, task: TaskRecord) -> None:
        """Add a task, or replace its record."""
        task_id = task.id
        if task_id not in self._tasks:
            self._forget_order(task.job)
        self._tasks[task_id] = task
        self._tasks_of.setdefault(task.job, {})[task_id] = None

    def _forget_order(self, job: JobName) -> None:
        self._order = None
        self._orders_of.pop(job, None)

    def drop_task(self, task_id: TaskId) -> None:
        """Forget a task."""
        task = self._tasks.pop(task_id)
        del self._tasks_of[task.job][task_id]
        self._forget_order(task.job)

    def worker(self, job: JobName, number: int) -> WorkerRecord:
        """The memory of a slot; a blank one if it never had any."""
        return self.workers.get((job, number)) or WorkerRecord(job=job, worker=number)

    def put_worker(self, worker: WorkerRecord) -> None:
        """Replace the memory of a slot."""
        self.workers[worker.job, worker.worker] = worker

    def shards(self, job: JobName) -> dict[ShardId, ShardRecord]:
        """The job's shard table, in order of discovery; changes to it are kept."""
        if job not in self._open_shards:
            self._open_shards[job] = {shard.id: shard for shard in self._shards.get(job, ())}
        return self._open_shards[job]

    def put_shards(self, job: JobName, shards: Iterable[ShardRecord]) -> None:
        """Add shards, or replace their records."""
        self.shards(job).update((shard.id, shard) for shard in shards)

    def drop_job(self, job: JobName) -> None:
        """Forget a job and everything that is recorded of it."""
        self.jobs.pop(job, None)
        self.drop_work(job)

    def drop_work(self, job: JobName) -> None:
        """Forget the tasks, slots and shards of a job."""
        for task_id in list(self._tasks_of.pop(job, ())):
            del self._tasks[task_id]
        self._forget_order(job)
        for key in [key for key in self.workers if key[0] == job]:
            del self.workers[key]
        self._shards.pop(job, None)
        self._open_shards.pop(job, None)

    def note(self, note: Note) -> None:
        """Write down what happened, in the job's history too if it is about one."""
        self.notes.append(note)
        job = self.jobs.get(note.job) if note.job else None
        if job:
            self.jobs[job.name] = replace(job, history=(*job.history, note)[-HISTORY_MAX:])

    def say(self, at: float, kind: NoteKind, text: str, job: JobName | None = None, worker: int | None = None) -> None:
        """`note` from its parts; the text is cut where it would burden the records."""
        self.note(Note(at=at, kind=kind, text=shortened(text), job=job, worker=worker))
