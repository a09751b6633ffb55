"""What a shard tells its driver, and the calls a driver may make; `millstream.runtime.shard` says how to drive it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from millstream.contract.checkpoint import Position, ShardCounters, ShardId


class RuntimeState(Enum):
    """new → running → drained → finished; `closed` from everywhere."""

    NEW = "new"
    RUNNING = "running"
    DRAINED = "drained"
    """The source has ended and everything is processed; not yet committed."""
    FINISHED = "finished"
    """The end is committed."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a shard came back from.

    `checkpoint` is None when it starts at the source's beginning.  `claims_since_commit` counts owners, this one
    included, that have claimed the shard since its last commit: above 1 the ones before died before they could commit.
    `remarks` are for the operator: a damaged checkpoint that was passed over, output that had to be taken back…
    """

    checkpoint: int | None
    position: Position | None
    finished: bool
    state_bytes: int
    claims_since_commit: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What one step did.  `records` were read, good and dead; `rows_out` given to sinks.

    `caught_up`: the source had nothing more for now.
    """

    records: int
    rows_out: int
    finished: bool
    caught_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointResult:
    """The commit that a checkpoint made: its number in the shard's log, and bytes of state and manifest written."""

    id: int
    bytes: int
    finished: bool
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """Everything a report needs to know of a shard.

    `records_read` counts what this runtime has read, second readings included; `counters` are the shard's since its
    first record and include what is not yet committed.  `end_records` is what was ever read plus the backlog: its
    growth is the arrival rate.  `lag_s`: for how long, at least, the record at `position` has been waiting; 0 when
    caught up.
    """

    shard: ShardId
    epoch: int
    state: RuntimeState
    position: Position | None
    end_position: Position | None
    backlog_records: int | None
    backlog_bytes: int | None
    end_records: int | None
    lag_s: float | None
    watermark_us: int | None
    records_read: int
    state_rows: int
    checkpoint: int | None
    restored_from: int | None
    counters: ShardCounters
    accumulators: Mapping[str, int | float] = field(default_factory=dict)


class Shard(Protocol):
    """What a worker's loop drives; the module says how."""

    def claim_and_restore(self, now: float) -> Restored:
        """Take ownership and go back to the last commit.  Once, before all else.

        Raises:
            Fenced: the shard belongs to a higher epoch, or to another owner of this one.
            IncompatibleState: the last commit is of a program whose state does not fit this one.
            StoreUnavailable, SourceFailed, SinkFailed: try again with a new runtime.
        """
        ...

    def step(self, now: float, max_records: int) -> StepResult:
        """Read and process what has arrived, at most `max_records`.  Does not wait.

        Raises:
            ShardFailed: the program's code raised; nothing of the batch has had an effect.
            SourceFailed: nothing was read.
            SinkFailed: the shard must restart.
        """
        ...

    def checkpoint(self, now: float) -> CheckpointResult | None:
        """Commit all that was processed.  None: nothing has changed since the last commit, so none was made.

        Raises:
            Fenced: another owner has claimed the shard; nothing was committed.
            StoreUnavailable, SinkFailed: the shard must restart.
        """
        ...

    def release(self, now: float) -> CheckpointResult | None:
        """A last checkpoint, then close.  Raises as `checkpoint` does, and is closed then, too."""
        ...

    def status(self, now: float) -> ShardStatus:
        """How it fares.  Allowed in every state."""
        ...

    def close(self) -> None:
        """Free everything and discard what is not committed.  Never raises; safe to repeat."""
        ...
