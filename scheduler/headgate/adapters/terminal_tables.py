"""All jobs as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from headgate.adapters.api_types import JobSummary
from headgate.adapters.terminal_text import age_text, count_text, rate_text, state_text


def jobs_table(jobs: Sequence[JobSummary], *, at: float) -> Table:
    """One line per job, those that are over last."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black underline", expand=True)
    for name, side in (
        ("job", "left"),
        ("state", "left"),
        ("since", "right"),
        ("workers", "right"),
        ("shards", "right"),
        ("backlog", "right"),
        ("lag", "right"),
        ("rate", "right"),
        ("restarts", "right"),
        ("", "left"),
    ):
        table.add_column(
            name,
            justify="right" if side == "right" else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=None if name else 1,
        )
    for job in sorted(jobs, key=lambda each: (each.state.over, each.name)):
        remark = "; ".join(each for each in (job.failure or job.waiting, job.remark) if each)
        table.add_row(
            Text(job.name, style="bold"),
            state_text(job.state),
            age_text(at - job.state_since),
            f"{job.workers_ready}/{job.workers_wished}",
            str(job.shards),
            count_text(job.backlog_records),
            age_text(job.lag_s),
            rate_text(job.records_per_s),
            str(job.restarts),
            Text(remark, style="red" if job.failure else "yellow"),
        )
    return table
