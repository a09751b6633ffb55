"""Amounts of scalars by name, without reservations: what quota, shares and thresholds are counted in.

A quantity that is not positive is not there.  Amounts are thousandths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from headgate.simulator.resources import Items, Ranges, Resources, Thousandths, number, number_text, thousandths

Quantities: TypeAlias = dict[str, Thousandths]


def plus(left: Mapping[str, Thousandths], right: Mapping[str, Thousandths]) -> Quantities:
    """The sum."""
    total = dict(left)
    for name, amount in right.items():
        total[name] = total.get(name, 0) + amount
    return total


def minus(left: Mapping[str, Thousandths], right: Mapping[str, Thousandths]) -> Quantities:
    """What is left; nothing falls below zero."""
    rest = {name: amount - right.get(name, 0) for name, amount in left.items()}
    return {name: amount for name, amount in rest.items() if amount > 0}


def add_to(total: Quantities, more: Mapping[str, Thousandths], sign: int = 1) -> None:
    """Add (or, with sign −1, take away) in place."""
    for name, amount in more.items():
        total[name] = total.get(name, 0) + sign * amount


def contains(left: Mapping[str, Thousandths], right: Mapping[str, Thousandths]) -> bool:
    """Whether there is at least as much of everything."""
    return all(left.get(name, 0) >= amount for name, amount in right.items())


def of_json(amounts: Mapping[str, Mapping[str, float]]) -> Quantities:
    """From `{"cpus": {"value": 2}}`; zeros are kept, because a limit of zero means something."""
    return {name: thousandths(amount["value"]) for name, amount in amounts.items()}


def json(amounts: Mapping[str, Thousandths]) -> dict[str, dict[str, float]]:
    """To `{"cpus": {"value": 2.0}}`."""
    return {name: {"value": number(amount)} for name, amount in amounts.items()}


def text(amounts: Mapping[str, Thousandths]) -> str:
    """`cpus:0.4; mem:256`, by name; `{}` when empty."""
    return "; ".join(f"{name}:{number_text(amounts[name])}" for name in sorted(amounts)) or "{}"


def of_pool(resources: Resources) -> Quantities:
    """How much of everything there is; ports and set items count as one each."""
    held: Quantities = resources.scalars()
    for kind, amount in resources:
        if isinstance(amount, Ranges):
            add_to(held, {kind.name: 1000 * sum(end - begin + 1 for begin, end in amount.parts)})
        elif isinstance(amount, Items):
            add_to(held, {kind.name: 1000 * len(amount.names)})
    return held


def satisfies(resources: Resources, alternatives: Iterable[Mapping[str, Thousandths]]) -> bool:
    """Whether a pool holds at least one of the alternatives."""
    held = of_pool(resources)
    return any(contains(held, wanted) for wanted in alternatives)


def shrunk_to(resources: Resources, target: Mapping[str, Thousandths]) -> Resources:
    """At most `target` of each scalar; kinds it does not name are dropped.  Indivisible pieces fit whole or not."""
    return _shrunk(resources, dict(target), keep_unnamed=False)


def within_limits(resources: Resources, limits: Mapping[str, Thousandths]) -> Resources:
    """At most `limits` of the scalars it names; the others whole."""
    return _shrunk(resources, dict(limits), keep_unnamed=True)


def _shrunk(resources: Resources, left: Quantities, *, keep_unnamed: bool) -> Resources:
    kept = {}
    for kind, amount in resources:
        if kind.name not in left:
            if keep_unnamed:
                kept[kind] = amount
            continue
        assert isinstance(amount, int)
        if kind.size is None:
            taken = min(amount, left[kind.name])
            left[kind.name] -= taken
        else:
            assert isinstance(kind.size, int)
            taken = amount if amount * kind.size <= left[kind.name] else 0
            left[kind.name] -= taken * kind.size
        kept[kind] = taken
    return Resources(kept)
