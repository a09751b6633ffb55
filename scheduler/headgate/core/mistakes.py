"""What is wrong with a document: where, what stands there, what would do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Where something stands in a document: keys and list positions, from the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One fault of a document.  `problem` says what stands there, what is allowed, and how to mend it."""

    path: Path
    problem: str

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.problem}" if self.path else self.problem


def dotted(path: Path) -> str:
    """A path as people write it: `placement[0].operator`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def shown(value: object) -> str:
    """A bad value as its author wrote it, shortened: `'many'`, `true`, `a list`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…{text[-1] if isinstance(value, str) else ''}"


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`; did you mean workers?` when one of the known words is close, else which there are."""
    choices = list(known)
    close = difflib.get_close_matches(str(word).lower(), choices, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else f"; there are: {', '.join(choices)}"
