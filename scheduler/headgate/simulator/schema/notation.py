"""The notation in which the message tables are written, and the descriptors it is read into.

One message a line (further lines are indented), fields separated by commas, in the order in which Mesos declares them:

    Name: 1 field kind, 2 needed kind!, 3 list [kind], 4 map {kind}, 5 field kind = default, one of (6 a kind, 7 b kind)

The number is the field's tag.  A kind is a scalar, a message or an enum; with a leading dot it is nested in the message
itself.  `-` stands for no fields at all.  A default is noted only where Mesos writes it out when the field is unset.
`enum Name: 0 FIRST, 1 SECOND` declares an enum; its first value is what an unset field counts as.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

Default: TypeAlias = bool | int | float | str


class Scalar(enum.Enum):
    """The kinds of fields that hold one plain value."""

    STRING = "string"
    BYTES = "bytes"
    BOOL = "bool"
    DOUBLE = "double"
    INT32 = "int32"
    INT64 = "int64"
    UINT32 = "uint32"
    UINT64 = "uint64"


class Label(enum.Enum):
    """How often a field may be there."""

    OPTIONAL = enum.auto()
    REQUIRED = enum.auto()
    REPEATED = enum.auto()
    MAP = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field.  `kind` is a `Scalar`, or the full name of a message or an enum.  A map's keys are strings."""

    name: str
    number: int
    kind: Scalar | str
    label: Label
    default: Default | None = None
    one_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message: its fields by name, in declaration order."""

    name: str
    fields: Mapping[str, Field]
    by_number: tuple[Field, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_number", tuple(sorted(self.fields.values(), key=lambda item: item.number)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """An enum: its values' numbers by name, in declaration order."""

    name: str
    values: Mapping[str, int]


def read_table(text: str) -> Iterator[Message | Enumeration]:
    """Every declaration of a table, in its order.

    A slip in the notation is an AssertionError: tables are ours.
    """
    for line in re.sub(r"\n\s+", " ", text.strip()).split("\n"):
        head, colon, rest = line.partition(":")
        assert colon, f"no declaration: {line!r}"
        if head.startswith("enum "):
            pairs = [item.split() for item in rest.split(",")]
            values = {name: int(number) for number, name in pairs}
            yield Enumeration(name=head.removeprefix("enum "), values=MappingProxyType(values))
        else:
            yield Message(name=head, fields=MappingProxyType(dict(_fields(head, rest.strip()))))


def _fields(message: str, text: str) -> Iterator[tuple[str, Field]]:
    if text == "-":
        return
    plain, opening, choice = text.partition("one of (")
    members = [item.strip() for item in choice.rstrip(")").split(",")] if opening else []
    one_of = tuple(item.split()[1] for item in members)
    for item in [item.strip() for item in plain.split(",") if item.strip()] + members:
        declaration, _, default = item.partition(" = ")
        number, name, kind = declaration.split(" ", 2)
        yield name, _field(message, int(number), name, kind, default, one_of if name in one_of else ())


def _field(message: str, number: int, name: str, kind: str, default: str, one_of: tuple[str, ...]) -> Field:
    label = Label.OPTIONAL
    if kind.endswith("!"):
        label, kind = Label.REQUIRED, kind[:-1]
    elif kind.startswith("["):
        label, kind = Label.REPEATED, kind[1:-1]
    elif kind.startswith("{"):
        label, kind = Label.MAP, kind[1:-1]
    whole = message + kind if kind.startswith(".") else kind
    known = Scalar(whole) if whole in _SCALARS else whole
    value = _default(known, default) if default else None
    return Field(name=name, number=number, kind=known, label=label, default=value, one_of=one_of)


_SCALARS = {kind.value for kind in Scalar}


def _default(kind: Scalar | str, text: str) -> Default:
    if kind is Scalar.BOOL:
        return text == "true"
    if kind is Scalar.DOUBLE:
        return float(text)
    if isinstance(kind, Scalar) and kind is not Scalar.STRING:
        return int(text)
    return text
