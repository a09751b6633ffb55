"""What a report says of one owned shard, apart from how it is processed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from millstream.contract.report import AuditCounters, ShardReport
from millstream.runtime.shard_results import ShardStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardView:
    """A shard as of the last publication.  `checkpoint_at` is on the monotonic clock: ages are told when reporting."""

    report: ShardReport
    checkpoint_at: float | None = None

    def report_at(self, now: float) -> ShardReport:
        """The report, with the age that its checkpoint has at `now`."""
        if self.report.checkpoint is None or self.checkpoint_at is None:
            return self.report
        return replace(self.report, checkpoint=replace(self.report.checkpoint, age_s=now - self.checkpoint_at))


@dataclass(frozen=True, slots=True)
class RateMeter:
    """Records per second over the last window that was long enough to tell."""

    since: float
    records: int = 0
    per_s: float = 0.0

    def measured(self, records: int, *, now: float, window_s: float) -> RateMeter:
        """The meter at `now`, when `records` have been counted in all; itself while the window is not over."""
        if now - self.since < window_s:
            return self
        return RateMeter(since=now, records=records, per_s=(records - self.records) / (now - self.since))


def with_status(report: ShardReport, status: ShardStatus) -> ShardReport:
    """`report` with what the runtime knows: positions, backlog, watermark, counters."""
    return replace(
        report,
        position=status.position,
        end_position=status.end_position,
        backlog_records=status.backlog_records,
        backlog_bytes=status.backlog_bytes,
        end_records=status.end_records,
        lag_s=status.lag_s,
        watermark_ms=None if status.watermark_us is None else status.watermark_us // 1000,
        audit=AuditCounters(
            records_in=status.counters.records_in,
            records_out=status.counters.records_out,
            late=status.counters.late,
            dead=status.counters.dead,
            replayed=status.counters.replayed,
        ),
        accumulators=_floats(status.accumulators),
    )


def _floats(accumulators: Mapping[str, int | float]) -> dict[str, float]:
    return {name: float(value) for name, value in accumulators.items()}
