"""What is true of a job, from its records."""

from __future__ import annotations

import pytest
from paper_cluster import job_spec

from headgate.core.condition import find_hopeless
from headgate.core.ledger import Ledger
from headgate.model.ids import AgentId, Attempt, JobName
from headgate.model.job import Restart
from headgate.model.record import JobRecord, Records
from headgate.model.resources import Resources
from headgate.model.task import Stage, TaskRecord, WorkerRecord

JOB = JobName("delays")


def task(stage: Stage, attempt: int) -> TaskRecord:
    return TaskRecord(
        attempt=Attempt(job=JOB, submission=1, worker=0, attempt=attempt),
        agent_id=AgentId("a"),
        hostname="a",
        resources=Resources(),
        stage=stage,
        launched_at=0.0,
        since=0.0,
    )


@pytest.mark.parametrize(
    ("tasks", "hopeless"),
    [
        ((), True),
        ((task(Stage.LAUNCHING, 3),), True),
        ((task(Stage.KILLING, 3),), True),
        ((task(Stage.RUNNING, 0),), False),
        ((task(Stage.RUNNING, 0), task(Stage.LAUNCHING, 3)), False),
    ],
)
def test_who_gives_up(tasks: tuple[TaskRecord, ...], hopeless: bool) -> None:
    """A slot whose worker runs is not given up because attempts fail that were to take its place elsewhere."""
    job = JobRecord(spec=job_spec(restart=Restart(give_up_after=3)), submission=1, submitted_at=0.0)
    slot = WorkerRecord(job=JOB, worker=0, attempts=4, failures=3, last_failure="it crashed")
    records = Records(jobs={JOB: job}, workers={(JOB, 0): slot}, tasks={each.id: each for each in tasks})
    assert (find_hopeless(Ledger(records), job) is not None) is hopeless
