"""What a checkpoint is: the manifest of one commit, and the two kinds of entry in a shard's log.

Entry *n* of a shard's log is one stored object, written once, only if absent.  A **claim** says that an epoch takes
ownership; a **commit** carries the manifest of a checkpoint.  Every entry names the hash of the entry before it, so
that a writer who woke up after its place in the log was collected cannot pass for history, and carries its own hash, so
that damage is seen.

State files are Arrow IPC; the manifest lists each with size and SHA-256.  Nothing here needs millstream to be read:
the entry is JSON, `json.loads(entry)["body"]["manifest"]` is the manifest.

Units: event times and watermarks are microseconds since 1970-01-01 UTC, `_at_s` are seconds since then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

import msgspec

ShardId = NewType("ShardId", str)
"""Names one shard of a source: stable across discoveries and restarts."""

Position = NewType("Position", int)
"""Where a shard is in its source: the number of the next unread record, byte or offset.  It only grows."""

FORMAT_VERSION = 1

END_OF_TIME_US = 2**63 - 1
"""The watermark of a source that has ended: no event time is above it."""


class BrokenEntry(ValueError):
    """An entry's bytes are not an entry: torn, altered, or of a version this program does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """One file that a commit needs.  `name` is relative to the store."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOutput:
    """One piece of output that becomes visible with the commit; `data` is the sink's own (staged and final name…)."""

    sink: str
    data: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardCounters:
    """Audit counters since the shard's first record ever.  They live in the checkpoint and never reset.

    `records_in` counts records read, good and bad; `dead` those of them that went to the dead letters (unreadable,
    without an event time, or crashing the program), `late` rows beyond the allowed lateness, `records_out` the rows
    given to sinks, `replayed` records read a second time after a restart.  Where a program has several stages,
    `passed_on` counts rows given to the next one, `taken_over` rows from the one before: no records of the source.
    """

    records_in: int = 0
    records_out: int = 0
    late: int = 0
    dead: int = 0
    replayed: int = 0
    passed_on: int = 0
    taken_over: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything needed to go on from here.

    `positions` are keyed by the name of the stream's input.  `finished` says that the source has ended and all windows
    are closed: there is nothing to go on with.  `state_shape` describes the state in words, so that a changed program
    does not read the wrong thing into it.
    """

    shard: str
    epoch: int
    number: int
    program_revision: str
    created_at_s: float
    delivery: str
    positions: Mapping[str, int]
    watermark_us: int | None = None
    finished: bool = False
    state_shape: str = ""
    state_files: tuple[FileRef, ...] = ()
    outputs: tuple[SinkOutput, ...] = ()
    counters: ShardCounters = field(default_factory=ShardCounters)
    accumulators: Mapping[str, int | float] = field(default_factory=dict)
    version: int = FORMAT_VERSION

    @property
    def state_bytes(self) -> int:
        """Bytes of all state files."""
        return sum(file.bytes for file in self.state_files)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One entry of a shard's log: a commit when it has a manifest, else a claim.

    `owner` tells two claims of one epoch apart.  `previous` is the SHA-256 of the entry before, "" for the first entry
    or when the one before could not be read.
    """

    number: int
    epoch: int
    owner: str
    at_s: float
    previous: str = ""
    manifest: Manifest | None = None
    version: int = FORMAT_VERSION


class _Envelope(msgspec.Struct):
    sha256: str
    body: msgspec.Raw


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_entry_decoder = msgspec.json.Decoder(LogEntry)


class _Versioned(msgspec.Struct):
    version: int


def encode_entry(entry: LogEntry) -> bytes:
    """The entry as the bytes to store: JSON with its own hash."""
    body = msgspec.json.encode(entry)
    return msgspec.json.encode(_Envelope(sha256=sha256(body), body=msgspec.Raw(body)))


def decode_entry(data: bytes) -> LogEntry:
    """The entry in `data`.

    Raises:
        BrokenEntry: the bytes are torn or altered, or of an unknown version.
    """
    try:
        envelope = _envelope_decoder.decode(data)
        body = bytes(envelope.body)
        if sha256(body) != envelope.sha256:
            raise BrokenEntry("the entry's hash does not match its content")
        version = msgspec.json.decode(body, type=_Versioned).version
        if version != FORMAT_VERSION:
            raise BrokenEntry(f"the entry has format version {version}, this program reads {FORMAT_VERSION}")
        return _entry_decoder.decode(body)
    except msgspec.MsgspecError as problem:
        raise BrokenEntry(f"not a log entry: {problem}") from problem


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()
