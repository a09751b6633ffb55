"""The job file: a mapping, read from YAML or JSON, to a `JobSpec`, or to everything that is wrong with it.

The tables below, with the rules in `core.job_rules`, are the only description of a job file: they validate it and they
are its JSON Schema.  Where a field is absent the defaults of `model.job` hold.  A field that the design knows and this
version does not act on is refused.
"""

from __future__ import annotations

from typing import Any, Final

from headgate.core.fields import Schema, anything, choice, counted, duration, flag, number, size, text, whole, words
from headgate.core.job_rules import (
    WorkerNeeds,
    backoff_in_order,
    container_fits_type,
    enough_for_a_worker,
    gpus_without_docker,
    keeps_what_can_be_kept,
    kept_in_a_role,
    operator_has_value,
    workers_in_order,
)
from headgate.core.mistakes import Mistake
from headgate.core.sections import Field, list_of, map_of, section
from headgate.model.call import Container, ContainerType, FetchUri, Volume
from headgate.model.job import (
    DEFAULT_REQUEST,
    Checkpoint,
    JobSpec,
    Keep,
    Operator,
    Placement,
    Program,
    Restart,
    Scaling,
    Strategy,
    Workers,
)
from headgate.model.resources import Request, thousandths
from millstream.contract.worker_spec import Delivery, Until

_DNS_LABEL: Final = text(
    "a DNS label; write 1 to 63 lowercase letters, digits and dashes, beginning with a letter or digit and not "
    "ending with a dash",
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
)
_ROLE: Final = text(
    "a Mesos role; write * or a name without spaces that does not begin with a dash, a dot or a slash",
    r"^(\*|[^-./\s][^\s]*[^/\s]|[^-./\s])$",
)
_PROGRAM_FILE: Final = text(
    "a Python file below the job file's folder; write a relative path such as stream.py, without ..",
    r"^(?!/)(?!(.*/)?\.\.(/|$))[^\x00\\]*\.py$",
)
_GLOB: Final = text(
    "a pattern of files below the job file's folder; write one such as lib/**/*.py, without ..",
    r"^(?!/)(?!(.*/)?\.\.(/|$))[^\x00\\]+$",
)
_OBJECT: Final = text(
    "the name of a Stream in the program; write a Python name such as stream",
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$",
)
_VARIABLE: Final = text("the name of an environment variable; write letters, digits and _", r"^[A-Za-z_][A-Za-z0-9_]*$")
_PORT_NAME: Final = text(
    "the name of a port; write lowercase letters, digits and dashes, beginning with a letter", r"^[a-z][-a-z0-9]{0,30}$"
)
_ABSOLUTE: Final = text("an absolute path; let it begin with a slash", r"^/[^\x00]*$")
_SANDBOX_PATH: Final = text(
    "a path below the sandbox; write a relative one such as state, without ..",
    r"^(?!/)(?!(.*/)?\.\.?(/|$))[^\x00\\]+$",
)
_STORE: Final = text(
    "a place this version can keep checkpoints in; write an absolute path, or file:// and one, that every agent sees",
    r"^(file://)?/[^\x00]*$",
)


def read_job(document: object) -> JobSpec | tuple[Mistake, ...]:
    """The job a document describes, defaults filled in; or all mistakes in it, in the order of the document's tables.

    `document` is what a YAML or JSON reader gave; the spec's program has no sha256 yet.
    """
    mistakes: list[Mistake] = []
    job = _JOB.read(document, (), mistakes)
    if mistakes:
        return tuple(mistakes)
    assert isinstance(job, JobSpec), job
    return job


def job_schema() -> Schema:
    """JSON Schema (draft 2020-12) of a job file.

    It accepts all that `read_job` accepts; what must hold between two fields only `read_job` can say.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Headgate job",
        **_JOB.schema,
    }


def _request(
    *,
    cpus_m: int = DEFAULT_REQUEST.cpus_m,
    mem_m: int = DEFAULT_REQUEST.mem_m,
    disk_m: int = DEFAULT_REQUEST.disk_m,
    gpus: int = 0,
    ports: tuple[int, tuple[str, ...]] = (0, ()),
    reserve: bool = False,
    volume: tuple[int, str] | None = None,
    abandon_after_s: float = Keep().abandon_after_s,
    revocable: bool = False,
) -> WorkerNeeds:
    request = Request(cpus_m=cpus_m, mem_m=mem_m, disk_m=disk_m, gpus_m=gpus * 1000, ports=ports[0])
    if not (reserve or volume):
        return WorkerNeeds(request, None, revocable, ports[1])
    size_m, path = volume or (0, "")
    keep = Keep(volume_m=size_m, path=path, abandon_after_s=abandon_after_s)
    return WorkerNeeds(request, keep, revocable, ports[1])


def _persistent(*, size_m: int, path: str) -> tuple[int, str]:
    return size_m, path


def _workers(
    *,
    min: int = 1,  # noqa: A002
    max: int | None = None,  # noqa: A002
    initial: int | None = None,
    gang: bool = False,
) -> Workers:
    first = min if initial is None else initial
    return Workers(min=min, max=first if max is None else max, initial=first, gang=gang)


def _container(*, fetch: tuple[FetchUri, ...] = (), **fields: Any) -> tuple[Container, tuple[FetchUri, ...]]:
    return Container(**fields), fetch


def _unreachable(*, replace_after_s: float = 30.0) -> float:
    return replace_after_s


def _job(
    *,
    container: tuple[Container, tuple[FetchUri, ...]] = (Container(), ()),
    worker: WorkerNeeds = WorkerNeeds(DEFAULT_REQUEST, None, False),  # noqa: B008 (immutable)
    **fields: Any,
) -> JobSpec:
    return JobSpec(
        container=container[0],
        fetch=container[1],
        worker=worker.request,
        keep=worker.keep,
        revocable=worker.revocable,
        port_names=worker.port_names,
        **fields,
    )


def _whole_units(thousandth: int) -> float:
    return thousandth / 1000


_PROGRAM: Final = section(
    Program,
    {
        "file": Field(_PROGRAM_FILE, "The Python file of the program, relative to the job file.", required=True),
        "object": Field(_OBJECT, "The Stream in it, or a function that returns one and takes `args`."),
        "args": Field(map_of(text(), anything()), "What the function is called with, by name."),
        "include": Field(list_of(_GLOB), "Patterns of further files that the program needs at hand."),
    },
)

_VOLUME: Final = section(
    Volume,
    {
        "container_path": Field(text(), "Where the volume appears in the container.", required=True),
        "host_path": Field(text(), "A path of the agent, or of the sandbox when relative.", required=True),
        "read_only": Field(flag(), "Whether the container may not write to it."),
    },
)

_FETCH: Final = section(
    FetchUri,
    {
        "uri": Field(text(), "What the agent fetches into the sandbox.", attribute="value", required=True),
        "extract": Field(flag(), "Whether an archive is unpacked."),
        "executable": Field(flag(), "Whether the file is made executable."),
        "cache": Field(flag(), "Whether the agent may keep it for the next worker."),
        "output_file": Field(text(), "Its name in the sandbox, when not that of the URI."),
    },
)

_CONTAINER: Final = section(
    _container,
    defaults=Container,
    rules=(container_fits_type,),
    fields={
        "type": Field(choice(ContainerType), "Who runs the container; none: a plain process of the agent."),
        "image": Field(text(), "The image; it needs Python and millstream."),
        "network": Field(text(), "host, bridge, or the name of a CNI network."),
        "volumes": Field(list_of(_VOLUME), "Paths of the agent that appear in the container."),
        "fetch": Field(list_of(_FETCH), "Files that the agent fetches into the sandbox before the start."),
    },
)

_DATA: Final = section(
    _persistent,
    {
        "size": Field(size(thousandths, _whole_units), "How large it is.", "size_m", required=True),
        "path": Field(_SANDBOX_PATH, "Where it appears in the sandbox.", required=True),
    },
)

_WORKER: Final = section(
    _request,
    rules=(enough_for_a_worker, keeps_what_can_be_kept),
    fields={
        "cpus": Field(number(1024, thousandths, _whole_units), "CPUs; a part of one will do.", "cpus_m"),
        "mem": Field(size(thousandths, _whole_units), "Memory; a bare number is MiB, as in Mesos.", "mem_m"),
        "disk": Field(
            size(thousandths, _whole_units, zero=True), "Disk of the sandbox; a bare number is MiB.", "disk_m"
        ),
        "gpus": Field(whole(most=1024), "Whole GPUs."),
        "ports": Field(
            counted(_PORT_NAME, most=100),
            "Ports of the agent: how many, or a name for each; a worker finds them in PORT0, PORT1 … and PORT_<NAME>.",
        ),
        "reserve": Field(
            flag(), "Whether a worker's resources are reserved for it on its agent, so that it comes back there."
        ),
        "volume": Field(
            _DATA, "A persistent volume that a worker finds again when it comes back; reserves its resources, too."
        ),
        "abandon_after": Field(
            duration(),
            "So long a worker waits for what is reserved; then it starts elsewhere, without its data.",
            "abandon_after_s",
        ),
        "revocable": Field(
            flag(), "Whether workers above workers.min run on resources that may be taken away again, and on no others."
        ),
    },
)

_WORKERS: Final = section(
    _workers,
    rules=(workers_in_order,),
    fields={
        "min": Field(whole(least=1, most=100_000), "There are never fewer."),
        "max": Field(whole(least=1, most=100_000), "There are never more; by default as many as at first."),
        "initial": Field(whole(least=1, most=100_000), "How many there are at first; by default the minimum."),
        "gang": Field(
            flag(), "Whether the first workers start all at once, over as many agents as it takes, or not at all."
        ),
    },
)

_PLACEMENT: Final = section(
    Placement,
    rules=(operator_has_value,),
    fields={
        "attribute": Field(text(), "An agent's attribute, or hostname, @region, @zone.", required=True),
        "operator": Field(choice(Operator), "How the attribute limits where workers go.", required=True),
        "value": Field(words(), "What the operator compares with."),
        "weight": Field(number(most=1000), "Makes the rule a wish that counts this much."),
    },
)

_CHECKPOINT: Final = section(
    Checkpoint,
    {
        "store": Field(_STORE, "Where state is kept; by default a folder per job in the scheduler's store."),
        "interval": Field(duration(), "The time between two checkpoints of a shard.", "interval_s"),
        "keep": Field(whole(least=1, most=10_000), "How many checkpoints of a shard are kept."),
    },
)

_SCALING: Final = section(
    Scaling,
    {
        "enabled": Field(flag(), "Whether the number of workers follows the backlog."),
        "catch_up": Field(duration(), "The time in which a backlog shall be gone.", "catch_up_s"),
        "utilization": Field(number(most=1), "How busy a worker shall be, as a part of 1."),
        "handover": Field(duration(zero=True), "What moving a shard costs, until it was measured.", "handover_s"),
        "cooldown_up": Field(duration(zero=True), "The least time from any change to a next one up.", "cooldown_up_s"),
        "cooldown_down": Field(
            duration(zero=True), "The least time from any change to a next one down.", "cooldown_down_s"
        ),
        "window": Field(duration(), "Rates and costs are measured over this time.", "window_s"),
    },
)

_RESTART: Final = section(
    Restart,
    rules=(backoff_in_order,),
    fields={
        "backoff": Field(duration(), "The wait before the first restart; it doubles with each.", "backoff_s"),
        "backoff_max": Field(duration(), "The wait grows no further.", "backoff_max_s"),
        "healthy_after": Field(duration(), "After so long without failure the wait begins anew.", "healthy_after_s"),
        "give_up_after": Field(
            whole(least=1), "After so many failures in a row the job has failed; null: never.", nullable=True
        ),
    },
)

_JOB: Final = section(
    _job,
    defaults=JobSpec,
    rules=(gpus_without_docker, kept_in_a_role),
    not_yet={
        "secrets": "leave it out, and mount what is secret as a file with container.volumes",
        "upgrade": "leave it out; to change a job, cancel it and submit it again",
    },
    fields={
        "name": Field(_DNS_LABEL, "The job's name, a DNS label.", required=True),
        "program": Field(_PROGRAM, "What to run.", required=True),
        "role": Field(_ROLE, "The Mesos role whose resources the job uses."),
        "engine": Field(
            choice(
                {"millstream": "millstream"},
                not_yet=("container", "flink", "spark", "kafka-streams", "akka-streams", "beam"),
            ),
            "What turns the job into workers.",
        ),
        "container": Field(_CONTAINER, "What a worker runs in."),
        "env": Field(map_of(_VARIABLE, words()), "Environment variables of the workers."),
        "labels": Field(map_of(text(), words()), "Labels of the Mesos tasks."),
        "worker": Field(_WORKER, "What one worker needs."),
        "workers": Field(_WORKERS, "How many workers there may be."),
        "rate_limit": Field(number(), "Records per second and worker; null: as fast as it goes.", nullable=True),
        "placement": Field(list_of(_PLACEMENT), "Where workers may go, or would rather."),
        "strategy": Field(
            choice(Strategy),
            "Of the agents that fit: pack takes the fullest, spread the one with the fewest workers of the job.",
        ),
        "checkpoint": Field(_CHECKPOINT, "Where and how often state is kept."),
        "delivery": Field(choice(Delivery), "What becomes of a record's effects when a worker dies."),
        "scaling": Field(_SCALING, "How the number of workers follows the backlog."),
        "restart": Field(_RESTART, "How a failed worker is started again."),
        "unreachable": Field(
            section(
                _unreachable,
                {
                    "replace_after": Field(
                        duration(zero=True),
                        "So long after its agent became unreachable a worker is replaced.",
                        "replace_after_s",
                    )
                },
            ),
            "What becomes of workers behind a network partition.",
            "unreachable_replace_after_s",
        ),
        "until": Field(choice(Until), "When the job is over; end: a finite stream, all of it processed."),
    },
)
