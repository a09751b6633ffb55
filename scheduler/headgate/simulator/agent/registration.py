"""How an agent comes to its master, and notices that it has lost it.

It registers (or re-registers, once it has an id) after a random part of the backoff, and repeats that with growing
waits until it is answered.  Without a ping for long enough, or with one that says "I think you are gone", it starts
over.

Source: `Slave::detected`, `doReliableRegistration`, `registered`, `reregistered`, `ping`, `pingTimeout`.
"""

from __future__ import annotations

from headgate.simulator.agent import operations, status_flow
from headgate.simulator.agent.executor_machine import ExecutorState
from headgate.simulator.agent.state import AgentState, Phase, is_remembered
from headgate.simulator.agent.task_states import dropped
from headgate.simulator.messages import AgentRegistered, Ping, Pong, RegisterAgent, ReregisterAgent

LONGEST_BACKOFF_S = 60.0


class Registration:
    """The agent's side of the connection to the master."""

    def __init__(self, state: AgentState) -> None:
        self._state = state
        self._backoff_s = 0.0
        self._register_at: float | None = None
        self._ping_timeout_s = state.settings.ping_timeout_s
        self._pinged_by: float | None = None

    def begin(self, *, now: float) -> None:
        """Look for the master: nothing is forwarded from now on until it has answered."""
        state = self._state
        self._pinged_by = None
        if state.phase is Phase.TERMINATING:
            return
        state.phase = Phase.DISCONNECTED
        state.updates.pause()
        state.operation_updates.pause()
        factor_s = state.settings.registration_backoff_s
        self._register_at = now + factor_s * state.randomness.random()
        self._backoff_s = factor_s * 2

    def detected(self, *, now: float) -> None:
        """There is a new master: look for it with a small wait again, however long the waits had grown."""
        if self._state.phase is not Phase.RECOVERING:
            self.begin(now=now)

    def registered(self, message: AgentRegistered, *, now: float) -> None:
        """The master has answered; unacknowledged updates go out again."""
        state = self._state
        if state.phase in (Phase.RECOVERING, Phase.TERMINATING):
            return
        if state.agent_id is not None and state.agent_id != message.agent_id:
            return
        if message.total_ping_timeout_s is not None:
            self._ping_timeout_s = message.total_ping_timeout_s
        if state.phase is Phase.DISCONNECTED:
            state.phase = Phase.RUNNING
            state.agent_id = message.agent_id
            self._register_at = None
            self._pinged_by = now + self._ping_timeout_s
            for key, update in state.updates.resume(now=now):
                status_flow.forward(state, key, update)
            for key, update in state.operation_updates.resume(now=now):
                operations.forward(state, key, update)
        self._reconcile(message, now=now)

    def ping(self, message: Ping, *, now: float) -> None:
        """Answer, in whatever phase."""
        state = self._state
        if state.agent_id is not None:
            state.tell_master(Pong(agent_id=state.agent_id))
        if not message.connected and state.phase is Phase.RUNNING:
            self.begin(now=now)
        else:
            self._pinged_by = now + self._ping_timeout_s

    def tick(self, *, now: float) -> None:
        """Do what is due."""
        state = self._state
        if self._pinged_by is not None and self._pinged_by <= now:
            self._pinged_by = None
            if state.phase is Phase.RUNNING:
                self.begin(now=now)
        if self._register_at is not None and self._register_at <= now:
            self._register_at = None
            if state.phase is Phase.DISCONNECTED:
                self._register()
                self._backoff_s = min(self._backoff_s, LONGEST_BACKOFF_S)
                self._register_at = now + self._backoff_s * state.randomness.random()
                self._backoff_s *= 2

    def wake_at(self) -> float | None:
        """When `tick` is due next."""
        return min((at for at in (self._register_at, self._pinged_by) if at is not None), default=None)

    def _register(self) -> None:
        state = self._state
        info = state.settings.agent_info(state.agent_id)
        if state.agent_id is None:
            state.tell_master(RegisterAgent(agent_info=info, address=state.settings.address))
            return
        frameworks = list(state.frameworks.values())
        state.tell_master(
            ReregisterAgent(
                agent_info=info,
                address=state.settings.address,
                tasks=tuple(task.json for framework in frameworks for task in framework.tasks()),
                executors=tuple(
                    executor.info
                    for framework in frameworks
                    for executor in framework.executors.values()
                    if not executor.command and executor.state is not ExecutorState.TERMINATED
                ),
                frameworks=tuple(framework.info for framework in frameworks),
                resources=tuple(state.total.filter(is_remembered).json()),
            )
        )

    def _reconcile(self, message: AgentRegistered, *, now: float) -> None:
        """Tell the end of tasks that only the master knows."""
        state = self._state
        for asked in message.reconcile_tasks:
            framework_id = _id(asked["framework_id"])
            task_id = _id(asked["task_id"])
            framework = state.frameworks.get(framework_id)
            if framework is not None and framework.executor_of(task_id) is not None:
                continue
            info = asked.get("framework") or (framework.info if framework is not None else {})
            status_flow.unknown_task(state, framework_id, task_id, dropped(info), now=now)


def _id(value: object) -> str:
    """An id, bare or as `{value}`."""
    return str(value["value"]) if isinstance(value, dict) else str(value)
