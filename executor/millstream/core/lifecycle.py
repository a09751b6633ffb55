"""The life of a worker: a table.

    waiting ──launched──► starting ──loaded──► running
                             │                    │ drain                    │ kill
                             ▼                    ▼                          ▼
                          failing            draining ──────kill──────►  killing
                             │                    │ released                 │ released, overdue
                             └────────────► last word ◄──────────────────────┘
                                                  │ confirmed, deadline
                                                  ▼
                                                over

Whatever is not in the table changes nothing: a second KILL, a program that is loaded when nobody wants it any more.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Phase(Enum):
    """Where a worker is in its life."""

    WAITING = "waiting"
    """Subscribed, no task yet."""
    STARTING = "starting"
    """Loading the program."""
    RUNNING = "running"
    DRAINING = "draining"
    """Letting go of all shards because the scheduler has asked for it in an assignment."""
    KILLING = "killing"
    """The same, because of KILL, SHUTDOWN or a signal."""
    LAST_WORD = "last word"
    """The terminal update is out; the agent has not confirmed it."""
    OVER = "over"


class Happening(Enum):
    """What can happen to a worker."""

    LAUNCHED = "launched"
    UNREADABLE = "unreadable"
    """The task is not one for this worker."""
    LOADED = "loaded"
    BROKEN = "broken"
    """The program does not load, or the processing broke down."""
    DRAIN = "drain"
    KILL = "kill"
    RELEASED = "released"
    """No shard is owned any more, and none will be."""
    OVERDUE = "overdue"
    """Releasing has taken all the time it may."""
    CONFIRMED = "confirmed"
    """The agent has the terminal update."""
    DEADLINE = "deadline"
    """This process ends now, or is ended."""
    ABANDONED = "abandoned"
    """The agent refuses this executor."""


class Act(Enum):
    """What a worker does about it, in the order given."""

    SAY_STARTING = "say starting"
    SAY_RUNNING = "say running"
    SAY_KILLING = "say killing"
    SAY_FINISHED = "say finished"
    SAY_FAILED = "say failed"
    SAY_KILLED = "say killed"
    START = "start processing"
    RELEASE_ALL = "release all"
    REPORT = "report"


Next = tuple[Phase, tuple[Act, ...]]

_LEAVE: Final = (Act.SAY_KILLING, Act.RELEASE_ALL)
_FAIL: Final[Next] = (Phase.LAST_WORD, (Act.REPORT, Act.SAY_FAILED))
_KILLED: Final[Next] = (Phase.LAST_WORD, (Act.REPORT, Act.SAY_KILLED))

TABLE: Final[dict[tuple[Phase, Happening], Next]] = {
    (Phase.WAITING, Happening.LAUNCHED): (Phase.STARTING, (Act.SAY_STARTING, Act.START)),
    (Phase.WAITING, Happening.UNREADABLE): (Phase.LAST_WORD, (Act.SAY_FAILED,)),
    (Phase.WAITING, Happening.KILL): (Phase.OVER, ()),
    (Phase.STARTING, Happening.LOADED): (Phase.RUNNING, (Act.SAY_RUNNING, Act.REPORT)),
    (Phase.STARTING, Happening.BROKEN): _FAIL,
    (Phase.STARTING, Happening.DRAIN): (Phase.DRAINING, (Act.RELEASE_ALL,)),
    (Phase.STARTING, Happening.KILL): (Phase.KILLING, _LEAVE),
    (Phase.RUNNING, Happening.BROKEN): _FAIL,
    (Phase.RUNNING, Happening.DRAIN): (Phase.DRAINING, (Act.RELEASE_ALL,)),
    (Phase.RUNNING, Happening.KILL): (Phase.KILLING, _LEAVE),
    (Phase.DRAINING, Happening.RELEASED): (Phase.LAST_WORD, (Act.REPORT, Act.SAY_FINISHED)),
    (Phase.DRAINING, Happening.BROKEN): _FAIL,
    (Phase.DRAINING, Happening.KILL): (Phase.KILLING, (Act.SAY_KILLING,)),
    (Phase.KILLING, Happening.RELEASED): _KILLED,
    (Phase.KILLING, Happening.BROKEN): _KILLED,
    (Phase.KILLING, Happening.OVERDUE): _KILLED,
    (Phase.LAST_WORD, Happening.CONFIRMED): (Phase.OVER, ()),
    **{(phase, Happening.DEADLINE): (Phase.OVER, ()) for phase in Phase if phase is not Phase.OVER},
    **{(phase, Happening.ABANDONED): (Phase.OVER, ()) for phase in Phase if phase is not Phase.OVER},
}


def after(phase: Phase, happening: Happening) -> Next:
    """The phase that follows, and what to do on the way.  What is not in the table changes nothing."""
    return TABLE.get((phase, happening), (phase, ()))
