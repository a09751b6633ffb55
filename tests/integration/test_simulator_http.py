"""The HTTP edge over real sockets, in front of a service that does as it is told."""

import asyncio
import base64
import gzip
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headgate.simulator.messages import Json, Reply, Stream
from headgate.simulator.schema import Api
from headgate.simulator.schema.protobuf import decode, encode
from headgate.simulator.server.app import Application, Site
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.listener import Listener, PortTaken, reserve
from headgate.simulator.server.streams import Streams

pytestmark = pytest.mark.integration

MASTER = {"/api/v1/scheduler": Api.SCHEDULER, "/api/v1": Api.OPERATOR}
PATIENCE = 10.0


class Scripted:
    """A service that remembers what it was asked; SUBSCRIBE opens the stream `s1`, anything else is 202."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams
        self.calls: list[tuple[Api, Json, str | None, str | None]] = []
        self.gone = threading.Event()
        self.first_events: list[Json] = [{"type": "HEARTBEAT"}]

    def call(
        self, api: Api, call: Json, *, stream_id: str | None = None, principal: str | None = None
    ) -> Reply | Stream:
        self.calls.append((api, call, stream_id, principal))
        if call["type"] == "SUBSCRIBE":
            return Stream(stream="s1")
        if call["type"] == "GET_HEALTH":
            return Reply(status=200, body={"type": "GET_HEALTH", "get_health": {"healthy": True}})
        return Reply(status=202)

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        if path == "/state":
            return Reply(status=200, body={"pad": "x" * 2000})
        if path == "/tiny":
            return Reply(status=200, body={"a": 1.0, "ü": "✓"})
        return Reply(status=200) if path == "/health" else Reply(status=404, body="404 Not Found.")

    def disconnected(self, stream: str) -> None:
        assert stream == "s1"
        self.gone.set()

    def settle(self) -> None:
        for event in self.first_events:
            self.streams.write("s1", event)
        self.first_events = []


class Port:
    """A scripted site on a port of its own, its event loop in a thread."""

    def __init__(self, site: Site) -> None:
        self.site, self.streams = site, Streams()
        self.service = Scripted(self.streams)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        bound = reserve("127.0.0.1", 0, "a test")
        self.port = bound.getsockname()[1]
        self.application: Application
        self.listener: Listener
        self.run(self._open(bound))

    async def _open(self, bound: socket.socket) -> None:
        self.application = Application(self.site, self.service, self.streams, lambda: 1_700_000_000.0)
        self.listener = Listener(self.application, "127.0.0.1", self.port)
        await self.listener.open(bound)

    def run(self, work: Any) -> Any:
        """Do something in the event loop's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def soon(self, function: Callable[..., object], *arguments: object) -> None:
        """The same for a plain function."""

        async def work() -> None:
            function(*arguments)

        self.run(work())

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def stop(self) -> None:
        """End everything."""
        self.run(self.listener.kill())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


@contextmanager
def serving(**site: Any) -> Iterator[Port]:
    """A port, for a while."""
    port = Port(Site(**{"process": "master", "apis": MASTER, **site}))
    try:
        yield port
    finally:
        port.stop()


@pytest.fixture
def port() -> Iterator[Port]:
    """A master's port."""
    with serving() as running:
        yield running


def raw(method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> bytes:
    """A request's bytes; nothing is added but Host and Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *[f"{k}: {v}" for k, v in (headers or {}).items()]]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def call(body: object, **headers: str) -> bytes:
    """A scheduler call."""
    whole = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return raw("POST", "/api/v1/scheduler", whole, json.dumps(body).encode())


def read_answer(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One whole answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _receive(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    while len(body) < int(headers["Content-Length"]):
        body += _receive(sock)
    return int(first.split()[1]), headers, body


def _receive(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    assert data, "the connection ended"
    return data


def read_until(sock: socket.socket, mark: bytes) -> bytes:
    """Everything up to and with some bytes."""
    data = b""
    while mark not in data:
        data += _receive(sock)
    return data


def ask(port: Port, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    with port.connect() as sock:
        sock.sendall(request)
        return read_answer(sock)


TEARDOWN = {"type": "TEARDOWN", "framework_id": {"value": "f"}}
SUBSCRIBE = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}}
TEXT = "text/plain; charset=utf-8"
WRONG_TYPE = "Expecting 'Content-Type' of application/json or application/x-protobuf"
WRONG_ACCEPT = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"


@pytest.mark.parametrize(
    ("request_bytes", "status", "body"),
    [
        (
            raw("GET", "/api/v1/scheduler"),
            405,
            "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.",
        ),
        (
            raw("PUT", "/api/v1/scheduler"),
            405,
            "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'PUT'.",
        ),
        (
            raw("GET", "/master/api/v1/scheduler/"),
            405,
            "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.",
        ),
        (
            raw("GET", "/api/v1/scheduler/and/more"),
            405,
            "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.",
        ),
        (raw("GET", "/no/such/path"), 404, "404 Not Found."),
        (raw("GET", "/"), 404, "404 Not Found."),
        (raw("GET", "/files/nothing"), 404, "404 Not Found."),
        (raw("GET", "/files/browse"), 400, "Expecting 'path=value' in query.\n"),
        (raw("GET", "/files/browse?path=/"), 404, ""),
        (raw("POST", "/api/v1/scheduler"), 400, "Expecting 'Content-Type' to be present"),
        (call(TEARDOWN, Content_Type="text/plain"), 415, WRONG_TYPE),
        (call(TEARDOWN, Content_Type="application/json; charset=utf-8"), 415, WRONG_TYPE),
        (call(TEARDOWN, Content_Type="APPLICATION/JSON"), 415, WRONG_TYPE),
        (call(TEARDOWN, Content_Type="application/x-protobuf"), 400, "Failed to parse body into Call protobuf"),
        (call({}), 400, "Failed to validate scheduler::Call: Expecting 'type' to be present"),
        (call([]), 400, "Failed to convert JSON into Call protobuf: Expecting a JSON object"),
        (call(SUBSCRIBE, Accept="text/html"), 406, WRONG_ACCEPT),
        (call(SUBSCRIBE, Accept="application/json;q=0"), 406, WRONG_ACCEPT),
        (call(SUBSCRIBE, Accept="application/json; q=x"), 406, WRONG_ACCEPT),
        (
            call(
                {"type": "RECONCILE_OPERATIONS", "framework_id": {"value": "f"}, "reconcile_operations": {}},
                Accept="text/*",
            ),
            406,
            WRONG_ACCEPT,
        ),
        (
            raw(
                "POST", "/api/v1", {"Content-Type": "application/json", "Accept": "text/html"}, b'{"type":"GET_HEALTH"}'
            ),
            406,
            WRONG_ACCEPT,
        ),
        (raw("POST", "/teardown"), 400, "Missing 'frameworkId' query parameter in the request body"),
        (raw("GET", "/teardown"), 405, "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'."),
        (raw("POST", "/flags"), 405, "405 Method Not Allowed. Expecting one of { 'GET' }, but received 'POST'."),
        (
            raw("DELETE", "/weights"),
            405,
            "405 Method Not Allowed. Expecting one of { 'GET', 'PUT' }, but received 'DELETE'.",
        ),
        (raw("POST", "/reserve", {}, b"x=1"), 400, "Missing 'slaveId' query parameter in the request body"),
        (raw("POST", "/reserve", {}, b"slaveId=s"), 400, "Missing 'resources' query parameter in the request body"),
        (
            raw("POST", "/reserve", {}, b'slaveId=s&resources=[{"name":"cpus"}]'),
            400,
            "Error parsing 'resources' query parameter in the request body: Missing required fields: type",
        ),
        (
            raw("POST", "/create-volumes", {}, b"slaveId=s&volumes={}"),
            400,
            "Error in parsing 'volumes' query parameter in the request body: Unexpected JSON type parsed",
        ),
        (
            raw("POST", "/machine/down", {}, b'[{"hostname":3}]'),
            400,
            "Not expecting a JSON number for field 'hostname'",
        ),
        (
            raw("PUT", "/weights", {}, b'[{"role":"a"}]'),
            400,
            'Failed to convert weights JSON array to protobuf \'[{"role":"a"}]\': Missing required fields: weight',
        ),
    ],
)
def test_refusals(port: Port, request_bytes: bytes, status: int, body: str) -> None:
    """Status and text of what never reaches the service."""
    got = ask(port, request_bytes)
    assert (got[0], got[2].decode()) == (status, body)
    assert got[1]["Content-Type"] == TEXT
    assert got[1]["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert "Server" not in got[1]
    assert "server" not in got[1]
    assert ("Allow" in got[1]) == (status == 405)
    assert port.service.calls == []


def test_an_accepted_call(port: Port) -> None:
    """202 without body or Content-Type; the service sees the normal form and the stream id."""
    status, headers, body = ask(port, call({**TEARDOWN, "more": None}, Mesos_Stream_Id="abc", Accept="text/html"))
    assert (status, headers["Content-Length"], body) == (202, "0", b"")
    assert "Content-Type" not in headers
    assert port.service.calls == [(Api.SCHEDULER, TEARDOWN, "abc", None)]


def test_operator_call_and_its_answer(port: Port) -> None:
    """JSON out for JSON in."""
    status, headers, body = ask(
        port, raw("POST", "/api/v1", {"Content-Type": "application/json"}, b'{"type":"GET_HEALTH"}')
    )
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(body) == {"type": "GET_HEALTH", "get_health": {"healthy": True}}


def test_older_endpoints_become_operator_calls(port: Port) -> None:
    """Forms and bare JSON in."""
    assert ask(port, raw("POST", "/master/teardown", {}, b"frameworkId=a%2Fb"))[0] == 202
    schedule = b'{"windows":[{"machine_ids":[{"hostname":"h"}],"unavailability":{"start":{"nanoseconds":1}}}]}'
    assert ask(port, raw("POST", "/maintenance/schedule", {}, schedule))[0] == 202
    assert ask(port, raw("POST", "/reserve", {}, b"slaveId=s&resources=[]"))[0] == 202
    assert ask(port, raw("PUT", "/weights", {}, b'[{"role":"a","weight":"2"}]'))[0] == 202
    assert [item[1] for item in port.service.calls] == [
        {"type": "TEARDOWN", "teardown": {"framework_id": {"value": "a/b"}}},
        {"type": "UPDATE_MAINTENANCE_SCHEDULE", "update_maintenance_schedule": {"schedule": json.loads(schedule)}},
        {"type": "RESERVE_RESOURCES", "reserve_resources": {"agent_id": {"value": "s"}}},
        {"type": "UPDATE_WEIGHTS", "update_weights": {"weight_infos": [{"role": "a", "weight": 2.0}]}},
    ]


def test_compression_and_jsonp(port: Port) -> None:
    """Bodies of 1 KiB and more are compressed for those who ask; jsonp wraps."""
    plain = ask(port, raw("GET", "/state"))
    packed = ask(port, raw("GET", "/state", {"Accept-Encoding": "deflate, gzip"}))
    assert "Content-Encoding" not in plain[1]
    assert packed[1]["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed[2]) == plain[2]
    assert "Content-Encoding" not in ask(port, raw("GET", "/tiny", {"Accept-Encoding": "gzip"}))[1]
    assert "Content-Encoding" not in ask(port, raw("GET", "/state", {"Accept-Encoding": "gzip;q=0"}))[1]
    wrapped = ask(port, raw("GET", "/master/tiny/?jsonp=f"))
    assert (wrapped[1]["Content-Type"], wrapped[2]) == ("text/javascript", 'f({"a":1.0,"ü":"✓"});'.encode())


def test_a_request_in_pieces(port: Port) -> None:
    """The cut of the bytes means nothing."""
    with port.connect() as sock:
        for byte in call(TEARDOWN):
            sock.sendall(bytes([byte]))
        assert read_answer(sock)[0] == 202


def test_requests_on_one_connection(port: Port) -> None:
    """Keep-alive and pipelining: answers come in the order of the requests."""
    with port.connect() as sock:
        sock.sendall(call(TEARDOWN) + raw("GET", "/tiny") + raw("GET", "/nothing"))
        data = b""
        while data.count(b"HTTP/1.1") < 3 or not data.endswith(b"404 Not Found."):
            data += _receive(sock)
        assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"202", b"200", b"404"]
        sock.sendall(call(TEARDOWN))
        assert read_answer(sock)[0] == 202


def test_connection_close_is_honoured(port: Port) -> None:
    """A client that wants no keep-alive gets none."""
    with port.connect() as sock:
        sock.sendall(raw("GET", "/health", {"Connection": "close"}))
        assert read_answer(sock)[0] == 200
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    "garbage", [b"\x00\x01\x02\r\n\r\n", b"NOT HTTP AT ALL\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"]
)
def test_garbage_ends_its_connection_only(port: Port, garbage: bytes) -> None:
    """What is no HTTP is refused, and others go on being served."""
    with port.connect() as sock:
        sock.sendall(garbage)
        assert read_until(sock, b"\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert ask(port, raw("GET", "/health"))[0] == 200


def test_a_body_that_never_comes_whole(port: Port) -> None:
    """A client that leaves in the middle of its request is forgotten."""
    with port.connect() as sock:
        sock.sendall(call(TEARDOWN)[:-5])
    assert ask(port, raw("GET", "/health"))[0] == 200
    assert port.service.calls == []


def subscribed(port: Port) -> socket.socket:
    """A connection with an open stream, its header and first record read."""
    sock = port.connect()
    sock.sendall(call(SUBSCRIBE))
    head = read_until(sock, b'20\n{"type":"HEARTBEAT"}\r\n')
    assert head.startswith(b"HTTP/1.1 200")
    for line in (b"Content-Type: application/json", b"Transfer-Encoding: chunked", b"Mesos-Stream-Id: s1", b"Date: "):
        assert line in head
    return sock


def test_a_stream_is_chunked_recordio_and_ends_cleanly(port: Port) -> None:
    """One record per chunk, as it comes; the last chunk at the end."""
    with subscribed(port) as sock:
        port.soon(port.streams.write, "s1", {"type": "ERROR", "error": {"message": "é"}})
        record = '{"type":"ERROR","error":{"message":"é"}}'.encode()
        framed = b"%d\n%b" % (len(record), record)
        assert read_until(sock, record + b"\r\n") == b"%x\r\n%b\r\n" % (len(framed), framed)
        port.soon(port.streams.end, "s1")
        assert read_until(sock, b"\r\n\r\n") == b"0\r\n\r\n"
    assert not port.service.gone.is_set()


def test_defaults_are_filled_in_at_the_edge(port: Port) -> None:
    """A model need not know what Mesos always writes."""
    with subscribed(port) as sock:
        port.soon(port.streams.write, "s1", {"type": "SUBSCRIBED", "subscribed": {"heartbeat_interval_seconds": 15}})
        assert b'"heartbeat_interval_seconds":15.0' in read_until(sock, b"}}\r\n")


def test_protobuf_in_and_out(port: Port) -> None:
    """Clients that take no JSON get the binary form, framed the same way."""
    binary = {"Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"}
    with port.connect() as sock:
        sock.sendall(raw("POST", "/api/v1/scheduler", binary, encode("scheduler.Call", SUBSCRIBE)))
        head = read_until(sock, b"2\n\x08\x08\r\n")
        assert b"Content-Type: application/x-protobuf" in head
    assert port.service.calls[-1][1] == SUBSCRIBE
    status, headers, body = ask(port, raw("POST", "/api/v1", binary, encode("master.Call", {"type": "GET_HEALTH"})))
    assert (status, headers["Content-Type"]) == (200, "application/x-protobuf")
    assert decode("master.Response", body) == {"type": "GET_HEALTH", "get_health": {"healthy": True}}


def test_a_client_that_closes_is_noticed(port: Port) -> None:
    """The service hears of it without having to write."""
    subscribed(port).close()
    assert port.service.gone.wait(PATIENCE)


def test_half_a_close_is_a_close(port: Port) -> None:
    """Mesos takes the end of what a client sends for its end."""
    with subscribed(port) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert port.service.gone.wait(PATIENCE)


def test_a_reset_is_noticed(port: Port) -> None:
    """So is a connection that breaks."""
    sock = subscribed(port)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    sock.close()
    assert port.service.gone.wait(PATIENCE)


def test_a_reader_that_is_too_slow_loses_its_stream(port: Port) -> None:
    """What waits for a client is bounded."""
    with subscribed(port):
        event = {"type": "ERROR", "error": {"message": "x" * 8_000_000}}
        for _ in range(40):
            port.soon(port.streams.write, "s1", event)
            if port.service.gone.wait(0.01):
                break
        assert port.service.gone.wait(PATIENCE)


def test_a_closed_gate_holds_everything_back(port: Port) -> None:
    """A stopped process accepts connections and says nothing; what was asked meanwhile is answered when it goes on."""
    port.soon(port.application.gate.clear)
    with port.connect() as sock:
        sock.sendall(call(TEARDOWN))
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert port.service.calls == []
        port.soon(port.application.gate.set)
        sock.settimeout(PATIENCE)
        assert read_answer(sock)[0] == 202


def test_a_killed_listener_breaks_its_connections_and_can_come_back(port: Port) -> None:
    """Like a process that dies: no last chunk, nobody listens, and the port can be had again."""
    with subscribed(port) as sock:
        port.run(port.listener.kill())
        with pytest.raises((ConnectionResetError, AssertionError)):
            read_until(sock, b"0\r\n\r\n")
    with pytest.raises(ConnectionRefusedError):
        port.connect()
    port.run(port.listener.open())
    assert ask(port, raw("GET", "/health"))[0] == 200


def test_a_port_in_use_is_named() -> None:
    """The error says which port, for what, and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(
            PortTaken, match=rf"port {taken} of 127.0.0.1, wanted for the master, is in use: name another"
        ):
            reserve("127.0.0.1", taken, "the master")


def basic(name: str, secret: str) -> str:
    """The header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def test_basic_authentication() -> None:
    """Row 1 comes before everything else; the principal reaches the service."""
    with serving(authentication=Authentication(secrets={"p": "s:x"}, frameworks=True)) as port:
        for headers in (
            {},
            {"Authorization": basic("p", "no")},
            {"Authorization": "Basic ?"},
            {"Authorization": "Bearer x"},
        ):
            status, got, body = ask(port, raw("GET", "/api/v1/scheduler", headers))
            assert (status, body) == (401, b"401 Unauthorized.")
            assert got["WWW-Authenticate"] == 'Basic realm="mesos-master-scheduler"'
        assert ask(port, call(TEARDOWN, Authorization=basic("p", "s:x")))[0] == 202
        assert port.service.calls[0][3] == "p"
        wrong = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n", "principal": "q"}}}
        status, _, body = ask(port, call(wrong, Authorization=basic("p", "s:x")))
        assert status == 400
        assert b"Authenticated principal 'p' does not match principal 'q'" in body
        assert ask(port, raw("GET", "/tiny"))[0] == 200


def test_a_follower_sends_everybody_to_the_leader() -> None:
    """The redirect comes before all checks but authentication, with the long path; what is local stays."""
    with serving(leader="there:5050") as port:
        for request, location in (
            (raw("GET", "/api/v1/scheduler"), "//there:5050/master/api/v1/scheduler"),
            (call("nonsense"), "//there:5050/master/api/v1/scheduler"),
            (raw("POST", "/master/api/v1"), "//there:5050/master/api/v1"),
            (raw("GET", "/tiny?a=b"), "//there:5050/master/tiny?a=b"),
            (raw("GET", "/redirect"), "//there:5050"),
        ):
            status, headers, body = ask(port, request)
            assert (status, headers["Location"], body) == (307, location, b"")
        assert ask(port, raw("GET", "/health"))[0] == 200
        assert port.service.calls == []


def test_files_of_an_agent(tmp_path: Path) -> None:
    """Sandboxes by real and virtual path, and nothing outside the work directory."""
    runs = tmp_path / "work/slaves/S0/frameworks/F/executors/e1/runs"
    (runs / "c1").mkdir(parents=True)
    (runs / "latest").symlink_to("c1")
    (runs / "c1/stdout").write_text("0123456789" * 10_000)
    (tmp_path / "secret").write_text("x")
    virtual = "/frameworks/F/executors/e1/runs/latest"
    with serving(process="slave(1)", apis={"/api/v1/executor": Api.EXECUTOR}, work_dir=tmp_path / "work") as port:

        def get(path: str) -> tuple[int, Any]:
            status, headers, body = ask(port, raw("GET", path))
            return status, json.loads(body) if headers.get("Content-Type") == "application/json" else body

        status, listed = get(f"/files/browse?path={virtual}")
        assert (status, [item["path"] for item in listed]) == (200, [f"{virtual}/stdout"])
        assert listed[0]["mode"].startswith("-rw")
        assert get(f"/files/browse?path={virtual}/stdout") == (404, b"")
        assert get("/files/browse") == (400, b"Expecting 'path=value' in query.\n")
        assert get(f"/files/read?path={virtual}/stdout&offset=3&length=4") == (200, {"data": "3456", "offset": 3})
        assert get(f"/files/read?path={virtual}/stdout") == (200, {"data": "", "offset": 100_000})
        status, much = get(f"/files/read?path={runs}/c1/stdout&offset=0")
        assert (status, len(much["data"])) == (200, 65536)
        assert get(f"/files/read?path={virtual}/stdout&offset=x")[0] == 400
        assert get(f"/files/read?path={virtual}") == (400, b"Cannot read a directory.\n")
        assert get(f"/files/read?path={virtual}/nothing") == (404, b"")
        assert get(f"/files/download?path={virtual}/stdout") == (200, b"0123456789" * 10_000)
        for outside in (tmp_path / "secret", f"{virtual}/../../../../../../../../secret", "/etc/hostname"):
            assert get(f"/files/read?path={outside}&offset=0") == (404, b"")
        assert get("/slave(1)/api/v1/executor")[0] == 405
