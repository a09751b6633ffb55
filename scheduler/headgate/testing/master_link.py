"""The driver in virtual time: stays subscribed to the simulated master through the real codec, and sends calls.

It keeps to what `adapters.mesos_http` promises: one `Disconnected` after every `Subscribed`, calls only in between,
suppressed roles remembered for the next subscription, no call repeated.  The network between is slow; it may lose a
call or its answer, cut the stream, or go silent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import msgspec

from headgate.adapters.mesos_codec import encode_call, encode_subscribe
from headgate.adapters.mesos_codec_events import EventDecoder
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.adapters.mesos_link import reconnect_delay_s
from headgate.adapters.mesos_subscription import Timing
from headgate.errors import CallRejected, MasterUnavailable
from headgate.model.call import Call, Framework, Revive, Suppress, UpdateFramework
from headgate.model.event import Disconnected, MasterEvent, Refused, Subscribed
from headgate.model.ids import FrameworkId, OfferId
from headgate.ports import Clock
from headgate.simulator.cluster import Cluster
from headgate.simulator.messages import Json, Reply, Stream
from headgate.simulator.schema import Api, read_call, with_defaults
from headgate.testing.faults import Fault, Weather
from headgate.testing.process import VirtualProcess
from headgate.testing.trace import Trace
from headgate.testing.words import call_text

LATENCY_S: Final = (0.001, 0.1)
NOTICED_S: Final = (5.0, 90.0)
_TIMING: Final = Timing()
_LOST: Final = ("not subscribed", "not connected", "cannot be found", "didn't match the stream ID")


class MasterLink:
    """One scheduler process's `ports.Master`.

    `effect` is called before and after every call that leaves, `hindered` when one is lost, `hear` with each event when
    it arrives, `sent` with each call when the master gets it.
    """

    def __init__(
        self,
        *,
        process: VirtualProcess,
        cluster: Cluster,
        weather: Weather,
        name: str,
        framework: Framework,
        framework_id: FrameworkId | None,
        heartbeat_s: float,
        clock: Clock,
        trace: Trace,
        settle: Callable[[], None],
        effect: Callable[[], None],
        hindered: Callable[[float], None],
        sent: Callable[[Call], None],
        hear: Callable[[MasterEvent], None],
    ) -> None:
        self._process = process
        self._cluster = cluster
        self._weather = weather
        self._randomness = weather.randomness.child(f"network {name}")
        self._name = name
        self._terms = UpdateFramework(framework=framework)
        self._framework_id = framework_id
        self._heartbeat_s = heartbeat_s
        self._clock = clock
        self._trace = trace
        self._settle = settle
        self._effect = effect
        self._hindered = hindered
        self._sent = sent
        self._hear = hear
        self._decoder = EventDecoder()
        self._reserved: dict[OfferId, tuple[ReservedPart, ...]] = {}
        self._stream: str | None = None
        self._subscribed = False
        self._silent = False
        self._failures = 0
        self._subscribed_at = 0.0
        self._heard_at = 0.0
        self._arrives_at = 0.0
        self._given_up = False

    @property
    def stream(self) -> str | None:
        """The stream it reads now."""
        return self._stream

    @property
    def flowing(self) -> set[str]:
        """The roles whose offers are not suppressed, as far as the last calls that went well say."""
        return set(self._terms.framework.roles) - set(self._terms.suppressed_roles)

    def start(self) -> None:
        """Subscribe, a moment from now."""
        self._process.after(self._randomness.uniform(*LATENCY_S), self._subscribe)

    def send(self, call: Call) -> None:
        """See `ports.Master`."""
        kind = type(call).__name__
        if not self._subscribed or self._framework_id is None or self._stream is None:
            raise MasterUnavailable(f"{kind} was not sent: not subscribed")
        self._effect()
        if self._weather.happens(Fault.CALL_LOST) or not self._cluster.has_master:
            self._trace.say(self._name, f"{kind} is lost")
            self._hindered(0.0)
            raise MasterUnavailable(f"{kind}: no answer")
        reserved = [part for offer in getattr(call, "offer_ids", ()) for part in self._reserved.get(offer, ())]
        body = encode_call(call, framework_id=self._framework_id, framework=self._terms.framework, reserved=reserved)
        checked = read_call(Api.SCHEDULER, body)
        if isinstance(checked, Reply):
            raise CallRejected(f"{kind}: {checked.body}", status=checked.status)
        self._trace.say(self._name, call_text(call))
        self._sent(call)
        now = self._process.timeline.now()
        answer = self._cluster.master.call(checked, stream_id=self._stream, now=now)
        self._settle()
        self._check(kind, answer)
        if self._weather.happens(Fault.ANSWER_LOST):
            self._trace.say(self._name, f"the answer to {kind} is lost")
            self._hindered(0.0)
            raise MasterUnavailable(f"{kind}: no answer")
        self._note(call)
        self._effect()

    def receive(self, event: Json) -> None:
        """The master has written an event to our stream."""
        if not self._silent:
            self._arrive(self._stream, lambda: self._read(event))

    def ended(self) -> None:
        """The master has ended our stream."""
        if not self._silent:
            self._arrive(self._stream, lambda: self._cut("the master ended the stream"))

    def cut(self, *, noticed: bool) -> None:
        """The connection breaks; the master notices now, or when we are back, or when it has waited long enough."""
        stream = self._stream
        if stream is None:
            return
        if noticed:
            self._tell_gone(stream)
        self._cut("connection reset")

    def go_silent(self) -> None:
        """Nothing of the stream arrives any more, until heartbeats are missed."""
        self._silent = True

    def leapt(self, seconds: float) -> None:
        """So much time was left out, in which the stream went on as before."""
        self._heard_at += seconds

    def close(self) -> None:
        """The process has ended, and with it the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._tell_gone(stream)

    # ---- the stream

    def _subscribe(self) -> None:
        if self._stream is not None or self._given_up:
            return
        if not self._cluster.has_master:
            self._again()
            return
        checked = read_call(Api.SCHEDULER, encode_subscribe(self._terms, self._framework_id))
        assert not isinstance(checked, Reply), checked
        now = self._process.timeline.now()
        self._trace.say(self._name, f"SUBSCRIBE as {self._framework_id}")
        answer = self._cluster.master.call(checked, stream_id=None, now=now)
        assert isinstance(answer, Stream), answer
        self._stream, self._silent = answer.stream, False
        self._heard_at = now
        self._settle()
        self._watch(answer.stream)

    def _again(self) -> None:
        delay_s = reconnect_delay_s(self._failures, _TIMING, self._randomness)
        self._failures += 1
        self._process.after(delay_s, self._subscribe)

    def _watch(self, stream: str) -> None:
        """Silence for longer than heartbeats may be missed ends the stream."""
        if self._stream != stream:
            return
        quiet_s = self._heartbeat_s * _TIMING.heartbeats_missed_max
        over_at = self._heard_at + quiet_s
        if over_at <= self._process.timeline.now():
            self._cut("silent for too long")
        else:
            self._process.after(over_at - self._process.timeline.now(), lambda: self._watch(stream))

    def _arrive(self, stream: str | None, action: Callable[[], None]) -> None:
        """In the order of the stream, and only while it is ours."""
        now = self._process.timeline.now()
        self._arrives_at = max(self._arrives_at, now + self._randomness.uniform(*LATENCY_S))
        self._process.after(self._arrives_at - now, lambda: action() if self._stream == stream else None)

    def _read(self, event: Json) -> None:
        self._heard_at = self._process.timeline.now()
        record = msgspec.json.encode(with_defaults("scheduler.Event", event))
        decoded = self._decoder.decode(record, received_at=self._clock.now(), role="*")
        self._reserved.update(decoded.reserved)
        for each in decoded.events:
            if isinstance(each, Subscribed):
                self._subscribed, self._framework_id = True, each.framework_id
                self._subscribed_at = self._heard_at
            elif isinstance(each, Refused):
                self._given_up = True
            self._hear(each)

    def _cut(self, reason: str) -> None:
        was_subscribed, self._subscribed = self._subscribed, False
        stream, self._stream = self._stream, None
        if stream is not None:
            # Sooner or later a master finds that nobody takes its heartbeats.
            delay_s = self._randomness.uniform(*NOTICED_S)
            self._process.timeline.after(delay_s, lambda: self._tell_gone(stream))
        self._reserved.clear()
        self._trace.say(self._name, f"stream lost: {reason}")
        if was_subscribed:
            if self._process.timeline.now() - self._subscribed_at >= _TIMING.settled_s:
                self._failures = 0
            self._hear(Disconnected(reason=reason))
        self._again()

    def _tell_gone(self, stream: str) -> None:
        """The master notices that nobody reads a stream, if it still writes it."""
        if self._cluster.has_master:
            self._cluster.master.disconnected(stream, now=self._process.timeline.now())
            self._settle()

    # ---- calls

    def _check(self, kind: str, answer: Reply | Stream) -> None:
        assert isinstance(answer, Reply), kind
        if answer.status < 300:
            return
        what = f"{kind}: {answer.status} {answer.body}"
        self._trace.say(self._name, f"refused: {what}")
        if answer.status in (400, 403) and any(each in str(answer.body) for each in _LOST):
            self._process.after(0.0, lambda: self.cut(noticed=False))
            raise MasterUnavailable(what)
        raise CallRejected(what, status=answer.status)

    def _note(self, call: Call) -> None:
        roles = set(self._terms.suppressed_roles)
        if isinstance(call, UpdateFramework):
            self._terms = call
        elif isinstance(call, Suppress | Revive):
            named = set(call.roles or self._terms.framework.roles)
            roles = roles | named if isinstance(call, Suppress) else roles - named
            self._terms = replace(self._terms, suppressed_roles=tuple(sorted(roles)))
