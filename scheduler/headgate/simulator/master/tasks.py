"""Tasks and executors in the master's tables, and the updates that change them."""

from __future__ import annotations

from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.records import TERMINAL_TASK_STATES, Agent, Executor, Framework, Task
from headgate.simulator.master.statuses import update_event
from headgate.simulator.messages import AcknowledgeUpdate, ExitedExecutor, Json, KillTask, StatusUpdate
from headgate.simulator.resources import Resources, stacked

_COPIED = ("labels", "discovery", "container", "health_check", "kill_policy", "limits")
_CHECK_REASONS = ("REASON_TASK_CHECK_STATUS_UPDATED", "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED")


class Tasks:
    """The task tables of a master."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    # --- coming --------------------------------------------------------------------------------------------------

    def add(self, info: Json, framework: Framework, agent: Agent) -> Task:
        """A task that is about to be launched, from its TaskInfo."""
        task = Task(
            info=_described(info, framework.id),
            resources=Resources.of(info["resources"]),
            framework_id=framework.id,
            agent_id=agent.id,
            executor_id=info["executor"]["executor_id"]["value"] if "executor" in info else None,
            state="TASK_STAGING",
        )
        self.enter(task, framework, agent)
        self._ledger.watch({"type": "TASK_ADDED", "task_added": {"task": task.json()}})
        return task

    def enter(self, task: Task, framework: Framework, agent: Agent) -> None:
        """Put a task into the live table."""
        framework.tasks[task.id] = task
        agent.tasks.setdefault(framework.id, {})[task.id] = task

    def from_agent(self, message: Json) -> Task:
        """A task that a re-registering agent named, from the v1 Task."""
        changing = ("state", "statuses", "status_update_state", "status_update_uuid")
        info = {key: value for key, value in message.items() if key not in changing}
        info["resources"] = [stacked(resource) for resource in info.get("resources", ())]
        return Task(
            info=info,
            resources=Resources.of(info["resources"]),
            framework_id=message["framework_id"]["value"],
            agent_id=message["agent_id"]["value"],
            executor_id=message.get("executor_id", {}).get("value"),
            state=message["state"],
            statuses=list(message.get("statuses", ())),
            update_state=message.get("status_update_state"),
            update_uuid=message.get("status_update_uuid"),
        )

    def add_executor(self, info: Json, framework: Framework, agent: Agent) -> None:
        """A custom or default executor that is about to be launched, or was reported by its agent."""
        info = {**info, "resources": [stacked(resource) for resource in info.get("resources", ())]}
        executor = Executor(info=info, resources=Resources.of(info["resources"]))
        agent.executors.setdefault(framework.id, {})[executor.id] = executor
        framework.executors.setdefault(agent.id, {})[executor.id] = executor

    # --- changing ------------------------------------------------------------------------------------------------

    def receive(self, message: StatusUpdate) -> None:
        """An update from an agent: forwarded, then applied; ignored if the agent is not registered."""
        ledger = self._ledger
        agent = ledger.agents.get(message.agent_id)
        ledger.counters["messages_status_update"] += 1
        if agent is None:
            ledger.counters["invalid_status_updates"] += 1
            return
        framework = ledger.frameworks.get(message.framework_id)
        if framework is not None and framework.connected:
            self.forward(framework, message.status)
        task = agent.tasks.get(message.framework_id, {}).get(message.status["task_id"]["value"])
        if task is None:
            ledger.counters["invalid_status_updates"] += 1
            return
        ledger.counters["valid_status_updates"] += 1
        recorded = {**message.status, "timestamp": 0.0} if message.timestamp_added else message.status
        self.update(task, recorded, latest_state=message.latest_state, shown=message.status)

    def forward(self, framework: Framework, status: Json) -> None:
        """Send an UPDATE and remember what was sent last."""
        task = framework.tasks.get(status["task_id"]["value"])
        if task is not None and "uuid" in status:
            task.update_state, task.update_uuid = status["state"], status["uuid"]
        self._ledger.tell(framework, update_event(status))

    def update(self, task: Task, status: Json, *, latest_state: str | None = None, shown: Json | None = None) -> None:
        """Apply a status to a task.  At its end (or loss) its resources are free; its terminal state is final.

        `latest_state` is the newest state the agent knows, `shown` what operators' event streams get to see.
        """
        ledger = self._ledger
        held = task.holds_resources
        if not task.is_terminal:
            task.state = latest_state or status["state"]
        repeated = bool(task.statuses) and task.statuses[-1]["state"] == status["state"]
        if repeated:
            task.statuses.pop()
        task.statuses.append({key: value for key, value in status.items() if key != "data"})
        if not repeated or status.get("reason") in _CHECK_REASONS:
            event = {"framework_id": {"value": task.framework_id}, "status": shown or status, "state": task.state}
            ledger.watch({"type": "TASK_UPDATED", "task_updated": event})
        if held and not task.holds_resources:
            ledger.allocator.recover(task.framework_id, task.agent_id, task.resources)
            self._count_end(status["state"])

    def _count_end(self, state: str) -> None:
        if state in TERMINAL_TASK_STATES:
            self._ledger.counters[state.lower().replace("task_", "tasks_", 1)] += 1

    # --- going ---------------------------------------------------------------------------------------------------

    def remove(self, task: Task, *, unreachable: bool = False) -> None:
        """Take a task off the live table, to the completed or the unreachable one."""
        ledger = self._ledger
        if task.holds_resources:
            ledger.allocator.recover(task.framework_id, task.agent_id, task.resources)
        agent = ledger.agents[task.agent_id]
        _discard(agent.tasks, task.framework_id, task.id)
        agent.killed.discard((task.framework_id, task.id))
        framework = ledger.frameworks[task.framework_id]
        framework.tasks.pop(task.id, None)
        if unreachable:
            framework.unreachable_tasks[task.id] = task
            ledger.unreachable_tasks.setdefault(agent.id, []).append((framework.id, task.id))
        else:
            self.complete(framework, task)

    def complete(self, framework: Framework, task: Task) -> None:
        """Add to the completed tasks, of which a limited number is kept."""
        framework.completed_tasks.append(task)
        while len(framework.completed_tasks) > self._ledger.settings.max_completed_tasks_per_framework:
            framework.completed_tasks.popleft()

    def remove_executor(self, agent: Agent, framework_id: str, executor_id: str) -> None:
        """An executor is gone; its resources are free."""
        executor = agent.executors[framework_id][executor_id]
        self._ledger.allocator.recover(framework_id, agent.id, executor.resources)
        _discard(agent.executors, framework_id, executor_id)
        framework = self._ledger.frameworks.get(framework_id)
        if framework is not None:
            _discard(framework.executors, agent.id, executor_id)

    def executor_exited(self, message: ExitedExecutor) -> None:
        """FAILURE for the framework, unless it was the wrapper of a command task."""
        ledger = self._ledger
        agent = ledger.agents.get(message.agent_id)
        if agent is None or not agent.has_executor(message.framework_id, message.executor_id):
            return
        self.remove_executor(agent, message.framework_id, message.executor_id)
        framework = ledger.frameworks.get(message.framework_id)
        if framework is not None:
            failure = {
                "agent_id": {"value": agent.id},
                "executor_id": {"value": message.executor_id},
                "status": message.status,
            }
            ledger.tell(framework, {"type": "FAILURE", "failure": failure})

    # --- what schedulers ask -------------------------------------------------------------------------------------

    def kill(self, framework: Framework, task: Task, body: Json) -> None:
        """Pass a KILL on; silently nothing if it names another agent; remembered while the agent is away."""
        named = body.get("agent_id", {}).get("value")
        if named is not None and named != task.agent_id:
            return
        agent = self._ledger.agents[task.agent_id]
        agent.killed.add((framework.id, task.id))
        if agent.connected:
            message = KillTask(framework_id=framework.id, task_id=task.id, kill_policy=body.get("kill_policy"))
            self._ledger.command(agent, message)

    def acknowledge(self, framework: Framework, body: Json) -> Agent | None:
        """Pass an acknowledgement on; a terminal one takes the task off the table.  The agent, if it was told."""
        ledger = self._ledger
        agent = ledger.agents.get(body["agent_id"]["value"])
        ledger.counters["messages_status_update_acknowledgement"] += 1
        if agent is None or not agent.connected:
            ledger.counters["invalid_status_update_acknowledgements"] += 1
            return None
        task_id, uuid = body["task_id"]["value"], body["uuid"]
        task = agent.tasks.get(framework.id, {}).get(task_id)
        if task is not None:
            if task.update_state is None:
                ledger.counters["invalid_status_update_acknowledgements"] += 1
                return None
            if task.update_state in TERMINAL_TASK_STATES and task.update_uuid == uuid:
                self.remove(task)
        ledger.counters["valid_status_update_acknowledgements"] += 1
        ledger.command(agent, AcknowledgeUpdate(framework_id=framework.id, task_id=task_id, uuid=uuid))
        return agent


def _described(info: Json, framework_id: str) -> Json:
    """The v1 Task of a TaskInfo, without state."""
    described: Json = {
        "name": info["name"],
        "task_id": info["task_id"],
        "framework_id": {"value": framework_id},
        "agent_id": info["agent_id"],
        "resources": info["resources"],
    }
    if "executor" in info:
        described["executor_id"] = info["executor"]["executor_id"]
    described |= {field: info[field] for field in _COPIED if field in info}
    for owner in (info.get("command", {}), info.get("executor", {}).get("command", {})):
        if "user" in owner:
            described.setdefault("user", owner["user"])
    return described


def _discard(table: dict[str, dict[str, Task]] | dict[str, dict[str, Executor]], outer: str, inner: str) -> None:
    """Remove an entry of a two-level table, and the level above when it gets empty."""
    entries = table.get(outer, {})
    entries.pop(inner, None)
    if not entries:
        table.pop(outer, None)
