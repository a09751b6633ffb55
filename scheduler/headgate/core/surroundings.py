"""What all fits of one decision depend on: known agents, their failures, where each job's workers are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cached_property

from headgate.core.feasible import Surroundings
from headgate.core.ledger import Ledger
from headgate.core.place import Want
from headgate.core.placement import tally
from headgate.core.placing.checks import avoided, could_ever_run, maintained
from headgate.core.placing.fleet import Fleet
from headgate.core.placing.gang import is_gang
from headgate.core.placing.inventory import gpu_agents
from headgate.core.pool import Pool, remembered_pool
from headgate.model.ids import AgentId, JobName
from headgate.model.job import JobSpec, Operator
from headgate.model.record import AgentRecord, JobRecord
from headgate.model.settings import GpuPolicy, Patience
from headgate.model.snapshot import Snapshot


def known_fleet(offered: Sequence[Pool], ledger: Ledger, snapshot: Snapshot) -> Fleet:
    """Every agent as we know it: from the offers in hand, else as last offered."""
    in_hand = {pool.agent_id for pool in offered}
    gpus = gpu_agents(ledger)
    remembered = [remembered_pool(agent, gpus) for agent in snapshot.agents.values() if agent.agent_id not in in_hand]
    return Fleet([*offered, *remembered], list(ledger.tasks.values()))


class Scene:
    """One decision's surroundings, job by job.  Its `fleet` is the one that workers are placed on."""

    def __init__(self, fleet: Fleet, ledger: Ledger, snapshot: Snapshot) -> None:
        self.fleet = fleet
        self._ledger = ledger
        self._snapshot = snapshot

    @cached_property
    def _troubled(self) -> list[AgentRecord]:
        return [agent for _, agent in sorted(self._ledger.agents.items()) if agent.failures]

    def around(self, spec: JobSpec, waiting_since: float | None = None) -> Surroundings:
        """The surroundings of a job, whose first missing worker has been wanted since then."""
        snapshot, fleet = self._snapshot, self.fleet
        patience, region = snapshot.settings.patience, snapshot.link.region
        around = Surroundings(
            now=snapshot.now,
            maintenance_s=patience.maintenance_s,
            avoided=avoided_agents(spec.name, fleet.agents, self._troubled, patience, snapshot.now),
            avoided_bend=waiting_since is not None and waiting_since + patience.avoid_bends_s <= snapshot.now,
            gpus_kept=self._gpus_kept(spec),
            region=region,
        )
        grouped = sorted({each.attribute for each in spec.placement if each.operator is Operator.GROUP_BY})
        if not grouped:
            return around
        usable = could_ever_run(spec, fleet, region) & ~maintained(fleet, around) & ~avoided(fleet, around)
        if around.gpus_kept and not spec.worker.gpus_m:
            usable &= ~fleet.has_gpus
        return replace(around, groups={name: fleet.groups(name).present(usable) for name in grouped})

    def _gpus_kept(self, spec: JobSpec) -> bool:
        policy, fleet = self._snapshot.settings.gpus, self.fleet
        if policy is not GpuPolicy.KEPT or spec.worker.gpus_m or not fleet.has_gpus.any():
            return policy is not GpuPolicy.OPEN
        able = could_ever_run(spec, fleet, self._snapshot.link.region)
        return bool((able & ~fleet.has_gpus).any()) or not able.any()

    def want(self, job: JobRecord, workers: Sequence[int]) -> Want:
        """The job's wish for these workers."""
        spec, tasks = job.spec, self._ledger.tasks_of(job.name)
        waited = [self._ledger.worker(job.name, number).wanted_since for number in workers]
        since = min((at for at in waited if at is not None), default=None)
        return Want(
            spec=spec,
            submission=job.submission,
            workers=tuple(workers),
            around=self.around(spec, since),
            since=since,
            counts=tally(spec.placement, [task.places for task in tasks]),
            homes=Counter(task.agent_id for task in tasks),
            gang=is_gang(self._ledger, job.name),
        )


def avoided_agents(
    job: JobName, known: Collection[AgentId], troubled: Iterable[AgentRecord], patience: Patience, now: float
) -> dict[AgentId, float]:
    """Agents the job should leave alone, and until when.

    Those where its own tasks failed repeatedly, or those of several jobs: a program that crashes wherever it runs says
    nothing against an agent.  If that were more than half of the known agents, it is none: then it is not the agents.
    """
    found: dict[AgentId, float] = {}
    for agent in troubled:
        recent = [each for each in agent.failures if now - each.at <= patience.agent_failures_s]
        own = sum(1 for each in recent if each.job == job)
        if not recent or (own < patience.agent_failures and len({each.job for each in recent}) < 2):
            continue
        until = recent[-1].at + patience.agent_avoid_s
        if len(recent) >= patience.agent_failures and until > now:
            found[agent.agent_id] = until
    return found if 2 * sum(1 for agent_id in found if agent_id in known) <= len(known) else {}
