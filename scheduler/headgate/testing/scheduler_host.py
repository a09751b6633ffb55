"""The machine the scheduler runs on: starts it, ticks it as `Scheduler.run` would, kills it, starts it again.

Every incarnation is a process of its own with its own line to the master and its own view of the store; what it leaves
behind is what the store holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final

from headgate.engines.millstream import MillstreamEngine
from headgate.errors import FrameworkRefused, StaleLeader, StoreUnavailable
from headgate.loop import GATHER_S, LOOK_AGAIN_S, Scheduler
from headgate.model.call import Call
from headgate.model.event import MasterEvent
from headgate.model.plan import Assign
from headgate.model.settings import Settings
from headgate.ports import Master, RecordStore
from headgate.simulator.cluster import Cluster
from headgate.steady_time import SteadyTime
from headgate.testing.faults import Fault, Weather
from headgate.testing.machine_clock import MachineClock
from headgate.testing.master_link import MasterLink
from headgate.testing.process import VirtualProcess
from headgate.testing.rules import Ended, Heard, Hindered, Leads, Rules, Saved, Sent, Stopped, Ticks, Violation
from headgate.testing.timeline import Timeline
from headgate.testing.trace import Trace
from headgate.testing.weathered_store import StoreRoom, WeatheredStore
from headgate.testing.words import event_text

ENGINES: Final = {"millstream": MillstreamEngine(default_store="/checkpoints")}
RESTART_S: Final = (0.2, 8.0)
TICK_S: Final = 0.001
"""What a tick takes at least."""


class Killed(BaseException):
    """The process is gone, between two side effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """Where a test puts something broken between the scheduler and its world, to see whether the rules notice."""

    store: Callable[[RecordStore], RecordStore] = field(default=lambda store: store)
    master: Callable[[Master], Master] = field(default=lambda master: master)
    settings: Callable[[Settings], Settings] = field(default=lambda settings: settings)
    event: Callable[[MasterEvent], MasterEvent] = field(default=lambda event: event)
    wake_at: Callable[[float | None], float | None] = field(default=lambda wake_at: wake_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What all incarnations share."""

    timeline: Timeline
    clock: MachineClock
    cluster: Cluster
    weather: Weather
    disk: RecordStore
    room: StoreRoom
    settings: Settings
    seams: Seams
    rules: Rules
    trace: Trace
    heartbeat_s: float
    idle_s: float
    """The longest it waits for its next tick; infinite: nothing hides that it does not say when that is to be."""
    audits: bool
    """Whether it is looked for things that it would do, had it been woken for them."""
    settle: Callable[[], None]


class Incarnation:
    """One scheduler process.  `link` and `scheduler` are None until the store has let it load.

    `ended` is told, once, when it has ended by itself.
    """

    def __init__(self, number: int, machine: Machine, ended: Callable[[Incarnation], None]) -> None:
        self.name = f"sched-{number}"
        self.process = VirtualProcess(machine.timeline)
        self.link: MasterLink | None = None
        self.scheduler: Scheduler | None = None
        self._machine = machine
        self._ended = ended
        self._wake_at = inf
        self._wakes = 0
        self._told = self._ticked_at = inf
        self._time = SteadyTime(machine.clock)
        self._begin()

    def wake(self, delay_s: float = GATHER_S) -> None:
        """Tick when so much time has passed, or before."""
        at = self._machine.timeline.now() + delay_s
        if at < self._wake_at:
            self._wake_at = at
            self._wakes += 1
            mine = self._wakes
            self.process.after(delay_s, lambda: self._tick() if mine == self._wakes else None)

    def leapt(self, seconds: float) -> None:
        """So much time was left out."""
        self._wake_at += seconds
        if self.link is not None:
            self.link.leapt(seconds)

    def hinder(self, seconds: float) -> None:
        """Something outside takes so much of its time, or with nothing, its chance to act now."""
        self._machine.rules.see(Hindered(self.name, self._machine.timeline.now() + seconds))
        if seconds:
            self.process.stall(seconds)

    def kill(self) -> None:
        """End it, whatever it is doing."""
        if self.process.alive:
            self._machine.trace.say(self.name, "killed")
            self._end()

    def _begin(self) -> None:
        machine = self._machine
        store = WeatheredStore(
            machine.disk,
            room=machine.room,
            weather=machine.weather,
            name=self.name,
            trace=machine.trace,
            effect=self._effect,
            landed=lambda changes, term, confirmed: machine.rules.see(Saved(changes, term, confirmed)),
            hindered=self.hinder,
        )
        proxy = _Proxy()
        try:
            scheduler = Scheduler(
                clock=machine.clock,
                master=machine.seams.master(proxy),
                store=machine.seams.store(store),
                engines=ENGINES,
                settings=machine.seams.settings(machine.settings),
            )
        except StoreUnavailable as problem:
            machine.trace.say(self.name, f"cannot start: {problem}")
            self.process.after(1.0, self._begin)
            return
        machine.trace.say(self.name, f"leads, as framework {scheduler.framework_id}")
        machine.rules.see(Leads(self.name, scheduler.framework_id))
        self.scheduler = scheduler
        self.link = MasterLink(
            process=self.process,
            cluster=machine.cluster,
            weather=machine.weather,
            name=self.name,
            framework=machine.settings.framework,
            framework_id=scheduler.framework_id,
            heartbeat_s=machine.heartbeat_s,
            clock=machine.clock,
            trace=machine.trace,
            settle=machine.settle,
            effect=self._effect,
            hindered=self.hinder,
            sent=self._sent,
            hear=self._hear,
        )
        proxy.link = self.link
        self.link.start()
        self.wake()

    def _sent(self, call: Call) -> None:
        self._machine.rules.see(Sent(self.name, call))

    def _hear(self, event: MasterEvent) -> None:
        assert self.scheduler is not None
        self._machine.rules.see(Heard(self.name, event))
        self._machine.trace.say(self.name, f"hears {event_text(event)}")
        self.scheduler.deliver(self._machine.seams.event(event))
        self.wake()

    def _effect(self) -> None:
        if self._machine.weather.happens(Fault.SCHEDULER_DIES):
            raise Killed

    def _tick(self) -> None:
        assert self.scheduler is not None
        self._wake_at = inf
        now = self._time.now()
        self._machine.rules.see(Ticks(self.name, now))
        self._audit(now)
        try:
            wake_at = self._machine.seams.wake_at(self.scheduler.tick(now))
        except Killed:
            self._machine.trace.say(self.name, "dies between two side effects")
        except (StaleLeader, FrameworkRefused) as problem:
            self._machine.trace.say(self.name, f"stops: {problem}")
            self._machine.rules.see(Stopped(self.name, problem))
        else:
            self._told, self._ticked_at = inf if wake_at is None else wake_at, now
            wait_s = self._machine.idle_s if wake_at is None else min(self._machine.idle_s, max(0.0, wake_at - now))
            if wait_s < inf:
                self.wake(max(wait_s, TICK_S))
            return
        self._end()
        self._ended(self)

    def _audit(self, now: float) -> None:
        """Had nothing come, there would be nothing to do before the instant that it named.

        How many workers there are and who owns which shard are no part of that: they follow measurements, which fade,
        and every report is a look at them.
        """
        if not self._machine.audits or not self._ticked_at + LOOK_AGAIN_S < now < self._told:
            return
        assert self.scheduler is not None
        plan = self.scheduler.foresee(now)
        wished = {job.name: job.workers_wished for job in self.scheduler.view.jobs}
        scaled = any(wished.get(job.name) != job.workers for job in plan.records.jobs.values())
        steps = [step for step in plan.steps if not isinstance(step, Assign)]
        if steps and not scaled:
            raise Violation("Wakes", f"{self.name} wanted to wake in {self._told - now:.1f} s, and has to do {steps}")

    def _end(self) -> None:
        self.process.end()
        self._machine.rules.see(Ended(self.name))
        if self.link is not None:
            self.link.close()


class SchedulerHost:
    """Keeps one scheduler leading; a second may be started while the first does not know that it is over."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._randomness = machine.weather.randomness.child("scheduler host")
        self._number = 0
        self._old: list[Incarnation] = []
        self.leader: Incarnation | None = None

    @property
    def living(self) -> list[Incarnation]:
        """All that run, the leader last."""
        return [each for each in (*self._old, self.leader) if each is not None and each.process.alive]

    @property
    def scheduler(self) -> Scheduler | None:
        """The leader's loop, once it runs."""
        return self.leader.scheduler if self.leader is not None and self.leader.process.alive else None

    def start(self) -> None:
        """Start a scheduler, which takes the lead."""
        self._number += 1
        self._old = self.living
        self.leader = Incarnation(self._number, self._machine, self._ended)

    def kill(self) -> None:
        """Kill the leader; another is started after a while."""
        if self.leader is not None and self.leader.process.alive:
            self.leader.kill()
            self._ended(self.leader)

    def retire(self) -> None:
        """Kill all that do not lead any more."""
        for each in self.living[:-1]:
            each.kill()

    def _ended(self, incarnation: Incarnation) -> None:
        if incarnation is self.leader:
            self._machine.timeline.after(self._randomness.uniform(*RESTART_S), self._restart)

    def _restart(self) -> None:
        if self.leader is None or not self.leader.process.alive:
            self.start()


class _Proxy:
    """The scheduler wants its master before the driver can be made, which wants the scheduler's framework id."""

    link: MasterLink | None = None

    def send(self, call: Call) -> None:
        assert self.link is not None
        self.link.send(call)
