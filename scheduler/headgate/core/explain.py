"""Why a job waits: how many agents were looked at, what each lacks, which comes nearest, what would make it fit.

Speaks of every agent we know, as last offered, not only of the offers in hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

from headgate.core.feasible import Surroundings, vetoes
from headgate.core.pool import Pool
from headgate.model.job import JobSpec
from headgate.model.task import WorkerRecord
from headgate.model.waiting import NearestFit, Veto, VetoCount, VetoKind, Waiting

Judged = Sequence[tuple[Pool, tuple[Veto, ...]]]
"""Every known pool, and what it has against a job."""


class Judge:
    """Holds jobs against the agents we know; jobs alike in need are held once."""

    def __init__(self, known: Sequence[Pool]) -> None:
        self._known = known
        self._judged: dict[Hashable, Judged] = {}

    def judged(self, spec: JobSpec, counts: Mapping[str, Counter[str]], around: Surroundings) -> Judged:
        """The vetoes of every known pool."""
        if spec.placement:
            return self._vetoes(spec, counts, around)
        kind = (spec.role, spec.worker, around.gpus_kept, tuple(sorted(around.avoided.items())))
        if kind not in self._judged:
            self._judged[kind] = self._vetoes(spec, counts, around)
        return self._judged[kind]

    def _vetoes(self, spec: JobSpec, counts: Mapping[str, Counter[str]], around: Surroundings) -> Judged:
        return [(pool, vetoes(spec, pool, counts, around)) for pool in self._known]


def explain(slots: Sequence[WorkerRecord], judged: Judged, *, offers: int, gate: str | None, now: float) -> Waiting:
    """Why these slots of a job have no task.  `gate`: why nothing at all is started now, if that is so."""
    kinds = Counter(kind for _, found in judged for kind in {veto.kind for veto in found})
    nearest = _nearest(judged)
    backing_off = [slot for slot in slots if slot.backoff_until > now]
    all_back_off = len(backing_off) == len(slots)
    vetoed = tuple(VetoCount(kind=kind, agents=kinds[kind]) for kind in VetoKind if kinds[kind])
    agents = len({pool.agent_id for pool, _ in judged})
    fitting = len({pool.agent_id for pool, found in judged if not found})
    remedy = _remedy(nearest) if nearest and not fitting else None
    who = _who(slots)
    if gate:
        text = f"{who}: {gate}"
    elif all_back_off:
        text = f"{who}: {_backoff_text(backing_off, now)}"
    else:
        text = f"{who}: {_offer_text(agents, fitting, vetoed, nearest, remedy)}"
    return Waiting(
        since=min(slot.wanted_since if slot.wanted_since is not None else now for slot in slots),
        workers=tuple(slot.worker for slot in slots),
        text=text,
        agents=agents,
        offers=offers,
        vetoed=vetoed,
        nearest=nearest,
        remedy=remedy,
        backoff_until=min(slot.backoff_until for slot in backing_off) if all_back_off else None,
    )


def cause(waiting: Waiting) -> str:
    """The explanation without its numbers: it changes only when the reason does."""
    if waiting.backoff_until is not None:
        return "backs off after failures"
    if not waiting.agents:
        return "no agent has been offered yet"
    if waiting.nearest is None:
        return "waits for an offer"
    return f"no known agent fits: {', '.join(each.kind.value for each in waiting.vetoed)}"


def _nearest(judged: Judged) -> NearestFit | None:
    """The agent with the least against it; None if one fits, or none is known."""
    if not judged or any(not found for _, found in judged):
        return None
    pool, found = min(judged, key=lambda each: (_distance(each[1]), each[0].agent_id, each[0].role))
    return NearestFit(agent_id=pool.agent_id, hostname=pool.hostname, vetoes=found)


def _distance(found: Sequence[Veto]) -> float:
    """How far from fitting: the share that is missing of each amount, and one for anything else."""
    return sum(
        (veto.wanted - veto.offered) / veto.wanted if veto.wanted is not None and veto.offered is not None else 1.0
        for veto in found
    )


def _remedy(nearest: NearestFit) -> str | None:
    remedies = [veto.remedy for veto in nearest.vetoes]
    return " and ".join(each for each in remedies if each is not None) if all(remedies) else None


def _who(slots: Sequence[WorkerRecord]) -> str:
    if len(slots) == 1:
        return f"worker {slots[0].worker} waits"
    return f"{len(slots)} workers wait"


def _backoff_text(slots: Sequence[WorkerRecord], now: float) -> str:
    soonest = min(slots, key=lambda slot: (slot.backoff_until, slot.worker))
    times = "once" if soonest.failures == 1 else f"{soonest.failures} times in a row"
    return (
        f"worker {soonest.worker} failed {times} (last: {soonest.last_failure}); "
        f"next attempt in {soonest.backoff_until - now:.1f} s"
    )


def _offer_text(
    agents: int, fitting: int, vetoed: Sequence[VetoCount], nearest: NearestFit | None, remedy: str | None
) -> str:
    if not agents:
        return "no agent has been offered yet"
    if fitting:
        return f"{fitting} of {agents} known agents would fit; waits for an offer of one"
    reasons = ", ".join(f"{each.agents} {each.kind.value}" for each in vetoed)
    text = f"none of {agents} known agents fits ({reasons})"
    if nearest:
        text += f"; nearest is {nearest.hostname}: {', '.join(veto.text for veto in nearest.vetoes)}"
    return f"{text}; fits if {remedy}" if remedy else text
