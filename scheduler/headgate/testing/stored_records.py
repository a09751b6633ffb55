"""What the store holds, decoded as it lands: the rules compare what is done with what is saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from headgate.model.ids import FrameworkId, JobName, OperationId, ReservationId, ShardId, TaskId
from headgate.model.operation import OperationRecord, ReservationRecord
from headgate.model.record import AgentRecord, FrameworkRecord, JobRecord
from headgate.model.shard import ShardRecord
from headgate.model.stored import ShardPage, Storable, decoded
from headgate.model.task import TaskRecord, WorkerRecord

_TYPES: Final[Mapping[str, type[Storable]]] = {
    "framework": FrameworkRecord,
    "jobs": JobRecord,
    "workers": WorkerRecord,
    "tasks": TaskRecord,
    "agents": AgentRecord,
    "reservations": ReservationRecord,
    "operations": OperationRecord,
}


class StoredRecords:
    """A mirror of the store.  Shards are by job and id."""

    def __init__(self) -> None:
        self.framework_id: FrameworkId | None = None
        self.jobs: dict[JobName, JobRecord] = {}
        self.tasks: dict[TaskId, TaskRecord] = {}
        self.workers: dict[tuple[JobName, int], WorkerRecord] = {}
        self.reservations: dict[ReservationId, ReservationRecord] = {}
        self.operations: dict[OperationId, OperationRecord] = {}
        self._pages: dict[str, ShardPage] = {}

    def land(self, changes: Mapping[str, bytes | None]) -> None:
        """Take in one write."""
        for key, value in changes.items():
            kind, *names = key.split("/")
            if value is None:
                self._drop(kind, key, names)
            elif kind == "shards":
                self._pages[key] = decoded(key, value, ShardPage)
            else:
                self._put(decoded(key, value, _TYPES[kind]))

    def shards(self, job: str) -> dict[ShardId, ShardRecord]:
        """The shard table of a job."""
        return {shard.id: shard for key, page in self._pages.items() if key.split("/")[1] == job for shard in page}

    def _put(self, record: Storable) -> None:
        match record:
            case FrameworkRecord():
                self.framework_id = record.framework_id
            case JobRecord():
                self.jobs[record.name] = record
            case TaskRecord():
                self.tasks[record.id] = record
            case WorkerRecord():
                self.workers[record.job, record.worker] = record
            case ReservationRecord():
                self.reservations[record.id] = record
            case OperationRecord():
                self.operations[record.id] = record

    def _drop(self, kind: str, key: str, names: list[str]) -> None:
        match kind:
            case "framework":
                self.framework_id = None
            case "jobs":
                self.jobs.pop(JobName(names[0]), None)
            case "tasks":
                self.tasks.pop(TaskId(names[0]), None)
            case "workers":
                self.workers.pop((JobName(names[0]), int(names[1])), None)
            case "shards":
                self._pages.pop(key, None)
            case "reservations":
                self.reservations.pop(ReservationId(names[0]), None)
            case "operations":
                self.operations.pop(OperationId(names[0]), None)
