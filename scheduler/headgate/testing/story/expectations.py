"""What a story can expect: things seen at the master, and what Headgate says of its jobs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from headgate.model.status import TaskState
from headgate.testing.story.acts import worker


class Sight(Enum):
    """What can be seen; the value is how it reads."""

    REGISTERED = "registered"
    LAUNCHED = "launched"
    DECLINED = "declined"
    KILLED = "killed"
    SUPPRESSED = "suppressed"
    REVIVED = "revived"
    RECONCILED = "reconciled"
    ACKNOWLEDGED = "acknowledged"
    TASK = "task"
    JOB = "job"
    WAITS = "waits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One thing that happened, `at` seconds after the story began.

    `names` are what it can be found by (a task's id and name, a role, a job), `state` is that of a task or job,
    `agent` the name of where it happened, `number` how long a filter is, or how many tasks were asked about.
    """

    at: float
    sight: Sight
    text: str
    names: tuple[str, ...] = ()
    state: str | None = None
    agent: str | None = None
    number: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One thing to be seen.  What is None or empty does not matter."""

    sight: Sight
    text: str
    name: str | None = None
    state: str | None = None
    agent: str | None = None
    number_min: float | None = None
    number_max: float | None = None

    def meets(self, seen: Seen) -> bool:
        """Whether this is it."""
        return (
            seen.sight is self.sight
            and (self.name is None or any(fnmatchcase(name, self.name) for name in seen.names))
            and (self.state is None or fnmatchcase(seen.state or "", self.state))
            and (self.agent is None or seen.agent == self.agent)
            and (self.number_min is None or (seen.number is not None and seen.number >= self.number_min))
            and (self.number_max is None or (seen.number is not None and seen.number <= self.number_max))
        )


def registered() -> Expectation:
    """The framework has subscribed."""
    return Expectation(sight=Sight.REGISTERED, text="a subscription")


def launched(task: str, worker: int | None = None, *, on: str | None = None) -> Expectation:
    """A task is launched; with `worker`, of a Headgate job.  `on` is an agent's name."""
    what = f"worker {worker} of {task}" if worker is not None else f"task {task}"
    text = f"{what} launched" + (f" on agent {on}" if on else "")
    return Expectation(sight=Sight.LAUNCHED, text=text, name=_task(task, worker), agent=on)


def killed(task: str, worker: int | None = None) -> Expectation:
    """A KILL for a task."""
    return Expectation(sight=Sight.KILLED, text=f"a KILL for {task}", name=_task(task, worker))


def task_is(task: str, state: TaskState | str, worker: int | None = None) -> Expectation:
    """The master says that a task has come to a state."""
    name = state.value if isinstance(state, TaskState) else f"TASK_{state.removeprefix('TASK_')}"
    what = f"worker {worker} of {task}" if worker is not None else f"task {task}"
    return Expectation(sight=Sight.TASK, text=f"{what} in {name}", name=_task(task, worker), state=name)


def acknowledged(task: str, worker: int | None = None) -> Expectation:
    """An update of the task is acknowledged."""
    return Expectation(sight=Sight.ACKNOWLEDGED, text=f"an ACKNOWLEDGE for {task}", name=_task(task, worker))


def declined(*, at_least: float | None = None, at_most: float | None = None) -> Expectation:
    """An offer is declined, for at least or at most so many seconds."""
    bounds = [f"at least {at_least:g} s" if at_least is not None else "", f"at most {at_most:g} s" if at_most else ""]
    text = " and ".join(["an offer declined", *filter(None, bounds)])
    return Expectation(sight=Sight.DECLINED, text=text, number_min=at_least, number_max=at_most)


def suppressed(role: str | None = None) -> Expectation:
    """Offers are suppressed."""
    return Expectation(sight=Sight.SUPPRESSED, text=f"SUPPRESS {role or ''}".rstrip(), name=role)


def revived(role: str | None = None) -> Expectation:
    """Offers are revived."""
    return Expectation(sight=Sight.REVIVED, text=f"REVIVE {role or ''}".rstrip(), name=role)


def reconciled(*, explicit: bool | None = None) -> Expectation:
    """A RECONCILE: explicit about named tasks, implicit about all, either if nothing is said."""
    kind = {None: "", True: "explicit ", False: "implicit "}[explicit]
    return Expectation(
        sight=Sight.RECONCILED,
        text=f"an {kind}RECONCILE" if kind else "a RECONCILE",
        number_min=1 if explicit else None,
        number_max=0 if explicit is False else None,
    )


def job_is(name: str, state: str) -> Expectation:
    """Headgate says that a job has come to a state (`running`, `recovering`, `completed` …)."""
    return Expectation(sight=Sight.JOB, text=f"job {name} {state}", name=name, state=state)


def job_waits(name: str, because: str = "*") -> Expectation:
    """Headgate says that a job waits, for a reason that fits a pattern."""
    return Expectation(sight=Sight.WAITS, text=f"job {name} waiting because of {because}", name=name, state=because)


def _task(task: str, number: int | None) -> str:
    return task if number is None else worker(task, number)
