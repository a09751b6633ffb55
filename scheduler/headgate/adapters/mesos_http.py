"""The driver for the v1 Scheduler HTTP API: stays subscribed to the leading master, hands its events on, sends calls.

One thread subscribes, reads and delivers, and when the stream ends begins anew.  Calls come from any thread and go over
a connection of their own.  Every `Subscribed` that is delivered is followed by exactly one `Disconnected` before the
next; between the two, and only then, calls can be sent.

The driver decides nothing: it reconciles nothing, acknowledges nothing and repeats no call.

Source: Mesos, `docs/scheduler-http-api.md`; its advice on heartbeats and backoff is followed.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import dataclass, replace
from typing import Final

from headgate.adapters.interruptible_http import Access, Broken, InterruptibleSession
from headgate.adapters.mesos_call_channel import CallChannel, SubscriptionLost
from headgate.adapters.mesos_codec import MULTI_ROLE, encode_call, encode_subscribe
from headgate.adapters.mesos_codec_events import HEARTBEAT_S, Decoded, EventDecoder
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.adapters.mesos_detection import Masters
from headgate.adapters.mesos_subscription import Denied, Subscription, Timing, TryLater, subscribe
from headgate.errors import CallRejected, MasterUnavailable
from headgate.model.call import Accept, Call, Decline, Framework, Revive, Suppress, Teardown, UpdateFramework
from headgate.model.event import Disconnected, Refused, Rescinded, Subscribed
from headgate.model.ids import FrameworkId, OfferId
from headgate.ports import Clock, Deliver
from millstream.contract.recordio import BrokenFraming

log = logging.getLogger(__name__)

STOP_MARGIN_S: Final = 10.0
"""How much longer than connecting takes the thread may need to end: a name look-up, ZooKeeper's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Connection:
    """What a call needs of the subscription under way."""

    framework_id: FrameworkId
    channel: CallChannel
    subscription: Subscription
    since: float


class MesosHttpMaster:
    """The `Master` port over HTTP.

    `deliver` is called from the driver's thread, in the order of the stream.  `rng` spreads the reconnections of many
    schedulers; `clock` dates offers and tells whether a subscription has held.
    """

    def __init__(
        self,
        *,
        masters: Masters,
        framework: Framework,
        framework_id: FrameworkId | None,
        deliver: Deliver,
        clock: Clock,
        rng: random.Random,
        access: Access | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._masters = masters
        self._framework_id = framework_id
        self._deliver = deliver
        self._clock = clock
        self._rng = rng
        self._access = access or Access()
        self._timing = timing or Timing()
        self._terms = UpdateFramework(framework=framework)
        self._decoder = EventDecoder()
        self._reserved: dict[OfferId, tuple[ReservedPart, ...]] = {}
        self._thread = threading.Thread(target=self._run, name="mesos-events", daemon=True)
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._connection: _Connection | None = None
        self._session: InterruptibleSession | None = None
        self._failures = 0
        self._stopping = threading.Event()
        self._awake = threading.Event()
        self._torn_down = False
        self._why_not = "not started"

    def start(self) -> None:
        """Begin to subscribe, in the background.  Once."""
        self._why_not = "not subscribed yet"
        self._masters.start(self._awake.set)
        self._thread.start()

    def update_subscription(self, terms: UpdateFramework) -> None:
        """What to say of ourselves from the next subscription on; the call of that name also says it to the master now.

        Suppressed roles follow by themselves what SUPPRESS and REVIVE calls have done.
        """
        with self._lock:
            self._terms = terms

    def send(self, call: Call) -> None:
        """See `ports.Master`.  Any thread; calls go out one after the other, in the order of their callers."""
        with self._sending:
            with self._lock:
                connection, terms = self._connection, self._terms
                reserved = self._reserved_of(call)
                why_not = self._why_not
            kind = type(call).__name__
            if connection is None:
                raise MasterUnavailable(f"{kind} was not sent: {why_not}")
            body = encode_call(call, framework_id=connection.framework_id, framework=terms.framework, reserved=reserved)
            try:
                connection.channel.post(kind, body)
            except SubscriptionLost as problem:
                log.warning("the master has dropped our subscription: %s", problem)
                connection.subscription.interrupt()
                raise
            self._note_sent(call)

    def stop(self, *, failover: bool) -> None:
        """End the driver's thread and connections.  Idempotent; not from within `deliver`.

        With `failover` the framework and its tasks stay for the next scheduler, as long as its failover timeout says;
        without, it is torn down.

        Raises:
            MasterUnavailable: not torn down, or nobody knows; the threads have ended all the same.
            CallRejected: likewise.
        """
        problem: MasterUnavailable | CallRejected | None = None
        if not failover and not self._torn_down:
            try:
                self.send(Teardown())
            except (MasterUnavailable, CallRejected) as raised:
                problem = raised
        with self._lock:
            self._stopping.set()
            self._why_not = "stopped"
            session, connection = self._session, self._connection
        self._awake.set()
        if connection is not None:
            connection.channel.interrupt()
        if session is not None:
            session.interrupt()
        if self._thread.ident is not None:
            self._thread.join(self._timing.connect_s + STOP_MARGIN_S)
            if self._thread.is_alive():
                log.warning("the thread that reads Mesos events has not ended in time")
        self._masters.close()
        if problem is not None:
            raise problem

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                reason = self._subscribe_and_follow()
            except Denied as problem:
                self._give_up(str(problem))
                self._deliver(Refused(message=str(problem)))
                return
            except TryLater as problem:
                reason = str(problem)
            except Exception as problem:
                # The top of the loop: whatever went wrong, a stream must not end for ever without anybody noticing.
                log.exception("the Mesos driver failed")
                reason = f"the driver failed: {problem!r}"
            if self._stopping.is_set():
                return
            delay_s = reconnect_delay_s(self._failures, self._timing, self._rng)
            self._failures += 1
            with self._lock:
                self._why_not = reason
            log.warning("not subscribed to a Mesos master: %s; trying again in %.1f s", reason, delay_s)
            self._awake.wait(delay_s)
            self._awake.clear()

    def _subscribe_and_follow(self) -> str:
        """One subscription from beginning to end; why it ended."""
        session = InterruptibleSession(self._access)
        try:
            with self._lock:
                if self._stopping.is_set():
                    return "stopped"
                self._session = session
                body = encode_subscribe(self._terms, self._framework_id)
            subscription = subscribe(session, self._masters, self._access, self._timing, body)
            return self._follow(subscription)
        finally:
            with self._lock:
                self._session = None
            session.close()

    def _follow(self, subscription: Subscription) -> str:
        reason = "the driver failed"
        try:
            for record in subscription.records():
                decoded = self._decoder.decode(record, received_at=self._clock.now(), role=self._default_role())
                if decoded.heartbeat_s is not None:
                    self._mind_heartbeats(subscription, decoded.heartbeat_s)
                self._note_offers(decoded)
                for event in decoded.events:
                    if isinstance(event, Refused):
                        reason = f"refused by the master: {event.message}"
                        self._give_up(reason)
                    elif isinstance(event, Subscribed):
                        self._connected(event, subscription)
                    self._deliver(event)
                    if self._stopping.is_set():
                        return reason if isinstance(event, Refused) else "stopped"
            reason = "the master ended the stream"
        except Broken as problem:
            reason = f"stream broken: {problem}"
        except BrokenFraming as problem:
            reason = f"stream is no RecordIO: {problem}"
        finally:
            subscription.close()
            self._disconnected(reason)
        return reason

    def _connected(self, event: Subscribed, subscription: Subscription) -> None:
        self._framework_id = event.framework_id
        connection = _Connection(
            framework_id=event.framework_id,
            channel=CallChannel(subscription, self._access, self._timing),
            subscription=subscription,
            since=self._clock.monotonic(),
        )
        with self._lock:
            assert self._connection is None
            self._connection = connection
        log.info("subscribed to Mesos master %s as framework %s", event.master, event.framework_id)

    def _disconnected(self, reason: str) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
            self._reserved.clear()
            if self._stopping.is_set():
                reason = self._why_not
            else:
                self._why_not = reason
        if connection is not None:
            if self._clock.monotonic() - connection.since >= self._timing.settled_s:
                self._failures = 0
            connection.channel.interrupt()
            connection.channel.close()
            self._deliver(Disconnected(reason=reason))

    def _give_up(self, reason: str) -> None:
        log.error("the Mesos driver gives up: %s", reason)
        with self._lock:
            self._stopping.set()
            self._why_not = reason

    def _mind_heartbeats(self, subscription: Subscription, heartbeat_s: float) -> None:
        interval_s = heartbeat_s if heartbeat_s > 0 else HEARTBEAT_S
        subscription.expect_bytes_within(interval_s * self._timing.heartbeats_missed_max)

    def _default_role(self) -> str:
        framework = self._terms.framework
        return "*" if MULTI_ROLE in framework.capabilities else framework.roles[0]

    def _note_offers(self, decoded: Decoded) -> None:
        """Remember which offered resources are reserved, for the launches that may use them."""
        with self._lock:
            self._reserved.update(decoded.reserved)
            for event in decoded.events:
                if isinstance(event, Rescinded):
                    self._reserved.pop(event.offer_id, None)

    def _reserved_of(self, call: Call) -> tuple[ReservedPart, ...]:
        if not isinstance(call, Accept):
            return ()
        return tuple(part for offer_id in call.offer_ids for part in self._reserved.get(offer_id, ()))

    def _note_sent(self, call: Call) -> None:
        """What a call that the master has taken changes for later ones, and for the next subscription."""
        with self._lock:
            if isinstance(call, (Accept, Decline)):
                for offer_id in call.offer_ids:
                    self._reserved.pop(offer_id, None)
            elif isinstance(call, Suppress):
                roles = frozenset(call.roles or self._terms.framework.roles)
                self._suppress(roles.union(self._terms.suppressed_roles))
            elif isinstance(call, Revive):
                roles = frozenset(call.roles or self._terms.framework.roles)
                self._suppress(frozenset(self._terms.suppressed_roles) - roles)
            elif isinstance(call, UpdateFramework):
                self._terms = call
            elif isinstance(call, Teardown):
                self._torn_down = True
                self._stopping.set()
                self._why_not = "torn down"

    def _suppress(self, roles: frozenset[str]) -> None:
        self._terms = replace(self._terms, suppressed_roles=tuple(sorted(roles)))


def reconnect_delay_s(failures: int, timing: Timing, rng: random.Random) -> float:
    """How long to wait after the given number of failures in a row: anything below a bound that doubles up to a cap."""
    bound_s = min(timing.backoff_max_s, timing.backoff_s * 2.0 ** min(failures, 32))
    return rng.uniform(0.0, bound_s)
