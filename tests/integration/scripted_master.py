"""A Mesos master of which a test writes every byte: real sockets and HTTP, no logic of its own."""

from __future__ import annotations

import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from headgate.model.event import Heartbeat, MasterEvent

PATIENCE_S = 30.0
"""How long a test waits for what must come; far more than it takes."""


@dataclass
class Exchange:
    """One request, and the means to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: socket.socket
    connection_number: int
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def call(self) -> dict[str, Any]:
        """The body as JSON."""
        return json.loads(self.body)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer; the connection stays."""
        lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.raw("\r\n".join([*lines, "", ""]).encode() + body)
        self.finished.set()

    def grant(self, stream_id: str = "stream-1", *, framework_id: str = "F-1", heartbeat_s: float = 15.0) -> None:
        """Begin the stream, with SUBSCRIBED and a heartbeat."""
        self.begin(stream_id)
        self.record(subscribed(framework_id, heartbeat_s))
        self.record({"type": "HEARTBEAT"})

    def begin(self, stream_id: str = "stream-1") -> None:
        """The head of a stream's answer."""
        self.raw(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            + f"Mesos-Stream-Id: {stream_id}\r\n\r\n".encode()
        )

    def record(self, record: bytes | dict[str, Any]) -> None:
        """One record in a chunk of its own, as Mesos writes them."""
        self.chunk(framed(record))

    def chunk(self, content: bytes) -> None:
        """One chunk of HTTP."""
        self.raw(b"%x\r\n%b\r\n" % (len(content), content))

    def raw(self, content: bytes) -> None:
        """Bytes as they are."""
        self.connection.sendall(content)

    def end(self) -> None:
        """End the stream as it should be."""
        self.raw(b"0\r\n\r\n")
        self.finished.set()

    def drop(self) -> None:
        """Break the connection."""
        self.connection.shutdown(socket.SHUT_RDWR)
        self.finished.set()


def framed(record: bytes | dict[str, Any]) -> bytes:
    """A record with its length before it."""
    content = record if isinstance(record, bytes) else json.dumps(record).encode()
    return b"%d\n%b" % (len(content), content)


def subscribed(framework_id: str = "F-1", heartbeat_s: float = 15.0) -> dict[str, Any]:
    """The first event of a stream."""
    return {
        "type": "SUBSCRIBED",
        "subscribed": {
            "framework_id": {"value": framework_id},
            "heartbeat_interval_seconds": heartbeat_s,
            "master_info": {"id": "m", "address": {"hostname": "m", "ip": "127.0.0.1", "port": 5050}},
        },
    }


def rescind(offer_id: str) -> dict[str, Any]:
    """The smallest event that says which one it is."""
    return {"type": "RESCIND", "rescind": {"offer_id": {"value": offer_id}}}


class ScriptedMaster:
    """Hands SUBSCRIBE requests to the test and answers calls with 202, or as `answer` likes."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.subscribes: queue.Queue[Exchange] = queue.Queue()
        self.calls: queue.Queue[Exchange] = queue.Queue()
        self.answer: Callable[[Exchange], None] = lambda exchange: exchange.reply(202)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._closed = False
        self._connections: list[socket.socket] = []
        self._exchanges: list[Exchange] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def next_subscribe(self) -> Exchange:
        """The next SUBSCRIBE, when it comes."""
        return self.subscribes.get(timeout=PATIENCE_S)

    def next_call(self) -> Exchange:
        """The next other call, when it comes; it has been answered or is being."""
        return self.calls.get(timeout=PATIENCE_S)

    def close(self) -> None:
        """Break everything off and wait for the threads."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE_S)
        with self._lock:
            self._closed = True
            for exchange in self._exchanges:
                exchange.finished.set()
            for connection in self._connections:
                _shut_down(connection)
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection, len(self._threads)))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with self._lock:
                self._connections.append(connection)
                if self._closed:
                    _shut_down(connection)
            with connection, connection.makefile("rb") as reader:
                while (exchange := _read(reader, connection, number)) is not None:
                    with self._lock:
                        self._exchanges.append(exchange)
                        if self._closed:
                            return
                    if exchange.call["type"] == "SUBSCRIBE":
                        self.subscribes.put(exchange)
                    else:
                        self.calls.put(exchange)
                        self.answer(exchange)
                    assert exchange.finished.wait(PATIENCE_S * 2)
        except OSError:
            connection.close()  # The client is gone, which may be the point of the test.

    def __enter__(self) -> ScriptedMaster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(reader: Any, connection: socket.socket, number: int) -> Exchange | None:
    first = reader.readline().decode().split()
    if not first:
        return None
    headers: dict[str, str] = {}
    while line := reader.readline().decode().rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", "0"))
    body = reader.read(length)
    if len(body) < length or not length:
        return None  # The client broke off; a request of Mesos always has a body.
    return Exchange(
        method=first[0], path=first[1], headers=headers, body=body, connection=connection, connection_number=number
    )


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # Already gone.


class Mailbox:
    """Where a driver delivers; heartbeats, which come at any time, are counted and not kept."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.events: list[MasterEvent] = []
        self.heartbeats = 0

    def deliver(self, event: MasterEvent) -> None:
        """Take an event."""
        with self._changed:
            if isinstance(event, Heartbeat):
                self.heartbeats += 1
            else:
                self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, count: int, kind: type[MasterEvent]) -> list[MasterEvent]:
        """All events so far, once there are so many of a kind."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: sum(isinstance(event, kind) for event in self.events) >= count, PATIENCE_S
            )
            assert arrived, f"waited for {count} {kind.__name__}: {self.events}"
            return list(self.events)


class ManualClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return self.at
