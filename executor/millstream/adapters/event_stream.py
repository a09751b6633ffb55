"""One event stream of an agent: a POST whose answer never ends.

On `http.client`, as a reader that waits for the next byte has to be woken from another thread, which takes the socket.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from millstream.adapters.agent_tls import AgentTls

_CHUNK_BYTES: Final = 64 * 1024
_REFUSAL_BYTES_MAX: Final = 4096
_CUT_OFF: Final = (ConnectionResetError, http.client.BadStatusLine)
# Agents pass none of their own LIBPROCESS variables on to executors.
_TLS_DOUBT: Final = (
    "; an agent that speaks TLS cuts plain connections off so: its operator tells executors of it, "
    "with LIBPROCESS_SSL_ENABLED in --executor_environment_variables"
)


class StreamLost(Exception):
    """The stream could not be opened, broke, or stayed silent for too long."""


class StreamRefused(Exception):
    """The agent answered, but not with a stream."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


class EventStream:
    """Opens when built; `read` belongs to one thread, `abort` to any.

    Raises (when built):
        StreamLost: no connection, or no answer within `open_timeout_s`.
        StreamRefused: any status but 200.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        open_timeout_s: float,
        silence_max_s: float,
        tls: AgentTls | None = None,
    ) -> None:
        self._connection: http.client.HTTPConnection
        if tls is None:
            self._connection = http.client.HTTPConnection(host, port, timeout=open_timeout_s)
        else:
            self._connection = tls.connection(host, port, timeout=open_timeout_s)
        try:
            self._connection.request("POST", path, body=body, headers=dict(headers))
            self._socket: socket.socket = self._connection.sock
            self._response = self._connection.getresponse()
            if self._response.status != 200:
                text = self._response.read(_REFUSAL_BYTES_MAX).decode("utf-8", "replace").strip()
                raise StreamRefused(self._response.status, text)
            self._socket.settimeout(silence_max_s)
        except (OSError, http.client.HTTPException) as problem:
            self._connection.close()
            doubt = _TLS_DOUBT if tls is None and isinstance(problem, _CUT_OFF) else ""
            raise StreamLost(f"cannot subscribe at {host}:{port}: {problem!r}{doubt}") from problem
        except StreamRefused:
            self._response.close()
            self._connection.close()
            raise

    def read(self) -> bytes:
        """The next bytes; empty when the stream has ended, well or by `abort`.

        Raises:
            StreamLost: it broke.
        """
        try:
            return self._response.read1(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise StreamLost(f"event stream broke: {problem!r}") from problem

    def abort(self) -> None:
        """End the stream from any thread: a `read` that waits returns or raises.  Safe to repeat."""
        with suppress(OSError):
            # The plain socket's method, also for TLS: it wakes the reader and leaves the TLS state to its thread.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the connection; only by the thread that reads."""
        self._response.close()
        self._connection.close()
