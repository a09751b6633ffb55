"""The executor driver: one executor's conversation with its Mesos agent, over the v1 Executor API.

Two threads that only move messages.  The *reader* keeps the subscription: it opens the event stream, delivers what
comes, and opens it again when it is lost.  The *sender* posts calls, one at a time and in order.  What has to survive a
lost connection, tasks and updates that the agent has not confirmed, is in a ledger and goes with each subscription; an
update is posted once otherwise, as retrying towards the scheduler is the agent's part.

Any executor may use it:

    mailbox: SimpleQueue[ExecutorEvent] = SimpleQueue()
    place = read_environment(os.environ)
    with ExecutorDriver(place, deliver=mailbox.put, clock=SystemClock(), randomness=Random()) as driver:
        while True:
            match mailbox.get():
                case Launch(task=task):
                    driver.update(task.task_id, TaskState.RUNNING)
                case Shutdown():
                    break

Source: Mesos, `docs/executor-http-api.md`, `src/executor/executor.cpp`.
"""

from __future__ import annotations

import logging
import queue
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final

import requests

from millstream.adapters.event_stream import EventStream, StreamLost, StreamRefused
from millstream.adapters.executor_codec import Calls, UnreadableEvent, decode_event
from millstream.adapters.executor_environment import ExecutorEnvironment
from millstream.contract.recordio import BrokenFraming, Decoder
from millstream.core.executor_api import (
    Aborted,
    Acknowledged,
    Disconnected,
    ExecutorEvent,
    Launch,
    LaunchGroup,
    Shutdown,
    StatusUpdate,
    Subscribed,
    TaskId,
    TaskState,
    UpdateId,
)
from millstream.core.unacknowledged import Unacknowledged
from millstream.ports import Clock, Deliver

_PATH: Final = "/api/v1/executor"
_TRY_LATER: Final = (404, 503)
"""An agent that starts answers so until it has recovered."""

_HEARTBEAT_S: Final = 30 * 60.0
_SILENCE_MAX_S: Final = 2.5 * _HEARTBEAT_S
"""The agent sends a heartbeat each 30 minutes; two missed ones and a stream is dead."""

_REGISTRATION_S: Final = 60.0
"""How long an agent waits for a new executor by default; asking any longer is pointless."""

_CONNECT_S: Final = 10.0
_ANSWER_S: Final = 60.0
"""An agent that is slow for a while, on a full disk for instance, is not a lost one."""

_STOP_S: Final = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Post:
    """A call in the sender's queue."""

    what: str
    body: bytes


class ExecutorDriver:
    """One executor at its agent, from `start` to `stop`.

    Events go to `deliver`, in order, from the driver's threads.  `update`, `send` and `settled` may be called from any
    thread.  When the agent is lost, an executor of a framework without checkpointing gets `Shutdown` at once; others
    reconnect after random pauses until the recovery timeout is over, and then get `Shutdown`.  After `Shutdown` or
    `Aborted` nothing is opened again; calls still go out while the stream lives.
    """

    def __init__(self, environment: ExecutorEnvironment, *, deliver: Deliver, clock: Clock, randomness: Random) -> None:
        self._environment = environment
        self._deliver = deliver
        self._clock = clock
        self._randomness = randomness
        self._calls = Calls(framework_id=environment.framework_id, executor_id=environment.executor_id)
        self._url = _url(environment)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if environment.token:
            self._headers["Authorization"] = f"Bearer {environment.token}"
        # Guards the next three: whether an update is posted or left to the next subscription is decided under it.
        self._lock = Lock()
        self._ledger = Unacknowledged()
        self._subscribed = False
        self._stream: EventStream | None = None
        self._carried: frozenset[UpdateId] = frozenset()
        self._outbox: queue.SimpleQueue[_Post | None] = queue.SimpleQueue()
        self._equipped = False
        self._ending = False
        self._stopped = Event()
        self._reader = Thread(target=self._keep_subscribed, name="agent-reader", daemon=True)
        self._sender = Thread(target=self._send_calls, name="agent-sender", daemon=True)

    def start(self) -> None:
        """Subscribe, in the background."""
        self._reader.start()
        self._sender.start()

    def stop(self) -> None:
        """Post what is queued, then close; gives an agent that does not answer a few seconds.  Safe to repeat."""
        self._outbox.put(None)
        self._sender.join(_STOP_S)
        self._stopped.set()
        self._abort_stream()
        self._reader.join(_STOP_S)

    def __enter__(self) -> ExecutorDriver:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def update(
        self,
        task_id: TaskId,
        state: TaskState,
        *,
        message: str | None = None,
        reason: str | None = None,
        data: bytes | None = None,
        healthy: bool | None = None,
    ) -> UpdateId:
        """Report a state of a task; returns the id that its `Acknowledged` will carry.

        Kept until acknowledged, and listed at each new subscription till then.  Updates of one task reach the agent in
        the order of the calls.  `reason` is a Mesos reason such as REASON_TASK_INVALID.
        """
        update = StatusUpdate(
            task_id=task_id,
            state=state,
            uuid=UpdateId(uuid.uuid4().bytes),
            timestamp=self._clock.now(),
            message=message,
            reason=reason,
            data=data,
            healthy=healthy,
        )
        with self._lock:
            self._ledger.updated(update)
            if self._subscribed:
                self._post_update(update)
        return update.uuid

    def send(self, data: bytes) -> None:
        """Send the scheduler a message, or drop it when there is no subscription.  Any hop may lose it silently."""
        with self._lock:
            if self._subscribed:
                self._outbox.put(_Post(what="MESSAGE", body=self._calls.message(data)))

    def settled(self) -> bool:
        """Whether the agent has confirmed every update."""
        with self._lock:
            return not self._ledger.updates

    # The reader's thread.

    def _keep_subscribed(self) -> None:
        environment = self._environment
        last_heard_at = self._clock.monotonic()
        while True:
            heard = False
            agent_is_starting = False
            try:
                for event in self._subscription():
                    heard = True
                    self._handle(event)
                reason = "the agent ended the event stream"
            except StreamRefused as refusal:
                reason = f"the agent refused the subscription: {refusal}"
                agent_is_starting = refusal.status in _TRY_LATER
                if not agent_is_starting:
                    self._abort(reason)
            except (StreamLost, BrokenFraming, UnreadableEvent) as problem:
                reason = str(problem)
            if self._stopped.is_set() or self._ending:
                return
            _log.warning("no event stream: %s", reason)
            self._deliver(Disconnected(reason=reason))
            now = self._clock.monotonic()
            if heard:
                last_heard_at = now
            if environment.checkpoint:
                give_up = now - last_heard_at >= environment.recovery_timeout_s
            else:
                give_up = not agent_is_starting or now - last_heard_at >= _REGISTRATION_S
            if give_up:
                self._deliver(Shutdown(grace_s=environment.shutdown_grace_s, reason=f"lost the agent: {reason}"))
                return
            self._stopped.wait(self._randomness.uniform(0.0, environment.backoff_max_s))

    def _subscription(self) -> Iterator[ExecutorEvent]:
        """The events of one subscription, until its stream ends."""
        with self._lock:
            tasks, updates = self._ledger.tasks, self._ledger.updates
        self._carried = frozenset(update.uuid for update in updates)
        stream = EventStream(
            host=self._environment.host,
            port=self._environment.port,
            path=_PATH,
            headers=self._headers,
            body=self._calls.subscribe(tasks, updates),
            open_timeout_s=_ANSWER_S,
            silence_max_s=_SILENCE_MAX_S,
            tls=self._environment.tls,
        )
        with self._lock:
            self._stream = stream
        if self._stopped.is_set():
            stream.abort()
        decoder = Decoder()
        try:
            while chunk := stream.read():
                for record in decoder.feed(chunk):
                    event = decode_event(record, shutdown_grace_s=self._environment.shutdown_grace_s)
                    if event is not None:
                        yield event
        finally:
            with self._lock:
                self._stream = None
                self._subscribed = False
            stream.close()

    def _handle(self, event: ExecutorEvent) -> None:
        with self._lock:
            match event:
                case Subscribed():
                    self._subscribed = True
                    for update in self._ledger.updates:
                        if update.uuid not in self._carried:
                            self._post_update(update)
                case Launch(task=task):
                    self._ledger.launched(task)
                case LaunchGroup(tasks=tasks):
                    for task in tasks:
                        self._ledger.launched(task)
                case Acknowledged(task_id=task_id, uuid=uuid_):
                    self._ledger.acknowledged(task_id, uuid_)
                case Shutdown() | Aborted():
                    self._ending = True
                case _:
                    pass
        self._deliver(event)

    # The sender's thread.

    def _send_calls(self) -> None:
        with requests.Session() as session:
            session.trust_env = False  # the agent is a neighbour: no proxy of the environment stands between
            session.headers.update(self._headers)
            while True:
                try:
                    post = self._outbox.get(timeout=_HEARTBEAT_S)
                except queue.Empty:
                    post = _Post(what="HEARTBEAT", body=self._calls.heartbeat())
                if post is None:
                    return
                with self._lock:
                    subscribed = self._subscribed
                if subscribed:
                    self._post(session, post)

    def _post(self, session: requests.Session, post: _Post) -> None:
        tls = self._environment.tls
        try:
            if tls is not None and not self._equipped:
                tls.equip(session, self._environment.host)
                self._equipped = True
            response = session.post(self._url, data=post.body, timeout=(_CONNECT_S, _ANSWER_S))
        except OSError as problem:
            _log.warning("%s did not reach the agent: %s", post.what, problem)
            self._abort_stream()
            return
        if response.ok:
            return
        refusal = f"the agent refused {post.what}: {response.status_code} {response.text.strip()}"
        if response.status_code in _TRY_LATER:
            _log.warning("%s", refusal)
            self._abort_stream()
        else:
            self._abort(refusal)

    # Either thread.

    def _post_update(self, update: StatusUpdate) -> None:
        self._outbox.put(_Post(what=f"UPDATE {update.state.value}", body=self._calls.update(update)))

    def _abort_stream(self) -> None:
        """End the subscription; the next one carries what was not acknowledged."""
        with self._lock:
            if self._stream is not None:
                self._stream.abort()

    def _abort(self, message: str) -> None:
        self._ending = True
        self._deliver(Aborted(message=message))


def _url(environment: ExecutorEnvironment) -> str:
    host = f"[{environment.host}]" if ":" in environment.host else environment.host
    return f"{'http' if environment.tls is None else 'https'}://{host}:{environment.port}{_PATH}"
