"""Input with a known answer: numbered records per shard, at a rate, in bursts, and at last no more.

Record *i* of every shard has the value *i* + 1, so that what a range of records adds up to is a formula.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.testing.timeline import Timeline


def total(begin: int, end: int) -> int:
    """What records begin…end-1 of a shard add up to."""
    return (end * (end + 1) - begin * (begin + 1)) // 2


@dataclass(slots=True)
class _Shard:
    records: float
    rate_per_s: float
    at: float


class Source:
    """What the workers of one job read.  `finite`: once `close`d there will never be more, and the job can end."""

    def __init__(self, timeline: Timeline, *, finite: bool) -> None:
        self._timeline = timeline
        self._shards: dict[str, _Shard] = {}
        self._rests = False
        self.finite = finite
        self.closed = False

    @property
    def complete(self) -> bool:
        """Whether workers may say that they have seen all shards, and that each has an end."""
        return self.finite and self.closed

    @property
    def shards(self) -> tuple[str, ...]:
        """The shards there are, in the order in which they appeared."""
        return tuple(self._shards)

    def add(self, shard: str, *, records: int, rate_per_s: float) -> None:
        """A new shard with some records in it."""
        assert not self.closed
        self._shards[shard] = _Shard(records, rate_per_s, self._timeline.now())

    def burst(self, shard: str, records: int) -> None:
        """Many records at once; too late after `close`, too early while it rests."""
        if not self.closed and not self._rests:
            self._grow(self._shards[shard]).records += records

    def end(self, shard: str) -> int:
        """The number of records a shard holds now."""
        return int(self._grow(self._shards[shard]).records)

    def rest(self) -> None:
        """Nothing comes for a while."""
        for shard in self._shards.values():
            self._grow(shard)
        self._rests = True

    def go_on(self) -> None:
        """Things come again as they did."""
        for shard in self._shards.values():
            self._grow(shard)
        self._rests = False

    def close(self) -> None:
        """Nothing comes any more."""
        for shard in self._shards.values():
            self._grow(shard).rate_per_s = 0.0
        self.closed = True

    def _grow(self, shard: _Shard) -> _Shard:
        now = self._timeline.now()
        if not self._rests:
            shard.records += shard.rate_per_s * (now - shard.at)
        shard.at = now
        return shard
