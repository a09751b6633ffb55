"""One port of the cluster as an ASGI application: requests in, calls to a `Service`, answers and streams out."""

from __future__ import annotations

import asyncio
import enum
import mimetypes
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

from headgate.simulator.messages import Json, Reply, Stream
from headgate.simulator.schema import Api, with_defaults
from headgate.simulator.schema.protobuf import encode
from headgate.simulator.schema.requests import check_call
from headgate.simulator.server import files
from headgate.simulator.server.checks import Authentication, method_refusal, read_request
from headgate.simulator.server.forms import READ_ONLY, translate
from headgate.simulator.server.paths import candidates, delegated
from headgate.simulator.server.request import JSON, PROTOBUF, Request
from headgate.simulator.server.responses import Wire, date_header, json_bytes, written
from headgate.simulator.server.streams import Ending, StreamBuffer, Streams

BODY_BYTES_MAX = 64 * 1024 * 1024

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Standing(enum.Enum):
    """What a master knows of the leader, if it does not know its address."""

    LEADS = "it leads itself"
    RECOVERING = "it leads, and has not yet read what the leader before it left"
    UNKNOWN = "nobody leads that it knows of"


_NOT_LEADING = {Standing.RECOVERING: "Master has not finished recovery", Standing.UNKNOWN: "No leader elected"}


class Service(Protocol):
    """A master or an agent, as its port sees it.  Called in the event loop's thread; never blocks."""

    def call(
        self, api: Api, call: Json, *, stream_id: str | None = None, principal: str | None = None
    ) -> Reply | Stream:
        """A call that has passed all checks of the edge.  Its events wait for `settle`."""

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """A read-only endpoint; 404 for what does not exist."""

    def disconnected(self, stream: str) -> None:
        """The client of a stream has gone."""

    def settle(self) -> None:
        """Carry out what the last input has caused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is served on one port.

    `process` is the name in the long paths.  `leader` (`host:port`) makes this a follower that sends everybody there.
    `work_dir` is that of an agent, whose files are shown.
    """

    process: str
    apis: Mapping[str, Api]
    authentication: Authentication = field(default_factory=Authentication)
    leader: str | None = None
    work_dir: Path | None = None


_REALMS = {Api.SCHEDULER: "scheduler", Api.OPERATOR: "readwrite", Api.EXECUTOR: "executor", Api.AGENT: "readwrite"}
_LOCAL = ("/health", "/version", "/metrics", "/flags")
_EVENTS = {
    Api.SCHEDULER: "scheduler.Event",
    Api.EXECUTOR: "executor.Event",
    Api.OPERATOR: "master.Event",
    Api.AGENT: "agent.Response",
}
_RESPONSES = {Api.OPERATOR: "master.Response", Api.AGENT: "agent.Response"}
_FILES = {"LIST_FILES": files.list_files, "READ_FILE": files.read_file}
_NOT_FOUND = Reply(status=404, body="404 Not Found.")


class Application:
    """The ASGI application of one site.

    While `gate` is closed, requests are read but nothing is answered and nothing written: the process is stopped.
    """

    def __init__(self, site: Site, service: Service, streams: Streams, time_of_day: Callable[[], float]) -> None:
        self._site, self._service, self._streams, self._time_of_day = site, service, streams, time_of_day
        self.leader: str | Standing = site.leader or Standing.LEADS
        """`host:port` of the leading master, or why there is none."""
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "lifespan and websockets are off"
        body = await _body(receive)
        if body is None:
            return
        await self.gate.wait()
        request = _request(scope, body)
        answer = self.answer(request)
        if isinstance(answer, Wire):
            await _send_whole(send, answer)
        elif answer[0].whole:
            await self._send_late(request, *answer, receive, send)
        else:
            await self._send_stream(*answer, scope["state"]["abort"], receive, send)

    def answer(self, request: Request) -> Wire | tuple[Stream, StreamBuffer]:
        """Decide a request: a whole answer, or a stream and its buffer."""
        at = self._time_of_day()
        if len(request.body) > BODY_BYTES_MAX:
            text = f"A body has at most {BODY_BYTES_MAX} bytes."
            return written(Reply(status=413, body=text), request, at=at)
        api, answer = self._route(request)
        if isinstance(answer, Stream):
            assert api
            buffer = self._streams.open(answer.stream, _encoder(api, binary=request.wants_protobuf))
            self._service.settle()
            return replace(answer, headers={**_headers(request, api, answer), **answer.headers}), buffer
        self._service.settle()
        if isinstance(answer, Reply):
            return written(answer, request, at=at)
        kind = PROTOBUF if api else mimetypes.guess_type(request.query["path"])[0] or "application/octet-stream"
        headers = (date_header(at), ("Content-Type", kind), ("Content-Length", str(len(answer))))
        return Wire(status=200, headers=headers, body=answer)

    def _route(self, request: Request) -> tuple[Api | None, Reply | Stream | bytes]:
        parts = request.path.split("/")
        if parts[1:2] == ["files"]:
            for endpoint in candidates(request.path, "files"):
                if endpoint in files.ENDPOINTS:
                    return None, files.answer(endpoint, request.query, self._site.work_dir)
            return None, _NOT_FOUND
        for endpoint in candidates(request.path, self._site.process):
            if api := self._site.apis.get(endpoint):
                return api, self._call(request, api)
            if (found := self._read(request, endpoint)) is not None:
                return None, found
        return None, _NOT_FOUND

    def _call(self, request: Request, api: Api) -> Reply | Stream | bytes:
        principal = self._site.authentication.principal(request)
        if refused := self._unauthenticated(request, api) or self._elsewhere(request):
            return refused
        call = read_request(request, api, principal=principal)
        if isinstance(call, Reply):
            return call
        answer = self._perform(api, call, request.headers.get("mesos-stream-id"), principal)
        if isinstance(answer, Reply) and isinstance(answer.body, dict) and request.wants_protobuf:
            return encode(_RESPONSES[api], answer.body)
        return answer

    def _perform(
        self, api: Api, call: Json, stream_id: str | None = None, principal: str | None = None
    ) -> Reply | Stream:
        kind = call["type"]
        if api in _RESPONSES and kind in _FILES:
            answer: Reply | Stream = _FILES[kind](call[kind.lower()], self._site.work_dir)
        else:
            answer = self._service.call(api, call, stream_id=stream_id, principal=principal)
        if api in _RESPONSES and isinstance(answer, Reply) and isinstance(answer.body, dict):
            return replace(answer, body=with_defaults(_RESPONSES[api], answer.body))
        return answer

    def _unauthenticated(self, request: Request, api: Api) -> Reply | None:
        authentication = self._site.authentication
        needed = {
            Api.SCHEDULER: authentication.frameworks,
            Api.OPERATOR: authentication.readwrite,
            Api.EXECUTOR: False,
            Api.AGENT: authentication.readwrite,
        }
        return authentication.refusal(request, self._realm(_REALMS[api]), needed=needed[api])

    def _realm(self, kind: str) -> str:
        return f"mesos-{'master' if self._site.process == 'master' else 'agent'}-{kind}"

    def _elsewhere(self, request: Request) -> Reply | None:
        """The 307 of a master that does not lead, and the 503 of one that does not know who does (rows 3 to 5)."""
        if self.leader is Standing.LEADS:
            return None
        if isinstance(self.leader, Standing):
            return Reply(status=503, body=_NOT_LEADING[self.leader])
        location = f"//{self.leader}{delegated(request.path, self._site.process)}"
        return Reply(status=307, headers={"Location": location + _query_of(request)})

    def _read(self, request: Request, endpoint: str) -> Reply | Stream | None:
        """What an endpoint that is no API says; None if there is no such endpoint."""
        authentication = self._site.authentication
        if not endpoint.startswith(_LOCAL):
            if refused := authentication.refusal(request, self._realm("readonly"), needed=authentication.readonly):
                return refused
            if isinstance(self.leader, str) and endpoint == "/redirect":
                return Reply(status=307, headers={"Location": f"//{self.leader}"})
            if elsewhere := self._elsewhere(request):
                return elsewhere
        if endpoint in READ_ONLY and (refused := method_refusal(request, "GET")):
            return refused
        if Api.OPERATOR in self._site.apis.values() and (call := translate(request, endpoint)) is not None:
            checked = call if isinstance(call, Reply) else check_call(Api.OPERATOR, call)
            return checked if isinstance(checked, Reply) else self._perform(Api.OPERATOR, checked)
        found = self._service.get(endpoint, request.query)
        return None if found.status == 404 else found

    async def _send_late(
        self, request: Request, stream: Stream, buffer: StreamBuffer, receive: Receive, send: Send
    ) -> None:
        """An answer that is whole, but had to be waited for."""
        watch = asyncio.create_task(_watch(receive, buffer))
        try:
            item = await buffer.next()
            await self.gate.wait()
            if not isinstance(item, Ending):
                body = item.partition(b"\n")[2]
                kind = PROTOBUF if request.wants_protobuf else JSON
                headers = (date_header(self._time_of_day()), ("Content-Type", kind), ("Content-Length", str(len(body))))
                await _send_whole(send, Wire(status=200, headers=headers, body=body))
        finally:
            self._streams.close(stream.stream)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _send_stream(
        self, stream: Stream, buffer: StreamBuffer, abort: Callable[[], None], receive: Receive, send: Send
    ) -> None:
        headers = [date_header(self._time_of_day()), *stream.headers.items()]
        buffer.on_overflow = abort
        watch = asyncio.create_task(_watch(receive, buffer))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
            while not isinstance(item := await buffer.next(), Ending):
                await self.gate.wait()
                await send({"type": "http.response.body", "body": item, "more_body": True})
            if item is Ending.CLEAN:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await self.gate.wait()
                self._service.disconnected(stream.stream)
                self._service.settle()
        finally:
            self._streams.close(stream.stream)
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch


def _headers(request: Request, api: Api, stream: Stream) -> dict[str, str]:
    headers = {"Content-Type": PROTOBUF if request.wants_protobuf else JSON}
    return {**headers, "Mesos-Stream-Id": stream.stream} if api is Api.SCHEDULER else headers


def _encoder(api: Api, *, binary: bool) -> Callable[[Json], bytes]:
    message = _EVENTS[api]
    if binary:
        return lambda event: encode(message, event)
    return lambda event: json_bytes(with_defaults(message, event))


async def _watch(receive: Receive, buffer: StreamBuffer) -> None:
    """Tell the buffer when the client has gone.  What it still sends is none of ours."""
    while (await receive())["type"] != "http.disconnect":
        pass
    buffer.finish(Ending.ABANDONED)


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or what of it shows that it is too long; None if the client went away before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= BODY_BYTES_MAX:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


def _request(scope: MutableMapping[str, Any], body: bytes) -> Request:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    return Request(method=scope["method"], path=scope["path"], query=query, headers=headers, body=body)


def _query_of(request: Request) -> str:
    return "?" + "&".join(f"{name}={value}" for name, value in request.query.items()) if request.query else ""


def _encoded(headers: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _send_whole(send: Send, wire: Wire) -> None:
    await send({"type": "http.response.start", "status": wire.status, "headers": _encoded(wire.headers)})
    await send({"type": "http.response.body", "body": wire.body, "more_body": False})
