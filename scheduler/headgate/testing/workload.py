"""What is asked of Headgate in one run: cluster, jobs and their input, and people who change their minds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random
from typing import Final

from headgate.errors import BadJob, StaleLeader, UnknownJob
from headgate.loop import Scheduler
from headgate.model.command import Receipt
from headgate.model.ids import JobName
from headgate.model.job import (
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
from headgate.model.record import Goal
from headgate.model.resources import Request
from headgate.simulator.agent import AgentSettings
from headgate.testing.randomness import log_uniform
from headgate.testing.source import Source
from headgate.testing.timeline import Timeline
from headgate.testing.trace import Trace
from millstream.contract.worker_spec import Until

GIB: Final = 1_024_000
NOT_IN_R1: Final = Placement(attribute="rack", operator=Operator.UNLIKE, value="r1")
ROLES: Final = ("*", "*", "red", "blue")
RATE_PER_S: Final = 1000.0
"""What one worker can do."""
PATIENCE_S: Final = 1.0
"""People look for an answer so often, and ask again when there is none to come."""

Command = Callable[[Scheduler], "Future[Receipt]"]


def draw_agents(randomness: Random, specs: Sequence[JobSpec]) -> list[AgentSettings]:
    """Agents with room for all workers and more, in one rack alone if need be; one more for GPUs if jobs want any."""
    workers = sum(spec.workers.max for spec in specs)
    gpus = sum(spec.workers.max for spec in specs if spec.worker.gpus_m)
    count = randomness.randint(2, 5)
    cpus = -(-(workers + 2) // count) + randomness.randint(0, 2)
    if any(spec.placement for spec in specs):
        cpus *= 2
    plain = [_agent(number, cpus) for number in range(count)]
    return [*plain, _agent(count, workers + 2, f";gpus:{gpus}")] if gpus else plain


def _agent(number: int, cpus: int, more: str = "") -> AgentSettings:
    return AgentSettings(
        resources=f"cpus:{cpus};mem:{cpus * 1100};disk:100000;ports:[31000-31100]{more}",
        attributes=f"rack:r{number % 2}",
        hostname=f"a{number}.example",
        ip=f"10.0.0.{number + 1}",
        executor_registration_timeout_s=20.0,
        registration_backoff_s=0.5,
    )


def draw_jobs(randomness: Random) -> list[JobSpec]:
    """One job or two, and at times one that needs GPUs."""
    jobs = [draw_job(randomness, f"job{number}") for number in range(1 + (randomness.random() < 0.3))]
    if randomness.random() < 0.2:
        jobs.append(draw_job(randomness, "gpu-job", gpus=True))
    return jobs


def draw_job(randomness: Random, name: str, *, gpus: bool = False) -> JobSpec:
    """A job of one-cpu workers; with `gpus` each has a GPU as well."""
    least = randomness.randint(1, 2)
    most = least + randomness.randint(0, 3)
    role = randomness.choice(ROLES)
    keep = _keep(randomness) if role != "*" and not gpus and randomness.random() < 0.4 else None
    return JobSpec(
        name=JobName(name),
        role=role,
        keep=keep,
        strategy=randomness.choice((Strategy.PACK, Strategy.SPREAD)),
        program=Program(file="p.py", sha256="ab" * 32),
        worker=Request(cpus_m=1000, mem_m=GIB, gpus_m=1000 * gpus, ports=randomness.randint(0, 1)),
        workers=Workers(
            min=least,
            max=most,
            initial=randomness.randint(least, most),
            gang=keep is None and randomness.random() < 0.2,
        ),
        checkpoint=Checkpoint(interval_s=log_uniform(randomness, 1.0, 10.0)),
        scaling=Scaling(
            enabled=randomness.random() < 0.7,
            catch_up_s=30.0,
            handover_s=5.0,
            cooldown_up_s=10.0,
            cooldown_down_s=30.0,
        ),
        placement=() if gpus or randomness.random() < 0.7 else (NOT_IN_R1,),
        restart=Restart(backoff_s=0.5, backoff_max_s=20.0, healthy_after_s=log_uniform(randomness, 5.0, 60.0)),
        unreachable_replace_after_s=log_uniform(randomness, 2.0, 40.0),
        until=Until.END if randomness.random() < 0.3 else Until.FOREVER,
    )


def _keep(randomness: Random) -> Keep:
    abandon_after_s = log_uniform(randomness, 10.0, 120.0)
    if randomness.random() < 0.5:
        return Keep(abandon_after_s=abandon_after_s)
    return Keep(volume_m=GIB, path="state", abandon_after_s=abandon_after_s)


def draw_source(randomness: Random, timeline: Timeline, spec: JobSpec) -> Source:
    """The job's input: some there, some to come."""
    source = Source(timeline, finite=spec.until is Until.END)
    for number in range(randomness.randint(1, 8)):
        records = int(log_uniform(randomness, 10, 20_000))
        source.add(f"s{number}", records=records, rate_per_s=log_uniform(randomness, 1.0, 300.0))
    return source


@dataclass(slots=True)
class Wish:
    """What the owner of a job wants in the end."""

    spec: JobSpec
    goal: Goal = Goal.RUN


class People:
    """Give commands, one at a time, each until it is answered; `busy` while one is not."""

    def __init__(self, timeline: Timeline, trace: Trace, scheduler: Callable[[], Scheduler | None]) -> None:
        self._timeline = timeline
        self._trace = trace
        self._scheduler = scheduler
        self._commands: deque[tuple[str, Command]] = deque()
        self._asked: Scheduler | None = None
        self._answer: Future[Receipt] | None = None
        self.wake: Callable[[], None] = _nothing
        self.wishes: dict[JobName, Wish] = {}
        self._look()

    @property
    def busy(self) -> bool:
        """Whether anything is not answered yet."""
        return bool(self._commands)

    def submit(self, spec: JobSpec) -> None:
        """Run a job, from now on."""
        self.wishes[spec.name] = Wish(spec)
        self._commands.append((f"submit {spec.name}", lambda scheduler: scheduler.submit(spec)))

    def scale(self, job: JobName, workers: int | None) -> None:
        """Have so many workers, or as many as the policy says."""
        self._commands.append((f"scale {job} {workers}", lambda scheduler: scheduler.scale(job, workers)))

    def cancel(self, job: JobName) -> None:
        """Stop a job."""
        self.wishes[job].goal = Goal.CANCEL
        self._commands.append((f"cancel {job}", lambda scheduler: scheduler.cancel(job)))

    def pause(self, job: JobName) -> None:
        """Let a job rest."""
        self.wishes[job].goal = Goal.PAUSE
        self._commands.append((f"pause {job}", lambda scheduler: scheduler.pause(job)))

    def resume(self, job: JobName) -> None:
        """Let a job go on."""
        self.wishes[job].goal = Goal.RUN
        self._commands.append((f"resume {job}", lambda scheduler: scheduler.resume(job)))

    def restart(self, job: JobName) -> None:
        """Have every worker of a job replaced."""
        self._commands.append((f"restart {job}", lambda scheduler: scheduler.restart(job)))

    def resume_some(self, randomness: Random) -> None:
        """Let some of the jobs that rest go on."""
        for name in sorted(self.wishes):
            if self.wishes[name].goal is Goal.PAUSE and randomness.random() < 0.5:
                self.resume(name)

    def change_mind(self, randomness: Random) -> None:
        """Any command."""
        wish = self.wishes[randomness.choice(sorted(self.wishes))]
        spec, choice = wish.spec, randomness.random()
        if wish.goal is Goal.CANCEL:
            self.submit(spec)
        elif wish.goal is Goal.PAUSE:
            self.resume(spec.name)
        elif choice < 0.6:
            self.scale(spec.name, randomness.randint(spec.workers.min, spec.workers.max))
        elif choice < 0.7:
            self.scale(spec.name, None)
        elif choice < 0.8:
            self.restart(spec.name)
        elif choice < 0.9:
            self.pause(spec.name)
        else:
            self.cancel(spec.name)

    def _look(self) -> None:
        self._follow()
        self._timeline.after(PATIENCE_S, self._look)

    def _follow(self) -> None:
        scheduler = self._scheduler()
        if not self._commands or scheduler is None:
            return
        text, command = self._commands[0]
        if self._answer is None or self._asked is not scheduler:
            self._asked, self._answer = scheduler, command(scheduler)
            self._trace.say("people", text)
            self.wake()
        elif self._answer.done():
            answer, self._answer = self._answer, None
            problem = answer.exception(timeout=0)
            self._trace.say("people", f"{text}: {problem or answer.result(timeout=0).text}")
            if self._is_settled(text, problem, scheduler):
                self._commands.popleft()

    def _is_settled(self, text: str, problem: BaseException | None, scheduler: Scheduler) -> bool:
        """Whether there is nothing more to ask: it was done, has been done before, or makes no sense any more."""
        if problem is None or isinstance(problem, UnknownJob):
            return True
        assert isinstance(problem, BadJob | StaleLeader), problem
        if isinstance(problem, BadJob) and text.startswith(("pause", "resume", "restart")):
            return True  # The job is over, or about to be.
        if isinstance(problem, StaleLeader) or not text.startswith("submit"):
            return False
        job = scheduler.view.find_job(text.removeprefix("submit "))
        return job is not None and job.goal is Goal.RUN and not job.state.leaving


def _nothing() -> None:
    """Nobody is to be woken."""
