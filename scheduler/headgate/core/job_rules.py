"""What must hold between the fields of a job file.

Each rule takes the fields of one section that could be read, keyed by attribute, and gives (path below the section,
problem) for each fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from headgate.core.mistakes import Path
from headgate.core.patterns import pattern_problem
from headgate.model.call import ContainerType
from headgate.model.job import DEFAULT_REQUEST, Keep, Operator, Restart
from headgate.model.resources import Request

_MEM_LEAST_M: Final = 64_000


def workers_in_order(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """The minimum, the first number and the maximum do not cross."""
    least = found.get("min", 1)
    first = found.get("initial", least)
    most = found.get("max", first)
    if least > most:
        yield ("max",), f"{most} is less than workers.min, {least}; raise max or lower min"
    elif not least <= first <= most:
        yield ("initial",), f"{first} is not between workers.min, {least}, and workers.max, {most}"


def backoff_in_order(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """The backoff does not begin above its bound."""
    first, most = found.get("backoff_s", Restart().backoff_s), found.get("backoff_max_s", Restart().backoff_max_s)
    if first > most:
        yield (
            ("backoff",),
            f"{first:g}s is more than restart.backoff_max, {most:g}s; raise backoff_max or lower backoff",
        )


_WITH_VALUE: Final = {
    Operator.LIKE: "a regular expression the attribute must match",
    Operator.UNLIKE: "a regular expression the attribute must not match",
    Operator.IS: "the text or number the attribute must be or, if it is a set or ranges, contain",
    Operator.MAX_PER: "how many workers may share one value of the attribute",
}


def operator_has_value(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """An operator that compares has something to compare with."""
    operator, value = found.get("operator"), found.get("value")
    if operator in _WITH_VALUE and value is None:
        yield ("value",), f"is missing; {operator.value} needs {_WITH_VALUE[operator]}"
    elif operator is Operator.UNIQUE and value is not None:
        yield ("value",), "unique takes no value; leave it out"
    elif value is not None and operator in (Operator.LIKE, Operator.UNLIKE):
        problem = pattern_problem(value)
        if problem is not None:
            yield ("value",), problem
    elif (
        value is not None
        and operator in (Operator.MAX_PER, Operator.GROUP_BY)
        and not re.fullmatch("[1-9][0-9]{0,5}", value)
    ):
        yield ("value",), f"'{value}' is not a count; {operator.value} takes a whole number from 1"


def container_fits_type(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """Only containers have what containers have."""
    kind = found.get("type", ContainerType.NONE)
    if kind is ContainerType.NONE:
        for name, what in (("image", "an image"), ("volumes", "volumes"), ("network", "a network of its own")):
            if found.get(name) and not (name == "network" and found[name] == "host"):
                yield (name,), f"a worker without a container has not got {what}; write container.type: mesos or docker"
    elif "image" not in found:
        yield ("image",), f"is missing; write the image for container.type: {kind.value}, or leave the container out"


def enough_for_a_worker(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """A worker's interpreter and libraries fit; catches a bare number that was meant as GiB."""
    mem_m = found.get("mem_m", DEFAULT_REQUEST.mem_m)
    if mem_m < _MEM_LEAST_M:
        written = f"{mem_m / 1000:g}MiB"
        yield ("mem",), f"{written} is too little for a worker; write at least 64MiB (a bare number is MiB)"


class WorkerNeeds(NamedTuple):
    """What the `worker` section says."""

    request: Request
    keep: Keep | None
    revocable: bool
    port_names: tuple[str, ...] = ()


def keeps_what_can_be_kept(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """Reserved or revocable, and no volume on what is not reserved."""
    volume, reserve = found.get("volume"), found.get("reserve")
    if volume is not None and reserve is False:
        yield ("reserve",), "a worker with a volume keeps its resources; leave it out, or leave the volume out"
    if found.get("revocable") and (reserve or volume):
        yield ("revocable",), "what may be taken away cannot be reserved; leave out one of the two"


def kept_in_a_role(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """Resources are reserved for a role, and gangs start on plain ones.

    Source: Mesos, `docs/reservation.md`: nothing can be reserved for `*`.
    """
    worker, workers = found.get("worker"), found.get("workers")
    if worker is None:
        return
    if worker.keep is not None and found.get("role", "*") == "*":
        yield ("role",), "Mesos reserves nothing for *; write a role of your own to use worker.reserve or worker.volume"
    if workers is not None and workers.gang and (worker.keep is not None or worker.revocable):
        yield ("workers", "gang"), "a gang starts on plain resources; leave out worker.reserve, volume and revocable"


def gpus_without_docker(found: Mapping[str, Any]) -> Iterable[tuple[Path, str]]:
    """GPUs are asked of the containerizer that has them.

    Source: Mesos, `docs/gpu-support.md`: only the Mesos containerizer isolates GPUs.
    """
    worker, container = found.get("worker"), found.get("container")
    if (
        worker is not None
        and container is not None
        and worker.request.gpus_m
        and container[0].type is ContainerType.DOCKER
    ):
        yield (
            ("worker", "gpus"),
            "Mesos's Docker containerizer passes no GPU devices into a container; write container.type: mesos, "
            "which runs the same image",
        )
