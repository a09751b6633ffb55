"""The operators' event streams: the state first, then what happens."""

from __future__ import annotations

from headgate.simulator.master import views
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.messages import Json, Stream, StreamEvent

MAX_SUBSCRIBERS = 1000


class Watchers:
    """Subscribers of the operator API; the oldest is dropped when there are too many."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def subscribe(self) -> Stream:
        """SUBSCRIBE of the operator API."""
        ledger = self._ledger
        stream = ledger.new_stream_id()
        subscribed: Json = {
            "get_state": views.get_state(ledger),
            "heartbeat_interval_seconds": ledger.settings.heartbeat_interval,
        }
        self._write(stream, {"type": "SUBSCRIBED", "subscribed": subscribed})
        ledger.watchers.append(stream)
        if len(ledger.watchers) > MAX_SUBSCRIBERS:
            oldest = ledger.watchers.pop(0)
            ledger.end_stream(oldest)
        self._heartbeat(stream)
        return Stream(stream=stream)

    def _heartbeat(self, stream: str) -> None:
        ledger = self._ledger
        if stream in ledger.watchers:
            self._write(stream, {"type": "HEARTBEAT"})
            ledger.agenda.at(ledger.now + ledger.settings.heartbeat_interval, lambda: self._heartbeat(stream))

    def _write(self, stream: str, event: Json) -> None:
        self._ledger.outbox.append(StreamEvent(stream=stream, event=event))
