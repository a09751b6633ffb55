"""Offer constraints: which agents a framework's role wants offers of.

Groups of a role are alternatives; all constraints of a group must hold.  Source: Mesos's offer_constraints_filter.cpp,
whose error texts (missing blanks included) these are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from headgate.simulator.messages import Json

Attribute: TypeAlias = "str | Json | None"
Test: TypeAlias = Callable[[Json], bool]
"""Judges an AgentInfo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """The constraints cannot be used; `reason` is Mesos's text."""

    reason: str


@dataclass(frozen=True, slots=True)
class Constraints:
    """Compiled constraints, by role: alternatives of conjunctions."""

    groups: Mapping[str, tuple[tuple[Test, ...], ...]] = field(default_factory=dict)

    def excludes(self, role: str, agent_info: Json) -> bool:
        """Whether the role does not want this agent."""
        groups = self.groups.get(role)
        return groups is not None and not any(all(test(agent_info) for test in group) for group in groups)


def compiled(constraints: Json) -> Constraints | Invalid:
    """From an OfferConstraints message."""
    by_role: dict[str, tuple[tuple[Test, ...], ...]] = {}
    for role, wanted in constraints.get("role_constraints", {}).items():
        if not wanted.get("groups"):
            return Invalid(
                reason=f"'OfferConstraints::role_constraints' has an empty 'RoleConstraints::groups' for role {role}"
            )
        groups: list[tuple[Test, ...]] = []
        for group in wanted["groups"]:
            if not group.get("attribute_constraints"):
                return Invalid(
                    reason=f"'OfferConstraints::RoleConstraints::groups' for role {role}"
                    "contains an empty RoleConstraints::Group"
                )
            tests: list[Test] = []
            for constraint in group["attribute_constraints"]:
                test = _test(constraint)
                if isinstance(test, Invalid):
                    return Invalid(reason=f"A role {role} has an invalid 'AttributeConstraint': {test.reason}")
                tests.append(test)
            groups.append(tuple(tests))
        by_role[role] = tuple(groups)
    return Constraints(by_role)


def _test(constraint: Json) -> Test | Invalid:
    find = _selector(constraint.get("selector", {}))
    if isinstance(find, Invalid):
        return find
    holds = _predicate(constraint.get("predicate", {}))
    if isinstance(holds, Invalid):
        return holds
    # Bound as defaults: the checks above narrowed the types of these very values.
    return lambda agent_info, find=find, holds=holds: holds(find(agent_info))  # type: ignore[misc]


def _selector(selector: Json) -> Callable[[Json], Attribute] | Invalid:
    if "attribute_name" in selector:
        name = selector["attribute_name"]
        return lambda info: next((item for item in info.get("attributes", ()) if item["name"] == name), None)
    if "pseudoattribute_type" not in selector:
        return Invalid(
            reason="Exactly one of 'AttributeConstraint::Selector::name' or"
            " 'AttributeConstraint::Selector::pseudoattribute_type' must be set"
        )
    kind = selector["pseudoattribute_type"]
    if kind == "HOSTNAME":
        return lambda info: str(info["hostname"])
    if kind in ("REGION", "ZONE"):
        return lambda info: _fault_domain(info, kind.lower())
    return Invalid(reason="Unknown pseudoattribute type")


def _fault_domain(info: Json, level: str) -> str | None:
    domain: Any = info.get("domain", {}).get("fault_domain")
    return None if domain is None else str(domain[level]["name"])


def _predicate(predicate: Json) -> Callable[[Attribute], bool] | Invalid:
    if "exists" in predicate:
        return lambda attribute: attribute is not None
    if "not_exists" in predicate:
        return lambda attribute: attribute is None
    for kind, wanted in (("text_equals", True), ("text_not_equals", False)):
        if kind in predicate:
            value = predicate[kind].get("value", "")
            return _on_text(lambda text, value=value: text == value, wanted=wanted)  # type: ignore[misc]
    for kind, wanted in (("text_matches", True), ("text_not_matches", False)):
        if kind in predicate:
            pattern = _regex(predicate[kind].get("regex", ""))
            if isinstance(pattern, Invalid):
                return pattern
            matches = pattern.fullmatch
            return _on_text(lambda text, matches=matches: matches(text) is not None, wanted=wanted)  # type: ignore[misc]
    return Invalid(reason="Unknown predicate type")


def _on_text(holds: Callable[[str], bool], *, wanted: bool) -> Callable[[Attribute], bool]:
    """Texts are compared; attributes that are no text satisfy both forms, absent ones the negated form only."""

    def judge(attribute: Attribute) -> bool:
        if attribute is None:
            return not wanted
        if isinstance(attribute, str):
            return holds(attribute) is wanted
        return attribute["type"] != "TEXT" or holds(attribute["text"]["value"]) is wanted

    return judge


_NOT_IN_RE2 = (
    (re.compile(r"\(\?(?:[=!]|<[=!]|\(|>)"), "invalid perl operator: "),
    (re.compile(r"(?<!\\)(?:\\\\)*\\[1-9]"), "invalid escape sequence: "),
)


def _regex(pattern: str) -> re.Pattern[str] | Invalid:
    """Mesos uses RE2; what Python would take beyond it is refused as RE2 refuses it."""
    for unsupported, complaint in _NOT_IN_RE2:
        found = unsupported.search(pattern)
        if found is not None:
            return Invalid(reason=f"Failed to construct regex from pattern '{pattern}': {complaint}{found[0]}")
    try:
        return re.compile(pattern)
    except re.error as problem:
        return Invalid(reason=f"Failed to construct regex from pattern '{pattern}': {_as_re2_says(problem, pattern)}")


def _as_re2_says(problem: re.error, pattern: str) -> str:
    at = problem.pos or 0
    if problem.msg.startswith("unterminated character set"):
        return f"missing ]: {pattern[at:]}"
    if problem.msg.startswith("missing )"):
        return f"missing ): {pattern}"
    if problem.msg.startswith("unbalanced parenthesis"):
        return f"unexpected ): {pattern}"
    if problem.msg.startswith("nothing to repeat"):
        return f"no argument for repetition operator: {pattern[at : at + 1]}"
    if problem.msg.startswith("multiple repeat"):
        return f"bad repetition operator: {pattern[max(0, at - 1) : at + 1]}"
    if problem.msg.startswith("bad escape (end of pattern)"):
        return "trailing \\"
    return problem.msg
