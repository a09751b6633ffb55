"""Which workers of a rolling restart may go now."""

from __future__ import annotations

import pytest
from paper_cluster import job_spec

from headgate.core.restart import SETTLE_S, replaceable
from headgate.model.ids import AgentId, Attempt, JobName
from headgate.model.job import Upgrade
from headgate.model.record import JobRecord
from headgate.model.resources import Resources
from headgate.model.task import Stage, TaskRecord

NOW = 5000.0
JOB = JobName("delays")


def job(max_unavailable: int) -> JobRecord:
    spec = job_spec(workers=5, upgrade=Upgrade(max_unavailable=max_unavailable))
    return JobRecord(spec=spec, submission=1, submitted_at=0.0, workers=5)


def task(worker: int, stage: Stage = Stage.RUNNING, since: float = NOW - 500) -> TaskRecord:
    return TaskRecord(
        attempt=Attempt(job=JOB, submission=1, worker=worker, attempt=0),
        agent_id=AgentId("a0"),
        hostname="a0",
        resources=Resources(),
        stage=stage,
        launched_at=since,
        since=since,
    )


@pytest.mark.parametrize(
    ("running", "max_unavailable", "going"),
    [(5, 1, 1), (4, 1, 0), (3, 1, 0), (1, 1, 0), (5, 2, 2), (4, 2, 1), (3, 2, 0), (5, 9, 5), (5, 0, 1)],
)
def test_never_more_are_missing_than_allowed(running: int, max_unavailable: int, going: int) -> None:
    """Whoever is missing for another reason counts; one at a time is the least."""
    tasks = [task(number) for number in range(running)]
    found = replaceable(job(max_unavailable), tasks, tasks, settled=True, now=NOW)
    assert found == tuple(tasks[:going])


def test_those_that_do_not_run_go_at_once() -> None:
    """They are missing already."""
    tasks = [task(0), task(1, Stage.STARTING), task(2), task(3, Stage.UNREACHABLE), task(4)]
    assert replaceable(job(1), tasks, tasks, settled=True, now=NOW) == (tasks[1], tasks[3])


def test_shards_without_owner_are_waited_for_and_not_for_ever() -> None:
    """Counted from the youngest worker."""
    tasks = [task(number, since=NOW - 10 - number) for number in range(5)]
    assert replaceable(job(1), tasks, tasks, settled=False, now=NOW) == NOW - 10 + SETTLE_S
    assert replaceable(job(1), tasks, tasks, settled=False, now=NOW - 10 + SETTLE_S) == (tasks[0],)


def test_workers_that_nobody_has_heard_of_yet_are_no_reason_to_fail() -> None:
    """All that run are silent: none may go, or as many as the job can do without."""
    tasks = [task(number) for number in range(5)]
    assert replaceable(job(1), [], tasks, settled=False, now=NOW) == ()
    assert replaceable(job(9), [], tasks, settled=True, now=NOW) == tuple(tasks[:4])
