"""Where a job goes: (state, what is observed of it) → state, for every pair.

Observations are made anew each time from the records (level, not edge), so that nothing is missed when a scheduler dies
between two of them.

    DEPLOYING ──ready──▶ RUNNING ──resized──▶ RESCALING ──ready──▶ RUNNING
                            │ hurt                │ hurt
                            ▼                     ▼
                        RECOVERING ◀──────────────┘
                            └──ready──▶ RUNNING
    DEPLOYING, RUNNING, RESCALING, RECOVERING ──cancel──▶ CANCELLING ──empty──▶ CANCELLED
                                              ──finished──▶ DRAINING ──empty──▶ COMPLETED
                                              ──gave up──▶ FAILED
                                              ──pause──▶ PAUSING ──empty──▶ PAUSED
    PAUSING, PAUSED ──resume──▶ DEPLOYING
                    ──cancel──▶ CANCELLING
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from headgate.model.record import JobState


class Observed(Enum):
    """What is true of a job now, in words for its history; of several the first in this order counts."""

    EMPTY = "all its workers have ended"
    """It is leaving, and no task of it is left."""
    CANCEL = "asked to stop"
    """Its owner wants it stopped."""
    PAUSE = "asked to pause"
    """Its owner wants it to rest, and it still has tasks, or did not rest yet."""
    RESUME = "asked to go on"
    """It rests, or was about to, and its owner wants it to go on."""
    GAVE_UP = "gave up"
    """A worker failed more often in a row than the job allows."""
    FINISHED = "all is read and committed"
    """A finite stream is at its end, and all of it is committed."""
    HURT = "a worker has ended unasked"
    """A worker ended unasked or is out of reach, and no other attempt runs yet."""
    RESIZED = "workers are missing, or too many"
    """Workers are missing or too many, for another reason."""
    UNSETTLED = "shards are on their way to their owners"
    """All workers are there, but not every shard is with its owner."""
    READY = "all workers are ready"


def next_state(state: JobState, observed: Observed) -> JobState:
    """The state that follows."""
    return _TABLE[state, observed]


_S: Final = JobState
_O: Final = Observed
_ENDS: Final = {
    _O.CANCEL: _S.CANCELLING,
    _O.PAUSE: _S.PAUSING,
    _O.GAVE_UP: _S.FAILED,
    _O.FINISHED: _S.DRAINING,
}
_MOVES: Final[Mapping[JobState, Mapping[Observed, JobState]]] = {
    _S.DEPLOYING: {**_ENDS, _O.READY: _S.RUNNING},
    _S.RUNNING: {**_ENDS, _O.HURT: _S.RECOVERING, _O.RESIZED: _S.RESCALING},
    _S.RESCALING: {**_ENDS, _O.HURT: _S.RECOVERING, _O.READY: _S.RUNNING},
    _S.RECOVERING: {**_ENDS, _O.READY: _S.RUNNING},
    _S.PAUSING: {_O.CANCEL: _S.CANCELLING, _O.RESUME: _S.DEPLOYING, _O.EMPTY: _S.PAUSED},
    _S.PAUSED: {_O.CANCEL: _S.CANCELLING, _O.RESUME: _S.DEPLOYING},
    _S.DRAINING: {_O.EMPTY: _S.COMPLETED},
    _S.CANCELLING: {_O.EMPTY: _S.CANCELLED},
    _S.COMPLETED: {},
    _S.CANCELLED: {},
    _S.FAILED: {},
}
_TABLE: Final[Mapping[tuple[JobState, Observed], JobState]] = {
    (state, observed): moves.get(observed, state) for state, moves in _MOVES.items() for observed in Observed
}
