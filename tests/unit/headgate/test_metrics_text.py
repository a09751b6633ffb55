"""Metrics: every one is documented, what is unknown is left out, and Prometheus can read it all."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from headgate.adapters.metrics import metrics_text
from headgate.model.ids import AgentId, JobName, OperationId, ReservationId, ShardId
from headgate.model.job import JobSpec, Program
from headgate.model.offer import Unavailability
from headgate.model.operation import Hold, OperationKind
from headgate.model.record import Goal, JobState
from headgate.model.resources import Resources
from headgate.model.view import (
    AgentView,
    JobView,
    MasterView,
    OfferCounters,
    OperationView,
    ReservationView,
    RestartView,
    ShardView,
    View,
    WorkerView,
)
from headgate.model.waiting import Waiting
from millstream.contract.report import AuditCounters


def kept(job: str, hold: Hold, *operations: OperationKind) -> ReservationView:
    return ReservationView(
        id=ReservationId(f"{job}-{hold.value}"),
        job=JobName(job),
        worker=0,
        role="streaming",
        agent_id=AgentId("a"),
        hostname="a",
        resources=Resources(),
        volume_m=0,
        hold=hold,
        since=0.0,
        operations=tuple(OperationView(id=OperationId("1"), kind=each, sent_at=70.0) for each in operations),
    )


JOB = JobView(
    name=JobName('de"lays'),
    submission=1,
    spec=JobSpec(name=JobName("delays"), program=Program(file="a.py")),
    state=JobState.RECOVERING,
    state_since=0.0,
    goal=Goal.RUN,
    submitted_at=0.0,
    workers_wished=3,
    workers_ready=2,
    workers=(WorkerView(worker=0, rss_bytes=1000, failures=4), WorkerView(worker=1, moving_since=1.0)),
    shards=(
        ShardView(id=ShardId("a"), epoch=1, backlog_records=5, lag_s=1.5),
        ShardView(id=ShardId("b"), epoch=1, stuck=True),
    ),
    backlog_records=5,
    lag_s=1.5,
    arrivals_per_s=2.0,
    checkpoint_age_s=3.0,
    audit=AuditCounters(records_in=10, records_out=9, late=1, dead=2, replayed=3),
    restarts=6,
    waiting=Waiting(since=60.0, workers=(1, 2), text="there is room for 1 of 2", gathered=1),
    restart=RestartView(workers=3, replaced=1),
    reservations=(kept('de"lays', Hold.MAKING, OperationKind.RESERVE), kept('de"lays', Hold.HELD)),
)
VIEW = View(
    at=100.0,
    ticks=11,
    master=MasterView(connected=True),
    jobs=(JOB,),
    agents=(
        AgentView(id=AgentId("a"), hostname="a", offered=Resources(), seen_at=0.0, avoided_until=101.0),
        AgentView(id=AgentId("b"), hostname="b", offered=Resources(), seen_at=0.0, avoided_until=99.0),
        AgentView(
            id=AgentId("c"), hostname="c", offered=Resources(), seen_at=0.0, maintenance=Unavailability(start_at=500.0)
        ),
    ),
    offers=OfferCounters(received=8, declined=7, inverse_declined=5),
    disaster="9 of 10 workers were lost",
    left_behind=(kept("gone", Hold.FREEING, OperationKind.UNRESERVE),),
)


def samples(view: View) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(metrics_text(view).decode())
    return {
        (sample.name, tuple(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_values_are_the_views() -> None:
    found = samples(VIEW)
    job = 'de"lays'
    assert found["headgate_master_connected", ()] == 1
    assert found["headgate_master_reconciled", ()] == 0
    assert found["headgate_ticks_total", ()] == 11
    assert found["headgate_offers_total", ("received",)] == 8
    assert found["headgate_offers_total", ("declined",)] == 7
    assert found["headgate_job_state", (job, "recovering")] == 1
    assert found["headgate_job_state", (job, "running")] == 0
    assert found["headgate_job_workers_wished", (job,)] == 3
    assert found["headgate_job_backlog_records", (job,)] == 5
    assert found["headgate_job_records_total", (job, "dead")] == 2
    assert found["headgate_job_restarts_total", (job,)] == 6
    assert found["headgate_shard_lag_seconds", (job, "a")] == 1.5
    assert found["headgate_worker_failures_in_a_row", (job, "0")] == 4
    assert found["headgate_worker_resident_memory_bytes", (job, "0")] == 1000


def test_what_waits_what_moves_and_what_is_kept() -> None:
    found = samples(VIEW)
    job = 'de"lays'
    assert found["headgate_disaster_mode", ()] == 1
    assert found["headgate_agents_avoided", ()] == 1
    assert found["headgate_agents_maintenance", ()] == 1
    assert found["headgate_inverse_offers_total", ("accepted",)] == 0
    assert found["headgate_inverse_offers_total", ("declined",)] == 5
    assert found["headgate_reservations", ("making", job)] == 1
    assert found["headgate_reservations", ("freeing", "gone")] == 1
    assert found["headgate_operations_open", ("reserve",)] == 1
    assert found["headgate_operations_open", ("create",)] == 0
    assert found["headgate_operations_open_oldest_seconds", ()] == 30
    assert found["headgate_job_waiting_workers", (job,)] == 2
    assert found["headgate_job_waiting_seconds", (job,)] == 40
    assert found["headgate_job_gang_room_workers", (job,)] == 1
    assert found["headgate_job_workers_moving", (job,)] == 1
    assert found["headgate_job_restart_workers_left", (job,)] == 2
    assert found["headgate_job_shards_stuck", (job,)] == 1


def test_what_is_unknown_is_left_out() -> None:
    found = samples(VIEW)
    assert ("headgate_shard_backlog_records", ('de"lays', "b")) not in found
    assert ("headgate_worker_resident_memory_bytes", ('de"lays', "1")) not in found


def test_the_documentation_lists_exactly_these() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `(headgate_\w+)`[ *]*\| ([^|]*)\|", page, re.MULTILINE)
    families = text_string_to_metric_families(metrics_text(VIEW).decode())
    labels = {sample.name: ", ".join(sample.labels) for family in families for sample in family.samples}
    assert {name: text.strip() for name, text in documented} == labels


def test_a_scheduler_without_jobs_has_metrics_too() -> None:
    found = samples(View(at=0.0))
    assert found["headgate_master_connected", ()] == 0
    assert found["headgate_disaster_mode", ()] == 0
    assert found["headgate_operations_open_oldest_seconds", ()] == 0
