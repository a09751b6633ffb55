"""A Mesos agent that does what a test tells it: the Executor API on a real socket, with one executor.

It keeps every call, acknowledges updates unless told not to, and can refuse, split, break and end its streams.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any, TypeVar

from millstream.contract.recordio import encode

PATIENCE_S = 30.0
Json = dict[str, Any]
T = TypeVar("T")

SUBSCRIBED: Json = {
    "type": "SUBSCRIBED",
    "subscribed": {
        "executor_info": {"executor_id": {"value": "e1"}},
        "framework_info": {"name": "headgate", "capabilities": [{"type": "TASK_KILLING_STATE"}]},
        "agent_info": {"id": {"value": "agent-1"}, "hostname": "localhost"},
        "container_id": {"value": "container-1"},
    },
}


class AgentStream:
    """The agent's end of one subscription."""

    def __init__(self, subscribe: Json, headers: dict[str, str]) -> None:
        self.subscribe = subscribe
        self.headers = headers
        self._commands: SimpleQueue[tuple[str, bytes]] = SimpleQueue()

    def send(self, event: Json) -> None:
        """One event in one chunk."""
        self._commands.put(("chunk", encode(json.dumps(event).encode())))

    def send_chunk(self, piece: bytes) -> None:
        """Bytes as a chunk of their own, wherever records begin and end."""
        self._commands.put(("chunk", piece))

    def end(self) -> None:
        """End well: with the last chunk."""
        self._commands.put(("end", b""))

    def drop(self) -> None:
        """Reset the connection."""
        self._commands.put(("drop", b""))

    def write_to(self, connection: socket.socket) -> None:
        """Carry out commands until the end."""
        while True:
            command, piece = self._commands.get()
            if command == "chunk":
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            elif command == "end":
                connection.sendall(b"0\r\n\r\n")
                return
            else:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return


class ScriptedAgent:
    """Calls as they came, and levers for what goes back.  Everything here may be used from the test's thread."""

    def __init__(self) -> None:
        self.calls: list[Json] = []
        self.streams: list[AgentStream] = []
        self.headers: list[dict[str, str]] = []
        self.refuse_next: deque[tuple[str, int, str]] = deque()
        self.greets = True
        self.acknowledges = True
        self._changed = Condition()

    def wait_for(self, found: Callable[[], T | bool | None]) -> T:
        """The first true result of `found`, asked again after each call that comes in."""
        with self._changed:
            result: list[Any] = []

            def look() -> bool:
                value = found()
                result[:] = [value]
                return bool(value)

            assert self._changed.wait_for(look, PATIENCE_S), f"did not happen; calls: {self.calls}"
            return result[0]  # type: ignore[no-any-return]

    def stream(self, number: int = 0) -> AgentStream:
        """The stream of the subscription of that number, counted from 0."""
        return self.wait_for(lambda: self.streams[number] if len(self.streams) > number else None)

    def of_type(self, kind: str) -> list[Json]:
        """Calls of a type."""
        return [call for call in self.calls if call["type"] == kind]

    def states(self) -> list[str]:
        """States of all UPDATE calls, in order."""
        return [call["update"]["status"]["state"] for call in self.of_type("UPDATE")]

    def messages(self) -> list[bytes]:
        """Data of all MESSAGE calls."""
        return [base64.b64decode(call["message"]["data"]) for call in self.of_type("MESSAGE")]

    def took(self, call: Json, headers: dict[str, str]) -> tuple[int, str] | AgentStream | None:
        """What to answer: a refusal (status 0: close the connection instead), a stream, or None for 202."""
        with self._changed:
            if self.refuse_next and self.refuse_next[0][0] == call["type"]:
                _, status, text = self.refuse_next.popleft()
                self._changed.notify_all()
                return status, text
            self.calls.append(call)
            self.headers.append(headers)
            answer: AgentStream | None = None
            if call["type"] == "SUBSCRIBE":
                answer = AgentStream(call, headers)
                if self.greets:
                    answer.send(SUBSCRIBED)
                self.streams.append(answer)
                for update in call["subscribe"]["unacknowledged_updates"]:
                    self._acknowledge(update["status"])
            elif call["type"] == "UPDATE":
                self._acknowledge(call["update"]["status"])
            self._changed.notify_all()
            return answer

    def _acknowledge(self, status: Json) -> None:
        if self.acknowledges and self.streams:
            body = {"task_id": status["task_id"], "uuid": status["uuid"]}
            self.streams[-1].send({"type": "ACKNOWLEDGED", "acknowledged": body})


@contextmanager
def scripted_agent(tls: ssl.SSLContext | None = None) -> Iterator[tuple[ScriptedAgent, str]]:
    """A running agent and its `ip:port`."""
    agent = ScriptedAgent()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            assert self.path == "/api/v1/executor", self.path
            assert self.headers["Content-Type"] == "application/json"
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = agent.took(call, dict(self.headers))
            if answer is None:
                self._short(202, "")
            elif isinstance(answer, tuple) and answer[0] == 0:
                self.close_connection = True
            elif isinstance(answer, tuple):
                self._short(*answer)
            else:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.close_connection = True
                try:
                    answer.write_to(self.connection)
                except (BrokenPipeError, ConnectionResetError):
                    return

        def _short(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is no error of the agent's."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield agent, f"127.0.0.1:{server.server_address[1]}"
    finally:
        for stream in agent.streams:
            stream.end()
        server.shutdown()
        server.server_close()
        thread.join()
