"""A Mesos and its workers on paper, for tests of the scheduler: one thread, virtual time.

It answers calls as a master would (offers that filters and suppression hold back, statuses repeated until acknowledged,
answers to reconciliation) and plays the workers: they claim what they are assigned, refuse epochs below the newest
claim, report every two seconds, let go of what is taken, and end when drained.  The full simulator is
`headgate.simulator`; this one is small enough to be read with the test, and brings no surprise but those asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from headgate.adapters.memory_store import MemoryStore
from headgate.engines.millstream import MillstreamEngine
from headgate.errors import MasterUnavailable
from headgate.loop import Scheduler
from headgate.model.call import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Framework,
    Kill,
    Launch,
    Reconcile,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    UpdateFramework,
)
from headgate.model.event import Disconnected, MasterEvent, Message, Offers, Rescinded, Subscribed, Update
from headgate.model.ids import AgentId, ExecutorId, FrameworkId, JobName, OfferId, TaskId
from headgate.model.job import JobSpec, Program, Scaling, Workers
from headgate.model.offer import AttributeValue, FaultDomain, Offer
from headgate.model.resources import Request, Resources
from headgate.model.settings import Settings
from headgate.model.status import TaskState, TaskStatus
from headgate.ports import Master, RecordStore
from millstream.contract.assignment import Assignment
from millstream.contract.report import AuditCounters, CheckpointReport, KnownShard, Report, ShardReport, ShardState
from millstream.contract.wire import decode, encode

GIB = 1_024_000
SETTINGS = Settings(framework=Framework(user="tester"), bundles_url="http://127.0.0.1:1/bundles")
ENGINES = {"millstream": MillstreamEngine(default_store="/checkpoints")}


def job_spec(name: str = "delays", *, workers: int | Workers = 1, **changes: object) -> JobSpec:
    """A job of one-cpu workers whose number is fixed unless told otherwise."""
    bounds = workers if isinstance(workers, Workers) else Workers(min=1, max=16, initial=workers)
    spec = JobSpec(
        name=JobName(name),
        program=Program(file="p.py", object="stream", sha256="ab" * 32),
        worker=Request(cpus_m=1000, mem_m=GIB),
        workers=bounds,
        scaling=Scaling(enabled=not isinstance(workers, int)),
    )
    return replace(spec, **changes)  # type: ignore[arg-type]


@dataclass
class PaperShard:
    """A source partition and its log: records there are, records done, and the newest claim."""

    records: float = 0.0
    arrivals_per_s: float = 0.0
    done: float = 0.0
    epoch: int = 0
    finite: bool = False


@dataclass
class PaperTask:
    """A task and the worker in it."""

    launch: Launch
    launched_at: float
    state: TaskState = TaskState.STAGING
    running_at: float = 0.0
    hangs: bool = False
    mute: bool = False
    deaf: bool = False
    problem: str | None = None
    stuck: set[str] = field(default_factory=set)
    restoring: set[str] = field(default_factory=set)
    keeps: set[str] = field(default_factory=set)
    seen: Assignment | None = None
    owned: dict[str, int] = field(default_factory=dict)
    worked: dict[str, float] = field(default_factory=dict)
    busy_s: dict[str, float] = field(default_factory=dict)
    sequence: int = 0
    reported_at: float = -1e9

    @property
    def id(self) -> TaskId:
        return self.launch.task_id

    @property
    def job(self) -> str:
        return self.id.split(".")[0]

    @property
    def live(self) -> bool:
        return not self.state.terminal


@dataclass
class PaperAgent:
    """An agent: what it has, and whether the master reaches it."""

    id: AgentId
    total: Resources
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    reachable: bool = True
    domain: FaultDomain | None = None


class PaperClock:
    """The cluster's time as a `ports.Clock`."""

    def __init__(self, cluster: PaperCluster) -> None:
        self._cluster = cluster

    def now(self) -> float:
        return self._cluster.now

    def monotonic(self) -> float:
        return self._cluster.now


class PaperCluster:
    """Master, agents and workers.  `advance` moves time, and ticks the scheduler attached to it."""

    def __init__(self, agents: int = 2, *, cpus: int = 4, start_s: float = 0.5) -> None:
        self.now = 1_000_000.0
        self.start_s = start_s
        self.framework_id = FrameworkId("F-1")
        self.agents: dict[AgentId, PaperAgent] = {}
        for number in range(agents):
            self.add_agent(f"a{number}", cpus=cpus)
        self.tasks: dict[TaskId, PaperTask] = {}
        self.shards: dict[str, dict[str, PaperShard]] = {}
        self.complete: set[str] = set()
        self.rate_per_s = 1000.0
        self.cost_error: Callable[[], float] = lambda: 1.0
        self.connected = False
        self.half_open = False
        self.offers: dict[OfferId, Offer] = {}
        self.suppressed: set[str] = set()
        self.roles: tuple[str, ...] = ("*",)
        self.capabilities: tuple[str, ...] = ()
        self.hides_gpus = False
        self.region: str | None = None
        self.filters: dict[tuple[AgentId, str], tuple[Resources, float]] = {}
        self.unacknowledged: dict[str, TaskStatus] = {}
        self.calls: list[Call] = []
        self.down = False
        self.scheduler: Scheduler | None = None
        self.wake_at: float | None = None
        self.watchers: list[Callable[[], None]] = []
        self.outbox: list[MasterEvent] = []
        self._offered = 0
        self._uuids = 0

    def add_agent(
        self, name: str, *, cpus: int = 4, gpus: int = 0, region: str | None = None, **attributes: AttributeValue
    ) -> None:
        """One more agent, with 2 GiB for each cpu."""
        total = Resources(cpus_m=cpus * 1000, mem_m=cpus * 2 * GIB, disk_m=100 * GIB, gpus_m=gpus * 1000)
        domain = FaultDomain(region=region, zone=f"{region}-1") if region else None
        self.agents[AgentId(name)] = PaperAgent(AgentId(name), total, dict(attributes), domain=domain)

    def attach(self, store: RecordStore, master: Master | None = None) -> Scheduler:
        """A new scheduler on this cluster, subscribed; the one before hears nothing any more."""
        self.scheduler = Scheduler(
            clock=PaperClock(self), master=master or self, store=store, engines=ENGINES, settings=SETTINGS
        )
        self.subscribe()
        return self.scheduler

    def subscribe(self) -> None:
        """The stream is up (again): offers are void, nothing is replayed."""
        assert self.scheduler is not None
        self.connected = True
        self.outbox.clear()
        self.offers.clear()
        self.filters.clear()
        self.suppressed.clear()
        self.scheduler.deliver(
            Subscribed(framework_id=self.framework_id, master="paper:5050", master_domain_region=self.region)
        )

    def disconnect(self) -> None:
        """The stream is down."""
        assert self.scheduler is not None
        self.connected = self.half_open = False
        self.scheduler.deliver(Disconnected(reason="cut"))

    # What the scheduler calls

    def send(self, call: Call) -> None:
        """`ports.Master`."""
        if not self.connected or self.down:
            raise MasterUnavailable("paper master is away")
        self.calls.append(call)
        match call:
            case Accept():
                self._accept(call)
            case Decline():
                for offer_id in call.offer_ids:
                    self._decline(offer_id, call.refuse_s)
            case Revive():
                for role in call.roles:
                    self.suppressed.discard(role)
                self.filters = {key: value for key, value in self.filters.items() if key[1] not in call.roles}
            case Suppress():
                self.suppressed.update(call.roles)
            case UpdateFramework():
                self.roles = call.framework.roles
                self.capabilities = call.framework.capabilities
            case Reconcile():
                self._reconcile(call)
            case Kill():
                self._kill(call)
            case ShutdownExecutor():
                task = self.tasks.get(TaskId(call.executor_id))
                if task and task.live:
                    self.end(task.id, TaskState.FAILED, reason="EXECUTOR_TERMINATED")
            case SendMessage():
                task = self.tasks.get(TaskId(call.executor_id))
                if task and task.state is TaskState.RUNNING and not task.deaf:
                    assignment = decode(call.data, Assignment)
                    if task.seen is None or assignment.version >= task.seen.version:
                        task.seen = assignment
            case Acknowledge():
                self.unacknowledged.pop(call.uuid, None)
            case _:
                raise AssertionError(call)

    def _accept(self, call: Accept) -> None:
        held = [self.offers.pop(offer_id, None) for offer_id in call.offer_ids]
        pool = Resources()
        for offer in held:
            if offer is not None:
                pool += offer.resources
        valid = all(offer is not None for offer in held)
        for launch in call.launches:
            assert launch.task_id not in self.tasks, f"task id {launch.task_id} is used twice"
            request = Request(
                cpus_m=launch.resources.cpus_m,
                mem_m=launch.resources.mem_m,
                disk_m=launch.resources.disk_m,
                gpus_m=launch.resources.gpus_m,
            )
            if not valid:
                self._tell(
                    TaskStatus(
                        task_id=launch.task_id,
                        state=TaskState.DROPPED,
                        agent_id=launch.agent_id,
                        reason="INVALID_OFFERS",
                    )
                )
                continue
            assert pool.holds(request), f"{launch.task_id} takes more than was offered"
            _, pool = pool.take(request)
            self.tasks[launch.task_id] = PaperTask(launch, self.now)
        if valid and held[0] is not None:
            self.filters[held[0].agent_id, held[0].role] = (pool, self.now + call.refuse_s)

    def _decline(self, offer_id: OfferId, refuse_s: float) -> None:
        offer = self.offers.pop(offer_id, None)
        if offer is not None:
            self.filters[offer.agent_id, offer.role] = (offer.resources, self.now + refuse_s)

    def _reconcile(self, call: Reconcile) -> None:
        if not call.tasks:
            for task in list(self.tasks.values()):
                if task.live and self.agents[task.launch.agent_id].reachable:
                    self._tell(self._status(task, reason="RECONCILIATION"))
            return
        for asked in call.tasks:
            task = self.tasks.get(asked.task_id)
            if task is not None and not self.agents[task.launch.agent_id].reachable:
                state = TaskState.UNREACHABLE
            elif task is not None and (task.live or self._pending(task.id)):
                state = task.state
            elif asked.agent_id is not None and asked.agent_id in self.agents:
                state = TaskState.GONE
            else:
                state = TaskState.UNKNOWN
            self._tell(TaskStatus(task_id=asked.task_id, state=state, agent_id=asked.agent_id, reason="RECONCILIATION"))

    def _pending(self, task_id: TaskId) -> bool:
        return any(status.task_id == task_id for status in self.unacknowledged.values())

    def _kill(self, call: Kill) -> None:
        task = self.tasks.get(call.task_id)
        if task is None or not task.live:
            self._tell(
                TaskStatus(task_id=call.task_id, state=TaskState.GONE, agent_id=call.agent_id, reason="RECONCILIATION")
            )
        elif self.agents[task.launch.agent_id].reachable and not task.hangs:
            self.end(call.task_id, TaskState.KILLED)

    # What tests do to it

    def end(self, task_id: TaskId | str, state: TaskState = TaskState.FAILED, *, reason: str | None = None) -> None:
        """A task's end."""
        task = self.tasks[TaskId(task_id)]
        task.state = state
        task.owned.clear()
        self._update(task, reason=reason)

    def lose_agent(self, name: str) -> None:
        """The master does not reach an agent any more; its tasks run on."""
        agent = self.agents[AgentId(name)]
        agent.reachable = False
        for offer in [offer for offer in self.offers.values() if offer.agent_id == agent.id]:
            del self.offers[offer.id]
            self._deliver(Rescinded(offer_id=offer.id))
        for task in self.tasks.values():
            if task.live and task.launch.agent_id == agent.id:
                self._tell(
                    TaskStatus(task_id=task.id, state=TaskState.UNREACHABLE, agent_id=agent.id, reason="AGENT_REMOVED")
                )

    def regain_agent(self, name: str) -> None:
        """The agent is back, with its tasks."""
        agent = self.agents[AgentId(name)]
        agent.reachable = True
        for task in self.tasks.values():
            if task.live and task.launch.agent_id == agent.id:
                self._tell(self._status(task, reason="AGENT_REREGISTERED"))

    def put_shards(self, job: str, count: int, *, records: float = 0.0, arrivals_per_s: float = 0.0) -> None:
        """A source of so many shards, with so many records each."""
        self.shards[job] = {f"s{number}": PaperShard(records, arrivals_per_s) for number in range(count)}

    def live(self, job: str | None = None) -> list[PaperTask]:
        """Tasks that have not ended."""
        return [task for task in self.tasks.values() if task.live and (job is None or task.job == job)]

    def owners(self, job: str) -> dict[str, list[TaskId]]:
        """Who holds each shard at its newest epoch."""
        return {
            name: [task.id for task in self.live(job) if task.owned.get(name) == shard.epoch and shard.epoch]
            for name, shard in self.shards.get(job, {}).items()
        }

    def sent(self, kind: type) -> list[Call]:
        """Calls of one kind."""
        return [call for call in self.calls if isinstance(call, kind)]

    # Time

    def advance(self, seconds: float, *, step: float = 0.25) -> None:
        """Let time pass; the scheduler ticks at every step at which something came or is due."""
        for _ in range(round(seconds / step)):
            self.now += step
            self._step(step)
            self.tick()

    def tick(self) -> None:
        """One tick of the scheduler, now."""
        assert self.scheduler is not None
        self._flush()
        self.wake_at = self.scheduler.tick(self.now)
        for watcher in self.watchers:
            watcher()

    def until(self, holds: Callable[[], bool], *, within: float = 120.0) -> float:
        """Let time pass until something holds; how long it took."""
        begun = self.now
        while not holds():
            assert self.now - begun < within, f"not within {within} s"
            self.advance(0.25)
        return self.now - begun

    def _step(self, step: float) -> None:
        for shards in self.shards.values():
            for shard in shards.values():
                shard.records += shard.arrivals_per_s * step
        for task in self.live():
            if task.state is TaskState.STAGING:
                if self.now - task.launched_at >= self.start_s and not task.hangs:
                    task.state, task.running_at = TaskState.RUNNING, self.now
                    self._update(task)
            elif task.state is TaskState.RUNNING and not task.hangs:
                self._work(task, step)
        if self.connected:
            self._offer()

    def _work(self, task: PaperTask, step: float) -> None:
        shards = self.shards.get(task.job, {})
        wanted = {each.shard: each.epoch for each in task.seen.shards} if task.seen else {}
        changed = False
        for name, epoch in wanted.items():
            if task.owned.get(name) != epoch and shards[name].epoch < epoch:
                shards[name].epoch = epoch
                task.owned[name] = epoch
                task.worked[name] = task.busy_s[name] = 0.0
                changed = True
        for name in list(task.owned):
            if (name not in wanted and name not in task.keeps) or shards[name].epoch != task.owned[name]:
                del task.owned[name]
                changed = True
        # The smallest backlog first: what it leaves of its share goes to the others, as with a worker that never idles.
        busy = sorted(
            (
                name
                for name in task.owned.keys() - task.stuck - task.restoring
                if shards[name].done < shards[name].records
            ),
            key=lambda name: shards[name].records - shards[name].done,
        )
        left = self.rate_per_s * step
        for waiting, name in zip(range(len(busy), 0, -1), busy, strict=True):
            shard = shards[name]
            done = min(shard.records - shard.done, left / waiting)
            left -= done
            shard.done += done
            task.worked[name] += done
            task.busy_s[name] += done / self.rate_per_s * self.cost_error()
            changed = changed or (task.job in self.complete and shard.done >= shard.records)
        if task.seen and task.seen.drain:
            self.end(task.id, TaskState.FINISHED)
        elif changed or self.now - task.reported_at >= 2.0:
            self._report(task)

    def _report(self, task: PaperTask) -> None:
        task.sequence += 1
        task.reported_at = self.now
        if task.mute:
            return
        shards = self.shards.get(task.job, {})
        complete = task.job in self.complete
        report = Report(
            job=task.job,
            worker=int(task.id.split(".")[2]),
            task_id=task.id,
            sequence=task.sequence,
            assignment_version=task.seen.version if task.seen else 0,
            revision="ab",
            owned=tuple(
                ShardReport(
                    shard=name,
                    epoch=epoch,
                    state=ShardState.FINISHED
                    if complete and shards[name].done >= shards[name].records
                    else ShardState.FAILED
                    if task.problem
                    else ShardState.RESTORING
                    if name in task.restoring
                    else ShardState.RUNNING,
                    problem=task.problem,
                    backlog_records=round(shards[name].records - shards[name].done),
                    end_records=round(shards[name].records),
                    records=round(task.worked[name]),
                    busy_s=task.busy_s[name],
                    checkpoint=CheckpointReport(id=1, age_s=1.0, bytes=1, duration_s=0.1),
                    audit=AuditCounters(records_in=round(shards[name].done)),
                )
                for name, epoch in sorted(task.owned.items())
            ),
            known=tuple(KnownShard(shard=name, end_records=round(shard.records)) for name, shard in shards.items()),
            complete=complete,
        )
        if self.agents[task.launch.agent_id].reachable:
            self._deliver(Message(agent_id=task.launch.agent_id, executor_id=ExecutorId(task.id), data=encode(report)))

    def _free(self, agent: PaperAgent) -> Resources:
        used = [task.launch.resources for task in self.live() if task.launch.agent_id == agent.id]
        used += [offer.resources for offer in self.offers.values() if offer.agent_id == agent.id]
        return Resources(
            cpus_m=agent.total.cpus_m - sum(each.cpus_m for each in used),
            mem_m=agent.total.mem_m - sum(each.mem_m for each in used),
            disk_m=agent.total.disk_m - sum(each.disk_m for each in used),
            gpus_m=agent.total.gpus_m - sum(each.gpus_m for each in used),
        )

    def _offer(self) -> None:
        made = []
        for role in self.roles:
            if role in self.suppressed:
                continue
            for agent in self.agents.values():
                free = self._free(agent)
                if self.hides_gpus and agent.total.gpus_m and "GPU_RESOURCES" not in self.capabilities:
                    continue
                if not agent.reachable or (free.cpus_m < 10 and free.mem_m < 32_000):
                    continue
                refused, until = self.filters.get((agent.id, role), (Resources(), 0.0))
                if until > self.now and refused.cpus_m >= free.cpus_m and refused.mem_m >= free.mem_m:
                    continue
                self._offered += 1
                offer = Offer(
                    id=OfferId(f"o{self._offered}"),
                    agent_id=agent.id,
                    hostname=f"{agent.id}.example",
                    resources=free,
                    received_at=self.now,
                    role=role,
                    attributes=agent.attributes,
                    domain=agent.domain,
                )
                self.offers[offer.id] = offer
                made.append(offer)
        if made:
            self._deliver(Offers(offers=tuple(made)))

    def _status(self, task: PaperTask, *, reason: str | None = None, uuid: str | None = None) -> TaskStatus:
        return TaskStatus(task_id=task.id, state=task.state, agent_id=task.launch.agent_id, reason=reason, uuid=uuid)

    def _update(self, task: PaperTask, *, reason: str | None = None) -> None:
        self._uuids += 1
        status = self._status(task, reason=reason, uuid=f"u{self._uuids}")
        assert status.uuid is not None
        self.unacknowledged[status.uuid] = status
        if self.agents[task.launch.agent_id].reachable:
            self._tell(status)

    def resend(self) -> None:
        """Agents repeat what is not acknowledged."""
        for status in list(self.unacknowledged.values()):
            self._tell(status)

    def _tell(self, status: TaskStatus) -> None:
        self._deliver(Update(status=status))

    def _deliver(self, event: MasterEvent) -> None:
        self.outbox.append(event)

    def _flush(self) -> None:
        assert self.scheduler is not None
        events, self.outbox = self.outbox, []
        if self.connected and not self.half_open:
            for event in events:
                self.scheduler.deliver(event)


def started(cluster: PaperCluster, *specs: JobSpec) -> Scheduler:
    """A scheduler with these jobs submitted, after its first tick."""
    scheduler = cluster.attach(MemoryStore())
    receipts = [scheduler.submit(spec) for spec in specs]
    cluster.tick()
    for receipt in receipts:
        receipt.result(timeout=0)
    return scheduler
