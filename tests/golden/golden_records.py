"""Writes golden files: stored records as this build writes them, for builds to come to prove that they still read them.

    make golden

When to run it: a record has gained a field, there is a new kind of record, or `stored.VERSION` has gone up.  It adds a
file for each kind whose present form, with every field filled, is not yet covered by a file, and changes none that is
there: `job.v1.json`, then `job.v1.2.json`, and so on.

How a format changes:
- a new field with a default keeps the version: old records load, with the default;
- anything else (a field renamed, removed, or with another meaning) takes a new version: raise `stored.VERSION`, keep
  the old shape readable in `stored`, and leave its golden files as they are; the tests hold you to it.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from headgate.model.operation import OperationRecord, ReservationRecord
from headgate.model.record import AgentRecord, FrameworkRecord, JobRecord
from headgate.model.stored import VERSION, ShardPage, encoded
from headgate.model.task import TaskRecord, WorkerRecord

FOLDER: Final = Path(__file__).parent / "records"

KINDS: Final[dict[str, tuple[Any, Callable[[Any], str]]]] = {
    "framework": (FrameworkRecord, lambda _: "framework"),
    "job": (JobRecord, lambda job: f"jobs/{job.name}"),
    "worker": (WorkerRecord, lambda worker: f"workers/{worker.job}/{worker.worker}"),
    "task": (TaskRecord, lambda task: f"tasks/{task.id}"),
    "shards": (ShardPage, lambda page: "shards/delays/0"),
    "agent": (AgentRecord, lambda agent: f"agents/{agent.agent_id}"),
    "reservation": (ReservationRecord, lambda reservation: f"reservations/{reservation.id}"),
    "operation": (OperationRecord, lambda operation: f"operations/{operation.id}"),
}
"""Every kind of record: its type, and its key."""


def sample(kind: str) -> tuple[str, bytes]:
    """Key and stored form of a record of that kind, with every field filled; the same each time."""
    shape, key_of = KINDS[kind]
    record = _filled(shape, kind, itertools.count(1))
    key = key_of(record)
    return key, encoded(key, record)


def files(kind: str) -> list[Path]:
    """The golden files of a kind, oldest first."""
    return sorted(FOLDER.glob(f"{kind}.v*.json"), key=_numbers)


def _numbers(path: Path) -> list[int]:
    return [int(part.removeprefix("v")) for part in path.name.split(".")[1:-1]]


def missing(old: object, new: object, path: str = "") -> Iterator[str]:
    """Where `new` has a field that `old` has not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name, value in new.items():
            if name in old:
                yield from missing(old[name], value, f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(old, list) and isinstance(new, list):
        if new and not old:
            yield f"{path}[]"
        for pair in zip(old, new):  # noqa: B905 - the first says it for all
            yield from missing(*pair, f"{path}[]")
    elif isinstance(new, (dict, list)) and new and not isinstance(old, (dict, list)):
        yield path


def uncovered(kind: str) -> list[str]:
    """The fields that are written today and are in no golden file of the present version."""
    _, data = sample(kind)
    present = [path for path in files(kind) if path.name.split(".")[1] == f"v{VERSION}"]
    found = [set(missing(json.loads(path.read_bytes())["body"], json.loads(data)["body"])) for path in present]
    return sorted(set.intersection(*found)) if found else ["everything"]


def _filled(shape: Any, name: str, numbers: Iterator[int]) -> Any:
    """A value of that type in which nothing is missing, and no number is there twice."""
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if isinstance(shape, typing.NewType):
        return _filled(shape.__supertype__, name, numbers)
    if origin in (typing.Union, types.UnionType):
        return _filled(next(each for each in arguments if each is not type(None)), name, numbers)
    if origin is tuple:
        return (_filled(arguments[0], name, numbers),)
    if origin is not None and issubclass(origin, Mapping):
        key, value = arguments
        return {_filled(key, name, numbers): _filled(value, name, numbers)}
    if shape is Any:
        return [1, {"a": None}]
    if dataclasses.is_dataclass(shape) and isinstance(shape, type):
        hints = typing.get_type_hints(shape)
        fields = [field for field in dataclasses.fields(shape) if field.init]
        return shape(**{field.name: _filled(hints[field.name], field.name, numbers) for field in fields})
    if issubclass(shape, enum.Enum):
        return list(shape)[-1]
    if shape is bool:
        return True
    number = next(numbers)
    return f"{name}-{number}" if shape is str else shape(number)


def main() -> None:
    """Add what is not covered, and say so."""
    for kind in KINDS:
        fields = uncovered(kind)
        if not fields:
            continue
        count = len([path for path in files(kind) if path.name.split(".")[1] == f"v{VERSION}"])
        path = FOLDER / (f"{kind}.v{VERSION}.{count + 1}.json" if count else f"{kind}.v{VERSION}.json")
        path.write_bytes(sample(kind)[1] + b"\n")
        print(f"{path.relative_to(Path.cwd())}: {', '.join(fields)}")


if __name__ == "__main__":
    main()
