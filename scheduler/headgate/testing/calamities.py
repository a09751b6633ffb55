"""Faults that come by the clock: each kind at its own instants, on a victim drawn by its own generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from headgate.testing.containers import Containers
from headgate.testing.faults import PER_MINUTE, Fault, Weather
from headgate.testing.machine_clock import MachineClock
from headgate.testing.operators import Operators
from headgate.testing.randomness import log_uniform
from headgate.testing.scheduler_host import SchedulerHost
from headgate.testing.source import Source
from headgate.testing.timeline import Timeline
from headgate.testing.town import Town
from headgate.testing.trace import Trace
from headgate.testing.weathered_store import StoreRoom

SOON_S: Final = (0.5, 60.0)
STEP_S: Final = (0.1, 120.0)
LAST_STATES: Final = ("TASK_FAILED", "TASK_FINISHED", "TASK_KILLED", "TASK_LOST")
"""What a worker may say when it ends without having been asked to."""


class Calamities:
    """Makes them happen from `begin` until the weather is calm."""

    def __init__(
        self,
        *,
        timeline: Timeline,
        weather: Weather,
        trace: Trace,
        town: Town,
        containers: Containers,
        host: SchedulerHost,
        room: StoreRoom,
        sources: Mapping[str, Source],
        operators: Operators,
        clock: MachineClock,
        roles: Sequence[str],
    ) -> None:
        self._timeline = timeline
        self._weather = weather
        self._trace = trace
        self._town = town
        self._containers = containers
        self._host = host
        self._room = room
        self._sources = sources
        self._operators = operators
        self._clock = clock
        self._roles = roles
        self._acts: Final[Mapping[Fault, Callable[[], str | None]]] = {
            Fault.WORKER_DIES: self._worker_dies,
            Fault.WORKER_STALLS: self._worker_stalls,
            Fault.WORKER_HANGS: self._worker_hangs,
            Fault.AGENT_DIES: self._agent_dies,
            Fault.AGENT_STOPS: self._agent_stops,
            Fault.AGENT_LOST: self._agent_lost,
            Fault.MASTER_DIES: self._master_dies,
            Fault.STREAM_DROPS: self._stream_drops,
            Fault.STREAM_SILENT: self._stream_silent,
            Fault.SCHEDULER_STALLS: self._scheduler_stalls,
            Fault.SECOND_LEADER: self._second_leader,
            Fault.STORE_AWAY: self._store_away,
            Fault.BURST: self._burst,
            Fault.NEW_SHARD: self._new_shard,
            Fault.WORKER_QUITS: self._worker_quits,
            Fault.CLOCK_STEPS: self._clock_steps,
            Fault.AGENT_DRAINED: self._agent_drained,
            Fault.AGENT_DEACTIVATED: self._agent_deactivated,
            Fault.AGENT_WRITTEN_OFF: self._agent_written_off,
            Fault.MAINTENANCE: self._maintenance,
            Fault.QUOTA: self._quota,
        }
        assert self._acts.keys() == PER_MINUTE.keys()
        self._storm = 0

    def begin(self) -> None:
        """A storm begins."""
        self._storm += 1
        for fault in PER_MINUTE:
            self._plan(fault)

    def _plan(self, fault: Fault) -> None:
        delay_s, storm = self._weather.next_in_s(fault), self._storm
        if delay_s is not None:
            self._timeline.after(delay_s, lambda: self._strike(fault, storm))

    def _strike(self, fault: Fault, storm: int) -> None:
        if self._weather.is_calm or storm != self._storm:
            return
        done = self._acts[fault]()
        if done is not None:
            self._weather.counted[fault] += 1
            self._trace.say("fault", f"{fault.value}: {done}")
        self._plan(fault)

    def _later(self, fault: Fault, action: Callable[[], None]) -> float:
        """Undo it after a while; how long that is.  The calm may come first, and mends everything."""
        delay_s, storm = log_uniform(self._weather.chance(fault), *SOON_S), self._storm
        self._timeline.after(delay_s, lambda: None if self._weather.is_calm or storm != self._storm else action())
        return delay_s

    def _worker_dies(self) -> str | None:
        if not self._containers.workers:
            return None
        victim = self._weather.chance(Fault.WORKER_DIES).choice(self._containers.workers)
        victim.die()
        return victim.task_id

    def _worker_stalls(self) -> str | None:
        if not self._containers.workers:
            return None
        chance = self._weather.chance(Fault.WORKER_STALLS)
        victim, seconds = chance.choice(self._containers.workers), log_uniform(chance, *SOON_S)
        victim.process.stall(seconds)
        return f"{victim.task_id} for {seconds:.1f} s"

    def _worker_hangs(self) -> str | None:
        if not self._containers.workers:
            return None
        victim = self._weather.chance(Fault.WORKER_HANGS).choice(self._containers.workers)
        victim.process.stall(math.inf)
        return victim.task_id

    def _agent_dies(self) -> str | None:
        address = self._weather.chance(Fault.AGENT_DIES).choice(self._town.addresses)
        if not self._town.kill_agent(address):
            return None
        self._containers.agent_gone(address)
        return f"{address} for {self._later(Fault.AGENT_DIES, lambda: self._town.start_agent(address)):.1f} s"

    def _agent_stops(self) -> str | None:
        address = self._weather.chance(Fault.AGENT_STOPS).choice(self._town.addresses)
        self._town.stop_agent(address)
        return f"{address} for {self._later(Fault.AGENT_STOPS, lambda: self._town.continue_agent(address)):.1f} s"

    def _agent_lost(self) -> str | None:
        address = self._weather.chance(Fault.AGENT_LOST).choice(self._town.addresses)
        self._containers.machine_gone(address)
        self._town.kill_agent(address, forget=True)
        return f"{address}, a new one in {self._later(Fault.AGENT_LOST, lambda: self._town.start_agent(address)):.1f} s"

    def _master_dies(self) -> str | None:
        if not self._town.kill_master():
            return None
        for each in self._host.living:
            if each.link is not None:
                each.link.cut(noticed=False)
        return f"for {self._later(Fault.MASTER_DIES, self._town.start_master):.1f} s"

    def _stream_drops(self) -> str | None:
        leader = self._host.leader
        if leader is None or leader.link is None or leader.link.stream is None:
            return None
        noticed = self._weather.chance(Fault.STREAM_DROPS).random() < 0.5
        leader.link.cut(noticed=noticed)
        return "and the master notices" if noticed else "and the master does not notice"

    def _stream_silent(self) -> str | None:
        leader = self._host.leader
        if leader is None or leader.link is None:
            return None
        leader.link.go_silent()
        return "until heartbeats are missed"

    def _scheduler_stalls(self) -> str | None:
        chance = self._weather.chance(Fault.SCHEDULER_STALLS)
        seconds = log_uniform(chance, *SOON_S)
        if self._host.leader is None:
            return None
        self._host.leader.hinder(seconds)
        return f"for {seconds:.1f} s"

    def _second_leader(self) -> str | None:
        chance = self._weather.chance(Fault.SECOND_LEADER)
        stall_s = log_uniform(chance, *SOON_S) if chance.random() < 0.5 else 0.0
        if self._host.leader is not None:
            self._host.leader.hinder(stall_s)
        self._host.start()
        self._later(Fault.SECOND_LEADER, self._host.retire)
        return f"the old one stands still for {stall_s:.1f} s"

    def _store_away(self) -> str | None:
        seconds = log_uniform(self._weather.chance(Fault.STORE_AWAY), *SOON_S)
        self._room.go_away(seconds)
        return f"for {seconds:.1f} s"

    def _burst(self) -> str | None:
        chance = self._weather.chance(Fault.BURST)
        job = chance.choice(sorted(self._sources))
        shard, records = chance.choice(self._sources[job].shards), int(log_uniform(chance, 100, 30_000))
        self._sources[job].burst(shard, records)
        return f"{records} records in {shard} of {job}"

    def _new_shard(self) -> str | None:
        chance = self._weather.chance(Fault.NEW_SHARD)
        job = chance.choice(sorted(self._sources))
        shard = f"s{len(self._sources[job].shards)}"
        self._sources[job].add(
            shard, records=int(log_uniform(chance, 1, 10_000)), rate_per_s=chance.uniform(0.0, 100.0)
        )
        return f"{shard} of {job}"

    def _worker_quits(self) -> str | None:
        if not self._containers.workers:
            return None
        chance = self._weather.chance(Fault.WORKER_QUITS)
        victim, state = chance.choice(self._containers.workers), chance.choice(LAST_STATES)
        victim.process.run(lambda: victim.say(state, "enough"))
        return f"{victim.task_id} says {state}"

    def _clock_steps(self) -> str | None:
        chance = self._weather.chance(Fault.CLOCK_STEPS)
        seconds = chance.choice((-1, 1)) * log_uniform(chance, *STEP_S)
        self._clock.step(seconds)
        return f"the scheduler's by {seconds:.1f} s"

    def _agent_drained(self) -> str | None:
        address = self._weather.chance(Fault.AGENT_DRAINED).choice(self._town.addresses)
        if self._operators.drain(address) is None:
            return None
        return f"{address} for {self._later(Fault.AGENT_DRAINED, self._operators.reactivate):.1f} s at least"

    def _agent_deactivated(self) -> str | None:
        address = self._weather.chance(Fault.AGENT_DEACTIVATED).choice(self._town.addresses)
        if self._operators.deactivate(address) is None:
            return None
        return f"{address} for {self._later(Fault.AGENT_DEACTIVATED, self._operators.reactivate):.1f} s"

    def _agent_written_off(self) -> str | None:
        address = self._weather.chance(Fault.AGENT_WRITTEN_OFF).choice(self._town.addresses)
        return None if self._operators.write_off(address) is None else address

    def _maintenance(self) -> str | None:
        chance = self._weather.chance(Fault.MAINTENANCE)
        address, in_s = chance.choice(self._town.addresses), log_uniform(chance, 1.0, 7200.0)
        done = self._operators.plan_maintenance(address, in_s=in_s, for_s=600.0)
        return None if done is None else f"of {address} in {in_s:.0f} s"

    def _quota(self) -> str | None:
        chance = self._weather.chance(Fault.QUOTA)
        role, cpus = chance.choice(self._roles), chance.randint(0, 3)
        if self._operators.limit(role, cpus) is None:
            return None
        return f"{cpus} cpus for {role} for {self._later(Fault.QUOTA, self._operators.unlimit_all):.1f} s"
