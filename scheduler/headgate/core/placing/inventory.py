"""What is remembered of agents for the sake of scarce things: which of them have GPUs, free or not.

An agent whose GPUs are all in use looks like any other (marathon, `preferential-gpu-scheduling`), so what an offer once
showed is kept in the agent's record, also over restarts of the scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headgate.core.ledger import Ledger
from headgate.core.place import Want
from headgate.core.placing.checks import could_ever_run
from headgate.core.placing.fleet import Fleet
from headgate.model.ids import AgentId
from headgate.model.record import AgentRecord
from headgate.model.settings import GpuPolicy, Patience
from headgate.model.snapshot import Snapshot

_RENEWED_BEFORE = 4
"""A record is written anew after this part of the time after which it would be forgotten."""


def remember_gpus(ledger: Ledger, snapshot: Snapshot) -> None:
    """Write down which of the known agents have GPUs; seldom more than once a day for each."""
    renew_s = snapshot.settings.patience.agent_forget_s / _RENEWED_BEFORE
    for agent_id in sorted(agent.agent_id for agent in snapshot.agents.values() if agent.has_gpus):
        seen_at = snapshot.agents[agent_id].at
        record = ledger.agents.get(agent_id) or AgentRecord(agent_id=agent_id)
        if record.gpus_seen_at is None or record.gpus_seen_at + renew_s <= seen_at:
            ledger.agents[agent_id] = replace(record, gpus_seen_at=seen_at)


def gpu_agents(ledger: Ledger) -> frozenset[AgentId]:
    """Agents that are on record as having GPUs."""
    return frozenset(agent.agent_id for agent in ledger.agents.values() if agent.gpus_seen_at is not None)


def tidy_agents(ledger: Ledger, patience: Patience, now: float) -> None:
    """Forget failures long past, GPUs of agents long gone, and agents with nothing to remember."""
    remembered_s = max(patience.agent_failures_s, patience.agent_avoid_s)
    for agent in list(ledger.agents.values()):
        gpus_at = agent.gpus_seen_at
        if gpus_at is not None and gpus_at + patience.agent_forget_s <= now:
            gpus_at = None
        failures = agent.failures if agent.failures and agent.failures[-1].at + remembered_s > now else ()
        if not failures and gpus_at is None:
            del ledger.agents[agent.agent_id]
        elif (failures, gpus_at) != (agent.failures, agent.gpus_seen_at):
            ledger.agents[agent.agent_id] = replace(agent, failures=failures, gpus_seen_at=gpus_at)


def needs_gpu_agents(wants: Sequence[Want], fleet: Fleet, snapshot: Snapshot, due: list[float]) -> bool:
    """Whether work without GPUs has to see agents with GPUs, which the master hides from who does not ask for them.

    Only where policy lets it use them, and no other known agent could ever run it (Cook #803: where every agent has
    GPUs, work without would wait for ever).  While none that is known could, others are waited for a little, and what
    GPU agents there are is looked at once: they may be the larger ones.
    """
    policy, patience = snapshot.settings.gpus, snapshot.settings.patience
    if policy is GpuPolicy.ALWAYS_KEPT:
        return False
    for want in wants:
        able = could_ever_run(want.spec, fleet, snapshot.link.region)
        if policy is GpuPolicy.KEPT and (able & ~fleet.has_gpus).any():
            continue
        if policy is GpuPolicy.OPEN or able.any():
            return True
        ask_at = (want.since if want.since is not None else snapshot.now) + patience.gpus_asked_s
        if ask_at > snapshot.now:
            due.append(ask_at)
        elif not fleet.has_gpus.any():
            return True
    return False
