"""Loads → complete numbers, or the reason why there are none: the policy never decides on a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from headgate.core.demand import demand_cores
from headgate.model.ids import ShardId, TaskId
from headgate.model.job import JobSpec
from headgate.model.measurements import ShardLoad
from headgate.model.settings import Measuring

DRAINING_S: Final = 30.0
"""A backlog worth more than this keeps its worker as busy as it can be."""
SINK_BOUND: Final = 0.3
"""A shard that waits for the sink for more of its time than this is bound by it."""
STUCK_S: Final = 50.0
"""A shard with a backlog of which nothing is processed for so long, and for a window, is stuck."""
HONEST_SHARE: Final = 0.87
"""A worker that drains a backlog and is busy for less of its time than this is held up by what busy time leaves out."""
HONEST_SPAN_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """One shard's numbers, none missing.  Records and seconds."""

    shard: ShardId
    owner: TaskId | None
    cost_s: float
    arrivals_per_s: float
    backlog: float
    rate_per_s: float
    blocked: float
    span_s: float

    def demand(self, spec: JobSpec, *, utilization: float, handover_s: float) -> float:
        """Cores this shard needs."""
        return demand_cores(
            cost_s=self.cost_s,
            arrivals_per_s=self.arrivals_per_s,
            backlog=self.backlog,
            utilization=utilization,
            catch_up_s=spec.scaling.catch_up_s,
            handover_s=handover_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomplete:
    """Why there are no numbers to decide on."""

    reason: str


def cores_per_worker(spec: JobSpec) -> float:
    """What one worker has."""
    return spec.worker.cpus_m / 1000


def stuck_shards(
    shards: Sequence[ShardId], loads: Mapping[ShardId, ShardLoad], measuring: Measuring, now: float
) -> tuple[ShardId, ...]:
    """Shards that have work waiting and an owner with fresh numbers, who does none of it; in the order of `shards`."""
    wait_s = max(STUCK_S, measuring.window_s)

    def stuck(load: ShardLoad | None) -> bool:
        return (
            load is not None
            and load.owner is not None
            and now - load.at <= measuring.fresh_s
            and bool(load.backlog_records)
            and load.blocked <= SINK_BOUND
            and load.grown_at is not None
            and now - load.grown_at >= wait_s
        )

    return tuple(shard for shard in shards if stuck(loads.get(shard)))


def complete_inputs(
    spec: JobSpec, shards: Sequence[ShardId], loads: Mapping[ShardId, ShardLoad], measuring: Measuring, now: float
) -> tuple[Inputs, ...] | Incomplete:
    """The numbers of all shards, in their order; Incomplete if any of them lacks one.

    A shard without work to measure its cost by has that of the others, and none if it has no work to do.
    """
    found = [loads.get(shard) for shard in shards]
    missing = [
        shard for shard, load in zip(shards, found, strict=True) if load is None or not _fresh(load, measuring, now)
    ]
    if missing:
        return Incomplete(reason=f"no fresh metrics of {_few(missing)}")
    present = [load for load in found if load is not None]
    costs = [load.cost_s for load in present if load.cost_s is not None]
    mean = sum(costs) / len(costs) if costs else None
    unmeasured = [load.shard for load in present if load.cost_s is None and mean is None and _works(load)]
    if unmeasured:
        return Incomplete(reason=f"the cost of a record is not measured yet for {_few(unmeasured)}")
    inputs = tuple(
        Inputs(
            shard=load.shard,
            owner=load.owner,
            cost_s=_at_least_limit(spec, load.cost_s if load.cost_s is not None else mean or 0.0),
            arrivals_per_s=load.arrivals_per_s if load.arrivals_per_s is not None else load.rate_per_s,
            backlog=float(load.backlog_records or 0),
            rate_per_s=load.rate_per_s,
            blocked=load.blocked,
            span_s=load.span_s,
        )
        for load in present
    )
    return _honest(spec, inputs)


def _fresh(load: ShardLoad, measuring: Measuring, now: float) -> bool:
    return now - load.at <= measuring.fresh_s and load.span_s >= measuring.span_min_s


def _works(load: ShardLoad) -> bool:
    return bool(load.backlog_records or load.arrivals_per_s or load.rate_per_s)


def _at_least_limit(spec: JobSpec, cost_s: float) -> float:
    """A worker held to a rate has that rate for its capacity, however cheap its records are."""
    return max(cost_s, cores_per_worker(spec) / spec.rate_limit) if spec.rate_limit else cost_s


def _honest(spec: JobSpec, inputs: tuple[Inputs, ...]) -> tuple[Inputs, ...]:
    """Raise costs where a worker drains a backlog and is yet not busy: then the rate seen is all it can do.

    Judged per worker, since its shards share its cores.  Waiting for the sink is left out of it.
    Source: the observed-rate rule of Flink's autoscaler 1.15.
    """
    share: dict[TaskId | None, float] = {}
    draining: set[TaskId | None] = set()
    for each in inputs:
        share[each.owner] = share.get(each.owner, 0.0) + each.rate_per_s * each.cost_s / max(0.01, 1 - each.blocked)
        if each.span_s >= HONEST_SPAN_S and each.backlog > DRAINING_S * max(each.arrivals_per_s, each.rate_per_s):
            draining.add(each.owner)
    cores = cores_per_worker(spec)
    return tuple(
        replace(each, cost_s=each.cost_s * cores / share[each.owner])
        if each.owner in draining and 0 < share[each.owner] < HONEST_SHARE * cores
        else each
        for each in inputs
    )


def _few(shards: Sequence[ShardId]) -> str:
    rest = f" and {len(shards) - 3} more" if len(shards) > 3 else ""
    return f"shard{'s' if len(shards) > 1 else ''} {', '.join(sorted(shards)[:3])}{rest}"
