"""Looks whether a scheduler with these options would be let in at the masters, and find what it needs.

It registers a framework of its own for a moment, `headgate-doctor`, with all roles suppressed so that it gets no
offers, and tears it down: only the master itself can say whether role, principal and user will do.  Nothing else is
changed, and the store's framework is not touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from random import Random
from threading import Event
from typing import Any, Final

import msgspec
import requests
from requests.auth import AuthBase

from headgate.adapters.checkup_words import meaning_of_error, meaning_of_refusal, meaning_of_silence
from headgate.adapters.dcos_login import DcosAuth
from headgate.adapters.interruptible_http import Access, Broken, InterruptibleSession, LoginRefused, error_text
from headgate.adapters.mesos_call_channel import CallChannel
from headgate.adapters.mesos_codec import encode_call, encode_subscribe
from headgate.adapters.mesos_codec_events import EventDecoder
from headgate.adapters.mesos_detection import Masters
from headgate.adapters.mesos_detection_zk import ZkMasters
from headgate.adapters.mesos_link import reconnect_delay_s
from headgate.adapters.mesos_subscription import (
    JSON_HEADERS,
    OPERATOR_API,
    SCHEDULER_API,
    Denied,
    Subscription,
    Timing,
    TryLater,
    subscribe,
)
from headgate.errors import CallRejected, MasterUnavailable
from headgate.model.call import Framework, Teardown, UpdateFramework
from headgate.model.event import MasterEvent, Refused, Subscribed
from headgate.model.finding import Check, Finding, failed, found, unknown
from headgate.ports import Clock
from millstream.contract.recordio import BrokenFraming

PROBE_NAME: Final = "headgate-doctor"
SKEW_MAX_S: Final = 30.0
"""Tokens and certificates are held against clocks; a login token holds for five minutes."""

CONSTRAINTS_SINCE: Final = (1, 11)
_ATTEMPTS_MAX: Final = 4
_TIMING: Final = Timing(connect_s=5.0, answer_s=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the last answer of a master was like; `status` None: there was none."""

    status: int | None = None
    date: str | None = None
    tls: bool = False


class _WatchedSession(InterruptibleSession):
    """Remembers how it was answered last."""

    def __init__(self, access: Access) -> None:
        super().__init__(access)
        self.last = Answered()

    def post(
        self, url: str, body: bytes, *, headers: dict[str, str], auth: AuthBase | None, timeout: tuple[float, float]
    ) -> requests.Response:
        """As its parent."""
        self.last = Answered(tls=url.startswith("https:"))
        response = super().post(url, body, headers=headers, auth=auth, timeout=timeout)
        self.last = replace(self.last, status=response.status_code, date=response.headers.get("Date"))
        return response


def examine_masters(
    masters: Masters, access: Access, framework: Framework, *, clock: Clock, through_zookeeper: bool = False
) -> Iterator[Finding]:
    """What is found, line by line as it is found; `masters` is closed at the end.

    `framework` is what the scheduler would register; of it role, user and principal are tried.
    """
    try:
        masters.start(lambda: None)
        if isinstance(access.auth, DcosAuth):
            finding = _login(access.auth)
            yield finding
            if finding.mend is not None:
                return
        yield from _registration(masters, access, framework, clock, through_zookeeper)
    finally:
        masters.close()


def _login(auth: DcosAuth) -> Finding:
    try:
        auth.log_in()
    except LoginRefused as problem:
        text = "compare the secret's uid with the service accounts, its key with the account's public key, and clocks"
        return failed(Check.LOGIN, str(problem), text)
    except Broken as problem:
        said = meaning_of_silence(str(problem), login=True)
        return failed(Check.LOGIN, said.text, said.mend)
    return found(Check.LOGIN, "the service account gets its token")


def _registration(
    masters: Masters, access: Access, framework: Framework, clock: Clock, through_zookeeper: bool
) -> Iterator[Finding]:
    session = _WatchedSession(access)
    probe = replace(framework, name=PROBE_NAME, failover_timeout_s=0.0, checkpoint=False, webui_url=None)
    terms = UpdateFramework(framework=probe, suppressed_roles=probe.roles)
    try:
        subscription: Subscription | None = None
        problem = ""
        for attempt in range(_ATTEMPTS_MAX):
            try:
                subscription = subscribe(
                    session, masters, SCHEDULER_API, access, _TIMING, encode_subscribe(terms, None)
                )
                break
            except TryLater as refusal:
                problem = str(refusal)
                _pause(attempt)
            except Denied as refusal:
                yield from _connection(session.last, clock, through_zookeeper)
                said = meaning_of_refusal(session.last.status, str(refusal))
                yield failed(said.check, said.text, said.mend)
                return
        if subscription is None:
            if isinstance(masters, ZkMasters) and session.last.status is None and masters.connected:
                problem += "; ZooKeeper itself answers"
            yield from _unreachable(session.last, problem, clock, through_zookeeper)
            return
        yield from _connection(session.last, clock, through_zookeeper)
        yield from _grant(subscription, access, probe, clock)
    finally:
        session.close()


def _pause(attempt: int) -> None:
    """Wait a little before the next attempt: an election takes a moment."""
    Event().wait(reconnect_delay_s(attempt, Timing(backoff_s=0.5, backoff_max_s=2.0), Random()))


def _connection(last: Answered, clock: Clock, through_zookeeper: bool) -> Iterator[Finding]:
    """What an answer proves, whatever it says."""
    if through_zookeeper:
        yield found(Check.ZOOKEEPER, "it answers, and a master leads")
    yield found(Check.MASTER, "it answers")
    if last.tls:
        yield found(Check.CERTIFICATE, "the master's is good")
    yield _skew(last.date, clock)


def _unreachable(last: Answered, problem: str, clock: Clock, through_zookeeper: bool) -> Iterator[Finding]:
    if last.status is not None:
        if through_zookeeper:
            yield found(Check.ZOOKEEPER, "it answers")
        yield _skew(last.date, clock)
    said = meaning_of_silence(problem, through_zookeeper=through_zookeeper)
    yield failed(said.check, said.text, said.mend)


def _skew(date: str | None, clock: Clock) -> Finding:
    try:
        theirs = None if date is None else parsedate_to_datetime(date).timestamp()
    except ValueError:
        theirs = None
    if theirs is None:
        return unknown(Check.CLOCK, "the answer has no date")
    ahead_s = clock.now() - theirs
    text = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the master's"
    if abs(ahead_s) > SKEW_MAX_S:
        return failed(Check.CLOCK, f"this machine's is {text}", "have both set theirs by NTP")
    return found(Check.CLOCK, "it agrees with the master's" if abs(ahead_s) < 2 else text)


def _grant(subscription: Subscription, access: Access, probe: Framework, clock: Clock) -> Iterator[Finding]:
    """What the master says to the framework, and then of itself."""
    try:
        event = _first_event(subscription, clock)
        if isinstance(event, Refused):
            said = meaning_of_error(event.message)
            yield failed(said.check, said.text, said.mend)
            return
        if not isinstance(event, Subscribed):
            yield failed(Check.MASTER, "it has granted a stream and says nothing on it", "look into the master's log")
            return
        who = f"principal {probe.principal}" if probe.principal else "no principal"
        roles = ", ".join(probe.roles)
        yield found(Check.ROLE, f"registered for {roles} as user {probe.user}, with {who}")
        yield _version(event)
        yield _agents(subscription.url, access if subscription.trusted else replace(access, auth=None))
        _tear_down(subscription, access, probe, event)
    except (Broken, BrokenFraming) as problem:
        yield failed(Check.MASTER, f"its stream broke: {problem}", "look for proxies that hold streams back")
    finally:
        subscription.close()


def _first_event(subscription: Subscription, clock: Clock) -> MasterEvent | None:
    subscription.expect_bytes_within(_TIMING.answer_s)
    decoder = EventDecoder()
    for record in subscription.records():
        for event in decoder.decode(record, received_at=clock.now(), role="*").events:
            return event
    return None


def _tear_down(subscription: Subscription, access: Access, probe: Framework, event: Subscribed) -> None:
    channel = CallChannel(subscription, access, _TIMING)
    try:
        channel.post("Teardown", encode_call(Teardown(), framework_id=event.framework_id, framework=probe))
    except (MasterUnavailable, CallRejected):
        return  # With a failover timeout of nothing the master forgets it at the end of the stream anyway.
    finally:
        channel.close()


def _version(event: Subscribed) -> Finding:
    version = event.master_version
    if version is None:
        return unknown(Check.VERSION, "the master does not say its version")
    numbers = tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
    if numbers < CONSTRAINTS_SINCE:
        return found(Check.VERSION, f"Mesos {version}; before 1.11 it offers what no job wants, which is declined")
    return found(Check.VERSION, f"Mesos {version}")


class _Agents(msgspec.Struct):
    agents: list[dict[str, Any]] = []


class _AgentsAnswer(msgspec.Struct):
    get_agents: _Agents


def _agents(scheduler_url: str, access: Access) -> Finding:
    """How many agents the leader has; it may not be for us to know."""
    url = scheduler_url.removesuffix("/scheduler")
    session = InterruptibleSession(access)
    try:
        body = json.dumps({"type": "GET_AGENTS"}).encode()
        timeout = (_TIMING.connect_s, _TIMING.answer_s)
        with session.post(url, body, headers=dict(JSON_HEADERS), auth=access.auth, timeout=timeout) as response:
            if response.status_code != 200:
                text = f"{OPERATOR_API.path} answered {response.status_code}: {error_text(response)}"
                return unknown(Check.AGENTS, f"we may not see them ({text})", "offers come all the same")
            answer = msgspec.json.decode(b"".join(session.chunks(response)), type=_AgentsAnswer)
    except (Broken, LoginRefused, msgspec.DecodeError) as problem:
        return unknown(Check.AGENTS, f"the master does not say: {problem}")
    finally:
        session.close()
    active = sum(bool(agent.get("active")) for agent in answer.get_agents.agents)
    if not active:
        return failed(Check.AGENTS, "none is registered with this master", "start agents; nothing can run without")
    return found(Check.AGENTS, f"{active} active")
