"""A job's placement constraints against one agent, given where its other workers are.

A constraint that is a rule vetoes; one that is a wish (`weight`) counts in the ranking.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from headgate.model.job import Operator, Placement
from headgate.model.waiting import Veto, VetoKind

Tally = Mapping[str, Counter[str]]
"""By attribute: how many of the job's workers are on agents of each value."""


def tally(placement: Sequence[Placement], places: Sequence[Mapping[str, str]]) -> dict[str, Counter[str]]:
    """The tally of workers on agents with these values of attributes."""
    return {
        each.attribute: Counter(values[each.attribute] for values in places if each.attribute in values)
        for each in placement
    }


def placement_veto(each: Placement, value: str | None, counts: Counter[str], groups: frozenset[str]) -> Veto | None:
    """Why an agent whose attribute has this value does not satisfy the constraint; None: it does.

    `groups` are the values known to exist in the cluster.  Marathon's meaning of the operators, but that group_by
    looks at all known agents, not only at those offered now.
    """
    problem = _problem(each, value, counts, groups)
    if problem is None:
        return None
    return Veto(
        kind=VetoKind.PLACEMENT,
        text=f"{each.attribute} {each.operator.value}: {problem}",
        remedy=f"without constraint {each.attribute} {each.operator.value}",
    )


def _problem(each: Placement, value: str | None, counts: Counter[str], groups: frozenset[str]) -> str | None:
    if value is None:
        # Marathon: an agent without the attribute satisfies UNLIKE, and nothing else.
        return None if each.operator is Operator.UNLIKE else "the agent has no such attribute"
    match each.operator:
        case Operator.UNIQUE:
            return f"{value} has a worker already" if counts[value] else None
        case Operator.MAX_PER:
            return f"{value} has {counts[value]} already" if counts[value] >= int(each.value or 1) else None
        case Operator.GROUP_BY:
            return _group_problem(each, value, counts, groups)
        case Operator.CLUSTER:
            home = each.value or next(iter(sorted(counts)), None)
            return f"{value} is not {home}" if home is not None and value != home else None
        case Operator.IS:
            return f"{value} is not {each.value}" if value != each.value else None
        case Operator.LIKE:
            return f"{value} is not like {each.value}" if not _matches(each.value or "", value) else None
        case Operator.UNLIKE:
            return f"{value} is like {each.value}" if _matches(each.value or "", value) else None


def _group_problem(each: Placement, value: str, counts: Counter[str], groups: frozenset[str]) -> str | None:
    known = groups | set(counts)
    expected = int(each.value) if each.value else 0
    least = 0 if len(known) < expected else min((counts[group] for group in known), default=0)
    if counts[value] <= least or (len(known) < expected and counts[value] == 0):
        return None
    return f"{value} has {counts[value]}, others have {least}"


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _matches(pattern: str, value: str) -> bool:
    return _pattern(pattern).fullmatch(value) is not None
