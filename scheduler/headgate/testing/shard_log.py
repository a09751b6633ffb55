"""The shard logs that all workers share, as a service in memory: slow, and at times silent about what it did.

The rule is that of the real ones: entry *n* is created only if absent, so a writer that has not seen the newest entry
is shut out.  A claim is refused when the newest entry is of a higher epoch, or of another owner of the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headgate.testing.faults import Fault, Weather
from headgate.testing.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Output of records `begin`…`end`-1, which add up to `added`; `total` is what the shard adds up to so far."""

    begin: int
    end: int
    added: int
    total: int
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A claim, or with `commit` a checkpoint."""

    epoch: int
    owner: str
    commit: Commit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """It is in the log, as number `number`; `newest` is the commit to go on from."""

    number: int
    newest: Commit | None


class ShutOut:
    """Somebody else's entry is there."""


class Silent:
    """No answer: it may be in the log."""


Answer = Appended | ShutOut | Silent
Written = Callable[[str, str, Entry], None]
"""Called with job, shard and entry when one is in the log."""

LATENCY_S = (0.005, 0.5)


class ShardLogs:
    """Every log, by job and shard."""

    def __init__(self, timeline: Timeline, weather: Weather, written: Written) -> None:
        self._timeline = timeline
        self._weather = weather
        self._randomness = weather.randomness.child("log")
        self._written = written
        self._logs: dict[tuple[str, str], list[Entry]] = {}

    def entries(self, job: str, shard: str) -> list[Entry]:
        """The log of one shard, oldest entry first."""
        return self._logs.setdefault((job, shard), [])

    def newest(self, job: str, shard: str) -> Commit | None:
        """The newest commit of a shard."""
        return next((entry.commit for entry in reversed(self.entries(job, shard)) if entry.commit), None)

    def claim(self, job: str, shard: str, entry: Entry, answer: Callable[[Answer], None]) -> None:
        """Append a claim behind whatever is newest when it arrives."""
        assert entry.commit is None

        def arrive() -> Answer:
            log = self.entries(job, shard)
            if log and (log[-1].epoch > entry.epoch or (log[-1].epoch == entry.epoch and log[-1].owner != entry.owner)):
                return ShutOut()
            return self._append(job, shard, entry)

        self._travel(arrive, answer)

    def commit(self, job: str, shard: str, number: int, entry: Entry, answer: Callable[[Answer], None]) -> None:
        """Append a commit as this number, if it is free."""

        def arrive() -> Answer:
            log = self.entries(job, shard)
            assert number <= len(log) + 1, (number, len(log))
            if number <= len(log):
                return ShutOut()
            return self._append(job, shard, entry)

        self._travel(arrive, answer)

    def _append(self, job: str, shard: str, entry: Entry) -> Appended:
        log = self.entries(job, shard)
        log.append(entry)
        self._written(job, shard, entry)
        return Appended(number=len(log), newest=self.newest(job, shard))

    def _travel(self, arrive: Callable[[], Answer], answer: Callable[[Answer], None]) -> None:
        """There and back, each taking its time; whoever asked may be gone by then."""
        there_s, back_s = (self._randomness.uniform(*LATENCY_S) ** 2 for _ in range(2))
        fails = self._weather.happens(Fault.LOG_FAILS)
        lost_s = self._randomness.uniform(0.5, 5.0)
        landed = not fails or self._randomness.random() < 0.5

        def land() -> None:
            found = arrive() if landed else Silent()
            reply = Silent() if fails else found
            self._timeline.after(lost_s if fails else back_s, lambda: answer(reply))

        self._timeline.after(there_s, land)
