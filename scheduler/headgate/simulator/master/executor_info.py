"""When two ExecutorInfos with one id count as the same, and how messages print one.

Source: `operator==(ExecutorInfo)` of Mesos's type_utils.cpp: labels and grace periods are not compared.
"""

from __future__ import annotations

import json

from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources
from headgate.simulator.schema import with_defaults

_COMPARED = ("type", "executor_id", "data", "command", "framework_id", "name", "source", "container", "discovery")


def equal(left: Json, right: Json) -> bool:
    """Whether two ExecutorInfos describe one executor."""
    return _essence(left) == _essence(right) and Resources.of(left.get("resources", ())) == Resources.of(
        right.get("resources", ())
    )


def _essence(info: Json) -> Json:
    complete = with_defaults("ExecutorInfo", info)
    compared: Json = {name: complete.get(name) for name in _COMPARED}
    command: Json = compared["command"] or {}
    variables = command.get("environment", {}).get("variables")
    if variables is not None:
        in_order = sorted(variables, key=lambda variable: json.dumps(variable, sort_keys=True))
        compared["command"] = {**command, "environment": {"variables": in_order}}
    return compared


def incompatible(known: Json, new: Json) -> str:
    """The refusal of an ExecutorInfo that differs from the one in use, both printed."""
    line = "-" * 60
    return (
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n"
        f"{line}\nExisting ExecutorInfo:\n{_dump(known)}\n{line}\nExecutorInfo:\n{_dump(new)}\n{line}\n"
    )


def _dump(info: Json) -> str:
    return json.dumps(with_defaults("ExecutorInfo", info), sort_keys=True)
