"""What the master should know of us: roles, capabilities that are needed now, and which agents are of no use.

The roles are those of our jobs.  With GPU_RESOURCES agents with GPUs are offered, and without it they are hidden; with
REVOCABLE_RESOURCES offers hold what may be taken away again.  The fewer who see these the better.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Final

from headgate.core.ledger import Ledger
from headgate.core.placing.inventory import gpu_agents
from headgate.model.call import Framework, OfferConstraints
from headgate.model.ids import AgentId
from headgate.model.operation import Hold
from headgate.model.plan import Announce
from headgate.model.snapshot import Announced, Snapshot

GPU_RESOURCES: Final = "GPU_RESOURCES"
REVOCABLE_RESOURCES: Final = "REVOCABLE_RESOURCES"
_DOUBLINGS_MAX: Final = 6


def live_roles(ledger: Ledger, framework: Framework) -> tuple[str, ...]:
    """The framework's own roles, and those of jobs that are not over, still have tasks, or reservations; sorted."""
    busy = (job.spec.role for job in ledger.jobs.values() if not job.state.over or ledger.tasks_of(job.name))
    holding = (each.role for each in ledger.reservations.values())
    return tuple(sorted({*framework.roles, *busy, *holding}))


def announcement(
    ledger: Ledger,
    constraints: OfferConstraints,
    pending: Iterable[str],
    snapshot: Snapshot,
    due: list[float],
    *,
    gpus: bool,
) -> tuple[Announce, ...]:
    """The change to announce, if there is one.  `pending` are the roles that want offers, which `constraints` are for.

    `gpus`: agents with GPUs are of use to work that wants none, too.

    A role that wants none keeps the constraints it has: they do no harm until it wants some.  A change that the master
    has refused is tried again after longer and longer waits.
    """
    framework, patience = snapshot.settings.framework, snapshot.settings.patience
    told = snapshot.announced or Announced(
        roles=tuple(sorted(framework.roles)), capabilities=tuple(sorted(framework.capabilities))
    )
    wanted = _wanted(ledger, constraints, frozenset(pending), told, snapshot, gpus=gpus)
    if wanted == replace(told, tried_at=None, refusals=0):
        return ()
    allowed_at = 0.0
    if told.tried_at is not None:
        # Constraints spare everybody work; without its role or capability a job waits for them.
        only_constraints = replace(wanted, constraints={}) == replace(told, constraints={}, tried_at=None, refusals=0)
        wait_s = patience.constrain_s if only_constraints else patience.announce_s
        allowed_at = told.tried_at + wait_s * 2.0 ** min(told.refusals, _DOUBLINGS_MAX)
    if allowed_at > snapshot.now:
        due.append(allowed_at)
        return ()
    suppressed = tuple(role for role in wanted.roles if role in snapshot.flows and snapshot.flows[role].suppressed)
    changed = replace(framework, roles=wanted.roles, capabilities=wanted.capabilities)
    return (
        Announce(
            framework=changed, suppressed_roles=suppressed, reason=_reason(wanted, told), constraints=wanted.constraints
        ),
    )


def _wanted(
    ledger: Ledger,
    constraints: OfferConstraints,
    pending: frozenset[str],
    told: Announced,
    snapshot: Snapshot,
    *,
    gpus: bool,
) -> Announced:
    framework = snapshot.settings.framework
    roles = live_roles(ledger, framework)
    specs = [job.spec for job in ledger.jobs.values() if not job.state.leaving]
    gpus = gpus or any(spec.worker.gpus_m for spec in specs) or _is_reserved_beside_gpus(ledger, snapshot.absent)
    extra = [
        *([GPU_RESOURCES] if gpus else []),
        *([REVOCABLE_RESOURCES] if any(spec.revocable for spec in specs) else []),
    ]
    kept = {role: each for role, each in told.constraints.items() if role in roles and role not in pending}
    merged = {**kept, **{role: each for role, each in constraints.items() if role in roles}}
    return Announced(
        roles=roles,
        capabilities=tuple(sorted({*framework.capabilities, *extra})),
        constraints=dict(sorted(merged.items())) if snapshot.link.constrains else {},
    )


def _is_reserved_beside_gpus(ledger: Ledger, absent: AbstractSet[AgentId]) -> bool:
    """Whether something of ours is to be given back, or returned to, on an agent that the master would hide."""
    hidden = gpu_agents(ledger) - absent
    return any(
        record.agent_id in hidden
        and (record.hold is Hold.FREEING or ledger.worker(record.job, record.worker).wanted_since is not None)
        for record in ledger.reservations.values()
    )


def _reason(wanted: Announced, told: Announced) -> str:
    parts = [
        f"roles {', '.join(wanted.roles)}",
        f"GPUs are {'wanted' if GPU_RESOURCES in wanted.capabilities else 'not wanted'}",
    ]
    if not told.lasting:
        parts.append("the id is saved: tasks are to be kept")
    if REVOCABLE_RESOURCES in wanted.capabilities:
        parts.append("revocable resources will do")
    if wanted.constraints:
        parts.append(f"only some agents are of use to {', '.join(wanted.constraints)}")
    return "; ".join(parts)
