"""What an agent's attributes are worth to a constraint, kind by kind.

| kind   | as text (groups, `like`)  | `is`, `cluster` with a value      |
| ------ | ------------------------- | --------------------------------- |
| text   | itself                    | equal                             |
| scalar | shortest number: `2.5`    | equal as numbers, to thousandths  |
| ranges | `[1-3,7-9]`               | the number lies in one of them    |
| set    | `{a,b}`                   | contains it                       |

`like` holds of a set when it holds of one of its items.  Source of the kinds: Mesos, `docs/attributes-resources.md`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache

from headgate.core.pool import Pool
from headgate.model.offer import AttributeValue
from headgate.model.resources import PortRange, thousandths

HOSTNAME, REGION, ZONE = "hostname", "@region", "@zone"


def attribute_value(pool: Pool, name: str) -> AttributeValue | None:
    """An attribute (`hostname`, `@region`, `@zone` are ones); None: the agent has none of that name."""
    if name == HOSTNAME:
        return pool.hostname
    if name in (REGION, ZONE):
        if pool.domain is None:
            return None
        return pool.domain.region if name == REGION else pool.domain.zone
    return pool.attributes.get(name)


def attribute_values(pools: Sequence[Pool], name: str) -> list[AttributeValue | None]:
    """`attribute_value` of many."""
    if name == HOSTNAME:
        return [pool.hostname for pool in pools]
    if name in (REGION, ZONE):
        return [attribute_value(pool, name) for pool in pools]
    return [pool.attributes.get(name) for pool in pools]


def attribute_text(pool: Pool, name: str) -> str | None:
    """The attribute as text; None: the agent has none of that name."""
    value = attribute_value(pool, name)
    return None if value is None else value_text(value)


def value_text(value: AttributeValue) -> str:
    """A value as people write it."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{round(value, 3):.15g}"
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(value)) + "}"
    return "[" + ",".join(_range_text(each) for each in value) + "]"


def equals(value: AttributeValue, wanted: str) -> bool:
    """`is`: whether the value is, or contains, what is wanted."""
    if isinstance(value, str):
        return value == wanted
    if isinstance(value, frozenset):
        return wanted in value
    number = _number(wanted)
    if number is None:
        return False
    if isinstance(value, float):
        return math.isfinite(value) and thousandths(value) == thousandths(number)
    return any(each.begin <= number <= each.end for each in value)


def matches(value: AttributeValue, pattern: str) -> bool:
    """`like`: whether the pattern matches the whole value."""
    compiled = _compiled(pattern)
    if isinstance(value, frozenset):
        return any(compiled.fullmatch(item) is not None for item in value)
    return compiled.fullmatch(value_text(value)) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _range_text(each: PortRange) -> str:
    return f"{each.begin}-{each.end}"
