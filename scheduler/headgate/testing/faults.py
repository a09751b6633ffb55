"""What can go wrong, and how often it does in one run.

Swarm testing: for each seed whole kinds are off and the others have weights of very different size, because a world in
which everything fails all the time never gets far enough to fail in an interesting way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Final

from headgate.testing.randomness import Randomness, log_uniform


class Fault(Enum):
    """Every kind; those above the line happen so many times a minute, those below with some chance at each occasion."""

    WORKER_DIES = "worker-dies"
    WORKER_STALLS = "worker-stalls"
    WORKER_HANGS = "worker-hangs"
    AGENT_DIES = "agent-dies"
    AGENT_STOPS = "agent-stops"
    AGENT_LOST = "agent-lost"
    MASTER_DIES = "master-dies"
    STREAM_DROPS = "stream-drops"
    STREAM_SILENT = "stream-silent"
    SCHEDULER_STALLS = "scheduler-stalls"
    SECOND_LEADER = "second-leader"
    STORE_AWAY = "store-away"
    BURST = "burst"
    NEW_SHARD = "new-shard"
    WORKER_QUITS = "worker-quits"
    CLOCK_STEPS = "clock-steps"
    AGENT_DRAINED = "agent-drained"
    AGENT_DEACTIVATED = "agent-deactivated"
    AGENT_WRITTEN_OFF = "agent-written-off"
    MAINTENANCE = "maintenance"
    QUOTA = "quota"
    # ----
    SCHEDULER_DIES = "scheduler-dies"
    STORE_REFUSES = "store-refuses"
    STORE_SILENT = "store-silent"
    STORE_SLOW = "store-slow"
    CALL_LOST = "call-lost"
    ANSWER_LOST = "answer-lost"
    START_FAILS = "start-fails"
    WORKER_DIES_WRITING = "worker-dies-writing"
    LOG_FAILS = "log-fails"
    MESSAGE_LOST = "message-lost"
    MESSAGE_DOUBLED = "message-doubled"
    MESSAGE_LATE = "message-late"
    OFFERS_EXPIRE = "offers-expire"
    WORKER_LINGERS = "worker-lingers"


PER_MINUTE: Final[Mapping[Fault, tuple[float, float]]] = {
    Fault.WORKER_DIES: (0.5, 12.0),
    Fault.WORKER_STALLS: (0.5, 6.0),
    Fault.WORKER_HANGS: (0.2, 4.0),
    Fault.AGENT_DIES: (0.3, 4.0),
    Fault.AGENT_STOPS: (0.3, 4.0),
    Fault.AGENT_LOST: (0.2, 2.0),
    Fault.MASTER_DIES: (0.3, 4.0),
    Fault.STREAM_DROPS: (0.5, 12.0),
    Fault.STREAM_SILENT: (0.2, 2.0),
    Fault.SCHEDULER_STALLS: (0.3, 6.0),
    Fault.SECOND_LEADER: (0.2, 3.0),
    Fault.STORE_AWAY: (0.3, 6.0),
    Fault.BURST: (0.5, 10.0),
    Fault.NEW_SHARD: (0.2, 2.0),
    Fault.WORKER_QUITS: (0.5, 6.0),
    Fault.CLOCK_STEPS: (0.2, 3.0),
    Fault.AGENT_DRAINED: (0.2, 2.0),
    Fault.AGENT_DEACTIVATED: (0.2, 2.0),
    Fault.AGENT_WRITTEN_OFF: (0.2, 1.0),
    Fault.MAINTENANCE: (0.2, 2.0),
    Fault.QUOTA: (0.2, 2.0),
}
PER_OCCASION: Final[Mapping[Fault, tuple[float, float]]] = {
    Fault.SCHEDULER_DIES: (0.001, 0.03),
    Fault.STORE_REFUSES: (0.005, 0.2),
    Fault.STORE_SILENT: (0.005, 0.2),
    Fault.STORE_SLOW: (0.005, 0.1),
    Fault.CALL_LOST: (0.005, 0.2),
    Fault.ANSWER_LOST: (0.005, 0.2),
    Fault.START_FAILS: (0.05, 0.5),
    Fault.WORKER_DIES_WRITING: (0.005, 0.1),
    Fault.LOG_FAILS: (0.01, 0.3),
    Fault.MESSAGE_LOST: (0.01, 0.5),
    Fault.MESSAGE_DOUBLED: (0.01, 0.5),
    Fault.MESSAGE_LATE: (0.01, 0.5),
    Fault.OFFERS_EXPIRE: (1.0, 1.0),
    Fault.WORKER_LINGERS: (0.05, 0.7),
}
assert {*PER_MINUTE, *PER_OCCASION} == set(Fault)

OFF: Final = 0.55
"""The chance that a kind does not happen at all in a run."""


def draw(randomness: Random) -> dict[Fault, float]:
    """The weights of one run, by kind; those that are off are left out."""
    ranges = {**PER_MINUTE, **PER_OCCASION}
    drawn = {}
    for fault in Fault:
        is_off, weight = randomness.random() < OFF, log_uniform(randomness, *ranges[fault])
        if not is_off:
            drawn[fault] = weight
    return drawn


def shown(weights: Mapping[Fault, float]) -> str:
    """The weights for people: 3.1/min, or 4.2%."""
    parts = [
        f"{fault.value} {weight:.1f}/min" if fault in PER_MINUTE else f"{fault.value} {weight:.1%}"
        for fault, weight in weights.items()
    ]
    return ", ".join(parts) or "none"


@dataclass(slots=True)
class Weather:
    """Says at each occasion whether something goes wrong.  After `calm` nothing does any more."""

    weights: Mapping[Fault, float]
    randomness: Randomness
    counted: Counter[Fault] = field(default_factory=Counter)
    is_calm: bool = False
    _generators: dict[Fault, Random] = field(default_factory=dict)

    def happens(self, fault: Fault) -> bool:
        """Whether it happens on this occasion."""
        if self.is_calm or fault not in self.weights or fault not in PER_OCCASION:
            return False
        happens = self.chance(fault).random() < self.weights[fault]
        self.counted[fault] += happens
        return happens

    def next_in_s(self, fault: Fault) -> float | None:
        """How long until it happens the next time; None: it never does."""
        if self.is_calm or fault not in self.weights:
            return None
        return self.chance(fault).expovariate(self.weights[fault] / 60.0)

    def chance(self, fault: Fault) -> Random:
        """The generator for everything about a kind."""
        if fault not in self._generators:
            self._generators[fault] = self.randomness.child(fault.value)
        return self._generators[fault]

    def calm(self) -> None:
        """From now on all goes well."""
        self.is_calm = True

    def rise(self) -> None:
        """What can go wrong does again."""
        self.is_calm = False
