"""Agents come, answer pings, and come back."""

from __future__ import annotations

from headgate.simulator.master.draining import Draining
from headgate.simulator.master.frameworks import Frameworks
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers, unavailability_of
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.master.removal import Removal
from headgate.simulator.master.statuses import status_of_task, with_last_known
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.master.views import agent_message
from headgate.simulator.messages import (
    AgentRegistered,
    DrainAgent,
    ExecutorMessage,
    Json,
    KillTask,
    Ping,
    RegisterAgent,
    ReregisterAgent,
    SendToAgent,
    ShutdownAgent,
    ShutdownFramework,
    UpdateFramework,
)
from headgate.simulator.resources import Refused, Resources, with_remembered


class Agents:
    """Registration, pings, and messages of agents."""

    def __init__(
        self,
        ledger: Ledger,
        offers: Offers,
        tasks: Tasks,
        frameworks: Frameworks,
        removal: Removal,
        draining: Draining,
    ) -> None:
        self._ledger = ledger
        self._offers = offers
        self._tasks = tasks
        self._frameworks = frameworks
        self._removal = removal
        self._draining = draining

    # --- coming for the first time -------------------------------------------------------------------------------

    def register(self, message: RegisterAgent) -> None:
        """A new agent gets an id; one that is registered is told its id again."""
        ledger = self._ledger
        info, address = message.agent_info, message.address
        ledger.counters["messages_register_slave"] += 1
        if self._is_down(info, address):
            self._turn_away(address, "Machine is `DOWN`")
            return
        known = ledger.agents_by_address.get(address)
        if known is not None and known.connected:
            self._answer(known)
            return
        if known is not None:
            self._removal.remove(known, "a new agent registered at the same address")
        agent_id = ledger.new_agent_id()
        agent = Agent(id=agent_id, info={**info, "id": {"value": agent_id}}, address=address, registered_at=ledger.now)
        ledger.counters["slave_registrations"] += 1
        self._add(agent, Resources.of(info.get("resources", ())))
        self._answer(agent)

    def _is_down(self, info: Json, address: str) -> bool:
        return (info["hostname"].lower(), address.rsplit(":", 1)[0]) in self._ledger.machines_down

    def _turn_away(self, address: str, reason: str) -> None:
        self._ledger.outbox.append(SendToAgent(address=address, message=ShutdownAgent(message=reason)))

    def _answer(self, agent: Agent, reconcile: tuple[Json, ...] = ()) -> None:
        settings = self._ledger.settings
        message = AgentRegistered(
            agent_id=agent.id,
            reconcile_tasks=reconcile,
            total_ping_timeout_s=settings.agent_ping_timeout * settings.max_agent_ping_timeouts,
        )
        self._ledger.command(agent, message)

    def _add(self, agent: Agent, total: Resources) -> None:
        ledger = self._ledger
        ledger.agents[agent.id] = agent
        ledger.agents_by_address[agent.address] = agent
        unavailability = unavailability_of(ledger, agent)
        ledger.allocator.add_agent(agent.id, agent.info, total, agent.used(), unavailability)
        agent.missed_pings = 0
        self._ping(agent)
        ledger.watch({"type": "AGENT_ADDED", "agent_added": {"agent": agent_message(ledger, agent)}})

    # --- coming back ---------------------------------------------------------------------------------------------

    def reregister(self, message: ReregisterAgent) -> None:
        """An agent with an id: one that is registered, recovered from the registry, unreachable, or unheard of."""
        ledger = self._ledger
        agent_id = message.agent_info["id"]["value"]
        ledger.counters["messages_reregister_slave"] += 1
        if agent_id in ledger.gone:
            self._turn_away(message.address, "Agent has been marked gone")
            return
        if self._is_down(message.agent_info, message.address):
            self._turn_away(message.address, "Machine is `DOWN`")
            return
        total = with_remembered(Resources.of(message.agent_info.get("resources", ())), Resources.of(message.resources))
        if isinstance(total, Refused):
            self._turn_away(message.address, f"Incompatible agent resources: {total.reason}")
            return
        known = ledger.agents.get(agent_id)
        if known is not None:
            self._reconnect(known, message, total)
        else:
            self._readmit(agent_id, message, total)

    def _readmit(self, agent_id: str, message: ReregisterAgent, total: Resources) -> None:
        ledger = self._ledger
        was_recovered = ledger.recovered_agents.pop(agent_id, None) is not None
        was_unreachable = ledger.unreachable.pop(agent_id, None) is not None
        ledger.unreachable_infos.pop(agent_id, None)
        agent = Agent(
            id=agent_id,
            info=message.agent_info,
            address=message.address,
            registered_at=ledger.now,
            reregistered_at=ledger.now,
        )
        for info in message.frameworks:
            if info["id"]["value"] not in ledger.frameworks and info["id"]["value"] not in ledger.completed:
                self._frameworks.recover(info)
        told = "Unreachable agent re-reregistered" if was_unreachable else "Unknown agent reregistered"
        self._adopt_tasks(agent, message, None if was_recovered else told)
        for executor in message.executors:
            framework = ledger.frameworks.get(executor["framework_id"]["value"])
            if framework is not None:
                self._tasks.add_executor(executor, framework, agent)
        ledger.counters["slave_reregistrations"] += 1
        self._add(agent, total)
        if agent_id in ledger.deactivated:
            self._draining.deactivate(agent)
        self._drain_again(agent)
        self._answer(agent)
        self._bring_up_to_date(agent, message)

    def _adopt_tasks(self, agent: Agent, message: ReregisterAgent, told: str | None) -> None:
        """Enter the tasks of frameworks that are not completed; unless the agent was only recovered, tell of them."""
        ledger = self._ledger
        for framework_id, task_id in ledger.unreachable_tasks.pop(agent.id, ()):
            owner = ledger.frameworks.get(framework_id)
            if owner is not None:
                owner.unreachable_tasks.pop(task_id, None)
        for item in message.tasks:
            task = self._tasks.from_agent(item)
            framework = ledger.frameworks.get(task.framework_id)
            if framework is None:
                continue
            if told is not None:
                framework.unreachable_tasks.pop(task.id, None)
                forgotten = [known for known in framework.completed_tasks if known.id == task.id]
                for known in forgotten:
                    framework.completed_tasks.remove(known)
                status = status_of_task(ledger, task, task.state, "REASON_AGENT_REREGISTERED", told)
                self._tasks.forward(framework, with_last_known(status, task.statuses))
            self._tasks.enter(task, framework, agent)

    def _reconnect(self, agent: Agent, message: ReregisterAgent, total: Resources) -> None:
        ledger = self._ledger
        if (agent.ip, agent.hostname) != (message.address.rsplit(":", 1)[0], message.agent_info["hostname"]):
            self._turn_away(message.address, "Agent attempted to reregister with different IP / hostname")
            return
        ledger.agents_by_address.pop(agent.address, None)
        agent.address = message.address
        ledger.agents_by_address[agent.address] = agent
        agent.info = message.agent_info
        agent.reregistered_at = ledger.now
        ledger.allocator.update_agent(agent.id, agent.info, total)
        self._answer(agent, self._unknown_to(agent, message))
        self._drop_unknown_executors(agent, message)
        self._kill_again(agent, message)
        if not agent.connected:
            agent.connected = True
            agent.missed_pings = 0
            if agent.id not in ledger.deactivated:
                agent.active = True
                ledger.allocator.set_agent_active(agent.id, active=True)
        self._drain_again(agent)
        self._bring_up_to_date(agent, message)

    def _unknown_to(self, agent: Agent, message: ReregisterAgent) -> tuple[Json, ...]:
        """The tasks that the master knows there and the agent has not named."""
        named = {(item["framework_id"]["value"], item["task_id"]["value"]) for item in message.tasks}
        return tuple(
            {
                "framework_id": {"value": task.framework_id},
                "task_id": {"value": task.id},
                "state": task.reported_state,
                "framework": self._ledger.frameworks[task.framework_id].info,
            }
            for task in agent.all_tasks
            if (task.framework_id, task.id) not in named
        )

    def _drop_unknown_executors(self, agent: Agent, message: ReregisterAgent) -> None:
        named = {(item["framework_id"]["value"], item["executor_id"]["value"]) for item in message.executors}
        for framework_id, executors in list(agent.executors.items()):
            for executor_id in list(executors):
                if (framework_id, executor_id) not in named:
                    self._tasks.remove_executor(agent, framework_id, executor_id)

    def _kill_again(self, agent: Agent, message: ReregisterAgent) -> None:
        for item in message.tasks:
            task = self._tasks.from_agent(item)
            if not task.is_terminal and (task.framework_id, task.id) in agent.killed:
                self._ledger.command(agent, KillTask(framework_id=task.framework_id, task_id=task.id))

    def _drain_again(self, agent: Agent) -> None:
        drain = self._ledger.draining.get(agent.id)
        if drain is not None:
            self._ledger.command(agent, DrainAgent(config=drain.config))

    def _bring_up_to_date(self, agent: Agent, message: ReregisterAgent) -> None:
        """Tell the agent what became of its frameworks."""
        ledger = self._ledger
        for info in message.frameworks:
            framework_id = info["id"]["value"]
            framework = ledger.frameworks.get(framework_id)
            if framework is not None:
                ledger.command(agent, UpdateFramework(framework=framework.info))
            elif framework_id in ledger.completed:
                ledger.command(agent, ShutdownFramework(framework_id=framework_id))
            else:
                self._frameworks.recover(info)

    # --- pings ---------------------------------------------------------------------------------------------------

    def _ping(self, agent: Agent) -> None:
        """Send a ping now, and look after one interval whether it was answered."""
        ledger = self._ledger
        ledger.command(agent, Ping(connected=agent.connected))
        agent.missed_pings += 1
        ledger.agenda.at(ledger.now + ledger.settings.agent_ping_timeout, lambda: self._look_after(agent))

    def _look_after(self, agent: Agent) -> None:
        if self._ledger.agents.get(agent.id) is not agent:
            return
        if agent.missed_pings >= self._ledger.settings.max_agent_ping_timeouts:
            self._removal.mark_unreachable(agent, "health check timed out")
        else:
            self._ping(agent)

    def pong(self, agent_id: str) -> None:
        """The agent lives."""
        agent = self._ledger.agents.get(agent_id)
        if agent is not None:
            agent.missed_pings = 0

    # --- a broken link -------------------------------------------------------------------------------------------

    def link_broken(self, agent_id: str) -> None:
        """The agent is not to be reached now: no offers; tasks of frameworks without checkpoint are lost at once."""
        ledger = self._ledger
        agent = ledger.agents.get(agent_id)
        if agent is None or not agent.connected:
            return
        agent.connected = False
        self._draining.deactivate(agent)
        for framework_id in list({**agent.tasks, **agent.executors}):
            framework = ledger.frameworks[framework_id]
            if not framework.info.get("checkpoint"):
                self._removal.forget_framework_on(agent, framework)
        left_at = agent.reregistered_at
        due = ledger.now + ledger.settings.agent_reregister_timeout
        ledger.agenda.at(due, lambda: self._give_up(agent, left_at))

    def _give_up(self, agent: Agent, left_at: float | None) -> None:
        is_same = self._ledger.agents.get(agent.id) is agent and agent.reregistered_at == left_at
        if is_same and not agent.connected:
            self._removal.mark_unreachable(agent, "agent did not reregister within 10mins after disconnecting")

    # --- messages ------------------------------------------------------------------------------------------------

    def executor_message(self, message: ExecutorMessage) -> None:
        """MESSAGE for the framework, if it is connected."""
        ledger = self._ledger
        framework: Framework | None = ledger.frameworks.get(message.framework_id)
        if message.agent_id in ledger.agents and framework is not None:
            body = {
                "agent_id": {"value": message.agent_id},
                "executor_id": {"value": message.executor_id},
                "data": message.data,
            }
            ledger.tell(framework, {"type": "MESSAGE", "message": body})
