"""What reports say of shards over time, and what follows from it, each with its unit."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.model.ids import ShardId, TaskId
from millstream.contract.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The newest report of a task, and when it arrived."""

    report: Report
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSample:
    """One reading of a shard by its owner.  `records`, `busy_s`, `blocked_s` grow over one attempt only."""

    at: float
    task_id: TaskId
    epoch: int
    records: int
    busy_s: float
    blocked_s: float
    end_records: int | None
    backlog_records: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLoad:
    """What a window of samples says of a shard.

    `arrivals_per_s` (λ): growth of the source's end.  `cost_s` (s): busy seconds per record.  `rate_per_s`: records
    processed.  `blocked`: share of the time spent waiting for the sink.  `backlog_records` (B): not yet processed.
    None: not known (yet).  `span_s`: how long the window really is; `at`: its newest sample.
    `owner` did the work that was measured.  `grown_at`: when the number of processed records last grew.
    `pause_s`: for how long, at most, nobody worked on the shard when it last changed hands.
    """

    shard: ShardId
    at: float
    owner: TaskId | None = None
    span_s: float = 0.0
    arrivals_per_s: float | None = None
    cost_s: float | None = None
    rate_per_s: float = 0.0
    blocked: float = 0.0
    backlog_records: int | None = None
    grown_at: float | None = None
    pause_s: float | None = None
