"""What becomes of lost agents and their tasks: unreachable, gone, removed."""

from __future__ import annotations

from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.operations import Operations
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.master.statuses import status_of_task
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.messages import Json, ShutdownAgent


class Removal:
    """Ends of agents."""

    def __init__(self, ledger: Ledger, offers: Offers, tasks: Tasks, operations: Operations) -> None:
        self._ledger = ledger
        self._offers = offers
        self._tasks = tasks
        self._operations = operations

    def mark_unreachable(self, agent: Agent, message: str) -> None:
        """The agent may come back; its tasks are UNREACHABLE, or LOST for frameworks that do not know that state."""
        ledger = self._ledger
        ledger.unreachable[agent.id] = ledger.now
        ledger.unreachable_infos[agent.id] = agent.info
        ledger.counters["slave_removals"] += 1
        self._operations.abandon(agent, "OPERATION_UNREACHABLE", "Agent was marked unreachable")
        self._lose(agent, message, gone=False)

    def recovered_never_came(self, agent_id: str) -> None:
        """An agent of the registry has not come back after a master failover."""
        ledger = self._ledger
        info = ledger.recovered_agents.pop(agent_id, None)
        if info is not None:
            ledger.unreachable[agent_id] = ledger.now
            ledger.unreachable_infos[agent_id] = info
            ledger.counters["slave_removals"] += 1
            self._tell_all_of_loss(agent_id)

    def mark_gone(self, agent_id: str) -> None:
        """The operator says that the agent will not come back.  It must be registered, recovered or unreachable."""
        ledger = self._ledger
        ledger.gone[agent_id] = ledger.now
        agent = ledger.agents.get(agent_id)
        if agent is None:
            self._unreachable_is_gone(agent_id)
            return
        message = "Agent has been marked gone"
        ledger.command(agent, ShutdownAgent(message=message))
        self._operations.abandon(agent, "OPERATION_GONE_BY_OPERATOR", message)
        self._lose(agent, message, gone=True)

    def trim_registry(self) -> None:
        """Forget agents that have been unreachable or gone for too long, and the oldest of too many; come again."""
        ledger, settings = self._ledger, self._ledger.settings
        ledger.agenda.at(ledger.now + settings.registry_gc_interval, self.trim_registry)
        for listed in (ledger.unreachable, ledger.gone):
            surplus = max(0, len(listed) - settings.registry_max_agent_count)
            oldest = sorted(listed, key=lambda agent_id: (listed[agent_id], agent_id))
            for index, agent_id in enumerate(oldest):
                if index < surplus or ledger.now - listed[agent_id] > settings.registry_max_agent_age:
                    del listed[agent_id]
                    ledger.unreachable_infos.pop(agent_id, None)

    def _unreachable_is_gone(self, agent_id: str) -> None:
        ledger = self._ledger
        if agent_id in ledger.recovered_agents:
            return
        ledger.unreachable.pop(agent_id, None)
        ledger.unreachable_infos.pop(agent_id, None)
        ledger.draining.pop(agent_id, None)
        ledger.deactivated.discard(agent_id)
        for framework_id, task_id in ledger.unreachable_tasks.pop(agent_id, ()):
            framework = ledger.frameworks.get(framework_id)
            task = None if framework is None else framework.unreachable_tasks.pop(task_id, None)
            if framework is None or task is None:
                continue
            state, reason = _gone(framework)
            status = status_of_task(ledger, task, state, reason, "Agent has been marked gone")
            self._tasks.update(task, status)
            self._tasks.forward(framework, status)
            self._tasks.complete(framework, task)

    def _lose(self, agent: Agent, message: str, *, gone: bool) -> None:
        ledger = self._ledger
        since = None if gone else ledger.now
        ledger.allocator.remove_agent(agent.id)
        for task in agent.all_tasks:
            framework = ledger.frameworks[task.framework_id]
            state, reason = _gone(framework) if gone else _unreachable(framework)
            status = status_of_task(ledger, task, state, reason, message, unreachable_since=since)
            self._tasks.update(task, status)
            self._tasks.remove(task, unreachable=not (gone and framework.partition_aware))
            self._tasks.forward(framework, status)
        self._forget(agent)
        self._tell_all_of_loss(agent.id)

    def remove(self, agent: Agent, cause: str) -> None:
        """The agent has left for good; its tasks are LOST for everybody."""
        ledger = self._ledger
        ledger.counters["slave_removals"] += 1
        ledger.allocator.remove_agent(agent.id)
        message = f"Agent {agent.hostname} removed: {cause}"
        for task in agent.all_tasks:
            framework = ledger.frameworks[task.framework_id]
            status = status_of_task(ledger, task, "TASK_LOST", "REASON_AGENT_REMOVED", message)
            self._tasks.update(task, status)
            self._tasks.remove(task)
            self._tasks.forward(framework, status)
        self._operations.abandon(agent, "", "")
        self._forget(agent)
        ledger.draining.pop(agent.id, None)
        ledger.deactivated.discard(agent.id)
        self._tell_all_of_loss(agent.id)
        ledger.watch({"type": "AGENT_REMOVED", "agent_removed": {"agent_id": {"value": agent.id}}})

    def _forget(self, agent: Agent) -> None:
        ledger = self._ledger
        for framework_id, executors in list(agent.executors.items()):
            for executor_id in list(executors):
                self._tasks.remove_executor(agent, framework_id, executor_id)
        self._offers.withdraw_from(agent)
        del ledger.agents[agent.id]
        if ledger.agents_by_address.get(agent.address) is agent:
            del ledger.agents_by_address[agent.address]
        ledger.consents.pop(agent.id, None)

    def _tell_all_of_loss(self, agent_id: str) -> None:
        event: Json = {"type": "FAILURE", "failure": {"agent_id": {"value": agent_id}}}
        for framework in self._ledger.frameworks.values():
            self._ledger.tell(framework, event)

    def forget_framework_on(self, agent: Agent, framework: Framework) -> None:
        """A disconnected agent will have ended what does not checkpoint: its tasks are LOST, its executors gone."""
        message = f"Agent {agent.hostname} disconnected"
        for task in list(agent.tasks.get(framework.id, {}).values()):
            status = status_of_task(self._ledger, task, "TASK_LOST", "REASON_AGENT_DISCONNECTED", message)
            self._tasks.update(task, status)
            self._tasks.remove(task)
            self._tasks.forward(framework, status)
        for executor_id in list(agent.executors.get(framework.id, {})):
            self._tasks.remove_executor(agent, framework.id, executor_id)


def _unreachable(framework: Framework) -> tuple[str, str]:
    return ("TASK_UNREACHABLE" if framework.partition_aware else "TASK_LOST"), "REASON_AGENT_REMOVED"


def _gone(framework: Framework) -> tuple[str, str]:
    if framework.partition_aware:
        return "TASK_GONE_BY_OPERATOR", "REASON_AGENT_REMOVED_BY_OPERATOR"
    return "TASK_LOST", "REASON_AGENT_REMOVED"
