"""Three stages on one fleet: what is reserved, what is revocable, and the rest; no resource is given twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_cluster import GIB, SETTINGS, job_spec

from headgate.core.decide import decide
from headgate.core.feasible import Surroundings
from headgate.core.filling import Filled, fill
from headgate.core.ledger import Ledger
from headgate.core.place import Want
from headgate.core.placing.fleet import Fleet
from headgate.core.pool import pools_of
from headgate.core.reservations import settle_reservations
from headgate.core.revocable_stage import why_extra_waits
from headgate.model.ids import AgentId, FrameworkId, JobName, OfferId, ReservationId
from headgate.model.job import JobSpec, Keep, Workers
from headgate.model.offer import Offer, Reserved
from headgate.model.operation import Hold, OperationKind, ReservationRecord
from headgate.model.plan import Refuse
from headgate.model.record import FrameworkRecord, JobRecord, Records
from headgate.model.resources import Request, Resources
from headgate.model.snapshot import Link, Snapshot
from headgate.model.task import WorkerRecord

NOW = 1000.0
FRAMEWORK = FrameworkId("F")
AROUND = Surroundings(now=NOW, maintenance_s=3600.0)
KEEP = Keep(volume_m=2 * GIB, path="state")
EXTRA = job_spec("extra", role="web", revocable=True, workers=Workers(min=1, max=8, initial=1))
KEPT = job_spec("kept", role="web", keep=KEEP, worker=Request(cpus_m=1000, mem_m=GIB, disk_m=GIB))


def offer(agent: str = "a", number: int = 0, *, cpus: int = 4, **more: object) -> Offer:
    plain = Resources(cpus_m=cpus * 1000, mem_m=cpus * 2 * GIB, disk_m=cpus * 10 * GIB)
    fields = {"resources": plain, "role": "web", "received_at": NOW, **more}
    return Offer(id=OfferId(f"{agent}{number}"), agent_id=AgentId(agent), hostname=agent, **fields)  # type: ignore[arg-type]


def filled(
    *wanted: tuple[JobSpec, tuple[int, ...]], offers: list[Offer], records: Records | None = None
) -> tuple[Filled, Ledger]:
    jobs = {
        spec.name: JobRecord(spec=spec, submission=number, submitted_at=0.0, workers=8)
        for number, (spec, _) in enumerate(wanted, 1)
    }
    records = replace(records or Records(), jobs=jobs, framework=FrameworkRecord(framework_id=FRAMEWORK))
    ledger = Ledger(records)
    wants = [
        Want(spec=spec, submission=number, workers=workers, around=AROUND)
        for number, (spec, workers) in enumerate(wanted, 1)
    ]
    snapshot = Snapshot(now=NOW, settings=SETTINGS, link=Link(connected=True, since=0.0))
    fleet = Fleet(pools_of(offers, {}))
    return fill(ledger, wants, fleet, offers, snapshot), ledger


def test_extra_workers_run_on_revocable_resources_and_on_no_others() -> None:
    """Up to the minimum on plain ones; cpus are all of one kind, memory is plain where too little is revocable."""
    soft = Resources(cpus_m=2500)
    found, _ = filled((EXTRA, (0, 1, 2, 3)), offers=[offer(revocable=soft)])
    assert {each.worker: found.revocable.get((EXTRA.name, each.worker)) for each in found.placed} == {
        0: None,
        1: ("cpus",),
        2: ("cpus",),
    }
    found, _ = filled((EXTRA, (1, 2)), offers=[offer(revocable=Resources(cpus_m=9000, mem_m=9 * GIB))])
    assert set(found.revocable.values()) == {("cpus", "mem")}
    found, _ = filled((EXTRA, (1, 2)), offers=[offer(cpus=64)])
    assert found.placed == ()
    assert why_extra_waits(EXTRA, [1, 2]) is not None
    assert why_extra_waits(EXTRA, [0, 1]) is None
    plain, _ = filled(
        (replace(EXTRA, revocable=False), (1, 2)),
        offers=[offer(cpus=0, revocable=Resources(cpus_m=9000, mem_m=9 * GIB))],
    )
    assert plain.placed == ()


def held(reservation: str, worker: int, agent: str, hold: Hold = Hold.HELD) -> ReservationRecord:
    return ReservationRecord(
        id=ReservationId(reservation),
        job=JobName("kept"),
        submission=1,
        worker=worker,
        role="web",
        agent_id=AgentId(agent),
        hostname=agent,
        resources=Resources(cpus_m=1000, mem_m=GIB, disk_m=3 * GIB),
        volume_m=2 * GIB,
        hold=hold,
        since=NOW - 1.0,
    )


WHOLE = Reserved(
    id=ReservationId("kept.1.0.0"),
    framework=FRAMEWORK,
    resources=Resources(cpus_m=1000, mem_m=GIB, disk_m=GIB),
    volume_m=2 * GIB,
)


def test_a_part_of_a_reservation_is_waited_for() -> None:
    """What is freed later is offered separately: an executor's resources come after its task's."""
    records = Records(reservations={WHOLE.id: held(WHOLE.id, 0, "a")})
    part = replace(WHOLE, resources=Resources(cpus_m=990, mem_m=GIB, disk_m=GIB))
    rest = replace(WHOLE, resources=Resources(cpus_m=10), volume_m=0)
    found, _ = filled((KEPT, (0,)), offers=[offer(reserved=(part,))], records=records)
    assert (found.placed, found.brief) == ((), {(AgentId("a"), "web")})
    found, _ = filled(
        (KEPT, (0,)), offers=[offer(reserved=(part,)), offer(number=1, reserved=(rest,))], records=records
    )
    assert [(each.worker, found.on[each.spec.name, each.worker]) for each in found.placed] == [(0, WHOLE.id)]


def test_what_is_given_back_is_given_back_whole_and_once() -> None:
    """Not while operations on it are under way, and in parts only after a long time."""
    freeing = Records(reservations={WHOLE.id: held(WHOLE.id, 0, "a", Hold.FREEING)})
    found, ledger = filled(offers=[offer(reserved=(WHOLE,))], records=freeing)
    ((unreserve,),) = found.unreserves.values()
    assert unreserve.id == WHOLE.id
    assert {each.kind for each in ledger.operations.values()} == {OperationKind.DESTROY, OperationKind.UNRESERVE}
    found, _ = filled(offers=[offer(reserved=(WHOLE,))], records=ledger.frozen())
    assert (found.unreserves, found.brief) == ({}, {(AgentId("a"), "web")})
    part = replace(WHOLE, volume_m=0)
    found, _ = filled(offers=[offer(reserved=(part,))], records=freeing)
    assert (found.unreserves, found.brief) == ({}, {(AgentId("a"), "web")})
    old = {WHOLE.id: replace(freeing.reservations[WHOLE.id], since=NOW - 601.0)}
    found, _ = filled(offers=[offer(reserved=(part,))], records=Records(reservations=old))
    assert list(found.unreserves) == [(AgentId("a"), "web")]


def test_only_reservations_of_this_framework_are_given_back() -> None:
    """One that another Headgate has made is left alone; one of ours without a record is not kept."""
    foreign = replace(WHOLE, framework="another")
    found, ledger = filled((KEPT, (0,)), offers=[offer(cpus=0, reserved=(foreign,))])
    assert (found, ledger.operations) == (Filled(), {})
    found, _ = filled(offers=[offer(reserved=(WHOLE,))])
    assert list(found.unreserves) == [(AgentId("a"), "web")]


def test_what_is_pledged_to_the_role_is_not_reserved_again() -> None:
    """Mesos refuses that: a reservation can only be refined for a role below."""
    pledged = Resources(cpus_m=3500)
    found, _ = filled((KEPT, (0,)), offers=[offer(pledged=pledged)])
    assert found.placed == ()
    found, _ = filled((replace(KEPT, keep=None), (0,)), offers=[offer(pledged=pledged)])
    assert len(found.placed) == 1


amounts = st.builds(
    lambda cpus, mem: Resources(cpus_m=cpus * 500, mem_m=mem * GIB // 2), st.integers(0, 8), st.integers(0, 8)
)


@given(
    plain=st.lists(st.tuples(st.integers(0, 4), amounts), min_size=1, max_size=4),
    workers=st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
)
@settings(max_examples=150)
def test_no_resource_is_given_twice(plain: list[tuple[int, Resources]], workers: tuple[int, int, int]) -> None:
    """Whatever is wanted of whichever kind, what is taken of each agent is there."""
    offers = [offer(f"a{number}", cpus=cpus, revocable=soft) for number, (cpus, soft) in enumerate(plain)]
    specs = (KEPT, EXTRA, job_spec("plain", role="web"))
    wanted = [(spec, tuple(range(count))) for spec, count in zip(specs, workers, strict=True)]
    found, _ = filled(*wanted, offers=offers)
    for each in offers:
        hard, soft = Resources(), Resources()
        for placed in found.placed:
            if placed.pool.agent_id == each.agent_id and (placed.spec.name, placed.worker) not in found.on:
                kinds = found.revocable.get((placed.spec.name, placed.worker), ())
                softly = Resources(
                    cpus_m=placed.resources.cpus_m if "cpus" in kinds else 0,
                    mem_m=placed.resources.mem_m if "mem" in kinds else 0,
                )
                hard, soft = hard + placed.resources.less(softly), soft + softly
        for reserve in found.reserves.get((each.agent_id, "web"), ()):
            hard += reserve.resources
        assert _within(hard, each.resources), (hard, each.resources)
        assert _within(soft, each.revocable), (soft, each.revocable)


def _within(taken: Resources, there: Resources) -> bool:
    return all(getattr(taken, name) <= getattr(there, name) for name in ("cpus_m", "mem_m", "disk_m", "gpus_m"))


@pytest.mark.parametrize(
    ("waited_s", "offered", "kept"),
    [
        (99.0, "nothing", True),
        (100.0, "nothing", False),
        (100.0, "a part", False),
        (100.0, "all, in parts", True),
        (100.0, "all", True),
    ],
)
def test_a_reservation_that_does_not_come_back_whole_is_given_up(waited_s: float, offered: str, kept: bool) -> None:
    """Somebody else of the role may have taken a part of it: to be offered the rest is no reason to wait for ever."""
    part = replace(WHOLE, resources=Resources(cpus_m=990, mem_m=GIB, disk_m=GIB))
    rest = replace(WHOLE, resources=Resources(cpus_m=10), volume_m=0)
    parts = {"nothing": (), "a part": (part,), "all, in parts": (part, rest), "all": (WHOLE,)}[offered]
    offers = [offer(number=number, reserved=(each,)) for number, each in enumerate(parts)]
    spec = replace(KEPT, keep=replace(KEEP, abandon_after_s=100.0))
    job = JobRecord(spec=spec, submission=1, submitted_at=0.0)
    records = Records(
        framework=FrameworkRecord(framework_id=FRAMEWORK),
        jobs={spec.name: job},
        workers={(spec.name, 0): WorkerRecord(job=spec.name, worker=0, wanted_since=NOW - waited_s)},
        reservations={WHOLE.id: held(WHOLE.id, 0, "a")},
    )
    ledger = Ledger(records)
    link = Link(connected=True, since=0.0)
    snapshot = Snapshot(now=NOW, settings=SETTINGS, link=link, offers={each.id: each for each in offers})
    due: list[float] = []
    settle_reservations(ledger, snapshot, due)
    assert (ledger.reservations[WHOLE.id].hold is Hold.HELD) is kept
    assert due == ([NOW + 1.0] if waited_s < 100.0 else [])


def test_offers_without_room_for_a_volume_are_refused_for_long() -> None:
    """An agent that has room for the worker alone cannot help one that is to keep a volume there."""
    job = JobRecord(spec=KEPT, submission=1, submitted_at=0.0)
    small = offer(resources=Resources(cpus_m=4000, mem_m=4 * GIB, disk_m=2 * GIB))
    snapshot = Snapshot(
        now=NOW,
        settings=SETTINGS,
        records=Records(jobs={KEPT.name: job}),
        link=Link(connected=True, since=0.0),
        offers={small.id: small},
    )
    refusals = [step for step in decide(snapshot).steps if isinstance(step, Refuse)]
    assert [(each.offer_ids, each.refuse_s) for each in refusals] == [((small.id,), SETTINGS.patience.refuse_long_s)]
