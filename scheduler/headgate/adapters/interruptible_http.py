"""An HTTP session whose requests another thread can end at once.

`requests` by itself cannot: a thread that waits for bytes waits until its timeout, and closing the response from
elsewhere does not wake it.  Here the session knows its sockets, and shutting them down does.  The same knowledge lets
the read timeout follow what the server promises after the answer has begun.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context

READ_BYTES = 256 * 1024
ERROR_BODY_BYTES = 4096
ERROR_TEXT_MAX = 500
UNAUTHORIZED = 401


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to be let in.

    `auth` adds credentials to a request; `verify` is whether, or with the certificates of which file, the server's
    certificate is checked; `client_certificate` is the files of ours and of its key, for servers that ask for one.
    """

    auth: AuthBase | None = field(default=None, repr=False)
    verify: bool | str = True
    client_certificate: tuple[str, str] | None = None


class RenewableAuth(AuthBase):
    """Credentials that may have lost their force before we know, such as a token that somebody has revoked."""

    def renew(self, refused: requests.PreparedRequest) -> bool:
        """After a 401: whether there are now other credentials than those that this request brought.

        Raises:
            Broken: they cannot be had at the moment.
            LoginRefused: nor later.
        """
        raise NotImplementedError


class LoginRefused(Exception):
    """Whoever gives out the credentials will not give them to us until somebody mends something."""


class Broken(Exception):
    """The request or its answer did not come through; the text says how."""


class InterruptibleSession:
    """One thread asks and reads; any thread may `interrupt`, and then nothing more comes through.

    Follows no redirects and takes nothing from the environment (no proxies, no `.netrc`): where credentials go is the
    caller's decision.
    """

    def __init__(self, access: Access) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._interrupted = False
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = access.verify
        self._session.cert = access.client_certificate
        self._session.headers["User-Agent"] = "headgate"
        adapter = _Adapter(self._opened)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def post(
        self,
        url: str,
        body: bytes,
        *,
        headers: dict[str, str],
        auth: AuthBase | None,
        timeout: tuple[float, float],
    ) -> requests.Response:
        """The answer, its body unread.  `timeout` is (to connect, to wait for each piece of the answer), in seconds.

        A request that is answered with 401 has had no effect; it is made once more if `auth` has other credentials.

        Raises:
            Broken: no answer; whether the request arrived is unknown.
            LoginRefused: there are no credentials to be had for it; it was not made.
        """
        response = self._post(url, body, headers, auth, timeout)
        if response.status_code != UNAUTHORIZED or not isinstance(auth, RenewableAuth):
            return response
        try:
            renewed = auth.renew(response.request)
        except BaseException:
            response.close()
            raise
        if not renewed:
            return response
        response.close()
        return self._post(url, body, headers, auth, timeout)

    def _post(
        self, url: str, body: bytes, headers: dict[str, str], auth: AuthBase | None, timeout: tuple[float, float]
    ) -> requests.Response:
        return self.request("POST", url, body, headers=headers, auth=auth, timeout=timeout)

    def request(
        self,
        method: str,
        url: str,
        body: bytes | None,
        *,
        headers: dict[str, str],
        timeout: tuple[float, float],
        auth: AuthBase | None = None,
    ) -> requests.Response:
        """The answer to any request, its body unread; made once.

        Raises:
            Broken, LoginRefused: see `post`.
        """
        try:
            return self._session.request(
                method, url, data=body, headers=headers, auth=auth, timeout=timeout, stream=True, allow_redirects=False
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as problem:
            raise Broken(self._why(problem)) from problem

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The body as it arrives, until its end.

        Raises:
            Broken: cut off, silent for too long, or interrupted.
        """
        try:
            while chunk := response.raw.read1(READ_BYTES, decode_content=True):
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError) as problem:
            raise Broken(self._why(problem)) from problem
        if self._interrupted:
            raise Broken("interrupted")

    def expect_bytes_within(self, seconds: float) -> None:
        """From the next wait on, give up a read after so many seconds of silence."""
        with self._lock:
            for each in self._sockets:
                if each.fileno() >= 0:
                    each.settimeout(seconds)

    def interrupt(self) -> None:
        """End what is under way and whatever may follow.  Idempotent; any thread."""
        with self._lock:
            self._interrupted = True
            for each in self._sockets:
                _shut_down(each)

    def close(self) -> None:
        """Give the connections back; for the thread that posts."""
        self._session.close()
        with self._lock:
            self._sockets.clear()

    def _opened(self, opened: socket.socket) -> None:
        with self._lock:
            self._sockets = [each for each in self._sockets if each.fileno() >= 0]
            self._sockets.append(opened)
            if self._interrupted:
                _shut_down(opened)

    def _why(self, problem: Exception) -> str:
        if self._interrupted:
            return "interrupted"
        if isinstance(problem, requests.ConnectTimeout):
            return "no connection in time"
        if isinstance(problem, (requests.Timeout, urllib3.exceptions.TimeoutError)):
            return "silent for too long"
        if isinstance(problem, requests.exceptions.SSLError):
            return f"TLS: {problem}"
        if isinstance(problem, requests.ConnectionError):
            return "connection refused" if "refused" in str(problem) else _cause(problem)
        if isinstance(problem, urllib3.exceptions.ProtocolError):
            return "cut off"
        return f"{type(problem).__name__}: {problem}"


def _cause(problem: requests.ConnectionError) -> str:
    """What the connection failed of, without the libraries that say so."""
    return str(problem).rpartition("Caused by ")[2].partition("): ")[2].removesuffix("))").strip("'\"") or str(problem)


def error_text(response: requests.Response) -> str:
    """The beginning of an answer's text, unpacked, for a message to people; empty where it cannot be had."""
    try:
        body: bytes = response.raw.read(ERROR_BODY_BYTES, decode_content=True)
    except (urllib3.exceptions.HTTPError, OSError):
        return ""
    return body.decode("utf-8", "replace").strip()[:ERROR_TEXT_MAX]


def finish(response: requests.Response) -> None:
    """Read what is left of an answer, so that its connection can be used again."""
    response.raw.drain_conn()


def _shut_down(each: socket.socket) -> None:
    # The plain socket's method, also for TLS: it wakes the reader and leaves the TLS state to the thread that uses it.
    try:
        socket.socket.shutdown(each, socket.SHUT_RDWR)
    except OSError:
        return  # Not connected any more, which is as good.


class _Adapter(HTTPAdapter):
    """Tells of every socket that its connections open."""

    def __init__(self, opened: Callable[[socket.socket], None]) -> None:
        self._on_open = opened
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # What libprocess has unless it is told other ciphers is in OpenSSL's list, but not in Python's own.
        super().init_poolmanager(*args, **kwargs, ssl_context=create_urllib3_context(ciphers="DEFAULT"))
        on_open = self._on_open

        class Connection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                on_open(self.sock)

        class SecureConnection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                on_open(self.sock)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = SecureConnection

        self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
