"""Reports over time → loads of shards: arrival rate, cost per record, backlog.

Source: the per-shard quantities of the scaling policy (`scaling`).  The gauges keep a bounded window of samples and are
fed by the loop; nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from headgate.model.ids import ShardId, TaskId
from headgate.model.measurements import ShardLoad, ShardSample
from headgate.model.settings import Measuring
from millstream.contract.report import Report, ShardState


class Gauge:
    """One shard's window."""

    def __init__(self, shard: ShardId) -> None:
        self._shard = shard
        self._ends: deque[tuple[float, int]] = deque()
        self._work: deque[ShardSample] = deque()
        self._cost_s: float | None = None
        self._backlog: tuple[float, int, int | None] | None = None
        self._grown_at: float | None = None
        self._worked: tuple[int, float] | None = None
        self._letting_go = False
        self._pause_s: float | None = None

    def add_end(self, at: float, end_records: int, measuring: Measuring) -> None:
        """The source's end, as any worker sees it."""
        if self._ends and at <= self._ends[-1][0]:
            return
        self._ends.append((at, end_records))
        while self._ends[0][0] < at - measuring.window_s:
            self._ends.popleft()

    def add_work(self, sample: ShardSample, measuring: Measuring) -> None:
        """The owner's reading.  Another attempt or epoch starts its counters anew, and the window with them."""
        last = self._work[-1] if self._work else None
        if last and ((last.task_id, last.epoch) != (sample.task_id, sample.epoch) or sample.records < last.records):
            self._work.clear()
            last = None
        if last is None or sample.records > last.records:
            self._grown_at = sample.at
        self._work.append(sample)
        while self._work[0].at < sample.at - measuring.window_s:
            self._work.popleft()
        if sample.end_records is not None:
            self.add_end(sample.at, sample.end_records, measuring)
        if sample.backlog_records is not None:
            self._backlog = (sample.at, sample.backlog_records, self._ends[-1][1] if self._ends else None)
        first = self._work[0]
        records, busy_s = sample.records - first.records, sample.busy_s - first.busy_s
        if records > 0 and (records >= measuring.records_min or busy_s >= measuring.busy_min_s):
            self._cost_s = busy_s / records

    def add_state(self, epoch: int, state: ShardState, at: float) -> None:
        """Whether the owner at `epoch` works on it: from when one stopped until the next is at work it pauses.

        An owner that lets go says so when it stops; of one that died the last report counts.
        """
        last_epoch, last_at = self._worked or (epoch, at)
        if epoch < last_epoch:
            return
        if state in (ShardState.RUNNING, ShardState.FINISHED):
            if epoch > last_epoch:
                self._pause_s = at - last_at
            self._worked, self._letting_go = (epoch, at), False
        elif state is ShardState.RELEASING and epoch == last_epoch and not self._letting_go:
            self._worked, self._letting_go = (epoch, at), True

    def load(self, measuring: Measuring, *, owner: TaskId | None) -> ShardLoad | None:
        """What the window says; None: nothing yet.  Work measured with another owner says nothing of this one's."""
        work = self._work if self._work and self._work[-1].task_id == owner else None
        at = work[-1].at if work else (self._ends[-1][0] if self._ends and owner is None else None)
        if at is None:
            return None
        span_s = work[-1].at - work[0].at if work else 0.0
        measured = work if work and span_s >= measuring.span_min_s else None
        rate = (measured[-1].records - measured[0].records) / span_s if measured else 0.0
        blocked = (measured[-1].blocked_s - measured[0].blocked_s) / span_s if measured else 0.0
        return ShardLoad(
            shard=self._shard,
            at=at,
            owner=work[-1].task_id if work else None,
            span_s=span_s,
            arrivals_per_s=self._arrivals(measuring),
            cost_s=self._cost_s,
            rate_per_s=max(0.0, rate),
            blocked=min(1.0, max(0.0, blocked)),
            backlog_records=self._backlog_now(),
            grown_at=self._grown_at,
            pause_s=self._pause_s,
        )

    def _arrivals(self, measuring: Measuring) -> float | None:
        if len(self._ends) < 2:
            return None
        (begun, low), (ended, high) = self._ends[0], self._ends[-1]
        return max(0.0, (high - low) / (ended - begun)) if ended - begun >= measuring.span_min_s else None

    def _backlog_now(self) -> int | None:
        """The last backlog, and what has arrived since while nobody worked on it."""
        if self._backlog is None:
            return None
        _, backlog, end = self._backlog
        return backlog + max(0, self._ends[-1][1] - end) if end is not None else backlog


class Gauges:
    """All shards of one job.  `read` is the furthest position that any owner of a shard has reported."""

    def __init__(self) -> None:
        self.read: dict[ShardId, int] = {}
        self._gauges: dict[ShardId, Gauge] = {}

    def hear(self, report: Report, task_id: TaskId, at: float, measuring: Measuring) -> None:
        """Take in a report that is newer than those before it."""
        for known in report.known:
            if known.end_records is not None:
                self._gauge(ShardId(known.shard)).add_end(at, known.end_records, measuring)
        for owned in report.owned:
            self._gauge(ShardId(owned.shard)).add_state(owned.epoch, owned.state, at)
            if owned.position is not None:
                shard = ShardId(owned.shard)
                self.read[shard] = max(owned.position, self.read.get(shard, 0))
            self._gauge(ShardId(owned.shard)).add_work(
                ShardSample(
                    at=at,
                    task_id=task_id,
                    epoch=owned.epoch,
                    records=owned.records,
                    busy_s=owned.busy_s,
                    blocked_s=owned.blocked_s,
                    end_records=owned.end_records,
                    backlog_records=owned.backlog_records,
                ),
                measuring,
            )

    def loads(self, owners: Iterable[tuple[ShardId, TaskId | None]], measuring: Measuring) -> dict[ShardId, ShardLoad]:
        """The load of each of these shards that has one."""
        found = {}
        for shard, owner in owners:
            gauge = self._gauges.get(shard)
            load = gauge.load(measuring, owner=owner) if gauge else None
            if load:
                found[shard] = load
        return found

    def _gauge(self, shard: ShardId) -> Gauge:
        return self._gauges.setdefault(shard, Gauge(shard))
