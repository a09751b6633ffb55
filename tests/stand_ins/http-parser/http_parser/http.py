"""One answer of a server, parsed as its bytes come."""

from __future__ import annotations

import h11


class HttpParser:
    """Fed by `execute`; the rest tells what has been understood so far."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.CLIENT)
        # The parser will not hear of an answer before it knows of a request; the bytes of this one go nowhere.
        self._connection.send(h11.Request(method="POST", target="/", headers=[("Host", "-"), ("Content-Length", "0")]))
        self._connection.send(h11.EndOfMessage())
        self._response: h11.Response | None = None
        self._body = b""
        self._complete = False
        self._failed = 0

    def execute(self, data: bytes, length: int) -> int:
        """Take bytes; fewer than `length` means that they are no HTTP."""
        try:
            self._connection.receive_data(bytes(data[:length]))
            while not self._complete:
                event = self._connection.next_event()
                if isinstance(event, h11.Response):
                    self._response = event
                elif isinstance(event, h11.Data):
                    self._body += bytes(event.data)
                elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
                    self._complete = True
                elif event in (h11.NEED_DATA, h11.PAUSED):
                    break
        except h11.ProtocolError:
            self._failed = 1
            return 0
        return length

    def get_errno(self) -> int:
        """Not 0 after a failure."""
        return self._failed

    def is_headers_complete(self) -> bool:
        """Whether status and headers have come."""
        return self._response is not None

    def get_status_code(self) -> int:
        """The status; 0 before it has come."""
        return 0 if self._response is None else self._response.status_code

    def get_headers(self) -> dict[str, str]:
        """The headers by name."""
        if self._response is None:
            return {}
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._response.headers.raw_items()}

    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        headers = {name.lower(): value for name, value in self.get_headers().items()}
        return headers.get("transfer-encoding", "").lower() == "chunked"

    def is_partial_body(self) -> bool:
        """Whether there are bytes of the body to take."""
        return bool(self._body)

    def recv_body(self) -> bytes:
        """Those that have not been taken yet."""
        body, self._body = self._body, b""
        return body

    def is_message_complete(self) -> bool:
        """Whether the answer has ended."""
        return self._complete
