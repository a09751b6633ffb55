"""Who owns a shard, and at which epoch.  The epoch only grows: owning at e shuts out every owner below e."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.model.ids import ShardId, TaskId


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRecord:
    """One shard of a job.

    `owner` is the task it is assigned to at `epoch`; None: nobody may work on it now.
    `releasing` is the version of the owner's assignment from which on the shard is left out: the owner has let go once
    a report of that version or newer does not list it.  `finished`: its end is committed, nobody need own it again.
    `releasing_since` is when that was asked for.  `stuck` counts in a row the owners that did not get on with it.
    `moved_at` is when it was last let go because it was asked for; until it is given out, `moved_from` is by whom.
    """

    id: ShardId
    epoch: int = 0
    owner: TaskId | None = None
    releasing: int | None = None
    finished: bool = False
    assigned_at: float | None = None
    moved_at: float | None = None
    moved_from: TaskId | None = None
    releasing_since: float | None = None
    stuck: int = 0

    def __post_init__(self) -> None:
        assert self.owner is not None or self.releasing is None, self
