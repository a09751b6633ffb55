"""Who leads, by ZooKeeper: every scheduler keeps a numbered node as long as its session lasts; the smallest leads.

One thread looks again and again at how things are, and whenever a watch tells that they have changed; no event has to
arrive for an election to go on.  The leader proves itself by setting its own node, which only a living session can; the
proof is good for the session's timeout, counted from before it was asked for, and nobody else can lead before that.
When the proof runs out, or the session is lost, the lead is over, and what follows is a new one.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

import msgspec

from headgate.adapters.lease import Lease
from headgate.adapters.zk_session import ZkSession, unique_name
from headgate.errors import StoreUnavailable
from headgate.ports import Clock, Lead

log = logging.getLogger(__name__)

_LOOKS_PER_SESSION: Final = 6
_STOP_S: Final = 15.0


class _Candidate(msgspec.Struct, frozen=True):
    """What a candidate's node says of it."""

    url: str


class ZkElection:
    """A `ports.Election` in a session that others end."""

    def __init__(self, session: ZkSession, *, clock: Clock) -> None:
        self._session: Final = session
        self._clock: Final = clock
        self._folder: Final = f"{session.root}/candidates"
        self._name: str | None = None
        self._left_behind: set[str] = set()
        self._url = ""
        self._leader: str | None = None
        self._lease: Lease | None = None
        self._given: Lease | None = None
        self._problem: str | None = None
        self._changed: Final = threading.Condition()
        self._awake: Final = threading.Event()
        self._closing: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="headgate-election", daemon=True)
        session.on_lost(self._on_lost)

    def start(self, url: str) -> None:
        """See the port."""
        self._url = url
        self._session.start()
        self._thread.start()

    def lead(self, timeout_s: float) -> Lead | None:
        """See the port."""
        with self._changed:
            if not self._changed.wait_for(self._has_news, timeout_s):
                return None
            self._given = self._lease
            return self._given

    def leader(self) -> str | None:
        """See the port."""
        return self._leader

    def resign(self) -> None:
        """See the port."""
        self._let_go("we stand behind the others")
        self._withdraw()
        self._awake.set()

    def close(self) -> None:
        """See the port."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        self._let_go("this scheduler ends")
        self._withdraw()

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._look()
            except StoreUnavailable as problem:
                self._tell(str(problem))
                self._leader = None
            else:
                self._tell(None)
            if self._lease is not None and self._lease.over:
                self._let_go("it could not be renewed within the session's timeout")
            self._awake.wait(self._session.session_s / _LOOKS_PER_SESSION)
            self._awake.clear()

    def _look(self) -> None:
        asked_at = self._clock.monotonic()
        candidates = in_order(self._session.children(self._folder, watch=self._on_change))
        if self._sweep(candidates):
            return
        mine = next((each for each in candidates if self._name is not None and each.startswith(self._name)), None)
        if mine is None:
            self._let_go("our candidacy is gone")
            self._stand()
            return
        first = candidates[0]
        if first != mine:
            self._let_go("another is before us")
            found = self._session.get(f"{self._folder}/{first}")
            self._leader = None if found is None else _url_in(found.data)
        elif self._session.set(f"{self._folder}/{mine}", self._description()) is None:
            self._let_go("our candidacy is gone")
            self._awake.set()
        else:
            self._hold_until(asked_at + self._session.session_s)

    def _stand(self) -> None:
        self._session.prepare(self._folder)
        self._name = name = unique_name()
        self._session.create_numbered(f"{self._folder}/{name}_", self._description())
        self._awake.set()

    def _withdraw(self) -> None:
        name, self._name = self._name, None
        if name is None:
            return
        self._left_behind.add(name)
        try:
            self._sweep(self._session.children(self._folder))
        except StoreUnavailable as problem:
            log.warning("our candidacy ends with the session, if not before: %s", problem)

    def _sweep(self, candidates: list[str]) -> bool:
        """Delete candidacies that we gave up; whether there were any.  One left first would keep all from leading."""
        found = [each for each in candidates if each.partition("_")[0] in self._left_behind]
        for each in found:
            self._session.delete(f"{self._folder}/{each}")
        if found:
            self._awake.set()
        return bool(found)

    def _hold_until(self, until: float) -> None:
        self._leader = self._url
        lease = self._lease
        if lease is not None and not lease.over:
            lease.renew(until)
            return
        self._let_go("it ran out")
        log.info("this scheduler leads now")
        with self._changed:
            self._lease = Lease(self._clock, reached=lambda: self._session.connected, until=until)
            self._changed.notify_all()

    def _let_go(self, reason: str) -> None:
        with self._changed:
            lease, self._lease = self._lease, None
        if lease is not None:
            log.warning("the lead is over: %s", reason)
            lease.end()

    def _has_news(self) -> bool:
        return self._lease is not None and self._lease is not self._given

    def _on_change(self, _event: object) -> None:
        self._awake.set()

    def _on_lost(self) -> None:
        # The connection may come back to the same session: what has become of us is found out by looking.
        self._awake.set()

    def _description(self) -> bytes:
        return msgspec.json.encode(_Candidate(url=self._url))

    def _tell(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            log.warning("cannot take part in the election: %s", problem)
        self._problem = problem


def in_order(candidates: list[str]) -> list[str]:
    """Candidates by the number at the end of their names."""
    numbered = [(name.rpartition("_")[2], name) for name in candidates]
    return [name for number, name in sorted((int(number), name) for number, name in numbered if number.isdigit())]


def _url_in(data: bytes) -> str | None:
    try:
        return msgspec.json.decode(data, type=_Candidate).url
    except msgspec.DecodeError:
        return None
