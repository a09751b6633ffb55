"""A stage in virtual time: Headgate's own scheduler and the simulated Mesos in one thread, with every rule in force.

Nothing sleeps, so a story of days takes milliseconds; equal stories are told in equal ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from fnmatch import fnmatchcase
from math import inf
from types import TracebackType
from typing import Final

from headgate.adapters.memory_store import MemoryStore
from headgate.core.explain import cause
from headgate.errors import BadJob, UnknownJob
from headgate.loop import Scheduler
from headgate.model.call import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Framework,
    Kill,
    Reconcile,
    Revive,
    Suppress,
)
from headgate.model.command import Receipt
from headgate.model.event import MasterEvent, Offers, Subscribed, Update
from headgate.model.ids import AgentId, JobName, TaskId, find_attempt
from headgate.model.settings import Settings
from headgate.simulator.agent import AgentSettings
from headgate.simulator.master import MasterSettings
from headgate.simulator.messages import Output, StreamEnd, StreamEvent
from headgate.testing.containers import Containers
from headgate.testing.faults import Weather
from headgate.testing.machine_clock import MachineClock
from headgate.testing.operators import Operators
from headgate.testing.randomness import Randomness
from headgate.testing.rules import Happening, Heard, Rules, Sent, Written
from headgate.testing.scheduler_host import Machine, SchedulerHost, Seams
from headgate.testing.shard_log import ShardLogs
from headgate.testing.source import Source
from headgate.testing.stored_records import StoredRecords
from headgate.testing.story.acts import (
    Act,
    AgentAct,
    AgentJoins,
    AgentVerb,
    FrameworkEnds,
    FrameworkStarts,
    JobCancelled,
    JobScaled,
    JobSubmitted,
    Maintenance,
    MasterFailsOver,
    Quota,
    SchedulerDies,
    StreamBreaks,
    TaskDies,
    TaskSays,
)
from headgate.testing.story.expectations import Seen, Sight
from headgate.testing.story.stage import CannotDo, StageFailed
from headgate.testing.timeline import BEGIN, Timeline
from headgate.testing.town import Town
from headgate.testing.trace import Trace
from headgate.testing.weathered_store import StoreRoom
from headgate.testing.words import call_text, event_text
from headgate.testing.worker import VirtualWorker
from headgate.testing.world import RULES

PATIENCE_S: Final = 60.0
FAILOVER_S: Final = 2.0
ANSWER_S: Final = 60.0
RATE_PER_S: Final = 1000.0
NOTES: Final = 8
"""Of each job's history, to explain a failure."""


class VirtualStage:
    """See `Stage`.  With `scripted` the tasks of jobs are silent until the story lets them say something; without, they
    come up, work and report by themselves, and a story lets them fail.

    `settings` changes the scheduler's patience; `seed` what is random: delays of the network, starts of containers.

    Any step may raise `rules.Violation`: the scheduler broke a rule.
    """

    patience_s = PATIENCE_S

    def __init__(self, *, seed: int = 0, scripted: bool = False, settings: Settings | None = None) -> None:
        randomness = Randomness(seed)
        self._timeline = Timeline()
        self._trace = Trace(self._timeline)
        weather = Weather({}, randomness.below("weather"))
        store = StoredRecords()
        rules = Rules(store, [*(rule(store, self._timeline) for rule in RULES), _Watch(self)])
        self._sources: dict[str, Source] = {}
        master = MasterSettings()
        self._town = Town(self._timeline, randomness, master, [])
        self._scripted = scripted
        self._containers = Containers(
            timeline=self._timeline,
            cluster=self._town.cluster,
            weather=weather,
            logs=ShardLogs(self._timeline, weather, lambda *entry: rules.see(Written(*entry))),
            sources=self._sources,
            rate_per_s=RATE_PER_S,
            trace=self._trace,
            settle=self._town.settle,
            scripted=scripted,
        )
        self._operators = Operators(self._town, self._timeline)
        self._host = SchedulerHost(
            Machine(
                timeline=self._timeline,
                clock=MachineClock(self._timeline),
                cluster=self._town.cluster,
                weather=weather,
                disk=MemoryStore(),
                room=StoreRoom(self._timeline),
                settings=settings or Settings(framework=Framework(user="headgate"), bundles_url="http://10.0.0.100/b"),
                seams=Seams(),
                rules=rules,
                trace=self._trace,
                heartbeat_s=master.heartbeat_interval,
                idle_s=inf,
                audits=False,
                settle=self._town.settle,
            )
        )
        self._seen: list[Seen] = []
        self._jobs: dict[JobName, str] = {}
        self._waits: dict[JobName, str] = {}
        self._names: dict[AgentId, str] = {}
        self._addresses: dict[str, str] = {}
        self._town.perform = self._perform
        self._town.open()
        self._host.start()

    def __enter__(self) -> VirtualStage:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self.close()

    # ---- Stage

    @property
    def seen(self) -> Sequence[Seen]:
        """See `Stage`."""
        return self._seen

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler that leads.

        Raises:
            StageFailed: none does at the moment.
        """
        if self._host.scheduler is None:
            raise StageFailed("no scheduler runs at the moment")
        return self._host.scheduler

    def now(self) -> float:
        """See `Stage`."""
        return self._timeline.now() - BEGIN

    def blind_to(self, sight: Sight) -> str | None:
        """See `Stage`: everything is seen."""
        del sight
        return None

    def wait(self, until: Callable[[], bool], within_s: float) -> bool:
        """See `Stage`."""
        over_at = self._timeline.now() + within_s
        self._timeline.at(over_at, lambda: None)
        while not until():
            next_at = self._timeline.next_at()
            if next_at is None or next_at > over_at or self._timeline.now() >= over_at:
                return False
            self._timeline.step()
            self._look_at_jobs()
        return True

    def notes(self) -> Sequence[str]:
        """See `Stage`: the scheduler's own account of its jobs."""
        scheduler = self._host.scheduler
        jobs = () if scheduler is None else scheduler.view.jobs
        return [f"{job.name}: {note.text}" for job in jobs for note in job.history[-NOTES:]]

    def close(self) -> None:
        """See `Stage`."""
        for each in self._host.living:
            each.kill()

    def do(self, act: Act) -> None:
        """See `Stage`."""
        match act:
            case AgentJoins():
                self._join(act)
            case AgentAct():
                self._befall(act)
            case Maintenance():
                address = self._address(act.agent)
                self._sure(act, self._operators.plan_maintenance(address, in_s=act.in_s, for_s=act.for_s))
            case Quota(role=role, cpus=None):
                self._sure(act, self._operators.unlimit(role))
            case Quota(role=role, cpus=cpus):
                assert cpus is not None
                self._sure(act, self._operators.limit(role, cpus))
            case MasterFailsOver():
                self._fail_over()
            case SchedulerDies():
                self._host.kill()
            case StreamBreaks():
                self._break_stream(half_open=act.half_open)
            case JobSubmitted():
                self._submit(act)
            case JobScaled(job=name, workers=workers):
                self._ask(act, lambda scheduler: scheduler.scale(JobName(name), workers))
            case JobCancelled(job=name):
                self._ask(act, lambda scheduler: scheduler.cancel(JobName(name)))
            case TaskSays():
                self._say(act)
            case TaskDies(task=task):
                self._task(task).die()
            case FrameworkStarts() | FrameworkEnds():
                raise CannotDo("Headgate is the framework here; tell stories of others on the simulated Mesos")

    # ---- what is done

    def _join(self, act: AgentJoins) -> None:
        if act.name in self._addresses:
            raise StageFailed(f"there is an agent {act.name} already")
        number = len(self._addresses) + 1
        settings = AgentSettings(
            resources=act.resources,
            attributes=act.attributes,
            hostname=act.name,
            ip=f"10.0.{number >> 8}.{number & 255}",
        )
        self._addresses[act.name] = settings.address
        self._town.add(settings)

    def _befall(self, act: AgentAct) -> None:
        address = self._address(act.agent)
        match act.verb:
            case AgentVerb.DIES:
                self._town.kill_agent(address)
                self._containers.agent_gone(address)
            case AgentVerb.RETURNS:
                self._town.start_agent(address)
            case AgentVerb.CUT_OFF:
                self._town.stop_agent(address)
            case AgentVerb.BACK:
                self._town.continue_agent(address)
            case AgentVerb.LOST:
                self._containers.machine_gone(address)
                self._town.kill_agent(address, forget=True)
            case AgentVerb.GONE:
                self._sure(act, self._operators.write_off(address))
            case AgentVerb.DRAINED:
                self._sure(act, self._operators.drain(address))
            case AgentVerb.DEACTIVATED:
                self._sure(act, self._operators.deactivate(address))
            case AgentVerb.REACTIVATED:
                self._operators.reactivate()

    def _fail_over(self) -> None:
        self._town.kill_master()
        for each in self._host.living:
            if each.link is not None:
                each.link.cut(noticed=False)
        self._timeline.after(FAILOVER_S, self._town.start_master)

    def _break_stream(self, *, half_open: bool) -> None:
        link = None if self._host.leader is None else self._host.leader.link
        if link is None:
            raise StageFailed("no scheduler is connected")
        if half_open:
            link.go_silent()
        else:
            link.cut(noticed=True)

    def _submit(self, act: JobSubmitted) -> None:
        source = Source(self._timeline, finite=True)
        for number in range(act.shards):
            source.add(f"s{number}", records=act.records, rate_per_s=0.0)
        source.close()
        self._sources[act.spec.name] = source
        self._ask(act, lambda scheduler: scheduler.submit(act.spec))

    def _ask(self, act: Act, command: Callable[[Scheduler], Future[Receipt]]) -> None:
        """Give a command to whoever leads, and wait for the receipt."""
        self.wait(lambda: self._host.scheduler is not None, ANSWER_S)
        answer = command(self.scheduler)
        assert self._host.leader is not None
        self._host.leader.wake()
        if not self.wait(answer.done, ANSWER_S):
            raise StageFailed(f"{act}: no answer within {ANSWER_S:.0f} s")
        try:
            answer.result(timeout=0)
        except (BadJob, UnknownJob) as refusal:
            raise StageFailed(f"{act}: {refusal}") from refusal

    def _say(self, act: TaskSays) -> None:
        if not self._scripted and not act.state.terminal:
            raise CannotDo("tasks come up by themselves here; take a stage with scripted tasks")
        self.wait(lambda: bool(self._tasks(act.task)), PATIENCE_S)
        self._task(act.task).say(act.state.value, act.message)

    # ---- what is where

    def _address(self, name: str) -> str:
        if name not in self._addresses:
            raise StageFailed(f"there is no agent {name}; there are {', '.join(self._addresses) or 'none'}")
        return self._addresses[name]

    def _tasks(self, pattern: str) -> list[VirtualWorker]:
        return [each for each in self._containers.workers if fnmatchcase(each.task_id, pattern)]

    def _task(self, pattern: str) -> VirtualWorker:
        """The newest task that fits."""
        found = self._tasks(pattern)
        if not found:
            running = ", ".join(each.task_id for each in self._containers.workers if each.task_id)
            raise StageFailed(f"no task {pattern} runs; there are {running or 'none'}")
        return found[-1]

    @staticmethod
    def _sure(act: Act, done: str | None) -> None:
        if done is None:
            raise StageFailed(f"{act}: the master refused")

    # ---- what is seen

    def heard(self, event: MasterEvent) -> None:
        """An event has reached the scheduler."""
        match event:
            case Subscribed():
                self._see(Sight.REGISTERED, event_text(event))
            case Offers(offers=offers):
                self._names.update((offer.agent_id, offer.hostname) for offer in offers)
            case Update(status=status):
                agent = None if status.agent_id is None else self._names.get(status.agent_id)
                self._see(Sight.TASK, event_text(event), *_names(status.task_id), state=status.state.value, agent=agent)

    def sent(self, call: Call) -> None:
        """A call has reached the master."""
        text = call_text(call)
        match call:
            case Accept(launches=launches):
                for launch in launches:
                    agent = self._names.get(launch.agent_id)
                    self._see(Sight.LAUNCHED, f"{text} ({agent})", *_names(launch.task_id), agent=agent)
            case Decline(refuse_s=refuse_s):
                self._see(Sight.DECLINED, text, number=refuse_s)
            case Kill(task_id=task_id):
                self._see(Sight.KILLED, text, *_names(task_id))
            case Suppress(roles=roles):
                self._see(Sight.SUPPRESSED, text, *roles)
            case Revive(roles=roles):
                self._see(Sight.REVIVED, text, *roles)
            case Reconcile(tasks=tasks):
                self._see(Sight.RECONCILED, text, *(each.task_id for each in tasks), number=len(tasks))
            case Acknowledge(task_id=task_id):
                self._see(Sight.ACKNOWLEDGED, text, *_names(task_id))

    def _look_at_jobs(self) -> None:
        scheduler = self._host.scheduler
        for job in scheduler.view.jobs if scheduler is not None else ():
            if self._jobs.get(job.name) != job.state.value:
                self._jobs[job.name] = job.state.value
                self._see(Sight.JOB, f"job {job.name} is {job.state.value}", job.name, state=job.state.value)
            why = "" if job.waiting is None else cause(job.waiting)
            if self._waits.get(job.name, "") != why:
                self._waits[job.name] = why
                if why:
                    self._see(Sight.WAITS, f"job {job.name} waits: {why}", job.name, state=why)

    def _see(
        self,
        sight: Sight,
        text: str,
        *names: str,
        state: str | None = None,
        agent: str | None = None,
        number: float | None = None,
    ) -> None:
        self._seen.append(
            Seen(at=self.now(), sight=sight, text=text, names=names, state=state, agent=agent, number=number)
        )

    def _perform(self, address: str | None, output: Output) -> None:
        if address is not None:
            self._containers.perform(address, output)
            return
        for each in self._host.living:
            link = each.link
            match output:
                case StreamEvent(stream=stream) if link is not None and link.stream == stream:
                    link.receive(output.event)
                case StreamEnd(stream=stream) if link is not None and link.stream == stream:
                    link.ended()


def _names(task_id: TaskId) -> tuple[str, ...]:
    """What a task can be found by: its id, and its job."""
    attempt = find_attempt(task_id)
    return (task_id,) if attempt is None else (task_id, attempt.job)


class _Watch:
    """Tells a stage what crosses the border between scheduler and master."""

    def __init__(self, stage: VirtualStage) -> None:
        self._stage = stage

    def see(self, happened: Happening) -> None:
        match happened:
            case Heard(event=event):
                self._stage.heard(event)
            case Sent(call=call):
                self._stage.sent(call)
