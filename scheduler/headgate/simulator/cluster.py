"""One master and its agents as one pure thing: messages between them are routed until nothing is left to say.

Drivers feed inputs to the models (`master`, `tell_agent`), then take from `settle` what has to happen outside.  Time
is an argument everywhere, so real and virtual time look the same.

What a process of the real thing can suffer, an agent can suffer here: stopped (its inbox is kept), killed (its links
break), started again on what it left.  The master can be replaced by one that knows only the registry.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from headgate.simulator.messages import (
    AgentLinkBroken,
    AgentRegistered,
    Output,
    SendToAgent,
    SendToMaster,
    ToAgent,
)
from headgate.simulator.ports import AgentModel, MasterEnd, MasterModel

Input: TypeAlias = Callable[[AgentModel, float], None]
"""Something that happens to an agent at a time."""


class Life(enum.Enum):
    """What an agent's process is doing."""

    RUNNING = enum.auto()
    STOPPED = enum.auto()
    DEAD = enum.auto()


@dataclass(slots=True)
class _Node:
    model: AgentModel
    life: Life = Life.RUNNING
    agent_id: str | None = None
    messages: deque[Input] = field(default_factory=deque)
    events: deque[Input] = field(default_factory=deque)


class Cluster:
    """The router.  One thread at a time; nothing here blocks."""

    def __init__(self, master: MasterModel | None) -> None:
        self._master = master
        self._end: MasterEnd | None = master
        self.foreign: Callable[[str, ToAgent], None] | None = None
        """Takes what the master here says to agents of other processes."""
        self._nodes: dict[str, _Node] = {}

    @property
    def master(self) -> MasterModel:
        """The leading master.

        Raises:
            LookupError: it has been killed, and no other in this process has taken its place.
        """
        if self._master is None:
            raise LookupError("there is no master at the moment")
        return self._master

    @property
    def has_master(self) -> bool:
        """Whether a master of this process leads at the moment."""
        return self._master is not None

    @property
    def has_agents(self) -> bool:
        """Whether there are agents in this process, alive or not."""
        return bool(self._nodes)

    def agent(self, address: str) -> AgentModel:
        """The agent at an address, alive or not."""
        return self._nodes[address].model

    def life(self, address: str) -> Life:
        """What the process of the agent at an address is doing."""
        return self._nodes[address].life

    # --- time and messages ---------------------------------------------------------------------------------------

    def wake_at(self) -> float | None:
        """When `step` is due next."""
        times = [node.model.wake_at() for node in self._running()]
        if self._end is not None:
            times.append(self._end.wake_at())
        return min((at for at in times if at is not None), default=None)

    def step(self, now: float) -> list[tuple[str | None, Output]]:
        """Let everything do what is due, and settle."""
        for model in (self._end, *(node.model for node in self._running())):
            if model is not None and (at := model.wake_at()) is not None and at <= now:
                model.tick(now=now)
        return self.settle(now)

    def settle(self, now: float) -> list[tuple[str | None, Output]]:
        """Route messages until there are none; what is left is for the edges.

        Each output comes with the address of its agent (None: the master's), in the order of its model.
        """
        outside: list[tuple[str | None, Output]] = []
        busy = True
        while busy:
            busy = False
            for output in self._end.drain() if self._end is not None else ():
                busy = True
                if isinstance(output, SendToAgent):
                    self._deliver(output.address, output.message, now)
                else:
                    outside.append((None, output))
            for address, node in self._nodes.items():
                for said in node.model.drain() if node.life is Life.RUNNING else ():
                    busy = True
                    if not isinstance(said, SendToMaster):
                        outside.append((address, said))
                    elif self._end is not None:
                        self._end.receive(said.address, said.message, now=now)
        return outside

    def tell_agent(self, address: str, happened: Input, now: float) -> None:
        """Something happens to an agent; a stopped or dead one learns of it when it goes on."""
        node = self._nodes[address]
        if node.life is Life.RUNNING:
            happened(node.model, now)
        else:
            node.events.append(happened)

    def _running(self) -> Iterable[_Node]:
        return [node for node in self._nodes.values() if node.life is Life.RUNNING]

    def _deliver(self, address: str, message: ToAgent, now: float) -> None:
        node = self._nodes.get(address)
        if node is None and self.foreign is not None:
            self.foreign(address, message)
        if node is None or node.life is Life.DEAD:
            return
        if isinstance(message, AgentRegistered):
            node.agent_id = message.agent_id
        self._send(node, lambda model, at: model.receive(message, now=at), now)

    @staticmethod
    def _send(node: _Node, happened: Input, now: float) -> None:
        if node.life is Life.RUNNING:
            happened(node.model, now)
        else:
            node.messages.append(happened)

    # --- what can happen to processes ----------------------------------------------------------------------------

    def add_agent(self, model: AgentModel, now: float) -> None:
        """A new agent begins."""
        assert model.address not in self._nodes, f"there is an agent at {model.address} already"
        self._nodes[model.address] = _Node(model)
        model.start(now=now)

    def stop_agent(self, address: str) -> None:
        """As SIGSTOP: it hears and says nothing, but nothing is lost.  Dead ones stay dead."""
        if self._nodes[address].life is Life.RUNNING:
            self._nodes[address].life = Life.STOPPED

    def continue_agent(self, address: str, now: float) -> None:
        """As SIGCONT: it catches up with all that has happened meanwhile."""
        node = self._nodes[address]
        if node.life is Life.STOPPED:
            node.life = Life.RUNNING
            self._catch_up(node, now)

    def kill_agent(self, address: str, now: float) -> None:
        """As SIGKILL: the master sees the link break, messages are lost; what happened and happens to its containers
        waits for a successor.
        """
        node = self._nodes[address]
        if node.life is Life.DEAD:
            return
        node.life = Life.DEAD
        node.messages.clear()
        node.model.drain()
        if self._end is not None and node.agent_id is not None:
            self._end.receive(address, AgentLinkBroken(agent_id=node.agent_id), now=now)

    def start_agent(self, successor: AgentModel, now: float) -> None:
        """A dead agent's place is taken; the successor learns what became of containers meanwhile."""
        node = self._nodes[successor.address]
        assert node.life is Life.DEAD, f"the agent at {successor.address} lives"
        node.model, node.life, node.agent_id = successor, Life.RUNNING, None
        successor.start(now=now)
        self._catch_up(node, now)

    def kill_master(self) -> None:
        """The master dies; what agents say is lost until there is another."""
        self._master = self._end = None

    def start_master(self, master: MasterModel, now: float) -> None:
        """A new master leads.  Agents notice, stopped ones later."""
        self._master = master
        self.follow(master, now)

    def follow(self, master: MasterEnd, now: float) -> None:
        """A master leads that may be in another process.  Agents notice, stopped ones later."""
        self._end = master
        for node in self._nodes.values():
            if node.life is not Life.DEAD:
                self._send(node, lambda model, at: model.master_detected(now=at), now)

    @staticmethod
    def _catch_up(node: _Node, now: float) -> None:
        for waiting in (node.events, node.messages):
            while waiting:
                waiting.popleft()(node.model, now)
