"""One shard from the decision to claim it until it is let go: its runtime, its failures, its time.

Used by the processing thread only.  No method raises for what store, source, sink or program do: a failure is kept
here, with when to try again; being fenced, or released, shows in `hold`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Final, Protocol, TypeVar

from millstream.contract.report import CheckpointReport, ShardReport, ShardState
from millstream.core.batch_size import BATCH_FIRST, next_batch_size
from millstream.core.cadence import first_checkpoint_at, next_checkpoint_at, poll_pause_s
from millstream.core.retry import is_failed, retry_pause_s
from millstream.errors import (
    DamagedLog,
    Fenced,
    IncompatibleState,
    ShardFailed,
    SinkFailed,
    SourceFailed,
    StoreUnavailable,
)
from millstream.ports import Clock
from millstream.runtime.shard_results import Restored, RuntimeState, Shard, ShardStatus
from millstream.sources.source import Discovery
from millstream.worker.shard_view import RateMeter, ShardView, with_status

_RATE_WINDOW_S: Final = 1.0
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Program(Protocol):
    """A loaded stream program, bound to its job's store."""

    def discover(self) -> Discovery:
        """The shards that exist now.

        Raises:
            SourceFailed: the source cannot be reached.
        """
        ...

    def open(self, shard: str, epoch: int, *, read_before: int | None) -> Shard:
        """A new runtime of one shard, which has claimed nothing yet.

        Records below `read_before` have been read already: they count as replayed.
        """
        ...

    def blocked_s(self) -> float:
        """Seconds that all shards together have waited for sinks.  It only grows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all shards of a worker share.  `checkpoint_s` is the checkpoint interval."""

    program: Program
    clock: Clock
    randomness: Random
    checkpoint_s: float


@dataclass(slots=True, kw_only=True)
class Totals:
    """What this attempt of the worker has done on a shard; they only grow, through every change of ownership.

    `read_before` is how far it, or an owner before it, has ever read.
    """

    read_before: int | None = None
    records: int = 0
    busy_s: float = 0.0
    blocked_s: float = 0.0

    def has_read(self, position: int | None) -> None:
        """Remember that somebody has read up to there."""
        if position is not None:
            self.read_before = max(position, self.read_before or 0)


class Hold(Enum):
    """Whether the shard is still this worker's."""

    HELD = "held"
    RELEASED = "released"
    FENCED = "fenced"


class OwnedShard:
    """A shard that is to be claimed, or is claimed.

    Instants are on the monotonic clock.  `due_at` is when the next step, or the next try to claim, may be made.
    Failures in a row are counted; a checkpoint ends the row, unless it is the steps that fail.
    """

    def __init__(self, shard: str, epoch: int, *, totals: Totals, around: Surroundings) -> None:
        now = around.clock.monotonic()
        self.shard = shard
        self.epoch = epoch
        self.state = ShardState.CLAIMING
        self.hold = Hold.HELD
        self.due_at = now
        self.checkpoint_due_at = now
        self.backlog_records = 0
        self._around = around
        self._totals = totals
        self._runtime: Shard | None = None
        self._restored: Restored | None = None
        self._restore_s: float | None = None
        self._checkpoint: CheckpointReport | None = None
        self._checkpoint_at: float | None = None
        self._rate = RateMeter(since=now, records=totals.records)
        self._empty_polls = 0
        self._batch_size = BATCH_FIRST
        self._failures = 0
        self._steps_fail = False
        self._hopeless = False
        self._problem: str | None = None
        self._last_now_s = around.clock.now()

    @property
    def wants_claim(self) -> bool:
        """Whether `claim` is what comes next, at `due_at`."""
        return self._restored is None and not self._hopeless

    @property
    def runs(self) -> bool:
        """Whether steps and checkpoints come next, at `due_at` and `checkpoint_due_at`."""
        return self._restored is not None and self.state in (ShardState.RUNNING, ShardState.FAILED)

    # ---- the slow things

    def claim(self) -> None:
        """Take ownership and go back to the last commit."""
        began = self._around.clock.monotonic()
        self._runtime = self._around.program.open(self.shard, self.epoch, read_before=self._totals.read_before)
        restored = self._attempt(lambda runtime: runtime.claim_and_restore(self._now_s()))
        if restored is None:
            return
        now = self._around.clock.monotonic()
        self._restored, self._restore_s = restored, now - began
        if restored.finished:
            self.state = ShardState.FINISHED
        elif not is_failed(self._failures):
            self.state = ShardState.RUNNING
        self.due_at = now
        self.checkpoint_due_at = first_checkpoint_at(self.shard, now=now, interval_s=self._around.checkpoint_s)
        origin = "the source's start" if restored.checkpoint is None else f"checkpoint {restored.checkpoint}"
        _log.info("shard %s: claimed at epoch %d, restored from %s", self.shard, self.epoch, origin)
        self._remark(restored.remarks)

    def step(self, allowance: int | None, *, shards: int) -> int:
        """Read and process a batch of at most `allowance` records; how many it was.

        At the end of the source the last checkpoint follows at once.  `shards` is how many share the thread.
        """
        max_records = self._batch_size if allowance is None else min(self._batch_size, allowance)
        began, blocked_s = self._around.clock.monotonic(), self._around.program.blocked_s()
        result = self._attempt(lambda runtime: runtime.step(self._now_s(), max_records))
        self._steps_fail = result is None
        idle = result is not None and result.records == 0 and result.rows_out == 0
        seconds = self._spent(began, blocked_s, idle=idle)
        if result is None:
            return 0
        self._totals.records += result.records
        self._batch_size = next_batch_size(self._batch_size, records=result.records, seconds=seconds)
        self._empty_polls = 0 if result.records else self._empty_polls + 1
        pause_s = poll_pause_s(self._empty_polls, shards=shards) if self._empty_polls else 0.0
        self.due_at = began + seconds + pause_s
        if result.finished:
            self.checkpoint()
        return result.records

    def checkpoint(self) -> None:
        """Commit what was processed, if anything was."""
        began, blocked_s = self._around.clock.monotonic(), self._around.program.blocked_s()
        done = self._attempt(lambda runtime: (runtime.checkpoint(self._now_s()),))
        seconds = self._spent(began, blocked_s, idle=done == (None,))
        if done is None:
            return
        now = began + seconds
        self.checkpoint_due_at = next_checkpoint_at(
            self.checkpoint_due_at, now=now, interval_s=self._around.checkpoint_s
        )
        if not self._steps_fail:
            self._failures, self._problem = 0, None
            self.state = ShardState.RUNNING
        committed = done[0]
        if committed is None:
            return
        self._checkpoint_at = now
        self._checkpoint = CheckpointReport(id=committed.id, age_s=0.0, bytes=committed.bytes, duration_s=seconds)
        self._remark(committed.remarks)
        if committed.finished:
            self.state = ShardState.FINISHED
            _log.info("shard %s: finished with checkpoint %d", self.shard, committed.id)

    def release(self) -> None:
        """Commit for the last time and let go.  What cannot be committed is left for the next owner to do again."""
        if self._runtime is None or self._restored is None:
            self._let_go(Hold.RELEASED)
            return
        try:
            committed = self._runtime.release(self._now_s())
        except Fenced as fenced:
            self._fenced(fenced)
            return
        except (StoreUnavailable, SinkFailed) as problem:
            _log.warning("shard %s: released without its last commit: %s", self.shard, problem)
        else:
            last = "nothing new to commit" if committed is None else f"last commit {committed.id}"
            _log.info("shard %s: released at epoch %d, %s", self.shard, self.epoch, last)
        self._let_go(Hold.RELEASED)

    def close(self) -> None:
        """Let go without a word; what is not committed is discarded."""
        if self._runtime is not None:
            self._runtime.close()

    # ---- how it fares

    def view(self) -> ShardView:
        """What a report says."""
        now = self._around.clock.monotonic()
        self._rate = self._rate.measured(self._totals.records, now=now, window_s=_RATE_WINDOW_S)
        report = ShardReport(
            shard=self.shard,
            epoch=self.epoch,
            state=self.state,
            records=self._totals.records,
            records_per_s=self._rate.per_s,
            busy_s=self._totals.busy_s,
            blocked_s=self._totals.blocked_s,
            checkpoint=self._checkpoint,
            restored_from=None if self._restored is None else self._restored.checkpoint,
            restore_s=self._restore_s,
            problem=self._problem,
        )
        if self._runtime is not None and self._restored is not None:
            status = self._status(self._runtime)
            self.backlog_records = status.backlog_records or 0
            report = with_status(report, status)
        return ShardView(report=report, checkpoint_at=self._checkpoint_at)

    def _status(self, runtime: Shard) -> ShardStatus:
        status = runtime.status(self._now_s())
        if status.position is not None:
            self._totals.has_read(status.position)
        return status

    # ---- failures and time

    def _attempt(self, call: Callable[[Shard], _T]) -> _T | None:
        """What `call` returns, or None after a failure, which is dealt with then."""
        assert self._runtime is not None
        try:
            return call(self._runtime)
        except Fenced as fenced:
            self._fenced(fenced)
        except ShardFailed as problem:
            self._failed(problem, reopen=self._status(self._runtime).state is RuntimeState.CLOSED)
        except SourceFailed as problem:
            self._failed(problem, reopen=self._restored is None)
        except (StoreUnavailable, SinkFailed) as problem:
            self._failed(problem, reopen=True)
        except (IncompatibleState, DamagedLog) as problem:
            self._hopeless = True
            self._failed(problem, reopen=True)
        return None

    def _failed(self, problem: Exception, *, reopen: bool) -> None:
        self._failures += 1
        self._problem = str(problem)
        if reopen and self._runtime is not None:
            self._status(self._runtime)
            self.close()
            self._runtime = self._restored = None
        if self._hopeless:
            self.state = ShardState.FAILED
            _log.error("shard %s: failed for good: %s", self.shard, problem)
            return
        if is_failed(self._failures):
            self.state = ShardState.FAILED
        elif reopen:
            self.state = ShardState.CLAIMING
        pause_s = retry_pause_s(self._failures, jitter=self._around.randomness.random())
        self.due_at = self._around.clock.monotonic() + pause_s
        _log.warning(
            "shard %s: failure %d in a row, next try in %.1f s: %s", self.shard, self._failures, pause_s, problem
        )

    def _fenced(self, fenced: Fenced) -> None:
        _log.warning("shard %s: %s", self.shard, fenced)
        self._let_go(Hold.FENCED)

    def _let_go(self, hold: Hold) -> None:
        self.close()
        self._runtime = self._restored = None
        self.hold = hold

    def _spent(self, began: float, blocked_before_s: float, *, idle: bool) -> float:
        """Account for the time since `began`, unless it was spent waiting for input; how long it was."""
        seconds = self._around.clock.monotonic() - began
        blocked_s = min(seconds, self._around.program.blocked_s() - blocked_before_s)
        self._totals.blocked_s += blocked_s
        if not idle:
            self._totals.busy_s += seconds - blocked_s
        return seconds

    def _now_s(self) -> float:
        """Unix time that does not go back, as the runtime wants it."""
        self._last_now_s = max(self._last_now_s, self._around.clock.now())
        return self._last_now_s

    def _remark(self, remarks: tuple[str, ...]) -> None:
        for remark in remarks:
            _log.warning("shard %s: %s", self.shard, remark)
