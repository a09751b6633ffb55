"""A connection to Mesos that is kept: records in, bodies out.

One thread subscribes, reads and hands the records over, and when the stream ends begins anew.  Calls come from any
thread and go over a connection of their own.  What the bytes mean is for the `Conversation` to know, so that our own
driver and the interfaces in `headgate.compat` stand on the same transport.

Source: Mesos, `docs/scheduler-http-api.md`; its advice on heartbeats and backoff is followed.
"""

from __future__ import annotations

import logging
import random
import threading
from typing import Protocol

from headgate.adapters.interruptible_http import Access, Broken, InterruptibleSession
from headgate.adapters.mesos_call_channel import CallChannel, SubscriptionLost
from headgate.adapters.mesos_detection import Masters
from headgate.adapters.mesos_subscription import Api, Denied, Subscription, Timing, TryLater, subscribe
from headgate.errors import MasterUnavailable
from headgate.ports import Clock
from millstream.contract.recordio import BrokenFraming

log = logging.getLogger(__name__)

STOP_MARGIN_S = 10.0
"""How much longer than connecting takes the thread may need to end: a name look-up, ZooKeeper's answer, a login."""


class Conversation(Protocol):
    """What is said over a link.  Called from the link's thread, in the order of the stream."""

    def subscribe_body(self) -> bytes:
        """The body of the next SUBSCRIBE."""

    def heard(self, record: bytes, line: Line) -> None:
        """A record has come.  The one that grants the subscription is answered with `line.open_for_calls`."""

    def lost(self, reason: str) -> None:
        """A stream that was open for calls has ended; the next may follow."""

    def missed(self, reason: str) -> None:
        """An attempt to subscribe has come to nothing, or its stream ended before it was open; the next will follow."""

    def denied(self, message: str) -> None:
        """There will be no subscription until somebody mends something; nothing follows."""


class Line:
    """One subscription under way."""

    def __init__(self, link: MesosLink, subscription: Subscription, access: Access, timing: Timing) -> None:
        self._link = link
        self.subscription = subscription
        self._access = access
        self._timing = timing
        self.channel: CallChannel | None = None
        self.since = 0.0

    @property
    def url(self) -> str:
        """The endpoint that has granted the stream."""
        return self.subscription.url

    def open_for_calls(self) -> None:
        """The subscription stands: calls can be posted from now on.  Once."""
        assert self.channel is None
        self.channel = CallChannel(self.subscription, self._access, self._timing)
        self._link.opened(self)

    def expect_heartbeats(self, interval_s: float) -> None:
        """From now on, as many missed ones as `Timing` says mean that the stream is dead."""
        self.subscription.expect_bytes_within(interval_s * self._timing.heartbeats_missed_max)

    def post(self, kind: str, body: bytes) -> None:
        """Hand over one call; any thread.  See `CallChannel.post` for what is raised."""
        assert self.channel is not None
        try:
            self.channel.post(kind, body)
        except SubscriptionLost as problem:
            log.warning("the master has dropped our subscription: %s", problem)
            self.subscription.interrupt()
            raise


class MesosLink:
    """Keeps one subscription.  `rng` spreads the reconnections of many; `clock` tells whether one has held."""

    def __init__(
        self,
        conversation: Conversation,
        *,
        api: Api,
        masters: Masters,
        access: Access,
        timing: Timing,
        clock: Clock,
        rng: random.Random,
        thread_name: str,
    ) -> None:
        self._conversation = conversation
        self._api = api
        self._masters = masters
        self._access = access
        self._timing = timing
        self._clock = clock
        self._rng = rng
        self._thread = threading.Thread(target=self._run, name=thread_name, daemon=True)
        self._lock = threading.Lock()
        self._line: Line | None = None
        self._session: InterruptibleSession | None = None
        self._failures = 0
        self._stopping = threading.Event()
        self._awake = threading.Event()
        self._why_not = "not started"

    def start(self) -> None:
        """Begin to subscribe, in the background.  Once."""
        self._why_not = "not subscribed yet"
        self._masters.start(self._awake.set)
        self._thread.start()

    def line(self, kind: str) -> Line:
        """The line that is open for calls of this kind; any thread.

        Raises:
            MasterUnavailable: there is none, and why; a call is never dropped without a word.
        """
        with self._lock:
            if self._line is None:
                raise MasterUnavailable(f"{kind} was not sent: {self._why_not}")
            return self._line

    def give_up(self, reason: str) -> None:
        """Subscribe no more, whatever becomes of the stream under way; any thread."""
        with self._lock:
            self._stopping.set()
            self._why_not = reason

    @property
    def stopping(self) -> bool:
        """Whether it has been given up, or stopped."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End the thread, and the connections with what is under way there.  Idempotent; not from the link's thread."""
        self.end()
        if not self.join(self._timing.connect_s + STOP_MARGIN_S):
            log.warning("the thread that reads Mesos events has not ended in time")
        self._masters.close()

    def end(self) -> None:
        """Break off what is under way, and let the thread end by itself.  Idempotent; any thread, the link's too."""
        self.give_up("stopped")
        with self._lock:
            session, line = self._session, self._line
        self._awake.set()
        if line is not None and line.channel is not None:
            line.channel.interrupt()
        if session is not None:
            session.interrupt()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the thread has ended, if it ever began; whether it has."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def opened(self, line: Line) -> None:
        """For `Line` alone."""
        line.since = self._clock.monotonic()
        with self._lock:
            assert self._line is None
            self._line = line

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                reason, was_open = self._subscribe_and_follow()
            except Denied as problem:
                log.error("the Mesos driver gives up: %s", problem)
                self.give_up(str(problem))
                self._conversation.denied(str(problem))
                return
            except TryLater as problem:
                reason, was_open = str(problem), False
            except Exception as problem:
                # The top of the loop: whatever went wrong, a stream must not end for ever without anybody noticing.
                log.exception("the Mesos driver failed")
                reason, was_open = f"the driver failed: {problem!r}", False
            if self._stopping.is_set():
                return
            if not was_open:
                self._conversation.missed(reason)
            delay_s = reconnect_delay_s(self._failures, self._timing, self._rng)
            self._failures += 1
            with self._lock:
                self._why_not = reason
            log.warning("not subscribed to Mesos: %s; trying again in %.1f s", reason, delay_s)
            self._awake.wait(delay_s)
            self._awake.clear()

    def _subscribe_and_follow(self) -> tuple[str, bool]:
        """One subscription from beginning to end; why it ended, and whether it was ever open for calls."""
        session = InterruptibleSession(self._access)
        try:
            with self._lock:
                if self._stopping.is_set():
                    return "stopped", False
                self._session = session
            body = self._conversation.subscribe_body()
            subscription = subscribe(session, self._masters, self._api, self._access, self._timing, body)
            return self._follow(Line(self, subscription, self._access, self._timing))
        finally:
            with self._lock:
                self._session = None
            session.close()

    def _follow(self, line: Line) -> tuple[str, bool]:
        reason = "the driver failed"
        try:
            for record in line.subscription.records():
                self._conversation.heard(record, line)
                if self._stopping.is_set():
                    return "stopped", line.channel is not None
            reason = "the master ended the stream"
        except Broken as problem:
            reason = f"stream broken: {problem}"
        except BrokenFraming as problem:
            reason = f"stream is no RecordIO: {problem}"
        finally:
            line.subscription.close()
            self._closed(line, reason)
        return reason, line.channel is not None

    def _closed(self, line: Line, reason: str) -> None:
        with self._lock:
            self._line = None
            if self._stopping.is_set():
                reason = self._why_not
            else:
                self._why_not = reason
        if line.channel is not None:
            if self._clock.monotonic() - line.since >= self._timing.settled_s:
                self._failures = 0
            line.channel.interrupt()
            line.channel.close()
            self._conversation.lost(reason)


def reconnect_delay_s(failures: int, timing: Timing, rng: random.Random) -> float:
    """How long to wait after the given number of failures in a row: anything below a bound that doubles up to a cap."""
    bound_s = min(timing.backoff_max_s, timing.backoff_s * 2.0 ** min(failures, 32))
    return rng.uniform(0.0, bound_s)
