"""Which reservations are wanted: one per worker slot of a job that keeps its agents' resources, and no other.

Level-triggered, from the records alone.  A slot goes back to the agent that holds its reservation; when that has not
been offered for as long as the job waits (`worker.abandon_after`), the reservation is given up and the slot starts
elsewhere, without its data.  A job that is paused keeps what its workers have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from headgate.core.ledger import Ledger
from headgate.core.operations import free, under_way
from headgate.model.ids import AgentId, JobName, ReservationId
from headgate.model.job import JobSpec
from headgate.model.note import NoteKind
from headgate.model.offer import Offer, Reserved
from headgate.model.operation import Hold, ReservationRecord
from headgate.model.record import JobState
from headgate.model.resources import Request, Resources
from headgate.model.snapshot import Snapshot
from headgate.model.task import WorkerRecord

Place = tuple[AgentId, str]
"""An agent, and the role it is offered to."""

GIVE_BACK: Final = "give back "
"""What a need begins with that is for nothing new."""


def kept_request(spec: JobSpec) -> Request:
    """What is reserved for one worker: its scalars, with room for the volume.  Ports are taken as they come."""
    assert spec.keep is not None, spec.name
    worker = spec.worker
    return Request(
        cpus_m=worker.cpus_m, mem_m=worker.mem_m, disk_m=worker.disk_m + spec.keep.volume_m, gpus_m=worker.gpus_m
    )


def whole_request(spec: JobSpec) -> Request:
    """What an agent needs to have for a worker that is to keep it."""
    return replace(kept_request(spec), ports=spec.worker.ports)


def scalars(request: Request) -> Resources:
    """A request without ports as an amount."""
    return Resources(cpus_m=request.cpus_m, mem_m=request.mem_m, disk_m=request.disk_m, gpus_m=request.gpus_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A reservation as offered, all offers of its agent and role taken together."""

    at: Place
    parts: Reserved


def seen_in(offers: Iterable[Offer]) -> dict[ReservationId, Seen]:
    """Every reservation in these offers, by id."""
    found: dict[ReservationId, Seen] = {}
    for offer in offers:
        for part in offer.reserved:
            known = found.get(part.id)
            if known is not None:
                part = replace(
                    part,
                    resources=known.parts.resources + part.resources,
                    volume_m=known.parts.volume_m + part.volume_m,
                )
            found[part.id] = Seen(at=(offer.agent_id, offer.role), parts=part)
    return dict(sorted(found.items()))


def is_whole(record: ReservationRecord, parts: Reserved) -> bool:
    """Whether nothing of the reservation is missing in what is offered of it."""
    plain = replace(record.resources, disk_m=record.resources.disk_m - record.volume_m)
    wanted = Request(cpus_m=plain.cpus_m, mem_m=plain.mem_m, disk_m=plain.disk_m, gpus_m=plain.gpus_m)
    return parts.resources.holds(wanted) and parts.volume_m == record.volume_m


def held_by(ledger: Ledger) -> dict[tuple[JobName, int], ReservationRecord]:
    """The reservation each slot holds or is about to; one that is being given back is nobody's."""
    kept = (each for each in ledger.reservations.values() if each.hold is not Hold.FREEING)
    return {(each.job, each.worker): each for each in sorted(kept, key=lambda each: each.since)}


def settle_reservations(ledger: Ledger, snapshot: Snapshot, due: list[float]) -> None:
    """Give up what nobody wants, or what its slot has waited for too long."""
    if not ledger.reservations:
        return
    now = snapshot.now
    used = {task.reservation for task in ledger.tasks.values()}
    held = {record.id for record in held_by(ledger).values()}
    seen = seen_in(snapshot.offers.values())
    for record in sorted(ledger.reservations.values(), key=lambda each: each.id):
        if record.hold is Hold.FREEING:
            _forget_in_time(ledger, record, snapshot, due)
        elif record.id not in used:
            why = _unwanted(ledger, record) or (None if record.id in held else "its worker has another")
            if why is None:
                why = _waited_for_too_long(ledger, record, seen, snapshot, due)
            if why is not None:
                free(ledger, record, why, now)


def given_back(ledger: Ledger, absent: AbstractSet[AgentId]) -> dict[str, frozenset[str]]:
    """By role, what is still to be given back, as needs: offers of the role have to flow until it is.

    What is on agents that are away has to wait for them.
    """
    found: dict[str, set[str]] = {}
    busy = under_way(ledger)
    for record in ledger.reservations.values():
        if record.hold is Hold.FREEING and record.agent_id not in absent and record.id not in busy:
            found.setdefault(record.role, set()).add(f"{GIVE_BACK}{record.id} on {record.hostname}")
    return {role: frozenset(needs) for role, needs in found.items()}


def hosts_of_interest(ledger: Ledger, waiting: AbstractSet[ReservationId]) -> dict[str, set[str]]:
    """By role, agents with something of ours to return to (`waiting`) or to give back."""
    found: dict[str, set[str]] = {}
    for record in ledger.reservations.values():
        if record.hold is Hold.FREEING or record.id in waiting:
            found.setdefault(record.role, set()).add(record.hostname)
    return found


def why_wait(ledger: Ledger, spec: JobSpec, slots: Sequence[WorkerRecord], now: float) -> str | None:
    """What to say of slots that all wait for their reservations; None: they wait for something else."""
    if spec.keep is None:
        return None
    held = held_by(ledger)
    records = [held.get((spec.name, slot.worker)) for slot in slots]
    first = records[0]
    if first is None or None in records or any(slot.backoff_until > now for slot in slots):
        return None
    what = "resources and volume" if first.volume_m else "resources"
    return (
        f"its {what} are reserved on {first.hostname}, which does not offer them now; "
        f"started elsewhere{', without its data,' if first.volume_m else ''} after {spec.keep.abandon_after_s:.0f} s"
    )


def _unwanted(ledger: Ledger, record: ReservationRecord) -> str | None:
    job = ledger.jobs.get(record.job)
    if job is None or job.submission != record.submission:
        return "its job is no more"
    if job.state.leaving and job.state not in (JobState.PAUSING, JobState.PAUSED):
        return f"the job is {job.state.value}"
    if record.worker >= job.workers:
        return f"{job.workers} workers are enough"
    if job.spec.keep is None:
        return "the job keeps nothing any more"
    if record.hold is Hold.HELD and not _is_as_wished(job.spec, record):
        return "the job needs another amount now"
    return None


def _is_as_wished(spec: JobSpec, record: ReservationRecord) -> bool:
    assert spec.keep is not None, spec.name
    return record.resources == scalars(kept_request(spec)) and record.volume_m == spec.keep.volume_m


def _waited_for_too_long(
    ledger: Ledger,
    record: ReservationRecord,
    seen: Mapping[ReservationId, Seen],
    snapshot: Snapshot,
    due: list[float],
) -> str | None:
    job = ledger.jobs[record.job]
    slot = ledger.worker(record.job, record.worker)
    if job.spec.keep is None or slot.wanted_since is None or slot.backoff_until > snapshot.now:
        return None
    listening = max(snapshot.awake_since, snapshot.link.since or snapshot.awake_since)
    until = max(slot.wanted_since, slot.backoff_until, listening) + job.spec.keep.abandon_after_s
    if until > snapshot.now:
        due.append(until)
        return None
    if record.id in seen and is_whole(record, seen[record.id].parts):
        return None
    how = " as a whole" if record.id in seen else ""
    return f"not offered{how} for {job.spec.keep.abandon_after_s:.0f} s while its worker waits"


def _forget_in_time(ledger: Ledger, record: ReservationRecord, snapshot: Snapshot, due: list[float]) -> None:
    until = record.since + snapshot.settings.patience.reservation_forget_s
    if until > snapshot.now:
        due.append(until)
    elif record.id not in under_way(ledger):
        del ledger.reservations[record.id]
        text = f"the reservation {record.id} on {record.hostname} was never offered again, and is forgotten"
        ledger.say(snapshot.now, NoteKind.PROBLEM, text, record.job, record.worker)
