"""What a simulated and a real Mesos have in common as stages: a framework as a process, seen through a tap.

Time is real here: expectations are waited for, and `after` takes as long as it says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import requests

from headgate.adapters.clock import SystemClock
from headgate.simulator.messages import Json
from headgate.testing.story.acts import (
    Act,
    AgentAct,
    AgentVerb,
    FrameworkEnds,
    FrameworkStarts,
    JobCancelled,
    JobScaled,
    JobSubmitted,
    Quota,
    SchedulerDies,
    StreamBreaks,
    TaskSays,
)
from headgate.testing.story.expectations import Seen, Sight
from headgate.testing.story.http_sights import Sights
from headgate.testing.story.stage import CannotDo, StageFailed
from headgate.testing.story.tap import Tap

PATIENCE_S: Final = 20.0
END_S: Final = 10.0
LOOK_S: Final = 0.25
ANSWER_S: Final = 10.0
LAST_WORDS: Final = 12
OPERATOR_CALLS: Final = {
    AgentVerb.DRAINED: "DRAIN_AGENT",
    AgentVerb.DEACTIVATED: "DEACTIVATE_AGENT",
}


class HttpStage:
    """See `Stage`.  Subclasses say where the master is, and do what only they can."""

    patience_s = PATIENCE_S

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._begun = self._clock.monotonic()
        self._changed = threading.Condition()
        self._sights = Sights(self.now)
        self._tap: Tap | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._started: FrameworkStarts | None = None
        self._output = tempfile.NamedTemporaryFile(prefix="framework-")  # noqa: SIM115 (closed with the stage)

    def __enter__(self) -> HttpStage:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self.close()

    # ---- for subclasses

    def find_master(self) -> str:
        """`host:port` of the master that leads."""
        raise NotImplementedError

    def act(self, act: Act) -> None:
        """What is not common to all such stages."""
        raise CannotDo(f"a {type(self).__name__} has no way to do that: {act}")

    def agent_id(self, name: str) -> str:
        """The id of an agent of the story.

        Raises:
            StageFailed: there is none.
        """
        raise NotImplementedError

    # ---- Stage

    @property
    def seen(self) -> Sequence[Seen]:
        """See `Stage`."""
        return self._sights.seen

    @property
    def address(self) -> str:
        """`host:port` that a framework is to take for the master's, so that its words are seen."""
        if self._tap is None:
            self._tap = Tap(self.find_master(), self._heard)
        return self._tap.address

    def now(self) -> float:
        """See `Stage`."""
        return self._clock.monotonic() - self._begun

    def blind_to(self, sight: Sight) -> str | None:
        """See `Stage`."""
        if sight in (Sight.JOB, Sight.WAITS):
            return "no Headgate runs here that could say so"
        return None

    def wait(self, until: Callable[[], bool], within_s: float) -> bool:
        """See `Stage`."""
        with self._changed:
            return self._changed.wait_for(until, within_s)

    def notes(self) -> Sequence[str]:
        """See `Stage`: the last words of the framework's process."""
        if self._started is None:
            return ()
        words = Path(self._output.name).read_text("utf-8", "replace").splitlines()
        status = None if self._process is None else self._process.poll()
        ended = "runs" if status is None else f"ended with {status}"
        return (f"the framework {ended}; its last words:", *(f"  {each}" for each in words[-LAST_WORDS:]))

    def close(self) -> None:
        """See `Stage`."""
        self._end_framework()
        if self._tap is not None:
            self._tap.close()
            self._tap = None
        self._output.close()

    def do(self, act: Act) -> None:
        """See `Stage`."""
        match act:
            case FrameworkStarts():
                self._start(act)
            case FrameworkEnds():
                self._end_framework()
            case SchedulerDies():
                if self._started is None:
                    raise StageFailed("no framework was started")
                self._end_framework()
                self._start(self._started)
            case StreamBreaks(half_open=True):
                self._tapped().silence_streams()
            case StreamBreaks():
                self._tapped().break_streams()
            case TaskSays():
                raise CannotDo("tasks are real processes here, and speak for themselves")
            case JobSubmitted() | JobScaled() | JobCancelled():
                raise CannotDo("no Headgate runs here")
            case AgentAct(verb=AgentVerb.REACTIVATED, agent=agent):
                self._reactivate(agent)
            case AgentAct(verb=verb, agent=agent) if verb in OPERATOR_CALLS:
                self.operate(OPERATOR_CALLS[verb], {"agent_id": {"value": self.agent_id(agent)}})
            case Quota(role=role, cpus=cpus):
                limits = {} if cpus is None else {"cpus": {"value": cpus}}
                configs = [{"role": role, "limits": limits}]
                self.operate("UPDATE_QUOTA", {"force": True, "quota_configs": configs})
            case _:
                self.act(act)

    # ---- inside

    def operate(self, kind: str, body: Json) -> Json:
        """A call of the operator API; what it answers.

        Raises:
            StageFailed: it is refused, or nobody answers.
        """
        call = {"type": kind, **({kind.lower(): body} if body else {})}
        try:
            answer = requests.post(f"http://{self.find_master()}/api/v1", json=call, timeout=ANSWER_S)
        except requests.RequestException as problem:
            raise StageFailed(f"{kind}: {problem}") from problem
        if answer.status_code >= 300:
            raise StageFailed(f"{kind}: {answer.status_code} {answer.text.strip()}")
        found: Any = answer.json() if answer.content else {}
        return found if isinstance(found, dict) else {}

    def _reactivate(self, agent: str) -> None:
        """Have an agent back, which the master refuses while it drains."""
        tries = int(PATIENCE_S / LOOK_S)
        while True:
            try:
                self.operate("REACTIVATE_AGENT", {"agent_id": {"value": self.agent_id(agent)}})
            except StageFailed as refusal:
                tries -= 1
                if "DRAINING" not in str(refusal) or not tries:
                    raise
                self.wait(lambda: False, LOOK_S)
            else:
                return

    def agents(self) -> list[Json]:
        """The agents as the master knows them."""
        found = self.operate("GET_AGENTS", {})["get_agents"].get("agents", [])
        assert isinstance(found, list)
        return found

    def _tapped(self) -> Tap:
        if self._tap is None:
            raise StageFailed("no framework is connected")
        return self._tap

    def _heard(self, kind: str, message: Json) -> None:
        with self._changed:
            if kind == "call":
                self._sights.call(message)
            else:
                self._sights.event(message)
            self._changed.notify_all()

    def _start(self, act: FrameworkStarts) -> None:
        if self._process is not None:
            raise StageFailed("a framework runs already")
        argv = [part.replace("{master}", self.address) for part in act.argv]
        if argv[0] == "python":
            argv[0] = sys.executable
        try:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._output, env={**os.environ, **act.env}
            )
        except OSError as problem:
            raise StageFailed(f"{act}: {problem}") from problem
        self._started = act

    def _end_framework(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(END_S)


def fits(pattern: str, *names: str) -> bool:
    """Whether a pattern of a story fits one of these names."""
    return any(fnmatchcase(name, pattern) for name in names)
