"""The router: messages, time, and what can happen to an agent's or the master's process."""

from collections.abc import Mapping

import pytest

from headgate.simulator.cluster import Cluster, Life
from headgate.simulator.messages import (
    AgentLinkBroken,
    AgentOutput,
    AgentRegistered,
    FromAgent,
    Json,
    KillTask,
    MasterOutput,
    Ping,
    Pong,
    RegisterAgent,
    Reply,
    SendToAgent,
    SendToMaster,
    SignalContainer,
    Stream,
    StreamEvent,
    ToAgent,
)

A, B = "127.0.0.1:1", "127.0.0.1:2"


class Master:
    """Gives ids, answers a pong with an event, writes down all it hears, and has one thing due at `due`."""

    def __init__(self, name: str = "m", due: float | None = None) -> None:
        self.name, self.due = name, due
        self.heard: list[tuple[str, FromAgent]] = []
        self.outbox: list[MasterOutput] = []

    def receive(self, address: str, message: FromAgent, *, now: float) -> None:
        self.heard.append((address, message))
        if isinstance(message, RegisterAgent):
            answer = AgentRegistered(agent_id=f"{self.name}-{address}")
            self.outbox.append(SendToAgent(address=address, message=answer))
        if isinstance(message, Pong):
            self.outbox.append(StreamEvent(stream="s", event={"pong": message.agent_id, "at": now}))

    def send(self, address: str, message: ToAgent) -> None:
        self.outbox.append(SendToAgent(address=address, message=message))

    def tick(self, *, now: float) -> None:
        self.outbox.append(StreamEvent(stream="s", event={"tick": now}))
        self.due = None

    def wake_at(self) -> float | None:
        return self.due

    def drain(self) -> list[MasterOutput]:
        taken, self.outbox = self.outbox, []
        return taken

    def call(self, call: Json, *, stream_id: str | None, principal: str | None = None, now: float) -> Reply | Stream:
        raise NotImplementedError

    def operator(self, call: Json, *, now: float) -> Reply | Stream:
        raise NotImplementedError

    def get(self, path: str, query: Mapping[str, str], *, now: float) -> Reply:
        raise NotImplementedError

    def disconnected(self, stream: str, *, now: float) -> None:
        raise NotImplementedError


class Agent:
    """Registers at its start and whenever it is told that it is not known, answers pings, remembers everything."""

    def __init__(self, address: str, due: float | None = None) -> None:
        self.address, self.due = address, due
        self.log: list[object] = []
        self.outbox: list[AgentOutput] = []

    def say(self, message: FromAgent) -> None:
        self.outbox.append(SendToMaster(address=self.address, message=message))

    def start(self, *, now: float) -> None:
        self.log.append(("start", now))
        self.say(RegisterAgent(agent_info={}, address=self.address))

    def master_detected(self, *, now: float) -> None:
        self.say(RegisterAgent(agent_info={}, address=self.address))

    def receive(self, message: ToAgent, *, now: float) -> None:
        self.log.append(message)
        if isinstance(message, Ping):
            self.say(Pong(agent_id="x") if message.connected else RegisterAgent(agent_info={}, address=self.address))
        if isinstance(message, KillTask):
            self.outbox.append(SignalContainer(agent_id="x", container_id=message.task_id, signal=9))

    def container_started(self, container_id: str, pid: int, *, now: float) -> None:
        self.log.append(("started", container_id, now))

    def container_failed(self, container_id: str, message: str, *, now: float) -> None:
        self.log.append(("failed", container_id, now))

    def container_exited(self, container_id: str, wait_status: int, *, now: float) -> None:
        self.log.append(("exited", container_id, now))

    def tick(self, *, now: float) -> None:
        self.log.append(("tick", now))
        self.due = None

    def wake_at(self) -> float | None:
        return self.due

    def drain(self) -> list[AgentOutput]:
        taken, self.outbox = self.outbox, []
        return taken

    def call(self, call: Json, *, now: float) -> Reply | Stream:
        raise NotImplementedError

    def get(self, path: str, query: Mapping[str, str], *, now: float) -> Reply:
        raise NotImplementedError

    def disconnected(self, stream: str, *, now: float) -> None:
        raise NotImplementedError


def cluster() -> tuple[Cluster, Master, Agent, Agent]:
    """Two agents, registered."""
    master, a, b = Master(), Agent(A), Agent(B)
    routed = Cluster(master)
    routed.add_agent(a, 0.0)
    routed.add_agent(b, 0.0)
    assert routed.settle(0.0) == []
    return routed, master, a, b


def test_messages_go_to_and_fro_until_nothing_is_left() -> None:
    """A ping's pong becomes an event in the same settling; outputs name their agent."""
    routed, master, a, b = cluster()
    master.send(A, Ping(connected=True))
    master.send(B, KillTask(framework_id="f", task_id="t"))
    assert routed.settle(3.0) == [
        (B, SignalContainer(agent_id="x", container_id="t", signal=9)),
        (None, StreamEvent(stream="s", event={"pong": "x", "at": 3.0})),
    ]
    assert a.log == [("start", 0.0), AgentRegistered(agent_id=f"m-{A}"), Ping(connected=True)]
    assert b.log[-1] == KillTask(framework_id="f", task_id="t")


def test_messages_to_nowhere_are_lost() -> None:
    """An address without an agent is no error."""
    routed, master, _, _ = cluster()
    master.send("127.0.0.1:3", Ping(connected=True))
    assert routed.settle(1.0) == []


def test_time() -> None:
    """The earliest wish counts; only what is due ticks."""
    routed, master, a, b = cluster()
    assert routed.wake_at() is None
    master.due, a.due, b.due = 7.0, 5.0, 9.0
    assert routed.wake_at() == 5.0
    assert routed.step(7.5) == [(None, StreamEvent(stream="s", event={"tick": 7.5}))]
    assert a.log[-1] == ("tick", 7.5)
    assert ("tick", 7.5) not in b.log
    assert routed.wake_at() == 9.0


def test_a_stopped_agent_keeps_its_inbox() -> None:
    """It neither hears nor says nor ticks; when it goes on it catches up, with its containers first, each in order."""
    routed, master, a, _ = cluster()
    a.due = 1.0
    routed.stop_agent(A)
    assert routed.life(A) is Life.STOPPED
    assert routed.wake_at() is None
    a.say(Pong(agent_id="x"))
    master.send(A, Ping(connected=True))
    routed.settle(2.0)
    routed.tell_agent(A, lambda agent, at: agent.container_exited("c", 0, now=at), 2.0)
    master.send(A, KillTask(framework_id="f", task_id="t"))
    assert routed.settle(2.0) == []
    before = len(a.log)
    routed.continue_agent(A, 8.0)
    assert a.log[before:] == [("exited", "c", 8.0), Ping(connected=True), KillTask(framework_id="f", task_id="t")]
    assert [address for address, _ in routed.settle(8.0)] == [A, None, None]
    assert routed.wake_at() == 1.0


def test_a_killed_agent_breaks_its_link_and_loses_what_it_had_not_said() -> None:
    """The master hears of it once; messages are lost, ends of containers wait for the successor."""
    routed, master, a, _ = cluster()
    a.say(Pong(agent_id="x"))
    routed.kill_agent(A, 1.0)
    routed.kill_agent(A, 1.0)
    assert master.heard[-1] == (A, AgentLinkBroken(agent_id=f"m-{A}"))
    assert [message for _, message in master.heard if isinstance(message, AgentLinkBroken | Pong)] == [
        AgentLinkBroken(agent_id=f"m-{A}")
    ]
    master.send(A, Ping(connected=True))
    routed.tell_agent(A, lambda agent, at: agent.container_exited("c", 0, now=at), 2.0)
    assert routed.settle(2.0) == []
    routed.stop_agent(A)
    assert routed.life(A) is Life.DEAD
    successor = Agent(A)
    routed.start_agent(successor, 4.0)
    assert successor.log == [("start", 4.0), ("exited", "c", 4.0)]
    assert routed.agent(A) is successor
    with pytest.raises(AssertionError):
        routed.start_agent(Agent(A), 5.0)


def test_a_stopped_agent_can_be_killed() -> None:
    """Messages that waited are gone with it, ends of containers are not."""
    routed, master, _, _ = cluster()
    routed.stop_agent(A)
    master.send(A, Ping(connected=True))
    routed.settle(1.0)
    routed.tell_agent(A, lambda agent, at: agent.container_exited("b", 0, now=at), 1.0)
    routed.kill_agent(A, 1.0)
    successor = Agent(A)
    routed.start_agent(successor, 3.0)
    assert successor.log == [("start", 3.0), ("exited", "b", 3.0)]


def test_an_agent_without_id_dies_unnoticed() -> None:
    """There is no link to break before the registration."""
    master = Master()
    routed = Cluster(master)
    routed.add_agent(Agent(A), 0.0)
    routed.kill_agent(A, 0.0)
    routed.settle(0.0)
    assert master.heard == []


def test_a_new_master() -> None:
    """What is said while there is none is lost; agents then come to the new one, stopped ones when they go on."""
    routed, _, a, b = cluster()
    routed.stop_agent(B)
    routed.kill_master()
    assert not routed.has_master
    with pytest.raises(LookupError):
        _ = routed.master
    a.say(Pong(agent_id="x"))
    assert routed.step(1.0) == []
    routed.kill_agent(A, 1.0)
    routed.start_agent(Agent(A), 1.0)
    routed.settle(1.0)
    other = Master("n")
    routed.start_master(other, 2.0)
    routed.settle(2.0)
    assert [address for address, _ in other.heard] == [A]
    routed.continue_agent(B, 3.0)
    routed.settle(3.0)
    assert [address for address, _ in other.heard] == [A, B]
    assert b.log[-1] == AgentRegistered(agent_id=f"n-{B}")
