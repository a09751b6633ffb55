"""The pause of a shard between two owners, from what they report."""

import pytest

from headgate.core.measure import Gauges
from headgate.model.ids import ShardId, TaskId
from headgate.model.settings import Measuring
from millstream.contract.report import Report, ShardReport, ShardState

S = ShardId("s0")
RUNNING, RELEASING, RESTORING = ShardState.RUNNING, ShardState.RELEASING, ShardState.RESTORING


@pytest.mark.parametrize(
    ("told", "pause_s"),
    [
        ([(0.0, 1, RUNNING), (2.0, 1, RUNNING)], None),
        ([(0.0, 1, RUNNING), (2.0, 2, RESTORING)], None),
        ([(0.0, 1, RUNNING), (2.0, 2, RESTORING), (5.0, 2, RUNNING), (7.0, 2, RUNNING)], 5.0),
        ([(0.0, 1, RUNNING), (1.5, 1, RELEASING), (2.0, 1, RELEASING), (2.5, 2, RUNNING)], 1.0),
        ([(0.0, 1, RUNNING), (1.0, 2, RUNNING), (1.5, 1, RUNNING), (2.0, 2, RUNNING)], 1.0),
        ([(0.0, 1, RELEASING), (1.0, 2, RUNNING)], 1.0),
    ],
)
def test_a_pause_lasts_from_where_one_stops_to_where_the_next_goes_on(
    told: list[tuple[float, int, ShardState]], pause_s: float | None
) -> None:
    """Repetitions do not shorten it, and a worker of an older epoch that is still at it says nothing."""
    gauges = Gauges()
    owner = TaskId("a")
    for at, epoch, state in told:
        owner = TaskId(f"owner of {epoch}")
        report = Report(
            job="j",
            worker=0,
            task_id=owner,
            sequence=1,
            assignment_version=1,
            revision="ab",
            owned=(ShardReport(shard=S, epoch=epoch, state=state),),
        )
        gauges.hear(report, owner, at, Measuring())
    assert gauges.loads([(S, owner)], Measuring())[S].pause_s == pause_s
