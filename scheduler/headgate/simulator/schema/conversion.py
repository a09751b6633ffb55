"""From a client's JSON to the one form the models see, with the leniency and the refusals of Mesos.

What Mesos forgives: unknown fields, null for absent, a bare value for a list of one, text for numbers and booleans,
unknown names of optional enums.  What it refuses has an exact text.  Fields are visited in the order of their names,
so that the first of several faults is the one Mesos names; required fields are looked for after everything else.

The result holds known fields only: integers as int, doubles as float, bytes as canonical base64 text, no null, no
empty list or map.  Empty messages stay, and defaults are not filled in: presence means something.

Source: A.5 of the protocol notes; stout's `protobuf.hpp`.
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from headgate.simulator.messages import Json
from headgate.simulator.schema.notation import Enumeration, Field, Label, Message, Scalar
from headgate.simulator.schema.registry import ENUMS, MESSAGES


class Unconvertible(ValueError):
    """JSON that is no such message; the text is what Mesos says after `Failed to convert JSON into … protobuf: `."""


def convert(message: str, value: object) -> Json:
    """The message as plain JSON in normal form.

    Raises:
        Unconvertible: the value does not fit the message, or required fields are missing.
    """
    if not isinstance(value, dict):
        raise Unconvertible("Expecting a JSON object")
    whole = _message(MESSAGES[message], value)
    if missing := missing_fields(message, whole):
        raise Unconvertible(f"Missing required fields: {', '.join(missing)}")
    return whole


def _message(message: Message, source: Json) -> Json:
    target: Json = {}
    for name in sorted(source):
        if field := message.fields.get(name):
            _put(field, source[name], target)
    return target


def _put(field: Field, value: object, target: Json) -> None:
    """Set, or add to, one field of the target; null leaves it alone."""
    if value is None:
        return
    if isinstance(value, list):
        if field.label not in (Label.REPEATED, Label.MAP):
            raise _unexpected("array", field)
        for item in value:
            _put(field, item, target)
    elif field.label is Label.MAP:
        if not isinstance(value, dict):
            raise _unexpected(_kind_of(value), field)
        for key in sorted(value):
            entry: Json = {}
            _put(_VALUE_OF_MAP[field.kind], value[key], entry)
            target.setdefault(field.name, {})[_clean(key)] = entry.get("value", {})
    else:
        found = _single(field, value)
        if found is _DISCARDED:
            return
        if field.label is Label.REPEATED:
            target.setdefault(field.name, []).append(found)
        else:
            for other in field.one_of:
                target.pop(other, None)
            target[field.name] = found


_DISCARDED = object()


def _single(field: Field, value: object) -> object:
    """One value in the field's form; `_DISCARDED` for an unknown name of an optional enum."""
    kind = field.kind
    if isinstance(kind, str):
        if kind in MESSAGES:
            if not isinstance(value, dict):
                raise _unexpected(_kind_of(value), field)
            return _message(MESSAGES[kind], value)
        if not isinstance(value, str):
            raise _unexpected(_kind_of(value), field)
        return _enum(ENUMS[kind], field, value)
    if isinstance(value, bool):
        if kind is not Scalar.BOOL:
            raise _unexpected("boolean", field)
        return value
    if isinstance(value, str):
        return _from_text(kind, field, value)
    if isinstance(value, int | float) and kind not in (Scalar.STRING, Scalar.BYTES, Scalar.BOOL):
        return _number(kind, value)
    raise _unexpected(_kind_of(value), field)


def _enum(enumeration: Enumeration, field: Field, name: str) -> object:
    if name in enumeration.values:
        return name
    if field.label is Label.REQUIRED:
        raise Unconvertible(f"Failed to find enum for '{name}'")
    return _DISCARDED


def _from_text(kind: Scalar, field: Field, text: str) -> object:
    if kind is Scalar.STRING:
        return _clean(text)
    if kind is Scalar.BYTES:
        return base64.b64encode(_base64(field, text)).decode()
    if kind is Scalar.DOUBLE and text in ("Infinity", "-Infinity"):
        return float(text)
    wanted = "boolean" if kind is Scalar.BOOL else "number"
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, bool) and kind is Scalar.BOOL:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and kind is not Scalar.BOOL:
        return _number(kind, value)
    raise Unconvertible(f"Failed to parse '{text}' as a JSON {wanted} for field '{field.name}': syntax error")


def _refuse_constant(text: str) -> object:
    raise ValueError(text)


_LIMITS = {
    Scalar.INT32: (-(2**31), 2**31 - 1),
    Scalar.INT64: (-(2**63), 2**63 - 1),
    Scalar.UINT32: (0, 2**32 - 1),
    Scalar.UINT64: (0, 2**64 - 1),
}


def _number(kind: Scalar, value: int | float) -> int | float:
    """The number in the field's type: fractions of integers are cut off, integers wrap as they do in C."""
    if kind is Scalar.DOUBLE:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    least, most = _LIMITS[kind]
    if isinstance(value, int):
        return (value - least) % (most - least + 1) + least
    return int(min(max(value, least), most))


_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _base64(field: Field, text: str) -> bytes:
    """Decode as Mesos does: blanks are passed over, everything behind the first `=` too, padding is not counted."""
    try:
        return base64.b64decode(text, validate=True)  # what nearly everybody sends, and fast
    except ValueError:
        pass
    digits = bytearray()
    for byte in text.encode("utf-8", "replace"):
        if byte == ord("="):
            break
        if byte in b" \t\n\v\f\r":
            continue
        if byte not in _ALPHABET:
            bad = bytes([byte]).decode("latin-1")
            raise Unconvertible(f"Failed to base64 decode bytes field '{field.name}': Invalid character '{bad}'")
        digits.append(byte)
    if len(digits) % 4 == 1:  # six bits make no byte
        digits.pop()
    return base64.b64decode(bytes(digits) + b"=" * (-len(digits) % 4))


def _clean(text: str) -> str:
    """Half of a surrogate pair, which JSON can say, is no character; it could never be sent on."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _unexpected(what: str, field: Field) -> Unconvertible:
    return Unconvertible(f"Not expecting a JSON {what} for field '{field.name}'")


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "number"


_VALUE_OF_MAP = {
    field.kind: Field(name="value", number=2, kind=field.kind, label=Label.OPTIONAL)
    for message in MESSAGES.values()
    for field in message.fields.values()
    if field.label is Label.MAP
}


def missing_fields(message: str, value: Json) -> list[str]:
    """Full paths of absent required fields: a message's own first, then those of its parts by field number."""
    return _missing(MESSAGES[message], value, "")


def _missing(message: Message, value: Json, prefix: str) -> list[str]:
    found = [
        prefix + field.name
        for field in message.fields.values()
        if field.label is Label.REQUIRED and field.name not in value
    ]
    for field in message.by_number:
        if field.name not in value or not isinstance(field.kind, str) or field.kind not in MESSAGES:
            continue
        below, part = MESSAGES[field.kind], value[field.name]
        for path, item in _parts(field, part):
            found += _missing(below, item, f"{prefix}{path}.")
    return found


def _parts(field: Field, part: Any) -> list[tuple[str, Json]]:
    if field.label is Label.REPEATED:
        return [(f"{field.name}[{index}]", item) for index, item in enumerate(part)]
    if field.label is Label.MAP:
        return [(f"{field.name}[{index}].value", part[key]) for index, key in enumerate(part)]
    return [(field.name, part)]
