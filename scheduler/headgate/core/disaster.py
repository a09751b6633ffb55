"""Disaster mode: when much is lost at once, what would make it worse waits.

A switch fails, a wrong version of something is rolled out to all agents, a master loses its mind: workers vanish by the
dozen.  A scheduler that then kills those that do not report, scales down on numbers that are not whole, restarts what
still runs, and launches everything anew at once, does more harm than the failure.  So while a share of all workers, or
of all agents, has been lost within a short time:

- kills of our own making wait (silent and stuck workers, strays, surplus workers); what people ask for does not;
- nothing is scaled down, no restart goes on;
- replacements go out a few at a time (`ramp`).

What was lost is in the records, so that a new leader knows; it ends by itself when it has been calm for a while.
Source: Singularity's disaster detection (`Docs/features/disaster-detection.md` there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from headgate.core.ledger import Ledger
from headgate.model.ids import AgentId
from headgate.model.note import NoteKind
from headgate.model.record import DisasterRecord, Losses
from headgate.model.settings import Disaster
from headgate.model.snapshot import Snapshot

BUCKET_S: Final = 10.0
"""Losses are counted together over this time, so that a thousand of them are a few entries of a record."""
AGENTS_MAX: Final = 200
"""Agents named per bucket, for the size of the record."""


def count_loss(ledger: Ledger, agent_id: AgentId, at: float) -> None:
    """Write down that a running task on this agent was lost."""
    disaster = ledger.framework.disaster
    begun = at - at % BUCKET_S
    found = {each.at: each for each in disaster.losses}
    bucket = found.get(begun, Losses(at=begun, tasks=0, agents=()))
    agents = bucket.agents
    if agent_id not in agents and len(agents) < AGENTS_MAX:
        agents = (*agents, agent_id)
    found[begun] = replace(bucket, tasks=bucket.tasks + 1, agents=agents)
    losses = tuple(found[each] for each in sorted(found))
    ledger.framework = replace(ledger.framework, disaster=replace(disaster, losses=losses))


def judge(ledger: Ledger, snapshot: Snapshot, silent: Sequence[tuple[float, AgentId]], due: list[float]) -> str | None:
    """Why things wait, if there is a disaster now; the records say since when.

    `silent`: tasks that have just fallen silent, with the instant, and are not counted as lost yet.
    """
    settings, now = snapshot.settings.disaster, snapshot.now
    before = ledger.framework.disaster
    begin = now - settings.window_s
    kept = tuple(each for each in before.losses if each.at + BUCKET_S > begin)
    reason = (
        _reason(ledger, snapshot, kept, [agent for at, agent in silent if at > begin]) if settings.enabled else None
    )
    after = _after(replace(before, losses=kept), reason, settings, now)
    if after != before:
        ledger.framework = replace(ledger.framework, disaster=after)
    if after.since is not None and before.since is None:
        ledger.say(
            now,
            NoteKind.PROBLEM,
            f"disaster mode: {after.reason}. Kills, scaling down and restarts wait; "
            f"at most {settings.starting_max} launches are on their way at once",
        )
    elif after.since is None and before.since is not None:
        ledger.say(now, NoteKind.PROBLEM, f"disaster mode is over after {now - before.since:.0f} s")
    if after.since is None:
        return None
    if after.worst_at is not None:
        due.append(after.worst_at + settings.calm_s)
    due += [each.at + BUCKET_S + settings.window_s for each in kept[:1]]
    return f"disaster mode: {after.reason}"


def _after(before: DisasterRecord, reason: str | None, settings: Disaster, now: float) -> DisasterRecord:
    if reason is not None:
        # Not at every tick: each change is a write.
        fresh = before.worst_at is not None and now - before.worst_at < BUCKET_S
        return replace(
            before,
            since=before.since if before.since is not None else now,
            worst_at=before.worst_at if fresh else now,
            reason=before.reason if before.reason is not None else reason,
        )
    if before.worst_at is not None and before.worst_at + settings.calm_s > now:
        return before
    return replace(before, since=None, worst_at=None, reason=None)


def _reason(ledger: Ledger, snapshot: Snapshot, losses: Sequence[Losses], silent: Sequence[AgentId]) -> str | None:
    settings = snapshot.settings.disaster
    lost = sum(each.tasks for each in losses) + len(silent)
    gone = {agent for each in losses for agent in each.agents} | set(silent)
    workers = sum(job.workers for job in ledger.jobs.values() if not job.state.leaving)
    agents = gone | set(snapshot.agents) | {task.agent_id for task in ledger.tasks.values()}
    many_agents = len(gone) >= settings.agents_min and len(gone) >= settings.agents_share * len(agents)
    many_workers = lost >= settings.workers_min and lost >= settings.workers_share * workers and len(gone) > 1
    if not (many_agents or many_workers):
        return None
    return (
        f"{lost} of {workers} workers were lost on {len(gone)} of {len(agents)} agents within {settings.window_s:.0f} s"
    )
