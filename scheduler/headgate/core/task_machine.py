"""What becomes of a task: (stage, event) → (stage, effects), for every stage and every event.

The machine does nothing itself: `attempts` carries the effects out.  Killing is no effect: whatever is in KILLING is
sent kills until its end is known.  Statuses come late, twice, and contradict each other (an answer to a reconciliation
may be older than the update before it), so every pair is a legal input; most leave the stage as it is.

    LAUNCHING ──accepted, starting──▶ STARTING ──running──▶ RUNNING ──drain──▶ DRAINING
        │ ╲──running──▶ RUNNING          │                     │                   │
        │                                │                     │                   │
        ├────────────────────────────────┴── unreachable ──────┴───────────────────┤
        │                                        ▼                                 │
        │                                   UNREACHABLE ──running──▶ RUNNING       │
        │                                        │ cut off                         │
        ├── stuck, kill ──▶ KILLING ◀── mute, stuck, kill, killing, overdue (any)  │
        │                      │ overdue: shut down, and counted as ended          │
        ▼                      ▼                 ▼                                 ▼
        └────────────── finished, failed, killed, vanished ──▶ ENDED ◀─────────────┘

A task that has ENDED has no record; one that shows signs of life all the same is a stray, and killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from headgate.model.task import Stage


class TaskEvent(Enum):
    """What can happen to a task, whoever says so."""

    ACCEPTED = "accepted"
    STARTING = "starting"
    RUNNING = "running"
    KILLING = "killing"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"
    VANISHED = "vanished"
    """Mesos knows nothing of it, or knows it gone with its agent: no fault of its own."""
    UNREACHABLE = "unreachable"
    STUCK = "stuck"
    """Not running in time; or running, and a shard of it does not get on there."""
    MUTE = "mute"
    """Running, and not reporting."""
    CUT_OFF = "cut off"
    """Unreachable for longer than the job waits."""
    OVERDUE = "overdue"
    """A drain or kill that shows no effect."""
    DRAIN = "drain"
    KILL = "kill"
    REPORTED = "reported"
    """A report of it arrived."""


class Effect(Enum):
    """What a move entails."""

    UP = "up"
    """It runs for the first time, or again."""
    FAILURE = "failure"
    """Counts against the slot, which backs off."""
    LOSS = "loss"
    """Ended unasked through no fault of its own: replaced at once, unless that goes on before it ever runs."""
    DONE = "done"
    """Ended as we wished."""
    STRAY = "stray"
    """It may be alive and has no record: to be killed until Mesos says that it is gone."""
    CLEAR = "clear"
    """It is gone for good: no stray any more."""


@dataclass(frozen=True, slots=True)
class Move:
    """Where a task goes, and what that entails."""

    stage: Stage
    effects: tuple[Effect, ...] = ()


def move(stage: Stage, event: TaskEvent) -> Move:
    """What becomes of a task in `stage` when `event` happens."""
    return _TABLE[stage, event]


def _rows(stage: Stage, moves: Mapping[TaskEvent, Move]) -> dict[tuple[Stage, TaskEvent], Move]:
    return {(stage, event): moves.get(event, Move(stage)) for event in TaskEvent}


_E: Final = TaskEvent
_UNASKED: Final = {
    _E.FINISHED: Move(Stage.ENDED, (Effect.FAILURE, Effect.CLEAR)),
    _E.FAILED: Move(Stage.ENDED, (Effect.FAILURE, Effect.CLEAR)),
    _E.KILLED: Move(Stage.ENDED, (Effect.LOSS, Effect.CLEAR)),
    _E.VANISHED: Move(Stage.ENDED, (Effect.LOSS, Effect.CLEAR)),
}
_ASKED: Final = dict.fromkeys(
    (_E.FINISHED, _E.FAILED, _E.KILLED, _E.VANISHED), Move(Stage.ENDED, (Effect.DONE, Effect.CLEAR))
)
_BEFORE_RUNNING: Final = {
    **_UNASKED,
    _E.RUNNING: Move(Stage.RUNNING, (Effect.UP,)),
    _E.KILLING: Move(Stage.KILLING, (Effect.LOSS,)),
    _E.UNREACHABLE: Move(Stage.UNREACHABLE),
    _E.STUCK: Move(Stage.KILLING, (Effect.FAILURE,)),
    _E.DRAIN: Move(Stage.KILLING),
    _E.KILL: Move(Stage.KILLING),
}

_TABLE: Final[Mapping[tuple[Stage, TaskEvent], Move]] = {
    **_rows(
        Stage.LAUNCHING,
        {**_BEFORE_RUNNING, _E.ACCEPTED: Move(Stage.STARTING), _E.STARTING: Move(Stage.STARTING)},
    ),
    **_rows(Stage.STARTING, _BEFORE_RUNNING),
    **_rows(
        Stage.RUNNING,
        {
            **_UNASKED,
            _E.KILLING: Move(Stage.KILLING, (Effect.LOSS,)),
            _E.UNREACHABLE: Move(Stage.UNREACHABLE),
            _E.MUTE: Move(Stage.KILLING, (Effect.FAILURE,)),
            _E.STUCK: Move(Stage.KILLING, (Effect.FAILURE,)),
            _E.DRAIN: Move(Stage.DRAINING),
            _E.KILL: Move(Stage.KILLING),
        },
    ),
    **_rows(
        Stage.DRAINING,
        {
            **_ASKED,
            _E.KILLING: Move(Stage.KILLING),
            _E.UNREACHABLE: Move(Stage.UNREACHABLE),
            _E.MUTE: Move(Stage.KILLING),
            _E.OVERDUE: Move(Stage.KILLING),
            _E.KILL: Move(Stage.KILLING),
        },
    ),
    **_rows(
        Stage.KILLING,
        {
            **_ASKED,
            # Its agent is cut off: the kill waits in vain, and a task without record is killed when it shows up again.
            _E.UNREACHABLE: Move(Stage.ENDED, (Effect.DONE,)),
            _E.OVERDUE: Move(Stage.ENDED, (Effect.DONE, Effect.STRAY)),
        },
    ),
    **_rows(
        Stage.UNREACHABLE,
        {
            **_UNASKED,
            _E.ACCEPTED: Move(Stage.STARTING),
            _E.STARTING: Move(Stage.STARTING),
            _E.RUNNING: Move(Stage.RUNNING, (Effect.UP,)),
            _E.KILLING: Move(Stage.KILLING, (Effect.LOSS,)),
            _E.CUT_OFF: Move(Stage.ENDED, (Effect.LOSS,)),
            _E.DRAIN: Move(Stage.ENDED, (Effect.DONE,)),
            _E.KILL: Move(Stage.ENDED, (Effect.DONE,)),
        },
    ),
    **_rows(
        Stage.ENDED,
        {
            _E.ACCEPTED: Move(Stage.ENDED, (Effect.STRAY,)),
            _E.STARTING: Move(Stage.ENDED, (Effect.STRAY,)),
            _E.RUNNING: Move(Stage.ENDED, (Effect.STRAY,)),
            _E.KILLING: Move(Stage.ENDED, (Effect.STRAY,)),
            _E.REPORTED: Move(Stage.ENDED, (Effect.STRAY,)),
            _E.FINISHED: Move(Stage.ENDED, (Effect.CLEAR,)),
            _E.FAILED: Move(Stage.ENDED, (Effect.CLEAR,)),
            _E.KILLED: Move(Stage.ENDED, (Effect.CLEAR,)),
            _E.VANISHED: Move(Stage.ENDED, (Effect.CLEAR,)),
            # Killing it now reaches nobody; it is a stray again when its agent is back.
            _E.UNREACHABLE: Move(Stage.ENDED, (Effect.CLEAR,)),
        },
    ),
}
