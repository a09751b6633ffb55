"""The driver for the v1 Scheduler HTTP API: stays subscribed to the leading master, hands its events on, sends calls.

`mesos_link` keeps the connection; here its records become events of the model, and calls become bodies.  Every
`Subscribed` that is delivered is followed by exactly one `Disconnected` before the next; between the two, and only
then, calls can be sent.

The driver decides nothing: it reconciles nothing, acknowledges nothing and repeats no call.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import replace

from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_codec import MULTI_ROLE, encode_call, encode_subscribe
from headgate.adapters.mesos_codec_events import HEARTBEAT_S, Decoded, EventDecoder
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.adapters.mesos_detection import Masters
from headgate.adapters.mesos_link import Line, MesosLink
from headgate.adapters.mesos_subscription import SCHEDULER_API, Timing
from headgate.errors import CallRejected, MasterUnavailable
from headgate.model.call import Accept, Call, Decline, Framework, Revive, Suppress, Teardown, UpdateFramework
from headgate.model.event import Disconnected, Refused, Rescinded, Subscribed
from headgate.model.ids import FrameworkId, OfferId
from headgate.ports import Clock, Deliver

log = logging.getLogger(__name__)


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
        self._framework_id = framework_id
        self._deliver = deliver
        self._clock = clock
        self._terms = UpdateFramework(framework=framework)
        self._decoder = EventDecoder()
        self._reserved: dict[OfferId, tuple[ReservedPart, ...]] = {}
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._torn_down = False
        self._link = MesosLink(
            self,
            api=SCHEDULER_API,
            masters=masters,
            access=access or Access(),
            timing=timing or Timing(),
            clock=clock,
            rng=rng,
            thread_name="mesos-events",
        )

    def start(self) -> None:
        """Begin to subscribe, in the background.  Once."""
        self._link.start()

    def update_subscription(self, terms: UpdateFramework) -> None:
        """What to say of ourselves from the next subscription on; the call of that name also says it to the master now.

        Suppressed roles follow by themselves what SUPPRESS and REVIVE calls have done.
        """
        with self._lock:
            self._terms = terms

    def send(self, call: Call) -> None:
        """See `ports.Master`.  Any thread; calls go out one after the other, in the order of their callers."""
        kind = type(call).__name__
        with self._sending:
            line = self._link.line(kind)
            with self._lock:
                framework_id, terms = self._framework_id, self._terms
                reserved = self._reserved_of(call)
            assert framework_id is not None, "a line is open for calls once the master has told our id"
            body = encode_call(call, framework_id=framework_id, framework=terms.framework, reserved=reserved)
            line.post(kind, body)
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
        self._link.stop()
        if problem is not None:
            raise problem

    # What the link asks for, in its thread.

    def subscribe_body(self) -> bytes:
        """See `mesos_link.Conversation`."""
        with self._lock:
            return encode_subscribe(self._terms, self._framework_id)

    def heard(self, record: bytes, line: Line) -> None:
        """See `mesos_link.Conversation`."""
        decoded = self._decoder.decode(record, received_at=self._clock.now(), role=self._default_role())
        if decoded.heartbeat_s is not None:
            line.expect_heartbeats(decoded.heartbeat_s if decoded.heartbeat_s > 0 else HEARTBEAT_S)
        self._note_offers(decoded)
        for event in decoded.events:
            if isinstance(event, Refused):
                log.error("the master refuses this framework: %s", event.message)
                self._link.give_up(f"refused by the master: {event.message}")
            elif isinstance(event, Subscribed):
                self._framework_id = event.framework_id
                line.open_for_calls()
                log.info("subscribed to Mesos master %s as framework %s", event.master, event.framework_id)
            self._deliver(event)
            if self._link.stopping:
                return

    def lost(self, reason: str) -> None:
        """See `mesos_link.Conversation`."""
        with self._lock:
            self._reserved.clear()
        self._deliver(Disconnected(reason=reason))

    def missed(self, reason: str) -> None:
        """See `mesos_link.Conversation`: there was no subscription, so the loop has lost none."""

    def denied(self, message: str) -> None:
        """See `mesos_link.Conversation`."""
        self._deliver(Refused(message=message))

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
                self._link.give_up("torn down")

    def _suppress(self, roles: frozenset[str]) -> None:
        self._terms = replace(self._terms, suppressed_roles=tuple(sorted(roles)))
