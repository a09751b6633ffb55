"""How far event time has got in one shard.

The watermark *w* says: records with an event time below *w* are not expected any more.  It never goes back.
"""

from __future__ import annotations

from millstream.contract.checkpoint import END_OF_TIME_US


class Watermark:
    """Greatest event time seen minus the allowed disorder; with the clock when the shard is quiet; then the end.

    `at_us` None: nothing was seen yet.
    """

    def __init__(self, *, out_of_orderness_us: int, idle_after_us: int | None, at_us: int | None, now: float) -> None:
        self._disorder_us = out_of_orderness_us
        self._idle_after_us = idle_after_us
        self._at_us = at_us
        self._quiet_since = now
        self._at_us_then = at_us
        self.idle_from_start = False
        """Whether the shard has been quiet for `idle_after` and never had a record: nobody should wait for it."""

    @property
    def at_us(self) -> int | None:
        """The watermark, in microseconds since the epoch."""
        return self._at_us

    def after(self, greatest_us: int | None) -> int | None:
        """What the watermark will be once records up to event time `greatest_us` are in; changes nothing."""
        if greatest_us is None:
            return self._at_us
        seen = greatest_us - self._disorder_us
        return seen if self._at_us is None else max(self._at_us, seen)

    def see(self, greatest_us: int | None, now: float) -> None:
        """Records came in at `now`, with event times up to `greatest_us` (None: without any)."""
        self._at_us = self.after(greatest_us)
        self.idle_from_start = False
        self._quiet_since = now
        self._at_us_then = self._at_us

    def idle(self, now: float) -> None:
        """The shard is caught up and had nothing at `now`.

        After `idle_after` the watermark goes on from the last record's at the pace of the clock, including the time
        already waited: so replayed old data is not overtaken by today's clock.
        """
        if self._idle_after_us is None:
            return
        quiet_us = round((now - self._quiet_since) * 1_000_000)
        if quiet_us < self._idle_after_us:
            return
        if self._at_us_then is None or self._at_us is None:
            self.idle_from_start = True
        else:
            self._at_us = max(self._at_us, self._at_us_then + quiet_us)

    def behind(self, now: float) -> None:
        """The shard had nothing at `now` but is not caught up: waiting does not count as quiet."""
        self._quiet_since = max(self._quiet_since, now)
        self._at_us_then = self._at_us

    def end(self) -> None:
        """The source has ended: no record will come."""
        self._at_us = END_OF_TIME_US


class GivenWatermark:
    """A watermark that the source tells."""

    idle_from_start = False

    def __init__(self, at_us: int | None) -> None:
        self._at_us = at_us

    @property
    def at_us(self) -> int | None:
        """The watermark, in microseconds since the epoch."""
        return self._at_us

    def follow(self, at_us: int | None) -> None:
        """The source says so; None: nothing new."""
        if at_us is not None:
            self._at_us = at_us if self._at_us is None else max(self._at_us, at_us)

    def end(self) -> None:
        """The source has ended: no record will come."""
        self._at_us = END_OF_TIME_US
