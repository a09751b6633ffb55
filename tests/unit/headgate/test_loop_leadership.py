"""Who no longer leads says nothing to the master, not even when it has nothing to save."""

import pytest
from paper_cluster import PaperCluster

from headgate.adapters.memory_store import MemoryStore
from headgate.errors import StaleLeader
from headgate.model.call import Acknowledge
from headgate.model.event import Update
from headgate.model.ids import AgentId, TaskId
from headgate.model.status import TaskState, TaskStatus

ENDED = TaskStatus(
    task_id=TaskId("delays.9.0.0"), state=TaskState.FAILED, agent_id=AgentId("a0"), source="AGENT", uuid="AAAA"
)


def test_an_update_that_changes_nothing_is_not_acknowledged_by_a_leader_of_the_past() -> None:
    """It is news to the next leader: acknowledged here, nobody would ever hear of it again."""
    cluster, store = PaperCluster(), MemoryStore()
    scheduler = cluster.attach(store)
    cluster.advance(5)
    store.new_term()
    sent = len(cluster.calls)
    scheduler.deliver(Update(status=ENDED))
    with pytest.raises(StaleLeader):
        scheduler.tick(cluster.now)
    assert cluster.calls[sent:] == []


def test_the_same_update_is_acknowledged_by_the_leader() -> None:
    """It says nothing of a recorded task, and needs no second telling."""
    cluster = PaperCluster()
    scheduler = cluster.attach(MemoryStore())
    cluster.advance(5)
    sent = len(cluster.calls)
    scheduler.deliver(Update(status=ENDED))
    scheduler.tick(cluster.now)
    assert [call.task_id for call in cluster.calls[sent:] if isinstance(call, Acknowledge)] == [ENDED.task_id]
