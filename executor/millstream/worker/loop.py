"""The worker's loop: what happens to it, one event at a time, and what it says.

Events come from one mailbox: the agent's, a signal, or news of the processing thread.  `handle` takes one in, `tick`
does what is due; neither blocks, and both belong to one thread.  What follows from what is `core.lifecycle`'s table.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from millstream.contract import wire
from millstream.contract.assignment import Assignment
from millstream.contract.report import Report
from millstream.contract.worker_spec import WorkerSpec
from millstream.core.cadence import report_at
from millstream.core.executor_api import (
    Aborted,
    Acknowledged,
    Disconnected,
    ExecutorEvent,
    Kill,
    Launch,
    LaunchGroup,
    Message,
    Shutdown,
    Subscribed,
    Task,
    TaskId,
    TaskState,
    UpdateId,
)
from millstream.core.lifecycle import Act, Happening, Phase, after
from millstream.ports import Clock, Executor, ResourceUsage
from millstream.worker.processing import View, Wish

KILL_GRACE_S: Final = 30.0
"""For the last commits after a KILL that does not say how long they may take; nobody enforces it but this loop."""

_RELEASE_SHARE: Final = 0.7
_LAST_WORD_SHARE: Final = 0.9
"""Of the grace of a SHUTDOWN: for releasing shards, and until this process ends by itself."""

_REPORT_SPACING_S: Final = 0.05
REPORT_BYTES_PER_S: Final = 500_000
"""What changes may cost of the way through agent and master: a thousand shards make a report of half a megabyte, and
claiming them a thousand changes.  Regular reports come at their interval, however large.
"""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """The processing thread has published."""


@dataclass(frozen=True, slots=True)
class Terminate:
    """A signal asks this process to end."""


WorkerEvent = ExecutorEvent | News | Terminate


class Work(Protocol):
    """What the loop needs of the processing thread."""

    def want(self, wish: Wish) -> None:
        """Replace what is to be owned."""
        ...

    def view(self) -> View:
        """What is owned."""
        ...


class WorkerLoop:
    """One worker, from its first event to its exit code.

    `start` starts processing for a spec; `grace_s` is how long this process lives after SIGTERM.
    """

    def __init__(
        self,
        *,
        executor: Executor,
        start: Callable[[WorkerSpec], Work],
        clock: Clock,
        usage: Callable[[], ResourceUsage],
        grace_s: float,
    ) -> None:
        self._executor = executor
        self._start = start
        self._clock = clock
        self._usage = usage
        self._grace_s = grace_s
        self._born_at = clock.monotonic()
        self._phase = Phase.WAITING
        self._task_id: TaskId | None = None
        self._spec: WorkerSpec | None = None
        self._work: Work | None = None
        self._says_killing = False
        self._version = 0
        self._message_problem: str | None = None
        self._failure: str | None = None
        self._release_by = float("inf")
        self._end_by = float("inf")
        self._last_word: UpdateId | None = None
        self._sequence = 0
        self._report_bytes = 0
        self._reported_at = self._born_at
        self._reported: object = None
        self.exit_code: int | None = None

    def handle(self, event: WorkerEvent) -> None:
        """Take in one event."""
        match event:
            case Subscribed(capabilities=capabilities):
                self._says_killing = "TASK_KILLING_STATE" in capabilities
                self._reported = None  # what was sent while there was no agent is lost
            case Launch(task=task):
                self._launched(task)
            case LaunchGroup(tasks=tasks):
                for task in tasks:
                    self._refuse(task, "a worker takes single tasks, no task groups")
            case Kill(task_id=task_id, grace_s=grace_s):
                self._kill(task_id, KILL_GRACE_S if grace_s is None else grace_s)
            case Acknowledged(uuid=uuid):
                if uuid == self._last_word:
                    self._happens(Happening.CONFIRMED)
            case Message(data=data):
                self._told(data)
            case Shutdown(grace_s=grace_s, reason=reason):
                self._shut_down(grace_s, reason)
            case Terminate():
                self._shut_down(self._grace_s, "a signal asks for it")
            case Aborted(message=message):
                _log.error("the agent gave up this executor: %s", message)
                self._happens(Happening.ABANDONED)
            case Disconnected() | News():
                pass

    def tick(self) -> float | None:
        """Do what is due.  Returns when to call again at the latest, on the monotonic clock; None: it is over."""
        now = self._clock.monotonic()
        if self._work is not None:
            self._see(self._work.view())
        if now >= self._release_by:
            self._happens(Happening.OVERDUE)
        if now >= self._end_by:
            self._happens(Happening.DEADLINE)
        if self._phase is Phase.OVER:
            return None
        dues = [due for due in (self._release_by, self._end_by) if due > now]
        if self._work is not None and self._phase is not Phase.LAST_WORD:
            dues.append(self._report_if_due(self._work.view(), now))
        return min(dues, default=float("inf"))

    # ---- what comes in

    def _launched(self, task: Task) -> None:
        if self._task_id is not None:
            self._refuse(task, f"this worker has its task already: {self._task_id}")
            return
        self._task_id = task.task_id
        try:
            self._spec = _spec(task)
        except wire.Unreadable as problem:
            _log.error("cannot run task %s: %s", task.task_id, problem)
            self._failure = str(problem)
            self._happens(Happening.UNREADABLE)
        else:
            _log.info("task %s: worker %d of job %s", task.task_id, self._spec.worker, self._spec.job)
            self._happens(Happening.LAUNCHED)

    def _refuse(self, task: Task, reason: str) -> None:
        _log.error("task %s refused: %s", task.task_id, reason)
        self._executor.update(task.task_id, TaskState.FAILED, message=reason)

    def _told(self, data: bytes) -> None:
        try:
            assignment = wire.decode(data, Assignment)
        except wire.Unreadable as problem:
            _log.warning("message ignored: %s", problem)
            self._message_problem = str(problem)
            return
        if self._task_id is None or assignment.task_id != self._task_id:
            _log.warning("assignment %d is for task %s, not for this one", assignment.version, assignment.task_id)
            return
        self._message_problem = None
        if assignment.version <= self._version:
            return
        self._version = assignment.version
        if assignment.drain:
            _log.info("assignment %d: drain", assignment.version)
            self._happens(Happening.DRAIN)
        elif self._work is not None and self._phase in (Phase.STARTING, Phase.RUNNING):
            shards = {one.shard: one.epoch for one in assignment.shards}
            read = {one.shard: one.read_before for one in assignment.shards if one.read_before is not None}
            self._work.want(Wish(version=assignment.version, shards=shards, read_before=read))

    def _kill(self, task_id: TaskId, grace_s: float) -> None:
        if task_id != self._task_id:
            _log.warning("KILL of task %s, which is not here", task_id)
            return
        _log.info("task %s is to be killed, %.1f s for its last commits", task_id, grace_s)
        self._release_by = min(self._release_by, self._clock.monotonic() + grace_s)
        self._happens(Happening.KILL)

    def _shut_down(self, grace_s: float, reason: str) -> None:
        _log.info("shutting down within %.1f s: %s", grace_s, reason)
        now = self._clock.monotonic()
        self._release_by = min(self._release_by, now + _RELEASE_SHARE * grace_s)
        self._end_by = min(self._end_by, now + _LAST_WORD_SHARE * grace_s)
        self._happens(Happening.KILL)

    def _see(self, view: View) -> None:
        if view.broken is not None:
            self._failure = view.broken
            self._happens(Happening.BROKEN)
        elif view.ended:
            self._happens(Happening.RELEASED)
        elif view.loaded:
            self._happens(Happening.LOADED)

    # ---- what follows

    def _happens(self, happening: Happening) -> None:
        before = self._phase
        self._phase, acts = after(before, happening)
        if self._phase is not before:
            _log.info("%s → %s: %s", before.value, self._phase.value, happening.value)
        for act in acts:
            self._do(act)
        if self._phase is Phase.OVER and self.exit_code is None:
            self.exit_code = 1 if happening is Happening.ABANDONED else 0

    def _do(self, act: Act) -> None:
        match act:
            case Act.START:
                assert self._spec is not None
                self._work = self._start(self._spec)
            case Act.RELEASE_ALL:
                assert self._work is not None
                self._work.want(Wish(version=self._version, end=True))
            case Act.REPORT:
                assert self._work is not None
                self._send_report(self._work.view())
            case Act.SAY_STARTING:
                self._say(TaskState.STARTING)
            case Act.SAY_RUNNING:
                self._say(TaskState.RUNNING)
            case Act.SAY_KILLING:
                if self._says_killing:
                    self._say(TaskState.KILLING)
            case Act.SAY_FINISHED:
                self._last_word = self._say(TaskState.FINISHED)
                self.exit_code = 0
            case Act.SAY_KILLED:
                self._last_word = self._say(TaskState.KILLED)
                self.exit_code = 0
            case Act.SAY_FAILED:
                self._last_word = self._say(TaskState.FAILED, message=self._failure)
                self.exit_code = 1

    def _say(self, state: TaskState, *, message: str | None = None) -> UpdateId:
        assert self._task_id is not None
        return self._executor.update(self._task_id, state, message=message)

    # ---- reports

    def _report_if_due(self, view: View, now: float) -> float:
        """Report if it is time to; when the next report is due."""
        assert self._spec is not None
        interval_s = self._spec.report_interval_s
        due_at = report_at(
            last_at=self._reported_at,
            changed=self._outline(view) != self._reported,
            interval_s=interval_s,
            spacing_s=max(_REPORT_SPACING_S, self._report_bytes / REPORT_BYTES_PER_S),
        )
        if due_at > now:
            return due_at
        self._send_report(view)
        return now + interval_s

    def _send_report(self, view: View) -> None:
        assert self._spec is not None
        self._sequence += 1
        data = wire.encode(self._report(self._spec, view))
        self._executor.send(data)
        self._report_bytes = len(data)
        self._reported_at = self._clock.monotonic()
        self._reported = self._outline(view)

    def _outline(self, view: View) -> object:
        """What makes a change worth telling at once; all else waits for its time."""
        shards = [(one.shard, one.epoch, one.state, one.problem) for one in (shard.report for shard in view.shards)]
        known = [one.shard for one in view.known]
        return view.version, shards, known, view.complete, view.broken, view.problem, self._message_problem

    def _report(self, spec: WorkerSpec, view: View) -> Report:
        now = self._clock.monotonic()
        usage = self._usage()
        return Report(
            job=spec.job,
            worker=spec.worker,
            task_id=spec.task_id,
            sequence=self._sequence,
            assignment_version=view.version,
            revision=spec.program.sha256,
            owned=tuple(shard.report_at(now) for shard in view.shards),
            known=view.known,
            complete=view.complete,
            cpu_s=usage.cpu_s,
            rss_bytes=usage.rss_bytes,
            throttled_s=usage.throttled_s,
            uptime_s=now - self._born_at,
            problem=view.broken or self._message_problem or view.problem,
        )


def _spec(task: Task) -> WorkerSpec:
    """The spec in a task's data.

    Raises:
        Unreadable: there is none that this worker can keep to.
    """
    spec = wire.decode(task.data, WorkerSpec)
    if spec.task_id != task.task_id:
        raise wire.Unreadable(f"the data of task {task.task_id} is for task {spec.task_id}")
    for name, value in (
        ("rate_limit", spec.rate_limit),
        ("report_interval_s", spec.report_interval_s),
        ("checkpoint.interval_s", spec.checkpoint.interval_s),
        ("checkpoint.keep", spec.checkpoint.keep),
    ):
        if value is not None and not value > 0:
            raise wire.Unreadable(f"{name} must be above 0, it is {value}")
    return spec
