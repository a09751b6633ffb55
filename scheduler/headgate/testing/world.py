"""One world: everything a seed makes, from the agents to the weather, and its phases.

First the storm: faults, and every rule holds at every step.  Then the calm: nothing fails any more, and within a
bounded time all must be well and stay so.  Then, in a world that lasts longer, the lull: nothing happens but what
repeats itself, which is left out in leaps of up to hours, with a look after each; and another storm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from headgate.adapters.memory_store import MemoryStore
from headgate.loop import IDLE_S
from headgate.model.call import Framework
from headgate.model.job import JobSpec
from headgate.model.settings import Settings
from headgate.simulator.agent import AgentSettings
from headgate.simulator.master import MasterSettings
from headgate.simulator.messages import Output, StreamEnd, StreamEvent
from headgate.testing.calamities import Calamities
from headgate.testing.containers import Containers
from headgate.testing.faults import Fault, Weather, draw, shown
from headgate.testing.launch_rules import (
    BackoffKept,
    IntentSaved,
    OnePerSlot,
    Reconciled,
    SavedBeforeAcknowledged,
    WithinOffers,
)
from headgate.testing.machine_clock import MachineClock
from headgate.testing.offer_rules import NoMoreThanWished, NothingHoarded
from headgate.testing.operators import Operators
from headgate.testing.randomness import Randomness
from headgate.testing.rest import Rest
from headgate.testing.rules import Rule, Rules, Terms, Violation, Written
from headgate.testing.scheduler_host import Machine, SchedulerHost, Seams
from headgate.testing.seasons import draw_hop, draw_storms
from headgate.testing.shard_log import ShardLogs
from headgate.testing.shard_rules import OnceOnly, OneFramework, OneOwner
from headgate.testing.source import Source
from headgate.testing.stored_records import StoredRecords
from headgate.testing.target_rules import RightOneKilled, SilenceHeard, WhereItMay
from headgate.testing.timeline import BEGIN, Timeline
from headgate.testing.town import Town
from headgate.testing.trace import Trace
from headgate.testing.weathered_store import StoreRoom
from headgate.testing.workload import RATE_PER_S, People, draw_agents, draw_jobs, draw_source

HEARTBEATS_S: Final = (5.0, 15.0)
"""Of the master: quick ones, for more of everything in a storm, and what masters do by default."""
SETTLED_S: Final = 3.0
"""All must be well for so long."""
STEPS_PER_S_MAX: Final = 2000
"""More steps per second of virtual time, over a whole phase, and the world is running in circles."""
RULES: Final[tuple[type[Rule], ...]] = (
    Terms,
    OneFramework,
    WithinOffers,
    IntentSaved,
    OnePerSlot,
    Reconciled,
    SavedBeforeAcknowledged,
    BackoffKept,
    WhereItMay,
    RightOneKilled,
    SilenceHeard,
    NothingHoarded,
    NoMoreThanWished,
    OneOwner,
    OnceOnly,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`storm_s`: how long things go wrong.  `calm_s`: within so long after it all must be well.

    `span_s`: how long the world lasts, with `storm_s` of storms spread over it; None: one storm, and the end.
    `weights` are those of the faults, if they are not to be drawn from the seed; so are `specs` the jobs, `agents`
    the agents and `heartbeat_s` the interval of the master's heartbeats.
    """

    storm_s: float = 90.0
    calm_s: float = 600.0
    span_s: float | None = None
    weights: Mapping[Fault, float] | None = None
    specs: tuple[JobSpec, ...] | None = None
    agents: tuple[AgentSettings, ...] | None = None
    heartbeat_s: float | None = None
    seams: Seams = field(default_factory=Seams)


class NeverAtRest(Violation):
    """Nothing fails any more, and all is not well."""

    def __init__(self, seconds: float, missing: list[str]) -> None:
        super().__init__("Rest", f"after {seconds:.0f} s of calm: {'; '.join(missing)}")


class World:
    """What one seed makes.  `run` it once."""

    def __init__(self, seed: int, options: Options) -> None:
        self._options = options
        randomness = Randomness(seed)
        workload = randomness.child("workload")
        self.timeline = Timeline()
        self.trace = Trace(self.timeline)
        weights = draw(randomness.child("weather")) if options.weights is None else options.weights
        self.weather = Weather(weights, randomness.below("weather"))
        store = StoredRecords()
        rules = Rules(store, [rule(store, self.timeline) for rule in RULES])
        specs = draw_jobs(workload) if options.specs is None else list(options.specs)
        agents = draw_agents(workload, specs) if options.agents is None else options.agents
        self._sources: dict[str, Source] = {spec.name: draw_source(workload, self.timeline, spec) for spec in specs}
        heartbeat_s = options.heartbeat_s or randomness.child("heartbeat").choice(HEARTBEATS_S)
        expire = Fault.OFFERS_EXPIRE in self.weather.weights
        self._town = Town(
            self.timeline,
            randomness,
            MasterSettings(
                agent_ping_timeout=3.0,
                max_agent_ping_timeouts=3,
                agent_reregister_timeout=30.0,
                heartbeat_interval=heartbeat_s,
                offer_timeout=workload.uniform(0.5, 10.0) if expire else None,
            ),
            agents,
        )
        logs = ShardLogs(self.timeline, self.weather, lambda *entry: rules.see(Written(*entry)))
        self._containers = Containers(
            timeline=self.timeline,
            cluster=self._town.cluster,
            weather=self.weather,
            logs=logs,
            sources=self._sources,
            rate_per_s=RATE_PER_S,
            trace=self.trace,
            settle=self._town.settle,
        )
        self._room = StoreRoom(self.timeline)
        clock = MachineClock(self.timeline)
        self._operators = Operators(self._town, self.timeline)
        self._host = SchedulerHost(
            Machine(
                timeline=self.timeline,
                clock=clock,
                cluster=self._town.cluster,
                weather=self.weather,
                disk=MemoryStore(),
                room=self._room,
                settings=Settings(
                    framework=Framework(user="headgate", trial_s=600.0), bundles_url="http://10.0.0.100/bundles"
                ),
                seams=options.seams,
                rules=rules,
                trace=self.trace,
                heartbeat_s=heartbeat_s,
                audits=randomness.child("audits").random() < 0.15,
                idle_s=IDLE_S if randomness.child("wake-ups").random() < 0.3 else inf,
                settle=self._town.settle,
            )
        )
        self._people = People(self.timeline, self.trace, lambda: self._host.scheduler)
        self._people.wake = self._wake_leader
        self._minds = randomness.child("minds")
        self._rest = Rest(
            host=self._host,
            store=store,
            containers=self._containers,
            logs=logs,
            sources=self._sources,
            people=self._people,
            town=self._town,
        )
        self._town.perform = self._perform
        self._town.open()
        self._host.start()
        for spec in specs:
            self._people.submit(spec)
        self._calamities = Calamities(
            timeline=self.timeline,
            weather=self.weather,
            trace=self.trace,
            town=self._town,
            containers=self._containers,
            host=self._host,
            room=self._room,
            sources=self._sources,
            operators=self._operators,
            clock=clock,
            roles=sorted({spec.role for spec in specs}),
        )
        self._seasons = randomness.child("seasons")
        self._storms = draw_storms(self._seasons, options.storm_s, options.span_s)
        self._thoughts = 0
        self.steps = 0
        self.calm_after_s: float | None = None
        """The longest it took until all was well, once it was."""

    @property
    def faults(self) -> str:
        """What may go wrong in this world, for people."""
        return shown(self.weather.weights)

    def run(self) -> None:
        """All phases.

        Raises:
            Violation: a rule is broken, or nothing comes to rest.
            Exception: whatever the program under test raises where it must not.
        """
        for storm in self._storms:
            self._lull(BEGIN + storm.begin)
            self._storm(storm.seconds)
            self._calm(last=storm is self._storms[-1])
            self._come_to_rest()
        if self._options.span_s is not None:
            self._lull(BEGIN + self._options.span_s)

    def _storm(self, seconds: float) -> None:
        self.trace.say("world", "storm")
        self.weather.rise()
        for source in self._sources.values():
            source.go_on()
        self._calamities.begin()
        self._people_think()
        self._until(self.timeline.now() + seconds)

    def _calm(self, *, last: bool) -> None:
        self.trace.say("world", "calm")
        self.weather.calm()
        self._room.come_back()
        self._town.mend()
        self._operators.mend()
        self._people.resume_some(self._minds)
        self._host.retire()
        for source in self._sources.values():
            if last:
                source.close()
            else:
                source.rest()

    def _come_to_rest(self, *, settled_s: float = SETTLED_S) -> None:
        begun = self.timeline.now()
        well_since: float | None = None
        while well_since is None or self.timeline.now() - well_since < settled_s:
            self._until(self.timeline.now() + 1.0)
            missing = self._rest.missing()
            now = self.timeline.now()
            well_since = None if missing else well_since or now
            if missing and now - begun > self._options.calm_s:
                raise NeverAtRest(now - begun, missing)
        self.calm_after_s = max(self.calm_after_s or 0.0, well_since - begun)

    def _lull(self, until: float) -> None:
        """Heartbeats, pings and reports say what they said before: leave them out, and look from time to time."""
        while (left_s := until - self.timeline.now()) > 0.0:
            hop_s = draw_hop(self._seasons, left_s)
            self.timeline.leap(hop_s)
            for each in self._host.living:
                each.leapt(hop_s)
            self.trace.say("world", f"{hop_s:.0f} s later")
            self._come_to_rest(settled_s=1.0)

    def _until(self, instant: float) -> None:
        bound = self.steps + STEPS_PER_S_MAX * max(10.0, instant - self.timeline.now())
        while (next_at := self.timeline.next_at()) is not None and next_at <= instant:
            self.timeline.step()
            self.steps += 1
            if self.steps > bound:
                raise Violation("Steps", f"{bound:.0f} steps do not bring the world to {instant - BEGIN:.1f} s")
        self.timeline.at(instant, _nothing)
        while self.timeline.now() < instant:
            self.timeline.step()

    def _people_think(self) -> None:
        self._thoughts += 1
        mine = self._thoughts

        def think() -> None:
            if not self.weather.is_calm and mine == self._thoughts:
                self._people.change_mind(self._minds)
                self._people_think()

        self.timeline.after(self._minds.expovariate(1 / 40.0), think)

    def _wake_leader(self) -> None:
        if self._host.leader is not None:
            self._host.leader.wake()

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


def _nothing() -> None:
    """Time passes."""
