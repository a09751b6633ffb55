"""What people see of a job's upkeep: restarts, pauses, maintenance, reservations, stuck shards, lost agents."""

from __future__ import annotations

import dataclasses
import logging

import pytest
from paper_cluster import GIB, PaperCluster, job_spec, started
from test_loop_jobs import JOB, view

from headgate.adapters.api_types import doings, explanation, summary
from headgate.core.show_upkeep import reservations
from headgate.core.world import World
from headgate.model.ids import AgentId, JobName, OfferId, OperationId, ReservationId
from headgate.model.note import NoteKind
from headgate.model.offer import InverseOffer, Unavailability
from headgate.model.operation import Hold, OperationKind, OperationRecord, OperationState, ReservationRecord
from headgate.model.plan import Answer
from headgate.model.record import JobState, Records
from headgate.model.resources import Resources
from headgate.model.view import RestartView


def running(workers: int, *, agents: int = 2) -> PaperCluster:
    cluster = PaperCluster(agents)
    cluster.put_shards(JOB, 4)
    started(cluster, job_spec(workers=workers))
    cluster.until(lambda: view(cluster).workers_ready == workers)
    cluster.until(lambda: view(cluster).state is JobState.RUNNING)
    return cluster


def test_a_restart_is_counted_until_its_last_worker_is_replaced() -> None:
    cluster = running(3)
    assert view(cluster).restart is None
    assert cluster.scheduler is not None
    cluster.scheduler.restart(JobName(JOB))
    seen: list[RestartView] = []
    while True:
        cluster.advance(0.25)
        now = view(cluster).restart
        if now is None:
            break
        if not seen or now != seen[-1]:
            seen.append(now)
        assert len(seen) < 9
    assert seen == [RestartView(workers=3, replaced=number) for number in range(3)]
    assert {worker.attempt for worker in view(cluster).workers} == {1}


def test_a_restart_is_told_in_words() -> None:
    cluster = running(2)
    assert cluster.scheduler is not None
    cluster.scheduler.restart(JobName(JOB))
    cluster.until(lambda: view(cluster).restart is not None)
    assert doings(view(cluster)) == ["a restart is under way: 0 of 2 workers are replaced"]
    assert summary(view(cluster)).remark == "a restart is under way: 0 of 2 workers are replaced"
    cluster.until(lambda: view(cluster).restart is None)
    assert doings(view(cluster)) == []


def test_a_failure_long_after_a_restart_is_no_restart() -> None:
    cluster = running(2)
    assert cluster.scheduler is not None
    cluster.scheduler.restart(JobName(JOB))
    cluster.until(lambda: {worker.attempt for worker in view(cluster).workers} == {1})
    cluster.until(lambda: view(cluster).workers_ready == 2)
    cluster.end("delays.1.0.1")
    cluster.advance(0.5)
    assert view(cluster).workers_ready == 1
    assert view(cluster).restart is None


def test_a_pause_says_how_to_go_on() -> None:
    cluster = running(1)
    assert cluster.scheduler is not None
    cluster.scheduler.pause(JobName(JOB))
    cluster.advance(0.25)
    assert doings(view(cluster)) == ["it is to rest: its workers make their last checkpoints"]
    cluster.until(lambda: view(cluster).state is JobState.PAUSED)
    assert doings(view(cluster)) == ["it rests, its state kept, until `headgate resume delays`"]


def kept(number: int, hold: Hold, *, job: str = JOB) -> ReservationRecord:
    return ReservationRecord(
        id=ReservationId(f"r{number}"),
        job=JobName(job),
        submission=1,
        worker=number,
        role="streaming",
        agent_id=AgentId("a0"),
        hostname="a0.example",
        resources=Resources(cpus_m=1000, mem_m=GIB),
        hold=hold,
        since=5.0,
    )


def test_reservations_are_told_with_what_is_being_done_about_them() -> None:
    records = Records(
        reservations={
            each.id: each
            for each in (kept(2, Hold.FREEING), kept(1, Hold.HELD), kept(0, Hold.MAKING), kept(3, Hold.HELD, job="b"))
        },
        operations={
            OperationId(number): OperationRecord(
                id=OperationId(number),
                kind=kind,
                reservation=ReservationId(f"r{worker}"),
                agent_id=AgentId("a0"),
                sent_at=7.0,
                state=state,
            )
            for number, kind, worker, state in (
                ("1", OperationKind.RESERVE, 0, None),
                ("2", OperationKind.CREATE, 0, OperationState.PENDING),
            )
        },
    )
    found = reservations(records)
    assert [each.id for each in found[JobName(JOB)]] == ["r0", "r1", "r2"]
    assert [each.id for each in found[JobName("b")]] == ["r3"]
    cluster = running(1)
    job = dataclasses.replace(view(cluster), reservations=found[JobName(JOB)])
    assert doings(job) == [
        "worker 0: resources are being reserved on a0.example (reserve sent, create pending)",
        "what worker 2 kept on a0.example is given back (when its agent is offered again)",
    ]


def test_what_is_left_of_a_job_that_is_gone_is_shown_too() -> None:
    cluster = running(1)
    assert cluster.scheduler is not None
    world: World = cluster.scheduler._world
    world.ledger.reservations[ReservationId("r7")] = kept(7, Hold.FREEING, job="gone")
    cluster.tick()
    assert [each.id for each in cluster.scheduler.view.left_behind] == ["r7"]


def test_answers_to_inverse_offers_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """They are given again every half minute; agents are named as people know them."""
    cluster = running(1)
    assert cluster.scheduler is not None
    world: World = cluster.scheduler._world
    agent_id = AgentId("a0")
    window = Unavailability(start_at=cluster.now + 600.0)

    def answer(agree: bool, reason: str) -> None:
        offer_id = OfferId(f"inverse-{cluster.now}")
        world.inverse_offers[offer_id] = InverseOffer(
            id=offer_id, agent_id=agent_id, unavailability=window, received_at=cluster.now
        )
        world.windows[agent_id] = window
        world.performed(Answer(inverse_offer_ids=(offer_id,), agree=agree, refuse_s=30.0, reason=reason), cluster.now)
        assert not world.inverse_offers

    with caplog.at_level(logging.INFO, logger="headgate.loop"):
        for _ in range(3):
            answer(False, "no other agent has room for a worker of delays")
            cluster.advance(0.25)
        answer(True, "all of ours can leave in time")
        cluster.tick()
    told = [note.text for note in cluster.scheduler.view.events if note.kind is NoteKind.MAINTENANCE]
    assert told == [
        "not agreed to give back a0.example: no other agent has room for a worker of delays",
        "agreed to give back a0.example: all of ours can leave in time",
    ]
    assert [line for line in caplog.messages if "give back" in line] == told
    shown = cluster.scheduler.view
    assert (shown.offers.inverse_declined, shown.offers.inverse_accepted) == (3, 1)
    (agent,) = [each for each in shown.agents if each.id == agent_id]
    assert agent.maintenance == window
    assert agent.answer is not None
    assert agent.answer.agree
    explained = cluster.scheduler.explain_agent(agent_id)
    assert explained is not None
    assert (explained.maintenance, explained.answer) == (window, agent.answer)
    (worker,) = view(cluster).workers
    assert worker.moving_since is not None
    assert worker.why is not None
    assert worker.why.startswith("maintenance of a0.example begins in ")
    assert f"worker 0 is moved: {worker.why}" in doings(view(cluster))
    del world.windows[agent_id]
    cluster.tick()
    assert all(each.answer is None for each in cluster.scheduler.view.agents)


def test_what_happens_to_jobs_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each thing once, with its job; what went wrong as a warning."""
    with caplog.at_level(logging.INFO, logger="headgate.loop"):
        cluster = running(1)
        cluster.end("delays.1.0.0")
        cluster.advance(5)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "headgate.loop"]
    assert lines.count(("INFO", "delays: submitted as number 1")) == 1
    assert [level for level, text in lines if "failed: TASK_FAILED" in text] == ["WARNING"]


def test_a_stuck_shard_is_told_with_how_often_it_was_taken() -> None:
    cluster = running(2)
    assert cluster.scheduler is not None
    for task in cluster.live(JOB):
        task.stuck.add("s0")
    cluster.put_shards(JOB, 4, records=50_000)
    cluster.until(lambda: any(shard.owners_stuck for shard in view(cluster).shards), within=900.0)
    problems = explanation(view(cluster), cluster.scheduler.view).problems
    assert any("shard s0: " in text and "taken from one worker for that" in text for text in problems)
