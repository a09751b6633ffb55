"""Workers that keep their agents' resources: back to what is reserved for them, or onto a reservation made for them.

A stage of its own before the general one, on the same pools.  Reservations that nobody wants are given back here, in
whichever offer they are seen.  Only what carries our labels is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from headgate.core.attributes import attribute_text
from headgate.core.ledger import Ledger
from headgate.core.operations import under_way
from headgate.core.place import Placed, Want, placing
from headgate.core.placing.fleet import Fleet
from headgate.core.pool import Pool
from headgate.core.reservations import Place, Seen, held_by, is_whole, kept_request, scalars, seen_in, whole_request
from headgate.model.call import Reserve, Unreserve
from headgate.model.ids import Attempt, JobName, OperationId, ReservationId
from headgate.model.offer import Offer
from headgate.model.operation import (
    Hold,
    OperationKind,
    OperationRecord,
    ReservationRecord,
    reservation_labels,
)
from headgate.model.resources import Request, Resources
from headgate.model.snapshot import Snapshot

WHOLE_S: Final = 600.0
"""A reservation that is given back, and of which only a part is offered for so long, is given back in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Who was placed, on which reservations; what is made and given back where.

    `brief`: where a part of a reservation is offered that is wanted; the rest may come soon.
    """

    placed: tuple[Placed, ...] = ()
    on: Mapping[tuple[JobName, int], ReservationId] = field(default_factory=dict)
    reserves: Mapping[Place, tuple[Reserve, ...]] = field(default_factory=dict)
    unreserves: Mapping[Place, tuple[Unreserve, ...]] = field(default_factory=dict)
    brief: frozenset[Place] = frozenset()


def place_kept(
    ledger: Ledger, wants: Sequence[Want], fleet: Fleet, offers: Sequence[Offer], snapshot: Snapshot
) -> Kept:
    """Place the workers in `wants` (of jobs that keep their resources), and give back what nobody wants.

    New reservations and every operation are recorded in the ledger; the fleet has what is left.
    """
    seen = seen_in(offers)
    if not wants and not seen:
        return Kept()
    brief: set[Place] = set()
    unreserves = _give_back(ledger, seen, brief, snapshot)
    placed, on, missing = _return(ledger, wants, seen, fleet, brief)
    made, reserves = _reserve(ledger, missing, fleet, offers, snapshot) if missing else ([], {})
    placed += made
    on.update({(each.spec.name, each.worker): _next_id(ledger, each) for each in made})
    return Kept(
        placed=tuple(placed),
        on=on,
        reserves=reserves,
        unreserves=unreserves,
        brief=frozenset(brief),
    )


def _give_back(
    ledger: Ledger, seen: Mapping[ReservationId, Seen], brief: set[Place], snapshot: Snapshot
) -> dict[Place, tuple[Unreserve, ...]]:
    found: dict[Place, tuple[Unreserve, ...]] = {}
    ours = ledger.framework.framework_id
    busy = under_way(ledger)
    for reservation_id, each in seen.items():
        record = ledger.reservations.get(reservation_id)
        unwanted = each.parts.framework == ours if record is None else record.hold is Hold.FREEING
        if not unwanted:
            continue
        if reservation_id in busy:
            brief.add(each.at)
            continue
        if record is not None and not is_whole(record, each.parts) and record.since + WHOLE_S > snapshot.now:
            brief.add(each.at)
            continue
        kinds = (*((OperationKind.DESTROY,) if each.parts.volume_m else ()), OperationKind.UNRESERVE)
        ids = {kind: _record(ledger, kind, reservation_id, each.at, snapshot) for kind in kinds}
        unreserve = Unreserve(
            id=reservation_id,
            operation_id=ids[OperationKind.UNRESERVE],
            volume_operation_id=ids.get(OperationKind.DESTROY),
        )
        found[each.at] = (*found.get(each.at, ()), unreserve)
    return found


def _return(
    ledger: Ledger,
    wants: Sequence[Want],
    seen: Mapping[ReservationId, Seen],
    fleet: Fleet,
    brief: set[Place],
) -> tuple[list[Placed], dict[tuple[JobName, int], ReservationId], list[Want]]:
    """(who returns, to which reservation, those that have none)."""
    held, rows = held_by(ledger), _rows(fleet) if wants else {}
    placed: list[Placed] = []
    on: dict[tuple[JobName, int], ReservationId] = {}
    missing: list[Want] = []
    for want in wants:
        homeless = []
        for worker in want.workers:
            record = held.get((want.spec.name, worker))
            if record is None:
                homeless.append(worker)
                continue
            found = seen.get(record.id)
            if found is None:
                continue
            ports = Request(ports=want.spec.worker.ports)
            row = rows[found.at]
            if not is_whole(record, found.parts) or not fleet.pools[row].resources.holds(ports):
                brief.add(found.at)
                continue
            resources = replace(scalars(want.spec.worker), ports=fleet.take(row, ports).ports)
            placed.append(_placed(want, worker, fleet.pools[row], resources))
            on[want.spec.name, worker] = record.id
            if record.hold is Hold.MAKING:
                ledger.reservations[record.id] = replace(record, hold=Hold.HELD)
        if homeless:
            missing.append(replace(want, workers=tuple(homeless)))
    return placed, on, missing


def _reserve(
    ledger: Ledger,
    wants: Sequence[Want],
    fleet: Fleet,
    offers: Sequence[Offer],
    snapshot: Snapshot,
) -> tuple[list[Placed], dict[Place, tuple[Reserve, ...]]]:
    """Places new reservations with the workers on them."""
    if not wants:
        return [], {}
    rows, pledged = _rows(fleet), _pledged(offers)
    free = [
        replace(pool, resources=pool.resources.less(pledged.get((pool.agent_id, pool.role), Resources())))
        for pool in fleet.pools
    ]
    enlarged = [replace(want, spec=replace(want.spec, worker=whole_request(want.spec))) for want in wants]
    originals = {want.spec.name: want for want in wants}
    placed: list[Placed] = []
    reserves: dict[Place, tuple[Reserve, ...]] = {}
    for each in placing(enlarged, Fleet(free)).placed:
        at = (each.pool.agent_id, each.pool.role)
        want = originals[each.spec.name]
        pool = fleet.pools[rows[at]]
        fleet.put_back(rows[at], replace(pool, resources=pool.resources.less(each.resources)))
        resources = replace(scalars(want.spec.worker), ports=each.resources.ports)
        made = replace(each, spec=want.spec, resources=resources)
        placed.append(made)
        reserves[at] = (*reserves.get(at, ()), _reservation(ledger, made, snapshot))
    return placed, reserves


def _rows(fleet: Fleet) -> dict[Place, int]:
    """Where the pools with offers in hand are."""
    return {(pool.agent_id, pool.role): row for row, pool in enumerate(fleet.pools) if pool.offer_ids}


def _reservation(ledger: Ledger, placed: Placed, snapshot: Snapshot) -> Reserve:
    keep = placed.spec.keep
    assert keep is not None, placed.spec.name
    at = (placed.pool.agent_id, placed.pool.role)
    record = ReservationRecord(
        id=_next_id(ledger, placed),
        job=placed.spec.name,
        submission=placed.submission,
        worker=placed.worker,
        role=placed.spec.role,
        agent_id=placed.pool.agent_id,
        hostname=placed.pool.hostname,
        resources=scalars(kept_request(placed.spec)),
        volume_m=keep.volume_m,
        since=snapshot.now,
    )
    ledger.reservations[record.id] = record
    return Reserve(
        id=record.id,
        role=record.role,
        resources=record.resources,
        labels=reservation_labels(record, ledger.framework.framework_id or ""),
        operation_id=_record(ledger, OperationKind.RESERVE, record.id, at, snapshot),
        volume_m=record.volume_m,
        volume_path=keep.path,
        volume_operation_id=(
            _record(ledger, OperationKind.CREATE, record.id, at, snapshot) if record.volume_m else None
        ),
    )


def _next_id(ledger: Ledger, placed: Placed) -> ReservationId:
    """The id of the attempt that is about to be recorded for the slot."""
    attempts = ledger.worker(placed.spec.name, placed.worker).attempts
    attempt = Attempt(job=placed.spec.name, submission=placed.submission, worker=placed.worker, attempt=attempts)
    return ReservationId(attempt.task_id)


def _record(
    ledger: Ledger, kind: OperationKind, reservation: ReservationId, at: Place, snapshot: Snapshot
) -> OperationId:
    """Write down the intent; ids are never used twice."""
    number = ledger.framework.operations + 1
    ledger.framework = replace(ledger.framework, operations=number)
    operation_id = OperationId(f"{kind.value}.{reservation}.{number}")
    ledger.operations[operation_id] = OperationRecord(
        id=operation_id, kind=kind, reservation=reservation, agent_id=at[0], sent_at=snapshot.now
    )
    return operation_id


def _pledged(offers: Iterable[Offer]) -> dict[Place, Resources]:
    found: dict[Place, Resources] = {}
    for offer in offers:
        if offer.pledged != Resources():
            at = (offer.agent_id, offer.role)
            found[at] = found.get(at, Resources()) + offer.pledged
    return found


def _placed(want: Want, worker: int, pool: Pool, resources: Resources) -> Placed:
    values = {each.attribute: attribute_text(pool, each.attribute) for each in want.spec.placement}
    places = {name: value for name, value in sorted(values.items()) if value is not None}
    return Placed(
        spec=want.spec, submission=want.submission, worker=worker, pool=pool, resources=resources, places=places
    )
