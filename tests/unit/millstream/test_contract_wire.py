"""The wire form of the contract: what goes in comes out; what is not ours is refused with a reason."""

import json

import pytest

from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.report import AuditCounters, CheckpointReport, KnownShard, Report, ShardReport, ShardState
from millstream.contract.wire import Unreadable, decode, encode
from millstream.contract.worker_spec import CheckpointSpec, Delivery, ProgramRef, WorkerSpec

ASSIGNMENT = Assignment(job="j", task_id="j.1.0.0", version=4, shards=(ShardAssignment(shard="a", epoch=2),))
SHARD = ShardReport(
    shard="a",
    epoch=2,
    state=ShardState.RUNNING,
    checkpoint=CheckpointReport(id=3, age_s=1.5, bytes=10, duration_s=0.1),
    audit=AuditCounters(records_in=7),
    accumulators={"seen": 7.0},
)
REPORT = Report(
    job="j",
    worker=0,
    task_id="j.1.0.0",
    sequence=9,
    assignment_version=4,
    revision="ab",
    owned=(SHARD,),
    known=(KnownShard(shard="a", end_records=9),),
)
SPEC = WorkerSpec(
    job="j",
    worker=0,
    task_id="j.1.0.0",
    program=ProgramRef(file="p.py", object="stream", sha256="ab", args={"n": [1, {"x": None}]}),
    checkpoint=CheckpointSpec(store="/c"),
    delivery=Delivery.AT_LEAST_ONCE,
)


@pytest.mark.parametrize("message", [ASSIGNMENT, REPORT, SPEC], ids=lambda message: type(message).__name__)
def test_what_goes_in_comes_out(message: Assignment | Report | WorkerSpec) -> None:
    """Equal after a round trip, enums and nested data included."""
    assert decode(encode(message), type(message)) == message


def test_a_field_of_a_newer_build_is_ignored() -> None:
    """Adding a field does not break older readers."""
    envelope = json.loads(encode(ASSIGNMENT))
    envelope["body"]["colour"] = "red"
    assert decode(json.dumps(envelope).encode(), Assignment) == ASSIGNMENT


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "expected a report"),
        (b"\xff\xfe", "expected a report"),
        (b"[]", "expected a report"),
        (encode(ASSIGNMENT), "got 'assignment'"),
        (encode(REPORT).replace(b'"version":1', b'"version":2'), "version 2; this build reads version 1"),
        (encode(REPORT).replace(b'"running"', b'"dancing"'), "dancing"),
        (encode(REPORT).replace(b'"sequence":9,', b""), "sequence"),
    ],
)
def test_what_is_not_ours_is_refused(data: bytes, says: str) -> None:
    """The reason names what was found and what was expected."""
    with pytest.raises(Unreadable, match=says):
        decode(data, Report)
