"""Tables and answers for people: all jobs, and why one is as it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headgate.adapters.api_types import Explanation, JobSummary
from headgate.adapters.terminal_live import events_table
from headgate.adapters.terminal_text import age_text, count_text, rate_text, state_text

_HISTORY_SHOWN = 12


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
        remark = job.failure or job.waiting or ""
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


def explained(found: Explanation) -> RenderableType:
    """Sentences: state, what is waited for, what the policy decided, what goes wrong, what happened."""
    since = age_text(found.at - found.state_since)
    parts: list[RenderableType] = [
        Text.assemble((found.job, "bold"), " is ", state_text(found.state), f" for {since}.")
    ]
    if found.failure:
        parts.append(Text(f"It failed: {found.failure}", style="red"))
    if found.waiting is not None:
        parts.append(
            Text.assemble((f"Waiting for {age_text(found.at - found.waiting.since)}: ", "yellow"), found.waiting.text)
        )
        parts += [
            Text(f"  {count.agents} of {found.waiting.agents} agents: {count.kind.value}")
            for count in found.waiting.vetoed
        ]
        nearest = found.waiting.nearest
        if nearest is not None:
            against = "; ".join(veto.text for veto in nearest.vetoes)
            parts.append(Text(f"  nearest: {nearest.hostname}, {against}"))
        if found.waiting.remedy:
            parts.append(Text(f"  fits if {found.waiting.remedy}", style="green"))
    elif not found.state.over:
        parts.append(Text("It waits for nothing."))
    if found.scaling is not None:
        parts.append(Text.assemble(("Scaling: ", "bright_black"), found.scaling.verdict))
    parts += [Text(problem, style="red") for problem in found.problems]
    if found.history:
        parts += [Text(), events_table(found.history[-_HISTORY_SHOWN:])]
    return Group(*parts)
