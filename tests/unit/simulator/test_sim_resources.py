"""Resource arithmetic: examples from how a real master counts, and the laws that must hold for any amounts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.simulator.resources import (
    EMPTY,
    Form,
    Ranges,
    Refused,
    Resources,
    apply,
    conversions,
    describe,
    first_problem,
    parse,
    parse_attributes,
    problem,
)
from headgate.simulator.resources.values import merged


def scalar(name: str, value: float, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


def ports(*parts: tuple[int, int], **more: Any) -> dict[str, Any]:
    ranges = [{"begin": begin, "end": end} for begin, end in parts]
    return {"name": "ports", "type": "RANGES", "ranges": {"range": ranges}, **more}


DYNAMIC = [{"type": "DYNAMIC", "role": "web"}]
VOLUME = scalar(
    "disk",
    64,
    reservations=DYNAMIC,
    disk={"persistence": {"id": "v1"}, "volume": {"container_path": "data", "mode": "RW"}},
)

REFINED = [{"type": "STATIC", "role": "web"}, {"type": "DYNAMIC", "role": "web/sub", "principal": "p"}]

# --- pools of any content ----------------------------------------------------------------------------------------

stacks = st.sampled_from([[], DYNAMIC, REFINED])
scalars = st.builds(
    lambda name, value, stack: scalar(name, value, **({"reservations": stack} if stack else {})),
    st.sampled_from(["cpus", "mem", "disk"]),
    st.integers(min_value=0, max_value=5_000_000).map(lambda thousandths: thousandths / 1000),
    stacks,
)
port_lists = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), max_size=4).map(
    lambda pairs: ports(*merged((begin, begin + length) for begin, length in pairs).parts)
)
volumes = st.integers(1, 3).map(
    lambda number: scalar("disk", 10.0 * number, reservations=DYNAMIC, disk={"persistence": {"id": f"v{number}"}})
)
pools = st.lists(st.one_of(scalars, port_lists, volumes), max_size=6).map(Resources.of)
disjoint = st.tuples(pools, pools).map(lambda pair: (pair[0], pair[1] - Resources.of(pair[0].filter(_ranged).json())))


def _ranged(kind: Any) -> bool:
    return kind.type == "RANGES"


@given(disjoint)
def test_taking_away_what_was_added_gives_the_pool_back(pair: tuple[Resources, Resources]) -> None:
    pool, more = pair
    assert (pool + more) - more == pool


@given(pools, pools)
def test_a_sum_contains_its_parts_whatever_the_order(one: Resources, other: Resources) -> None:
    assert (one + other).contains(one)
    assert (one + other).contains(other)
    assert one + other == other + one


@given(pools)
def test_every_pool_contains_itself_and_nothing_is_left_without_it(pool: Resources) -> None:
    assert pool.contains(pool)
    assert pool.contains(EMPTY)
    assert not pool - pool


@given(pools, pools)
def test_only_what_is_contained_can_be_put_back_unchanged(pool: Resources, wanted: Resources) -> None:
    assert ((pool - wanted) + wanted == pool) or not pool.contains(wanted)


@given(pools)
def test_json_in_the_stack_form_says_everything(pool: Resources) -> None:
    assert Resources.of(pool.json()) == pool


@given(pools)
def test_the_endpoint_form_reads_as_the_same_pool(pool: Resources) -> None:
    assert Resources.of(pool.json(Form.ENDPOINT)) == pool


@given(st.integers(0, 10_000_000), port_lists)
def test_what_is_printed_can_be_parsed(amount: int, listed: dict[str, Any]) -> None:
    pool = Resources.of([scalar("cpus", amount / 1000), listed])
    assert parse("" if not pool else pool.text()) == pool


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=6))
def test_merged_ranges_hold_the_same_numbers_and_never_touch(pairs: list[tuple[int, int]]) -> None:
    parts = [(begin, begin + length) for begin, length in pairs]
    result = merged(parts).parts
    assert _numbers(result) == _numbers(parts)
    assert all(end + 1 < begin for (_, end), (begin, _) in pairwise(result))


@given(port_lists, port_lists)
def test_ranges_are_cut_as_sets_of_numbers(one: dict[str, Any], other: dict[str, Any]) -> None:
    left, right = Resources.of([one]), Resources.of([other])
    wanted = _numbers(left.ranges("ports").parts) - _numbers(right.ranges("ports").parts)
    assert _numbers((left - right).ranges("ports").parts) == wanted


def _numbers(parts: Any) -> set[int]:
    return {number for begin, end in parts for number in range(begin, end + 1)}


# --- examples ----------------------------------------------------------------------------------------------------


def test_scalars_are_counted_in_thousandths() -> None:
    sum_of_three = Resources.of([scalar("cpus", 0.1)]) + Resources.of([scalar("cpus", 0.2)])
    assert sum_of_three == Resources.of([scalar("cpus", 0.3)])
    assert not Resources.of([scalar("cpus", 0.0004)])
    assert Resources.of([scalar("cpus", 0.0005)]).scalar("cpus") == 0.001


def test_adjacent_ports_become_one_range() -> None:
    assert Resources.of([ports((5, 6), (1, 4))]).ranges("ports") == Ranges(((1, 6),))


@pytest.mark.parametrize(
    ("change", "adds_up"),
    [
        ({}, True),
        ({"role": "*"}, True),
        ({"allocation_info": {"role": "web"}}, False),
        ({"reservations": DYNAMIC}, False),
        ({"role": "web"}, False),
        ({"revocable": {}}, False),
        ({"provider_id": {"value": "p"}}, False),
    ],
)
def test_only_equal_kinds_add_up(change: dict[str, Any], adds_up: bool) -> None:
    assert (len(Resources.of([scalar("cpus", 1), scalar("cpus", 1, **change)])) == 1) is adds_up


def test_volumes_are_whole() -> None:
    half = Resources.of([{**VOLUME, "scalar": {"value": 32}}])
    assert not Resources.of([VOLUME]).contains(half)
    assert Resources.of([VOLUME]) - half == Resources.of([VOLUME])


def test_how_a_volume_is_mounted_is_not_part_of_what_it_is() -> None:
    elsewhere = {**VOLUME, "disk": {"persistence": {"id": "v1"}, "volume": {"container_path": "x", "mode": "RO"}}}
    assert Resources.of([VOLUME]).contains(Resources.of([elsewhere]))


def test_each_use_of_a_volume_keeps_its_own_path() -> None:
    elsewhere = {**VOLUME, "disk": {"persistence": {"id": "v1"}, "volume": {"container_path": "x", "mode": "RO"}}}
    paths = [Resources.of([used]).allocated("web").json()[0]["disk"]["volume"] for used in (VOLUME, elsewhere)]
    assert [path["container_path"] for path in paths] == ["data", "x"]


def test_the_old_form_of_a_dynamic_reservation() -> None:
    old = scalar("cpus", 0.25, role="web", reservation={"principal": "p"})
    pool = Resources.of([old])
    assert pool.json() == [scalar("cpus", 0.25, reservations=[{"type": "DYNAMIC", "role": "web", "principal": "p"}])]
    assert pool.json(Form.OLD) == [old]


def test_unreserved_resources_have_role_star_in_the_old_form_only() -> None:
    pool = Resources.of([scalar("cpus", 1.0)])
    assert pool.json(Form.OLD) == [scalar("cpus", 1.0, role="*")]
    assert pool.json() == [scalar("cpus", 1.0)]


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        (scalar("cpus", 2.0, allocation_info={"role": "*"}), "cpus(allocated: *):2"),
        (ports((1, 2), (4, 4)), "ports:[1-2, 4-4]"),
        ({"name": "s", "type": "SET", "set": {"item": ["a", "b"]}}, "s:{a, b}"),
        (
            scalar("cpus", 1.5, allocation_info={"role": "web"}, reservations=REFINED),
            "cpus(allocated: web)(reservations: [(STATIC,web),(DYNAMIC,web/sub,p)]):1.5",
        ),
        (
            scalar("cpus", 1, reservations=[{**DYNAMIC[0], "labels": {"labels": [{"key": "k", "value": "v"}]}}]),
            "cpus(reservations: [(DYNAMIC,web,{k: v})]):1",
        ),
        (
            {**VOLUME, "allocation_info": {"role": "web"}},
            "disk(allocated: web)(reservations: [(DYNAMIC,web)])[v1:data]:64",
        ),
        (scalar("disk", 1, disk={"source": {"type": "MOUNT", "mount": {"root": "/m"}}}), "disk[MOUNT:/m]:1"),
        (scalar("cpus", 1, revocable={}), "cpus{REV}:1"),
        (scalar("cpus", -1), "cpus:-1"),
        (scalar("", 1), ":1"),
        (ports((9, 1)), "ports:[9-1]"),
    ],
)
def test_printed_forms(resource: dict[str, Any], text: str) -> None:
    assert describe(resource) == text


def test_an_empty_pool_prints_as_braces() -> None:
    assert EMPTY.text() == "{}"


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        (scalar("cpus", 1), None),
        (scalar("cpus", 0), None),
        (scalar("", 1), "Empty resource name"),
        (scalar("cpus", -1), "Invalid scalar resource: value <= 0"),
        (scalar("cpus", 0.0001), "Invalid scalar resource: value <= 0"),
        ({"name": "cpus", "type": "SCALAR"}, "Invalid scalar resource"),
        ({"name": "x", "type": "TEXT", "text": {"value": "t"}}, "Unsupported resource type"),
        (ports((2, 1)), "Invalid ranges resource: begin > end"),
        (ports((1, 5), (5, 6)), "Invalid ranges resource: overlapping ranges"),
        ({"name": "s", "type": "SET", "set": {"item": ["a", "a"]}}, "Invalid set resource: duplicated elements"),
        (scalar("mem", 1, disk={}), "DiskInfo should not be set for mem resource"),
        (scalar("cpus", 1, role="/a"), "Role '/a' cannot start with a slash"),
        (scalar("cpus", 1, reservation={}), 'Invalid reservation: role "*" cannot be dynamically reserved'),
        (
            scalar("cpus", 1, reservations=[{"type": "DYNAMIC", "role": "*"}]),
            'Invalid reservation: role "*" cannot be reserved',
        ),
        (
            scalar("cpus", 1, reservations=[*DYNAMIC, {"type": "DYNAMIC", "role": "db"}]),
            "Invalid refined reservation: role 'db' is not a refinement of 'web'",
        ),
        (
            scalar("cpus", 1, reservations=[*DYNAMIC, {"type": "STATIC", "role": "web/a"}]),
            "Invalid refined reservation: A refined reservation cannot be STATIC",
        ),
        (
            scalar("cpus", 1, reservations=[{"role": "web"}]),
            "Invalid reservation: 'Resource.ReservationInfo.type' field must be set.",
        ),
        (
            scalar("cpus", 1, role="db", reservations=[{"type": "STATIC", "role": "web"}]),
            "Invalid resource format: 'Resource.role' field with 'db' does not match the role 'web'"
            " in 'Resource.reservations'",
        ),
        (scalar("cpus", 1, shared={}), "Resource cpus cannot be shared"),
        (scalar("disk", 1, shared={}), "Only persistent volumes can be shared"),
    ],
)
def test_what_is_wrong_with_a_resource(resource: dict[str, Any], message: str | None) -> None:
    assert problem(resource) == message


def test_the_first_invalid_resource_of_a_list_is_named() -> None:
    listed = [scalar("cpus", 1), scalar("mem", -1, reservations=DYNAMIC)]
    assert (
        first_problem(listed)
        == "Resource 'mem(reservations: [(DYNAMIC,web)]):-1' is invalid: Invalid scalar resource: value <= 0"
    )


def test_parsing_an_agents_resources() -> None:
    pool = parse("cpus:4;mem:4096; cpus(web):2 ;ports:[31000-31500, 1-2];zones:{a,b}")
    assert pool.scalar("cpus") == 6.0
    assert pool.unreserved().scalar("cpus") == 4.0
    assert pool.reservations()["web"].scalar("cpus") == 2.0
    assert pool.ranges("ports") == Ranges(((1, 2), (31000, 31500)))


@pytest.mark.parametrize(
    "text", ["cpus", "cpus:x", "cpus:-1", "cpus:[1-", "cpus(:1", "ports:[9-1]", "cpus(/a):1", ":1"]
)
def test_unreadable_resources_name_the_part(text: str) -> None:
    with pytest.raises(ValueError, match="bad resource"):
        parse(text)


def test_parsing_attributes() -> None:
    assert parse_attributes("rack:r1;level:10;ports:[1-5]") == [
        {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
        {"name": "level", "type": "SCALAR", "scalar": {"value": 10.0}},
        {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 5}]}},
    ]


def test_an_attribute_needs_a_name_and_a_value() -> None:
    with pytest.raises(ValueError, match="bad attribute 'rack'"):
        parse_attributes("rack")


# --- operations --------------------------------------------------------------------------------------------------

POOL = parse("cpus:2;disk:100").allocated("web")


def op(kind: str, **body: Any) -> dict[str, Any]:
    return {"type": kind, kind.lower(): body}


def allocated(resource: dict[str, Any]) -> dict[str, Any]:
    return {**resource, "allocation_info": {"role": "web"}}


def after(pool: Resources, *operations: dict[str, Any]) -> Resources:
    for operation in operations:
        result = apply(pool, conversions(operation))
        assert isinstance(result, Resources), result
        pool = result
    return pool


def test_reserve_create_destroy_unreserve_lead_back() -> None:
    disk = allocated(scalar("disk", 64, reservations=DYNAMIC))
    volume = allocated(VOLUME)
    made = after(POOL, op("RESERVE", resources=[disk]), op("CREATE", volumes=[volume]))
    assert made.volumes().scalar("disk") == 64.0
    assert made.unreserved().scalar("disk") == 36.0
    assert after(made, op("DESTROY", volumes=[volume]), op("UNRESERVE", resources=[disk])) == POOL


def test_growing_and_shrinking_a_volume() -> None:
    volume = allocated(VOLUME)
    disk = allocated(scalar("disk", 96, reservations=DYNAMIC))
    made = after(POOL, op("RESERVE", resources=[disk]), op("CREATE", volumes=[volume]))
    addition = allocated(scalar("disk", 32, reservations=DYNAMIC))
    grown = after(made, op("GROW_VOLUME", volume=volume, addition=addition))
    assert grown.volumes().scalar("disk") == 96.0
    big = {**volume, "scalar": {"value": 96.0}}
    shrunk = after(grown, op("SHRINK_VOLUME", volume=big, subtract={"value": 32}))
    assert shrunk == made


def test_what_is_not_there_cannot_be_converted() -> None:
    wanted = allocated(scalar("cpus", 3, reservations=DYNAMIC))
    result = apply(POOL, conversions(op("RESERVE", resources=[wanted])))
    assert result == Refused(
        reason="cpus(allocated: web):2; disk(allocated: web):100 does not contain cpus(allocated: web):3"
    )
