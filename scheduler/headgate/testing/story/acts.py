"""What a story can send: things that happen to a cluster, its agents, its tasks, or to Headgate.

Each is made by a function with the word one would use.  Durations are `"30s"`, `"1h"` or seconds, sizes
`"8GiB"` or MiB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from headgate.core.units import duration_text, find_mib, find_seconds
from headgate.model.ids import JobName
from headgate.model.job import JobSpec, Program, Restart, Scaling, Workers
from headgate.model.resources import Request
from headgate.model.status import TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentJoins:
    """An agent comes up.  `resources` and `attributes` are those of the agent's command line."""

    name: str
    resources: str
    attributes: str = ""

    def __str__(self) -> str:
        """For people."""
        return f"agent {self.name} joins: {self.resources} {self.attributes}".rstrip()


class AgentVerb(Enum):
    """What can befall an agent; the value is how it reads."""

    DIES = "dies, its tasks live on"
    RETURNS = "is started again"
    CUT_OFF = "is cut off"
    BACK = "is back in the network"
    LOST = "is lost with everything on it"
    GONE = "is marked gone by an operator"
    DRAINED = "is drained"
    DEACTIVATED = "is deactivated"
    REACTIVATED = "is reactivated"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAct:
    """Something befalls one agent."""

    verb: AgentVerb
    agent: str

    def __str__(self) -> str:
        """For people."""
        return f"agent {self.agent} {self.verb.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """A window is announced for an agent's machine."""

    agent: str
    in_s: float
    for_s: float

    def __str__(self) -> str:
        """For people."""
        return f"agent {self.agent} is to be down in {duration_text(self.in_s)} for {duration_text(self.for_s)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """A role may have so many cpus; None: as many as there are."""

    role: str
    cpus: float | None

    def __str__(self) -> str:
        """For people."""
        return f"role {self.role} may have {'any number of' if self.cpus is None else f'{self.cpus:g}'} cpus"


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterFailsOver:
    """The master dies and another one leads, with its registry."""

    def __str__(self) -> str:
        """For people."""
        return "the master fails over"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerDies:
    """The scheduler is killed; another one leads soon after."""

    def __str__(self) -> str:
        """For people."""
        return "the scheduler is killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamBreaks:
    """The scheduler's connection to the master breaks; `half_open`: nobody notices until heartbeats are missed."""

    half_open: bool = False

    def __str__(self) -> str:
        """For people."""
        return f"the scheduler's stream {'goes silent' if self.half_open else 'breaks'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitted:
    """A job is submitted to Headgate, with so many shards of so many records each."""

    spec: JobSpec
    shards: int
    records: int

    def __str__(self) -> str:
        """For people."""
        return f"job {self.spec.name} is submitted, with {self.spec.workers.initial} workers"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobScaled:
    """Somebody sets a job's number of workers."""

    job: str
    workers: int

    def __str__(self) -> str:
        """For people."""
        return f"job {self.job} is scaled to {self.workers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCancelled:
    """Somebody cancels a job."""

    job: str

    def __str__(self) -> str:
        """For people."""
        return f"job {self.job} is cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSays:
    """A task's executor reports a state.  `task` is a pattern that fits its id, or its name."""

    task: str
    state: TaskState
    message: str | None = None

    def __str__(self) -> str:
        """For people."""
        return f"task {self.task} says {self.state.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDies:
    """A task's process is killed, as if by accident."""

    task: str

    def __str__(self) -> str:
        """For people."""
        return f"the process of task {self.task} is killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkStarts:
    """A framework's scheduler is started as a process; `{master}` in its arguments is the master's host:port."""

    argv: tuple[str, ...]
    env: Mapping[str, str]

    def __str__(self) -> str:
        """For people."""
        return f"{' '.join(self.argv)} is started"


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkEnds:
    """The framework's scheduler is killed."""

    def __str__(self) -> str:
        """For people."""
        return "the framework's process is killed"


Act = (
    AgentJoins
    | AgentAct
    | Maintenance
    | Quota
    | MasterFailsOver
    | SchedulerDies
    | StreamBreaks
    | JobSubmitted
    | JobScaled
    | JobCancelled
    | TaskSays
    | TaskDies
    | FrameworkStarts
    | FrameworkEnds
)


# ---- the words of a script


def agent(
    name: str,
    *,
    cpus: float = 4,
    mem: float | str = "4GiB",
    disk: float | str = "8GiB",
    gpus: int = 0,
    ports: str = "31000-31100",
    **attributes: str,
) -> AgentJoins:
    """An agent with these resources joins; other keywords are its attributes."""
    resources = f"cpus:{cpus:g};mem:{_mib(mem):g};disk:{_mib(disk):g};ports:[{ports}]"
    return AgentJoins(
        name=name,
        resources=resources + (f";gpus:{gpus}" if gpus else ""),
        attributes=";".join(f"{key}:{value}" for key, value in attributes.items()),
    )


def agent_dies(name: str) -> AgentAct:
    """The agent's process is killed; what runs there lives on."""
    return AgentAct(verb=AgentVerb.DIES, agent=name)


def agent_returns(name: str) -> AgentAct:
    """An agent that died is started again on what it left; one that was lost, anew."""
    return AgentAct(verb=AgentVerb.RETURNS, agent=name)


def agent_cut_off(name: str) -> AgentAct:
    """The agent hears and says nothing any more; its tasks run on."""
    return AgentAct(verb=AgentVerb.CUT_OFF, agent=name)


def agent_back(name: str) -> AgentAct:
    """An agent that was cut off catches up."""
    return AgentAct(verb=AgentVerb.BACK, agent=name)


def agent_lost(name: str) -> AgentAct:
    """The agent's machine is gone, with every task on it."""
    return AgentAct(verb=AgentVerb.LOST, agent=name)


def agent_gone(name: str) -> AgentAct:
    """An operator marks the agent gone."""
    return AgentAct(verb=AgentVerb.GONE, agent=name)


def drained(name: str) -> AgentAct:
    """An operator drains the agent."""
    return AgentAct(verb=AgentVerb.DRAINED, agent=name)


def deactivated(name: str) -> AgentAct:
    """An operator deactivates the agent: its tasks run on, nothing more of it is offered."""
    return AgentAct(verb=AgentVerb.DEACTIVATED, agent=name)


def reactivated(name: str) -> AgentAct:
    """An operator takes a drain or deactivation back."""
    return AgentAct(verb=AgentVerb.REACTIVATED, agent=name)


def maintenance(name: str, *, in_: float | str, lasting: float | str = "1h") -> Maintenance:
    """An operator announces a maintenance window."""
    return Maintenance(agent=name, in_s=seconds(in_), for_s=seconds(lasting))


def quota(role: str, *, cpus: float | None) -> Quota:
    """An operator limits a role, or with None takes the limit back."""
    return Quota(role=role, cpus=cpus)


def master_fails_over() -> MasterFailsOver:
    """The master dies, another one leads."""
    return MasterFailsOver()


def scheduler_dies() -> SchedulerDies:
    """The scheduler is killed, another one takes its place."""
    return SchedulerDies()


def stream_breaks(*, half_open: bool = False) -> StreamBreaks:
    """The connection to the master is lost, with or without notice."""
    return StreamBreaks(half_open=half_open)


def job(
    name: str,
    *,
    workers: int = 1,
    cpus: float = 1,
    mem: float | str = "1GiB",
    gpus: int = 0,
    ports: int = 0,
    role: str = "*",
    shards: int = 1,
    records: int = 0,
    **spec: Any,
) -> JobSubmitted:
    """A job is submitted.  Its number of workers stays as set here; other keywords are fields of `JobSpec`."""
    given: dict[str, Any] = {"scaling": Scaling(enabled=False), "restart": Restart(backoff_s=1.0), **spec}
    return JobSubmitted(
        spec=JobSpec(
            name=JobName(name),
            role=role,
            program=Program(file="p.py", sha256="ab" * 32),
            worker=Request(cpus_m=round(cpus * 1000), mem_m=round(_mib(mem) * 1000), gpus_m=1000 * gpus, ports=ports),
            workers=Workers(min=1, max=max(16, workers), initial=workers),
            **given,
        ),
        shards=shards,
        records=records,
    )


def scaled(name: str, workers: int) -> JobScaled:
    """Somebody sets the number of workers."""
    return JobScaled(job=name, workers=workers)


def cancelled(name: str) -> JobCancelled:
    """Somebody cancels the job."""
    return JobCancelled(job=name)


def status(task: str, worker_or_state: int | TaskState | str, state: TaskState | str | None = None) -> TaskSays:
    """A task reports a state: `status("delays", 0, "FAILED")` for a worker, `status("web-*", "FAILED")` for others."""
    if isinstance(worker_or_state, int):
        assert state is not None, "which state does the worker report?"
        return TaskSays(task=worker(task, worker_or_state), state=_state(state))
    return TaskSays(task=task, state=_state(worker_or_state))


def task_dies(task: str, number: int | None = None) -> TaskDies:
    """The task's process is killed; with a number, that worker of a job."""
    return TaskDies(task=task if number is None else worker(task, number))


def framework(*argv: str, env: Mapping[str, str] | Sequence[tuple[str, str]] = ()) -> FrameworkStarts:
    """A framework of one's own is started; `{master}` in its arguments stands for the master's host:port."""
    return FrameworkStarts(argv=argv, env=dict(env))


def framework_ends() -> FrameworkEnds:
    """That framework is killed."""
    return FrameworkEnds()


def worker(job_name: str, number: int) -> str:
    """The pattern of the task ids that fill one worker slot of a Headgate job."""
    return f"{job_name}.*.{number}.*"


def seconds(duration: float | str) -> float:
    """A duration in seconds.

    Raises:
        ValueError: it is none.
    """
    found = find_seconds(duration)
    if found is None:
        raise ValueError(f"{duration!r} is no duration; write 30s, 5m or 1h, or a number of seconds")
    return found


def _mib(size: float | str) -> float:
    found = find_mib(size)
    if found is None:
        raise ValueError(f"{size!r} is no size; write 512MiB or 8GiB, or a number of MiB")
    return found


def _state(state: TaskState | str) -> TaskState:
    return state if isinstance(state, TaskState) else TaskState(f"TASK_{state.removeprefix('TASK_')}")
