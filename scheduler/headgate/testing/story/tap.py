"""A master's address with a view: a proxy on loopback between a framework and its master, simulated or real.

Frameworks talk to it as to the master.  Every call of the scheduler API and every event is told to `heard`, as JSON
whatever the framework speaks; streams can be broken, or go silent, without the master's help.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from headgate.simulator.messages import Json, Reply
from headgate.simulator.schema.protobuf import decode
from headgate.simulator.schema.requests import Api, read_binary_call

SCHEDULER_PATH: Final = "/api/v1/scheduler"
_HOP_BY_HOP: Final = frozenset({"connection", "transfer-encoding", "content-length", "host", "keep-alive"})
_CONNECT_S: Final = 10.0

Listener = Callable[[str, Json], None]
"""Called with "call" or "event" and the message, from the proxy's threads, one at a time."""


class Tap:
    """Serves from the moment it is made until `close`; `address` is where."""

    def __init__(self, master: str, heard: Listener) -> None:
        self.master: Final = master
        self._heard = heard
        self._lock = threading.Lock()
        self._streams: set[_Stream] = set()
        self._closing = False
        tap = self

        class Handler(_Handler):
            def __init__(self, *arguments: Any) -> None:
                self.tap = tap
                super().__init__(*arguments)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """`host:port`."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def break_streams(self) -> None:
        """Reset every stream that is open."""
        for stream in self._open():
            stream.end()

    def silence_streams(self) -> None:
        """Let nothing more through on the streams that are open."""
        for stream in self._open():
            stream.silent = True

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        with self._lock:
            self._closing = True
        self.break_streams()
        self._server.server_close()
        self._thread.join()

    def tell(self, kind: str, message: Json) -> None:
        """Pass on what was said."""
        with self._lock:
            self._heard(kind, message)

    def opened(self, stream: _Stream) -> None:
        """A stream begins; while the tap closes, it ends at once."""
        with self._lock:
            self._streams.add(stream)
            if self._closing:
                stream.end()

    def closed(self, stream: _Stream) -> None:
        """A stream is over."""
        with self._lock:
            self._streams.discard(stream)

    def _open(self) -> list[_Stream]:
        with self._lock:
            return list(self._streams)


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever hangs up has its reasons."""


class _Stream:
    """Two connections of which one carries events to the other."""

    def __init__(self, client: socket.socket, upstream: http.client.HTTPConnection) -> None:
        self._client = client
        self._upstream = upstream
        self.silent = False

    def end(self) -> None:
        """Shut both; the threads that read them find out."""
        for each in (self._upstream.sock, self._client):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tap: Tap

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (its name in the library)
        """Say nothing."""

    def do_GET(self) -> None:
        self._forward(b"")

    def do_POST(self) -> None:
        body = b"".join(self._chunks()) if self._is_chunked() else self._sized()
        is_binary = "protobuf" in self.headers.get("Content-Type", "")
        if self.path == SCHEDULER_PATH:
            call = _call(body, is_binary=is_binary)
            if call is not None:
                self.tap.tell("call", call)
        self._forward(body)

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "")

    def _sized(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _forward(self, body: bytes) -> None:
        upstream = http.client.HTTPConnection(self.tap.master, timeout=_CONNECT_S)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            try:
                upstream.request(self.command, self.path, body=body or None, headers=headers)
                answer = upstream.getresponse()
            except (OSError, http.client.HTTPException):
                # As if the master were not there: the framework's connection breaks.
                self.close_connection = True
                return
            self._answer(upstream, answer)
        finally:
            upstream.close()

    def _answer(self, upstream: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        streams = answer.chunked and self.path == SCHEDULER_PATH and answer.status == 200
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value.replace(self.tap.master, self.tap.address))
        if streams:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._stream(upstream, answer)
            return
        body = answer.read()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, upstream: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        stream = _Stream(self.connection, upstream)
        records = _Records(is_binary="protobuf" in answer.getheader("Content-Type", ""))
        self.close_connection = True
        assert upstream.sock is not None
        upstream.sock.settimeout(None)
        self.tap.opened(stream)
        try:
            while piece := answer.read1(65536):
                if stream.silent:
                    continue
                for event in records.feed(piece):
                    self.tap.tell("event", event)
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            pass  # Either end is gone, and the other learns of it now.
        finally:
            self.tap.closed(stream)


class _Records:
    """RecordIO as it comes, to events."""

    def __init__(self, *, is_binary: bool) -> None:
        self._is_binary = is_binary
        self._waiting = b""

    def feed(self, piece: bytes) -> Iterator[Json]:
        """The events that are whole now."""
        self._waiting += piece
        while True:
            head, newline, rest = self._waiting.partition(b"\n")
            if not newline or len(rest) < int(head):
                return
            record, self._waiting = rest[: int(head)], rest[int(head) :]
            yield decode("scheduler.Event", record) if self._is_binary else json.loads(record)


def _call(body: bytes, *, is_binary: bool) -> Json | None:
    """A call as JSON; None: it is none, and the master will say so."""
    if is_binary:
        call = read_binary_call(Api.SCHEDULER, body)
        return None if isinstance(call, Reply) else call
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
