"""Bytes ↔ contract.  JSON with a kind and a version; what this build does not know is refused, never guessed.

Format: `{"kind": "assignment", "version": 1, "body": {…}}`, UTF-8.  A field that a newer build of the same version adds
is ignored by an older one; a change of meaning takes a new version.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from millstream.contract.assignment import Assignment
from millstream.contract.report import Report
from millstream.contract.worker_spec import WorkerSpec

VERSION: Final = 1

Message = Assignment | Report | WorkerSpec

_KINDS: Final[dict[str, type[Message]]] = {"assignment": Assignment, "report": Report, "worker_spec": WorkerSpec}
_NAMES: Final[dict[type[Message], str]] = {kind: name for name, kind in _KINDS.items()}

_T = TypeVar("_T", Assignment, Report, WorkerSpec)


class Unreadable(ValueError):
    """These bytes are no message of this contract; the text says why and what was expected."""


class _Envelope(msgspec.Struct):
    kind: str
    version: int
    body: msgspec.Raw


_envelopes: Final = msgspec.json.Decoder(_Envelope)


def encode(message: Message) -> bytes:
    """The bytes of a message, in the newest version."""
    return msgspec.json.encode({"kind": _NAMES[type(message)], "version": VERSION, "body": message})


def decode(data: bytes, expected: type[_T]) -> _T:
    """The message in `data`, which must be of the expected kind and of a known version.

    Raises:
        Unreadable: not JSON, another kind, an unknown version, or a field that is missing or of a wrong type.
    """
    name = _NAMES[expected]
    try:
        envelope = _envelopes.decode(data)
    except msgspec.DecodeError as problem:
        raise Unreadable(f"expected a {name} message: {problem}") from problem
    if envelope.kind != name:
        raise Unreadable(f"expected a {name} message, got {envelope.kind!r}")
    if envelope.version != VERSION:
        raise Unreadable(
            f"{name} message of version {envelope.version}; this build reads version {VERSION}: "
            "run scheduler and workers of compatible releases"
        )
    try:
        return msgspec.json.decode(envelope.body, type=expected)
    except msgspec.DecodeError as problem:
        raise Unreadable(f"bad {name} message: {problem}") from problem
