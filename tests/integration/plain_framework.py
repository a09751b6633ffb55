"""A framework of a hundred lines, for tests that look at a master over the wire."""

import base64
import json
import socket
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from queue import Empty, Queue
from typing import Any

import requests

from millstream.contract.recordio import Decoder

PATIENCE = 30.0
Json = dict[str, Any]
SMALL = [
    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
    {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
]


class Framework:
    """Subscribes and collects events; offers are kept, updates are acknowledged when they are taken."""

    def __init__(self, address: str, *, auth: tuple[str, str] | None = None, **info: Any) -> None:
        self.address, self.url = address, f"http://{address}/api/v1/scheduler"
        self.info: Json = {"user": "root", "name": "test", "failover_timeout": 60.0, **info}
        self.session = requests.Session()
        self.session.auth = auth
        self.events: Queue[Json] = Queue()
        self.sock: socket.socket | None = None
        self.stream_id = ""

    def subscribe(self) -> None:
        """Open the stream and wait for SUBSCRIBED."""
        body: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info}}
        if "id" in self.info:
            body["framework_id"] = self.info["id"]
        headers = {"Content-Type": "application/json", **self._authorization()}
        connection = HTTPConnection(self.address, timeout=PATIENCE)
        connection.request("POST", "/api/v1/scheduler", json.dumps(body), headers)
        self.sock, answer = connection.sock, connection.getresponse()
        assert answer.status == 200
        self.stream_id = answer.headers["Mesos-Stream-Id"]
        self.events = Queue()
        self.sock.settimeout(None)
        self.reader = threading.Thread(target=self._read, args=(connection, answer, self.events))
        self.reader.start()
        self.info["id"] = self.next("SUBSCRIBED")["framework_id"]

    def _authorization(self) -> dict[str, str]:
        if not isinstance(self.session.auth, tuple):
            return {}
        return {"Authorization": "Basic " + base64.b64encode(":".join(self.session.auth).encode()).decode()}

    @staticmethod
    def _read(connection: HTTPConnection, answer: HTTPResponse, events: Queue[Json]) -> None:
        decoder = Decoder()
        with suppress(OSError, HTTPException):
            while chunk := answer.read1(65536):
                for record in decoder.feed(chunk):
                    events.put(json.loads(record))
        answer.close()
        connection.close()
        events.put({"type": "END", "end": {}})

    def next(self, kind: str) -> Json:
        """The next event of a type; others are passed over."""
        try:
            while (event := self.events.get(timeout=PATIENCE))["type"] != kind:
                assert event["type"] != "END", f"the stream ended while waiting for {kind}"
        except Empty:
            raise AssertionError(f"no {kind} came") from None
        found: Json = event.get(kind.lower(), {})
        return found

    def offer(self) -> Json:
        """The next single offer."""
        offers = self.next("OFFERS")["offers"]
        return dict(offers[0])

    def call(self, kind: str, body: Json | None = None) -> requests.Response:
        """Any call but SUBSCRIBE."""
        message = {"type": kind, "framework_id": self.info["id"]} | ({kind.lower(): body} if body is not None else {})
        return self.session.post(self.url, json=message, headers={"Mesos-Stream-Id": self.stream_id}, timeout=PATIENCE)

    def launch(self, offer: Json, *tasks: Json, refuse: float = 0.0) -> None:
        """ACCEPT with one LAUNCH."""
        whole = [{"agent_id": offer["agent_id"], "resources": SMALL, "name": "t", **task} for task in tasks]
        operation = {"type": "LAUNCH", "launch": {"task_infos": whole}}
        answer = self.call(
            "ACCEPT", {"offer_ids": [offer["id"]], "operations": [operation], "filters": {"refuse_seconds": refuse}}
        )
        assert answer.status_code == 202

    def status(self) -> Json:
        """The next task status, acknowledged."""
        status: Json = self.next("UPDATE")["status"]
        if "uuid" in status:
            self.call("ACKNOWLEDGE", {name: status[name] for name in ("agent_id", "task_id", "uuid")})
        return status

    def until_state(self, state: str) -> Json:
        """The first status with this state."""
        while (status := self.status())["state"] != state:
            assert status["state"] in ("TASK_STARTING", "TASK_RUNNING"), status
        return status

    def close(self) -> None:
        """Drop the stream."""
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)
            self.reader.join(PATIENCE)
        self.session.close()


def task(task_id: str, command: str, **more: Any) -> Json:
    """A command task."""
    return {"task_id": {"value": task_id}, "command": {"value": command}, **more}
