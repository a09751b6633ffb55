"""A port with an HTTP server on it, which can die and come back the way a process does.

It stands on uvicorn's protocol class rather than on its `Server`: that one takes signals, polls, and only ever ends
gracefully; a simulated agent must be able to break all its connections at once and listen again on the same port.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

KEEP_ALIVE_SECONDS = 3600
"""Mesos never closes an idle connection; nor do we, within reason."""


DEATH_SECONDS_MAX = 5
"""Within this the requests of a broken connection must have noticed."""


class PortTaken(OSError):
    """The port asked for is in use."""

    def __init__(self, host: str, port: int, whose: str) -> None:
        super().__init__(
            errno.EADDRINUSE,
            f"port {port} of {host}, wanted for {whose}, is in use: name another, or 0 for any free one",
        )


def reserve(host: str, port: int, whose: str) -> socket.socket:
    """A socket bound to the address (port 0: to any free port), not yet listening.

    Raises:
        PortTaken: someone else listens there.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as fault:
        bound.close()
        if fault.errno == errno.EADDRINUSE:
            raise PortTaken(host, port, whose) from fault
        raise
    return bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """What else is spoken on a port: connections that begin with `greeting` are served by what `accept` makes.

    `accept` may decline with None; the connection is then broken.
    """

    greeting: bytes
    accept: Callable[[], asyncio.Protocol | None]


class _Protocol(H11Protocol):
    """Lets the application break its connection, and gives it to another protocol if its first bytes ask for that.

    One that is `dead` by the time that it is connected breaks off by itself.
    """

    def __init__(self, *, other: Other | None, dead: Callable[[], bool], **more: Any) -> None:
        super().__init__(**more)
        self._other = other
        self._dead = dead
        self._first = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {"abort": transport.abort}
        if self._dead():
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._first += data
            greeting = self._other.greeting
            if len(self._first) < len(greeting) and greeting.startswith(self._first):
                return
            other, self._other, data = self._other, None, self._first
            if data.startswith(greeting):
                self._hand_over(other.accept(), data[len(greeting) :])
                return
        super().data_received(data)

    def _hand_over(self, successor: asyncio.Protocol | None, data: bytes) -> None:
        if successor is None:
            self.transport.abort()
            return
        self.connections.discard(self)
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        if data:
            successor.data_received(data)


class Listener:
    """Serves an ASGI application on one address, with TLS if it gets a context.  All methods belong to one loop."""

    def __init__(
        self, app: Any, host: str, port: int, *, tls: ssl.SSLContext | None = None, other: Other | None = None
    ) -> None:
        self._tls, self._other = tls, other
        self._config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._config.load()
        self._state = ServerState()
        self._address = (host, port)
        self._server: asyncio.Server | None = None
        self._deaths = 0

    async def open(self, bound: socket.socket | None = None, *, whose: str = "the cluster") -> None:
        """Listen, on a socket from `reserve` or by binding the address anew.

        Raises:
            PortTaken: someone else has taken the port meanwhile.
        """
        loop = asyncio.get_running_loop()
        sock = bound or reserve(*self._address, whose)
        self._address = sock.getsockname()[:2]
        life = self._deaths
        self._server = await loop.create_server(
            lambda: _Protocol(
                other=self._other,
                dead=lambda: self._deaths != life,
                config=self._config,
                server_state=self._state,
                app_state={},
                _loop=loop,
            ),
            sock=sock,
            ssl=self._tls,
            backlog=1024,
        )

    async def kill(self) -> None:
        """Stop listening and break every connection, as when a process is killed; requests under way get no answer.

        The application must not hold requests back at this moment.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        self._deaths += 1
        loop = asyncio.get_running_loop()
        for each in server.sockets:
            loop.remove_reader(each.fileno())
        # What asyncio has accepted gets its transport in the next turn of the loop, and is connected in the one after;
        # a server that is closed before loses it, with the socket open (https://github.com/python/cpython/issues/109564).
        for _ in range(2):
            await asyncio.sleep(0)
        server.close()
        for connection in list(self._state.connections):
            connection.transport.abort()
        if pending := list(self._state.tasks):
            await asyncio.wait(pending, timeout=DEATH_SECONDS_MAX)
