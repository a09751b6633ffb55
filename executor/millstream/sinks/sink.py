"""The port to what a stream writes: output that becomes visible with, before or after a commit.

Order of one checkpoint, per delivery mode (`O` = outputs of all sinks):

- exactly once: `prepare` → commit lists O → `promote(O)`.  After a crash the next owner promotes the last commit's O
  again, so promoting is idempotent; and it calls `restore(number)`, which discards everything of this shard that
  belongs to no commit up to `number`.
- at least once: `prepare` → `promote(O)` → commit.
- at most once: `prepare` → commit → `promote(O)`, and a restart does not promote again.

A `SinkWriter` belongs to one shard and one thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from millstream.contract.checkpoint import ShardId
from millstream.contract.worker_spec import Delivery

OutputData = Mapping[str, str | int]
"""One piece of prepared output in the sink's own words; lives in the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterContext:
    """Which job's shard at which epoch writes, under which sink name of the program, and what is promised."""

    job: str
    shard: ShardId
    epoch: int
    sink_name: str
    delivery: Delivery


class CommittedOutput(Protocol):
    """Output of one shard between two commits.

    All methods but `discard` may raise `SinkFailed` (or `StoreUnavailable`); then nothing of the interval is committed
    and the shard restarts.
    """

    def prepare(self, number: int) -> Sequence[OutputData]:
        """Make everything written since the last `prepare` durable, for commit `number`; nothing written gives ()."""
        ...

    def promote(self, outputs: Sequence[OutputData]) -> Sequence[str]:
        """Make prepared outputs visible.  Idempotent, in any process.

        Returns remarks for the operator, such as an output that somebody has moved away since.
        """
        ...

    def restore(self, number: int, outputs: Sequence[OutputData]) -> Sequence[str]:
        """A new owner goes on from commit `number` (0: from the start), whose outputs of this sink are `outputs`.

        Discards what owners up to this epoch wrote for this shard and never committed, or committed after `number`;
        never anything of a higher epoch, whose zombie this owner may be.  Returns remarks for the operator.
        """
        ...

    def discard(self) -> None:
        """Throw away what was written and not committed: the owner was fenced, or ends.  Never raises."""
        ...


class SinkWriter(CommittedOutput, Protocol):
    """Takes the rows of one shard."""

    def write(self, frame: pl.DataFrame) -> None:
        """Take rows.  Not visible to readers before `promote`, but for at-least-once sinks that write through."""
        ...


class Sink(Protocol):
    """Where rows go.  `guarantees` are the delivery modes it can keep; asking for another is refused."""

    @property
    def name(self) -> str:
        """Shows in plans."""
        ...

    @property
    def guarantees(self) -> frozenset[Delivery]:
        """The delivery modes it can keep."""
        ...

    def open(self, context: WriterContext) -> SinkWriter:
        """A writer for one shard."""
        ...
