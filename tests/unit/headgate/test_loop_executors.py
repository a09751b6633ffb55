"""Executors that outlive their task: each has one, says its last word, and is to end by itself."""

import pytest
from paper_cluster import PaperCluster, job_spec, started

from headgate.model.call import Kill, ShutdownExecutor
from headgate.model.event import ExecutorEnded, Offers, Update
from headgate.model.ids import AgentId, ExecutorId, JobName, OfferId, TaskId
from headgate.model.offer import Offer
from headgate.model.resources import Resources
from headgate.model.status import TaskState, TaskStatus

JOB = JobName("delays")
FIRST = TaskId("delays.1.0.0")
AGENT = AgentId("a0")


def deployed() -> PaperCluster:
    """One worker that runs and has all shards."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 2)
    started(cluster, job_spec(workers=1))
    cluster.until(lambda: all(cluster.owners(JOB).values()))
    return cluster


def fail(cluster: PaperCluster, source: str = "EXECUTOR") -> None:
    """The first worker's task ends; who says so."""
    task = cluster.tasks[FIRST]
    task.state = TaskState.FAILED
    task.owned.clear()
    cluster._deliver(
        Update(status=TaskStatus(task_id=FIRST, state=task.state, agent_id=AGENT, source=source, uuid="last"))
    )


def ended(cluster: PaperCluster) -> None:
    cluster._deliver(ExecutorEnded(agent_id=AGENT, executor_id=ExecutorId(FIRST), status=0))


def offer_naming(cluster: PaperCluster, *executors: str) -> None:
    """An offer too small for anything, of an agent with these executors."""
    tiny = Offer(
        id=OfferId("tiny"),
        agent_id=AGENT,
        hostname="a0.example",
        resources=Resources(mem_m=64_000),
        received_at=cluster.now,
        executor_ids=tuple(map(ExecutorId, executors)),
    )
    cluster.offers[tiny.id] = tiny
    cluster._deliver(Offers(offers=(tiny,)))


def test_an_executor_that_does_not_end_is_shut_down() -> None:
    """Half a minute after its last word; once more, should the call be lost; and no more."""
    cluster = deployed()
    fail(cluster)
    cluster.advance(29)
    assert not cluster.sent(ShutdownExecutor)
    cluster.advance(2)
    assert cluster.sent(ShutdownExecutor) == [ShutdownExecutor(executor_id=ExecutorId(FIRST), agent_id=AGENT)]
    cluster.advance(200)
    assert len(cluster.sent(ShutdownExecutor)) == 2
    assert not cluster.sent(Kill)
    assert cluster.scheduler is not None
    notes = [note.text for note in cluster.scheduler.view.events if "is shut down" in note.text]
    assert notes == [f"the executor of {FIRST} is shut down: it has not ended within 30 s of its task"]


@pytest.mark.parametrize("first", ["word", "end"])
def test_one_that_ends_is_not(first: str) -> None:
    """FAILURE may come before the task's last update, or after."""
    cluster = deployed()
    if first == "end":
        ended(cluster)
        cluster.advance(1)
    fail(cluster)
    if first == "word":
        cluster.advance(5)
        ended(cluster)
    cluster.advance(100)
    assert not cluster.sent(ShutdownExecutor)


@pytest.mark.parametrize("source", ["AGENT", "MASTER"])
def test_one_of_which_others_say_that_its_task_is_over_is_gone(source: str) -> None:
    """An agent says so of an executor that has ended, a master of an agent that is away."""
    cluster = deployed()
    fail(cluster, source)
    cluster.advance(100)
    assert not cluster.sent(ShutdownExecutor)


def test_one_that_hung_before_this_scheduler_led_is_seen_with_an_offer() -> None:
    """Offers name the executors of their agent; those with a recorded task are as they should be."""
    cluster = deployed()
    offer_naming(cluster, FIRST, "delays.0.7.3")
    cluster.advance(29)
    assert not cluster.sent(ShutdownExecutor)
    cluster.advance(2)
    assert cluster.sent(ShutdownExecutor) == [ShutdownExecutor(executor_id=ExecutorId("delays.0.7.3"), agent_id=AGENT)]
