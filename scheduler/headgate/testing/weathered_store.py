"""A record store with faults in front of a memory store that outlives every scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from headgate.errors import StaleLeader, StoreUnavailable
from headgate.ports import RecordStore
from headgate.testing.faults import Fault, Weather
from headgate.testing.randomness import log_uniform
from headgate.testing.timeline import Timeline
from headgate.testing.trace import Trace

SLOW_S: Final = (0.1, 20.0)

Changes = Mapping[str, bytes | None]


class StoreRoom:
    """Where the store is: whether anybody gets through to it."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._away_until = 0.0

    def go_away(self, seconds: float) -> None:
        """Answer nobody for a while."""
        self._away_until = max(self._away_until, self._timeline.now() + seconds)

    def come_back(self) -> None:
        """Answer again."""
        self._away_until = 0.0

    @property
    def is_away(self) -> bool:
        """Whether it answers nobody."""
        return self._timeline.now() < self._away_until


class WeatheredStore:
    """A `ports.RecordStore` as one scheduler process sees it.

    `effect` is called before and after every write, `landed` with what a write has changed, its term, and
    whether the process will hear that it landed; `hindered` with how long the process has to wait for it, or with
    nothing when it gets no answer.
    """

    def __init__(
        self,
        disk: RecordStore,
        *,
        room: StoreRoom,
        weather: Weather,
        name: str,
        trace: Trace,
        effect: Callable[[], None],
        landed: Callable[[Changes, int, bool], None],
        hindered: Callable[[float], None],
    ) -> None:
        self._disk = disk
        self._room = room
        self._weather = weather
        self._name = name
        self._trace = trace
        self._effect = effect
        self._landed = landed
        self._hindered = hindered

    def load(self, prefix: str) -> Mapping[str, bytes]:
        """See the port."""
        self._answer("load")
        return self._disk.load(prefix)

    def write(self, changes: Changes, *, term: int) -> None:
        """See the port."""
        self._effect()
        self._answer("write")
        try:
            self._disk.write(changes, term=term)
        except StaleLeader:
            self._trace.say(self._name, f"write of term {term} refused: {', '.join(changes)}")
            raise
        self._trace.say(self._name, f"saved {', '.join(key if changes[key] else f'-{key}' for key in changes)}")
        silent = self._weather.happens(Fault.STORE_SILENT)
        self._landed(changes, term, not silent)
        if silent:
            self._trace.say(self._name, "the store says nothing of a write that landed")
            self._hindered(0.0)
            raise StoreUnavailable("no answer to a write")
        if self._weather.happens(Fault.STORE_SLOW):
            seconds = log_uniform(self._weather.chance(Fault.STORE_SLOW), *SLOW_S)
            self._trace.say(self._name, f"the store takes {seconds:.1f} s for a write")
            self._hindered(seconds)
        self._effect()

    def new_term(self) -> int:
        """See the port."""
        self._answer("new term")
        return self._disk.new_term()

    def close(self) -> None:
        """See the port."""

    def _answer(self, what: str) -> None:
        if self._room.is_away or self._weather.happens(Fault.STORE_REFUSES):
            self._trace.say(self._name, f"the store refuses a {what}")
            self._hindered(0.0)
            raise StoreUnavailable(f"no answer to a {what}")
