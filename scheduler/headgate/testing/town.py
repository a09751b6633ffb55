"""The simulated Mesos cluster in virtual time: master and agents, what they put out, and what can befall them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from headgate.model.operation import LABEL_RESERVATION
from headgate.simulator.agent import Agent, AgentSettings, Checkpoint
from headgate.simulator.cluster import Cluster, Life
from headgate.simulator.master import Master, MasterSettings
from headgate.simulator.messages import Json, Output, Reply, StreamEnd, StreamEvent
from headgate.testing.randomness import Randomness
from headgate.testing.timeline import Timeline

REBOOT_S: Final = 5.0


class Town:
    """A cluster that moves with the timeline.  Outputs go to `perform`, with the agent's address or None."""

    def __init__(
        self, timeline: Timeline, randomness: Randomness, master: MasterSettings, agents: Sequence[AgentSettings]
    ) -> None:
        self._timeline = timeline
        self._randomness = randomness.child("town")
        self._master_settings = master
        self._agents = {settings.address: settings for settings in agents}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._master = Master(master, self._chance())
        self._wakes_at = float("inf")
        self.cluster: Final = Cluster(self._master)
        self.perform: Callable[[str | None, Output], None] = _nowhere

    @property
    def addresses(self) -> list[str]:
        """Where the agents are."""
        return list(self._agents)

    def machine(self, address: str) -> dict[str, str]:
        """The machine of the agent at an address, as maintenance names it."""
        settings = self._agents[address]
        return {"hostname": settings.hostname, "ip": settings.ip}

    def agent_id(self, address: str) -> str | None:
        """The id of the agent that is registered at an address; None: none is, or no master is there to say so."""
        pid = self._agents[address].pid
        return next((each["agent_info"]["id"]["value"] for each in self._registered() if each["pid"] == pid), None)

    def agent_ids(self) -> set[str]:
        """The ids of all agents that are registered."""
        return {each["agent_info"]["id"]["value"] for each in self._registered()}

    def reservations(self) -> set[str]:
        """The ids of Headgate's reservations on the agents that are registered."""
        return {
            label["value"]
            for agent in self._registered()
            for resource in agent.get("total_resources", ())
            for entry in resource.get("reservations", ())
            for label in entry.get("labels", {}).get("labels", ())
            if label["key"] == LABEL_RESERVATION
        }

    def _registered(self) -> list[Json]:
        """The agents as the master knows them; none, if there is no master to ask."""
        if not self.cluster.has_master:
            return []
        answer = self.cluster.master.operator({"type": "GET_AGENTS"}, now=self._timeline.now())
        assert isinstance(answer, Reply), answer
        assert isinstance(answer.body, dict), answer
        return list(answer.body["get_agents"].get("agents", ()))

    def add(self, settings: AgentSettings) -> None:
        """One more agent begins."""
        self._agents[settings.address] = settings
        self.cluster.add_agent(Agent(settings, self._chance()), self._timeline.now())
        self.settle()

    def open(self) -> None:
        """Start the agents."""
        for settings in self._agents.values():
            self.cluster.add_agent(Agent(settings, self._chance()), self._timeline.now())
        self.settle()

    def settle(self) -> None:
        """Carry out what the last input has caused."""
        self._perform(self.cluster.settle(self._timeline.now()))

    # ---- what can befall it

    def stop_agent(self, address: str) -> None:
        """As SIGSTOP."""
        self.cluster.stop_agent(address)

    def continue_agent(self, address: str) -> None:
        """As SIGCONT."""
        self.cluster.continue_agent(address, self._timeline.now())
        self.settle()

    def kill_agent(self, address: str, *, forget: bool = False) -> bool:
        """As SIGKILL, to be started again on what it left, or with `forget` on nothing; False: it was dead."""
        if forget:
            self._checkpoints.pop(address, None)
        if self.cluster.life(address) is Life.DEAD:
            return False
        model = self._agent(address)
        checkpoint = model.export_checkpoint()
        self.cluster.kill_agent(address, self._timeline.now())
        if not forget:
            self._checkpoints[address] = checkpoint
        self.settle()
        return True

    def start_agent(self, address: str) -> None:
        """Start an agent that is dead; no harm if it is not."""
        if self.cluster.life(address) is Life.DEAD:
            checkpoint = self._checkpoints.pop(address, None)
            successor = Agent(self._agents[address], self._chance(), checkpoint)
            self.cluster.start_agent(successor, self._timeline.now())
            self.settle()

    def kill_master(self) -> bool:
        """The master dies; False: it was dead."""
        if not self.cluster.has_master:
            return False
        self.cluster.kill_master()
        return True

    def start_master(self) -> None:
        """Another master leads, with the registry of the one before; no harm if one leads."""
        if not self.cluster.has_master:
            self._master = Master(self._master_settings, self._chance(), self._master.registry())
            self.cluster.start_master(self._master, self._timeline.now())
            self.settle()

    def mend(self) -> None:
        """Everything runs again."""
        self.start_master()
        for address in self._agents:
            self.continue_agent(address)
            self.start_agent(address)

    # ---- inside

    def _agent(self, address: str) -> Agent:
        model = self.cluster.agent(address)
        assert isinstance(model, Agent)
        return model

    def _chance(self) -> Random:
        return Random(self._randomness.random())

    def _perform(self, outputs: list[tuple[str | None, Output]]) -> None:
        for address, output in outputs:
            self.perform(address, output)
        for address in self._agents:
            # An agent that was told to end, and has, is started anew by its operator.
            if self.cluster.life(address) is Life.RUNNING and self._agent(address).is_over:
                self.kill_agent(address, forget=True)
                self._timeline.after(REBOOT_S, lambda address=address: self.start_agent(address))  # type: ignore[misc]
        wake_at = self.cluster.wake_at()
        if wake_at is not None and wake_at < self._wakes_at:
            self._wakes_at = wake_at
            self._timeline.at(wake_at, lambda: self._tick(wake_at))

    def _tick(self, at: float) -> None:
        if at == self._wakes_at:
            self._wakes_at = float("inf")
            self._perform(self.cluster.step(self._timeline.now()))


def _nowhere(address: str | None, output: Output) -> None:
    assert not isinstance(output, StreamEvent | StreamEnd), (address, output)
