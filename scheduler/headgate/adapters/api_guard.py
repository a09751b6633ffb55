"""Who may talk to the API, decided before anything else looks at a request.

With a token: whoever sends it as `Authorization: Bearer …`.  Without one: only who reached the scheduler under a name
it knows as its own, so that a web page in a browser on the same machine cannot drive it by giving its own name the
scheduler's address.  Bodies must say that they are JSON for the same reason.
"""

from __future__ import annotations

import hmac
import json

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_OPEN = ("/health", "/ready")
_BUNDLES = "/v1/bundles/"


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, application: ASGIApp, *, token: str | None, hosts: frozenset[str]) -> None:
        self._application = application
        self._token = token.encode() if token is not None else None
        self._hosts = _LOOPBACK | hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] == ScopeType.HTTP:
            headers = dict(scope["headers"])
            refusal = self._refusal(scope["method"], scope["path"], headers)
            if refusal is not None:
                await _refuse(send, *refusal)
                return
        await self._application(scope, receive, send)

    def _refusal(self, method: str, path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        """(status, sentence) for a request that must not pass."""
        if method == "POST" and not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
            return 415, "send the body as JSON, with Content-Type: application/json"
        if path in _OPEN or (method in ("GET", "HEAD") and path.startswith(_BUNDLES)):
            return None
        if self._token is None:
            host = _without_port(headers.get(b"host", b"").decode("latin-1"))
            known = host in self._hosts
            return None if known else (403, f"this scheduler is not called {host!r}; use its address, or set a token")
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token):
            return None
        return 401, "send the API token as Authorization: Bearer …; the CLI takes --api-token-file"


async def _refuse(send: Send, status: int, sentence: str) -> None:
    body = json.dumps({"error": sentence, "mistakes": []}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
