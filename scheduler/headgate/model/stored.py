"""Records ↔ bytes: versioned JSON under text keys.

Format of a value: `{"kind": "job", "version": 1, "body": {…}}`, UTF-8.  A field that a newer build of the same version
adds is ignored by an older one; a change of meaning takes a new version, and the old one stays readable.

Keys:
    framework                     who we are, the submission counter
    jobs/<job>                    the job
    workers/<job>/<n>             memory of a worker slot
    tasks/<task id>               an attempt
    shards/<job>/<page>           a page of the job's shard table, in order of discovery
    agents/<agent id>             failures on an agent
    reservations/<reservation id> what a worker slot keeps on an agent
    operations/<operation id>     an operation whose end is not known
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from headgate.errors import StoreDamaged
from headgate.model.ids import AgentId, JobName, OperationId, ReservationId, TaskId
from headgate.model.operation import OperationRecord, ReservationRecord
from headgate.model.record import AgentRecord, FrameworkRecord, JobRecord, Records
from headgate.model.shard import ShardRecord
from headgate.model.task import TaskRecord, WorkerRecord

VERSION: Final = 1
SHARDS_PER_PAGE: Final = 500
"""A record is at most 512 KiB; a shard takes about 200 bytes."""

ShardPage = tuple[ShardRecord, ...]
Storable = (
    FrameworkRecord
    | JobRecord
    | WorkerRecord
    | TaskRecord
    | ShardPage
    | AgentRecord
    | ReservationRecord
    | OperationRecord
)

_KINDS: Final[dict[str, str]] = {
    "framework": "framework",
    "jobs": "job",
    "workers": "worker",
    "tasks": "task",
    "shards": "shards",
    "agents": "agent",
    "reservations": "reservation",
    "operations": "operation",
}

_T = TypeVar("_T")


class _Envelope(msgspec.Struct):
    kind: str
    version: int
    body: msgspec.Raw


_envelopes: Final = msgspec.json.Decoder(_Envelope)


def flattened(records: Records) -> dict[str, Storable]:
    """The same records by key."""
    return dict(_flat(records))


def changes(before: Mapping[str, Storable], after: Mapping[str, Storable]) -> dict[str, bytes | None]:
    """What to write so that a store which holds `before` holds `after`; sorted by key."""
    changed = {key: record for key, record in after.items() if key not in before or before[key] != record}
    gone = [key for key in before if key not in after]
    return {key: encoded(key, changed[key]) if key in changed else None for key in sorted([*changed, *gone])}


def encoded(key: str, record: Storable) -> bytes:
    """The bytes of a record."""
    return msgspec.json.encode({"kind": _kind(key), "version": VERSION, "body": record})


def loaded(stored: Mapping[str, bytes]) -> Records:
    """The records in a store.

    Raises:
        StoreDamaged: a key or value that this build cannot read.
    """
    framework = FrameworkRecord()
    jobs: dict[JobName, JobRecord] = {}
    workers: dict[tuple[JobName, int], WorkerRecord] = {}
    tasks: dict[TaskId, TaskRecord] = {}
    pages: dict[JobName, list[tuple[int, ShardPage]]] = {}
    agents: dict[AgentId, AgentRecord] = {}
    reservations: dict[ReservationId, ReservationRecord] = {}
    operations: dict[OperationId, OperationRecord] = {}
    for key, value in sorted(stored.items()):
        match key.split("/"):
            case ["framework"]:
                framework = decoded(key, value, FrameworkRecord)
            case ["jobs", _]:
                job = decoded(key, value, JobRecord)
                jobs[job.name] = job
            case ["workers", _, _]:
                worker = decoded(key, value, WorkerRecord)
                workers[worker.job, worker.worker] = worker
            case ["tasks", _]:
                task = decoded(key, value, TaskRecord)
                tasks[task.id] = task
            case ["shards", name, page] if page.isdigit():
                pages.setdefault(JobName(name), []).append((int(page), decoded(key, value, ShardPage)))
            case ["agents", *_]:
                agent = decoded(key, value, AgentRecord)
                agents[agent.agent_id] = agent
            case ["reservations", _]:
                reservation = decoded(key, value, ReservationRecord)
                reservations[reservation.id] = reservation
            case ["operations", _]:
                operation = decoded(key, value, OperationRecord)
                operations[operation.id] = operation
            case _:
                raise StoreDamaged(f"record {key!r}: not a key of this build, which knows {', '.join(sorted(_KINDS))}")
    shards = {name: tuple(shard for _, page in sorted(found) for shard in page) for name, found in pages.items()}
    return Records(
        framework=framework,
        jobs=jobs,
        workers=workers,
        tasks=tasks,
        shards=shards,
        agents=agents,
        reservations=reservations,
        operations=operations,
    )


def decoded(key: str, value: bytes, expected: type[_T]) -> _T:
    """The record in `value`.

    Raises:
        StoreDamaged: not JSON, another kind, a version of a newer build, a field missing or of a wrong type.
    """
    try:
        envelope = _envelopes.decode(value)
    except msgspec.DecodeError as problem:
        raise StoreDamaged(f"record {key!r}: {problem}") from problem
    if envelope.kind != _kind(key):
        raise StoreDamaged(f"record {key!r}: expected kind {_kind(key)!r}, found {envelope.kind!r}")
    if envelope.version != VERSION:
        raise StoreDamaged(
            f"record {key!r}: version {envelope.version}; this build reads version {VERSION}: run the newer release"
        )
    try:
        return msgspec.json.decode(envelope.body, type=expected)
    except msgspec.DecodeError as problem:
        raise StoreDamaged(f"record {key!r}: {problem}") from problem


def _kind(key: str) -> str:
    return _KINDS[key.partition("/")[0]]


def _flat(records: Records) -> Iterator[tuple[str, Storable]]:
    if records.framework != FrameworkRecord():
        yield "framework", records.framework
    for name, job in records.jobs.items():
        yield f"jobs/{name}", job
    for (name, number), worker in records.workers.items():
        yield f"workers/{name}/{number}", worker
    for task_id, task in records.tasks.items():
        yield f"tasks/{task_id}", task
    for name, shards in records.shards.items():
        for page, start in enumerate(range(0, len(shards), SHARDS_PER_PAGE)):
            yield f"shards/{name}/{page}", shards[start : start + SHARDS_PER_PAGE]
    for agent_id, agent in records.agents.items():
        yield f"agents/{agent_id}", agent
    for reservation_id, reservation in records.reservations.items():
        yield f"reservations/{reservation_id}", reservation
    for operation_id, operation in records.operations.items():
        yield f"operations/{operation_id}", operation
