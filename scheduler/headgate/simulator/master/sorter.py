"""Dominant resource fairness: who is to be offered next.

Clients are roles (`eng/web` below `eng`) or the frameworks of one role.  A client's share is the largest fraction of
any scalar that it holds, divided by its weight; the smallest share comes first, then the fewest allocations ever
made, then the name.  In a hierarchy siblings are compared with each other only, each with all that is below it.

Source: Mesos's DRFSorter; the order of ties is part of what frameworks see.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headgate.simulator.master.quantities import Quantities, add_to
from headgate.simulator.resources import Thousandths


@dataclass(slots=True)
class _Holding:
    amounts: Quantities = field(default_factory=dict)
    allocations: int = 0


@dataclass(slots=True)
class _Node:
    path: str
    parent: _Node | None
    children: dict[str, _Node] = field(default_factory=dict)
    is_client: bool = False
    is_active: bool = False
    own: _Holding = field(default_factory=_Holding)
    whole: _Holding = field(default_factory=_Holding)


class Sorter:
    """Clients with what they hold.  `totals` and `weights` are the caller's, looked at when sorting."""

    def __init__(self, totals: Mapping[str, Thousandths], weights: Mapping[str, float]) -> None:
        self._totals = totals
        self._weights = weights
        self._root = _Node("", None)
        self._clients: dict[str, _Node] = {}
        self._sorted: list[str] | None = None

    def __contains__(self, client: str) -> bool:
        return client in self._clients

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: str) -> None:
        """A new client, inactive and holding nothing."""
        assert client not in self._clients, client
        node = self._root
        for part in client.split("/"):
            if part not in node.children:
                path = f"{node.path}/{part}" if node.path else part
                node.children[part] = _Node(path, node)
            node = node.children[part]
        node.is_client = True
        self._clients[client] = node
        self._sorted = None

    def remove(self, client: str) -> None:
        """Forget a client and what it holds."""
        node = self._clients.pop(client)
        held = node.own
        above: _Node | None = node
        while above is not None:
            add_to(above.whole.amounts, held.amounts, -1)
            above = above.parent
        node.is_client = node.is_active = False
        node.own = _Holding()
        while node.parent is not None and not node.children and not node.is_client:
            del node.parent.children[node.path.rsplit("/", 1)[-1]]
            node = node.parent
        self._sorted = None

    def activate(self, client: str) -> None:
        """Let it be sorted."""
        self._clients[client].is_active = True
        self._sorted = None

    def deactivate(self, client: str) -> None:
        """Leave it out of the order; what it holds still counts."""
        self._clients[client].is_active = False
        self._sorted = None

    def allocated(self, client: str, amounts: Mapping[str, Thousandths]) -> None:
        """It holds more."""
        self._change(client, amounts, 1)

    def unallocated(self, client: str, amounts: Mapping[str, Thousandths]) -> None:
        """It holds less."""
        self._change(client, amounts, -1)

    def holding(self, client: str) -> Quantities:
        """What a client itself holds."""
        return self._clients[client].own.amounts

    def holds_anything(self, client: str) -> bool:
        """Whether a client holds any scalar."""
        return any(self._clients[client].own.amounts.values())

    def total_holding(self) -> Quantities:
        """What all clients hold."""
        return self._root.whole.amounts

    def changed(self) -> None:
        """Totals or weights have changed."""
        self._sorted = None

    def sort(self) -> list[str]:
        """The active clients, the one to be served first first."""
        if self._sorted is None:
            self._sorted = []
            self._list(self._root, self._sorted)
        return self._sorted

    def _change(self, client: str, amounts: Mapping[str, Thousandths], sign: int) -> None:
        node = self._clients[client]
        made = 1 if sign > 0 else 0
        add_to(node.own.amounts, amounts, sign)
        node.own.allocations += made
        above: _Node | None = node
        while above is not None:
            add_to(above.whole.amounts, amounts, sign)
            above.whole.allocations += made
            above = above.parent
        self._sorted = None

    def _list(self, node: _Node, result: list[str]) -> None:
        entries: list[tuple[float, int, str, _Node, bool]] = []
        if node.is_client and node.is_active:
            # A client with clients below it competes with them as a leaf of its own, of weight 1.
            entries.append((self._share(node.own, 1.0), node.own.allocations, f"{node.path}/.", node, True))
        for child in node.children.values():
            if child.children:
                entries.append((*self._rank(child), child, False))
            elif child.is_active:
                entries.append((*self._rank(child), child, True))
        entries.sort(key=lambda entry: entry[:3])
        for *_, entry, is_leaf in entries:
            if is_leaf:
                result.append(entry.path)
            else:
                self._list(entry, result)

    def _rank(self, node: _Node) -> tuple[float, int, str]:
        share = self._share(node.whole, self._weights.get(node.path, 1.0))
        return share, node.whole.allocations, node.path

    def _share(self, holding: _Holding, weight: float) -> float:
        fractions = (holding.amounts.get(name, 0) / total for name, total in self._totals.items() if total > 0)
        return max(fractions, default=0.0) / weight
