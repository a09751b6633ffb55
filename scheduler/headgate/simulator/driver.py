"""A cluster in real time: models, HTTP ports and processes in one event loop.

Everything here belongs to that loop.  `embedded` puts it into a thread.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Literal

from headgate.simulator.agent import Agent, AgentSettings, Checkpoint
from headgate.simulator.clock import time_of_day
from headgate.simulator.cluster import Cluster, Life
from headgate.simulator.links import GREETING
from headgate.simulator.master import Master, MasterSettings, Registry
from headgate.simulator.mastership import Mastership, Seat
from headgate.simulator.messages import (
    CheckTask,
    Json,
    LinkVolumes,
    Output,
    RemoveVolume,
    SignalContainer,
    StartContainer,
    StreamEnd,
    StreamEvent,
)
from headgate.simulator.ports import AgentModel
from headgate.simulator.probes import Probes
from headgate.simulator.processes import (
    Failed,
    Processes,
    ProcessEvent,
    Started,
    link_volumes,
    remove_volume,
)
from headgate.simulator.schema import Api
from headgate.simulator.server.app import Application, Site
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.listener import Listener, Other
from headgate.simulator.server.streams import Streams
from headgate.simulator.server.tls import ServerTls
from headgate.simulator.services import AgentService, MasterService

MISSING_PROGRAM = 256256
"""The status of a container whose program does not exist: `256`, written twice into one file."""

MASTER_APIS = {"/api/v1/scheduler": Api.SCHEDULER, "/api/v1": Api.OPERATOR}
AGENT_APIS = {"/api/v1/executor": Api.EXECUTOR, "/api/v1": Api.AGENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a driver is to run.  Agents by name; addresses in the settings are those of the sockets.

    With `zookeeper` (a `zk://` URL) the master contends with those of other processes; then there need not be one here.
    """

    master: MasterSettings | None
    agents: Mapping[str, AgentSettings]
    work_dir: Path
    seed: int = 0
    authentication: Authentication = field(default_factory=Authentication)
    leader: str | None = None
    master_tls: ServerTls | None = None
    agent_tls: ServerTls | None = None
    zookeeper: str | None = None
    zookeeper_session_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container that was asked for and has not ended.  `pid` is None until its process runs."""

    agent: str
    framework_id: str
    executor_id: str
    container_id: str
    sandbox: Path
    pid: int | None


@dataclass(slots=True)
class _Port:
    application: Application
    listener: Listener


class Driver:
    """Runs a plan until it is closed."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._random = Random(plan.seed)
        self._loop = asyncio.get_running_loop()
        self._epoch = time_of_day() - self._loop.time()
        self._streams = Streams()
        self._processes = Processes(self._hear)
        self._probes = Probes(self._processes)
        self._names = {settings.address: name for name, settings in plan.agents.items()}
        self._addresses = {name: address for address, name in self._names.items()}
        self._containers: dict[str, tuple[str, StartContainer]] = {}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._endings: dict[str, asyncio.Event] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._master = None if plan.zookeeper else self._new_master()
        self._cluster = Cluster(self._master)
        self._mastership: Mastership | None = None
        self._master_port: _Port | None = None
        seat = self._open_seat(plan.master) if plan.master is not None else None
        if plan.zookeeper is not None:
            self._mastership = Mastership(
                plan.zookeeper,
                self._cluster,
                seat,
                Random(f"{plan.seed} {self._epoch} {plan.master}"),
                now=self.now,
                settle=self._settle,
                session_timeout_s=plan.zookeeper_session_timeout_s,
            )
        self._ports = {name: self._agent_port(name) for name in plan.agents}

    def now(self) -> float:
        """Time of day that never goes back."""
        return self._epoch + self._loop.time()

    # --- life ----------------------------------------------------------------------------------------------------

    async def open(self, sockets: Mapping[str, socket.socket]) -> None:
        """Start everything.  `sockets` are bound, by agent name, the master's under the empty one."""
        await self._processes.open()
        if self._master_port is not None:
            await self._master_port.listener.open(sockets[""])
        for name, port in self._ports.items():
            self.work_dir(name).mkdir(parents=True, exist_ok=True)
            await port.listener.open(sockets[name])
            self._cluster.add_agent(self._new_agent(name), self.now())
        if self._mastership is not None:
            await self._mastership.open()
        self._settle()

    async def close(self) -> None:
        """End everything: connections, processes, timers."""
        if self._timer:
            self._timer.cancel()
        if self._mastership is not None:
            await self._mastership.close()
        masters = [] if self._master_port is None else [self._master_port]
        for port in (*masters, *self._ports.values()):
            port.application.gate.set()
            await port.listener.kill()
        await self._probes.close()
        await self._processes.close()

    # --- what can be done to it ----------------------------------------------------------------------------------

    async def pause_agent(self, name: str) -> None:
        """As SIGSTOP to the agent's process; its executors go on."""
        self._cluster.stop_agent(self._addresses[name])
        self._ports[name].application.gate.clear()

    async def resume_agent(self, name: str) -> None:
        """As SIGCONT."""
        self._cluster.continue_agent(self._addresses[name], self.now())
        self._ports[name].application.gate.set()
        self._settle()

    async def kill_agent(self, name: str) -> None:
        """As SIGKILL to the agent's process; its executors live on."""
        address = self._addresses[name]
        if self._cluster.life(address) is Life.DEAD:
            return
        self._checkpoints[name] = self._agent(name).export_checkpoint()
        self._cluster.kill_agent(address, self.now())
        self._ports[name].application.gate.set()
        await self._ports[name].listener.kill()
        self._settle()

    async def unregister_agent(self, name: str) -> None:
        """As SIGUSR1 to the agent's process, until that has ended.  Dead ones stay dead."""
        if self._cluster.life(self._addresses[name]) is Life.DEAD:
            return
        ended = self._endings[name] = asyncio.Event()
        self._checkpoints.pop(name, None)
        self._agent(name).unregister(now=self.now())
        self._settle()
        await ended.wait()

    async def start_agent(self, name: str, recover: Literal["reconnect", "cleanup"] = "reconnect") -> None:
        """Start a dead agent on the work directory it left; no harm if it runs."""
        if self._cluster.life(self._addresses[name]) is Life.DEAD:
            await self._ports[name].listener.open(whose=f"agent {name}")
            checkpoint = self._checkpoints.pop(name, None)
            self._cluster.start_agent(self._new_agent(name, checkpoint, recover), self.now())
            self._settle()

    async def reset_agent(self, name: str) -> None:
        """Kill an agent and its executors, forget its work directory, start it as a new one."""
        await self.kill_agent(name)
        address = self._addresses[name]
        mine = [container for container, (owner, _) in self._containers.items() if owner == address]
        for container_id in mine:
            self._processes.signal(SignalContainer(agent_id="", container_id=container_id, signal=int(signal.SIGKILL)))
        await self._processes.ended(mine)
        await asyncio.to_thread(shutil.rmtree, self.work_dir(name), ignore_errors=True)
        self.work_dir(name).mkdir(parents=True, exist_ok=True)
        self._checkpoints.pop(name, None)
        await self.start_agent(name)

    async def kill_executor(self, executor_id: str, number: int) -> int:
        """Signal all containers of the executors with this id."""
        hit = [container for container in self.containers() if container.executor_id == executor_id]
        for container in hit:
            order = SignalContainer(agent_id="", container_id=container.container_id, signal=int(number))
            self._processes.signal(order)
        return len(hit)

    async def restart_master(self) -> None:
        """As SIGKILL to the master's process, and a new one with the same registry.

        Where several contend, another may lead then.
        """
        if self._mastership is not None:
            await self._mastership.restart()
            return
        assert self._master is not None
        assert self._master_port is not None
        registry = self._master.registry()
        self._cluster.kill_master()
        await self._master_port.listener.kill()
        self._master = self._new_master(registry)
        await self._master_port.listener.open(whose="the master")
        self._cluster.start_master(self._master, self.now())
        self._settle()

    # --- what can be seen ----------------------------------------------------------------------------------------

    def work_dir(self, name: str) -> Path:
        """The folder that stands for an agent's disk."""
        return self._plan.work_dir / f"agent-{name}"

    @property
    def addresses(self) -> Mapping[str, str]:
        """`host:port` of every agent by name."""
        return self._addresses

    def agent_id(self, name: str) -> str | None:
        """The id the master gave an agent."""
        return self._agent(name).agent_id

    def containers(self) -> list[Container]:
        """All containers that have not ended."""
        found = []
        for container_id, (address, order) in self._containers.items():
            parts = order.sandbox.split("/")
            if parts[0] != "slaves":
                continue  # an operator's own
            found.append(
                Container(
                    agent=self._names[address],
                    framework_id=parts[3],
                    executor_id=parts[5],
                    container_id=container_id,
                    sandbox=self.work_dir(self._names[address]) / order.sandbox,
                    pid=self._processes.pid(container_id),
                )
            )
        return found

    # --- inside --------------------------------------------------------------------------------------------------

    def _open_seat(self, settings: MasterSettings) -> Seat:
        """The master's port, and what is behind it."""
        plan = self._plan
        service = MasterService(self._cluster, self.now, self._settle)
        site = Site(process="master", apis=MASTER_APIS, authentication=plan.authentication, leader=plan.leader)
        application = Application(site, service, self._streams, self.now)
        other = Other(greeting=GREETING, accept=self._accept_link) if plan.zookeeper else None
        port = self._master_port = self._port(application, settings.address, plan.master_tls, other)
        return Seat(settings, service, application, port.listener)

    def _accept_link(self) -> asyncio.Protocol | None:
        return None if self._mastership is None else self._mastership.accept()

    def _new_master(self, registry: Registry | None = None) -> Master:
        assert self._plan.master is not None
        return Master(self._plan.master, Random(self._random.random()), registry)

    def _new_agent(
        self,
        name: str,
        checkpoint: Checkpoint | None = None,
        recover: Literal["reconnect", "cleanup"] = "reconnect",
    ) -> Agent:
        return Agent(replace(self._plan.agents[name], recover=recover), Random(self._random.random()), checkpoint)

    def _agent(self, name: str) -> Agent:
        model = self._cluster.agent(self._addresses[name])
        assert isinstance(model, Agent)
        return model

    def _agent_port(self, name: str) -> _Port:
        settings = self._plan.agents[name]
        service = AgentService(settings.address, self._cluster, self.now, self._settle)
        site = Site(process="slave(1)", apis=AGENT_APIS, work_dir=self.work_dir(name))
        application = Application(site, service, self._streams, self.now)
        return self._port(application, settings.address, self._plan.agent_tls)

    @staticmethod
    def _port(application: Application, address: str, tls: ServerTls | None, other: Other | None = None) -> _Port:
        host, _, port = address.rpartition(":")
        context = None if tls is None else tls.context()
        return _Port(application, Listener(application, host, int(port), tls=context, other=other))

    def _settle(self) -> None:
        """Carry out what the last input caused, and see to the next one that time brings."""
        self._perform(self._cluster.settle(self.now()))
        if self._mastership is not None:
            self._mastership.settled()

    def _tick(self) -> None:
        self._timer = None
        self._perform(self._cluster.step(self.now()))
        if self._mastership is not None:
            self._mastership.settled()

    def _perform(self, outputs: list[tuple[str | None, Output]]) -> None:
        for address, output in outputs:
            if isinstance(output, StreamEvent):
                self._streams.write(output.stream, output.event)
            elif isinstance(output, StreamEnd):
                self._streams.end(output.stream)
            elif isinstance(output, SignalContainer):
                self._processes.signal(output)
            else:
                assert address is not None
                work_dir = self.work_dir(self._names[address])
                if isinstance(output, StartContainer):
                    self._containers[output.container_id] = (address, output)
                    self._processes.start(output, work_dir)
                elif isinstance(output, CheckTask):
                    self._probes.perform(output, work_dir, partial(self._checked, address, output.check_id))
                elif isinstance(output, LinkVolumes):
                    link_volumes(output, work_dir)
                else:
                    assert isinstance(output, RemoveVolume)
                    remove_volume(output, work_dir)
        self._see_to_the_dead()
        self._set_timer()

    def _see_to_the_dead(self) -> None:
        """An agent that was told to end, and has, is a process that exits."""
        for name, address in self._addresses.items():
            if self._cluster.life(address) is Life.RUNNING and self._agent(name).is_over:
                self._cluster.kill_agent(address, self.now())
                ending = self._loop.create_task(self._ports[name].listener.kill())
                if (waiting := self._endings.pop(name, None)) is not None:
                    ending.add_done_callback(lambda _, waiting=waiting: waiting.set())  # type: ignore[misc]

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        at = self._cluster.wake_at()
        self._timer = None if at is None else self._loop.call_at(max(at - self._epoch, 0), self._tick)

    def _hear(self, event: ProcessEvent) -> None:
        """A container began or ended; its agent is told."""
        if self._probes.heard(event):
            return
        address, _ = self._containers[event.container_id]
        if not isinstance(event, Started):
            del self._containers[event.container_id]
        self._cluster.tell_agent(address, lambda agent, at: _report(event, agent, at), self.now())
        self._settle()

    def _checked(self, address: str, check_id: str, outcome: Json | None) -> None:
        """A check was performed; the agent that asked, or its successor, is told."""
        self._cluster.tell_agent(address, lambda agent, at: agent.checked(check_id, outcome, now=at), self.now())
        self._settle()


def _report(event: ProcessEvent, agent: AgentModel, now: float) -> None:
    if isinstance(event, Started):
        agent.container_started(event.container_id, event.pid, now=now)
    elif isinstance(event, Failed):
        agent.container_failed(event.container_id, event.message, now=now)
    else:
        status = MISSING_PROGRAM if event.missing else event.wait_status
        agent.container_exited(event.container_id, status, now=now)
