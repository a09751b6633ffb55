"""What an agent's attributes are worth to a constraint, kind by kind."""

from __future__ import annotations

import pytest

from headgate.core.attributes import equals, matches, value_text
from headgate.core.placing.columns import Column
from headgate.model.offer import AttributeValue
from headgate.model.resources import PortRange

SPAN = (PortRange(begin=1, end=3), PortRange(begin=7, end=7))


@pytest.mark.parametrize(
    ("value", "wanted", "expected"),
    [
        ("r1", "r1", True),
        ("r1", "r11", False),
        ("2", "2.0", False),
        (2.0, "2", True),
        (2.0, "2.000", True),
        (0.1 + 0.2, "0.3", True),
        (2.5, "2.501", False),
        (2.0, "two", False),
        (2.0, "nan", False),
        (float("inf"), "1", False),
        (float("nan"), "1", False),
        (SPAN, "1", True),
        (SPAN, "3", True),
        (SPAN, "4", False),
        (SPAN, "7", True),
        (SPAN, "1-3", False),
        (frozenset({"a", "b"}), "a", True),
        (frozenset({"a", "b"}), "{a,b}", False),
        (frozenset(), "a", False),
    ],
)
def test_is(value: AttributeValue, wanted: str, expected: bool) -> None:
    """Text: equal; scalar: equal as numbers; ranges and sets: contained."""
    assert equals(value, wanted) is expected


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        ("r12", "r[0-9]+", True),
        ("r12x", "r[0-9]+", False),
        (2.5, "2[.]5", True),
        (2.0, "2", True),
        (SPAN, ".*7-7.", True),
        (frozenset({"ssd", "gpu"}), "s.d", True),
        (frozenset({"ssd", "gpu"}), "ssd,gpu", False),
    ],
)
def test_like(value: AttributeValue, pattern: str, expected: bool) -> None:
    """The whole value matches; of a set, one of its items."""
    assert matches(value, pattern) is expected


def test_values_that_look_alike_are_one_group() -> None:
    """A text `2` and a number 2 differ to `is`, and are the same place to count workers at."""
    column = Column(["2", 2.0, None, "3", frozenset({"b", "a"})])
    assert len(column.values) == 4
    texts = column.as_texts()
    assert texts.values == ("2", "3", "{a,b}")
    assert texts.codes.tolist() == [0, 0, 3, 1, 2]
    assert [value_text(value) for value in column.values] == ["2", "2", "3", "{a,b}"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.0, "2"), (2.5, "2.5"), (0.1 + 0.2, "0.3"), (1_000_001.0, "1000001"), (4096.125, "4096.125"), (1e6, "1000000")],
)
def test_numbers_keep_all_their_digits(value: float, text: str) -> None:
    """To thousandths, as Mesos has them: two racks numbered in the millions are two."""
    assert value_text(value) == text
