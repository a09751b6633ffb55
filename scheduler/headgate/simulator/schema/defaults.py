"""What Mesos adds to, and leaves out of, the JSON it writes.

Source: A.5 of the protocol notes, column "On output".
"""

from __future__ import annotations

from typing import Any

from headgate.simulator.messages import Json
from headgate.simulator.schema.notation import Field, Label, Scalar
from headgate.simulator.schema.registry import MESSAGES

_LISTS_ALWAYS = frozenset(
    f"master.Response.{name}" for name in ("GetAgents", "GetExecutors", "GetFrameworks", "GetTasks")
)
"""Written by hand in Mesos (`src/master/readonly_handler.cpp`), which gives empty lists, too."""


def with_defaults(message: str, value: Json) -> Json:
    """The message as Mesos writes it.

    Unset fields with an explicit default get it, at every depth; empty lists (but for those of the operator's large
    answers), empty maps and None go; doubles become floats (`15.0`, never `15`).  Known fields come first, in the order
    of their declaration; those that the schema does not know stay as they are, behind them.  The argument is left
    alone.
    """
    fields = MESSAGES[message].fields
    written: Json = {}
    for field in fields.values():
        found = value.get(field.name)
        if found is None:
            if field.default is not None:
                written[field.name] = field.default
        elif field.label is Label.REPEATED:
            if found or message in _LISTS_ALWAYS:
                written[field.name] = [_written(field, item) for item in found]
        elif field.label is Label.MAP:
            if found:
                written[field.name] = {key: _written(field, item) for key, item in found.items()}
        else:
            written[field.name] = _written(field, found)
    for name, found in value.items():
        if name not in fields:
            written[name] = found
    return written


def _written(field: Field, value: Any) -> Any:
    if isinstance(field.kind, str):
        return with_defaults(field.kind, value) if field.kind in MESSAGES else value
    return float(value) if field.kind is Scalar.DOUBLE else value
