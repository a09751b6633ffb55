"""A whole cluster in this process: models, HTTP ports and real container processes, in a thread of its own.

    with EmbeddedCluster(agents=[AgentSpec(resources="cpus:4;mem:4096")]) as cluster:
        connect_a_framework_to(cluster.address)

Methods may be called from any thread, and return when the thing is done.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from headgate.simulator.agent import AgentSettings
from headgate.simulator.driver import Container, Driver, Plan
from headgate.simulator.master import MasterSettings
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.listener import reserve
from headgate.simulator.server.tls import ServerTls

CALL_SECONDS_MAX = 60
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """An agent that is wanted: what it has, where it is.

    `port` 0 is any free one; names default to A, B, C …; `domain` is `REGION/ZONE`, or empty.
    """

    resources: str = "cpus:4;mem:4096;disk:10000;ports:[31000-31500]"
    attributes: str = ""
    domain: str = ""
    hostname: str = "localhost"
    port: int = 0
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """An agent as it is now.  `work_dir` holds its sandboxes; `id` is None until it is registered."""

    name: str
    address: str
    id: str | None
    work_dir: Path


class EmbeddedCluster:
    """A simulated Mesos on loopback: one master, some agents.

    `work_dir` None means a temporary folder that goes with the cluster.  `seed` decides what is random in the models.
    `master_settings` and `agent_settings` are the flags; addresses, resources and attributes come from the other
    arguments.  `leader` (`host:port`) makes the master a follower that sends its clients there.  `master_tls` and
    `agent_tls` put TLS on their ports; what executors must know of it goes into `AgentSettings.executor_environment`.
    `zookeeper` (`zk://host:port,…/mesos`) makes the master contend with those of other clusters, in this process or
    others; the agents go to whichever leads (over links without TLS).  Without `contends` there are only agents here.

    Raises (from `start`):
        PortTaken: a port asked for is in use; the text names it.
        ValueError: an agent's resources or attributes are malformed, or two agents have one name, or `zookeeper` is no
            such URL.
        OSError: no ZooKeeper answers.
    """

    def __init__(
        self,
        agents: Sequence[AgentSpec] = (AgentSpec(),),
        *,
        master_port: int = 0,
        work_dir: str | os.PathLike[str] | None = None,
        seed: int = 0,
        host: str = "127.0.0.1",
        master_settings: MasterSettings | None = None,
        agent_settings: AgentSettings | None = None,
        authentication: Authentication | None = None,
        leader: str | None = None,
        zookeeper: str | None = None,
        contends: bool = True,
        zookeeper_session_timeout_s: float = 10.0,
        master_tls: ServerTls | None = None,
        agent_tls: ServerTls | None = None,
    ) -> None:
        self._specs = {spec.name or _letter(index): spec for index, spec in enumerate(agents)}
        if len(self._specs) != len(agents):
            raise ValueError(f"two agents have the same name: {', '.join(self._specs)}")
        self._ports = (host, master_port)
        self._work_dir = None if work_dir is None else Path(work_dir)
        self._seed = seed
        self._master_settings = master_settings or MasterSettings()
        self._agent_settings = agent_settings or AgentSettings()
        self._authentication = authentication or Authentication()
        self._leader = leader
        if not (contends or zookeeper):
            raise ValueError("agents need a master: without one here, name the ZooKeeper where theirs is found")
        self._zookeeper, self._contends = zookeeper, contends
        self._zookeeper_session_timeout_s = zookeeper_session_timeout_s
        self._tls = (master_tls, agent_tls)
        self._temporary: Path | None = None
        self._address: str | None = None
        self._driver: Driver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything; when this returns, the master answers and the agents are about to register."""
        if self._loop is not None:
            raise RuntimeError("the cluster runs already")
        with ExitStack() as undo:
            sockets, plan = self._prepare(undo)
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="simulated-mesos", daemon=True)
            self._thread.start()
            undo.callback(self._end_thread)
            self._call(self._open(plan, sockets))
            undo.pop_all()

    def stop(self) -> None:
        """End everything the cluster has started.  No harm if it does not run."""
        if self._loop is None:
            return
        try:
            if self._driver is not None:
                self._call(self._driver.close())
        finally:
            self._end_thread()
            self._remove_temporary()

    def __enter__(self) -> EmbeddedCluster:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    # --- where things are ----------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The master's `host:port`."""
        if self._address is None:
            raise RuntimeError("the cluster has not been started" if self._contends else "there is no master here")
        return self._address

    @property
    def master_url(self) -> str:
        """The master's URL."""
        return f"{'http' if self._tls[0] is None else 'https'}://{self.address}"

    @property
    def agents(self) -> tuple[AgentView, ...]:
        """The agents, in the order of their specs."""

        async def look(driver: Driver) -> tuple[AgentView, ...]:
            return tuple(
                AgentView(name=name, address=address, id=driver.agent_id(name), work_dir=driver.work_dir(name))
                for name, address in driver.addresses.items()
            )

        return self._call(look(self._running()))

    def containers(self) -> tuple[Container, ...]:
        """The containers that have not ended."""

        async def look(driver: Driver) -> tuple[Container, ...]:
            return tuple(driver.containers())

        return self._call(look(self._running()))

    # --- what can be done to it ----------------------------------------------------------------------------------

    def kill_executor(self, executor_id: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to the processes of an executor (or a command task) by its id, as if by accident; how many
        containers were hit.
        """
        return self._call(self._running().kill_executor(executor_id, number))

    def pause_agent(self, name: str) -> None:
        """Stop an agent's process, as SIGSTOP does; its executors go on."""
        self._call(self._running().pause_agent(self._known(name)))

    def resume_agent(self, name: str) -> None:
        """Let it go on, as SIGCONT does."""
        self._call(self._running().resume_agent(self._known(name)))

    def kill_agent(self, name: str) -> None:
        """Kill an agent's process; its executors live on."""
        self._call(self._running().kill_agent(self._known(name)))

    def unregister_agent(self, name: str) -> None:
        """As SIGUSR1: the agent says goodbye to the master, ends all that runs on it, and then itself."""
        self._call(self._running().unregister_agent(self._known(name)))

    def start_agent(self, name: str, *, recover: Literal["reconnect", "cleanup"] = "reconnect") -> None:
        """Start a dead agent on the work directory it left; no harm if it runs.

        With `recover` "cleanup" it only ends what the one before it has left, and then itself.
        """
        self._call(self._running().start_agent(self._known(name), recover))

    def reset_agent(self, name: str) -> None:
        """Kill an agent and its executors, forget its work directory, start it as a new agent."""
        self._call(self._running().reset_agent(self._known(name)))

    def restart_master(self) -> None:
        """Kill the master and start another one with the same registry, at the same address."""
        self._call(self._running().restart_master())

    # --- inside --------------------------------------------------------------------------------------------------

    def _prepare(self, undo: ExitStack) -> tuple[dict[str, socket.socket], Plan]:
        """Bind every port first: the models must know their addresses."""
        host, master_port = self._ports
        wanted = {"": (master_port, "the master")} if self._contends else {}
        wanted |= {name: (spec.port, f"agent {name}") for name, spec in self._specs.items()}
        sockets: dict[str, socket.socket] = {}
        for name, (port, whose) in wanted.items():
            sockets[name] = undo.enter_context(reserve(host, port, whose))
        ports = {name: bound.getsockname()[1] for name, bound in sockets.items()}
        if self._work_dir is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="simulated-mesos-")).resolve()
            self._temporary.chmod(0o755)
            undo.callback(self._remove_temporary)
        work_dir = self._temporary or Path(self._work_dir or "").resolve()
        plan = Plan(
            master=replace(self._master_settings, ip=host, port=ports[""]) if self._contends else None,
            agents={
                name: replace(
                    self._agent_settings,
                    resources=spec.resources,
                    attributes=spec.attributes,
                    domain=spec.domain,
                    hostname=spec.hostname,
                    ip=host,
                    port=ports[name],
                    work_dir=str(work_dir / f"agent-{name}"),
                )
                for name, spec in self._specs.items()
            },
            work_dir=work_dir,
            seed=self._seed,
            authentication=self._authentication,
            leader=self._leader,
            master_tls=self._tls[0],
            agent_tls=self._tls[1],
            zookeeper=self._zookeeper,
            zookeeper_session_timeout_s=self._zookeeper_session_timeout_s,
        )
        for name, settings in plan.agents.items():
            try:
                settings.agent_info(None)
            except ValueError as fault:
                raise ValueError(f"agent {name}: {fault}") from fault
        self._address = plan.master.address if plan.master else None
        return sockets, plan

    async def _open(self, plan: Plan, sockets: dict[str, socket.socket]) -> None:
        driver = Driver(plan)
        try:
            await driver.open(sockets)
        except BaseException:
            await driver.close()
            raise
        self._driver = driver

    def _running(self) -> Driver:
        if self._driver is None:
            raise RuntimeError("the cluster has not been started")
        return self._driver

    def _known(self, name: str) -> str:
        if name not in self._specs:
            raise ValueError(f"there is no agent {name}; there are {', '.join(self._specs)}")
        return name

    def _call(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS_MAX)

    def _end_thread(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS_MAX)
        with suppress(RuntimeError):
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._loop = self._thread = self._driver = None

    def _remove_temporary(self) -> None:
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None


def _letter(index: int) -> str:
    """A, B, … Z, A1, B1, …"""
    turn, letter = divmod(index, 26)
    return chr(ord("A") + letter) + (str(turn) if turn else "")
