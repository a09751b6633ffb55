"""RunTask and RunTaskGroup: what speaks against a launch, and else the way to an executor.

Source: `Slave::run` and `Slave::__run`.
"""

from __future__ import annotations

from headgate.simulator.agent import containers, executor_begin, executor_end, status_flow, wait_status
from headgate.simulator.agent.executor_machine import Action, ExecutorEvent, ExecutorState
from headgate.simulator.agent.records import ExecutorRecord, FrameworkRecord, FrameworkState
from headgate.simulator.agent.state import AgentState, Phase, is_remembered
from headgate.simulator.agent.task_states import dropped
from headgate.simulator.messages import ExitedExecutor, Json, LinkVolumes, RunTask, RunTaskGroup
from headgate.simulator.resources import Resources


def run_task(state: AgentState, message: RunTask, *, now: float) -> None:
    """Launch one task."""
    info = message.executor or message.task.get("executor")
    command = info is None
    if info is None:
        info = containers.command_executor_info(message.framework, message.task)
    launch = _Launch(
        state=state,
        framework_info=message.framework,
        info=info,
        tasks=(message.task,),
        command=command,
        group=False,
        wants_new=message.launch_executor,
        now=now,
    )
    launch.run()


def run_task_group(state: AgentState, message: RunTaskGroup, *, now: float) -> None:
    """Launch a group of tasks, all or none."""
    launch = _Launch(
        state=state,
        framework_info=message.framework,
        info=message.executor,
        tasks=message.tasks,
        command=False,
        group=True,
        wants_new=message.launch_executor,
        now=now,
    )
    launch.run()


class _Launch:
    """One launch, with all that its steps need to know."""

    def __init__(
        self,
        *,
        state: AgentState,
        framework_info: Json,
        info: Json,
        tasks: tuple[Json, ...],
        command: bool,
        group: bool,
        wants_new: bool | None,
        now: float,
    ) -> None:
        self._state = state
        self._framework_info = framework_info
        self._info = info
        self._tasks = tasks
        self._command = command
        self._group = group
        self._wants_new = wants_new
        self._now = now

    def run(self) -> None:
        state = self._state
        if state.phase in (Phase.RECOVERING, Phase.TERMINATING):
            return
        if any(task["agent_id"]["value"] != state.agent_id for task in self._tasks):
            return
        framework = self._framework()
        if framework.state is FrameworkState.TERMINATING:
            self._executor_did_not_start()
            return
        objection = self._objection()
        if objection is not None:
            self._drop(*objection)
            executor_end.remove_if_idle(state, framework)
            self._executor_did_not_start()
            return
        executor = framework.executors.get(self._info["executor_id"]["value"])
        if self._conflicts(framework, executor):
            executor_end.remove_if_idle(state, framework)
            return
        if executor is None:
            executor = executor_begin.create(state, framework, self._info, command=self._command, now=self._now)
            executor.enqueue(self._tasks, group=self._group)
            executor_begin.start(state, framework, executor, self._tasks, now=self._now)
        else:
            self._hand_over(executor)

    def _framework(self) -> FrameworkRecord:
        framework_id = self._framework_info["id"]["value"]
        framework = self._state.frameworks.get(framework_id)
        if framework is None:
            framework = FrameworkRecord(info=self._framework_info)
            earlier = next((old for old in self._state.completed_frameworks if old.framework_id == framework_id), None)
            if earlier is not None:
                framework.completed = earlier.completed
                self._state.completed_frameworks.remove(earlier)
            self._state.frameworks[framework_id] = framework
        return framework

    def _hand_over(self, executor: ExecutorRecord) -> None:
        state = self._state
        match executor.on(ExecutorEvent.TASK):
            case Action.DROP:
                word = "terminating" if executor.state is ExecutorState.TERMINATING else "terminated"
                self._drop("REASON_EXECUTOR_TERMINATED", f"Executor {word}", name_executor=False)
            case Action.QUEUE:
                executor.enqueue(self._tasks, group=self._group)
            case Action.DELIVER:
                executor.enqueue(self._tasks, group=self._group)
                links = containers.links(self._tasks)
                if links:
                    state.outbox.append(LinkVolumes(agent_id=state.id, sandbox=executor.sandbox, links=links))
                executor_begin.deliver(state, executor)

    # --- what speaks against it ----------------------------------------------------------------------------------

    def _objection(self) -> tuple[str, str] | None:
        """Reason and message, if the agent does not take these tasks at all."""
        if self._state.drain_config is not None:
            return "REASON_AGENT_DRAINING", "Task was received while agent was already draining"
        if any(not self._has(task) for task in self._tasks):
            return (
                "REASON_RESOURCES_UNKNOWN",
                "The checkpointed resources being used by the task or task group are unknown to the agent",
            )
        if not self._has(self._info):
            return (
                "REASON_RESOURCES_UNKNOWN",
                "The checkpointed resources being used by the executor are unknown to the agent",
            )
        return None

    def _has(self, owner: Json) -> bool:
        """Whether the agent knows of the reservations and volumes that are used."""
        wanted = Resources.of(owner.get("resources", ())).allocated(None).filter(is_remembered)
        return self._state.total.contains(wanted)

    def _conflicts(self, framework: FrameworkRecord, executor: ExecutorRecord | None) -> bool:
        """Whether the executor is not as the master thinks; then everybody has been told."""
        if self._command:
            if executor is None:
                return False
            self._drop("REASON_TASK_INVALID", "Cannot reuse an already existing executor for a command task")
            return True
        if self._wants_new is True and executor is not None:
            message = "Master wants to launch executor, but one already exists"
            self._drop("REASON_EXECUTOR_TERMINATED", message)
            if executor.state is ExecutorState.TERMINATED:
                self._executor_did_not_start()
            else:
                executor_end.shutdown(self._state, framework.executors[executor.executor_id], now=self._now)
            return True
        if self._wants_new is False and executor is None:
            message = "No executor is expected to launch and there is none running"
            self._drop("REASON_EXECUTOR_TERMINATED", message)
            return True
        return False

    def _drop(self, reason: str, message: str, *, name_executor: bool = True) -> None:
        """Report every task as never launched."""
        for task in self._tasks:
            status_flow.from_agent(
                self._state,
                self._framework_info["id"]["value"],
                task["task_id"]["value"],
                dropped(self._framework_info),
                message=message,
                reason=reason,
                executor_id=self._info["executor_id"]["value"] if name_executor else None,
                now=self._now,
            )

    def _executor_did_not_start(self) -> None:
        """Let the master take back the executor it had counted."""
        if self._wants_new is True and not self._command:
            self._state.tell_master(
                ExitedExecutor(
                    agent_id=self._state.id,
                    framework_id=self._framework_info["id"]["value"],
                    executor_id=self._info["executor_id"]["value"],
                    status=wait_status.UNKNOWN,
                )
            )
