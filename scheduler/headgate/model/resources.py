"""Resources as Mesos counts them: scalars in whole thousandths, ports as inclusive ranges.

Mesos rounds every scalar to three decimals before it adds or compares, so integers of thousandths are exact where
floats would drift.  `cpus_m` = 1000 is one cpu; `mem_m` and `disk_m` are thousandths of a MiB; `gpus_m` of a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MIB_PER_GIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one worker needs.  `ports` is how many; which ones is decided when an offer is chosen."""

    cpus_m: int = 0
    mem_m: int = 0
    disk_m: int = 0
    gpus_m: int = 0
    ports: int = 0

    def __post_init__(self) -> None:
        for amount in (self.cpus_m, self.mem_m, self.disk_m, self.gpus_m, self.ports):
            assert amount >= 0, self


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PortRange:
    """Both ends belong to it."""

    begin: int
    end: int

    def __post_init__(self) -> None:
        assert self.begin <= self.end, self

    def __len__(self) -> int:
        return self.end - self.begin + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """An amount of everything, such as an offer's, or what a task was given.  `ports` are sorted and disjoint."""

    cpus_m: int = 0
    mem_m: int = 0
    disk_m: int = 0
    gpus_m: int = 0
    ports: tuple[PortRange, ...] = ()

    def __post_init__(self) -> None:
        assert all(a.end < b.begin for a, b in zip(self.ports, self.ports[1:], strict=False)), self.ports

    @property
    def port_count(self) -> int:
        """How many ports there are."""
        return sum([each.end - each.begin + 1 for each in self.ports])

    def holds(self, request: Request) -> bool:
        """Whether the request could be taken out of this."""
        return (
            self.cpus_m >= request.cpus_m
            and self.mem_m >= request.mem_m
            and self.disk_m >= request.disk_m
            and self.gpus_m >= request.gpus_m
            and self.port_count >= request.ports
        )

    def take(self, request: Request) -> tuple[Resources, Resources]:
        """(what the request gets, what is left); it gets the lowest ports.  The caller made sure that it `holds`."""
        assert self.holds(request), (self, request)
        taken, left = _split_ports(self.ports, request.ports)
        return (
            Resources(
                cpus_m=request.cpus_m,
                mem_m=request.mem_m,
                disk_m=request.disk_m,
                gpus_m=request.gpus_m,
                ports=taken,
            ),
            Resources(
                cpus_m=self.cpus_m - request.cpus_m,
                mem_m=self.mem_m - request.mem_m,
                disk_m=self.disk_m - request.disk_m,
                gpus_m=self.gpus_m - request.gpus_m,
                ports=left,
            ),
        )

    def less(self, other: Resources) -> Resources:
        """What is left without the scalars of `other`, never below nothing; and without its ports."""
        return Resources(
            cpus_m=max(0, self.cpus_m - other.cpus_m),
            mem_m=max(0, self.mem_m - other.mem_m),
            disk_m=max(0, self.disk_m - other.disk_m),
            gpus_m=max(0, self.gpus_m - other.gpus_m),
            ports=_without_ports(self.ports, other.ports) if other.ports else self.ports,
        )

    def most(self, other: Resources) -> Resources:
        """The larger of each kind; of ports the larger number."""
        return Resources(
            cpus_m=max(self.cpus_m, other.cpus_m),
            mem_m=max(self.mem_m, other.mem_m),
            disk_m=max(self.disk_m, other.disk_m),
            gpus_m=max(self.gpus_m, other.gpus_m),
            ports=max(self.ports, other.ports, key=lambda ports: sum(map(len, ports))),
        )

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            cpus_m=self.cpus_m + other.cpus_m,
            mem_m=self.mem_m + other.mem_m,
            disk_m=self.disk_m + other.disk_m,
            gpus_m=self.gpus_m + other.gpus_m,
            ports=merged_ports((*self.ports, *other.ports)),
        )


def thousandths(value: float) -> int:
    """A scalar of the API in thousandths, rounded as Mesos rounds it (half away from zero)."""
    scaled = abs(value) * 1000
    whole = int(scaled + 0.5)
    return whole if value >= 0 else -whole


def merged_ports(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """The same ports as sorted, disjoint, maximal ranges."""
    merged: list[PortRange] = []
    for each in sorted(ranges):
        if merged and each.begin <= merged[-1].end + 1:
            last = merged.pop()
            merged.append(PortRange(begin=last.begin, end=max(last.end, each.end)))
        else:
            merged.append(each)
    return tuple(merged)


def _without_ports(ranges: tuple[PortRange, ...], taken: tuple[PortRange, ...]) -> tuple[PortRange, ...]:
    left = list(ranges)
    for gone in taken:
        pieces: list[PortRange] = []
        for each in left:
            if each.begin < min(gone.begin, each.end + 1):
                pieces.append(PortRange(begin=each.begin, end=min(each.end, gone.begin - 1)))
            if max(gone.end, each.begin - 1) < each.end:
                pieces.append(PortRange(begin=max(each.begin, gone.end + 1), end=each.end))
        left = pieces
    return tuple(left)


def _split_ports(ranges: tuple[PortRange, ...], count: int) -> tuple[tuple[PortRange, ...], tuple[PortRange, ...]]:
    taken: list[PortRange] = []
    left: list[PortRange] = []
    for each in ranges:
        if count <= 0:
            left.append(each)
        elif len(each) <= count:
            taken.append(each)
            count -= len(each)
        else:
            taken.append(PortRange(begin=each.begin, end=each.begin + count - 1))
            left.append(PortRange(begin=each.begin + count, end=each.end))
            count = 0
    return tuple(taken), tuple(left)
