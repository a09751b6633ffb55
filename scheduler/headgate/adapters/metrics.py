"""The view as Prometheus metrics.  `docs/metrics.md` lists them; names and labels are an interface and stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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
        yield from _job_metrics(self._view.jobs)


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
    yield GaugeMetricFamily("headgate_agents", "Agents seen in offers.", value=len(view.agents))
    offers = CounterMetricFamily("headgate_offers", "Offers, by what became of them.", labels=["outcome"])
    for outcome in ("received", "accepted", "declined", "rescinded"):
        offers.add_metric([outcome], getattr(view.offers, outcome))
    yield offers
    tasks = CounterMetricFamily("headgate_tasks", "Tasks, by what became of them.", labels=["outcome"])
    for outcome in ("launched", "finished", "failed", "killed", "lost", "strays_killed"):
        tasks.add_metric([outcome], getattr(view.tasks, outcome))
    yield tasks
    yield GaugeMetricFamily("headgate_tasks_running", "Tasks that run now.", value=view.tasks.running)


def _job_metrics(jobs: tuple[JobView, ...]) -> Iterator[Metric]:
    state = GaugeMetricFamily("headgate_job_state", "1 for the state the job is in, else 0.", labels=["job", "state"])
    for job in jobs:
        for each in JobState:
            state.add_metric([job.name, each.value], float(job.state is each))
    yield state
    for name, about, values in _job_gauges(jobs):
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


def _job_gauges(jobs: tuple[JobView, ...]) -> Iterator[tuple[str, str, list[tuple[str, float | None]]]]:
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
