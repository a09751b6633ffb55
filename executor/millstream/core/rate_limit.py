"""A token bucket: so many records a second, and never more at once than a second is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace

BURST_S = 1.0
"""What may pass at once, in seconds of the rate.  All shards share it, and batches of some size are far cheaper than
small ones: with a tenth of this, twelve shards at 2,500 records per second keep a core busy with steps of 20."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """The bucket at one instant.  It never holds more than `burst` tokens, and at least one record ever fits in."""

    rate_per_s: float
    tokens: float
    at: float

    @property
    def burst(self) -> float:
        """The most records that may pass at once."""
        return max(1.0, self.rate_per_s * BURST_S)

    def refilled(self, now: float) -> RateLimit:
        """The bucket later on.  A clock that went back adds nothing."""
        earned = max(0.0, now - self.at) * self.rate_per_s
        return replace(self, tokens=min(self.burst, self.tokens + earned), at=max(now, self.at))

    def allowance(self) -> int:
        """How many records may pass now."""
        return max(0, int(self.tokens + 1e-9))

    def spent(self, records: int) -> RateLimit:
        """The bucket after so many records."""
        return replace(self, tokens=self.tokens - records)

    def next_at(self) -> float:
        """When half a burst, or the one record, has come together: waking for less is not worth it."""
        wanted = max(1.0, self.burst / 2)
        return self.at + max(0.0, wanted - self.tokens) / self.rate_per_s


def full_bucket(rate_per_s: float, *, now: float) -> RateLimit:
    """A bucket with its burst ready."""
    empty = RateLimit(rate_per_s=rate_per_s, tokens=0.0, at=now)
    return replace(empty, tokens=empty.burst)
