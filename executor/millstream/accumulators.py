"""Named counters that a program may add to from its own Python.

They live in the shard's checkpoint: what a failed or repeated attempt added does not count, and a restart loses
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Amounts = dict[str, int | float]

_collecting: ContextVar[Amounts | None] = ContextVar("collecting", default=None)


class Accumulator:
    """A counter of the whole job: `rejected = Accumulator("rejected")`, then `rejected.add(3)` in `map_batches`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def add(self, amount: int | float = 1) -> None:
        """Count.  Outside of a running program (a plain unit test of a function) it does nothing."""
        amounts = _collecting.get()
        if amounts is not None:
            amounts[self.name] = amounts.get(self.name, 0) + amount


@contextmanager
def collected() -> Iterator[Amounts]:
    """What accumulators add inside the block."""
    amounts: Amounts = {}
    token = _collecting.set(amounts)
    try:
        yield amounts
    finally:
        _collecting.reset(token)


def added(one: Amounts, other: Amounts) -> Amounts:
    """Both together."""
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}
