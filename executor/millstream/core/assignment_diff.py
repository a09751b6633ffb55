"""What to let go and what to claim, so that the shards owned become the shards assigned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentDiff:
    """Shards by name, sorted.  `release` comes first: what is claimed anew at a higher epoch is in both."""

    release: tuple[str, ...]
    claim: tuple[str, ...]


def assignment_diff(
    assigned: Mapping[str, int], *, owned: Mapping[str, int], shut_out: Mapping[str, int]
) -> AssignmentDiff:
    """The difference between the epochs assigned and those owned, per shard.

    `shut_out` holds the epochs at which this worker was fenced: a claim at such an epoch or below would be refused.
    An assignment below the epoch owned is an old one and changes nothing for that shard.
    """
    gone = [shard for shard in owned if shard not in assigned]
    raised = [shard for shard, epoch in assigned.items() if shard in owned and owned[shard] < epoch]
    new = [shard for shard, epoch in assigned.items() if shard not in owned and shut_out.get(shard, -1) < epoch]
    return AssignmentDiff(release=tuple(sorted(gone + raised)), claim=tuple(sorted(new + raised)))
