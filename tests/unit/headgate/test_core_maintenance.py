"""Answers to inverse offers: consent is given when the workers can leave, and only then."""

from __future__ import annotations

import pytest
from paper_cluster import GIB, SETTINGS, job_spec

from headgate.core.ledger import Ledger
from headgate.core.maintenance import answers
from headgate.core.surroundings import known_fleet
from headgate.model.ids import AgentId, Attempt, JobName, OfferId
from headgate.model.offer import InverseOffer, Unavailability
from headgate.model.record import DisasterRecord, FrameworkRecord, JobRecord, Records
from headgate.model.resources import Resources
from headgate.model.snapshot import AgentSeen, Snapshot
from headgate.model.task import Stage, TaskRecord

NOW = 1_000_000.0
HOUR = 3600.0
JOB = JobName("delays")


def seen(name: str, cpus: int) -> AgentSeen:
    return AgentSeen(
        agent_id=AgentId(name),
        hostname=name,
        role="*",
        offered=Resources(cpus_m=cpus * 1000, mem_m=cpus * GIB, disk_m=cpus * GIB),
        at=NOW,
    )


@pytest.mark.parametrize(
    ("elsewhere_cpus", "in_s", "disaster", "objection"),
    [
        (4, HOUR / 2, None, None),
        (4, 2 * HOUR, None, None),
        (0, HOUR / 2, None, "no other agent has room"),
        (0, 2 * HOUR, None, "no other agent has room"),
        (4, HOUR / 2, "20 of 40 workers were lost", "nothing is moved now: disaster mode: 20 of 40 workers were lost"),
        (4, 60.0, None, "it takes 120 s"),
    ],
)
def test_what_is_said_to_an_inverse_offer(
    elsewhere_cpus: int, in_s: float, disaster: str | None, objection: str | None
) -> None:
    """The agent's own room does not count, however far off the window; while nothing may be moved nothing is promised.

    An agent without work of ours may go at any time.
    """
    home, other = AgentId("home"), AgentId("other")
    attempt = Attempt(job=JOB, submission=1, worker=0, attempt=0)
    task = TaskRecord(
        attempt=attempt,
        agent_id=home,
        hostname="home",
        resources=Resources(cpus_m=1000, mem_m=GIB),
        stage=Stage.RUNNING,
        launched_at=NOW,
        since=NOW,
    )
    lost = DisasterRecord(since=NOW if disaster else None, worst_at=NOW if disaster else None, reason=disaster)
    records = Records(
        framework=FrameworkRecord(disaster=lost),
        jobs={JOB: JobRecord(spec=job_spec(), submission=1, submitted_at=0.0)},
        tasks={task.id: task},
    )
    window = Unavailability(start_at=NOW + in_s, duration_s=HOUR)
    asked = [
        InverseOffer(id=OfferId(f"i-{agent_id}"), agent_id=agent_id, unavailability=window, received_at=NOW)
        for agent_id in (home, other)
    ]
    snapshot = Snapshot(
        now=NOW,
        settings=SETTINGS,
        records=records,
        agents={home: seen("home", 4), other: seen("other", elsewhere_cpus)},
        inverse_offers={each.id: each for each in asked},
    )
    ledger = Ledger(records)
    said = {
        offer_id: answer.reason
        for answer in answers(ledger, snapshot, known_fleet((), ledger, snapshot))
        for offer_id in answer.inverse_offer_ids
        if not answer.agree
    }
    assert OfferId("i-other") not in said
    found = said.get(OfferId("i-home"))
    assert found is None if objection is None else found is not None and found.startswith(objection)
