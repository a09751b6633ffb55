"""Three stages that fill worker slots on one fleet: kept resources, revocable ones, and all others.

What one stage takes is gone for the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from headgate.core.ledger import Ledger
from headgate.core.place import Placed, Want, placing
from headgate.core.placing.fleet import Fleet
from headgate.core.placing.gang import find_holder
from headgate.core.reservations import Place
from headgate.core.reserved_stage import place_kept
from headgate.core.revocable_stage import is_extra, place_extra
from headgate.model.call import Reserve, Unreserve
from headgate.model.ids import JobName, ReservationId
from headgate.model.offer import Offer
from headgate.model.snapshot import Snapshot

Slot = tuple[JobName, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Who was placed; the fleet has what is left.  `gathered`: what was found for a gang, see `place.Placing`.

    `on`: the reservations that slots use.  `revocable`: the kinds of resources that are revocable for them.
    `brief`: where more of what is wanted may be offered soon.
    """

    placed: tuple[Placed, ...] = ()
    gathered: tuple[Placed, ...] = ()
    on: Mapping[Slot, ReservationId] = field(default_factory=dict)
    revocable: Mapping[Slot, tuple[str, ...]] = field(default_factory=dict)
    reserves: Mapping[Place, tuple[Reserve, ...]] = field(default_factory=dict)
    unreserves: Mapping[Place, tuple[Unreserve, ...]] = field(default_factory=dict)
    brief: frozenset[Place] = frozenset()

    @property
    def slots(self) -> frozenset[Slot]:
        """The slots that were filled."""
        return frozenset((each.spec.name, each.worker) for each in self.placed)


def fill(ledger: Ledger, wants: Sequence[Want], fleet: Fleet, offers: Sequence[Offer], snapshot: Snapshot) -> Filled:
    """As many starts as fit; reservations that are made and given back are recorded in the ledger."""
    kept = place_kept(ledger, [want for want in wants if want.spec.keep is not None], fleet, offers, snapshot)
    others = [want for want in wants if want.spec.keep is None]
    extra = place_extra(_only(others, extra=True), fleet, offers)
    plain = _only(others, extra=False)
    placed = [*kept.placed, *extra.placed]
    gathered: tuple[Placed, ...] = ()
    if plain and offers:
        holder = find_holder(ledger, plain, snapshot.settings.patience, snapshot.now)
        result = placing(plain, fleet, holder=holder)
        placed += result.placed
        gathered = result.gathered
    return Filled(
        placed=tuple(placed),
        gathered=gathered,
        on=kept.on,
        revocable=extra.kinds,
        reserves=kept.reserves,
        unreserves=kept.unreserves,
        brief=kept.brief,
    )


def _only(wants: Sequence[Want], *, extra: bool) -> list[Want]:
    chosen = (
        replace(want, workers=tuple(each for each in want.workers if is_extra(want.spec, each) is extra))
        for want in wants
    )
    return [want for want in chosen if want.workers]
