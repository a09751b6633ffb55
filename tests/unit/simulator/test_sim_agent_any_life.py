"""Whatever happens to an agent, in whatever order: each task ends once, and in the end nothing is left."""

from __future__ import annotations

import base64
import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sim_agent_world import AGENT, F, World, command_task, executor, framework, pod, task

from headgate.simulator.agent import AgentSettings
from headgate.simulator.agent.task_states import TERMINAL
from headgate.simulator.messages import (
    AcknowledgeUpdate,
    AgentRegistered,
    DrainAgent,
    Ping,
    Reply,
    ReregisterAgent,
    ShutdownExecutor,
    SignalContainer,
    StartContainer,
    Stream,
)

EXECUTORS = st.sampled_from(["e1", "e2"])
NUMBERS = st.integers(0, 30)
STATES = st.sampled_from(["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED", "TASK_FAILED", "TASK_KILLED"])


class AnyLife(RuleBasedStateMachine):
    """Launches, kills, updates, ends of processes, acknowledgements, lost masters, restarts and time."""

    @initialize(checkpoint=st.booleans(), startup_s=st.sampled_from([0.0, 0.1]))
    def begin(self, checkpoint: bool, startup_s: float) -> None:
        self.world = World(AgentSettings(builtin_startup_s=startup_s, ping_timeout_s=1e9)).registered()
        self.framework = framework(checkpoint=checkpoint)
        self.uuids = itertools.count(1)
        self.tasks: list[str] = []
        self.asked: list[str] = []
        self.running: list[str] = []
        self.cursor = 0
        self.ends: dict[str, set[str]] = {}
        self.unacknowledged: list[AcknowledgeUpdate] = []

    # --- the world's bookkeeping ---------------------------------------------------------------------------------

    def look(self) -> None:
        """Take notice of what the agent has said since."""
        for output in self.world.seen[self.cursor :]:
            if isinstance(output, StartContainer):
                self.asked.append(output.container_id)
            if isinstance(output, SignalContainer) and output.signal == 9 and output.container_id in self.running:
                self.running.remove(output.container_id)
                self.world.exits(output.container_id, 9)
        self.cursor = len(self.world.seen)
        self.unacknowledged = []
        for update in self.world.updates():
            task_id = update.status["task_id"]["value"]
            if update.status["state"] in TERMINAL:
                self.ends.setdefault(task_id, set()).add(update.status["uuid"])
            self.unacknowledged.append(AcknowledgeUpdate(framework_id=F, task_id=task_id, uuid=update.status["uuid"]))

    def new_task(self) -> str:
        self.tasks.append(f"t{len(self.tasks)}")
        return self.tasks[-1]

    # --- what may happen -----------------------------------------------------------------------------------------

    @rule(executor_id=EXECUTORS)
    def launch(self, executor_id: str) -> None:
        self.world.run(task(self.new_task()), on=executor(executor_id), by=self.framework)

    @rule()
    def launch_command(self) -> None:
        self.world.run(command_task(self.new_task()), by=self.framework)

    @rule(size=st.integers(1, 3))
    def launch_group(self, size: int) -> None:
        self.world.run_group(*(command_task(self.new_task()) for _ in range(size)), on=pod(), by=self.framework)

    @rule(number=NUMBERS)
    def a_container_starts(self, number: int) -> None:
        if self.asked:
            container_id = self.asked.pop(number % len(self.asked))
            self.running.append(container_id)
            self.world.starts(container_id)

    @rule(number=NUMBERS)
    def a_container_fails(self, number: int) -> None:
        if self.asked:
            self.world.fails(self.asked.pop(number % len(self.asked)), "no luck")

    @rule(number=NUMBERS, status=st.sampled_from([0, 256, 9, 256256]))
    def a_container_ends(self, number: int, status: int) -> None:
        if self.running:
            self.world.exits(self.running.pop(number % len(self.running)), status)

    @rule(executor_id=EXECUTORS)
    def subscribe(self, executor_id: str) -> None:
        answer = self.world.call("SUBSCRIBE", {}, executor_id=executor_id)
        assert isinstance(answer, Stream) or answer.status == 400

    @rule(executor_id=EXECUTORS, number=NUMBERS, state=STATES)
    def update(self, executor_id: str, number: int, state: str) -> None:
        if not self.tasks or self.world.agent.get("/state", {}, now=self.world.now).status == 503:
            return
        task_id = self.tasks[number % len(self.tasks)]
        if task_id in self.ends:
            return  # news of a task whose end is acknowledged are forwarded like those of an unknown one
        uuid = base64.b64encode(next(self.uuids).to_bytes(16, "big")).decode()
        status = {"task_id": {"value": task_id}, "state": state, "source": "SOURCE_EXECUTOR", "uuid": uuid}
        answer = self.world.call("UPDATE", {"status": status}, executor_id=executor_id)
        assert isinstance(answer, Reply)
        assert answer.status in (202, 400, 403)

    @rule(number=NUMBERS)
    def kill(self, number: int) -> None:
        if self.tasks and (task_id := self.tasks[number % len(self.tasks)]) not in self.ends:
            self.world.kill(task_id)

    @rule(executor_id=st.sampled_from(["e1", "e2", "pod", "t0"]))
    def shut_down(self, executor_id: str) -> None:
        self.world.receive(ShutdownExecutor(framework_id=F, executor_id=executor_id))

    @rule(number=NUMBERS)
    def acknowledge(self, number: int) -> None:
        if self.unacknowledged:
            self.world.receive(self.unacknowledged[-1 - number % len(self.unacknowledged)])

    @rule()
    def lose_the_master(self) -> None:
        self.world.receive(Ping(connected=False))

    @rule()
    def find_the_master(self) -> None:
        self.world.receive(AgentRegistered(agent_id=AGENT))

    @rule(mark_gone=st.booleans())
    def drain(self, mark_gone: bool) -> None:
        self.world.receive(DrainAgent(config={"mark_gone": mark_gone}))

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @rule(seconds=st.sampled_from([0.1, 1.0, 2.5, 10.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    # --- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def no_task_ends_twice(self) -> None:
        if hasattr(self, "world"):
            self.look()
            assert all(len(uuids) == 1 for uuids in self.ends.values()), self.ends

    @invariant()
    def what_is_due_gets_done(self) -> None:
        if hasattr(self, "world"):
            self.world.pass_time(0)
            wake_at = self.world.agent.wake_at()
            assert wake_at is None or wake_at > self.world.now

    def teardown(self) -> None:
        """Let it all come to its end: the agent is left with nothing, and registers with nothing."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for _ in range(12):
            world.receive(AgentRegistered(agent_id=AGENT))
            for executor_id in ("e1", "e2", "pod", *self.tasks):
                world.receive(ShutdownExecutor(framework_id=F, executor_id=executor_id))
            self.look()
            for container_id in (*self.asked, *self.running):
                world.starts(container_id)
                world.exits(container_id, 9)
            self.asked, self.running = [], []
            self.look()
            for acknowledgement in self.unacknowledged:
                world.receive(acknowledgement)
            world.pass_time(70)
        world.receive(Ping(connected=False))
        world.pass_time(2)
        last = world.messages(ReregisterAgent)[-1]
        assert (last.tasks, last.executors, last.frameworks) == ((), (), ())


AnyLife.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestAnyLife = AnyLife.TestCase
