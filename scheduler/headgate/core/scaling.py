"""How many workers a job should have: the policy on backlog, with its guards.

One decision per tick, each with a verdict in words that names the rule that bound it.  The rules, in the order in which
they are asked:

1. off, pinned by a person, or the job is not at rest: hold;
2. any shard without fresh and complete metrics: hold (a zero that was no measurement once scaled jobs down);
3. up when the shards, packed for the highest utilisation, overflow the workers there are, for a sixth of the window on
   end, or at once when the backlog is worth three times the catch-up time; only if it clears the backlog sooner than
   staying, not while most workers wait for the sink, and not beyond a number that did not help before
   (`scaling_effect`);
4. down when fewer would do, for `cooldown_down_s` on end, to the most that was asked for in that time; never while
   the backlog is worth a minute, a shard fails, a restart runs, or the cluster is in a disaster; by six tenths at most;
5. steps get smaller when the direction changes again and again (`scaling_damping`).

Shards that are stuck are left out of it all: more workers would not move them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from headgate.core.demand import best_workers, fullest, go_s, stay_s
from headgate.core.scaling_damping import damped_down, damped_up, remembered
from headgate.core.scaling_effect import effect
from headgate.core.scaling_inputs import (
    DRAINING_S,
    SINK_BOUND,
    Incomplete,
    Inputs,
    complete_inputs,
    cores_per_worker,
    stuck_shards,
)
from headgate.model.ids import ShardId
from headgate.model.job import JobSpec
from headgate.model.measurements import ShardLoad
from headgate.model.record import JobRecord, JobState, ScalingMemory, ScalingTrial
from headgate.model.settings import Measuring
from headgate.model.view import ScalingView

ACTIVATION_SHARE: Final = 1 / 6
"""Of the window: a need must last so long before workers are added, which is 10 s unless the job says otherwise."""
BACKLOG_S: Final = 60.0
"""While the backlog is worth more than this, there is no scaling down, and up only when truly needed."""
BAND_UP: Final = 0.15
BAND_DOWN: Final = 0.3
"""The utilisation may be this much above, or below, the target before anything is done."""
WORTH_IT: Final = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingDecision:
    """How many workers, what to remember, what to show, and the cores each shard needs."""

    workers: int
    memory: ScalingMemory
    view: ScalingView
    demands: Mapping[ShardId, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    workers: int
    memory: ScalingMemory
    text: str


def decide_workers(
    job: JobRecord,
    shards: Sequence[ShardId],
    loads: Mapping[ShardId, ShardLoad],
    measuring: Measuring,
    now: float,
    *,
    no_down: str | None = None,
) -> ScalingDecision:
    """The policy's decision for a job whose unfinished shards are `shards`.  `no_down`: why it must not go down now."""
    spec = job.spec
    stuck = stuck_shards(shards, loads, measuring, now)
    working = [shard for shard in shards if shard not in stuck]
    found = complete_inputs(spec, working, loads, measuring, now)
    if stuck and not working:
        found = Incomplete(reason=f"no shard gets on: {', '.join(stuck[:3])}")
    inputs = () if isinstance(found, Incomplete) else found
    demands = {
        each.shard: each.demand(spec, utilization=spec.scaling.utilization, handover_s=spec.scaling.handover_s)
        for each in inputs
    }
    cores = cores_per_worker(spec)
    best = (
        None
        if isinstance(found, Incomplete)
        else best_workers(list(demands.values()), cores=cores, lowest=spec.workers.min, highest=spec.workers.max)
    )
    verdict = _verdict(job, found, best, no_down, now)
    hottest = max(sorted(demands), key=lambda shard: demands[shard], default=None)
    return ScalingDecision(
        workers=verdict.workers,
        memory=verdict.memory,
        view=ScalingView(
            enabled=spec.scaling.enabled,
            pinned=job.scaling.pinned,
            verdict=verdict.text,
            best=best,
            demand_cores=round(sum(demands.values()), 4) if inputs else None,
            utilization=round(_utilization(job, inputs), 4) if inputs else None,
            stuck_shards=stuck,
            hot_shard=hottest if hottest is not None and demands[hottest] > cores else None,
        ),
        demands=demands,
    )


def _verdict(
    job: JobRecord, found: tuple[Inputs, ...] | Incomplete, best: int | None, no_down: str | None, now: float
) -> _Verdict:
    calm = replace(job.scaling, up_since=None, down_since=None, down_to=None)
    if not job.spec.scaling.enabled:
        return _Verdict(workers=job.workers, memory=calm, text="off: scaling.enabled is false")
    if calm.pinned:
        return _Verdict(workers=job.workers, memory=calm, text=f"held: a person set {job.workers} workers")
    if job.state is not JobState.RUNNING:
        return _Verdict(workers=job.workers, memory=calm, text=f"held: the job is {job.state.value}")
    if isinstance(found, Incomplete) or best is None:
        reason = found.reason if isinstance(found, Incomplete) else "no shards are known"
        return _Verdict(workers=job.workers, memory=calm, text=f"held: {reason}")
    calm, came_of_it = _tried(job, found, calm, no_down, now)
    if came_of_it is not None:
        return came_of_it
    if calm.saturation is not None and best > calm.saturation.workers >= job.workers and calm.saturation.until > now:
        best = calm.saturation.workers
        if best == job.workers:
            text = f"held at {job.workers}: more did not help, for {math.ceil(calm.saturation.until - now)} s more"
            return _Verdict(workers=job.workers, memory=calm, text=text)
    if best > job.workers and _overflows(job, found):
        return _up(job, found, best, calm, now)
    if best < job.workers and no_down:
        text = f"held at {job.workers}, {best} would do: {no_down}"
        return _Verdict(workers=job.workers, memory=calm, text=text)
    if best < job.workers:
        return _down(job, found, best, calm, now)
    return _Verdict(workers=job.workers, memory=calm, text=f"right at {job.workers}")


def _up(job: JobRecord, inputs: Sequence[Inputs], best: int, calm: ScalingMemory, now: float) -> _Verdict:
    since = job.scaling.up_since if job.scaling.up_since is not None else now
    policy = job.spec.scaling
    urgent = _backlog_s(inputs) > 3 * policy.catch_up_s
    held = (
        _too_early(calm.changed_at, policy.cooldown_up_s, now)
        or _sink_bound(inputs)
        or _on_trial(inputs, calm)
        or _not_worth_it(job, inputs, best)
        or (None if urgent or now - since >= ACTIVATION_SHARE * policy.window_s else "waiting to see whether it lasts")
    )
    if held:
        text = f"held at {job.workers} though {best} would carry it: {held}"
        return _Verdict(workers=job.workers, memory=replace(calm, up_since=since), text=text)
    target = best if urgent else damped_up(job.workers, best, calm.actions, now)
    text = f"up from {job.workers} to {target}: {_load_text(inputs)}"
    if target < best:
        text += f"; {best} would carry it, but it has gone up and down too often"
    trial = (
        ScalingTrial(at=now, workers=job.workers, rate_per_s=sum(each.rate_per_s for each in inputs))
        if _backlog_s(inputs) > DRAINING_S
        else None
    )
    memory = replace(calm, changed_at=now, actions=remembered(calm.actions, now, up=True), trial=trial)
    return _Verdict(workers=target, memory=memory, text=text)


def _on_trial(inputs: Sequence[Inputs], calm: ScalingMemory) -> str | None:
    """Whether the last workers added have not shown yet what they do: else each step would hide what became of it."""
    if calm.trial is None or _backlog_s(inputs) <= DRAINING_S:
        return None
    return "the workers added last are given time to show what they do"


def _tried(
    job: JobRecord, inputs: Sequence[Inputs], calm: ScalingMemory, no_down: str | None, now: float
) -> tuple[ScalingMemory, _Verdict | None]:
    """What to remember of the last workers added, once that can be told, and the way back if there is one.

    What spoils the numbers for scaling down spoils them for this as well: then nothing was learned.
    """
    trial, policy = calm.trial, job.spec.scaling
    if trial is None or now - trial.at < policy.window_s + policy.handover_s:
        return calm, None
    if no_down:
        return replace(calm, trial=None), None
    came = effect(
        trial,
        job.workers,
        sum(each.rate_per_s for each in inputs),
        backlogged=_backlog_s(inputs) > DRAINING_S,
        before=calm.saturation,
        now=now,
    )
    memory = replace(calm, trial=None, saturation=came.saturation)
    if came.back_to is None:
        return memory, None
    memory = replace(memory, changed_at=now, actions=remembered(calm.actions, now, up=False))
    text = f"back from {job.workers} to {came.back_to}: {came.text}"
    return memory, _Verdict(workers=came.back_to, memory=memory, text=text)


def _down(job: JobRecord, inputs: Sequence[Inputs], best: int, calm: ScalingMemory, now: float) -> _Verdict:
    policy = job.spec.scaling
    lowest = policy.utilization - BAND_DOWN
    used = _utilization(job, inputs)
    if _backlog_s(inputs) > BACKLOG_S:
        text = f"held at {job.workers}, {best} would do: first the backlog is cleared"
        return _Verdict(workers=job.workers, memory=calm, text=text)
    # With nothing to do at all there is no utilisation to speak of, whatever the band.
    if used > 0 and used >= lowest:
        text = f"right at {job.workers}: utilisation {used:.2f} is within the band"
        return _Verdict(workers=job.workers, memory=calm, text=text)
    since = job.scaling.down_since if job.scaling.down_since is not None else now
    target = max(best, job.scaling.down_to or 0)
    held = _too_early(calm.changed_at, policy.cooldown_down_s, now) or _too_early(since, policy.cooldown_down_s, now)
    if held:
        text = f"held at {job.workers}, {target} would do: {held}"
        return _Verdict(workers=job.workers, memory=replace(calm, down_since=since, down_to=target), text=text)
    gentle = damped_down(job.workers, target, calm.actions, now)
    if gentle == job.workers:
        text = f"held at {job.workers}, {target} would do: it has gone up and down too often within the hour"
        return _Verdict(workers=job.workers, memory=replace(calm, down_since=since, down_to=target), text=text)
    text = f"down from {job.workers} to {gentle}: {_load_text(inputs)}"
    memory = replace(calm, changed_at=now, actions=remembered(calm.actions, now, up=False), trial=None)
    return _Verdict(workers=gentle, memory=memory, text=text)


def _overflows(job: JobRecord, inputs: Sequence[Inputs]) -> bool:
    """Whether the workers there are would be fuller than the band allows, and more of them less full."""
    highest = 1.0 if _backlog_s(inputs) > BACKLOG_S else min(1.0, job.spec.scaling.utilization + BAND_UP)
    demands = [each.demand(job.spec, utilization=highest, handover_s=0.0) for each in inputs]
    return fullest(demands, max(1, job.workers)) > max(cores_per_worker(job.spec), *demands) * (1 + 1e-9)


def _not_worth_it(job: JobRecord, inputs: Sequence[Inputs], best: int) -> str | None:
    arrivals = sum(each.arrivals_per_s for each in inputs)
    backlog = sum(each.backlog for each in inputs)
    highest = min(1.0, job.spec.scaling.utilization + BAND_UP)
    now_per_s, then_per_s = _capacity_per_s(job.spec, inputs, job.workers), _capacity_per_s(job.spec, inputs, best)
    return worth_it_refusal(
        backlog=backlog,
        arrivals_per_s=arrivals,
        capacity_per_s=now_per_s,
        capacity_then_per_s=then_per_s,
        handover_s=job.spec.scaling.handover_s,
        highest_utilization=highest,
    )


def worth_it_refusal(
    *,
    backlog: float,
    arrivals_per_s: float,
    capacity_per_s: float,
    capacity_then_per_s: float,
    handover_s: float,
    highest_utilization: float,
) -> str | None:
    """Why going to a higher capacity is not worth its handover; None: it is."""
    if capacity_per_s <= arrivals_per_s / highest_utilization:
        return None
    stay = stay_s(backlog=backlog, arrivals_per_s=arrivals_per_s, capacity_per_s=capacity_per_s)
    go = go_s(backlog=backlog, arrivals_per_s=arrivals_per_s, capacity_per_s=capacity_then_per_s, handover_s=handover_s)
    if go < WORTH_IT * stay:
        return None
    return f"staying clears the backlog in {stay:.0f} s, going in {go:.0f} s"


def _sink_bound(inputs: Sequence[Inputs]) -> str | None:
    waiting = sum(1 for each in inputs if each.blocked > SINK_BOUND)
    return f"{waiting} of {len(inputs)} shards wait for the sink" if waiting * 2 > len(inputs) else None


def _too_early(since: float | None, wait_s: float, now: float) -> str | None:
    left = 0.0 if since is None else since + wait_s - now
    return f"cooling down for {math.ceil(left)} s more" if left > 0 else None


def _capacity_per_s(spec: JobSpec, inputs: Sequence[Inputs], workers: int) -> float:
    """Records per second that so many workers can do, at the mean cost of the records that arrive."""
    weights = [(each.arrivals_per_s + each.backlog / spec.scaling.catch_up_s, each.cost_s) for each in inputs]
    total = sum(weight for weight, _ in weights)
    mean_s = sum(weight * cost_s for weight, cost_s in weights) / total if total else 0.0
    return workers * cores_per_worker(spec) / mean_s if mean_s > 0 else math.inf


def _utilization(job: JobRecord, inputs: Sequence[Inputs]) -> float:
    return sum(each.rate_per_s * each.cost_s for each in inputs) / (max(1, job.workers) * cores_per_worker(job.spec))


def _backlog_s(inputs: Sequence[Inputs]) -> float:
    """What the backlog is worth in seconds of arrivals; without arrivals, in seconds of work at the rate seen."""
    backlog = sum(each.backlog for each in inputs)
    flow = sum(each.arrivals_per_s for each in inputs) or sum(each.rate_per_s for each in inputs)
    return backlog / flow if flow > 0 else (math.inf if backlog > 0 else 0.0)


def _load_text(inputs: Sequence[Inputs]) -> str:
    arrivals = sum(each.arrivals_per_s for each in inputs)
    backlog = sum(each.backlog for each in inputs)
    return f"{arrivals:.0f} records/s arrive, {backlog:.0f} wait"
