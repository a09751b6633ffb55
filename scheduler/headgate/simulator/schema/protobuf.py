"""The binary form of the messages, for clients that speak `application/x-protobuf`.

Proto2 as far as the v1 APIs use it: lists are read packed or not and written unpacked, unknown fields and unknown
enum values are passed over, of repeated singular fields the last counts (messages are merged).

Source: Protocol Buffers, "Encoding"; https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from headgate.simulator.messages import Json
from headgate.simulator.schema.conversion import Unconvertible, missing_fields
from headgate.simulator.schema.notation import Field, Label, Message, Scalar
from headgate.simulator.schema.registry import ENUMS, MESSAGES

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGNED = {Scalar.INT32: 32, Scalar.INT64: 64}
_NESTING_MAX = 100


def decode(message: str, data: bytes) -> Json:
    """The message in the normal form of `conversion`.

    Raises:
        Unconvertible: no such message, or required fields are missing.
    """
    try:
        value = _decode(MESSAGES[message], data, 0)
    except (ValueError, IndexError, struct.error) as fault:
        raise Unconvertible(f"no {message}: {fault}") from fault
    if missing := missing_fields(message, value):
        raise Unconvertible(f"Missing required fields: {', '.join(missing)}")
    return value


def encode(message: str, value: Json) -> bytes:
    """The message as bytes.  Fields that the schema does not know are left out, and so is None."""
    data = bytearray()
    for field in MESSAGES[message].by_number:
        found = value.get(field.name)
        if found is None:
            continue
        if field.label is Label.MAP:
            for key, item in found.items():
                entry = _encoded(_KEY, key) + _encoded(_value_of(field), item)
                data += _tag(field.number, _BYTES) + _varint(len(entry)) + entry
        else:
            for item in found if field.label is Label.REPEATED else (found,):
                data += _encoded(field, item)
    return bytes(data)


_KEY = Field(name="key", number=1, kind=Scalar.STRING, label=Label.OPTIONAL)


def _value_of(field: Field) -> Field:
    return Field(name="value", number=2, kind=field.kind, label=Label.OPTIONAL)


# --- reading -----------------------------------------------------------------------------------------------------


def _decode(message: Message, data: bytes, depth: int) -> Json:
    if depth > _NESTING_MAX:
        raise ValueError("nested too deeply")
    by_number = {field.number: field for field in message.by_number}
    value: Json = {}
    for number, wire, raw in _pieces(data):
        if field := by_number.get(number):
            _take(field, wire, raw, value, depth)
    return value


def _pieces(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Field number, wire type and raw value of everything in a message."""
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            raw, at = _read_varint(data, at)
            yield number, wire, raw
            continue
        if wire == _BYTES:
            length, at = _read_varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if number == 0 or at + length > len(data):
            raise ValueError("cut short")
        yield number, wire, data[at : at + length]
        at += length


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
    raise ValueError("varint without end")


def _take(field: Field, wire: int, raw: Any, value: Json, depth: int) -> None:
    if field.label is Label.MAP:
        if wire == _BYTES:
            entry: Json = {}
            inner = {1: _KEY, 2: _value_of(field)}
            for number, kind, part in _pieces(raw):
                if number in inner:
                    _take(inner[number], kind, part, entry, depth + 1)
            value.setdefault(field.name, {})[entry.get("key", "")] = entry.get("value", {})
        return
    for item in _items(field, wire, raw, depth):
        if field.label is Label.REPEATED:
            value.setdefault(field.name, []).append(item)
            continue
        for other in field.one_of:
            if other != field.name:
                value.pop(other, None)
        if isinstance(item, dict) and isinstance(value.get(field.name), dict):
            value[field.name] |= item
        else:
            value[field.name] = item


def _items(field: Field, wire: int, raw: Any, depth: int) -> Iterator[Any]:
    """The values in one piece; none if the wire type does not fit or an enum's number is unknown."""
    kind = field.kind
    if isinstance(kind, str) and kind in MESSAGES:
        if wire == _BYTES:
            yield _decode(MESSAGES[kind], raw, depth + 1)
    elif kind is Scalar.STRING:
        if wire == _BYTES:
            yield raw.decode("utf-8", "replace")
    elif kind is Scalar.BYTES:
        if wire == _BYTES:
            yield base64.b64encode(raw).decode()
    elif kind is Scalar.DOUBLE:
        if wire in (_FIXED64, _BYTES):
            for start in range(0, len(raw), 8):
                yield struct.unpack_from("<d", raw, start)[0]
    elif wire == _VARINT:
        yield from _integer(kind, raw)
    elif wire == _BYTES:
        at = 0
        while at < len(raw):
            number, at = _read_varint(raw, at)
            yield from _integer(kind, number)


def _integer(kind: Scalar | str, number: int) -> Iterator[Any]:
    if isinstance(kind, str):
        signed = _wrapped(number, 32)
        yield from (name for name, known in ENUMS[kind].values.items() if known == signed)
    elif kind is Scalar.BOOL:
        yield bool(number)
    elif kind in _SIGNED:
        yield _wrapped(number, _SIGNED[kind])
    else:
        yield number & (2**32 - 1 if kind is Scalar.UINT32 else 2**64 - 1)


def _wrapped(number: int, bits: int) -> int:
    number &= 2**bits - 1
    return number - 2**bits if number >> (bits - 1) else number


# --- writing -----------------------------------------------------------------------------------------------------


def _encoded(field: Field, item: Any) -> bytes:
    kind = field.kind
    if kind is Scalar.DOUBLE:
        return _tag(field.number, _FIXED64) + struct.pack("<d", item)
    if isinstance(kind, str) and kind in ENUMS:
        return _tag(field.number, _VARINT) + _varint(ENUMS[kind].values[item] & (2**64 - 1))
    if isinstance(kind, Scalar) and kind not in (Scalar.STRING, Scalar.BYTES):
        return _tag(field.number, _VARINT) + _varint(int(item) & (2**64 - 1))
    if isinstance(kind, str):
        data = encode(kind, item)
    else:
        data = item.encode() if kind is Scalar.STRING else base64.b64decode(item)
    return _tag(field.number, _BYTES) + _varint(len(data)) + data


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
