"""What all fits of one decision depend on: known agents, their failures, where the job's workers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from headgate.core.feasible import Surroundings
from headgate.core.ledger import Ledger
from headgate.core.placement import tally
from headgate.core.pool import Pool, attribute_text, remembered_pool
from headgate.model.ids import AgentId, JobName
from headgate.model.job import JobSpec
from headgate.model.record import AgentRecord
from headgate.model.settings import Patience
from headgate.model.snapshot import AgentSeen


def known_pools(offered: Sequence[Pool], agents: Mapping[AgentId, AgentSeen]) -> tuple[Pool, ...]:
    """Every agent as we know it: from the offers in hand, else as last offered; by agent id."""
    in_hand = {pool.agent_id for pool in offered}
    remembered = [remembered_pool(agent) for agent in agents.values() if agent.agent_id not in in_hand]
    return tuple(sorted([*offered, *remembered], key=lambda pool: (pool.agent_id, pool.role)))


def surroundings(
    spec: JobSpec, known: Sequence[Pool], failures: Mapping[AgentId, AgentRecord], patience: Patience, now: float
) -> Surroundings:
    """Those of one job."""
    values = {
        each.attribute: frozenset(
            value for pool in known if (value := attribute_text(pool, each.attribute)) is not None
        )
        for each in spec.placement
    }
    return Surroundings(
        now=now,
        maintenance_s=patience.maintenance_s,
        groups=values,
        avoided=avoided_agents(spec.name, known, failures, patience, now),
        gpus_kept=not all(pool.has_gpus for pool in known),
    )


def avoided_agents(
    job: JobName, known: Sequence[Pool], failures: Mapping[AgentId, AgentRecord], patience: Patience, now: float
) -> dict[AgentId, float]:
    """Agents the job should leave alone, and until when.

    Those where its own tasks failed repeatedly, or those of several jobs: a program that crashes wherever it runs says
    nothing against an agent.  If that were all known agents, it is none: a bad place beats no place.
    """
    found: dict[AgentId, float] = {}
    for agent_id in sorted(failures):
        recent = [each for each in failures[agent_id].failures if now - each.at <= patience.agent_failures_s]
        own = sum(1 for each in recent if each.job == job)
        if not recent or (own < patience.agent_failures and len({each.job for each in recent}) < 2):
            continue
        until = recent[-1].at + patience.agent_avoid_s
        if len(recent) >= patience.agent_failures and until > now:
            found[agent_id] = until
    return found if any(pool.agent_id not in found for pool in known) else {}


def worker_tally(ledger: Ledger, spec: JobSpec) -> dict[str, Counter[str]]:
    """Where the job's workers are, by the attributes its placement names."""
    return tally(spec.placement, [task.places for task in ledger.tasks_of(spec.name)])
