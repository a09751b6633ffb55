"""Whose turn it is: shards that share one thread.

Work goes in rounds.  In a round every shard that is due has one turn, those with the largest backlog first; so none
waits longer than one turn of each of the others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A running shard: when it wants its next turn, and the records it is behind."""

    shard: str
    due_at: float
    backlog_records: int


def round_of_turns(candidates: Iterable[Candidate], *, now: float) -> tuple[str, ...]:
    """The next round: every shard that is due, once; largest backlog first, ties by name."""
    due = [candidate for candidate in candidates if candidate.due_at <= now]
    return tuple(one.shard for one in sorted(due, key=lambda one: (-one.backlog_records, one.shard)))


def fair_share(allowance: int, *, waiting: int) -> int:
    """What one of `waiting` shards may take of a common allowance, so that something is left for the others."""
    return -(-allowance // waiting)
