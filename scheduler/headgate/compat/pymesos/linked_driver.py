"""What the drivers have in common: a link, its thread, and callbacks that run there."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from random import Random
from typing import Any, Final

from headgate.adapters.clock import SystemClock
from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_detection import Masters
from headgate.adapters.mesos_link import Line, MesosLink
from headgate.adapters.mesos_subscription import Api, Timing
from headgate.compat.pymesos.data import Dict, Json
from headgate.errors import CallRejected, MasterUnavailable

log = logging.getLogger(__name__)

DAY: Final = 86400.0


class CallNotSent(RuntimeError):
    """There is no subscription, or no answer: whether the call has arrived is unknown."""


class CallRefused(RuntimeError):
    """The call itself was refused; the same call will be refused again."""


class LinkedDriver:
    """Life of a driver: `start`, `stop` or `abort`, `join`; `run` is start and join.

    A subclass says how to subscribe, and what the records mean.
    """

    def __init__(self, *, api: Api, find: Callable[[], Masters], access: Access, use_addict: bool) -> None:
        """`find` is asked at each start."""
        self._api = api
        self._find = find
        self._access = access
        self._dict = Dict if use_addict else dict
        self._clock: Final = SystemClock()
        self._link: MesosLink | None = None
        self._masters: Masters | None = None
        self._line: Line | None = None
        self._failure: BaseException | None = None
        self._timing = Timing()

    @property
    def connected(self) -> bool:
        """Whether there is a subscription."""
        return self._line is not None

    @property
    def aborted(self) -> bool:
        """Whether the driver has not been started, or has ended."""
        return self._link is None or self._link.stopping

    @property
    def master(self) -> str | None:
        """`host:port` of whoever has granted the subscription."""
        line = self._line
        return None if line is None else line.url.partition("://")[2].partition("/")[0]

    def start(self) -> None:
        """Begin, in a thread of its own.  A driver that has ended can be started again."""
        if not self.aborted:
            log.warning("the driver has been started already")
            return
        self.join()
        self._failure = None
        self._masters = self._find()
        self._link = MesosLink(
            self,
            api=self._api,
            masters=self._masters,
            access=self._access,
            timing=self._timing,
            clock=self._clock,
            rng=Random(),
            thread_name="mesos-callbacks",
        )
        self._link.start()

    def stop(self) -> None:
        """End; callbacks under way are the last ones.  May be called from a callback."""
        if self._link is not None:
            self._link.end()

    def abort(self) -> None:
        """The same as `stop`."""
        self.stop()

    def join(self) -> None:
        """Wait for the end, and raise what a callback has raised."""
        if self._link is None:
            return
        self._link.join()
        self._link = None
        if self._masters is not None:
            self._masters.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def run(self) -> None:
        """Start, and wait for the end."""
        self.start()
        self.join()

    # For the subclass.

    def _post(self, kind: str, call: Json) -> None:
        """Raises CallNotSent, CallRefused."""
        link = self._link
        try:
            if link is None:
                raise MasterUnavailable(f"{kind} was not sent: the driver has not been started")
            link.line(kind).post(kind, json.dumps(call).encode())
        except MasterUnavailable as problem:
            raise CallNotSent(str(problem)) from problem
        except CallRejected as problem:
            raise CallRefused(str(problem)) from problem

    def _call_back(self, method: Callable[..., None], *arguments: Any) -> None:
        try:
            method(*arguments)
        except CallNotSent as problem:
            log.warning("in %s: %s", getattr(method, "__name__", method), problem)
        except Exception as problem:
            self._failure = problem
            log.exception("%s failed; the driver ends", getattr(method, "__name__", method))
            self.failed()

    def _opened(self, line: Line) -> None:
        line.open_for_calls()
        self._line = line

    def _given(self, message: Json) -> Json:
        return self._dict(message)

    def failed(self) -> None:
        """A callback has raised."""
        self.stop()

    # What the link asks for.

    def subscribe_body(self) -> bytes:
        """See `mesos_link.Conversation`."""
        raise NotImplementedError

    def heard(self, record: bytes, line: Line) -> None:
        """See `mesos_link.Conversation`."""
        try:
            event = json.loads(record)
            kind = event["type"]
            body = event.get(kind.lower(), {})
        except (ValueError, KeyError, TypeError, AttributeError):
            log.error("a record that is no event is passed over: %r", record[:200])
            return
        self.on_event(kind, body, line)

    def on_event(self, kind: str, body: Json, line: Line) -> None:
        """An event of that type, and what is under its name."""
        raise NotImplementedError

    def lost(self, reason: str) -> None:  # noqa: ARG002 - for subclasses
        """See `mesos_link.Conversation`."""
        self._line = None

    def missed(self, reason: str) -> None:
        """See `mesos_link.Conversation`."""

    def denied(self, message: str) -> None:
        """See `mesos_link.Conversation`."""
        raise NotImplementedError
