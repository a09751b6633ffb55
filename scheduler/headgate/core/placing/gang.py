"""Gangs: whose turn it is to gather offers, and until when.

A gang starts all its workers at once or none.  Where what is offered does not suffice, what there is may be held for
it, for a bounded time, and for one gang only: two that held a part each could wait for each other for ever.  The oldest
comes first; one that was not complete in its time gives everything back and rests while the others have their turn.
All gangs start without holding anything whenever the offers in hand suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headgate.core.ledger import Ledger
from headgate.core.place import Placed, Want, placing
from headgate.core.placing.fleet import Fleet
from headgate.model.ids import JobName
from headgate.model.record import GangTurn
from headgate.model.settings import Patience


def is_gang(ledger: Ledger, name: JobName) -> bool:
    """Whether the job's workers start all at once or not at all: it asks for that, and none of them is there."""
    return ledger.jobs[name].spec.workers.gang and not ledger.tasks_of(name)


def find_holder(ledger: Ledger, wants: Sequence[Want], patience: Patience, now: float) -> JobName | None:
    """The gang for which offers may be held now; None: none waits, or those that do rest.

    None as well when a turn has just ended: what was held is everybody's first.
    """
    turns = {want.spec.name: ledger.jobs[want.spec.name].gang for want in wants if want.gang}
    holding = [name for name, turn in turns.items() if _is_holding(turn, patience, now)]
    if holding:
        return min(holding, key=lambda name: ledger.jobs[name].submission)
    if any(turn.holds_since is not None for turn in turns.values()):
        return None
    ready = [name for name, turn in turns.items() if (turn.rests_until or 0.0) <= now]
    # Who has never held anything goes before who has, and then the oldest.
    return min(ready, key=lambda name: (turns[name].rests_until or 0.0, ledger.jobs[name].submission), default=None)


def room_for(want: Want, fleet: Fleet) -> int:
    """How many of a gang's workers there would be room for, were all known agents offered now."""
    known = Fleet(fleet.pools)
    alone = replace(want, gang=False)
    return len(placing([alone], known, usable=np.ones(len(known), dtype=np.bool_)).placed)


def take_turns(
    ledger: Ledger,
    gathered: Sequence[Placed],
    waiting: Sequence[Want],
    patience: Patience,
    now: float,
    due: list[float],
) -> None:
    """Write down who holds since when, who rests until when, and forget it of jobs that do not wait as a gang.

    `gathered` is what was found for the holder; `waiting` are the wants that are left.
    """
    gangs = {want.spec.name for want in waiting if want.gang}
    holder = gathered[0].spec.name if gathered else None
    for name, job in sorted(ledger.jobs.items()):
        turn = job.gang
        if name not in gangs:
            turn = GangTurn()
        elif turn.holds_since is not None and not _is_holding(turn, patience, now):
            turn = GangTurn(rests_until=now + patience.gang_rest_s)
        elif name == holder and turn.holds_since is None:
            turn = GangTurn(holds_since=now)
        if turn != job.gang:
            ledger.jobs[name] = replace(job, gang=turn)
        due += [at for at in (held_until(turn, patience), turn.rests_until) if at is not None]


def held_until(turn: GangTurn, patience: Patience) -> float | None:
    """When a gang gives back what it holds; None: it holds nothing."""
    return None if turn.holds_since is None else turn.holds_since + patience.gang_hold_s


def _is_holding(turn: GangTurn, patience: Patience, now: float) -> bool:
    until = held_until(turn, patience)
    return until is not None and now < until
