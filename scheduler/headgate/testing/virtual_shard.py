"""One shard in the hands of a virtual worker: claimed, worked on, committed, released, or lost to another owner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headgate.testing.process import VirtualProcess
from headgate.testing.shard_log import Answer, Appended, Commit, Entry, ShardLogs, ShutOut
from headgate.testing.source import Source, total
from millstream.contract.report import AuditCounters, CheckpointReport, ShardReport, ShardState

RETRY_S: Final = 1.0


class VirtualShard:
    """What a worker holds of a shard.  One question to the log at a time.

    `changed` is told of every change worth a report, `gone` when the shard is this worker's no more: released, or with
    True, shut out.
    """

    def __init__(
        self,
        *,
        job: str,
        shard: str,
        epoch: int,
        owner: str,
        process: VirtualProcess,
        logs: ShardLogs,
        source: Source,
        changed: Callable[[], None],
        gone: Callable[[str, bool], None],
    ) -> None:
        self.shard = shard
        self.epoch = epoch
        self.state = ShardState.CLAIMING
        self.position = 0
        self._job = job
        self._owner = owner
        self._process = process
        self._logs = logs
        self._source = source
        self._changed = changed
        self._gone = gone
        self._number = 0
        self._committed = 0
        self._total = 0
        self._asking = False
        self._leaves = False
        self._is_gone = False
        self._records = 0
        self._busy_s = 0.0
        self._committed_at: float | None = None
        self._claim()

    @property
    def runs(self) -> bool:
        """Whether it may be worked on."""
        return self.state is ShardState.RUNNING

    @property
    def backlog(self) -> int:
        """Records not yet processed."""
        return self._source.end(self.shard) - self.position

    def advance(self, records: int, busy_s: float) -> None:
        """Process so many records."""
        assert self.runs, self.shard
        assert 0 <= records <= self.backlog, (self.shard, records)
        self.position += records
        self._records += records
        self._busy_s += busy_s

    def checkpoint(self) -> None:
        """Commit what was processed since the last commit, if anything was, or the end of the source."""
        finished = self._source.complete and self.backlog == 0
        if self._asking or not self.runs or (self.position == self._committed and not finished):
            return
        self._ask_to_commit(finished=finished)

    def release(self) -> None:
        """Commit for the last time and let go."""
        if self._leaves:
            return
        self._leaves = True
        if self.runs or self.state is ShardState.FINISHED:
            self.state = ShardState.RELEASING
        if not self._asking:
            self._let_go()

    def report(self) -> ShardReport:
        """How it fares."""
        restored = self.state not in (ShardState.CLAIMING, ShardState.RESTORING)
        now = self._process.timeline.now()
        checkpoint = None
        if self._committed_at is not None:
            checkpoint = CheckpointReport(id=self._number, age_s=now - self._committed_at, bytes=100, duration_s=0.1)
        return ShardReport(
            shard=self.shard,
            epoch=self.epoch,
            state=self.state,
            position=self.position if restored else None,
            end_position=self._source.end(self.shard),
            backlog_records=self.backlog if restored else None,
            end_records=self._source.end(self.shard),
            records=self._records,
            busy_s=self._busy_s,
            checkpoint=checkpoint,
            audit=AuditCounters(records_in=self.position, records_out=self._committed),
        )

    def _claim(self) -> None:
        self._asking = True
        self.state = ShardState.CLAIMING
        entry = Entry(epoch=self.epoch, owner=self._owner)
        self._logs.claim(self._job, self.shard, entry, self._hearing(self._claimed))

    def _claimed(self, answer: Appended) -> None:
        self._number = answer.number
        newest = answer.newest
        self.position = self._committed = newest.end if newest else 0
        self._total = newest.total if newest else 0
        self.state = ShardState.FINISHED if newest and newest.finished else ShardState.RUNNING
        if self._leaves:
            self.state = ShardState.RELEASING
            self._let_go()
        self._changed()

    def _ask_to_commit(self, *, finished: bool = False) -> None:
        self._asking = True
        added = total(self._committed, self.position)
        commit = Commit(
            begin=self._committed, end=self.position, added=added, total=self._total + added, finished=finished
        )
        entry = Entry(epoch=self.epoch, owner=self._owner, commit=commit)

        def committed(answer: Appended) -> None:
            self._number = answer.number
            self._committed, self._total = commit.end, commit.total
            self._committed_at = self._process.timeline.now()
            if finished:
                self.state = ShardState.FINISHED
            if self._leaves:
                self.state = ShardState.RELEASING
                self._let_go()
            self._changed()

        self._logs.commit(self._job, self.shard, self._number + 1, entry, self._hearing(committed))

    def _hearing(self, done: Callable[[Appended], None]) -> Callable[[Answer], None]:
        """What to do with an answer, if the worker is still there to hear it."""

        def hear(answer: Answer) -> None:
            self._asking = False
            if self._is_gone:
                return
            if isinstance(answer, Appended):
                done(answer)
            elif isinstance(answer, ShutOut):
                self._end(shut_out=True)
            elif self._leaves:
                # What was not committed is the next owner's to do again.
                self._end(shut_out=False)
            else:
                # It may have landed: only the log itself knows where to go on from.
                self.state = ShardState.CLAIMING
                self._asking = True
                self._process.after(RETRY_S, self._reclaim)

        return lambda answer: self._process.run(lambda: hear(answer))

    def _reclaim(self) -> None:
        self._asking = False
        if self._leaves and not self._is_gone:
            self._end(shut_out=False)
        elif not self._is_gone:
            self._claim()

    def _let_go(self) -> None:
        if self.state is ShardState.RELEASING and self.position > self._committed:
            self._ask_to_commit()
        else:
            self._end(shut_out=False)

    def abandon(self) -> None:
        """Let go without a last commit: there is no more time."""
        if not self._is_gone:
            self._end(shut_out=False)

    def _end(self, *, shut_out: bool) -> None:
        self._is_gone = True
        self._gone(self.shard, shut_out)
