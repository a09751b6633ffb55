"""The simulated agents' containers as virtual workers: what a driver with real processes does, in virtual time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from headgate.simulator.cluster import Cluster, Life
from headgate.simulator.messages import (
    CheckTask,
    Json,
    LinkVolumes,
    Output,
    RemoveVolume,
    Reply,
    SignalContainer,
    StartContainer,
    StreamEnd,
    StreamEvent,
)
from headgate.simulator.ports import AgentModel
from headgate.simulator.schema import Api
from headgate.simulator.schema.requests import check_call
from headgate.testing.executor_link import Answered
from headgate.testing.faults import Fault, Weather
from headgate.testing.shard_log import ShardLogs
from headgate.testing.source import Source
from headgate.testing.timeline import Timeline
from headgate.testing.trace import Trace
from headgate.testing.worker import FAILED, Place, VirtualWorker

START_S: Final = (0.1, 3.0)
EXIT_S: Final = (0.001, 0.2)


@dataclass(slots=True)
class Container:
    """A container that has not ended.  `worker` is None until it runs."""

    address: str
    order: StartContainer
    worker: VirtualWorker | None = None

    @property
    def executor_id(self) -> str:
        """The executor it is of, which is named like its task."""
        return self.order.environment["MESOS_EXECUTOR_ID"]


class _Door:
    """`AgentDoor` of the agent at one address."""

    def __init__(self, containers: Containers, address: str) -> None:
        self._containers = containers
        self._address = address

    def call(self, call: Json, answered: Answered) -> bool:
        return self._containers.call(self._address, call, answered)


class Containers:
    """All containers of a cluster.  `settle` is to carry out what a call has caused.

    With `scripted` the workers say nothing of themselves until they are told to.
    """

    def __init__(
        self,
        *,
        timeline: Timeline,
        cluster: Cluster,
        weather: Weather,
        logs: ShardLogs,
        sources: Mapping[str, Source],
        rate_per_s: float,
        trace: Trace,
        settle: Callable[[], None],
        scripted: bool = False,
    ) -> None:
        self._timeline = timeline
        self._cluster = cluster
        self._weather = weather
        self._logs = logs
        self._sources = sources
        self._rate_per_s = rate_per_s
        self._trace = trace
        self._settle = settle
        self._scripted = scripted
        self._randomness = weather.randomness.child("containers")
        self._containers: dict[str, Container] = {}
        self._started = 0

    @property
    def workers(self) -> list[VirtualWorker]:
        """The workers that run, oldest first."""
        return [each.worker for each in self._containers.values() if each.worker is not None]

    @property
    def all(self) -> list[Container]:
        """Everything that has not ended, oldest first."""
        return list(self._containers.values())

    def perform(self, address: str, output: Output) -> None:
        """Carry out what an agent's model asks for."""
        match output:
            case StartContainer():
                self._start(address, output)
            case SignalContainer():
                self._signal(output)
            case StreamEvent() | StreamEnd():
                for worker in self.workers:
                    if worker.link.stream == output.stream:
                        if isinstance(output, StreamEvent):
                            worker.link.receive(output.event)
                        else:
                            worker.process.after(0.0, worker.link.broken)
            case LinkVolumes() | RemoveVolume():
                # Virtual workers keep no files.
                pass
            case CheckTask():
                raise AssertionError(f"workers have no checks: {output}")

    def call(self, address: str, call: Json, answered: Answered) -> bool:
        """A call of the Executor API, at once if the agent runs; False: it is dead."""
        if self._cluster.life(address) is Life.DEAD:
            return False
        checked = check_call(Api.EXECUTOR, call)
        assert not isinstance(checked, Reply), checked
        asked = self._cluster.agent(address)

        def take(agent: AgentModel, now: float) -> None:
            # A call that waited for a stopped agent dies with it.
            if agent is asked:
                answered(agent.call(checked, now=now))

        self._cluster.tell_agent(address, take, self._timeline.now())
        self._settle()
        return True

    def agent_gone(self, address: str) -> None:
        """The agent's process is gone: all streams to it break, and the containers live on."""
        for each in self._containers.values():
            if each.address == address and each.worker is not None:
                each.worker.process.run(each.worker.link.broken)

    def machine_gone(self, address: str) -> None:
        """Everything on the agent's machine is gone, and nobody will hear of it."""
        for container_id, each in list(self._containers.items()):
            if each.address == address:
                del self._containers[container_id]
                if each.worker is not None:
                    each.worker.process.end()
                    each.worker.link.close()

    # ---- life

    def _start(self, address: str, order: StartContainer) -> None:
        self._containers[order.container_id] = Container(address, order)
        self._timeline.after(self._randomness.uniform(*START_S), lambda: self._run(order))

    def _run(self, order: StartContainer) -> None:
        container = self._containers.get(order.container_id)
        if container is None:
            return
        how = self._weather.chance(Fault.START_FAILS).random() if self._weather.happens(Fault.START_FAILS) else 1.0
        if how < 0.3:
            del self._containers[order.container_id]
            self._trace.say("container", f"{container.executor_id} cannot be started")
            self._tell(container, lambda agent, at: agent.container_failed(order.container_id, "no disk", now=at))
            return
        self._started += 1
        pid = 1000 + self._started
        self._trace.say("container", f"{container.executor_id} runs at {container.address}")
        self._tell(container, lambda agent, at: agent.container_started(order.container_id, pid, now=at))
        if order.container_id not in self._containers:
            return
        if how < 0.9:
            # Ends before it has said a word.
            self._timeline.after(self._randomness.uniform(*EXIT_S), lambda: self._ended(order.container_id, FAILED))
        elif how == 1.0:
            container.worker = VirtualWorker(
                Place(
                    timeline=self._timeline,
                    weather=self._weather,
                    door=_Door(self, container.address),
                    logs=self._logs,
                    sources=self._sources,
                    rate_per_s=self._rate_per_s,
                    environment=order.environment,
                    name=container.executor_id,
                    scripted=self._scripted,
                    exited=lambda status: self._exited(order.container_id, status),
                )
            )
            container.worker.start()

    def _signal(self, order: SignalContainer) -> None:
        container = self._containers.get(order.container_id)
        if container is None:
            return
        assert order.signal == signal.SIGKILL, order
        if container.worker is not None:
            container.worker.die()
        else:
            self._exited(order.container_id, int(signal.SIGKILL))

    def _exited(self, container_id: str, status: int) -> None:
        """The process has ended; its agent hears of it a little later."""
        self._timeline.after(self._randomness.uniform(*EXIT_S), lambda: self._ended(container_id, status))

    def _ended(self, container_id: str, status: int) -> None:
        container = self._containers.pop(container_id, None)
        if container is not None:
            self._trace.say("container", f"{container.executor_id} ended with status {status}")
            self._tell(container, lambda agent, at: agent.container_exited(container_id, status, now=at))

    def _tell(self, container: Container, happened: Callable[[AgentModel, float], None]) -> None:
        self._cluster.tell_agent(container.address, happened, self._timeline.now())
        self._settle()
