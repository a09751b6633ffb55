"""The agent as the edges drive it: every input comes in here, and is done with when the method returns."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from headgate.simulator.agent import (
    builtin_host,
    draining,
    executor_begin,
    executor_calls,
    executor_end,
    killing,
    launching,
    operations,
    operator_calls,
    operator_containers,
    recovery,
    status_flow,
    views,
)
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord
from headgate.simulator.agent.recovery import Checkpoint
from headgate.simulator.agent.registration import Registration
from headgate.simulator.agent.settings import AgentSettings
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.agent.update_streams import Outcome
from headgate.simulator.agent.wait_status import UNKNOWN
from headgate.simulator.messages import (
    AcknowledgeOperation,
    AcknowledgeUpdate,
    AgentOutput,
    AgentRegistered,
    ApplyOperation,
    DrainAgent,
    FrameworkMessage,
    Json,
    KillTask,
    Ping,
    ReconcileOperations,
    Reply,
    RunTask,
    RunTaskGroup,
    ShutdownAgent,
    ShutdownExecutor,
    ShutdownFramework,
    Stream,
    ToAgent,
    UnregisterAgent,
    UpdateFramework,
)


class Agent:
    """One agent (`ports.AgentModel`).

    After `export_checkpoint` of one, a new one made with that checkpoint is its successor on the same work directory:
    drop the old one, tell the new one of every container that has ended meanwhile, and route all later reports to it.
    """

    def __init__(self, settings: AgentSettings, randomness: Random, checkpoint: Checkpoint | None = None) -> None:
        """Make an agent; nothing happens before `start`.

        Raises:
            ValueError: the settings' resources or attributes are malformed.
        """
        self.address = settings.address
        self._state = AgentState(settings=settings, randomness=randomness, total=settings.total())
        settings.agent_info(None)
        self._orphans: tuple[str, ...] = ()
        if checkpoint is not None:
            recovery.restore(self._state, checkpoint)
            self._orphans = checkpoint.orphans
        self._registration = Registration(self._state)
        self._recovered_at: float | None = None

    @property
    def agent_id(self) -> str | None:
        """The id the master gave, once it has."""
        return self._state.agent_id

    @property
    def is_over(self) -> bool:
        """Whether it was told to end and has done so; nothing but a new agent helps then."""
        return self._state.phase is Phase.TERMINATING and not self._state.frameworks

    def export_checkpoint(self) -> Checkpoint:
        """What would be found on the disk if the agent's process were killed now."""
        return recovery.export(self._state)

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self, *, now: float) -> None:
        """Begin: register, or after a restart recover and re-register."""
        state = self._state
        state.started_at = now
        if state.phase is Phase.RECOVERING:
            recovery.reattach(state, self._orphans, now=now)
            builtin_host.settle(state, now=now)
        if state.phase is Phase.RECOVERING and state.settings.recover == "cleanup":
            self._terminate(now=now)
            builtin_host.settle(state, now=now)
        elif state.phase is Phase.RECOVERING and state.frameworks:
            self._recovered_at = now + state.settings.executor_reregistration_timeout_s
        else:
            self._registration.begin(now=now)

    def master_detected(self, *, now: float) -> None:
        """Another master leads (a recovering agent finds it when it is done with that)."""
        self._registration.detected(now=now)

    def unregister(self, *, now: float) -> None:
        """End as on SIGUSR1: say goodbye to the master and shut everything down."""
        if self._state.phase is Phase.RUNNING:
            self._state.tell_master(UnregisterAgent(agent_id=self._state.id))
        self._terminate(now=now)
        builtin_host.settle(self._state, now=now)

    def tick(self, *, now: float) -> None:
        """Do what is due: resent updates, executor timeouts, kill grace."""
        state = self._state
        if self._recovered_at is not None and self._recovered_at <= now:
            self._recovered_at = None
            recovery.give_up_missing(state, now=now)
            if state.drain_config is not None:
                draining.drain(state, state.drain_config, now=now)
            self._registration.begin(now=now)
        self._registration.tick(now=now)
        for key, update in state.updates.due(now=now):
            status_flow.forward(state, key, update)
        for key, update in state.operation_updates.due(now=now):
            operations.forward(state, key, update)
        for framework, executor in state.executors():
            self._tick_executor(framework, executor, now=now)
        builtin_host.settle(state, now=now)

    def wake_at(self) -> float | None:
        """When `tick` is due next."""
        state = self._state
        times = [
            self._recovered_at,
            self._registration.wake_at(),
            state.updates.wake_at(),
            state.operation_updates.wake_at(),
        ]
        for _, executor in state.executors():
            times += [executor.start_at, executor.deadline, executor.heartbeat_at]
            if executor.builtin is not None:
                times.append(executor.builtin.wake_at())
        return min((at for at in times if at is not None), default=None)

    def drain(self) -> list[AgentOutput]:
        """Take all outputs since the last drain, in order."""
        taken, self._state.outbox = self._state.outbox, []
        return taken

    # --- executors and containers --------------------------------------------------------------------------------

    def call(self, call: Json, *, now: float) -> Reply | Stream:
        """One executor API call that has passed `schema`; this does rows 6–11 of the reference's D.1."""
        answer = executor_calls.call(self._state, call, now=now)
        builtin_host.settle(self._state, now=now)
        return answer

    def operator(self, call: Json, *, now: float) -> Reply | Stream:
        """One call of the operator API that has passed `schema`."""
        return operator_calls.call(self._state, call, now=now)

    def disconnected(self, stream: str, *, now: float) -> None:  # noqa: ARG002 (an agent takes no notice of the time)
        """The client of a stream has gone away."""
        executor_calls.disconnected(self._state, stream)

    def get(self, path: str, query: Mapping[str, str], *, now: float) -> Reply:
        """A GET endpoint: `/state`, `/containers`, `/health`, `/version`."""
        return views.get(self._state, path, query, now=now)

    def container_started(self, container_id: str, pid: int, *, now: float) -> None:
        """The process runs."""
        own = self._state.operator_containers.get(container_id)
        if own is not None:
            own.pid = pid
        framework, executor = self._owner(container_id)
        if framework is None or executor is None:
            return
        if container_id == executor.container_id:
            executor_begin.started(self._state, framework, executor, container_id, pid, now=now)
        elif executor.builtin is not None:
            executor.containers[container_id] = pid
            acts = executor.builtin.container_started(container_id, now=now)
            builtin_host.perform(self._state, framework, executor, acts, now=now)
        builtin_host.settle(self._state, now=now)

    def container_failed(self, container_id: str, message: str, *, now: float) -> None:
        """Fetching or starting failed; no process was left behind."""
        operator_containers.ended(self._state, container_id, UNKNOWN)
        framework, executor = self._owner(container_id)
        if framework is None or executor is None:
            return
        executor.live.discard(container_id)
        if container_id == executor.container_id:
            executor_begin.failed(self._state, framework, executor, message, now=now)
        elif executor.builtin is not None:
            acts = executor.builtin.container_failed(container_id, message, now=now)
            builtin_host.perform(self._state, framework, executor, acts, now=now)
        builtin_host.settle(self._state, now=now)

    def container_exited(self, container_id: str, wait_status: int, *, now: float) -> None:
        """The process ended; `wait_status` is the raw status of wait(2)."""
        operator_containers.ended(self._state, container_id, wait_status)
        framework, executor = self._owner(container_id)
        if framework is None or executor is None:
            return
        executor.live.discard(container_id)
        if executor.builtin is not None:
            acts = executor.builtin.container_exited(container_id, wait_status, now=now)
            builtin_host.perform(self._state, framework, executor, acts, now=now)
        else:
            executor_end.end(self._state, framework, executor, wait_status, now=now)
        builtin_host.settle(self._state, now=now)

    def checked(self, check_id: str, outcome: Json | None, *, now: float) -> None:
        """A check was performed: the body of its CheckStatusInfo, None without a result in time."""
        framework, executor = self._owner(check_id.rpartition(".")[0])
        if framework is not None and executor is not None and executor.builtin is not None:
            acts = executor.builtin.checked(check_id, outcome, now=now)
            builtin_host.perform(self._state, framework, executor, acts, now=now)
            builtin_host.settle(self._state, now=now)

    def _owner(self, container_id: str) -> tuple[FrameworkRecord | None, ExecutorRecord | None]:
        """The executor that has a living container."""
        for framework, executor in self._state.executors():
            if container_id in executor.live:
                return framework, executor
        return None, None

    def _tick_executor(self, framework: FrameworkRecord, executor: ExecutorRecord, *, now: float) -> None:
        executor_begin.heartbeat(self._state, executor, now=now)
        if executor.start_at is not None and executor.start_at <= now:
            executor_begin.come_up(self._state, framework, executor, now=now)
        if executor.deadline is not None and executor.deadline <= now:
            executor_end.time_is_up(self._state, framework, executor, now=now)
        if executor.builtin is not None:
            acts = executor.builtin.tick(now=now)
            builtin_host.perform(self._state, framework, executor, acts, now=now)

    # --- the master ----------------------------------------------------------------------------------------------

    def receive(self, message: ToAgent, *, now: float) -> None:
        """A message of the master."""
        self._dispatch(message, now=now)
        builtin_host.settle(self._state, now=now)

    def _dispatch(self, message: ToAgent, *, now: float) -> None:
        state = self._state
        match message:
            case AgentRegistered():
                self._registration.registered(message, now=now)
            case Ping():
                self._registration.ping(message, now=now)
            case RunTask():
                launching.run_task(state, message, now=now)
            case RunTaskGroup():
                launching.run_task_group(state, message, now=now)
            case KillTask():
                killing.kill_task(state, message, now=now)
            case AcknowledgeUpdate():
                self._acknowledge(message, now=now)
            case AcknowledgeOperation():
                operations.acknowledge(state, message, now=now)
            case FrameworkMessage():
                executor_calls.framework_message(state, message)
            case ShutdownExecutor():
                self._shutdown_executor(message, now=now)
            case ShutdownFramework():
                if state.phase in (Phase.RUNNING, Phase.TERMINATING) and message.framework_id in state.frameworks:
                    executor_end.shutdown_framework(state, state.frameworks[message.framework_id], now=now)
            case UpdateFramework():
                self._update_framework(message, now=now)
            case ApplyOperation():
                operations.apply_operation(state, message, now=now)
            case ReconcileOperations():
                operations.reconcile(state, message)
            case DrainAgent():
                draining.drain(state, message.config, now=now)
            case ShutdownAgent():
                self._terminate(now=now)

    def _acknowledge(self, message: AcknowledgeUpdate, *, now: float) -> None:
        """The scheduler has got an update; with the last one its task, executor and framework may be forgotten."""
        state = self._state
        if state.phase is not Phase.RUNNING:
            return
        key = (message.framework_id, message.task_id)
        outcome, head = state.updates.acknowledge(key, message.uuid, now=now)
        if head is not None:
            status_flow.forward(state, key, head)
        framework = state.frameworks.get(message.framework_id)
        executor = framework.executor_of(message.task_id) if framework is not None else None
        if outcome is Outcome.IGNORED or framework is None or executor is None:
            return
        if outcome is Outcome.CLOSED and message.task_id in executor.terminated:
            executor.complete(message.task_id)
        executor_end.remove_if_done(state, framework, executor)

    def _shutdown_executor(self, message: ShutdownExecutor, *, now: float) -> None:
        state = self._state
        framework = state.running_framework(message.framework_id)
        if framework is None or state.phase in (Phase.RECOVERING, Phase.DISCONNECTED):
            return
        executor = framework.executors.get(message.executor_id)
        if executor is not None:
            executor_end.shutdown(state, executor, now=now)

    def _update_framework(self, message: UpdateFramework, *, now: float) -> None:
        """New facts about a framework; as it may have just come back, all waiting updates go out again."""
        state = self._state
        framework = state.running_framework(message.framework["id"]["value"])
        if framework is None or state.phase is not Phase.RUNNING:
            return
        framework.info = message.framework
        for key, update in state.updates.resume(now=now):
            status_flow.forward(state, key, update)

    def _terminate(self, *, now: float) -> None:
        state = self._state
        state.phase = Phase.TERMINATING
        self._recovered_at = None
        for framework in list(state.frameworks.values()):
            executor_end.shutdown_framework(state, framework, now=now)
