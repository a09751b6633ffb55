"""Connections between a leading master and agents in other processes.

They share the master's port with HTTP, as everything of a Mesos process shares one port: an agent's end begins with
`GREETING`.  Each line after that is a message (`wire`).  When such a connection breaks, the master's links to all
agents behind it have broken, and those agents have lost their master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from headgate.simulator import wire
from headgate.simulator.messages import AgentLinkBroken, AgentRegistered, FromAgent, ToAgent

GREETING = b"SIMULATED AGENTS\n"


class _Lines(asyncio.Protocol):
    """A connection as lines."""

    def __init__(self, on_line: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._on_line, self._on_end = on_line, on_end
        self._rest = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            self._on_line(line)

    def connection_lost(self, _: Exception | None) -> None:
        self._on_end()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class AgentLinks:
    """The master's ends.  `hear` takes what agents say (and that their links have broken)."""

    def __init__(self, hear: Callable[[str, FromAgent], None]) -> None:
        self._hear = hear
        self._lines: dict[str, _Lines] = {}
        self._ids: dict[str, str] = {}
        self._open: set[_Lines] = set()

    def accept(self) -> asyncio.Protocol:
        """A connection whose greeting has been read; the rest of it goes to what this returns."""
        behind: set[str] = set()

        def line(data: bytes) -> None:
            try:
                address, message = wire.from_agent(data)
            except ValueError:
                lines.abort()
                return
            behind.add(address)
            self._lines[address] = lines
            self._hear(address, message)

        def end() -> None:
            self._open.discard(lines)
            for address in sorted(behind):
                if self._lines.get(address) is lines:
                    del self._lines[address]
                    agent_id = self._ids.pop(address, None)
                    if agent_id is not None:
                        self._hear(address, AgentLinkBroken(agent_id=agent_id))

        lines = _Lines(line, end)
        self._open.add(lines)
        return lines

    def send(self, address: str, message: ToAgent) -> None:
        """A message for an agent elsewhere; lost if its link is broken."""
        if isinstance(message, AgentRegistered):
            self._ids[address] = message.agent_id
        if (lines := self._lines.get(address)) is not None:
            lines.write(wire.encoded(address, message))

    def break_all(self) -> None:
        """Break every connection, without a word of it to anybody here."""
        self._lines.clear()
        self._ids.clear()
        for lines in list(self._open):
            lines.abort()


class MasterLink:
    """The agents' end."""

    def __init__(self, hear: Callable[[str, ToAgent], None], on_end: Callable[[], None]) -> None:
        self._hear = hear
        self._lines = _Lines(self._line, on_end)

    async def open(self, ip: str, port: int) -> bool:
        """Whether the master could be reached."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            await loop.create_connection(lambda: self._lines, ip, port)
            self._lines.write(GREETING)
            return True
        return False

    def send(self, address: str, message: FromAgent) -> None:
        """What an agent here says."""
        self._lines.write(wire.encoded(address, message))

    def close(self) -> None:
        """Break it."""
        self._lines.abort()

    def _line(self, data: bytes) -> None:
        address, message = wire.to_agent(data)
        self._hear(address, message)
