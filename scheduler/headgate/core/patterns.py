"""Which regular expressions a job file may use: those that RE2, the master's, has too, and that cannot run away.

Ours are matched by Python's `re`, which tries: a repetition of what is itself a repetition or a choice may take time
exponential in the length of the value, and a scheduler has nobody to interrupt it.
"""

from __future__ import annotations

import re
from typing import Final

_LENGTH_MAX: Final = 256
_OPEN_ENDED_MAX: Final = 4
"""Repetitions without bound; so many in a row already try as many ways as a value has characters, to this power."""
_BEYOND_RE2: Final = re.compile(r"(?<!\\)(\(\?(<?[=!]|P=|\(|>)|\\[1-9])")
"""Look-around, back-references, conditions, atomic groups."""
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[:P](?:<\w+>)?|[*+?]|\{\d*,?\d*\}|.", re.DOTALL)


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a pattern, and how to mend it; None: nothing."""
    if len(pattern) > _LENGTH_MAX:
        return f"a regular expression of {len(pattern)} characters; write at most {_LENGTH_MAX}"
    try:
        re.compile(pattern)
    except re.error as problem:
        return f"'{pattern}' is not a regular expression: {problem}"
    beyond = _BEYOND_RE2.search(pattern)
    if beyond:
        return (
            f"'{pattern}' uses {beyond.group()}, which the regular expressions of Mesos (RE2) do not have; "
            "write it without look-around and back-references"
        )
    return _endless_problem(pattern)


def _endless_problem(pattern: str) -> str | None:
    many = [False]
    """By group that is open, the whole first: whether there is a repetition or a choice in it."""
    closed = False
    open_ended = 0
    for token in _TOKEN.findall(pattern):
        if token.startswith("("):
            many.append(False)
        elif token == ")":
            closed = many.pop()
            many[-1] |= closed
            continue
        elif token == "|":
            many[-1] = True
        elif token[0] in "*+{":
            if closed:
                return (
                    f"'{pattern}' repeats what is itself a repetition or a choice, which could be tried for ever; "
                    "write it without, such as [ab]+ for (a|b)+"
                )
            many[-1] = True
            open_ended += token in ("*", "+") or token.endswith(",}")
        closed = False
    if open_ended > _OPEN_ENDED_MAX:
        return f"'{pattern}' has {open_ended} repetitions without end; write at most {_OPEN_ENDED_MAX}"
    return None
