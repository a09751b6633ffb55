"""The view as Prometheus metrics.  `docs/metrics.md` lists them; names and labels are an interface and stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headgate.model.operation import OperationKind
from headgate.model.record import JobState
from headgate.model.view import JobView, View

METRICS_TYPE = "text/plain; version=0.0.4"


def metrics_text(view: View, *, leads: bool = True) -> bytes:
    """All metrics in Prometheus's text format; what is unknown is left out, never zero.

    A scheduler that does not lead has nothing to tell but that.
    """
    registry = CollectorRegistry()
    registry.register(_ViewCollector(view, leads))
    return generate_latest(registry)


class _ViewCollector(Collector):
    def __init__(self, view: View, leads: bool) -> None:
        self._view = view
        self._leads = leads

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("headgate_leader", "Whether this scheduler leads.", value=float(self._leads))
        if not self._leads:
            return
        yield from _scheduler_metrics(self._view)
        yield from _job_metrics(self._view)


def _scheduler_metrics(view: View) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "headgate_master_connected", "Whether the scheduler is subscribed at the leading Mesos master.",
        value=float(view.master.connected),
    )  # fmt: skip
    yield GaugeMetricFamily(
        "headgate_master_reconciled", "Whether the master has confirmed our tasks since the subscription.",
        value=float(view.master.reconciled),
    )  # fmt: skip
    yield CounterMetricFamily("headgate_ticks", "Decisions taken.", value=view.ticks)
    yield GaugeMetricFamily(
        "headgate_disaster_mode", "Whether so much is lost that kills, scaling down and restarts wait.",
        value=float(view.disaster is not None),
    )  # fmt: skip
    yield GaugeMetricFamily("headgate_agents", "Agents seen in offers.", value=len(view.agents))
    yield GaugeMetricFamily(
        "headgate_agents_avoided", "Agents left alone because tasks failed there.",
        value=sum(1 for agent in view.agents if (agent.avoided_until or 0.0) > view.at),
    )  # fmt: skip
    yield GaugeMetricFamily(
        "headgate_agents_maintenance", "Agents with maintenance announced or under way.",
        value=sum(1 for agent in view.agents if agent.maintenance is not None),
    )  # fmt: skip
    offers = CounterMetricFamily("headgate_offers", "Offers, by what became of them.", labels=["outcome"])
    for outcome in ("received", "accepted", "declined", "rescinded"):
        offers.add_metric([outcome], getattr(view.offers, outcome))
    yield offers
    inverse = CounterMetricFamily("headgate_inverse_offers", "Inverse offers, by the answer.", labels=["answer"])
    inverse.add_metric(["accepted"], view.offers.inverse_accepted)
    inverse.add_metric(["declined"], view.offers.inverse_declined)
    yield inverse
    yield from _reservation_metrics(view)
    tasks = CounterMetricFamily("headgate_tasks", "Tasks, by what became of them.", labels=["outcome"])
    for outcome in ("launched", "finished", "failed", "killed", "lost", "strays_killed"):
        tasks.add_metric([outcome], getattr(view.tasks, outcome))
    yield tasks
    yield GaugeMetricFamily("headgate_tasks_running", "Tasks that run now.", value=view.tasks.running)


def _reservation_metrics(view: View) -> Iterator[Metric]:
    kept = [each for job in view.jobs for each in job.reservations] + list(view.left_behind)
    reservations = GaugeMetricFamily(
        "headgate_reservations", "Reservations kept for workers, by where they are.", labels=["hold", "job"]
    )
    for (job, hold), count in sorted(Counter((each.job, each.hold.value) for each in kept).items()):
        reservations.add_metric([hold, job], count)
    yield reservations
    open_operations = [operation for each in kept for operation in each.operations]
    operations = GaugeMetricFamily(
        "headgate_operations_open", "Operations on resources whose end is not known.", labels=["kind"]
    )
    kinds = Counter(each.kind for each in open_operations)
    for kind in OperationKind:
        operations.add_metric([kind.value], kinds[kind])
    yield operations
    yield GaugeMetricFamily(
        "headgate_operations_open_oldest_seconds", "For how long the oldest open operation has been on its way.",
        value=max((view.at - each.sent_at for each in open_operations), default=0.0),
    )  # fmt: skip


def _job_metrics(view: View) -> Iterator[Metric]:
    jobs = view.jobs
    state = GaugeMetricFamily("headgate_job_state", "1 for the state the job is in, else 0.", labels=["job", "state"])
    for job in jobs:
        for each in JobState:
            state.add_metric([job.name, each.value], float(job.state is each))
    yield state
    for name, about, values in _job_gauges(jobs, view.at):
        yield _family(GaugeMetricFamily(name, about, labels=["job"]), ((job, value) for job, value in values))
    yield _family(
        CounterMetricFamily("headgate_job_restarts", "Workers of the job started again.", labels=["job"]),
        ((job.name, job.restarts) for job in jobs),
    )
    yield _family(
        CounterMetricFamily("headgate_job_moves", "Shards moved from one worker to another.", labels=["job"]),
        ((job.name, job.moves) for job in jobs),
    )
    records = CounterMetricFamily(
        "headgate_job_records", "Records over the job's life, by kind; they never reset.", labels=["job", "kind"]
    )
    for job in jobs:
        audit = job.audit
        for kind, value in (
            ("in", audit.records_in),
            ("out", audit.records_out),
            ("late", audit.late),
            ("dead", audit.dead),
            ("replayed", audit.replayed),
        ):
            records.add_metric([job.name, kind], value)
    yield records
    yield from _shard_metrics(jobs)
    yield from _worker_metrics(jobs)


def _job_gauges(jobs: tuple[JobView, ...], at: float) -> Iterator[tuple[str, str, list[tuple[str, float | None]]]]:
    def values(of: str) -> list[tuple[str, float | None]]:
        return [(job.name, getattr(job, of)) for job in jobs]

    yield "headgate_job_workers_wished", "Workers the job should have now.", values("workers_wished")
    yield "headgate_job_workers_ready", "Workers that run and report.", values("workers_ready")
    yield "headgate_job_backlog_records", "Records not yet processed.", values("backlog_records")
    yield "headgate_job_lag_seconds", "Age of the oldest record not yet processed.", values("lag_s")
    yield "headgate_job_records_per_second", "Records processed per second.", values("records_per_s")
    yield "headgate_job_arrivals_per_second", "Records arriving per second.", values("arrivals_per_s")
    yield "headgate_job_checkpoint_age_seconds", "Age of the oldest newest checkpoint.", values("checkpoint_age_s")
    yield "headgate_job_shards", "Shards known.", [(job.name, len(job.shards)) for job in jobs]
    yield "headgate_job_shards_finished", "Shards whose end is committed.", values("shards_finished")
    yield (
        "headgate_job_waiting_workers",
        "Workers that are wished and not started.",
        [(job.name, len(job.waiting.workers) if job.waiting else 0) for job in jobs],
    )
    yield (
        "headgate_job_waiting_seconds",
        "For how long workers have been wished and not started.",
        [(job.name, at - job.waiting.since if job.waiting else 0.0) for job in jobs],
    )
    yield (
        "headgate_job_gang_room_workers",
        "Workers of a gang that waits for which there is room.",
        [(job.name, job.waiting.gathered if job.waiting else None) for job in jobs],
    )
    yield (
        "headgate_job_shards_stuck",
        "Shards with work waiting that is not done.",
        [(job.name, sum(shard.stuck for shard in job.shards)) for job in jobs],
    )
    yield (
        "headgate_job_workers_moving",
        "Workers that are to leave their agents.",
        [(job.name, sum(worker.moving_since is not None for worker in job.workers)) for job in jobs],
    )
    yield (
        "headgate_job_restart_workers_left",
        "Workers that a restart under way has still to replace.",
        [(job.name, job.restart.workers - job.restart.replaced if job.restart else 0) for job in jobs],
    )


def _shard_metrics(jobs: tuple[JobView, ...]) -> Iterator[Metric]:
    backlog = GaugeMetricFamily(
        "headgate_shard_backlog_records", "Records of the shard not yet processed.", labels=["job", "shard"]
    )
    lag = GaugeMetricFamily(
        "headgate_shard_lag_seconds", "Age of the shard's oldest record not yet processed.", labels=["job", "shard"]
    )
    for job in jobs:
        for shard in job.shards:
            for family, value in ((backlog, shard.backlog_records), (lag, shard.lag_s)):
                if value is not None:
                    family.add_metric([job.name, shard.id], value)
    yield backlog
    yield lag


def _worker_metrics(jobs: tuple[JobView, ...]) -> Iterator[Metric]:
    memory = GaugeMetricFamily(
        "headgate_worker_resident_memory_bytes", "Memory the worker's process holds.", labels=["job", "worker"]
    )
    failures = GaugeMetricFamily(
        "headgate_worker_failures_in_a_row", "Failures since the worker was last healthy.", labels=["job", "worker"]
    )
    for job in jobs:
        for worker in job.workers:
            if worker.rss_bytes is not None:
                memory.add_metric([job.name, str(worker.worker)], worker.rss_bytes)
            failures.add_metric([job.name, str(worker.worker)], worker.failures)
    yield memory
    yield failures


def _family(family: GaugeMetricFamily | CounterMetricFamily, values: Iterable[tuple[str, float | None]]) -> Metric:
    for job, value in values:
        if value is not None:
            family.add_metric([job], value)
    return family
