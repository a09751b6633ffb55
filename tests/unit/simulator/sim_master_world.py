"""A master in virtual time with agents and schedulers that a test plays by hand."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

from headgate.simulator.master import Master, MasterSettings, Registry
from headgate.simulator.messages import (
    AgentLinkBroken,
    AgentRegistered,
    ExitedExecutor,
    FromAgent,
    Ping,
    Pong,
    RegisterAgent,
    Reply,
    ReregisterAgent,
    SendToAgent,
    StatusUpdate,
    Stream,
    StreamEnd,
    StreamEvent,
    ToAgent,
)
from headgate.simulator.resources import parse, parse_attributes

Json = dict[str, Any]
START = 1_700_000_000.0
SMALL_AGENT = "cpus:2;mem:2048;disk:10000;ports:[32000-32100]"
GPU_AGENT = "cpus:4;mem:4096;disk:10000;gpus:2;ports:[31000-31500]"


class World:
    """One master; its outputs are sorted to whoever they are for."""

    def __init__(self, registry: Registry | None = None, *, seed: int = 1, **settings: Any) -> None:
        self.now = START
        self.settings = MasterSettings(**settings)
        self.master = Master(self.settings, Random(seed), registry)
        self.agents: dict[str, FakeAgent] = {}
        self.events: dict[str, list[Json]] = {}
        self.ended: list[str] = []
        self._ports = itertools.count(6000)

    def settle(self) -> None:
        """Hand out what the master said; agents answer pings at once."""
        while outputs := self.master.drain():
            for output in outputs:
                if isinstance(output, StreamEvent):
                    self.events.setdefault(output.stream, []).append(output.event)
                elif isinstance(output, StreamEnd):
                    self.ended.append(output.stream)
                else:
                    assert isinstance(output, SendToAgent)
                    self.agents[output.address].hear(output.message)

    def advance(self, seconds: float) -> None:
        """Let time pass, stopping wherever something is due."""
        end = self.now + seconds
        while (due := self.master.wake_at()) is not None and due <= end:
            self.now = max(self.now, due)
            self.master.tick(now=self.now)
            self.settle()
        self.now = end
        self.master.tick(now=self.now)
        self.settle()

    def agent(self, resources: str = SMALL_AGENT, attributes: str = "rack:r1", **more: Any) -> FakeAgent:
        """A registered agent."""
        made = FakeAgent(self, f"127.0.0.1:{next(self._ports)}", resources, attributes, **more)
        self.agents[made.address] = made
        made.register()
        return made

    def framework(self, *capabilities: str, subscribe: Json | None = None, **info: Any) -> Scheduler:
        """A scheduler that has subscribed."""
        made = Scheduler(self, capabilities, info)
        made.subscribe(**(subscribe or {}))
        return made

    def operator(self, kind: str, **body: Any) -> Reply:
        """A call of the operator API."""
        answer = self.master.operator({"type": kind, kind.lower(): body}, now=self.now)
        assert isinstance(answer, Reply)
        self.settle()
        return answer

    def read(self, kind: str) -> Any:
        """The answer of a reading operator call."""
        reply = self.operator(kind)
        assert isinstance(reply.body, dict)
        return reply.body[kind.lower()]

    def get(self, path: str, **query: str) -> Any:
        """The body of a GET endpoint."""
        return self.master.get(path, query, now=self.now).body


class FakeAgent:
    """An agent that does nothing by itself but answer pings."""

    def __init__(self, world: World, address: str, resources: str, attributes: str, **more: Any) -> None:
        self.world, self.address = world, address
        self.id = ""
        self.answers_pings = True
        self.heard: list[ToAgent] = []
        self.info: Json = {
            "hostname": "localhost",
            "port": int(address.rsplit(":", 1)[1]),
            "resources": parse(resources).json(),
            "attributes": parse_attributes(attributes),
            **more,
        }

    def hear(self, message: ToAgent) -> None:
        """A message of the master."""
        if isinstance(message, AgentRegistered):
            self.id = message.agent_id
            self.info["id"] = {"value": self.id}
        if isinstance(message, Ping):
            if self.answers_pings and self.id:
                self.world.master.receive(self.address, Pong(agent_id=self.id), now=self.world.now)
        else:
            self.heard.append(message)

    def take(self, kind: type[ToAgent]) -> list[Any]:
        """The messages of one kind since the last look."""
        found = [message for message in self.heard if isinstance(message, kind)]
        self.heard = [message for message in self.heard if not isinstance(message, kind)]
        return found

    def send(self, message: FromAgent) -> None:
        """Say something to the master."""
        self.world.master.receive(self.address, message, now=self.world.now)
        self.world.settle()

    def register(self) -> None:
        """Ask for an id."""
        info = {key: value for key, value in self.info.items() if key != "id"}
        self.send(RegisterAgent(agent_info=info, address=self.address))

    def reregister(self, tasks: tuple[Json, ...] = (), executors: tuple[Json, ...] = (), **more: Any) -> None:
        """Come back with an id."""
        message = ReregisterAgent(
            agent_info=self.info, address=self.address, tasks=tasks, executors=executors, **{"frameworks": (), **more}
        )
        self.send(message)

    def break_link(self) -> None:
        """The process is gone."""
        self.send(AgentLinkBroken(agent_id=self.id))

    def update(self, framework: Scheduler, task_id: str, state: str, *, latest: str | None = None, **more: Any) -> Json:
        """An executor's update; returns the status."""
        status: Json = {
            "task_id": {"value": task_id},
            "state": state,
            "agent_id": {"value": self.id},
            "source": "SOURCE_EXECUTOR",
            "timestamp": self.world.now,
            "uuid": new_uuid(),
            **more,
        }
        message = StatusUpdate(agent_id=self.id, framework_id=framework.id, status=status, latest_state=latest or state)
        self.send(message)
        return status

    def executor_exits(self, framework: Scheduler, executor_id: str, status: int = 0) -> None:
        """A custom executor has ended."""
        self.send(ExitedExecutor(agent_id=self.id, framework_id=framework.id, executor_id=executor_id, status=status))


class Scheduler:
    """A framework's side of the API."""

    def __init__(self, world: World, capabilities: tuple[str, ...], info: Json) -> None:
        self.world = world
        self.info: Json = {"user": "u", "name": "n", **info}
        if capabilities:
            self.info["capabilities"] = [{"type": name} for name in capabilities]
        self.stream = ""
        self._read = 0

    @property
    def id(self) -> str:
        return str(self.info["id"]["value"])

    @property
    def ended(self) -> bool:
        """Whether the current stream has been ended by the master."""
        return self.stream in self.world.ended

    def subscribe(self, **more: Any) -> Json:
        """Subscribe (again); returns the first event."""
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.info, **more}}
        answer = self.world.master.call(call, stream_id=None, now=self.world.now)
        assert isinstance(answer, Stream), answer
        self.stream, self._read = answer.stream, 0
        self.world.settle()
        first = self.world.events[self.stream][0]
        if first["type"] == "SUBSCRIBED":
            self.info["id"] = first["subscribed"]["framework_id"]
            assert self.world.events[self.stream][1] == {"type": "HEARTBEAT"}
            self._read = 2
        return first

    def call(self, kind: str, *, stream: str | None = "", **body: Any) -> Reply:
        """Any other call."""
        call: Json = {"type": kind, "framework_id": {"value": self.id}, kind.lower(): body}
        stream_id = self.stream if stream == "" else stream
        answer = self.world.master.call(call, stream_id=stream_id, now=self.world.now)
        assert isinstance(answer, Reply)
        self.world.settle()
        return answer

    def fresh(self, *, heartbeats: bool = False) -> list[Json]:
        """The events since the last look."""
        events = self.world.events.get(self.stream, [])[self._read :]
        self._read += len(events)
        return [event for event in events if heartbeats or event["type"] != "HEARTBEAT"]

    def offers(self) -> list[Json]:
        """The offers that came since the last look; nothing else may have come."""
        events = self.fresh()
        assert {event["type"] for event in events} <= {"OFFERS"}, events
        return [offer for event in events for offer in event["offers"]["offers"]]

    def statuses(self) -> list[Json]:
        """The statuses of the updates since the last look; offers are passed over."""
        return [event["update"]["status"] for event in self.fresh() if event["type"] == "UPDATE"]

    def accept(self, offers: list[Json], *operations: Json, refuse: float | None = None) -> Reply:
        """ACCEPT."""
        filters = {} if refuse is None else {"filters": {"refuse_seconds": refuse}}
        return self.call("ACCEPT", offer_ids=[offer["id"] for offer in offers], operations=list(operations), **filters)

    def decline(self, offers: list[Json], refuse: float | None = None) -> Reply:
        """DECLINE."""
        filters = {} if refuse is None else {"filters": {"refuse_seconds": refuse}}
        return self.call("DECLINE", offer_ids=[offer["id"] for offer in offers], **filters)

    def run(self, agent: FakeAgent, task_id: str = "t1", **more: Any) -> Json:
        """Launch a small command task on an agent from the offers at hand and have it run; returns the status."""
        offers = [offer for offer in self.offers() if offer["agent_id"]["value"] == agent.id]
        assert offers, "no offer of that agent"
        described = {"command": {"value": "sleep 1"}, **more}
        self.accept(offers, launch(task(task_id, offers[0], **described)))
        status = agent.update(self, task_id, "TASK_RUNNING")
        assert [item["state"] for item in self.statuses()] == ["TASK_RUNNING"]
        return status

    def acknowledge(self, status: Json) -> Reply:
        """ACKNOWLEDGE."""
        return self.call("ACKNOWLEDGE", agent_id=status["agent_id"], task_id=status["task_id"], uuid=status["uuid"])


_numbers: Iterator[int] = itertools.count(1)


def new_uuid() -> str:
    """A fresh uuid as base64 of 16 bytes."""
    return base64.b64encode(next(_numbers).to_bytes(16, "big")).decode()


def scalar(name: str, value: float, **more: Any) -> Json:
    """A SCALAR resource."""
    return {"name": name, "type": "SCALAR", "scalar": {"value": value}, **more}


def ports(begin: int, end: int) -> Json:
    """A range of ports."""
    return {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": begin, "end": end}]}}


def needs(cpus: float = 0.1, mem: float = 32.0) -> list[Json]:
    """A little cpu and memory."""
    return [scalar("cpus", cpus), scalar("mem", mem)]


def task(task_id: str, offer: Json, resources: list[Json] | None = None, **more: Any) -> Json:
    """A TaskInfo on the agent of an offer."""
    return {
        "name": task_id or "nameless",
        "task_id": {"value": task_id},
        "agent_id": offer["agent_id"],
        "resources": needs() if resources is None else resources,
        **more,
    }


def custom(executor_id: str = "e1", **more: Any) -> Json:
    """A CUSTOM ExecutorInfo."""
    return {
        "type": "CUSTOM",
        "executor_id": {"value": executor_id},
        "command": {"value": "run"},
        "resources": needs(),
        **more,
    }


def launch(*tasks: Json) -> Json:
    """A LAUNCH."""
    return {"type": "LAUNCH", "launch": {"task_infos": list(tasks)}}


def launch_group(executor: Json, *tasks: Json) -> Json:
    """A LAUNCH_GROUP."""
    return {"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": {"tasks": list(tasks)}}}


def operation(kind: str, operation_id: str | None = None, **body: Any) -> Json:
    """Any other operation."""
    named: Json = {"type": kind, kind.lower(): body}
    return {**named, "id": {"value": operation_id}} if operation_id else named


def reserved(resource: Json, role: str, **more: Any) -> Json:
    """The same resource with one dynamic reservation."""
    return {**resource, "reservations": [{"type": "DYNAMIC", "role": role, **more}]}


def amounts(offer: Json) -> dict[str, float]:
    """The scalars of an offer by name."""
    found: dict[str, float] = {}
    for resource in offer["resources"]:
        if resource["type"] == "SCALAR":
            found[resource["name"]] = found.get(resource["name"], 0.0) + resource["scalar"]["value"]
    return found


def kinds(events: list[Json]) -> list[str]:
    """The types of events."""
    return [event["type"] for event in events]
