"""One simulated agent in virtual time, with a hand that plays master, executors and processes."""

from __future__ import annotations

import base64
import itertools
from random import Random
from typing import Any, TypeVar

from headgate.simulator.agent import Agent, AgentSettings, Checkpoint
from headgate.simulator.messages import (
    AcknowledgeUpdate,
    AgentOutput,
    AgentRegistered,
    FromAgent,
    Json,
    KillTask,
    Reply,
    RunTask,
    RunTaskGroup,
    SendToMaster,
    StartContainer,
    StatusUpdate,
    Stream,
    StreamEvent,
    ToAgent,
)

AGENT = "m-S0"
F = "m-0000"
Output = TypeVar("Output")
Message = TypeVar("Message")


def amounts(**wanted: float) -> list[Json]:
    return [
        {"name": name, "type": "SCALAR", "scalar": {"value": float(value)}, "allocation_info": {"role": "*"}}
        for name, value in wanted.items()
    ]


def framework(
    *capabilities: str, framework_id: str = F, checkpoint: bool = False, partition_aware: bool = True
) -> Json:
    kinds = [*capabilities, *(["PARTITION_AWARE"] if partition_aware else [])]
    return {
        "user": "nobody",
        "name": "test",
        "id": {"value": framework_id},
        "checkpoint": checkpoint,
        "capabilities": [{"type": kind} for kind in kinds],
    }


def executor(executor_id: str = "e1", framework_id: str = F, **more: Any) -> Json:
    return {
        "type": "CUSTOM",
        "executor_id": {"value": executor_id},
        "framework_id": {"value": framework_id},
        "command": {"shell": False, "value": "/bin/program", "arguments": ["program", "-x"]},
        "resources": amounts(cpus=0.1, mem=32),
        "name": "scripted",
        **more,
    }


def pod(executor_id: str = "pod", **more: Any) -> Json:
    return {
        "type": "DEFAULT",
        "executor_id": {"value": executor_id},
        "framework_id": {"value": F},
        "resources": amounts(cpus=0.1, mem=32, disk=32),
        **more,
    }


def task(task_id: str, **more: Any) -> Json:
    return {
        "name": task_id,
        "task_id": {"value": task_id},
        "agent_id": {"value": AGENT},
        "resources": amounts(cpus=0.1, mem=32),
        **more,
    }


def command_task(task_id: str, command: str = "sleep 600", **more: Any) -> Json:
    return task(task_id, command={"shell": True, "value": command}, **more)


class World:
    """An agent and everything that happened, in order.  Time moves only by `pass_time`."""

    def __init__(self, settings: AgentSettings | None = None, *, now: float = 1_700_000_000.0) -> None:
        self.settings = settings or AgentSettings(
            resources="cpus:4;mem:4096;disk:10000;ports:[31000-31500]", ping_timeout_s=1e9, builtin_startup_s=0
        )
        self.now = now
        self.seen: list[AgentOutput] = []
        self.pids = itertools.count(1000)
        self.uuids = itertools.count(1)
        self.agent = self._make(None)

    def _make(self, checkpoint: Checkpoint | None) -> Agent:
        return Agent(self.settings, Random(7), checkpoint)

    def registered(self) -> World:
        """Started, registered, and what that took forgotten."""
        self.agent.start(now=self.now)
        self.pass_time(1.5)
        self.receive(AgentRegistered(agent_id=AGENT))
        self.seen.clear()
        return self

    def restart(self) -> None:
        """Kill the agent and start its successor on what it left."""
        self.agent = self._make(self.agent.export_checkpoint())
        self.agent.start(now=self.now)
        self._collect()

    # --- inputs --------------------------------------------------------------------------------------------------

    def receive(self, message: ToAgent) -> None:
        self.agent.receive(message, now=self.now)
        self._collect()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, waking the agent exactly when it asks for it."""
        until = self.now + seconds
        for _ in range(10_000):
            wake_at = self.agent.wake_at()
            if wake_at is None or wake_at > until:
                break
            self.now = max(self.now, wake_at)
            self.agent.tick(now=self.now)
            self._collect()
        else:
            raise AssertionError("the agent asks to be woken without end")
        self.now = until

    def run(self, info: Json, *, by: Json | None = None, on: Json | None = None, new: bool | None = None) -> None:
        self.receive(RunTask(framework=by or framework(), task=info, executor=on, launch_executor=new))

    def run_group(self, *tasks: Json, on: Json, by: Json | None = None) -> None:
        self.receive(RunTaskGroup(framework=by or framework(), executor=on, tasks=tasks))

    def kill(self, task_id: str, policy: Json | None = None) -> None:
        self.receive(KillTask(framework_id=F, task_id=task_id, kill_policy=policy))

    def call(self, kind: str, body: Json | None = None, *, executor_id: str = "e1") -> Reply | Stream:
        call: Json = {"executor_id": {"value": executor_id}, "framework_id": {"value": F}, "type": kind}
        if body is not None:
            call[kind.lower()] = body
        answer = self.agent.call(call, now=self.now)
        self._collect()
        return answer

    def subscribe(self, body: Json | None = None, *, executor_id: str = "e1") -> str:
        answer = self.call("SUBSCRIBE", body or {}, executor_id=executor_id)
        assert isinstance(answer, Stream)
        return answer.stream

    def update(self, task_id: str, state: str, *, executor_id: str = "e1", uuid: str | None = None, **more: Any) -> str:
        uuid = uuid or base64.b64encode(next(self.uuids).to_bytes(16, "big")).decode()
        status = {"task_id": {"value": task_id}, "state": state, "source": "SOURCE_EXECUTOR", "uuid": uuid, **more}
        answer = self.call("UPDATE", {"status": status}, executor_id=executor_id)
        assert isinstance(answer, Reply)
        assert answer.status == 202
        return uuid

    def acknowledge(self, task_id: str, uuid: str | None = None) -> None:
        """Acknowledge an update; without uuid the last that was forwarded."""
        sent = [update for update in self.updates() if update.status["task_id"]["value"] == task_id]
        self.receive(AcknowledgeUpdate(framework_id=F, task_id=task_id, uuid=uuid or sent[-1].status["uuid"]))

    def starts(self, container_id: str | None = None) -> str:
        """The process of a container (the last one asked for) begins to run; its container id."""
        container_id = container_id or self.outputs(StartContainer)[-1].container_id
        self.agent.container_started(container_id, next(self.pids), now=self.now)
        self._collect()
        return container_id

    def exits(self, container_id: str, status: int) -> None:
        self.agent.container_exited(container_id, status, now=self.now)
        self._collect()

    def fails(self, container_id: str, message: str) -> None:
        self.agent.container_failed(container_id, message, now=self.now)
        self._collect()

    def running(self, *task_ids: str, on: Json | None = None, by: Json | None = None) -> tuple[str, str]:
        """Tasks that run on a custom executor, their updates acknowledged; container id and stream."""
        on = on or executor()
        executor_id = on["executor_id"]["value"]
        for task_id in task_ids:
            self.run(task(task_id, executor=on), on=on, by=by)
        container_id = self.starts()
        stream = self.subscribe(executor_id=executor_id)
        for task_id in task_ids:
            self.update(task_id, "TASK_RUNNING", executor_id=executor_id)
            self.acknowledge(task_id)
        self.seen.clear()
        return container_id, stream

    # --- what came of it -----------------------------------------------------------------------------------------

    def _collect(self) -> None:
        self.seen += self.agent.drain()

    def outputs(self, kind: type[Output]) -> list[Output]:
        return [output for output in self.seen if isinstance(output, kind)]

    def messages(self, kind: type[Message]) -> list[Message]:
        sent: list[FromAgent] = [output.message for output in self.outputs(SendToMaster)]
        return [message for message in sent if isinstance(message, kind)]

    def updates(self) -> list[StatusUpdate]:
        return self.messages(StatusUpdate)

    def told(self) -> list[tuple[str, str, str | None, str | None]]:
        """The updates forwarded to the master: task, state, reason, message."""
        return [
            (status["task_id"]["value"], status["state"], status.get("reason"), status.get("message"))
            for status in (update.status for update in self.updates())
        ]

    def events(self, stream: str) -> list[Json]:
        return [output.event for output in self.outputs(StreamEvent) if output.stream == stream]

    def event_types(self, stream: str) -> list[str]:
        return [event["type"] for event in self.events(stream)]
