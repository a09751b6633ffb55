"""Reliable delivery of updates: one FIFO per task (or operation), its head repeated until it is acknowledged.

Only the head of a stream is on its way at a time; the next follows its acknowledgement.  A head is repeated unchanged
after 10 s, then after twice as long each time, at most 10 min.  Streams know nothing of each other.  While paused
nothing is handed out; `resume` hands out every head and starts its times anew.  An acknowledged terminal update closes
its stream, whatever waits behind it.

Source: task_status_update_manager.cpp and status_update_manager_process.hpp of Mesos.
"""

from __future__ import annotations

import base64
import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from headgate.simulator.messages import Json

FIRST_RETRY_S = 10.0
LAST_RETRY_S = 600.0

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One update.  `uuid` is base64 text; `timestamp_added` is of no meaning here."""

    uuid: str
    terminal: bool
    status: Json
    timestamp_added: bool = False


class Outcome(enum.Enum):
    """What an acknowledgement did."""

    IGNORED = "no such stream, or not the uuid of its head"
    TAKEN = "the head is off; the stream goes on"
    CLOSED = "the head was terminal; the stream is gone"


@dataclass(slots=True)
class _Stream:
    pending: deque[Update] = field(default_factory=deque)
    seen: set[bytes] = field(default_factory=set)
    interval_s: float = FIRST_RETRY_S
    retry_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStream:
    """One stream as a checkpoint keeps it."""

    key: Key
    pending: tuple[Update, ...]
    seen: frozenset[bytes]


class UpdateStreams:
    """All streams of one agent.  Starts paused."""

    def __init__(self) -> None:
        self._streams: dict[Key, _Stream] = {}
        self.paused = True

    def add(self, key: Key, update: Update, *, now: float) -> Update | None:
        """Take an update in; returned if it has to be sent now.  One whose uuid was seen before is dropped."""
        stream = self._streams.setdefault(key, _Stream())
        identity = base64.b64decode(update.uuid)
        if identity in stream.seen:
            return None
        stream.seen.add(identity)
        stream.pending.append(update)
        return self._send_head(stream, now=now) if len(stream.pending) == 1 else None

    def acknowledge(self, key: Key, uuid: str, *, now: float) -> tuple[Outcome, Update | None]:
        """Take the head off if it has this uuid; with it comes the update to be sent now, if any."""
        stream = self._streams.get(key)
        if stream is None or not stream.pending:
            return Outcome.IGNORED, None
        head = stream.pending[0]
        if base64.b64decode(head.uuid) != base64.b64decode(uuid):
            return Outcome.IGNORED, None
        stream.pending.popleft()
        if head.terminal:
            del self._streams[key]
            return Outcome.CLOSED, None
        return Outcome.TAKEN, self._send_head(stream, now=now)

    def pause(self) -> None:
        """Hand out nothing until `resume`."""
        self.paused = True

    def resume(self, *, now: float) -> list[tuple[Key, Update]]:
        """Every head, to be sent now."""
        self.paused = False
        heads = [(key, self._send_head(stream, now=now)) for key, stream in self._streams.items()]
        return [(key, head) for key, head in heads if head is not None]

    def due(self, *, now: float) -> list[tuple[Key, Update]]:
        """The heads to be sent again."""
        if self.paused:
            return []
        found: list[tuple[Key, Update]] = []
        for key, stream in self._streams.items():
            if stream.retry_at is not None and stream.retry_at <= now:
                stream.interval_s = min(stream.interval_s * 2, LAST_RETRY_S)
                stream.retry_at = now + stream.interval_s
                found.append((key, stream.pending[0]))
        return found

    def wake_at(self) -> float | None:
        """When `due` has something next."""
        if self.paused:
            return None
        return min((stream.retry_at for stream in self._streams.values() if stream.retry_at is not None), default=None)

    def close(self, wanted: Callable[[Key], bool]) -> None:
        """Forget streams and all that waits in them."""
        self._streams = {key: stream for key, stream in self._streams.items() if not wanted(key)}

    def stored(self, wanted: Callable[[Key], bool]) -> tuple[StoredStream, ...]:
        """What a checkpoint keeps of the wanted streams."""
        return tuple(
            StoredStream(key=key, pending=tuple(stream.pending), seen=frozenset(stream.seen))
            for key, stream in self._streams.items()
            if wanted(key)
        )

    def restore(self, streams: tuple[StoredStream, ...]) -> None:
        """Take up streams from a checkpoint; their heads are sent at `resume`."""
        for stored in streams:
            self._streams[stored.key] = _Stream(pending=deque(stored.pending), seen=set(stored.seen))

    def _send_head(self, stream: _Stream, *, now: float) -> Update | None:
        if self.paused or not stream.pending:
            stream.retry_at = None
            return None
        stream.interval_s = FIRST_RETRY_S
        stream.retry_at = now + FIRST_RETRY_S
        return stream.pending[0]
