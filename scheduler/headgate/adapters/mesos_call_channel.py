"""Calls to the master of one subscription, and what its answers mean.

Source: the order of checks in `Http::scheduler` of Mesos's `src/master/http.cpp`, and its texts.
"""

from __future__ import annotations

import threading
from typing import Final

import requests

from headgate.adapters.interruptible_http import (
    UNAUTHORIZED,
    Access,
    Broken,
    InterruptibleSession,
    LoginRefused,
    error_text,
    finish,
)
from headgate.adapters.mesos_subscription import JSON_HEADERS, STREAM_ID, Subscription, Timing
from headgate.errors import CallRejected, MasterUnavailable

_LATER: Final = frozenset({404, 408, 429})
_NOT_IMPLEMENTED: Final = 501
_NOT_SUBSCRIBED: Final = (
    "Framework is not subscribed",
    "Framework is not connected via HTTP",
    "Framework cannot be found",
    "didn't match the stream ID",
)
"""Refusals that say nothing about the call: this master has no such subscription (any more)."""


class SubscriptionLost(MasterUnavailable):
    """The master does not know the subscription that the call belongs to: subscribe anew."""


class CallChannel:
    """Posts calls on connections of their own, for the stream has one to itself.  Any thread; one call at a time."""

    def __init__(self, subscription: Subscription, access: Access, timing: Timing) -> None:
        self._session = InterruptibleSession(access)
        self._url = subscription.url
        self._auth = access.auth if subscription.trusted else None
        self._headers = dict(JSON_HEADERS)
        if subscription.stream_id is not None:
            self._headers[STREAM_ID] = subscription.stream_id
        self._posting = threading.Lock()
        self._timeout = (timing.connect_s, timing.answer_s)

    def post(self, kind: str, body: bytes) -> None:
        """Hand over one call.

        Never repeats it: an ACCEPT that did arrive and whose answer was lost must not arrive twice.

        Raises:
            SubscriptionLost: subscribe anew.
            MasterUnavailable: no answer, or none of a leading master; the outcome is unknown.
            CallRejected: the call itself is not acceptable.
        """
        with self._posting:
            try:
                response = self._session.post(
                    self._url, body, headers=self._headers, auth=self._auth, timeout=self._timeout
                )
            except Broken as problem:
                raise MasterUnavailable(f"{kind}: no answer from {self._url}: {problem}") from problem
            except LoginRefused as problem:
                raise CallRejected(f"{kind}: {problem}", status=UNAUTHORIZED) from problem
            try:
                self._check(kind, response)
            finally:
                response.close()

    def interrupt(self) -> None:
        """End a call under way, and any later one; any thread."""
        self._session.interrupt()

    def close(self) -> None:
        """Give the connection back.  No call is under way or will be."""
        self._session.close()

    def _check(self, kind: str, response: requests.Response) -> None:
        status = response.status_code
        if 200 <= status < 300:
            finish(response)
            return
        text = error_text(response)
        what = f"{kind}: {self._url} answered {status}" + (f": {text}" if text else "")
        if 300 <= status < 400 or (status in (400, 403) and any(each in text for each in _NOT_SUBSCRIBED)):
            raise SubscriptionLost(what)
        if status in _LATER or (status >= 500 and status != _NOT_IMPLEMENTED):
            raise MasterUnavailable(what)
        raise CallRejected(what, status=status)
