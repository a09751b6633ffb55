"""Which agents the master need not offer: constraints that it checks itself, derived from what is pending.

Sound above all: an agent that a pending worker could use satisfies the constraints.  So only hard rules count, and of
these only what the master judges exactly as `core.placement` does; the rest is left to us, when the offer is here.
Where a worker's other workers are, and how agents have fared, is left out too: it changes while offers are on the way.

Source: Mesos, `docs/scheduler-http-api.md` (offer constraints, master 1.11) and `src/master/offer_constraints_filter`:
alternatives of conjunctions, RE2 for the patterns, attributes that are no text satisfy every text predicate.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from headgate.model.call import AttributeConstraint, OfferConstraints, Predicate, PseudoAttribute
from headgate.model.job import JobSpec, Operator, Placement

Group = tuple[AttributeConstraint, ...]

_PSEUDO: Final[Mapping[str, PseudoAttribute]] = {
    "hostname": PseudoAttribute.HOSTNAME,
    "@region": PseudoAttribute.REGION,
    "@zone": PseudoAttribute.ZONE,
}
PATTERN_MAX: Final = 40
"""The master refuses patterns that compile to more than 100 instructions."""
_ATOM: Final = r"(?:[A-Za-z0-9_/:@ -]|\\[.\-+*?()|{}\[\]\\]|\.|\[(?:[A-Za-z0-9]-[A-Za-z0-9]|[A-Za-z0-9_.])+-?\])"
_SHARED: Final = re.compile(rf"(?:{_ATOM}[*+?]?|\((?=[^?*+])|\)[*+?]?|\|)*")
"""What Python and RE2 read alike."""


def at_host(hostname: str) -> Group:
    """Only agents of that name."""
    return (_constraint(PseudoAttribute.HOSTNAME, Predicate.TEXT_EQUALS, hostname),)


def constraints_of(pending: Iterable[JobSpec], hosts: Mapping[str, Iterable[str]]) -> OfferConstraints:
    """By role, what agents must satisfy to be of any use; a role that is not named is not constrained.

    `pending` are the jobs with workers to start, `hosts` by role the names of agents with something of ours to return
    to, or to give back.
    """
    groups: dict[str, set[Group]] = {role: {at_host(name) for name in names} for role, names in hosts.items()}
    for spec in pending:
        groups.setdefault(spec.role, set()).add(_group(spec.placement))
    return {
        role: tuple(sorted(found, key=_order))
        for role, found in sorted(groups.items())
        # An empty conjunction holds everywhere, and the master would refuse it.
        if found and () not in found
    }


def _group(placement: Sequence[Placement]) -> Group:
    found = {constraint for each in placement if each.weight is None for constraint in _constraints(each)}
    return tuple(sorted(found, key=lambda each: _order((each,))))


def _constraints(each: Placement) -> Iterable[AttributeConstraint]:
    attribute = _PSEUDO.get(each.attribute, each.attribute)
    match each.operator:
        case Operator.IS | Operator.CLUSTER if each.value is not None:
            yield _constraint(attribute, Predicate.TEXT_EQUALS, each.value)
        case Operator.LIKE if each.value is not None and is_shared(each.value):
            yield _constraint(attribute, Predicate.TEXT_MATCHES, each.value)
        case Operator.UNLIKE:
            if each.value is not None and is_shared(each.value):
                yield _constraint(attribute, Predicate.TEXT_NOT_MATCHES, each.value)
        case _ if attribute is not PseudoAttribute.HOSTNAME:
            # Every other operator fails where there is no such attribute.
            yield _constraint(attribute, Predicate.EXISTS, None)


def is_shared(pattern: str) -> bool:
    """Whether the master's regular expressions and ours agree on what the pattern matches as a whole."""
    return len(pattern) <= PATTERN_MAX and _SHARED.fullmatch(pattern) is not None


def _constraint(attribute: str | PseudoAttribute, predicate: Predicate, value: str | None) -> AttributeConstraint:
    return AttributeConstraint(attribute=attribute, predicate=predicate, value=value)


def _order(group: Group) -> list[tuple[str, str, str]]:
    return [
        (
            each.attribute if isinstance(each.attribute, str) else f"@{each.attribute.value}",
            each.predicate.value,
            each.value or "",
        )
        for each in group
    ]
