"""When to ask the master about tasks (RECONCILE), and when its answers suffice to launch again.

After every subscription each recorded task is asked about until the master has spoken of it.  Launches wait for that,
but not for ever: a master that has just taken over is silent about agents that are not back yet, for ten minutes.  What
is unanswered then keeps counting as alive, so nothing is started twice.

A question is also how to find out whether the master can be heard at all, before silence is held against a task: calls
go over another connection than events, so that they are no sign of it, but an answer is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Final

from headgate.core.ledger import Ledger
from headgate.model.ids import AgentId, TaskId
from headgate.model.plan import Ask
from headgate.model.snapshot import Link, Snapshot
from headgate.model.task import Stage

_ASKED_MAX: Final = 1000
"""Tasks in one question."""


def reconciled(link: Link, gate_s: float, now: float) -> bool:
    """Whether launches may go out."""
    if not link.connected or link.since is None:
        return False
    return not link.unanswered or (link.asked > 0 and now - link.since >= gate_s)


def questions(ledger: Ledger, snapshot: Snapshot, overdue: Sequence[TaskId], due: list[float]) -> list[Ask]:
    """What to ask now: the round after a subscription, silent launches, and everything once an hour.

    And those `overdue`, of which, like of all else, nothing has been heard.
    """
    link, patience, now = snapshot.link, snapshot.settings.patience, snapshot.now
    asks: list[Ask] = []
    open_tasks = [task_id for task_id in link.unanswered if task_id in ledger.tasks]
    if open_tasks:
        wait_s = min(patience.reconcile_resend_max_s, patience.reconcile_resend_s * 2.0 ** min(link.asked - 1, 30))
        again_at = now if link.asked_at is None else link.asked_at + wait_s
        if again_at <= now:
            asks.append(
                Ask(tasks=_with_agents(ledger, open_tasks), reason="what became of them while we were away", gate=True)
            )
        else:
            due.append(again_at)
        if link.since is not None and link.since + patience.reconcile_gate_s > now:
            due.append(link.since + patience.reconcile_gate_s)
    silent = _silent_launches(ledger, snapshot, set(open_tasks), due)
    if silent:
        asks.append(Ask(tasks=_with_agents(ledger, silent), reason="launched, and not heard of since"))
    unheard = _unheard(ledger, snapshot, overdue, {*open_tasks, *silent}, due)
    if unheard:
        asks.append(Ask(tasks=_with_agents(ledger, unheard), reason="silent, and whether the master can be heard"))
    if reconciled(link, patience.reconcile_gate_s, now):
        all_at = now if link.reconciled_all_at is None else link.reconciled_all_at + patience.reconcile_all_every_s
        if all_at <= now:
            asks.append(Ask(tasks=(), reason="whatever the master knows of us"))
            if link.reconciled_all_at is not None:
                asks += _recorded(ledger)
        else:
            due.append(all_at)
    return asks


def _recorded(ledger: Ledger) -> list[Ask]:
    """Everything recorded by name: what the master knows nothing of, its answer to a question about all leaves out."""
    every = sorted(ledger.tasks)
    return [
        Ask(tasks=_with_agents(ledger, every[begin : begin + _ASKED_MAX]), reason="whether all that is recorded lives")
        for begin in range(0, len(every), _ASKED_MAX)
    ]


def _silent_launches(ledger: Ledger, snapshot: Snapshot, asked: set[TaskId], due: list[float]) -> list[TaskId]:
    patience = snapshot.settings.patience
    silent = []
    for task in ledger.tasks_in_order():
        if task.stage is not Stage.LAUNCHING or task.id in asked:
            continue
        ask_at = max(task.launched_at, snapshot.sent.asked.get(task.id, 0.0)) + patience.launch_silent_s
        if ask_at <= snapshot.now:
            silent.append(task.id)
        else:
            due.append(ask_at)
    return silent


def _unheard(
    ledger: Ledger, snapshot: Snapshot, overdue: Sequence[TaskId], asked: set[TaskId], due: list[float]
) -> list[TaskId]:
    """Of those that are overdue, whom to ask about now.  One answer is as good as many: the first are enough."""
    wait_s = snapshot.settings.patience.launch_silent_s
    found = []
    for task_id in overdue[:_ASKED_MAX]:
        if task_id in asked or task_id not in ledger.tasks:
            continue
        ask_at = snapshot.sent.asked.get(task_id, -inf) + wait_s
        if ask_at <= snapshot.now:
            found.append(task_id)
        else:
            due.append(ask_at)
    return found


def _with_agents(ledger: Ledger, tasks: Iterable[TaskId]) -> tuple[tuple[TaskId, AgentId | None], ...]:
    # Without its agent's id an unreachable task would be answered as unknown.
    return tuple((task_id, ledger.tasks[task_id].agent_id) for task_id in sorted(tasks))
