"""What the scheduler wants of a worker: the whole of it, each time.

Messages may be lost, doubled or reordered, so nothing here is a change: an assignment names every shard the worker is
to own.  The scheduler repeats the newest one until a `Report` shows it done; a worker ignores any with a version below
the newest it has seen.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardAssignment:
    """Own this shard at this epoch.  The same shard at a higher epoch means: claim it anew.

    `read_before` is the furthest position that an owner has reported: what is read below it is read again, and counted
    as replayed.  None: nobody has reported one, as far as this scheduler knows.
    """

    shard: str
    epoch: int
    read_before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """All shards that one attempt of a worker is to own.

    A shard the worker owns and does not find here is to be released: checkpoint, last commit, close, and leave it out
    of the next report's `owned`.  `version` only grows, per job, across scheduler failovers.
    `drain` asks the worker to release everything and end itself well.
    """

    job: str
    task_id: str
    version: int
    shards: tuple[ShardAssignment, ...] = ()
    drain: bool = False
