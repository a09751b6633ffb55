"""Lets a scheduler that stands by answer the API: what it cannot answer itself it asks the leader.

A request is passed on once at most: it carries a mark from then on, and who gets a marked one without leading refuses.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

import requests
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from headgate.adapters.api_types import Leadership
from headgate.adapters.interruptible_http import Access, Broken, InterruptibleSession

log = logging.getLogger(__name__)

FORWARDED: Final = "headgate-forwarded"
"""The mark of a request that has been passed on."""
LEADER: Final = "headgate-leader"
"""Whom an answer that was passed on comes from."""
_LOCAL: Final = ("/health", "/ready", "/metrics")
_BUNDLES: Final = "/v1/bundles/"
_TIMEOUT_S: Final = (5.0, 60.0)
_CHUNK: Final = 64 * 1024
_AT_A_TIME: Final = 32
_OF_THE_CONNECTION: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "host", "content-length", "accept-encoding", "expect",
    }
)  # fmt: skip
"""Headers that are about one connection, and those that the next one gets anew."""

_T = TypeVar("_T")


class Forwarding:
    """ASGI middleware: to the application while this process leads, to the leader while it does not."""

    def __init__(self, application: ASGIApp, *, leadership: Callable[[], Leadership], body_bytes_max: int) -> None:
        self._application: Final = application
        self._leadership: Final = leadership
        self._body_bytes_max: Final = body_bytes_max
        self._threads: Final = ThreadPoolExecutor(max_workers=_AT_A_TIME, thread_name_prefix="headgate-forward")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer here, or pass the request on."""
        if scope["type"] != ScopeType.HTTP or _is_local(scope["method"], scope["path"]):
            await self._application(scope, receive, send)
            return
        leadership = self._leadership()
        if leadership.leads:
            await self._application(scope, receive, send)
        elif leadership.leader is None:
            await _refuse(send, "no scheduler leads now; one is elected within seconds: try again")
        elif any(name == FORWARDED.encode() for name, _ in scope["headers"]):
            await _refuse(send, f"the lead is changing hands, lastly to {leadership.leader}: try again")
        else:
            await self._forward(scope, receive, send, leadership.leader)

    async def _forward(self, scope: HTTPScope, receive: Receive, send: Send, leader: str) -> None:
        body = await _body(receive, self._body_bytes_max)
        if body is None:
            await _refuse(send, f"the body is larger than {self._body_bytes_max} bytes", status=413)
            return
        session = InterruptibleSession(Access())
        try:
            answer = await self._in_thread(lambda: _ask(session, scope, body, leader))
        except Broken as problem:
            log.warning("the leader at %s does not answer: %s", leader, problem)
            session.close()
            await _refuse(send, f"the leader at {leader} does not answer; another is elected within seconds: try again")
            return
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            headers = _headers(answer, leader)
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in self._chunks(session, answer, gone):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Broken as problem:
            # Without its end, the server cuts our answer off as the leader's was.
            log.warning("the leader at %s has broken off an answer: %s", leader, problem)
        finally:
            gone.cancel()
            session.interrupt()
            answer.close()
            session.close()

    async def _chunks(
        self, session: InterruptibleSession, answer: requests.Response, gone: asyncio.Future[None]
    ) -> AsyncIterator[bytes]:
        """The leader's answer piece by piece as it comes, until its end or the caller's.

        Raises:
            Broken: it is cut off, and what has been passed on is not the whole of it.
        """
        pieces = session.chunks(answer)
        while True:
            piece = asyncio.ensure_future(self._in_thread(lambda: next(pieces, b"")))
            both: set[asyncio.Future[Any]] = {piece, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                session.interrupt()  # Ends the wait of the thread.
                with suppress(Broken):
                    await piece
                return
            chunk = piece.result()
            if not chunk:
                return
            yield chunk

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _is_local(method: str, path: str) -> bool:
    return path in _LOCAL or (path.startswith(_BUNDLES) and method in ("GET", "HEAD"))


def _ask(session: InterruptibleSession, scope: HTTPScope, body: bytes, leader: str) -> requests.Response:
    path = scope["raw_path"].decode("latin-1").partition("?")[0]
    query = scope["query_string"].decode("latin-1")
    headers = {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name.decode("latin-1") not in _OF_THE_CONNECTION
    }
    return session.request(
        scope["method"],
        f"{leader}{path}{'?' if query else ''}{query}",
        body or None,
        headers={**headers, FORWARDED: "1", "Accept-Encoding": "identity"},
        timeout=_TIMEOUT_S,
    )


def _headers(answer: requests.Response, leader: str) -> list[tuple[bytes, bytes]]:
    kept = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in answer.headers.items()
        if name.lower() not in _OF_THE_CONNECTION or name.lower() == "content-length"
    ]
    return [*kept, (LEADER.encode(), leader.encode("latin-1"))]


async def _body(receive: Receive, bytes_max: int) -> bytes | None:
    """The whole body; None when it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bytes_max:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, sentence: str, *, status: int = 503) -> None:
    body = json.dumps({"error": sentence, "mistakes": []}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"2"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
