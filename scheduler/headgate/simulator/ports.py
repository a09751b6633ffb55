"""The shapes through which the edges drive the model.

Every input method takes `now` in seconds and puts what has to happen elsewhere into the outbox; the driver calls
`drain()` after each input and routes it.  `wake_at()` is when `tick(now)` is due next (None: nothing is waiting);
calling `tick` early or often is harmless.  Methods never block, never raise for what a client did wrong, and are to be
called from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Protocol

from headgate.simulator.messages import (
    AgentOutput,
    FromAgent,
    Json,
    MasterOutput,
    Reply,
    Stream,
    ToAgent,
)


class MasterEnd(Protocol):
    """A leading master as agents meet it, in this process or in another."""

    def receive(self, address: str, message: FromAgent, *, now: float) -> None:
        """A message of the agent at `address`."""

    def tick(self, *, now: float) -> None:
        """Do what is due: heartbeats, allocation, filters, pings, failover timeouts."""

    def wake_at(self) -> float | None:
        """When `tick` is due next."""

    def drain(self) -> list[MasterOutput]:
        """Take all outputs since the last drain, in order."""


class MasterModel(MasterEnd, Protocol):
    """A leading master."""

    def call(self, call: Json, *, stream_id: str | None, principal: str | None = None, now: float) -> Reply | Stream:
        """One scheduler API call that has passed `schema` (rows 6–12 of the reference's A.2); this does rows 13–21.

        `principal` is the authenticated one: a FrameworkInfo without principal gets it, and row 15 compares it.
        """

    def operator(self, call: Json, *, now: float) -> Reply | Stream:
        """One operator API call (`POST /api/v1`) that has passed `schema`."""

    def get(self, path: str, query: Mapping[str, str], *, now: float) -> Reply:
        """A GET endpoint such as `/health`, `/version`, `/state`, `/redirect`; 404 for what does not exist."""

    def disconnected(self, stream: str, *, now: float) -> None:
        """The client of a stream has gone away.  Unknown streams are ignored."""


class AgentModel(Protocol):
    """One agent."""

    address: str

    def start(self, *, now: float) -> None:
        """Begin: register, or after a restart recover and re-register."""

    def master_detected(self, *, now: float) -> None:
        """Another master leads."""

    def call(self, call: Json, *, now: float) -> Reply | Stream:
        """One executor API call that has passed `schema`; this does rows 6–11 of the reference's D.1."""

    def operator(self, call: Json, *, now: float) -> Reply | Stream:
        """One call of the agent's operator API (`POST /api/v1`) that has passed `schema`."""

    def get(self, path: str, query: Mapping[str, str], *, now: float) -> Reply:
        """A GET endpoint: `/state`, `/containers`, `/health`, `/version`."""

    def disconnected(self, stream: str, *, now: float) -> None:
        """The client of a stream has gone away."""

    def receive(self, message: ToAgent, *, now: float) -> None:
        """A message of the master."""

    def container_started(self, container_id: str, pid: int, *, now: float) -> None:
        """The process runs."""

    def container_failed(self, container_id: str, message: str, *, now: float) -> None:
        """Fetching or starting failed; no process was left behind."""

    def container_exited(self, container_id: str, wait_status: int, *, now: float) -> None:
        """The process ended; `wait_status` is the raw status of wait(2)."""

    def checked(self, check_id: str, outcome: Json | None, *, now: float) -> None:
        """A check that was asked for (`CheckTask`) has been performed.

        `outcome` is the body of a CheckStatusInfo, such as `{"tcp": {"succeeded": true}}`; None without a result in
        time.
        """

    def tick(self, *, now: float) -> None:
        """Do what is due: resent updates, executor timeouts, kill grace."""

    def wake_at(self) -> float | None:
        """When `tick` is due next."""

    def drain(self) -> list[AgentOutput]:
        """Take all outputs since the last drain, in order."""


def uuid4_text(randomness: Random) -> str:
    """A random UUID (version 4) in its 36-character form, from the given generator."""
    bits = randomness.getrandbits(128)
    bits = bits & ~(0xF << 76) | (4 << 76)
    bits = bits & ~(0x3 << 62) | (2 << 62)
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
