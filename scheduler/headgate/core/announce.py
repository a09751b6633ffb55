"""What the master should know of us: the roles of our jobs, and GPU_RESOURCES only while a job wants GPUs.

With that capability agents with GPUs are offered, and without it they are hidden; the fewer who see them the better.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from headgate.core.ledger import Ledger
from headgate.model.call import Framework
from headgate.model.plan import Announce
from headgate.model.snapshot import Snapshot

GPU_RESOURCES: Final = "GPU_RESOURCES"


def live_roles(ledger: Ledger, framework: Framework) -> tuple[str, ...]:
    """The framework's own roles and those of jobs that are not over, or still have tasks; sorted."""
    busy = (job.spec.role for job in ledger.jobs.values() if not job.state.over or ledger.tasks_of(job.name))
    return tuple(sorted({*framework.roles, *busy}))


def announcement(ledger: Ledger, snapshot: Snapshot) -> tuple[Announce, ...]:
    """The change to announce, if there is one."""
    framework = snapshot.settings.framework
    roles = live_roles(ledger, framework)
    wants_gpus = any(job.spec.worker.gpus_m for job in ledger.jobs.values() if not job.state.over)
    capabilities = tuple(sorted({*framework.capabilities, *([GPU_RESOURCES] if wants_gpus else [])}))
    told = snapshot.announced or (tuple(sorted(framework.roles)), tuple(sorted(framework.capabilities)))
    if (roles, capabilities) == told:
        return ()
    suppressed = tuple(role for role in roles if role in snapshot.flows and snapshot.flows[role].suppressed)
    reason = f"roles {', '.join(roles)}; GPUs are {'wanted' if wants_gpus else 'not wanted'}"
    changed = replace(framework, roles=roles, capabilities=capabilities)
    return (Announce(framework=changed, suppressed_roles=suppressed, reason=reason),)
