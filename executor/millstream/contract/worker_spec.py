"""What a worker is told once, when its task is launched: the job's program and how to run it.

Travels as the data of the Mesos task.  Which shards the worker owns is not in it: that is the `Assignment`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Delivery(Enum):
    """What happens to a record's effects when a worker dies."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"
    AT_MOST_ONCE = "at-most-once"


class Until(Enum):
    """When a job is over."""

    FOREVER = "forever"
    END = "end"
    """At the end of all its shards; only finite sources have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRef:
    """Where a program is once the agent has fetched its bundle.

    `file` is relative to the sandbox.  `object` names a `Stream`, or a function that returns one and takes `args`.
    `sha256` is the hash of the bundle: the program's revision, which checkpoints and reports carry.
    """

    file: str
    object: str
    sha256: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSpec:
    """Where and how often a shard saves itself.  `store` is a URL or an absolute path; `keep` counts commits."""

    store: str
    interval_s: float = 10.0
    keep: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """One attempt to fill one worker slot of a job.

    `task_id` is the attempt; reports name it, so that a report of an older attempt is never taken for a newer one's.
    `rate_limit` is in records per second for this worker, shared by its shards; None: as fast as it goes.
    """

    job: str
    worker: int
    task_id: str
    program: ProgramRef
    checkpoint: CheckpointSpec
    delivery: Delivery = Delivery.EXACTLY_ONCE
    until: Until = Until.FOREVER
    rate_limit: float | None = None
    report_interval_s: float = 2.0
