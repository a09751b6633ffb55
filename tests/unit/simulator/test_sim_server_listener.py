"""A port that dies takes every connection along, also those that are only just being accepted."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import suppress
from typing import Any

import pytest

from headgate.simulator.server.listener import Listener, reserve

TURNS = range(6)
"""Of the loop, between a client's connecting and the death: accepting takes several."""


async def nothing_here(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nobody asks for anything")


@pytest.mark.parametrize("turns", TURNS)
def test_connections_that_are_being_accepted_are_broken_too(turns: int) -> None:
    """None is left open without an owner (python/cpython #109564)."""

    async def connect_and_kill(client: socket.socket) -> None:
        bound = reserve("127.0.0.1", 0, "a test")
        address = bound.getsockname()
        listener = Listener(nothing_here, *address)
        await listener.open(bound)
        client.connect(address)
        for _ in range(turns):
            await asyncio.sleep(0)
        await listener.kill()

    with socket.socket() as client:
        client.settimeout(10.0)
        asyncio.run(connect_and_kill(client))
        gc.collect()
        # A reset is as good an end as any.
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""
