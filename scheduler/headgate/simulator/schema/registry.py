"""All messages and enums of the v1 APIs by full name, read once from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from headgate.simulator.schema import (
    agent_table,
    cluster_table,
    container_table,
    executor_table,
    offer_table,
    operator_table,
    scheduler_table,
    task_table,
)
from headgate.simulator.schema.notation import Enumeration, Message, Scalar, read_table


def _read() -> tuple[Mapping[str, Message], Mapping[str, Enumeration]]:
    messages: dict[str, Message] = {}
    enums: dict[str, Enumeration] = {}
    for module in (
        agent_table,
        cluster_table,
        container_table,
        executor_table,
        offer_table,
        operator_table,
        scheduler_table,
        task_table,
    ):
        for declared in read_table(module.TABLE):
            assert declared.name not in {*messages, *enums}, f"{declared.name} is declared twice"
            if isinstance(declared, Message):
                messages[declared.name] = declared
            else:
                enums[declared.name] = declared
    for message in messages.values():
        for field in message.fields.values():
            known = isinstance(field.kind, Scalar) or field.kind in messages or field.kind in enums
            assert known, f"{message.name}.{field.name} is of unknown kind {field.kind}"
    return MappingProxyType(messages), MappingProxyType(enums)


MESSAGES, ENUMS = _read()
