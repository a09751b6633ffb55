"""A job's placement constraints against one agent, given where its other workers are.

A constraint that is a rule vetoes; one that is a wish (`weight`) counts in the ranking.  This is the meaning of each
operator, one value at a time; `placing.columns` applies it to all agents at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from headgate.core.attributes import equals, matches, value_text
from headgate.model.job import Operator, Placement
from headgate.model.offer import AttributeValue
from headgate.model.waiting import Veto, VetoKind

Tally = Mapping[str, Counter[str]]
"""By attribute: how many of the job's workers are on agents of each value."""

COUNTING: Final = frozenset({Operator.UNIQUE, Operator.MAX_PER, Operator.GROUP_BY})
"""Operators that look at where the job's other workers are; so does `cluster` without a value."""


def is_static(each: Placement) -> bool:
    """Whether the constraint looks at the agent alone, not at where the job's other workers are."""
    return each.operator not in COUNTING and not (each.operator is Operator.CLUSTER and each.value is None)


def label(each: Placement) -> str:
    """The constraint in words: `rack group_by`, `zone is eu-1`."""
    return " ".join(part for part in (each.attribute, each.operator.value, each.value) if part)


def tally(placement: Sequence[Placement], places: Sequence[Mapping[str, str]]) -> dict[str, Counter[str]]:
    """The tally of workers on agents with these values of attributes."""
    return {
        each.attribute: Counter(values[each.attribute] for values in places if each.attribute in values)
        for each in placement
    }


def placement_veto(
    each: Placement, value: AttributeValue | None, counts: Counter[str], groups: frozenset[str]
) -> Veto | None:
    """Why an agent whose attribute has this value does not satisfy the constraint; None: it does.

    `groups` are the values known to exist in the cluster on agents that the job could use.  Marathon's meaning of the
    operators, but that group_by looks at all known agents, not only at those offered now.
    """
    problem = _problem(each, value, counts, groups)
    if problem is None:
        return None
    text = f"{each.attribute} {each.operator.value}: {problem}"
    return Veto(kind=VetoKind.PLACEMENT, text=text, remedy=without(each))


def without(each: Placement) -> str:
    """What would make an agent fit that the constraint alone vetoes."""
    return f"without constraint {each.attribute} {each.operator.value}"


def _problem(each: Placement, value: AttributeValue | None, counts: Counter[str], groups: frozenset[str]) -> str | None:
    if value is None:
        # Marathon: an agent without the attribute satisfies UNLIKE, and nothing else.
        return None if each.operator is Operator.UNLIKE else "the agent has no such attribute"
    text, wanted = value_text(value), each.value or ""
    match each.operator:
        case Operator.UNIQUE:
            return f"{text} has a worker already" if counts[text] else None
        case Operator.MAX_PER:
            return f"{text} has {counts[text]} already" if counts[text] >= int(each.value or 1) else None
        case Operator.GROUP_BY:
            return _group_problem(each, text, counts, groups)
        case Operator.CLUSTER:
            home = find_home(counts)
            if each.value is not None:
                return None if equals(value, wanted) else f"{text} is not {wanted}"
            return f"{text} is not {home}" if home is not None and text != home else None
        case Operator.IS:
            return None if equals(value, wanted) else f"{text} is not {wanted}"
        case Operator.LIKE:
            return None if matches(value, wanted) else f"{text} is not like {wanted}"
        case Operator.UNLIKE:
            return f"{text} is like {wanted}" if matches(value, wanted) else None


def find_home(counts: Counter[str]) -> str | None:
    """Where a cluster without a value is: with the workers there are; None: anywhere yet."""
    return min((text for text, count in counts.items() if count > 0), default=None)


def _group_problem(each: Placement, text: str, counts: Counter[str], groups: frozenset[str]) -> str | None:
    known = groups | {group for group, count in counts.items() if count > 0}
    expected = int(each.value) if each.value else 0
    # Groups that are expected and not seen yet have no worker.
    least = 0 if len(known) < expected else min((counts[group] for group in known), default=0)
    return None if counts[text] <= least else f"{text} has {counts[text]}, others have {least}"
