"""pymesos's `MesosExecutorDriver`."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import uuid
from collections.abc import Mapping
from typing import Final

import requests
from requests.auth import AuthBase

from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_detection import ListedMasters
from headgate.adapters.mesos_link import Line
from headgate.adapters.mesos_subscription import EXECUTOR_API
from headgate.compat.pymesos.callbacks import Executor
from headgate.compat.pymesos.data import Json, decode_data, encode_data
from headgate.compat.pymesos.linked_driver import DAY, CallNotSent, LinkedDriver

log = logging.getLogger(__name__)

HEARTBEAT_S: Final = 30 * 60.0
"""What an agent does; a stream that is silent for some of these is dead."""

_UNITS: Final = {
    "weeks": 7 * DAY, "days": DAY, "hrs": 3600.0, "mins": 60.0, "secs": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
}  # fmt: skip
"""Longest first, as `mins` ends with `ns`."""

_RECOVERY: Final = "15mins"
_TRUE: Final = frozenset({"1", "true"})


class MesosExecutorDriver(LinkedDriver):
    """Runs an `Executor`, in the place that the agent has told this process through its environment.

    The agent is spoken to with TLS if `LIBPROCESS_SSL_ENABLED` says so, checked against `LIBPROCESS_SSL_CA_FILE`.
    `timeout` and `http_timeout` have no meaning here: a lost agent is waited for as long as it said it may take.
    """

    def __init__(
        self, executor: Executor, use_addict: bool = False, timeout: float = DAY, http_timeout: float = 10
    ) -> None:
        environment = os.environ
        scheme = "https" if _truth(environment, "LIBPROCESS_SSL_ENABLED") else "http"
        agent = f"{scheme}://{environment['MESOS_AGENT_ENDPOINT']}"
        super().__init__(
            api=EXECUTOR_API, find=lambda: ListedMasters([agent]), access=_access(environment), use_addict=use_addict
        )
        self.executor = executor
        self.framework_id: Json = {"value": environment["MESOS_FRAMEWORK_ID"]}
        self.executor_id: Json = {"value": environment["MESOS_EXECUTOR_ID"]}
        self.grace_shutdown_period = _seconds(environment.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD") or "0secs")
        self.checkpoint = _truth(environment, "MESOS_CHECKPOINT")
        self.local = bool(environment.get("MESOS_LOCAL"))
        self.framework_info: Json | None = None
        self.executor_info: Json | None = None
        self.tasks: dict[str, Json] = {}
        self.updates: dict[uuid.UUID, Json] = {}
        self._ledger = threading.Lock()
        self._recovery_s = _seconds(environment.get("MESOS_RECOVERY_TIMEOUT") or _RECOVERY) if self.checkpoint else 0.0
        self._heard_at = self._clock.monotonic()
        del timeout, http_timeout

    def sendStatusUpdate(self, status: Json) -> None:
        """Report a task's state.  `timestamp`, `uuid` and `source` are added to `status` if they are not there.

        Without a subscription it goes with the next one; it is kept until the agent has acknowledged it.

        Raises:
            CallRefused: the agent does not take it.
        """
        status.setdefault("timestamp", int(self._clock.now()))
        status.setdefault("uuid", encode_data(uuid.uuid4().bytes))
        status.setdefault("source", "SOURCE_EXECUTOR")
        update = {"status": dict(status)}
        with self._ledger:
            self.updates[uuid.UUID(bytes=decode_data(status["uuid"]))] = update
        try:
            self._call("UPDATE", {"update": update})
        except CallNotSent as problem:
            log.warning("an update waits for the next subscription: %s", problem)
            line = self._line
            if line is not None:
                line.subscription.interrupt()  # The next subscription carries what may not have arrived.

    def sendFrameworkMessage(self, data: str) -> None:
        """Send the scheduler a message, in base64; any hop may lose it.

        Raises:
            CallNotSent: there is no agent at the moment.
        """
        self._call("MESSAGE", {"message": {"data": data}})

    def _call(self, kind: str, body: Json) -> None:
        self._post(kind, {"type": kind, "framework_id": self.framework_id, "executor_id": self.executor_id, **body})

    # What the link asks for.

    def subscribe_body(self) -> bytes:
        """See `mesos_link.Conversation`."""
        with self._ledger:
            unacknowledged = {
                "unacknowledged_tasks": list(self.tasks.values()),
                "unacknowledged_updates": list(self.updates.values()),
            }
        ids = {"framework_id": self.framework_id, "executor_id": self.executor_id}
        return json.dumps({"type": "SUBSCRIBE", **ids, "subscribe": unacknowledged}).encode()

    def lost(self, reason: str) -> None:
        """See `mesos_link.Conversation`."""
        super().lost(reason)
        self._heard_at = self._clock.monotonic()
        self._call_back(self.executor.disconnected, self)
        if not self.checkpoint and not self.aborted:
            self._shut_down()

    def missed(self, reason: str) -> None:
        """See `mesos_link.Conversation`: an agent that stays away for too long has given us up."""
        if self._clock.monotonic() - self._heard_at >= self._recovery_s:
            log.error("the agent is not there: %s", reason)
            self._shut_down()

    def denied(self, message: str) -> None:
        """See `mesos_link.Conversation`."""
        self._call_back(self.executor.error, self, message)

    def on_event(self, kind: str, body: Json, line: Line) -> None:
        """Call what the event is for."""
        executor = self.executor
        match kind:
            case "SUBSCRIBED":
                self._on_subscribed(body, line)
            case "LAUNCH":
                self._on_launch([body["task"]])
                self._call_back(executor.launchTask, self, self._given(body["task"]))
            case "LAUNCH_GROUP":
                tasks = body["task_group"]["tasks"]
                self._on_launch(tasks)
                self._call_back(executor.launchTaskGroup, self, [self._given(task) for task in tasks])
            case "KILL":
                self._call_back(executor.killTask, self, self._given(body["task_id"]))
            case "ACKNOWLEDGED":
                with self._ledger:
                    self.updates.pop(uuid.UUID(bytes=decode_data(body["uuid"])), None)
                    self.tasks.pop(body["task_id"]["value"], None)
            case "MESSAGE":
                self._call_back(executor.frameworkMessage, self, body.get("data", ""))
            case "SHUTDOWN":
                self._shut_down()
            case "ERROR":
                self.stop()
                self._call_back(executor.error, self, body.get("message", ""))
            case _:
                pass

    def _on_subscribed(self, body: Json, line: Line) -> None:
        again = self.executor_info is not None
        self.executor_info, self.framework_info = body["executor_info"], body["framework_info"]
        self._opened(line)
        line.expect_heartbeats(HEARTBEAT_S)
        agent = self._given(body["agent_info"])
        if again:
            self._call_back(self.executor.reregistered, self, agent)
        else:
            infos = self._given(body["executor_info"]), self._given(body["framework_info"])
            self._call_back(self.executor.registered, self, *infos, agent)

    def _on_launch(self, tasks: list[Json]) -> None:
        with self._ledger:
            for task in tasks:
                self.tasks[task["task_id"]["value"]] = task

    def _shut_down(self) -> None:
        """Let the executor end; what is left of its processes after the grace period is killed."""
        if not self.local:
            threading.Thread(target=self._kill_later, name="shutdown-grace", daemon=True).start()
        self._call_back(self.executor.shutdown, self)
        self.stop()

    def _kill_later(self) -> None:
        threading.Event().wait(self.grace_shutdown_period)
        os.killpg(0, signal.SIGKILL)


class _Bearer(AuthBase):
    """The token of executor authentication."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _access(environment: Mapping[str, str]) -> Access:
    token = environment.get("MESOS_EXECUTOR_AUTHENTICATION_TOKEN")
    authority = environment.get("LIBPROCESS_SSL_CA_FILE") or environment.get("LIBPROCESS_SSL_CA_DIR")
    certificate = environment.get("LIBPROCESS_SSL_CERT_FILE")
    key = environment.get("LIBPROCESS_SSL_KEY_FILE") or certificate
    return Access(
        auth=_Bearer(token) if token else None,
        verify=authority or True,
        client_certificate=(certificate, key) if certificate and key else None,
    )


def _truth(environment: Mapping[str, str], name: str) -> bool:
    return environment.get(name, "").lower() in _TRUE


def _seconds(text: str) -> float:
    """What a duration of Mesos means, such as `5secs`."""
    for unit, seconds in _UNITS.items():
        number = text.strip().removesuffix(unit)
        if number != text.strip():
            return float(number) * seconds
    raise ValueError(f"{text!r} is no duration; Mesos writes 5secs, 2.5mins, 1hrs")
