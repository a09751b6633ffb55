"""What a worker tells the scheduler: everything it owns and how it fares, each time anew.

Sent every `report_interval_s` and at every change.  A report is true for the instant it was made; `sequence` grows
with each report of one attempt, so that an older one that arrives late is recognised and dropped.
Durations are seconds, event times are milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class ShardState(Enum):
    """Where an owned shard is in its life.

    claiming → restoring → running → releasing, and then it is owned no more.  `running` becomes `finished` at the end
    of a finite source, after the last commit.  `failed` says that the program (or store) raised and the worker tries
    again; a shard whose owner was shut out by a higher epoch is simply no longer owned.
    """

    CLAIMING = "claiming"
    RESTORING = "restoring"
    RUNNING = "running"
    RELEASING = "releasing"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCounters:
    """Records since the shard's first record ever; they live in the checkpoint and never reset.

    `records_in` counts what was read and kept its effect (a record read again after a restart counts once);
    `replayed` counts those second readings.
    """

    records_in: int = 0
    records_out: int = 0
    late: int = 0
    dead: int = 0
    replayed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointReport:
    """The newest commit of a shard.  `id` is its entry number in the shard's log."""

    id: int
    age_s: float
    bytes: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """One owned shard.

    `position` and `end_position` are in the source's own unit (an offset, a byte position) and grow along the shard.
    `backlog_records` is exact or the source's best estimate; None: the source cannot say.
    `end_records` is the number of records the source holds for the shard, exact or estimated; its growth is the arrival
    rate.  `records` counts what this attempt has processed, second readings included.
    `busy_s` and `blocked_s` (waiting for the sink) only grow, over this attempt; idle waiting for input is in neither.
    `lag_s`: age of the oldest record not yet processed, by its arrival where the source knows it, else by event time.
    `restored_from` is the commit the shard came back from, None if it began at the source's start.
    """

    shard: str
    epoch: int
    state: ShardState
    position: int | None = None
    end_position: int | None = None
    backlog_records: int | None = None
    backlog_bytes: int | None = None
    end_records: int | None = None
    lag_s: float | None = None
    watermark_ms: int | None = None
    records: int = 0
    records_per_s: float = 0.0
    busy_s: float = 0.0
    blocked_s: float = 0.0
    checkpoint: CheckpointReport | None = None
    restored_from: int | None = None
    restore_s: float | None = None
    audit: AuditCounters = field(default_factory=AuditCounters)
    accumulators: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownShard:
    """A shard that exists, owned or not, with the source's end as this worker sees it.

    `end_records` is the number of records the source holds for it (an estimate where the source counts bytes);
    what nobody owns has no other witness of its growth.
    """

    shard: str
    end_records: int | None = None
    end_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything one attempt of a worker owns and knows.

    `assignment_version` is the newest assignment it has seen (0: none yet); `owned` lists every shard it holds in any
    state: a shard missing here, in a report whose `assignment_version` no longer names it, has been let go.
    `known` lists all shards that exist; `complete` says that no others will appear (a finite source).
    `problem` is about the worker as a whole, such as a program that does not import.
    """

    job: str
    worker: int
    task_id: str
    sequence: int
    assignment_version: int
    revision: str
    owned: tuple[ShardReport, ...] = ()
    known: tuple[KnownShard, ...] = ()
    complete: bool = False
    cpu_s: float = 0.0
    rss_bytes: int = 0
    throttled_s: float = 0.0
    uptime_s: float = 0.0
    problem: str | None = None
