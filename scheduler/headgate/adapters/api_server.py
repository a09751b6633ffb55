"""Serves the API on a socket, in a thread beside the scheduler's loop."""

from __future__ import annotations

import errno
import ipaddress
import socket
import threading
from dataclasses import dataclass
from types import TracebackType

import uvicorn
from litestar.types import ASGIApp

from headgate.errors import BadOption, StartFailed

_START_S = 20.0
_STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def read_address(text: str) -> Address:
    """`HOST:PORT`, `[::1]:PORT`, or a port alone on loopback.

    Raises:
        StartFailed: it is neither.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise BadOption(f"{text!r} is no address to listen at; write HOST:PORT, such as 127.0.0.1:10480")
    return Address(host=host, port=int(port))


class ApiServer:
    """An ASGI application on a socket, from `start` to `stop`; also a context manager."""

    def __init__(self, application: ASGIApp, address: Address) -> None:
        self._socket = _listening(address)
        host, port = self._socket.getsockname()[:2]
        self.address = Address(host=host, port=port)
        config = uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="headgate-api", daemon=True)

    @property
    def url(self) -> str:
        """Where this machine reaches it."""
        return f"http://{self.address}"

    def start(self) -> None:
        """Begin to answer.

        Raises:
            StartFailed: it does not come up.
        """
        self._thread.start()
        if not self._server.up.wait(_START_S) or not self._server.started:
            self.stop()
            raise StartFailed(f"the API did not come up at {self.address}; the log says why")

    def stop(self) -> None:
        """End: requests in flight get two seconds.  Idempotent."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._socket.close()

    def __enter__(self) -> ApiServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._server.up.set()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


def _listening(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as problem:
        raise StartFailed(
            f"cannot listen at {address}: {problem.strerror}; give another address with --listen"
        ) from problem
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(where)
        bound.listen(128)
    except OSError as problem:
        bound.close()
        reason = "another program listens there already" if problem.errno == errno.EADDRINUSE else problem.strerror
        raise StartFailed(f"cannot listen at {address}: {reason}; give another address with --listen") from problem
    return bound
