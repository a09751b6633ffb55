"""The life of an executor: the whole table of states and events."""

from __future__ import annotations

import itertools

import pytest

from headgate.simulator.agent.executor_machine import TABLE, Action, ExecutorEvent, ExecutorState, step

S, E, A = ExecutorState, ExecutorEvent, Action

EXPECTED = {
    E.TASK: [(S.REGISTERING, A.QUEUE), (S.RUNNING, A.DELIVER), (S.TERMINATING, A.DROP), (S.TERMINATED, A.DROP)],
    E.KILL: [
        (S.REGISTERING, A.KILL_QUEUED),
        (S.RUNNING, A.FORWARD_KILL),
        (S.TERMINATING, A.IGNORE),
        (S.TERMINATED, A.IGNORE),
    ],
    E.MESSAGE: [
        (S.REGISTERING, A.IGNORE),
        (S.RUNNING, A.FORWARD_MESSAGE),
        (S.TERMINATING, A.IGNORE),
        (S.TERMINATED, A.IGNORE),
    ],
    E.SUBSCRIBE: [
        (S.RUNNING, A.WELCOME),
        (S.RUNNING, A.WELCOME),
        (S.TERMINATING, A.TURN_AWAY),
        (S.TERMINATED, A.TURN_AWAY),
    ],
    E.SHUTDOWN: [
        (S.TERMINATING, A.ASK_TO_END),
        (S.TERMINATING, A.ASK_TO_END),
        (S.TERMINATING, A.IGNORE),
        (S.TERMINATED, A.IGNORE),
    ],
    E.GRACE_OVER: [
        (S.REGISTERING, A.IGNORE),
        (S.RUNNING, A.IGNORE),
        (S.TERMINATING, A.DESTROY),
        (S.TERMINATED, A.IGNORE),
    ],
    E.TIMEOUT: [(S.TERMINATING, A.DESTROY), (S.RUNNING, A.IGNORE), (S.TERMINATING, A.IGNORE), (S.TERMINATED, A.IGNORE)],
    E.STARTED: [(S.REGISTERING, A.IGNORE), (S.RUNNING, A.IGNORE), (S.TERMINATING, A.DESTROY), (S.TERMINATED, A.IGNORE)],
    E.ENDED: [
        (S.TERMINATED, A.REPORT_END),
        (S.TERMINATED, A.REPORT_END),
        (S.TERMINATED, A.REPORT_END),
        (S.TERMINATED, A.IGNORE),
    ],
}
"""For each event: what happens in the states REGISTERING, RUNNING, TERMINATING, TERMINATED."""


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_every_pair_does_what_the_table_of_mesos_says(state: ExecutorState, event: ExecutorEvent) -> None:
    assert step(state, event) == EXPECTED[event][list(S).index(state)]


def test_an_executor_never_lives_again() -> None:
    order = list(S)
    backwards = [
        (before, event) for (before, event), (after, _) in TABLE.items() if order.index(after) < order.index(before)
    ]
    assert backwards == []
