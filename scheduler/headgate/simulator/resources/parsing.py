"""The text of an agent's `--resources`: `cpus:4;mem:4096;ports:[31000-31500];cpus(web):2`."""

from __future__ import annotations

import math
import re
from typing import Any

from headgate.simulator.messages import Json
from headgate.simulator.resources.pool import Resources
from headgate.simulator.resources.roles import DEFAULT
from headgate.simulator.resources.validation import problem

_NAME = re.compile(r"\s*(?P<name>[^()]+?)\s*(?:\(\s*(?P<role>[^()]*?)\s*\))?\s*$")
_RANGE = re.compile(r"(\d+)-(\d+)$")


def parse(text: str) -> Resources:
    """Unreserved and statically reserved resources from their text.

    Raises:
        ValueError: the text or one of its resources is malformed; the message quotes the part.
    """
    return Resources.of(_resource(part) for part in text.split(";") if part.strip())


def parse_attributes(text: str) -> list[Json]:
    """The text of an agent's `--attributes`, such as `rack:r1;level:10;ports:[1-5]`, as v1 Attribute messages.

    Raises:
        ValueError: a part is not `name:value`.
    """
    attributes: list[Json] = []
    for part in text.split(";"):
        if not part.strip():
            continue
        name, colon, value = part.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"bad attribute {part!r}: it must look like rack:r1")
        attributes.append({"name": name.strip(), **_value(value.strip())})
    return attributes


def _resource(part: str) -> Json:
    left, colon, value = part.partition(":")
    match = _NAME.match(left)
    if not colon or match is None:
        raise ValueError(f"bad resource {part!r}: it must look like cpus:4, ports:[31000-31500] or cpus(role):2")
    parsed = _value(value.replace(" ", ""))
    if parsed["type"] == "TEXT":
        raise ValueError(f"bad resource {part!r}: {value!r} is no number, ranges like [1-5] or set like {{a,b}}")
    resource: Json = {"name": match["name"], **parsed}
    if match["role"] is not None and match["role"] != DEFAULT:
        resource["reservations"] = [{"type": "STATIC", "role": match["role"]}]
    found = problem(resource)
    if found is not None:
        raise ValueError(f"bad resource {part!r}: {found}")
    return resource


def _value(text: str) -> dict[str, Any]:
    if text.startswith("[") and text.endswith("]"):
        matches = [_RANGE.match(part.strip()) for part in text[1:-1].split(",") if part.strip()]
        if all(matches):
            parts = [{"begin": int(match[1]), "end": int(match[2])} for match in matches if match]
            return {"type": "RANGES", "ranges": {"range": parts}}
    if text.startswith("{") and text.endswith("}"):
        return {"type": "SET", "set": {"item": [item.strip() for item in text[1:-1].split(",") if item.strip()]}}
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number) and number >= 0:
        return {"type": "SCALAR", "scalar": {"value": number}}
    return {"type": "TEXT", "text": {"value": text}}
