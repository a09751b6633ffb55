"""A virtual worker's line to its agent: the v1 Executor API, with messages that may be lost, doubled or late.

Updates are kept until the agent has confirmed them and go with every subscription, as the API wants it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Final, Protocol

from headgate.simulator.messages import Json, Reply, Stream
from headgate.simulator.ports import uuid4_text
from headgate.testing.faults import Fault, Weather
from headgate.testing.process import VirtualProcess

LATENCY_S: Final = (0.001, 0.02)
LATE_S: Final = (0.1, 12.0)
RETRY_S: Final = 2.0
"""An executor asks again within so long; its agent waits as long for it after a restart."""

Answered = Callable[[Reply | Stream], None]


class AgentDoor(Protocol):
    """The way to one agent."""

    def call(self, call: Json, answered: Answered) -> bool:
        """Hand over a call of the Executor API; False: nobody is there.  A stopped agent answers when it goes on."""


class ExecutorLink:
    """One executor's subscription, reopened whenever it is lost.

    `deliver` gets the events but those about updates; `confirmed` the uuid of each update that the agent has.
    """

    def __init__(
        self,
        *,
        framework_id: str,
        executor_id: str,
        door: AgentDoor,
        process: VirtualProcess,
        weather: Weather,
        name: str,
        deliver: Callable[[Json], None],
        confirmed: Callable[[str], None],
    ) -> None:
        self._ids: Json = {"framework_id": {"value": framework_id}, "executor_id": {"value": executor_id}}
        self._door = door
        self._process = process
        self._weather = weather
        self._randomness = weather.randomness.child(f"link {name}")
        self._deliver = deliver
        self._confirmed = confirmed
        self._tasks: dict[str, Json] = {}
        self._updates: dict[str, Json] = {}
        self._stream: str | None = None
        self._subscribed = False
        self._arrives_at = 0.0

    @property
    def stream(self) -> str | None:
        """The stream it reads now."""
        return self._stream

    def subscribe(self) -> None:
        """Open the stream, or try again soon."""
        body: Json = {
            "unacknowledged_tasks": list(self._tasks.values()),
            "unacknowledged_updates": [{"status": status} for status in self._updates.values()],
        }
        if not self._call("SUBSCRIBE", body, self._opened):
            self._again()

    def update(self, task_id: str, state: str, *, message: str | None = None) -> str:
        """Report a state of a task; the uuid of the update."""
        uuid = base64.b64encode(bytes.fromhex(uuid4_text(self._randomness).replace("-", ""))).decode()
        status: Json = {
            "task_id": {"value": task_id},
            "state": state,
            "source": "SOURCE_EXECUTOR",
            "uuid": uuid,
            "timestamp": self._process.timeline.now(),
        }
        if message is not None:
            status["message"] = message
        self._updates[uuid] = status
        if self._subscribed:
            self._call("UPDATE", {"status": status}, _nothing)
        return uuid

    def send(self, data: bytes) -> None:
        """Send the scheduler a message; whether it arrives, and how often, and when, nobody knows."""
        body = {"data": base64.b64encode(data).decode()}

        def post() -> None:
            if self._subscribed:
                self._call("MESSAGE", body, _nothing)

        for delay_s in self._journeys():
            if delay_s:
                self._process.after(delay_s, post)
            else:
                post()

    def receive(self, event: Json) -> None:
        """An event of the agent comes along the stream; messages may be lost, and overtake."""
        if event["type"] == "MESSAGE":
            for delay_s in self._journeys():
                self._process.after(delay_s + self._randomness.uniform(*LATENCY_S), lambda: self._deliver(event))
            return
        now = self._process.timeline.now()
        self._arrives_at = max(self._arrives_at, now + self._randomness.uniform(*LATENCY_S))
        self._process.after(self._arrives_at - now, lambda: self._handle(event))

    def broken(self) -> None:
        """The stream has ended."""
        if self._stream is not None:
            self._stream, self._subscribed = None, False
            self._again()

    def close(self) -> None:
        """Read no more."""
        self._stream, self._subscribed = None, False

    def _again(self) -> None:
        self._process.after(self._randomness.uniform(0.0, RETRY_S), self.subscribe)

    def _opened(self, answer: Reply | Stream) -> None:
        if isinstance(answer, Stream):
            self._stream = answer.stream
        elif answer.status == 503:
            self._again()
        else:
            self._deliver({"type": "ERROR", "error": {"message": f"{answer.status}: {answer.body}"}})

    def _handle(self, event: Json) -> None:
        match event["type"]:
            case "SUBSCRIBED":
                self._subscribed = True
            case "LAUNCH":
                task = event["launch"]["task"]
                self._tasks[task["task_id"]["value"]] = task
            case "ACKNOWLEDGED":
                uuid = event["acknowledged"]["uuid"]
                if self._updates.pop(uuid, None) is not None:
                    self._tasks.pop(event["acknowledged"]["task_id"]["value"], None)
                self._confirmed(uuid)
                return
        self._deliver(event)

    def _journeys(self) -> list[float]:
        """How late each copy of a message arrives; none: it is lost."""
        happens = self._weather.happens
        if happens(Fault.MESSAGE_LOST):
            return []
        copies = 2 if happens(Fault.MESSAGE_DOUBLED) else 1
        late = self._weather.chance(Fault.MESSAGE_LATE)
        return [late.uniform(*LATE_S) if happens(Fault.MESSAGE_LATE) else 0.0 for _ in range(copies)]

    def _call(self, kind: str, body: Json, answered: Answered) -> bool:
        call = {**self._ids, "type": kind, kind.lower(): body}
        return self._door.call(json.loads(json.dumps(call)), answered)


def _nothing(_: Reply | Stream) -> None:
    """An update that was refused is repeated with the next subscription, a message is not."""
