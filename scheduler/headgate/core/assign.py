"""Which worker owns which shard: sticky, balanced by measured cost, moved in the safe order.

A shard without an owner goes to the emptiest worker at once, one epoch up: that shuts out whoever may still work on it.
A shard that has an owner is moved by asking the owner to let go first; what it lets go of is then a shard without an
owner, and goes to somebody else if there is anybody.  Nothing is taken from anybody while workers that will share the
load are still on their way.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from headgate.model.ids import ShardId, TaskId
from headgate.model.shard import ShardRecord

IDLE_CORES: Final = 0.01
"""Below this the whole job does next to nothing, and measured costs are noise: every shard counts the same."""
FLOOR: Final = 0.05
"""The least a shard costs, as a share of the mean: many idle shards are work as well."""
TOLERANCE: Final = 0.1
"""A move must lower the fullest worker by this share of the mean load, alone or, of small shards, with others."""
NOISE: Final = 0.2
"""A round of moves for balance alone must gain this share of the mean load: less is within what measurements err."""
BUSY: Final = 0.5
"""A worker that has this share of its cores to do, or less, is not relieved for balance alone: it keeps up as it is,
and a move stops the shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What to change.  Shards in `take` are released by their owners first."""

    give: Mapping[ShardId, TaskId]
    take: tuple[ShardId, ...]


def shard_costs(shards: Sequence[ShardId], demands: Mapping[ShardId, float]) -> dict[ShardId, float]:
    """What each shard weighs in the balance, in cores; without measurements all weigh the same."""
    known = [demands[shard] for shard in shards if shard in demands]
    if sum(known) < IDLE_CORES:
        return dict.fromkeys(shards, 1.0)
    mean = sum(known) / len(known)
    return {shard: demands.get(shard, mean) + FLOOR * mean for shard in shards}


def balanced(
    shards: Sequence[ShardRecord],
    *,
    workers: Sequence[TaskId],
    leaving: AbstractSet[TaskId],
    costs: Mapping[ShardId, float],
    may_give: bool,
    may_take: bool,
    may_level: bool,
    resting: AbstractSet[ShardId] = frozenset(),
    level_above: float = 0.0,
) -> Moves:
    """Who should own these shards (unfinished ones), given the workers to share them, in their order.

    All that workers in `leaving` own is taken; owners in neither set (unreachable for now, say) keep what they have.
    `may_give`: shards without owners may be given out.  `may_take`: workers that share the load are all there.
    `may_level`: moves for balance alone are in season.  `resting`: shards that have just been moved, and are not again.
    `level_above`: workers with no higher load are not relieved for balance alone.
    """
    if not workers:
        return Moves(give={}, take=())
    staying = set(workers)
    load = dict.fromkeys(workers, 0.0)
    settled: dict[TaskId, list[ShardId]] = {task: [] for task in workers}
    free: list[ShardRecord] = []
    take: list[ShardId] = []
    for shard in shards:
        if shard.owner is None or shard.releasing is not None:
            free.append(shard)
        elif shard.owner in staying:
            load[shard.owner] += costs[shard.id]
            if shard.id not in resting:
                settled[shard.owner].append(shard.id)
        elif may_take and shard.owner in leaving:
            take.append(shard.id)
            free.append(shard)
    give: dict[ShardId, TaskId] = {}
    order = {task: number for number, task in enumerate(workers)}
    for shard in sorted(free, key=lambda shard: (-costs[shard.id], shard.id)):
        left = shard.moved_from if shard.owner is None else shard.owner
        others = [task for task in workers if task != left] or workers
        emptiest = min(others, key=lambda task: (load[task], order[task]))
        load[emptiest] += costs[shard.id]
        if shard.owner is None and may_give:
            give[shard.id] = emptiest
    if may_take:
        idle = min(load.values()) == 0
        if idle or (may_level and max(load.values()) > level_above):
            take += _levelled(settled, load, order, costs, noise=0.0 if idle else NOISE)
    return Moves(give=give, take=tuple(sorted(take)))


def _levelled(
    settled: dict[TaskId, list[ShardId]],
    load: dict[TaskId, float],
    order: Mapping[TaskId, int],
    costs: Mapping[ShardId, float],
    *,
    noise: float,
) -> list[ShardId]:
    """Shards to move from the fullest workers to the emptiest until it no longer pays; of those `settled` with them.

    None, if all that together gains no more than `noise`, a share of the mean load.
    """
    before = dict(load)
    concerned: set[TaskId] = set()
    mean = sum(load.values()) / len(load)
    worth = TOLERANCE * mean
    owned = {task: sorted((costs[shard], shard) for shard in shards) for task, shards in settled.items()}
    moved: list[ShardId] = []
    while givers := [task for task, shards in owned.items() if shards]:
        emptiest = min(load, key=lambda task: (load[task], order[task]))
        fullest = max(givers, key=lambda task: (load[task], -order[task]))
        gap = load[fullest] - load[emptiest]
        best = _best_to_move(owned[fullest], gap)
        if best is None:
            break
        cost, shard = owned[fullest][best]
        if gap - cost <= worth or max(cost, gap / 2) <= worth:
            break
        del owned[fullest][best]
        moved.append(shard)
        load[fullest] -= cost
        load[emptiest] += cost
        concerned |= {fullest, emptiest}
    gain = max((before[task] for task in concerned), default=0.0) - max((load[task] for task in concerned), default=0.0)
    return moved if gain > noise * mean else []


def _best_to_move(owned: Sequence[tuple[float, ShardId]], gap: float) -> int | None:
    """Where the shard is whose cost comes nearest to half the gap; of two the cheaper, which has less to carry.

    `owned` are costs with their shards, sorted.
    """
    above = bisect_left(owned, (gap / 2,))
    near = [above] if above < len(owned) else []
    if above:
        near.append(bisect_left(owned, (owned[above - 1][0],)))
    fitting = [at for at in near if owned[at][0] < gap]
    return min(fitting, key=lambda at: (abs(owned[at][0] - gap / 2), *owned[at]), default=None)
