"""DRAIN_AGENT, DEACTIVATE_AGENT, REACTIVATE_AGENT and MARK_AGENT_GONE."""

from __future__ import annotations

from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.records import Agent, Drain, DrainState
from headgate.simulator.master.removal import Removal
from headgate.simulator.messages import DrainAgent, Json, Reply

OK = Reply(status=200)


class Draining:
    """What operators do to single agents."""

    def __init__(self, ledger: Ledger, offers: Offers, removal: Removal) -> None:
        self._ledger = ledger
        self._offers = offers
        self._removal = removal

    def deactivate(self, agent: Agent) -> None:
        """No offers of this agent; those that are out are rescinded."""
        agent.active = False
        self._ledger.allocator.set_agent_active(agent.id, active=False)
        self._offers.withdraw_from(agent)

    def _is_known(self, agent_id: str) -> bool:
        ledger = self._ledger
        return agent_id in ledger.agents or agent_id in ledger.recovered_agents or agent_id in ledger.unreachable

    def drain(self, body: Json) -> Reply:
        """DRAIN_AGENT."""
        ledger = self._ledger
        agent_id = body["agent_id"]["value"]
        agent = ledger.agents.get(agent_id)
        if agent is not None:
            machine = self._scheduled_machine(agent)
            if machine is not None:
                text = f"Agent {agent_id} is part of a maintenance schedule under Machine {machine}"
                return Reply(status=400, body=text)
        if not self._is_known(agent_id):
            return Reply(status=400, body="Unknown agent")
        config: Json = {"mark_gone": bool(body.get("mark_gone", False))}
        grace = body.get("max_grace_period")
        if grace is not None:
            whole = int(grace.get("seconds", 0)) * 1_000_000_000 + int(grace.get("nanos", 0))
            config["max_grace_period"] = {"nanoseconds": whole}
        ledger.draining[agent_id] = Drain(config=config, state=DrainState.DRAINING, started_at=ledger.now)
        ledger.deactivated.add(agent_id)
        if agent is not None:
            self.deactivate(agent)
            ledger.command(agent, DrainAgent(config=config))
            self.look_after(agent)
        return OK

    def _scheduled_machine(self, agent: Agent) -> str | None:
        for window in self._ledger.schedule:
            for machine in window.get("machine_ids", ()):
                if (machine.get("hostname", "").lower(), machine.get("ip")) == agent.machine:
                    return f"{agent.hostname} ({agent.ip})"
        return None

    def look_after(self, agent: Agent) -> None:
        """An agent that drains is done when it has no tasks (acknowledged ones do not count) and no operations."""
        drain = self._ledger.draining.get(agent.id)
        if drain is None or drain.state is DrainState.DRAINED or agent.tasks or agent.operations:
            return
        if drain.config["mark_gone"]:
            self._removal.mark_gone(agent.id)
        else:
            drain.state = DrainState.DRAINED

    def deactivate_agent(self, body: Json) -> Reply:
        """DEACTIVATE_AGENT."""
        agent_id = body["agent_id"]["value"]
        if not self._is_known(agent_id):
            return Reply(status=400, body="Unknown agent")
        self._ledger.deactivated.add(agent_id)
        agent = self._ledger.agents.get(agent_id)
        if agent is not None:
            self.deactivate(agent)
        return OK

    def reactivate(self, body: Json) -> Reply:
        """REACTIVATE_AGENT."""
        ledger = self._ledger
        agent_id = body["agent_id"]["value"]
        if agent_id not in ledger.deactivated:
            return Reply(status=400, body="Agent is not deactivated")
        drain = ledger.draining.get(agent_id)
        if drain is not None and drain.state is DrainState.DRAINING:
            return Reply(status=400, body="Agent is still in the DRAINING state")
        ledger.draining.pop(agent_id, None)
        ledger.deactivated.discard(agent_id)
        agent = ledger.agents.get(agent_id)
        if agent is None:
            return Reply(status=409, body="Agent removed while processing the call")
        if agent.connected:
            agent.active = True
            ledger.allocator.set_agent_active(agent_id, active=True)
        return OK

    def mark_gone(self, body: Json) -> Reply:
        """MARK_AGENT_GONE."""
        agent_id = body["agent_id"]["value"]
        if agent_id in self._ledger.gone:
            return OK
        if not self._is_known(agent_id):
            return Reply(status=404, body=f"Agent '{agent_id}' not found")
        self._removal.mark_gone(agent_id)
        return OK
