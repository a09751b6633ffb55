"""The job machine: every state against every observation."""

import pytest

from headgate.core import job_machine
from headgate.core.job_machine import Observed, next_state
from headgate.model.record import JobState

S, Seen = JobState, Observed
ENDS = {
    Seen.CANCEL: S.CANCELLING,
    Seen.PAUSE: S.PAUSING,
    Seen.GAVE_UP: S.FAILED,
    Seen.FINISHED: S.DRAINING,
}
EXPECTED = {
    S.DEPLOYING: {**ENDS, Seen.READY: S.RUNNING},
    S.RUNNING: {**ENDS, Seen.HURT: S.RECOVERING, Seen.RESIZED: S.RESCALING},
    S.RESCALING: {**ENDS, Seen.HURT: S.RECOVERING, Seen.READY: S.RUNNING},
    S.RECOVERING: {**ENDS, Seen.READY: S.RUNNING},
    S.PAUSING: {Seen.CANCEL: S.CANCELLING, Seen.RESUME: S.DEPLOYING, Seen.EMPTY: S.PAUSED},
    S.PAUSED: {Seen.CANCEL: S.CANCELLING, Seen.RESUME: S.DEPLOYING},
    S.DRAINING: {Seen.EMPTY: S.COMPLETED},
    S.CANCELLING: {Seen.EMPTY: S.CANCELLED},
    S.COMPLETED: {},
    S.CANCELLED: {},
    S.FAILED: {},
}


@pytest.mark.parametrize("observed", Seen, ids=lambda observed: observed.name)
@pytest.mark.parametrize("state", S, ids=lambda state: state.name)
def test_every_state_against_every_observation(state: JobState, observed: Observed) -> None:
    """The listed moves and no others."""
    assert next_state(state, observed) is EXPECTED[state].get(observed, state)


def test_what_is_over_stays_over() -> None:
    """Nothing brings a job back but another submission."""
    for state in S:
        assert state.over == all(next_state(state, observed) is state for observed in Seen)


def test_the_diagram_names_every_state_and_move() -> None:
    """The drawing in the docstring is of this table."""
    drawing = job_machine.__doc__ or ""
    for state, moves in EXPECTED.items():
        assert state.name in drawing
        for observed in moves:
            assert observed.name.lower().replace("_", " ") in drawing
