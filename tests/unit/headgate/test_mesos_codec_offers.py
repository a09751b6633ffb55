"""Offers: which resources count, which attributes are read, and that one bad offer spoils no other."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.adapters import mesos_codec_offers
from headgate.adapters.mesos_codec_events import Decoded, EventDecoder
from headgate.adapters.mesos_codec_launch import Drawer
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.model.event import Offers, Undecodable
from headgate.model.offer import FaultDomain, Offer, Reserved, Unavailability
from headgate.model.resources import PortRange, Resources, merged_ports


def scalar(name: str, value: float, **more: Any) -> dict[str, Any]:
    """An amount as the API writes it."""
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


def ports(*ranges: tuple[int, int], **more: Any) -> dict[str, Any]:
    """Ports as the API writes them."""
    found = [{"begin": begin, "end": end} for begin, end in ranges]
    return {"name": "ports", "type": "RANGES", "ranges": {"range": found}, **more}


def wire_offer(*resources: dict[str, Any], offer_id: str = "O1", **more: Any) -> dict[str, Any]:
    """An offer as the API writes it."""
    return {
        "id": {"value": offer_id},
        "framework_id": {"value": "F"},
        "agent_id": {"value": "S0"},
        "hostname": "h0",
        "resources": list(resources),
        **more,
    }


def decoded(*offers: Any, role: str = "*", decoder: EventDecoder | None = None) -> Decoded:
    """What becomes of an event with these offers."""
    record = json.dumps({"type": "OFFERS", "offers": {"offers": list(offers)}}).encode()
    return (decoder or EventDecoder()).decode(record, received_at=3.0, role=role)


def one(offer: dict[str, Any], role: str = "*") -> Offer:
    """What becomes of one offer."""
    (event,) = decoded(offer, role=role).events
    assert isinstance(event, Offers)
    (found,) = event.offers
    return found


def test_a_whole_offer() -> None:
    """Everything an agent may say of itself."""
    offer = wire_offer(
        ports((32000, 32100)),
        scalar("cpus", 2.0),
        scalar("mem", 2048.0),
        scalar("disk", 10000.0),
        scalar("gpus", 1),
        url={"scheme": "http", "address": {"hostname": "h0", "ip": "10.0.0.9", "port": 5051}, "path": "/slave(1)"},
        domain={"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "eu-1"}}},
        unavailability={"start": {"nanoseconds": 2_000_000_000}, "duration": {"nanoseconds": 500_000_000}},
        executor_ids=[{"value": "e1"}, {"value": "e2"}],
        allocation_info={"role": "web"},
        attributes=[
            {"name": "rack", "type": "TEXT", "text": {"value": "r2"}},
            {"name": "level", "type": "SCALAR", "scalar": {"value": 2.5}},
            {"name": "slots", "type": "RANGES", "ranges": {"range": [{"begin": 3, "end": 4}, {"begin": 1, "end": 1}]}},
            {"name": "disks", "type": "SET", "set": {"item": ["ssd", "hdd"]}},
            {"name": "odd", "type": "MATRIX", "matrix": [[1]]},
            {"name": "rack", "type": "TEXT", "text": {"value": "another"}},
        ],
    )
    assert one(offer) == Offer(
        id="O1",
        agent_id="S0",
        hostname="h0",
        resources=Resources(
            cpus_m=2000, mem_m=2_048_000, disk_m=10_000_000, gpus_m=1000, ports=(PortRange(begin=32000, end=32100),)
        ),
        received_at=3.0,
        role="web",
        attributes={
            "rack": "r2",
            "level": 2.5,
            "slots": (PortRange(begin=1, end=1), PortRange(begin=3, end=4)),
            "disks": frozenset({"ssd", "hdd"}),
        },
        domain=FaultDomain(region="eu", zone="eu-1"),
        unavailability=Unavailability(start_at=2.0, duration_s=0.5),
        executor_ids=("e1", "e2"),
        agent_address="h0:5051",
    )


def test_a_bare_offer() -> None:
    """Empty lists are not written at all."""
    bare = {"id": {"value": "O1"}, "agent_id": {"value": "S0"}, "hostname": "h0"}
    assert one(bare, role="web") == Offer(
        id="O1", agent_id="S0", hostname="h0", resources=Resources(), received_at=3.0, role="web"
    )


DYNAMIC = {"type": "DYNAMIC", "role": "web", "principal": "p"}
LABELS = {"labels": [{"key": "k", "value": "v"}]}
OURS = {
    "labels": [
        {"key": "headgate.framework", "value": "F"},
        {"key": "headgate.reservation", "value": "j.1.0.0"},
    ]
}

RESOURCES: list[tuple[str, dict[str, Any], bool, dict[str, Any] | None]] = [
    ("unreserved, new form", scalar("cpus", 1.5), True, None),
    ("unreserved, old form", scalar("cpus", 1.5, role="*"), True, None),
    ("reserved by the operator, old form", scalar("cpus", 1.5, role="web"), True, {"role": "web"}),
    (
        "reserved, old form",
        scalar("cpus", 1.5, role="web", reservation={"principal": "p"}),
        True,
        {"role": "web", "reservation": {"principal": "p"}},
    ),
    ("reserved, new form", scalar("cpus", 1.5, reservations=[DYNAMIC]), True, {"reservations": [DYNAMIC]}),
    (
        "reserved by somebody for himself",
        scalar("cpus", 1.5, reservations=[{**DYNAMIC, "labels": LABELS}]),
        False,
        None,
    ),
    (
        "reserved by somebody for himself, old form",
        scalar("cpus", 1.5, role="web", reservation={"labels": LABELS}),
        False,
        None,
    ),
    (
        "reserved by somebody for himself, and refined",
        scalar("cpus", 1.5, reservations=[{"role": "eng", "labels": LABELS}, DYNAMIC]),
        False,
        None,
    ),
    (
        "reserved for the role above",
        scalar("cpus", 1.5, reservations=[{"type": "STATIC", "role": "eng"}]),
        False,
        None,
    ),
    (
        "reserved and refined for another",
        scalar("cpus", 1.5, reservations=[{"type": "STATIC", "role": "web"}, {"type": "DYNAMIC", "role": "web/x"}]),
        False,
        None,
    ),
    ("reserved for another, old form", scalar("cpus", 1.5, role="db"), False, None),
    ("shared", scalar("disk", 1.5, shared={}), False, None),
    (
        "volume",
        scalar("disk", 1.5, reservations=[DYNAMIC], disk={"persistence": {"id": "v"}, "volume": {"mode": "RW"}}),
        False,
        None,
    ),
    ("disk of its own", scalar("disk", 1.5, disk={"source": {"type": "MOUNT", "mount": {"root": "/m"}}}), False, None),
    ("of a provider", scalar("disk", 1.5, provider_id={"value": "rp"}), False, None),
    ("of a kind we do not use", scalar("bugs", 1.5), False, None),
]


@pytest.mark.parametrize(
    ("resource", "counts", "identity"), [case[1:] for case in RESOURCES], ids=[case[0] for case in RESOURCES]
)
def test_which_resources_count(resource: dict[str, Any], counts: bool, identity: dict[str, Any] | None) -> None:
    """Plain ones, unreserved or reserved for us; with a reservation it is remembered which."""
    found = decoded(wire_offer({**resource, "allocation_info": {"role": "web"}}, allocation_info={"role": "web"}))
    (event,) = found.events
    assert isinstance(event, Offers)
    assert event.offers[0].resources == (Resources(cpus_m=1500) if counts else Resources())
    assert event.offers[0].pledged == (Resources(cpus_m=1500) if identity else Resources())
    part = ReservedPart(name="cpus", amount_m=1500, identity=tuple((identity or {}).items()), pledged=True)
    assert found.reserved == ({"O1": (part,)} if identity else {})


def test_what_others_may_take_away_again_is_kept_apart() -> None:
    """Revocable resources are no plain ones."""
    offer = one(wire_offer(scalar("cpus", 1), scalar("cpus", 2, revocable={}), scalar("mem", 64, revocable={})))
    assert (offer.resources, offer.revocable) == (Resources(cpus_m=1000), Resources(cpus_m=2000, mem_m=64_000))


@pytest.mark.parametrize("old_form", [False, True])
def test_what_a_headgate_has_reserved_is_kept_apart_by_reservation(old_form: bool) -> None:
    """With its volume; whether it is ours is not for the codec to say.

    Source: marathon #4137, #5142 and mesos/kafka #145: two instances in one role took each other's volumes.
    """
    if old_form:
        mine: dict[str, Any] = {"role": "web", "reservation": {"principal": "p", "labels": OURS}}
    else:
        mine = {"reservations": [{"type": "STATIC", "role": "eng"}, {**DYNAMIC, "labels": OURS}]}
    volume = {"persistence": {"id": "j.1.0.0"}, "volume": {"container_path": "state", "mode": "RW"}}
    found = decoded(
        wire_offer(
            scalar("cpus", 4),
            scalar("cpus", 1, **mine),
            scalar("disk", 100, **mine),
            scalar("disk", 50, **mine, disk=volume),
            scalar("disk", 7, **mine, disk={"source": {"type": "MOUNT"}}),
        ),
        role="web",
    )
    (event,) = found.events
    assert isinstance(event, Offers)
    assert event.offers[0].resources == Resources(cpus_m=4000)
    assert event.offers[0].reserved == (
        Reserved(id="j.1.0.0", framework="F", resources=Resources(cpus_m=1000, disk_m=100_000), volume_m=50_000),
    )
    assert [(part.name, part.amount_m, part.volume) for part in found.reserved["O1"]] == [
        ("cpus", 1000, False),
        ("disk", 100_000, False),
        ("disk", 50_000, True),
    ]


def test_a_reservation_for_a_role_is_good_for_the_roles_below() -> None:
    """Mesos offers it to them."""
    reserved = scalar("cpus", 1, reservations=[{"type": "STATIC", "role": "eng"}])
    assert one(wire_offer(reserved, allocation_info={"role": "eng/web"})).resources == Resources(cpus_m=1000)
    assert one(wire_offer(reserved, allocation_info={"role": "engine"})).resources == Resources()
    assert one(wire_offer(reserved), role="eng/web").resources == Resources(cpus_m=1000)


def test_the_same_bytes_for_another_role_are_judged_anew() -> None:
    """What is remembered of resources is remembered by role."""
    decoder = EventDecoder()
    mine, theirs = (
        wire_offer(scalar("cpus", 1, role="web"), offer_id=role, allocation_info={"role": role})
        for role in ("web", "db")
    )
    (event,) = decoded(mine, theirs, decoder=decoder).events
    assert isinstance(event, Offers)
    assert [offer.resources.cpus_m for offer in event.offers] == [1000, 0]


def test_amounts_add_up_in_thousandths() -> None:
    """Several resources of one name, fractions included; adjoining ports merge."""
    offer = wire_offer(
        scalar("cpus", 0.1), scalar("cpus", 0.2, role="web"), ports((5, 7)), ports((1, 4), (9, 9), role="web")
    )
    assert one(offer, role="web").resources == Resources(
        cpus_m=300, ports=(PortRange(begin=1, end=7), PortRange(begin=9, end=9))
    )


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (wire_offer(ports((9, 2)), offer_id="bad"), "range from 9 to 2"),
        (wire_offer(scalar("cpus", 1e308), offer_id="bad"), "cpus of 1e+308"),
        (wire_offer({"name": "cpus", "scalar": {}}, offer_id="bad"), "value"),
        (wire_offer(scalar("cpus", 1, reservations=["web"]), offer_id="bad"), "object"),
        (wire_offer(offer_id="bad", attributes=[{"text": {"value": "r"}}]), "name"),
        ({"id": {"value": "bad"}}, "agent_id"),
        ("bad", "object"),
    ],
)
def test_one_bad_offer_spoils_no_other(bad: Any, problem: str) -> None:
    """The good ones are delivered, and of the bad one is said what it was."""
    good = [wire_offer(scalar("cpus", 1, role="web"), offer_id=name) for name in ("O1", "O2")]
    found = decoded(good[0], bad, good[1], role="web")
    offers, undecodable = found.events
    assert isinstance(offers, Offers)
    assert [offer.id for offer in offers.offers] == ["O1", "O2"]
    assert isinstance(undecodable, Undecodable)
    assert problem in undecodable.problem
    assert "bad" in undecodable.excerpt
    assert set(found.reserved) == {"O1", "O2"}


def test_no_offers_at_all() -> None:
    """An event without any is none."""
    assert decoded() == Decoded()


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts anew when full, and answers stay right."""
    monkeypatch.setattr(mesos_codec_offers, "REMEMBERED_MAX", 3)
    read: list[bytes] = []

    def doubled(raw: bytes) -> bytes:
        read.append(raw)
        return raw * 2

    remembered = mesos_codec_offers._Remembered(doubled)
    for each in (b"1", b"2", b"1", b"3", b"2", b"4", b"4", b"1"):
        assert remembered(each) == each * 2
        assert len(remembered.known) <= 3
    assert read == [b"1", b"2", b"3", b"4", b"1"]


def test_ten_thousand_offers_in_one_event() -> None:
    """Order is kept, and all are there."""
    many = [wire_offer(scalar("cpus", 1 + n % 7), offer_id=f"O{n}") for n in range(10_000)]
    (event,) = decoded(*many).events
    assert isinstance(event, Offers)
    assert [offer.id for offer in event.offers] == [f"O{n}" for n in range(10_000)]
    assert {offer.resources.cpus_m for offer in event.offers} == {1000 * n for n in range(1, 8)}


range_lists = st.lists(
    st.builds(lambda begin, more: PortRange(begin=begin, end=begin + more), st.integers(1, 500), st.integers(0, 30)),
    max_size=5,
).map(merged_ports)
amounts = st.integers(0, 10**9)
pools = st.builds(Resources, cpus_m=amounts, mem_m=amounts, disk_m=amounts, gpus_m=amounts, ports=range_lists)


@given(pool=pools, multi_role=st.booleans())
def test_resources_survive_the_wire(pool: Resources, multi_role: bool) -> None:
    """What a launch would ask for, offered back, is the same to the thousandth."""
    drawn = Drawer((), allocated_to="web" if multi_role else None).draw(pool)
    assert one(wire_offer(*drawn), role="web").resources == pool


@given(reserved=st.lists(pools, max_size=3), wanted=pools)
def test_drawing_takes_reserved_ones_first_and_never_more(reserved: list[Resources], wanted: Resources) -> None:
    """The sum is what was wanted; no reservation gives more than it has; only what they lack is unreserved."""
    parts = [
        ReservedPart(name=name, amount_m=amount, identity=(("reservations", [{"role": "web", "principal": str(n)}]),))
        for n, pool in enumerate(reserved)
        for name, amount in (("cpus", pool.cpus_m), ("mem", pool.mem_m), ("gpus", pool.gpus_m))
    ]
    drawn = Drawer(parts, allocated_to="web").draw(wanted)
    assert one(wire_offer(*drawn, allocation_info={"role": "web"})).resources == wanted
    assert all(each["allocation_info"] == {"role": "web"} for each in drawn)
    for name, asked in (("cpus", wanted.cpus_m), ("mem", wanted.mem_m), ("gpus", wanted.gpus_m)):
        of_name = [each for each in drawn if each["name"] == name]
        unreserved = sum(round(each["scalar"]["value"] * 1000) for each in of_name if "reservations" not in each)
        have = sum(part.amount_m for part in parts if part.name == name)
        assert unreserved == max(0, asked - have)
        for n, pool in enumerate(reserved):
            taken = [
                round(each["scalar"]["value"] * 1000)
                for each in of_name
                if each.get("reservations") == [{"role": "web", "principal": str(n)}]
            ]
            assert sum(taken) <= {"cpus": pool.cpus_m, "mem": pool.mem_m, "gpus": pool.gpus_m}[name]


@given(reserved=st.lists(range_lists, max_size=2), wanted=range_lists)
def test_ports_are_drawn_from_the_reservation_that_holds_them(
    reserved: list[tuple[PortRange, ...]], wanted: tuple[PortRange, ...]
) -> None:
    """Each wanted port is asked for once, under the first reservation that has it."""
    parts = [
        ReservedPart(name="ports", ports=have, identity=(("reservations", [{"role": "web", "principal": str(n)}]),))
        for n, have in enumerate(reserved)
    ]
    drawn = Drawer(parts, allocated_to=None).draw(Resources(ports=wanted))
    asked: dict[int, str | None] = {}
    for each in drawn:
        owner = each["reservations"][0]["principal"] if "reservations" in each else None
        for found in each["ranges"]["range"]:
            for port in range(found["begin"], found["end"] + 1):
                assert port not in asked
                asked[port] = owner
    expected = {}
    for each in wanted:
        for port in range(each.begin, each.end + 1):
            holders = [n for n, have in enumerate(reserved) if any(r.begin <= port <= r.end for r in have)]
            expected[port] = str(holders[0]) if holders else None
    assert asked == expected
