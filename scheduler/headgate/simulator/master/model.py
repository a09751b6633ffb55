"""`Master`: the parts of the model put together, and the dispatch of its inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

from headgate.simulator.master.accepting import Accepting
from headgate.simulator.master.agenda import Appointment
from headgate.simulator.master.agents import Agents
from headgate.simulator.master.draining import Draining
from headgate.simulator.master.endpoints import Endpoints
from headgate.simulator.master.frameworks import Frameworks
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.maintenance import Maintenance
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.operations import Operations
from headgate.simulator.master.operator_calls import OperatorCalls
from headgate.simulator.master.quota import Shares
from headgate.simulator.master.records import Drain, DrainState
from headgate.simulator.master.removal import Removal
from headgate.simulator.master.scheduler_calls import SchedulerCalls
from headgate.simulator.master.settings import MasterSettings, Registry
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.master.watchers import Watchers
from headgate.simulator.messages import (
    AgentLinkBroken,
    ExecutorMessage,
    ExitedExecutor,
    FromAgent,
    Json,
    MasterOutput,
    OperationUpdate,
    Pong,
    RegisterAgent,
    Reply,
    ReregisterAgent,
    StatusUpdate,
    Stream,
    UnregisterAgent,
)


class Master:
    """A leading master; implements `ports.MasterModel`.

    It begins to lead at its first input.  `registry` is what the master before it has left behind
    (`Master.registry`); agents in it are waited for.
    """

    def __init__(self, settings: MasterSettings, randomness: Random, registry: Registry | None = None) -> None:
        ledger = Ledger(settings, randomness)
        offers = Offers(ledger)
        tasks = Tasks(ledger)
        operations = Operations(ledger, offers)
        frameworks = Frameworks(ledger, offers, tasks)
        removal = Removal(ledger, offers, tasks, operations)
        draining = Draining(ledger, offers, removal)
        maintenance = Maintenance(ledger, offers, removal)
        shares = Shares(ledger, offers)
        self._ledger = ledger
        self._offers = offers
        self._tasks = tasks
        self._operations = operations
        self._frameworks = frameworks
        self._removal = removal
        self._draining = draining
        self._agents = Agents(ledger, offers, tasks, frameworks, removal, draining)
        self._endpoints = Endpoints(ledger, maintenance, shares)
        self._scheduler = SchedulerCalls(
            ledger,
            frameworks=frameworks,
            accepting=Accepting(ledger, offers, tasks, operations),
            tasks=tasks,
            operations=operations,
            draining=draining,
        )
        self._operator = OperatorCalls(
            ledger,
            offers=offers,
            operations=operations,
            frameworks=frameworks,
            draining=draining,
            maintenance=maintenance,
            shares=shares,
            watchers=Watchers(ledger),
            endpoints=self._endpoints,
        )
        self._leads = False
        self._batch: Appointment | None = None
        self._ran_at = 0.0
        if registry is not None:
            self._recover(registry, shares)

    def _recover(self, registry: Registry, shares: Shares) -> None:
        ledger = self._ledger
        ledger.recovered_agents.update(registry.agents)
        ledger.unreachable.update(registry.unreachable)
        ledger.gone.update(registry.gone)
        ledger.deactivated |= registry.deactivated
        ledger.schedule = registry.schedule
        ledger.machines_down |= registry.machines_down
        for agent_id, info in registry.draining.items():
            drain = Drain(config=info["config"], state=DrainState(info["state"]))
            ledger.draining[agent_id] = drain
        for config in registry.quotas.values():
            shares.set_quota(config)
        if registry.quotas:
            ledger.allocator.pause(int(len(registry.agents) * ledger.settings.agent_recovery_factor))
        for role, weight in registry.weights.items():
            ledger.allocator.set_weight(role, weight)

    def _lead(self, now: float) -> None:
        """Begin: agents of the registry have a while to come back."""
        ledger = self._ledger
        self._leads = True
        ledger.now = ledger.started_at = now
        due = now + ledger.settings.agent_reregister_timeout
        ledger.agenda.at(now + ledger.settings.allocation_recovery_timeout, ledger.allocator.resume)
        ledger.agenda.at(now + ledger.settings.registry_gc_interval, self._removal.trim_registry)
        for agent_id in ledger.recovered_agents:
            ledger.agenda.at(due, lambda agent_id=agent_id: self._removal.recovered_never_came(agent_id))  # type: ignore[misc]

    def registry(self) -> Registry:
        """What the next master has to know."""
        ledger = self._ledger
        admitted = {agent.id: agent.info for agent in ledger.agents.values()}
        return Registry(
            agents={**ledger.recovered_agents, **admitted},
            unreachable=dict(ledger.unreachable),
            gone=dict(ledger.gone),
            draining={agent_id: drain.json() for agent_id, drain in ledger.draining.items()},
            deactivated=frozenset(ledger.deactivated),
            schedule=ledger.schedule,
            machines_down=frozenset(ledger.machines_down),
            quotas={role: config for role, config in ledger.quota_roles.items() if ledger.allocator.quotas[role]},
            weights=dict(ledger.allocator.weights),
        )

    @property
    def info(self) -> Json:
        """The v1 MasterInfo."""
        return self._ledger.master_info()

    @property
    def id(self) -> str:
        """The master's id, which is the prefix of all ids it gives."""
        return self._ledger.master_id

    # --- inputs --------------------------------------------------------------------------------------------------

    def call(self, call: Json, *, stream_id: str | None, principal: str | None = None, now: float) -> Reply | Stream:
        """One scheduler API call that has passed the checks of its structure; `principal` is the authenticated one."""
        self._begin(now)
        answer = self._scheduler.perform(call, stream_id, principal)
        self._end()
        return answer

    def operator(self, call: Json, *, now: float) -> Reply | Stream:
        """One operator API call that has passed the checks of its structure."""
        self._begin(now)
        answer = self._operator.perform(call)
        self._end()
        return answer

    def get(self, path: str, query: Mapping[str, str], *, now: float) -> Reply:
        """A GET endpoint."""
        self._begin(now)
        return self._endpoints.get(path, query)

    def disconnected(self, stream: str, *, now: float) -> None:
        """The client of a stream has gone away."""
        self._begin(now)
        ledger = self._ledger
        if stream in ledger.watchers:
            ledger.watchers.remove(stream)
        framework_id = ledger.streams.pop(stream, None)
        framework = None if framework_id is None else ledger.frameworks.get(framework_id)
        if framework is not None and framework.connected and framework.stream == stream:
            self._frameworks.disconnected(framework)
        self._end()

    def receive(self, address: str, message: FromAgent, *, now: float) -> None:
        """A message of the agent at `address`."""
        del address  # Every message says whose it is.
        self._begin(now)
        self._dispatch(message)
        self._end()

    def _dispatch(self, message: FromAgent) -> None:
        if isinstance(message, Pong):
            self._agents.pong(message.agent_id)
        elif isinstance(message, StatusUpdate):
            self._tasks.receive(message)
            self._look_after(message.agent_id)
        elif isinstance(message, ExitedExecutor):
            self._tasks.executor_exited(message)
        elif isinstance(message, ExecutorMessage):
            self._agents.executor_message(message)
        elif isinstance(message, OperationUpdate):
            self._operations.receive(message)
            self._look_after(message.agent_id)
        elif isinstance(message, RegisterAgent):
            self._agents.register(message)
        elif isinstance(message, ReregisterAgent):
            self._agents.reregister(message)
        elif isinstance(message, AgentLinkBroken):
            self._agents.link_broken(message.agent_id)
        else:
            assert isinstance(message, UnregisterAgent), message
            agent = self._ledger.agents.get(message.agent_id)
            if agent is not None:
                self._removal.remove(agent, "the agent unregistered")

    def _look_after(self, agent_id: str) -> None:
        agent = self._ledger.agents.get(agent_id)
        if agent is not None:
            self._draining.look_after(agent)

    # --- time ----------------------------------------------------------------------------------------------------

    def tick(self, *, now: float) -> None:
        """Do what is due."""
        self._begin(now)
        while (appointment := self._ledger.agenda.take_due(now)) is not None:
            appointment.action()
            self._allocate()
        self._end()

    def wake_at(self) -> float | None:
        """When `tick` is due next."""
        return self._ledger.agenda.next_due()

    def drain(self) -> list[MasterOutput]:
        """Take all outputs since the last drain, in order."""
        outputs, self._ledger.outbox = self._ledger.outbox, []
        return outputs

    def _begin(self, now: float) -> None:
        if not self._leads:
            self._lead(now)
        self._ledger.now = max(self._ledger.now, now)

    def _end(self) -> None:
        """Run the allocator if it was asked to, and plan the next batch if it may find something."""
        self._allocate()
        ledger = self._ledger
        if self._batch is None and ledger.allocator.has_work():
            # The beat begins anew with every run: what is freed shortly after an offer was taken is then always part
            # of the next one, where Mesos, whose beat is that of its start, leaves that to chance.
            interval = ledger.settings.allocation_interval
            passed = math.floor((ledger.now - self._ran_at) / interval + 1e-9)
            self._batch = ledger.agenda.at(self._ran_at + (passed + 1) * interval, self._run_batch)

    def _allocate(self) -> None:
        allocator = self._ledger.allocator
        if allocator.is_asked():
            self._ran_at = self._ledger.now
            self._offers.send(allocator.run(self._ledger.now))
            if self._batch is not None and not allocator.has_work():
                self._batch.cancel()
                self._batch = None

    def _run_batch(self) -> None:
        self._batch = None
        self._ran_at = self._ledger.now
        self._offers.send(self._ledger.allocator.batch(self._ledger.now))
