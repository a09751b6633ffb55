"""The three kinds of amounts: scalars in thousandths, ranges of integers, sets of texts.

Scalars are whole thousandths throughout, as Mesos computes them (three decimals, rounded half away from zero), so
0.1 + 0.2 is 0.3 exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

Thousandths: TypeAlias = int


@dataclass(frozen=True, slots=True)
class Ranges:
    """Inclusive integer ranges: sorted, disjoint and never adjacent.  Build with `merged`."""

    parts: tuple[tuple[int, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __str__(self) -> str:
        return ranges_text(self.parts)


@dataclass(frozen=True, slots=True)
class Items:
    """A set of texts that keeps the order in which they came."""

    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        return items_text(self.names)


Amount: TypeAlias = Thousandths | Ranges | Items


# --- scalars -----------------------------------------------------------------------------------------------------


def thousandths(value: float) -> Thousandths:
    """A scalar in fixed point."""
    scaled = value * 1000
    return math.floor(scaled + 0.5) if scaled >= 0 else -math.floor(-scaled + 0.5)


def number(amount: Thousandths) -> float:
    """A fixed-point scalar as JSON carries it."""
    whole, rest = divmod(abs(amount), 1000)
    value = whole + rest / 1000.0
    return value if amount >= 0 else -value


def number_text(amount: Thousandths) -> str:
    """A scalar as messages print it: `2`, `0.1`, `1024`."""
    return f"{number(amount):.15g}"


# --- ranges ------------------------------------------------------------------------------------------------------


def merged(parts: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted, with overlapping and adjacent parts joined."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(parts):
        if joined and begin <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((begin, end))
    return Ranges(tuple(joined))


def _cut(ranges: Ranges, taken: Ranges) -> Ranges:
    left: list[tuple[int, int]] = []
    for begin, end in ranges.parts:
        at = begin
        for taken_begin, taken_end in taken.parts:
            if taken_end < at or taken_begin > end:
                continue
            if taken_begin > at:
                left.append((at, taken_begin - 1))
            at = taken_end + 1
        if at <= end:
            left.append((at, end))
    return Ranges(tuple(left))


def _inside(wanted: Ranges, ranges: Ranges) -> bool:
    return all(any(begin <= low and high <= end for begin, end in ranges.parts) for low, high in wanted.parts)


def ranges_text(parts: Iterable[tuple[int, int]]) -> str:
    """`[31000-31099, 32000-32000]`."""
    return "[" + ", ".join(f"{begin}-{end}" for begin, end in parts) + "]"


def items_text(names: Iterable[str]) -> str:
    """`{a, b}`."""
    return "{" + ", ".join(names) + "}"


# --- any amount --------------------------------------------------------------------------------------------------


def plus(left: Amount, right: Amount) -> Amount:
    """The sum of two amounts of one type."""
    if isinstance(left, int) and isinstance(right, int):
        return left + right
    if isinstance(left, Ranges) and isinstance(right, Ranges):
        return merged(left.parts + right.parts)
    assert isinstance(left, Items)
    assert isinstance(right, Items)
    return Items(tuple(dict.fromkeys(left.names + right.names)))


def minus(left: Amount, right: Amount) -> Amount:
    """What is left; a scalar may become negative, ranges and sets lose what they have in common."""
    if isinstance(left, int) and isinstance(right, int):
        return left - right
    if isinstance(left, Ranges) and isinstance(right, Ranges):
        return _cut(left, right)
    assert isinstance(left, Items)
    assert isinstance(right, Items)
    return Items(tuple(name for name in left.names if name not in right.names))


def covers(amount: Amount, wanted: Amount) -> bool:
    """Whether `amount` contains `wanted`."""
    if isinstance(amount, int) and isinstance(wanted, int):
        return wanted <= amount
    if isinstance(amount, Ranges) and isinstance(wanted, Ranges):
        return _inside(wanted, amount)
    assert isinstance(amount, Items)
    assert isinstance(wanted, Items)
    return set(wanted.names) <= set(amount.names)


def amount_text(amount: Amount) -> str:
    """Any amount as messages print it."""
    return number_text(amount) if isinstance(amount, int) else str(amount)
