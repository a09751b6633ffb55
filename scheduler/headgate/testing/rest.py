"""When all is well: what must come to be, and stay, once nothing goes wrong any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from headgate.loop import Scheduler
from headgate.model.ids import JobName
from headgate.model.record import Goal, JobState
from headgate.model.view import JobView
from headgate.testing.containers import Containers
from headgate.testing.scheduler_host import SchedulerHost
from headgate.testing.shard_log import ShardLogs
from headgate.testing.source import Source
from headgate.testing.stored_records import StoredRecords
from headgate.testing.town import Town
from headgate.testing.workload import People, Wish
from millstream.contract.worker_spec import Until


class Rest:
    """Says what is still missing."""

    def __init__(
        self,
        *,
        host: SchedulerHost,
        store: StoredRecords,
        containers: Containers,
        logs: ShardLogs,
        sources: Mapping[str, Source],
        people: People,
        town: Town,
    ) -> None:
        self._host = host
        self._store = store
        self._containers = containers
        self._logs = logs
        self._sources = sources
        self._people = people
        self._town = town

    def missing(self) -> list[str]:
        """Everything that is not as it should be; empty: all is well."""
        scheduler = self._host.scheduler
        if scheduler is None:
            return ["no scheduler runs"]
        return [*self._of_the_scheduler(scheduler), *self._of_the_jobs(scheduler), *self._of_the_cluster()]

    def _of_the_scheduler(self, scheduler: Scheduler) -> Iterator[str]:
        view = scheduler.view
        if len(self._host.living) != 1:
            yield f"{len(self._host.living)} schedulers run"
        if not view.master.connected or not view.master.reconciled:
            yield f"the scheduler is not connected or not reconciled: {view.master}"
        if self._people.busy:
            yield "a command is not answered"
        link = self._host.leader.link if self._host.leader else None
        if link is not None and link.flowing:
            yield f"offers of {', '.join(sorted(link.flowing))} are not suppressed"

    def _of_the_jobs(self, scheduler: Scheduler) -> Iterator[str]:
        for name, wish in self._people.wishes.items():
            job = scheduler.view.find_job(name)
            if job is None:
                yield f"{name} is not known"
            else:
                yield from (f"{name}: {text}" for text in self._of_a_job(job, wish))

    def _of_a_job(self, job: JobView, wish: Wish) -> Iterator[str]:
        expected = _expected(wish, ends=self._sources[job.name].complete)
        if job.state is not expected and not (job.state is JobState.COMPLETED and wish.spec.until is Until.END):
            yield f"is {job.state.value}, not {expected.value}"
        if job.state is JobState.RUNNING:
            if job.workers_ready != job.workers_wished:
                yield f"{job.workers_ready} of {job.workers_wished} workers are ready"
            if job.waiting is not None:
                yield f"waits: {job.waiting}"
            yield from self._of_its_shards(job)
        elif (job.state.over or job.state is JobState.PAUSED) and any(
            task.job == job.name for task in self._store.tasks.values()
        ):
            yield f"is {job.state.value}, and has tasks"
        if job.state in (JobState.RUNNING, JobState.COMPLETED):
            yield from self._of_its_output(job.name)

    def _of_its_shards(self, job: JobView) -> Iterator[str]:
        owners = Counter(
            (shard, epoch) for worker in self._containers.workers for shard, epoch in worker.holds_of(job.name).items()
        )
        for shard in self._store.shards(job.name).values():
            if shard.finished:
                continue
            if shard.owner is None or shard.releasing is not None:
                yield f"shard {shard.id} has no owner: {shard}"
            if owners[shard.id, shard.epoch] != 1:
                yield f"shard {shard.id} at epoch {shard.epoch} has {owners[shard.id, shard.epoch]} owners"
        missing = set(self._sources[job.name].shards) - set(self._store.shards(job.name))
        if missing:
            yield f"shards {', '.join(sorted(missing))} are not discovered"

    def _of_its_output(self, name: JobName) -> Iterator[str]:
        source = self._sources[name]
        for shard in source.shards:
            newest = self._logs.newest(name, shard)
            committed = newest.end if newest else 0
            if committed != source.end(shard):
                yield f"shard {shard} is committed up to {committed} of {source.end(shard)}"

    def _of_the_cluster(self) -> Iterator[str]:
        live = Counter(each.executor_id for each in self._containers.all)
        recorded = Counter(str(task) for task in self._store.tasks)
        if live != recorded:
            yield f"alive, not recorded: {sorted(live - recorded)}; recorded, not alive: {sorted(recorded - live)}"
        yield from self._of_reservations()

    def _of_reservations(self) -> Iterator[str]:
        """What an agent that does not come back keeps stays recorded, since it may come back after all."""
        agents = self._town.agent_ids()
        records = [each for each in self._store.reservations.values() if each.agent_id in agents]
        reserved, kept = self._town.reservations(), {str(each.id) for each in records}
        if reserved != kept:
            yield f"reserved, not recorded: {sorted(reserved - kept)}; the other way: {sorted(kept - reserved)}"
        for each in records:
            job = self._store.jobs.get(each.job)
            if job is None or job.state.over or job.submission != each.submission:
                yield f"reservation {each.id} is nobody's"


def _expected(wish: Wish, *, ends: bool) -> JobState:
    if wish.goal is Goal.CANCEL:
        return JobState.CANCELLED
    if wish.goal is Goal.PAUSE:
        return JobState.PAUSED
    return JobState.COMPLETED if ends else JobState.RUNNING
