"""The life of an executor, as a table.

    REGISTERING ──subscribed──▶ RUNNING
         │  timeout, shutdown      │ shutdown
         ▼                         ▼
    TERMINATING ◀──────────────────┘
         │ ended (from any state)
         ▼
    TERMINATED

The machine does nothing itself: a step says what the agent has to do.  It never leaves TERMINATED; the record goes
away once nobody waits for an acknowledgement any more.

Source: the switch statements over `Executor::state` in Mesos's slave.cpp.
"""

from __future__ import annotations

import enum


class ExecutorState(enum.Enum):
    """Where an executor is in its life."""

    REGISTERING = "its container was asked for; it has not subscribed"
    RUNNING = "it has subscribed, and may have lost its stream since"
    TERMINATING = "it was told to end, or its container is being destroyed"
    TERMINATED = "its container is gone; some update is not acknowledged"


class ExecutorEvent(enum.Enum):
    """What may happen to an executor."""

    TASK = "a task or a group is to run on it"
    KILL = "one of its tasks is to end"
    MESSAGE = "the scheduler has a message for it"
    SUBSCRIBE = "it opens its stream"
    SHUTDOWN = "it is to end"
    GRACE_OVER = "the time it had for that is over"
    TIMEOUT = "it has not subscribed in time"
    STARTED = "its container runs"
    ENDED = "its container is gone"


class Action(enum.Enum):
    """What the agent has to do."""

    IGNORE = "nothing"
    QUEUE = "keep the task until it subscribes"
    DELIVER = "send the task"
    DROP = "report the task as never launched"
    KILL_QUEUED = "report the task (and its group) as killed before delivery"
    FORWARD_KILL = "send KILL, or kill what is still queued"
    FORWARD_MESSAGE = "send MESSAGE"
    WELCOME = "make this its stream; send SUBSCRIBED and what is queued, or SHUTDOWN if it has nothing to do"
    TURN_AWAY = "send SHUTDOWN and end the stream"
    ASK_TO_END = "send SHUTDOWN and start the grace period"
    DESTROY = "kill all processes of its container"
    REPORT_END = "report its tasks and its end"


_S, _E, _A = ExecutorState, ExecutorEvent, Action

TABLE: dict[tuple[ExecutorState, ExecutorEvent], tuple[ExecutorState, Action]] = {
    (_S.REGISTERING, _E.TASK): (_S.REGISTERING, _A.QUEUE),
    (_S.REGISTERING, _E.KILL): (_S.REGISTERING, _A.KILL_QUEUED),
    (_S.REGISTERING, _E.SUBSCRIBE): (_S.RUNNING, _A.WELCOME),
    (_S.REGISTERING, _E.SHUTDOWN): (_S.TERMINATING, _A.ASK_TO_END),
    (_S.REGISTERING, _E.TIMEOUT): (_S.TERMINATING, _A.DESTROY),
    (_S.REGISTERING, _E.ENDED): (_S.TERMINATED, _A.REPORT_END),
    (_S.RUNNING, _E.TASK): (_S.RUNNING, _A.DELIVER),
    (_S.RUNNING, _E.KILL): (_S.RUNNING, _A.FORWARD_KILL),
    (_S.RUNNING, _E.MESSAGE): (_S.RUNNING, _A.FORWARD_MESSAGE),
    (_S.RUNNING, _E.SUBSCRIBE): (_S.RUNNING, _A.WELCOME),
    (_S.RUNNING, _E.SHUTDOWN): (_S.TERMINATING, _A.ASK_TO_END),
    (_S.RUNNING, _E.ENDED): (_S.TERMINATED, _A.REPORT_END),
    (_S.TERMINATING, _E.TASK): (_S.TERMINATING, _A.DROP),
    (_S.TERMINATING, _E.SUBSCRIBE): (_S.TERMINATING, _A.TURN_AWAY),
    (_S.TERMINATING, _E.GRACE_OVER): (_S.TERMINATING, _A.DESTROY),
    (_S.TERMINATING, _E.STARTED): (_S.TERMINATING, _A.DESTROY),
    (_S.TERMINATING, _E.ENDED): (_S.TERMINATED, _A.REPORT_END),
    (_S.TERMINATED, _E.TASK): (_S.TERMINATED, _A.DROP),
    (_S.TERMINATED, _E.SUBSCRIBE): (_S.TERMINATED, _A.TURN_AWAY),
}


def step(state: ExecutorState, event: ExecutorEvent) -> tuple[ExecutorState, Action]:
    """The next state and what to do; pairs that are not in the table change nothing."""
    return TABLE.get((state, event), (state, Action.IGNORE))
