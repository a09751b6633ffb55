"""Regular expressions of job files: those the master has too, and none that runs away."""

from __future__ import annotations

import pytest

from headgate.core.patterns import pattern_problem


@pytest.mark.parametrize(
    "pattern",
    [
        "r[0-9]+",
        "(eu|us)-[0-9]{1,3}",
        "(?:a|b)c*",
        "(ab)+",
        r"\(a+\)+",
        "[(*+|)]+",
        "[]a)]*",
        ".*-rack-.*",
        "(?P<zone>eu)-1",
        "",
        "(a|b)?",
    ],
)
def test_what_is_allowed(pattern: str) -> None:
    """Ordinary patterns, and brackets that look like more than they are."""
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(a+)+", "repeats what is itself"),
        ("((a+))*", "repeats what is itself"),
        ("(?:a|aa)+b", "repeats what is itself"),
        ("((a|b)c){2,}", "repeats what is itself"),
        ("(x(y|z)?)*", "repeats what is itself"),
        (".*a.*b.*c.*d.*", "5 repetitions without end"),
        ("r(?=1)", "uses (?=,"),
        (r"(a)\1", r"uses \1,"),
        ("(", "is not a regular expression"),
        ("a" * 300, "of 300 characters"),
    ],
)
def test_what_is_refused(pattern: str, part: str) -> None:
    """With the reason."""
    problem = pattern_problem(pattern)
    assert problem is not None
    assert part in problem
