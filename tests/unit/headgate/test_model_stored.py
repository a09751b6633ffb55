"""Records and their stored form: what was written once is read for ever, what is written changes on purpose only."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.errors import StoreDamaged
from headgate.model.call import Container, ContainerType, FetchUri, Volume
from headgate.model.ids import AgentId, Attempt, FrameworkId, JobName, ShardId, TaskId
from headgate.model.job import JobSpec, Operator, Placement, Program
from headgate.model.note import Note, NoteKind
from headgate.model.record import (
    AgentFailure,
    AgentRecord,
    FrameworkRecord,
    Goal,
    JobRecord,
    JobState,
    Records,
    ScalingMemory,
)
from headgate.model.resources import PortRange, Resources
from headgate.model.shard import ShardRecord
from headgate.model.stored import SHARDS_PER_PAGE, changes, encoded, flattened, loaded
from headgate.model.task import Stage, TaskRecord, WorkerRecord

GOLDEN = Path(__file__).parents[2] / "golden" / "records"
JOB = JobName("delays")
ATTEMPT = Attempt(job=JOB, submission=7, worker=1, attempt=3)
RECORDS = Records(
    framework=FrameworkRecord(framework_id=FrameworkId("0f-0001"), submissions=7),
    jobs={
        JOB: JobRecord(
            spec=JobSpec(
                name=JOB,
                program=Program(file="delays.py", object="stream", args={"hours": [1, {"a": None}]}, sha256="ab"),
                container=Container(
                    type=ContainerType.DOCKER,
                    image="python:3.11",
                    volumes=(Volume(container_path="/c", host_path="/h", read_only=True),),
                ),
                fetch=(FetchUri(value="http://x/y.tgz", cache=True),),
                env={"A": "b"},
                placement=(Placement(attribute="rack", operator=Operator.GROUP_BY, value="2", weight=0.5),),
            ),
            submission=7,
            submitted_at=1000.0,
            goal=Goal.RUN,
            state=JobState.RECOVERING,
            state_since=1010.5,
            workers=2,
            scaling=ScalingMemory(changed_at=1001.0, down_since=1005.0, down_to=1),
            assignment_version=12,
            shards_complete=True,
            rebalanced_at=1004.0,
            restarts=3,
            moves=1,
            history=(Note(at=1010.5, kind=NoteKind.FAILED, text="it failed", job=JOB, worker=1),),
        )
    },
    tasks={
        ATTEMPT.task_id: TaskRecord(
            attempt=ATTEMPT,
            agent_id=AgentId("0f-S1"),
            hostname="h1",
            resources=Resources(cpus_m=1000, mem_m=1_024_000, ports=(PortRange(begin=31000, end=31001),)),
            stage=Stage.RUNNING,
            launched_at=1000.0,
            since=1002.0,
            running_at=1002.0,
            assignment_version=12,
            places={"rack": "r1"},
        )
    },
    workers={
        (JOB, 1): WorkerRecord(
            job=JOB,
            worker=1,
            attempts=4,
            failures=2,
            backoff_until=1003.0,
            broken=True,
            last_failure="TASK_FAILED",
            last_failure_at=1001.0,
            wanted_since=1001.0,
        )
    },
    shards={
        JOB: (
            ShardRecord(id=ShardId("s0"), epoch=7000001, owner=ATTEMPT.task_id, releasing=12, assigned_at=1002.5),
            ShardRecord(id=ShardId("s1"), epoch=7000002, finished=True),
        )
    },
    agents={AgentId("0f-S1"): AgentRecord(agent_id=AgentId("0f-S1"), failures=(AgentFailure(at=1001.0, job=JOB),))},
)
KEYS = {
    "framework": "framework",
    "job": "jobs/delays",
    "task": "tasks/delays.7.1.3",
    "worker": "workers/delays/1",
    "shards": "shards/delays/0",
    "agent": "agents/0f-S1",
}


def golden(kind: str) -> bytes:
    return (GOLDEN / f"{kind}.v1.json").read_bytes().strip()


def differences(old: object, new: object, path: str = "") -> list[str]:
    """Where `new` says something else than `old`, or less; more is no difference."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            found
            for name in old
            for found in (differences(old[name], new[name], f"{path}.{name}") if name in new else [f"{path}.{name}"])
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            found
            for number, pair in enumerate(zip(old, new, strict=True))
            for found in differences(*pair, f"{path}[{number}]")
        ]
    return [] if old == new else [path]


@pytest.mark.parametrize("kind", KEYS)
def test_what_is_written_today_is_what_was_written_then(kind: str) -> None:
    """Field for field: a change of meaning takes a new version with its own file; a field may be added."""
    written = json.loads(encoded(KEYS[kind], flattened(RECORDS)[KEYS[kind]]))
    assert differences(json.loads(golden(kind)), written) == []


def test_golden_records_are_read() -> None:
    """All kinds, into the records they were made of."""
    assert loaded({key: golden(kind) for kind, key in KEYS.items()}) == RECORDS


def test_records_without_later_fields_are_read() -> None:
    """A record of an earlier build of the same version lacks what has a default now."""
    envelope = json.loads(golden("task"))
    for name in ("places", "why", "running_at", "assignment_version"):
        del envelope["body"][name]
    task = loaded({KEYS["task"]: json.dumps(envelope).encode()}).tasks[ATTEMPT.task_id]
    assert task == replace(RECORDS.tasks[ATTEMPT.task_id], places={}, running_at=None, assignment_version=0)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"version":1', b'"version":2', "version 2; this build reads version 1"),
        (b'"kind":"', b'"kind":"x', "expected kind"),
        (b'"body":', b'"corpse":', "body"),
        (b"{", b"", "malformed|JSON|Expected"),
    ],
)
def test_what_cannot_be_read_is_named(kind: str, old: bytes, new: bytes, says: str) -> None:
    """The key and what is wrong with it."""
    damaged = golden(kind).replace(old, new, 1)
    with pytest.raises(StoreDamaged, match=says) as raised:
        loaded({KEYS[kind]: damaged})
    assert KEYS[kind] in str(raised.value)


@pytest.mark.parametrize("key", ["notes/x", "shards/delays/first", "jobs", "tasks/a/b"])
def test_a_key_of_another_build_is_refused(key: str) -> None:
    """Rather than overwritten by what does not know it."""
    with pytest.raises(StoreDamaged, match="not a key of this build"):
        loaded({key: b"{}"})


def test_only_changes_are_written() -> None:
    """Changed and new records with their bytes, gone ones with None, the same ones not at all."""
    before = flattened(RECORDS)
    after = flattened(replace(RECORDS, tasks={}, framework=replace(RECORDS.framework, submissions=8)))
    assert changes(before, before) == {}
    found = changes(before, after)
    assert list(found) == ["framework", KEYS["task"]]
    assert found[KEYS["task"]] is None
    assert b'"submissions":8' in (found["framework"] or b"")


def test_a_long_shard_table_takes_several_pages_and_keeps_its_order() -> None:
    """A record has a bound, a table has none."""
    shards = tuple(ShardRecord(id=ShardId(f"shard-{number}"), epoch=number) for number in range(SHARDS_PER_PAGE * 11))
    records = Records(shards={JOB: shards})
    stored = {key: value for key, value in changes({}, flattened(records)).items() if value is not None}
    assert len(stored) == 11
    assert max(len(value) for value in stored.values()) < 512 * 1024
    assert loaded(stored).shards[JOB] == shards


def test_an_empty_store_is_empty_records() -> None:
    """The first start of all."""
    assert loaded({}) == Records()
    assert TaskId("delays.7.1.3") == ATTEMPT.task_id
