"""Why a job waits: how many agents were looked at, what each lacks, which comes nearest, what would make it fit.

Speaks of every agent we know, as last offered, not only of the offers in hand: an offer that was rescinded, or went
unanswered, makes nothing scarce.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.core.placing.judgement import Judgement
from headgate.model.task import WorkerRecord
from headgate.model.waiting import NearestFit, Waiting


def explain(
    slots: Sequence[WorkerRecord],
    judged: Judgement,
    *,
    offers: int,
    gate: str | None,
    now: float,
    gathered: int | None = None,
    held_until: float | None = None,
) -> Waiting:
    """Why these slots of a job have no task.

    `gate`: why nothing at all is started now, if that is so.  `gathered`: how many workers of a gang have room, on
    offers that are held for it until `held_until`, or on known agents; None: it is no gang, or has no room at all.
    """
    backing_off = [slot for slot in slots if slot.backoff_until > now]
    all_back_off = len(backing_off) == len(slots)
    remedy = None
    if judged.nearest is not None:
        remedy = ", or ".join(judged.alternatives) or _remedy(judged.nearest)
    who = _who(slots)
    more: list[str] = []
    if gate:
        head = gate
    elif all_back_off:
        head = _backoff_text(backing_off, now)
    elif gathered is not None:
        head = _gang_text(gathered, len(slots), held_until, now)
    else:
        head = _offer_text(judged)
        more = _fit_texts(judged, remedy)
    return Waiting(
        since=min(slot.wanted_since if slot.wanted_since is not None else now for slot in slots),
        workers=tuple(slot.worker for slot in slots),
        text=f"{who}: {'; '.join([head, *more])}",
        head=f"{who}: {head}",
        agents=judged.agents,
        fitting=judged.fitting,
        offers=offers,
        vetoed=judged.vetoed,
        funnel=judged.funnel,
        nearest=judged.nearest,
        remedy=remedy,
        alternatives=judged.alternatives,
        never=judged.never,
        gathered=gathered,
        held_until=held_until,
        backoff_until=min(slot.backoff_until for slot in backing_off) if all_back_off else None,
    )


def cause(waiting: Waiting) -> str:
    """The explanation without its numbers: it changes only when the reason does."""
    if waiting.backoff_until is not None:
        return "backs off after failures"
    if not waiting.agents:
        return "no agent has been offered yet"
    if waiting.never is not None:
        return f"can never fit: {waiting.never}"
    if waiting.gathered is not None:
        return "starts all its workers at once: waits for room for all of them"
    if waiting.nearest is None:
        return "waits for an offer"
    return f"no known agent fits: {', '.join(each.kind.value for each in waiting.vetoed)}"


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


def _gang_text(gathered: int, wanted: int, held_until: float | None, now: float) -> str:
    if gathered >= wanted:
        return "they start all at once; there is room for all of them, and not all of it is offered now"
    held = f", held for {held_until - now:.0f} s more" if held_until is not None and gathered else ""
    return f"they start all at once; there is room for {gathered} of {wanted}{held}"


def _offer_text(judged: Judgement) -> str:
    if not judged.agents:
        return "no agent has been offered yet"
    if judged.fitting:
        return f"{judged.fitting} of {judged.agents} known agents would fit; waits for an offer of one"
    reasons = ", ".join(f"{each.agents} {each.kind.value}" for each in judged.vetoed)
    return f"none of {judged.agents} known agents fits ({reasons})"


def _fit_texts(judged: Judgement, remedy: str | None) -> list[str]:
    """The agent that comes nearest, and what would help; nothing while an agent fits, or none is known."""
    if judged.fitting or not judged.agents:
        return []
    found = []
    if judged.nearest:
        against = ", ".join(veto.text for veto in judged.nearest.vetoes)
        found.append(f"nearest is {judged.nearest.hostname}: {against}")
    if judged.never:
        found.append(f"can never fit: {judged.never}")
    return [*found, f"fits if {remedy}"] if remedy else found
