"""A stage for frameworks of any kind: a simulated Mesos behind HTTP, with real processes as tasks."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.master import MasterSettings
from headgate.testing.story.acts import (
    Act,
    AgentAct,
    AgentJoins,
    AgentVerb,
    Maintenance,
    MasterFailsOver,
    TaskDies,
)
from headgate.testing.story.http_stage import PATIENCE_S, HttpStage, fits
from headgate.testing.story.stage import CannotDo, StageFailed

QUICK: Final = MasterSettings(agent_ping_timeout=1.0, max_agent_ping_timeouts=3)
"""An agent that is cut off is given up after three seconds: stories here take real time."""


class SimulatedStage(HttpStage):
    """See `Stage`.  The agents of a story join first; with the next line the cluster begins.

    `settings` are the master's flags, `seed` decides what is random in the models.
    """

    def __init__(self, *, settings: MasterSettings = QUICK, seed: int = 0) -> None:
        super().__init__()
        self._settings = settings
        self._seed = seed
        self._joining: dict[str, AgentSpec] = {}
        self._running: EmbeddedCluster | None = None

    @property
    def cluster(self) -> EmbeddedCluster:
        """The cluster itself, which begins now if it has not yet."""
        if self._running is None:
            agents = tuple(self._joining.values()) or (AgentSpec(),)
            self._running = EmbeddedCluster(agents=agents, master_settings=self._settings, seed=self._seed)
            self._running.start()
        return self._running

    def find_master(self) -> str:
        """See `HttpStage`."""
        return self.cluster.address

    def agent_id(self, name: str) -> str:
        """See `HttpStage`."""
        self.wait(lambda: self._find_id(name) is not None, PATIENCE_S)
        found = self._find_id(name)
        if found is None:
            raise StageFailed(f"there is no agent {name}")
        return found

    def close(self) -> None:
        """See `Stage`."""
        super().close()
        if self._running is not None:
            self._running.stop()
            self._running = None

    def act(self, act: Act) -> None:
        """See `HttpStage`."""
        match act:
            case AgentJoins():
                self._join(act)
            case AgentAct():
                self._befall(act)
            case Maintenance(agent=name, in_s=in_s, for_s=for_s):
                self.agent_id(name)
                window = {
                    "machine_ids": [{"hostname": self._joining[name].hostname, "ip": "127.0.0.1"}],
                    "unavailability": {
                        "start": {"nanoseconds": round((self._clock.now() + in_s) * 1e9)},
                        "duration": {"nanoseconds": round(for_s * 1e9)},
                    },
                }
                self.operate("UPDATE_MAINTENANCE_SCHEDULE", {"schedule": {"windows": [window]}})
            case MasterFailsOver():
                self.cluster.restart_master()
            case TaskDies(task=task):
                self._kill(task)
            case _:
                super().act(act)

    def _join(self, act: AgentJoins) -> None:
        if self._running is not None:
            raise CannotDo("the agents of this stage are there from the beginning; let them join before all else")
        self._joining[act.name] = AgentSpec(
            resources=act.resources, attributes=act.attributes, hostname=act.name, name=act.name
        )

    def _befall(self, act: AgentAct) -> None:
        try:
            match act.verb:
                case AgentVerb.DIES:
                    self.cluster.kill_agent(act.agent)
                case AgentVerb.RETURNS:
                    self.cluster.start_agent(act.agent)
                case AgentVerb.CUT_OFF:
                    self.cluster.pause_agent(act.agent)
                case AgentVerb.BACK:
                    self.cluster.resume_agent(act.agent)
                case AgentVerb.LOST:
                    self.cluster.reset_agent(act.agent)
                case AgentVerb.GONE:
                    self.operate("MARK_AGENT_GONE", {"agent_id": {"value": self.agent_id(act.agent)}})
                case _:
                    super().act(act)
        except ValueError as problem:
            raise StageFailed(str(problem)) from problem

    def _kill(self, task: str) -> None:
        executors = {each.executor_id for each in self.cluster.containers()}
        found = sorted(each for each in executors if fits(task, *self._sights.names(each)))
        if not found:
            raise StageFailed(f"no task {task} runs; there are {', '.join(sorted(executors)) or 'none'}")
        for each in found:
            self.cluster.kill_executor(each)

    def _find_id(self, name: str) -> str | None:
        with suppress(StopIteration):
            return next(each.id for each in self.cluster.agents if each.name == name)
        return None
