"""Resources are exact in thousandths; ports are taken from the lowest and never twice; task ids say what they are."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.model.ids import Attempt, JobName, find_attempt
from headgate.model.resources import PortRange, Request, Resources, merged_ports, thousandths

port_ranges = st.builds(
    lambda begin, length: PortRange(begin=begin, end=begin + length), st.integers(1, 300), st.integers(0, 20)
)
amounts = st.integers(0, 10_000)
resources = st.builds(
    Resources,
    cpus_m=amounts,
    mem_m=amounts,
    disk_m=amounts,
    gpus_m=amounts,
    ports=st.lists(port_ranges, max_size=5).map(merged_ports),
)
requests = st.builds(Request, cpus_m=amounts, mem_m=amounts, disk_m=amounts, gpus_m=amounts, ports=st.integers(0, 30))


def ports_of(ranges: tuple[PortRange, ...]) -> set[int]:
    return {port for each in ranges for port in range(each.begin, each.end + 1)}


@given(pool=resources, request=requests)
def test_take_splits_without_loss(pool: Resources, request: Request) -> None:
    """What is taken and what is left add up to the pool, and the taken part is what was asked for."""
    if not pool.holds(request):
        return
    taken, left = pool.take(request)
    assert taken + left == pool
    assert taken.port_count == request.ports
    assert not ports_of(taken.ports) & ports_of(left.ports)
    assert taken.holds(request)


@given(st.lists(port_ranges, max_size=6))
def test_merged_ports_are_the_same_ports(ranges: list[PortRange]) -> None:
    """Merging neither adds nor loses a port, and leaves gaps between its ranges."""
    merged = merged_ports(ranges)
    assert ports_of(merged) == ports_of(tuple(ranges))
    assert all(a.end + 1 < b.begin for a, b in pairwise(merged))


@pytest.mark.parametrize(
    ("value", "expected"), [(0.1 + 0.2, 300), (1.0005, 1001), (0.0004, 0), (2, 2000), (4096.0, 4_096_000), (-0.5, -500)]
)
def test_thousandths_round_as_mesos_does(value: float, expected: int) -> None:
    """Three decimals, half away from zero."""
    assert thousandths(value) == expected


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 10**9))
def test_task_ids_are_read_back(submission: int, worker: int, attempt: int) -> None:
    """An attempt survives its text form."""
    made = Attempt(job=JobName("delays-2"), submission=submission, worker=worker, attempt=attempt)
    assert find_attempt(made.task_id) == made


@pytest.mark.parametrize("foreign", ["", "t1", "a.1.2", "a.1.2.x", ".1.2.3", "a.01.2.3", "a.1.2.3.4", "a.1.2.²"])
def test_foreign_task_ids_are_nobody(foreign: str) -> None:
    """An id we did not make is no attempt of ours."""
    assert find_attempt(foreign) is None
