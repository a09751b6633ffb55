"""Lists, mappings and sections of a document, made of the kinds in `core.fields`.

A section reads into a typed object through its `make`; what the document leaves out is left out of the call, so every
default lives in one place: the dataclass (or function) that is called.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headgate.core.fields import INVALID, Kind, Schema
from headgate.core.mistakes import Mistake, Path, did_you_mean, shown

Rule = Callable[[Mapping[str, Any]], Iterable[tuple[Path, str]]]
"""What must hold between fields.

Takes the fields that could be read, keyed by attribute, and gives (path below the section, problem) for each fault.
"""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a section: `about` is a sentence for people, `attribute` the parameter of the section's `make`."""

    kind: Kind
    about: str
    attribute: str | None = None
    required: bool = False
    nullable: bool = False


def list_of(item: Kind) -> Kind:
    """A list whose items are all of one kind, as a tuple."""

    def read(value: object, path: Path, mistakes: list[Mistake]) -> Any:
        if not isinstance(value, (list, tuple)):
            problem = f"{shown(value)} is not a list; write each item on a line of its own after a dash"
            mistakes.append(Mistake(path=path, problem=problem))
            return INVALID
        items = tuple(item.read(each, (*path, at), mistakes) for at, each in enumerate(value))
        return INVALID if any(each is INVALID for each in items) else items

    return Kind(read=read, schema={"type": "array", "items": item.schema}, as_written=list)


def map_of(key: Kind, item: Kind) -> Kind:
    """A mapping from texts of one kind to values of another."""

    def read(value: object, path: Path, mistakes: list[Mistake]) -> Any:
        if not isinstance(value, Mapping):
            mistakes.append(Mistake(path=path, problem=f"{shown(value)} is not a mapping; write name: value"))
            return INVALID
        before = len(mistakes)
        found = {
            key.read(name, (*path, str(name)), mistakes): item.read(each, (*path, str(name)), mistakes)
            for name, each in value.items()
        }
        return found if len(mistakes) == before else INVALID

    schema = {"type": "object", "propertyNames": key.schema, "additionalProperties": item.schema}
    return Kind(read=read, schema=schema, as_written=dict)


def section(
    make: Callable[..., Any],
    fields: Mapping[str, Field],
    *,
    rules: tuple[Rule, ...] = (),
    not_yet: Mapping[str, str] | None = None,
    defaults: Callable[..., Any] | None = None,
) -> Kind:
    """A mapping with known fields, read into what `make` gives for them.

    `not_yet` are fields that are known and refused, each with what to do instead: silence would look like obedience.
    `defaults` is what the schema reads the defaults from, where that is not `make` itself.
    """
    refused = not_yet or {}

    def read(value: object, path: Path, mistakes: list[Mistake]) -> Any:
        if not isinstance(value, Mapping):
            names = ", ".join(list(fields)[:2])
            problem = f"{shown(value)} is not a mapping; write its fields, such as {names}, one per line as name: value"
            mistakes.append(Mistake(path=path, problem=problem))
            return INVALID
        before = len(mistakes)
        for name in value:
            if name in refused:
                mistakes.append(Mistake(path=(*path, name), problem=f"not supported yet; {refused[name]}"))
            elif name not in fields:
                problem = f"unknown field{did_you_mean(name, fields)}"
                mistakes.append(Mistake(path=(*path, str(name)), problem=problem))
        found = {
            field.attribute or name: read
            for name, field in fields.items()
            if (read := _read_field(field, name, value, path, mistakes)) is not INVALID
        }
        for rule in rules:
            mistakes.extend(Mistake(path=(*path, *below), problem=problem) for below, problem in rule(found))
        return make(**found) if len(mistakes) == before else INVALID

    return Kind(read=read, schema=_section_schema(fields, defaults or make))


def _read_field(field: Field, name: str, document: Mapping[Any, Any], path: Path, mistakes: list[Mistake]) -> Any:
    """The typed value; INVALID when there is none, be it left out or wrong."""
    here = (*path, name)
    if name not in document:
        if field.required:
            about = field.about[:1].lower() + field.about[1:].rstrip(".")
            mistakes.append(Mistake(path=here, problem=f"is missing; it is {about}"))
        return INVALID
    if document[name] is not None:
        return field.kind.read(document[name], here, mistakes)
    if not field.nullable:
        mistakes.append(Mistake(path=here, problem="has no value; give it one, or leave the line out"))
    return INVALID


def _section_schema(fields: Mapping[str, Field], defaults: Callable[..., Any]) -> Schema:
    properties = {}
    for name, field in fields.items():
        kind = field.kind.schema
        shape: Schema = {"anyOf": [kind, {"type": "null"}]} if field.nullable else dict(kind)
        shape["description"] = field.about
        default = _default(defaults, field.attribute or name)
        if default is not None and "properties" not in kind:
            shape["default"] = field.kind.as_written(default)
        properties[name] = shape
    required = [name for name, field in fields.items() if field.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _default(make: Callable[..., Any], attribute: str) -> Any:
    """What `make` takes for an attribute that is left out; None when there is nothing to tell."""
    if dataclasses.is_dataclass(make):
        for field in dataclasses.fields(make):
            if field.name == attribute and field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
            if field.name == attribute and field.default is not dataclasses.MISSING:
                return field.default
        return None
    default = inspect.signature(make).parameters[attribute].default
    return None if default is inspect.Parameter.empty else default
