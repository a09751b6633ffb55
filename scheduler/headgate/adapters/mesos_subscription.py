"""One subscription to the leading master: finding it, asking, and the records it then sends.

Redirects are followed here rather than by the HTTP library, because the body has to go along and the credentials may
not go everywhere.

Source: Mesos, `docs/scheduler-http-api.md`, and the answers of `Http::scheduler` in `src/master/http.cpp`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests

from headgate.adapters.interruptible_http import Access, Broken, InterruptibleSession, LoginRefused, error_text
from headgate.adapters.mesos_detection import Masters, origin_of
from millstream.contract import recordio

HOPS_MAX: Final = 5
STREAM_ID: Final = "Mesos-Stream-Id"
JSON_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}

_REDIRECTS: Final = (307, 308)
_LATER: Final = frozenset({404, 408, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How patient the driver is.

    After `heartbeats_missed_max` heartbeats have not come, the stream is dead.  Waits between attempts are random
    between nothing and a bound that doubles from `backoff_s` to `backoff_max_s`; a subscription that has held for
    `settled_s` starts that anew.
    """

    connect_s: float = 5.0
    answer_s: float = 20.0
    heartbeats_missed_max: int = 5
    backoff_s: float = 0.5
    backoff_max_s: float = 15.0
    settled_s: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One of Mesos's v1 APIs: where it answers, and whether its streams have ids that calls must name."""

    path: str
    stream_ids: bool


SCHEDULER_API: Final = Api(path="/api/v1/scheduler", stream_ids=True)
EXECUTOR_API: Final = Api(path="/api/v1/executor", stream_ids=False)
OPERATOR_API: Final = Api(path="/api/v1", stream_ids=False)


class TryLater(Exception):
    """No subscription now, but there may be one later: no leader, a leader that recovers, a network that fails."""


class Denied(Exception):
    """No subscription until somebody mends something: the master refused, and will again."""


class Subscription:
    """A stream that has been granted.  `url` is the leader's endpoint for the calls, and `stream_id` goes with them."""

    def __init__(
        self,
        session: InterruptibleSession,
        response: requests.Response,
        *,
        url: str,
        trusted: bool,
        stream_id: str | None,
    ) -> None:
        self._session = session
        self._response = response
        self.url = url
        self.trusted = trusted
        self.stream_id = stream_id

    def records(self) -> Iterator[bytes]:
        """The records as they come, until the master ends the stream.

        Raises:
            Broken: cut off, or silent for too long.
            recordio.BrokenFraming: what comes are no records.
        """
        decoder = recordio.Decoder()
        for chunk in self._session.chunks(self._response):
            yield from decoder.feed(chunk)

    def expect_bytes_within(self, seconds: float) -> None:
        """From now on, longer silence ends the stream."""
        self._session.expect_bytes_within(seconds)

    def interrupt(self) -> None:
        """End the stream now; any thread."""
        self._session.interrupt()

    def close(self) -> None:
        """Give the connection back, so that the master, too, knows the end; for the thread that reads."""
        self._response.close()


def subscribe(
    session: InterruptibleSession, masters: Masters, api: Api, access: Access, timing: Timing, body: bytes
) -> Subscription:
    """Ask the master that is next in turn, and those it redirects to.

    Credentials go to masters the operator has named, and to nobody else, whoever redirects there.

    Raises:
        TryLater: not now.
        Denied: not like this.
    """
    base = masters.next()
    if base is None:
        raise TryLater("no Mesos master is known yet")
    url = base + api.path
    seen: list[str] = []
    while len(seen) <= HOPS_MAX:
        seen.append(url)
        trusted = access.auth is not None and masters.trusts(url)
        response = _ask(session, url, access, timing, body, trusted=trusted)
        if response.status_code == 200:
            stream_id = response.headers.get(STREAM_ID)
            if stream_id is None and api.stream_ids:
                raise TryLater(f"{url} answered without {STREAM_ID}: is it a Mesos master?")
            return Subscription(session, response, url=url, trusted=trusted, stream_id=stream_id)
        if response.status_code not in _REDIRECTS:
            raise _refusal(url, response, withheld=access.auth is not None and not trusted)
        url = redirect_target(url, response)
        response.close()
    raise TryLater(f"redirected more than {HOPS_MAX} times: {' → '.join(_brief(each) for each in seen)}")


def _ask(
    session: InterruptibleSession, url: str, access: Access, timing: Timing, body: bytes, *, trusted: bool
) -> requests.Response:
    try:
        return session.post(
            url,
            body,
            # No compression: a stream is of no use while somebody waits for a full block.
            headers={**JSON_HEADERS, "Accept-Encoding": "identity"},
            auth=access.auth if trusted else None,
            timeout=(timing.connect_s, timing.answer_s),
        )
    except Broken as problem:
        raise TryLater(f"{_brief(url)}: {problem}") from problem
    except LoginRefused as problem:
        raise Denied(str(problem)) from problem


def redirect_target(url: str, response: requests.Response) -> str:
    """Where a redirect leads; masters leave out the scheme (`//host:port/path`)."""
    location = response.headers.get("Location")
    if not location:
        raise TryLater(f"{_brief(url)} redirects to nowhere")
    target = urljoin(url, location)
    try:
        usable = urlsplit(target).scheme in ("http", "https") and bool(origin_of(target).host)
    except ValueError:
        usable = False
    if not usable:
        raise TryLater(f"{_brief(url)} redirects to {location!r}, which is no HTTP address")
    return target


def _refusal(url: str, response: requests.Response, *, withheld: bool) -> TryLater | Denied:
    status, text = response.status_code, error_text(response)
    response.close()
    what = f"{_brief(url)} answered {status}" + (f": {text}" if text else "")
    if status in _LATER or status >= 500:
        return TryLater(what)
    if status == 401 and withheld:
        return Denied(
            f"{what}; our credentials were not sent there, because it is none of the masters we were told of: "
            f"add {_brief(url)} to them"
        )
    if status == 401:
        return Denied(f"{what.rstrip('.')}; it wants other credentials: see --secret-file")
    if status in (301, 302, 303):
        return Denied(f"{what}, to {response.headers.get('Location')!r}; name that address as the master's")
    return Denied(what)


def _brief(url: str) -> str:
    origin = origin_of(url)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"{origin.scheme}://{host}:{origin.port}"
