"""Why things are as they are, for people: a job, an agent, a job not yet submitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from headgate.adapters.api_types import Explanation
from headgate.adapters.terminal_live import disaster_line, events_table
from headgate.adapters.terminal_text import NOTHING, age_text, state_text
from headgate.core.units import size_text
from headgate.model.offer import Unavailability
from headgate.model.resources import Resources
from headgate.model.view import AgentView
from headgate.model.waiting import AgentExplanation, DryRun, InverseAnswer, OfferFate, Waiting

_BAR_WIDTH = 20


def explained(found: Explanation, *, history: int | None) -> RenderableType:
    """A job: state, what is waited for, what the policy decided, what goes wrong, and the newest of what happened."""
    since = age_text(found.at - found.state_since)
    parts: list[RenderableType] = [
        Text.assemble((found.job, "bold"), " is ", state_text(found.state), f" for {since}.")
    ]
    if found.disaster is not None:
        parts.append(disaster_line(found.disaster))
    if found.failure:
        parts.append(Text(f"It failed: {found.failure}", style="red"))
    if found.waiting is not None:
        waited = age_text(found.at - found.waiting.since)
        parts += [Text.assemble((f"Waiting for {waited}: ", "yellow"), found.waiting.head), *_wait(found.waiting)]
    elif not found.state.over and not found.doings:
        parts.append(Text("It waits for nothing."))
    parts += [Text(f"{each[:1].upper()}{each[1:]}.", style="yellow") for each in found.doings]
    if found.scaling is not None:
        parts.append(Text.assemble(("Scaling: ", "bright_black"), found.scaling.verdict))
    parts += [Text(problem, style="red") for problem in found.problems]
    shown = found.history if history is None else found.history[-history:]
    if shown:
        parts += [Text(), events_table(shown)]
    return Group(*parts)


def tried(found: DryRun) -> RenderableType:
    """A job not submitted: what would start where, and why the rest would wait."""
    if found.waiting is None:
        parts: list[RenderableType] = [Text.assemble((found.job, "bold"), f": {found.text}")]
    else:
        starts = found.text.removesuffix(f"; {found.waiting.text}")
        parts = [Text.assemble((found.job, "bold"), f": {starts}; {found.waiting.head}"), *_wait(found.waiting)]
    if found.role_assumed:
        parts.append(
            Text("Its role has not been offered yet: agents are taken as they are for others.", style="yellow")
        )
    parts.append(Text("Nothing was submitted.", style="bright_black"))
    return Group(*parts)


def agents_table(agents: Sequence[AgentView], *, at: float) -> Table:
    """One line per agent: what it had free, and what became of that."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black underline", expand=True)
    for name in ("agent", "free", "seen", "ours", "last offers"):
        table.add_column(name, justify="right" if name in ("seen", "ours") else "left", no_wrap=name != "last offers")
    hosts = Counter(agent.hostname for agent in agents)
    for agent in sorted(agents, key=lambda each: (each.hostname, each.id)):
        # The master numbers its agents; the rest of the id says only which master that was.
        name = agent.hostname if hosts[agent.hostname] == 1 else f"{agent.hostname} ({agent.id.rpartition('-')[2]})"
        fate = Text(_fate(agent.fate))
        if agent.avoided_until is not None and agent.avoided_until > at:
            fate = Text(f"avoided for {age_text(agent.avoided_until - at)}: tasks failed there. ", style="red") + fate
        if agent.maintenance is not None:
            fate = Text(f"{_maintenance(agent.maintenance, agent.answer, at)} ", style="yellow") + fate
        table.add_row(name, _amounts(agent.offered), age_text(at - agent.seen_at), str(agent.tasks), fate)
    return table


def agent_explained(found: AgentExplanation, *, at: float) -> RenderableType:
    """An agent: what is free, what became of its last offers, and what jobs that wait lack there."""
    seen = f"last offered {age_text(at - found.seen_at)} ago"
    parts: list[RenderableType] = [
        Text.assemble((found.hostname, "bold"), f" ({found.agent_id}), {seen}: {_amounts(found.free)} free."),
        Text(f"Its last offers: {_fate(found.fate)}."),
    ]
    if found.maintenance is not None:
        parts.append(Text(_maintenance(found.maintenance, found.answer, at), style="yellow"))
    if found.in_hand:
        parts.append(Text("There are offers of it in hand.", style="yellow"))
    for verdict in found.verdicts:
        against = "; ".join(veto.text for veto in verdict.vetoes)
        parts.append(
            Text.assemble(
                "  ", (verdict.job, "bold"), f" (offered to {verdict.role}): ", against or ("would fit", "green")
            )
        )
    if not found.verdicts:
        parts.append(Text("No job waits."))
    return Group(*parts)


def _wait(waiting: Waiting) -> list[RenderableType]:
    """The way from all known agents to those that fit, the nearest of them, and what would help."""
    parts: list[RenderableType] = []
    # To who backs off, agents do not matter yet.
    steps = [step for step in waiting.funnel if step.vetoed and waiting.backoff_until is None]
    if steps:
        table = Table(box=None, padding=(0, 2, 0, 2), show_header=False)
        table.add_row("known agents", "", str(waiting.agents), Text("█" * _BAR_WIDTH, style="bright_black"))
        for step in steps:
            width = -(-_BAR_WIDTH * step.left // waiting.agents)
            bar = Text("█" * width, style="green" if step.left else "red")
            table.add_row(step.check, f"against {step.vetoed}", str(step.left), bar)
        parts.append(table)
    nearest = waiting.nearest
    if nearest is not None:
        parts.append(Text(f"  nearest: {nearest.hostname}: {'; '.join(veto.text for veto in nearest.vetoes)}"))
    if waiting.never:
        parts.append(Text(f"  no agent known could ever run it: {waiting.never}", style="red"))
    if waiting.alternatives:
        parts += [Text(f"  fits if {each}", style="green") for each in waiting.alternatives]
    elif waiting.remedy:
        parts.append(Text(f"  fits if {waiting.remedy}", style="green"))
    return parts


def _maintenance(window: Unavailability, answer: InverseAnswer | None, at: float) -> str:
    left_s = window.start_at - at
    when = f"maintenance in {age_text(left_s)}" if left_s > 0 else f"maintenance since {age_text(-left_s)}"
    if answer is None:
        return f"{when}."
    return f"{when}, {'agreed' if answer.agree else 'not agreed'} to: {answer.reason}."


def _fate(fate: OfferFate | None) -> str:
    if fate is None:
        return NOTHING
    if fate.tasks:
        return f"used for {', '.join(fate.tasks)}: {fate.reason}"
    return f"refused for {age_text(fate.refuse_s)}: {fate.reason}" if fate.refuse_s is not None else fate.reason


def _amounts(free: Resources) -> str:
    parts = [f"{free.cpus_m / 1000:g} cpu{'' if free.cpus_m == 1000 else 's'}", size_text(free.mem_m / 1000)]
    if free.gpus_m:
        parts.append(f"{free.gpus_m // 1000} GPU{'' if free.gpus_m == 1000 else 's'}")
    return ", ".join(parts)
