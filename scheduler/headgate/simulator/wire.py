"""What agents and masters of different processes say to each other, and what masters leave to each other, as bytes.

Mesos has its internal protobuf messages for the first and a replicated log for the second; here both are JSON.
"""

from __future__ import annotations

import zlib
from typing import Any, get_args

import msgspec

from headgate.simulator.master import Registry
from headgate.simulator.messages import FromAgent, ToAgent

_FROM = {kind.__name__: kind for kind in get_args(FromAgent)}
_TO = {kind.__name__: kind for kind in get_args(ToAgent)}


def encoded(address: str, message: FromAgent | ToAgent) -> bytes:
    """One line: a message of, or for, the agent at an address."""
    return msgspec.json.encode({"address": address, "kind": type(message).__name__, "body": message}) + b"\n"


def from_agent(line: bytes) -> tuple[str, FromAgent]:
    """What an agent says.

    Raises:
        ValueError: it is no such line.
    """
    return _decoded(line, _FROM)


def to_agent(line: bytes) -> tuple[str, ToAgent]:
    """What a master says to an agent.

    Raises:
        ValueError: it is no such line.
    """
    return _decoded(line, _TO)


def _decoded(line: bytes, kinds: dict[str, Any]) -> tuple[str, Any]:
    said = msgspec.json.decode(line, type=dict[str, Any])
    if said.get("kind") not in kinds or not isinstance(said.get("address"), str):
        raise ValueError(f"no message of the simulated cluster: {line[:80]!r}")
    return said["address"], msgspec.convert(said.get("body"), kinds[said["kind"]])


def pack_registry(registry: Registry) -> bytes:
    """A registry in few bytes."""
    return zlib.compress(msgspec.json.encode(registry))


def unpack_registry(data: bytes) -> Registry:
    """The registry that `pack_registry` was given.

    Raises:
        ValueError: the bytes are no registry.
    """
    try:
        return msgspec.json.decode(zlib.decompress(data), type=Registry)
    except zlib.error as fault:
        raise ValueError(f"no registry of a simulated master: {fault}") from fault
