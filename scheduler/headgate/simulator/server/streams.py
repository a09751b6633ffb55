"""Buffers of events between the model, which never waits, and connections, which may be slow or gone.

One thread, one event loop.  A buffer that outgrows its bound is given up: its connection breaks, and the client has to
subscribe again.
"""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import Callable

from headgate.simulator.messages import Json
from millstream.contract.recordio import encode

STREAM_BYTES_MAX = 64 * 1024 * 1024
"""What may wait for one slow reader; an event of 10,000 offers is about 20 MiB."""


class Ending(enum.Enum):
    """How a stream came to its end."""

    CLEAN = "the server has nothing more to say"
    ABANDONED = "the client has gone"
    OVERFLOWED = "the client was too slow"


class StreamBuffer:
    """The events that one connection has still to write.

    `on_overflow` is to break the connection: whoever writes to it may be stuck there.
    """

    def __init__(self, to_bytes: Callable[[Json], bytes], bytes_max: int = STREAM_BYTES_MAX) -> None:
        self._to_bytes, self._bytes_max = to_bytes, bytes_max
        self._records: deque[bytes] = deque()
        self._bytes = 0
        self._ending: Ending | None = None
        self._changed = asyncio.Event()
        self.on_overflow: Callable[[], None] | None = None

    def write(self, event: Json) -> None:
        """Add an event; after the end this does nothing."""
        if self._ending:
            return
        record = encode(self._to_bytes(event))
        if self._records and self._bytes + len(record) > self._bytes_max:
            self.finish(Ending.OVERFLOWED)
            if self.on_overflow:
                self.on_overflow()
            return
        self._records.append(record)
        self._bytes += len(record)
        self._changed.set()

    def finish(self, ending: Ending) -> None:
        """No more events.  What waits is still read if the ending is clean, and dropped otherwise."""
        if self._ending and ending is Ending.CLEAN:
            return
        self._ending = ending
        if ending is not Ending.CLEAN:
            self._records.clear()
        self._changed.set()

    async def next(self) -> bytes | Ending:
        """The next framed record, or how the stream ended, whenever it comes."""
        while not self._records and not self._ending:
            self._changed.clear()
            await self._changed.wait()
        if self._records:
            record = self._records.popleft()
            self._bytes -= len(record)
            return record
        assert self._ending
        return self._ending


class Streams:
    """All open streams of a cluster, by their id."""

    def __init__(self) -> None:
        self._open: dict[str, StreamBuffer] = {}

    def open(self, stream: str, to_bytes: Callable[[Json], bytes]) -> StreamBuffer:
        """Begin a stream; the caller reads it and closes it."""
        assert stream not in self._open, f"stream {stream} is open already"
        self._open[stream] = StreamBuffer(to_bytes)
        return self._open[stream]

    def write(self, stream: str, event: Json) -> None:
        """Add an event to a stream; nobody misses one for a stream that is closed."""
        if buffer := self._open.get(stream):
            buffer.write(event)

    def end(self, stream: str) -> None:
        """End a stream cleanly once all before it has been read."""
        if buffer := self._open.get(stream):
            buffer.finish(Ending.CLEAN)

    def close(self, stream: str) -> None:
        """Forget a stream: its reader is done."""
        self._open.pop(stream, None)
