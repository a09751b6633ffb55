"""`Resources`: an immutable collection of resources with Mesos's arithmetic.

Resources of one kind are merged on the way in; empty ones are dropped.  `a - b` of what `a` does not contain leaves
no negative amounts behind, so the difference of two observations of a cluster is always something it may have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from headgate.simulator.messages import Json
from headgate.simulator.resources import roles
from headgate.simulator.resources.kind import Form, Kind, kind_and_amount
from headgate.simulator.resources.values import Amount, Ranges, Thousandths, covers, minus, number, plus


class Resources:
    """Amounts by kind.  Equality ignores order."""

    __slots__ = ("_amounts",)

    def __init__(self, amounts: Mapping[Kind, Amount] | None = None) -> None:
        self._amounts: dict[Kind, Amount] = {
            kind: amount for kind, amount in (amounts or {}).items() if _is_some(amount)
        }

    @classmethod
    def of(cls, resources: Iterable[Json]) -> Resources:
        """From valid Resource messages in either form; they may repeat a kind."""
        amounts: dict[Kind, Amount] = {}
        for resource in resources:
            kind, amount = kind_and_amount(resource)
            amounts[kind] = plus(amounts[kind], amount) if kind in amounts else amount
        return cls(amounts)

    @classmethod
    def total(cls, pools: Iterable[Resources]) -> Resources:
        """The sum of many."""
        amounts: dict[Kind, Amount] = {}
        for pool in pools:
            for kind, amount in pool._amounts.items():
                amounts[kind] = plus(amounts[kind], amount) if kind in amounts else amount
        return cls(amounts)

    # --- arithmetic ----------------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        return bool(self._amounts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resources) and self._amounts == other._amounts

    def __hash__(self) -> int:
        return hash(frozenset(self._amounts.items()))

    def __iter__(self) -> Iterator[tuple[Kind, Amount]]:
        return iter(self._amounts.items())

    def __len__(self) -> int:
        return len(self._amounts)

    def __add__(self, other: Resources) -> Resources:
        if not other._amounts:
            return self
        if not self._amounts:
            return other
        return Resources.total((self, other))

    def __sub__(self, other: Resources) -> Resources:
        if not other._amounts or not self._amounts:
            return self
        amounts = dict(self._amounts)
        for kind, amount in other._amounts.items():
            if kind in amounts:
                amounts[kind] = minus(amounts[kind], amount)
        return Resources(amounts)

    def contains(self, other: Resources) -> bool:
        """Whether all of `other` is in here."""
        return all(kind in self._amounts and covers(self._amounts[kind], amount) for kind, amount in other)

    # --- views ---------------------------------------------------------------------------------------------------

    def filter(self, wanted: Callable[[Kind], bool]) -> Resources:
        """Only the kinds for which `wanted` holds."""
        return Resources({kind: amount for kind, amount in self if wanted(kind)})

    def mapped(self, change: Callable[[Kind], Kind]) -> Resources:
        """Every kind replaced; those that become equal are merged."""
        amounts: dict[Kind, Amount] = {}
        for old, amount in self:
            kind = change(old)
            amounts[kind] = plus(amounts[kind], amount) if kind in amounts else amount
        return Resources(amounts)

    def allocated(self, role: str | None) -> Resources:
        """The same, allocated to a role (None: to nobody)."""
        return self.mapped(lambda kind: kind.allocated(role))

    def unreserved(self) -> Resources:
        """Those without reservation."""
        return self.filter(lambda kind: not kind.reservations)

    def to_unreserved(self) -> Resources:
        """All of them, reservations stripped."""
        return self.mapped(lambda kind: kind.reserved(()))

    def reservations(self) -> dict[str, Resources]:
        """Reserved ones by role."""
        found: dict[str, dict[Kind, Amount]] = {}
        for kind, amount in self:
            if kind.reservations:
                found.setdefault(kind.reserved_role, {})[kind] = amount
        return {role: Resources(amounts) for role, amounts in found.items()}

    def allocatable_to(self, role: str) -> Resources:
        """What may be offered to a role: unreserved, or reserved to it or to a role above it."""
        return self.filter(lambda kind: not kind.reservations or roles.covers(kind.reserved_role, role))

    def volumes(self) -> Resources:
        """The persistent volumes."""
        return self.filter(lambda kind: kind.is_volume)

    def scalars(self) -> dict[str, Thousandths]:
        """The sum of each scalar by name, whatever its reservation."""
        sums: dict[str, Thousandths] = {}
        for kind, amount in self:
            if kind.type == "SCALAR":
                value = _scalar(kind, amount)
                sums[kind.name] = sums.get(kind.name, 0) + value
        return sums

    def scalar(self, name: str) -> float:
        """The sum of one scalar; 0.0 if there is none."""
        return number(self.scalars().get(name, 0))

    def ranges(self, name: str) -> Ranges:
        """The union of one kind of ranges."""
        found: Amount = Ranges()
        for kind, amount in self:
            if kind.name == name and isinstance(amount, Ranges):
                found = plus(found, amount)
        assert isinstance(found, Ranges)
        return found

    def names(self) -> list[str]:
        """Each name once, in order."""
        return list(dict.fromkeys(kind.name for kind, _ in self))

    # --- forms ---------------------------------------------------------------------------------------------------

    def json(self, form: Form = Form.STACK) -> list[Json]:
        """Resource messages; a shared or indivisible piece that is held n times appears n times."""
        messages: list[Json] = []
        for kind, amount in self:
            pieces = amount if kind.size is not None else 1
            assert isinstance(pieces, int)
            messages += [kind.json(amount, form) for _ in range(pieces)]
        return messages

    def text(self) -> str:
        """As messages print it: `cpus(allocated: *):2; mem(allocated: *):64`; `{}` when empty."""
        return "; ".join(kind.text(amount) + (f"<{amount}>" if kind.shared else "") for kind, amount in self) or "{}"

    def __repr__(self) -> str:
        return f"Resources({self.text()})"


def _scalar(kind: Kind, amount: Amount) -> Thousandths:
    assert isinstance(amount, int)
    if kind.size is None:
        return amount
    assert isinstance(kind.size, int)
    return amount * kind.size


def _is_some(amount: Amount) -> bool:
    return amount > 0 if isinstance(amount, int) else bool(amount)


EMPTY = Resources()
