"""Drops records that nothing needs any more, so that the store does not grow for ever."""

from __future__ import annotations

from headgate.core.ledger import Ledger
from headgate.core.placing.inventory import tidy_agents
from headgate.model.settings import Patience


def tidy(ledger: Ledger, patience: Patience, now: float) -> None:
    """Slots of jobs that are over and have no task; jobs over beyond the newest few; what agents did long ago."""
    over = [job for job in ledger.jobs.values() if job.state.over and not ledger.tasks_of(job.name)]
    names = {job.name for job in over}
    for key in [key for key in ledger.workers if key[0] in names]:
        del ledger.workers[key]
    for job in sorted(over, key=lambda job: (job.state_since, job.submission))[: -patience.jobs_over_max]:
        ledger.drop_job(job.name)
    tidy_agents(ledger, patience, now)
