"""One attribute of all agents, as codes of its distinct values: what costs something is done once per value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from headgate.core.attributes import value_text
from headgate.core.placement import find_home, is_static, placement_veto
from headgate.model.job import Operator, Placement
from headgate.model.offer import AttributeValue

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp] | slice


class Column:
    """`values` are the distinct ones; an agent without the attribute has the code after the last.  Never changed."""

    def __init__(self, of_rows: Sequence[AttributeValue | None]) -> None:
        known: dict[AttributeValue, int] = {}
        found = [-1 if value is None else known.setdefault(value, len(known)) for value in of_rows]
        self.values: tuple[AttributeValue, ...] = tuple(known)
        self.codes: Codes = np.array(found, dtype=np.int32)
        self.codes[self.codes < 0] = len(known)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The values as text.  Groups are told apart by it."""
        return tuple(value_text(value) for value in self.values)

    @property
    def is_text(self) -> bool:
        """Whether every value is a text."""
        return all(isinstance(value, str) for value in self.values)

    def as_texts(self) -> Column:
        """The same rows with the values' texts for values."""
        texts: list[str | None] = [*self.texts, None]
        return Column([texts[code] for code in self.codes.tolist()])

    @cached_property
    def code_of(self) -> dict[AttributeValue, int]:
        """The code of each value."""
        return {value: code for code, value in enumerate(self.values)}

    def rows_of(self, codes: Codes) -> npt.NDArray[np.intp]:
        """The rows that have one of these values."""
        order, begins = self._by_code
        return np.concatenate([order[begins[code] : begins[code + 1]] for code in codes.tolist()])

    @cached_property
    def _by_code(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        order = np.argsort(self.codes, kind="stable")
        return order, np.searchsorted(self.codes[order], np.arange(len(self.values) + 2))

    def satisfying(self, rule: Placement) -> Bools:
        """Rows that satisfy a constraint which looks at the agent alone."""
        assert is_static(rule), rule
        return self.spread(
            np.array([placement_veto(rule, value, _NONE, _NOWHERE) is None for value in self.values], dtype=np.bool_),
            missing=rule.operator is Operator.UNLIKE,
        )

    def spread(self, by_code: Bools, *, missing: bool) -> Bools:
        """An answer per value → an answer per row."""
        found: Bools = np.append(by_code, missing)[self.codes]
        return found

    def present(self, rows: Bools) -> frozenset[str]:
        """The texts of these rows."""
        seen = np.zeros(len(self.values) + 1, dtype=np.bool_)
        seen[self.codes[rows]] = True
        return frozenset(self.texts[code] for code in np.flatnonzero(seen[:-1]).tolist())


class CountingRule:
    """A constraint that looks at where the job's other workers are, and their count by value.

    `column` is of texts, since workers are counted by text.  `groups` are the values that group_by has to fill; see
    `placement.placement_veto`.
    """

    def __init__(self, rule: Placement, column: Column, counts: Counter[str], groups: frozenset[str]) -> None:
        assert not is_static(rule), rule
        self.rule = rule
        self.column = column
        self._counts: Counts = np.zeros(len(column.values), dtype=np.int64)
        self._elsewhere = Counter({text: count for text, count in counts.items() if count > 0})
        for text in [text for text in self._elsewhere if text in column.code_of]:
            self._counts[column.code_of[text]] = self._elsewhere.pop(text)
        self._expected: Bools = np.zeros(len(column.values), dtype=np.bool_)
        self._unseen = 0
        if rule.operator is Operator.GROUP_BY:
            inside = [column.code_of[text] for text in groups if text in column.code_of]
            self._expected[inside] = True
            self._unseen = len([text for text in groups if text not in column.code_of and text not in self._elsewhere])
        self._by_code: Bools = self._satisfying()

    def add(self, text: str) -> Codes:
        """One worker more on agents of that value; the codes whose answer has changed by it."""
        self._counts[self.column.code_of[text]] += 1
        before, self._by_code = self._by_code, self._satisfying()
        changed: Codes = np.flatnonzero(before != self._by_code).astype(np.int32)
        return changed

    def at(self, rows: Rows) -> Bools:
        """Which of these rows satisfy the constraint now."""
        found: Bools = self._by_code[self.column.codes[rows]]
        return found

    def _satisfying(self) -> Bools:
        """By code; an agent without the attribute satisfies none of these."""
        match self.rule.operator:
            case Operator.UNIQUE:
                found = self._counts == 0
            case Operator.MAX_PER:
                found = self._counts < int(self.rule.value or 1)
            case Operator.GROUP_BY:
                found = self._counts <= self._least()
            case _:
                found = self._at_home()
        return np.append(found, False)

    def _least(self) -> int:
        """The count of the emptiest group; one that is expected and not seen yet is empty."""
        known = self._expected | (self._counts > 0)
        groups = int(np.count_nonzero(known)) + self._unseen + len(self._elsewhere)
        if self._unseen or not groups or groups < int(self.rule.value or 0):
            return 0
        return min([*self._elsewhere.values(), *([int(self._counts[known].min())] if known.any() else [])])

    def _at_home(self) -> Bools:
        there = Counter({self.column.texts[code]: 1 for code in np.flatnonzero(self._counts).tolist()})
        home = find_home(there + self._elsewhere)
        found = np.full(len(self.column.values), home is None, dtype=np.bool_)
        if home in self.column.code_of:
            found[self.column.code_of[home]] = True
        return found


_NONE: Counter[str] = Counter()
_NOWHERE: frozenset[str] = frozenset()
