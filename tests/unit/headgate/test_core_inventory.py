"""What is remembered of agents: GPUs over restarts, failures for a while, nothing for ever."""

from __future__ import annotations

import pytest
from paper_cluster import SETTINGS

from headgate.core.ledger import Ledger
from headgate.core.placing.inventory import gpu_agents, remember_gpus, tidy_agents
from headgate.model.ids import AgentId, JobName
from headgate.model.record import AgentFailure, AgentRecord, Records
from headgate.model.resources import Resources
from headgate.model.snapshot import AgentSeen, Snapshot
from headgate.model.stored import changes, flattened, loaded

NOW = 1_000_000.0
DAY = SETTINGS.patience.agent_forget_s


def seen(name: str, *, gpus: bool, at: float = NOW) -> AgentSeen:
    return AgentSeen(agent_id=AgentId(name), hostname=name, role="*", offered=Resources(), at=at, has_gpus=gpus)


def snapshot(*agents: AgentSeen) -> Snapshot:
    return Snapshot(now=NOW, settings=SETTINGS, agents={agent.agent_id: agent for agent in agents})


def test_gpus_are_written_down_once_and_then_seldom() -> None:
    """An offer a second must not be a write a second."""
    ledger = Ledger(Records())
    remember_gpus(ledger, snapshot(seen("gpu", gpus=True), seen("plain", gpus=False)))
    first = ledger.frozen()
    assert gpu_agents(ledger) == {"gpu"}
    remember_gpus(ledger, snapshot(seen("gpu", gpus=True, at=NOW + DAY / 8)))
    assert ledger.frozen() == first
    remember_gpus(ledger, snapshot(seen("gpu", gpus=True, at=NOW + DAY / 3)))
    assert ledger.agents[AgentId("gpu")].gpus_seen_at == NOW + DAY / 3


def test_what_is_remembered_survives_the_store() -> None:
    """A record without GPUs, as older builds wrote it, loads as one without."""
    record = AgentRecord(agent_id=AgentId("gpu"), failures=(AgentFailure(at=1.0, job=JobName("j")),), gpus_seen_at=NOW)
    records = Records(agents={record.agent_id: record})
    stored = {key: value for key, value in changes({}, flattened(records)).items() if value is not None}
    assert loaded(stored) == records
    old = {"agents/a": b'{"kind":"agent","version":1,"body":{"agent_id":"a","failures":[{"at":1.0,"job":"j"}]}}'}
    assert loaded(old).agents[AgentId("a")].gpus_seen_at is None


@pytest.mark.parametrize(
    ("failed_s_ago", "gpus_s_ago", "left"),
    [
        (None, DAY - 1, (0, True)),
        (None, DAY, None),
        (10.0, None, (1, False)),
        (10_000.0, None, None),
        (10_000.0, 10.0, (0, True)),
        (10.0, DAY, (1, False)),
    ],
)
def test_each_thing_is_forgotten_in_its_own_time(
    failed_s_ago: float | None, gpus_s_ago: float | None, left: tuple[int, bool] | None
) -> None:
    """Failures after some minutes, GPUs after a day without the agent; with the last goes the record."""
    failures = () if failed_s_ago is None else (AgentFailure(at=NOW - failed_s_ago, job=JobName("j")),)
    record = AgentRecord(
        agent_id=AgentId("a"),
        failures=failures,
        gpus_seen_at=None if gpus_s_ago is None else NOW - gpus_s_ago,
    )
    ledger = Ledger(Records(agents={record.agent_id: record}))
    tidy_agents(ledger, SETTINGS.patience, NOW)
    found = ledger.agents.get(AgentId("a"))
    assert (None if found is None else (len(found.failures), found.gpus_seen_at is not None)) == left
