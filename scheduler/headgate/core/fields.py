"""Kinds of single values in a document: each reads itself and knows its JSON Schema.

One table made of them (`core.job_file`) both validates and prints the schema, so the two cannot drift apart.  Reading
never stops at the first fault: every mistake lands in the list, and `INVALID` stands where no value could be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from headgate.core.mistakes import Mistake, Path, did_you_mean, shown
from headgate.core.units import (
    AMOUNT_MAX,
    DURATION_PATTERN,
    SIZE_PATTERN,
    duration_text,
    find_intended_size,
    find_mib,
    find_seconds,
    size_text,
)

INVALID: Final = object()
"""Stands for a value that could not be read; its mistakes are in the list."""

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What may stand at one place of a document.

    `read` gives the typed value, or INVALID after adding at least one mistake.  `schema` is JSON Schema that accepts
    what `read` accepts, as far as a schema can say it.  `as_written` turns a typed default back into the document's
    words.
    """

    read: Callable[[object, Path, list[Mistake]], Any]
    schema: Schema
    as_written: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a single value cannot be read, and what to write instead."""

    text: str


def text(what: str = "a text of its own", pattern: str = r"^[^\x00]+$") -> Kind:
    """A text that `pattern` matches as a whole; `what` says in words what that means and what to write."""
    whole = re.compile(pattern.removeprefix("^").removesuffix("$"))

    def parse(value: object) -> str | Problem:
        if not isinstance(value, str):
            return Problem(f"{shown(value)} is not a text{_quoting(value)}")
        return value if whole.fullmatch(value) else Problem(f"{shown(value)} is not {what}")

    return _single(parse, {"type": "string", "pattern": pattern})


def words() -> Kind:
    """A text where a whole number will do as well, such as the value of an environment variable."""

    def parse(value: object) -> str | Problem:
        if isinstance(value, str) and "\x00" not in value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return Problem(f"{shown(value)} is not a text{_quoting(value)}")

    return _single(parse, {"type": ["string", "integer"], "pattern": r"^[^\x00]*$"})


def choice(options: type[Enum] | Mapping[str, Any], *, not_yet: tuple[str, ...] = ()) -> Kind:
    """One of some words, each with its typed value.  `not_yet` are known words that this version refuses."""
    typed = options if isinstance(options, Mapping) else {str(member.value): member for member in options}

    def parse(value: object) -> Any:
        if isinstance(value, str) and value in typed:
            return typed[value]
        if isinstance(value, str) and value in not_yet:
            return Problem(f"{shown(value)} is not supported yet; write {' or '.join(typed)}")
        return Problem(f"{shown(value)} is not one of the choices{did_you_mean(value, typed)}")

    written = {value: word for word, value in typed.items()}
    return _single(parse, {"enum": list(typed)}, written.__getitem__)


def flag() -> Kind:
    """True or false."""

    def parse(value: object) -> bool | Problem:
        return value if isinstance(value, bool) else Problem(f"{shown(value)} is neither true nor false")

    return _single(parse, {"type": "boolean"})


def whole(least: int = 0, most: int = 1_000_000) -> Kind:
    """A whole number within bounds, both included."""

    def parse(value: object) -> int | Problem:
        if isinstance(value, bool) or not isinstance(value, int):
            return Problem(f"{shown(value)} is not a whole number")
        if not least <= value <= most:
            return Problem(f"{shown(value)} is out of bounds; write a whole number from {least} to {most}")
        return value

    return _single(parse, {"type": "integer", "minimum": least, "maximum": most})


def number(
    most: float = AMOUNT_MAX, convert: Callable[[float], Any] = float, revert: Callable[[Any], float] = float
) -> Kind:
    """A number above zero and at most `most`; `convert` makes the typed value of it, `revert` goes back."""

    def parse(value: object) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return Problem(f"{shown(value)} is not a number")
        if not 0 < value <= most:
            bound = f" and at most {most:g}" if most < AMOUNT_MAX else ""
            return Problem(f"{shown(value)} is out of bounds; write a number above 0{bound}")
        return convert(value)

    return _single(parse, {"type": "number", "exclusiveMinimum": 0, "maximum": most}, revert)


def duration(*, zero: bool = False) -> Kind:
    """Seconds, written `30s`, `2m`, `1h30m`, `1d`, `500ms` or as a number of seconds."""

    def parse(value: object) -> float | Problem:
        seconds = find_seconds(value)
        if seconds is None:
            return Problem(f"{shown(value)} is not a duration; write 500ms, 30s, 5m, 2h or 1d")
        if seconds == 0 and not zero:
            return Problem(f"{shown(value)} is no time at all; write a duration above zero, such as 30s")
        return seconds

    return _single(parse, _amount_schema(DURATION_PATTERN, zero=zero), duration_text)


def size(convert: Callable[[float], Any], revert: Callable[[Any], float], *, zero: bool = False) -> Kind:
    """An amount of memory or disk, written `512MiB`, `1.5GiB` or as a number of MiB, which `convert` gets."""

    def parse(value: object) -> Any:
        mib = find_mib(value)
        if mib is None:
            return Problem(f"{shown(value)} is not an amount; write {find_intended_size(value) or '512MiB or 1GiB'}")
        if mib == 0 and not zero:
            return Problem(f"{shown(value)} is nothing; write an amount above zero, such as 512MiB")
        return convert(mib)

    return _single(parse, _amount_schema(SIZE_PATTERN, zero=zero), lambda typed: size_text(revert(typed)))


def counted(name: Kind, most: int) -> Kind:
    """How many of something: a number of them, or a list with a name for each.  Gives (number, names)."""
    count = whole(most=most)

    def read(value: object, path: Path, mistakes: list[Mistake]) -> Any:
        if not isinstance(value, (list, tuple)):
            found = count.read(value, path, mistakes)
            return INVALID if found is INVALID else (found, ())
        names = tuple(name.read(each, (*path, at), mistakes) for at, each in enumerate(value))
        if len(names) > most:
            mistakes.append(Mistake(path=path, problem=f"{len(names)} are too many; write at most {most}"))
        twice = [each for at, each in enumerate(names) if each is not INVALID and each in names[:at]]
        if twice:
            mistakes.append(Mistake(path=path, problem=f"{shown(twice[0])} stands there twice; give each its own name"))
        return INVALID if INVALID in names or twice or len(names) > most else (len(names), names)

    schema: Schema = {
        "anyOf": [count.schema, {"type": "array", "items": name.schema, "maxItems": most, "uniqueItems": True}]
    }
    return Kind(read=read, schema=schema, as_written=lambda typed: list(typed[1]) or typed[0])


def anything() -> Kind:
    """Whatever JSON can say; a date, or another guest of YAML's, is refused."""
    return Kind(read=_read_anything, schema={})


def _read_anything(value: object, path: Path, mistakes: list[Mistake]) -> Any:
    if isinstance(value, Mapping):
        mistakes.extend(
            Mistake(path=path, problem=f"the name {shown(key)} is not a text; put it in quotes")
            for key in value
            if not isinstance(key, str)
        )
        return {key: _read_anything(each, (*path, str(key)), mistakes) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_read_anything(each, (*path, at), mistakes) for at, each in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and _is_finite(value)):
        return value
    mistakes.append(Mistake(path=path, problem=f"{shown(value)} is not something JSON can say; put it in quotes"))
    return INVALID


def _single(
    parse: Callable[[object], Any], schema: Schema, as_written: Callable[[Any], Any] = lambda value: value
) -> Kind:
    def read(value: object, path: Path, mistakes: list[Mistake]) -> Any:
        parsed = parse(value)
        if isinstance(parsed, Problem):
            mistakes.append(Mistake(path=path, problem=parsed.text))
            return INVALID
        return parsed

    return Kind(read=read, schema=schema, as_written=as_written)


def _amount_schema(pattern: str, *, zero: bool) -> Schema:
    bound: Schema = {"minimum": 0} if zero else {"exclusiveMinimum": 0}
    return {"anyOf": [{"type": "string", "pattern": pattern}, {"type": "number", "maximum": AMOUNT_MAX, **bound}]}


def _is_finite(value: float) -> bool:
    return abs(value) < float("inf")


def _quoting(value: object) -> str:
    """How to mend a text that YAML reads as something else, such as `yes`, `1.10` or a date."""
    return "; put it in quotes" if isinstance(value, (bool, int, float)) or hasattr(value, "isoformat") else ""
