"""What one commit of an upstream shard put into the log: names, bytes and the names they are stored under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from millstream.contract.checkpoint import ShardId
from millstream.errors import DamagedLog
from millstream.stores.location import object_part

SEGMENTS_PER_ENTRY_MAX = 1 << 16
WHOLE = SEGMENTS_PER_ENTRY_MAX - 1
"""In a mark: the whole entry is read."""


def mark_of(number: int, segments_read: int) -> int:
    """One number for an entry and how many of its segments are read; it grows as reading goes on."""
    return number * SEGMENTS_PER_ENTRY_MAX + segments_read


def parts_of(mark: int) -> tuple[int, int]:
    """(entry, segments read) of a mark."""
    return divmod(mark, SEGMENTS_PER_ENTRY_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Rows for one partition: an Arrow IPC object."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One commit's part of the log.

    `position` is the upstream shard's as of the commit: what it had read until then has been passed on.  `watermark_us`
    is its watermark then; `idle`: it has none since the shard was quiet from the
    start, and nobody should wait for it.  `finished`: no entry follows.  `segments` are by partition, in order.
    """

    number: int
    epoch: int
    position: int
    watermark_us: int | None = None
    idle: bool = False
    finished: bool = False
    segments: Mapping[int, tuple[Segment, ...]] = field(default_factory=dict)

    @property
    def progress(self) -> tuple[int | None, bool, bool]:
        """What it says apart from rows."""
        return self.watermark_us, self.idle, self.finished


_decoder = msgspec.json.Decoder(Entry)


def encode_entry(entry: Entry) -> bytes:
    """The entry as the bytes to store."""
    return msgspec.json.encode(entry)


def decode_entry(name: str, data: bytes) -> Entry:
    """The entry in `data`.

    Raises:
        DamagedLog: it is not one.
    """
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as problem:
        raise DamagedLog(f"{name} is no entry of a repartition log: {problem}") from problem


def index_prefix(stage: int) -> str:
    """What the names of all entries of the log before `stage` begin with."""
    return f"repartition/{stage}/index/"


def entry_name(stage: int, upstream: ShardId, number: int) -> str:
    """Where an entry is stored."""
    return f"{index_prefix(stage)}{object_part(upstream)}/{number:012d}"


def entry_number(name: str) -> tuple[str, int]:
    """(the upstream shard as its part of the name, number) of an entry's name."""
    upstream, _, number = name.rpartition("/")
    return upstream.rpartition("/")[2], int(number)


def segments_prefix(stage: int, upstream: ShardId | None = None) -> str:
    """What the names of all segments for `stage` begin with: of one upstream shard, or of all."""
    prefix = f"repartition/{stage}/segments/"
    return prefix if upstream is None else f"{prefix}{object_part(upstream)}/"


def segment_name(stage: int, upstream: ShardId, number: int, epoch: int, partition: int, part: int, digest: str) -> str:
    """Where a segment is stored."""
    prefix = segments_prefix(stage, upstream)
    return f"{prefix}{number:012d}-{epoch}-{partition:05d}-{part}-{digest[:16]}.arrow"


def segment_place(name: str) -> tuple[str, int, int]:
    """(the upstream shard as its part of the name, partition, mark) of a segment's name."""
    upstream, _, last = name.rpartition("/")
    number, _, partition, part, _ = last.split("-", 4)
    return upstream.rpartition("/")[2], int(partition), mark_of(int(number), int(part))


def segment_commit(name: str) -> tuple[int, int]:
    """(commit, epoch) of a segment's name."""
    number, epoch = name.rpartition("/")[2].split("-")[:2]
    return int(number), int(epoch)
