"""The task machine: every stage against every event."""

import pytest

from headgate.core import task_machine
from headgate.core.task_machine import Effect, Move, TaskEvent, move
from headgate.model.task import Stage

S, E, F = Stage, TaskEvent, Effect
ENDS = (E.FINISHED, E.FAILED, E.KILLED, E.VANISHED)

UNASKED = {
    E.FINISHED: (S.ENDED, F.FAILURE, F.CLEAR),
    E.FAILED: (S.ENDED, F.FAILURE, F.CLEAR),
    E.KILLED: (S.ENDED, F.LOSS, F.CLEAR),
    E.VANISHED: (S.ENDED, F.LOSS, F.CLEAR),
}
ASKED = dict.fromkeys(ENDS, (S.ENDED, F.DONE, F.CLEAR))
YOUNG = {
    **UNASKED,
    E.RUNNING: (S.RUNNING, F.UP),
    E.KILLING: (S.KILLING, F.LOSS),
    E.UNREACHABLE: (S.UNREACHABLE,),
    E.STUCK: (S.KILLING, F.FAILURE),
    E.DRAIN: (S.KILLING,),
    E.KILL: (S.KILLING,),
}
EXPECTED: dict[Stage, dict[TaskEvent, tuple[object, ...]]] = {
    S.LAUNCHING: {**YOUNG, E.ACCEPTED: (S.STARTING,), E.STARTING: (S.STARTING,)},
    S.STARTING: YOUNG,
    S.RUNNING: {
        **UNASKED,
        E.KILLING: (S.KILLING, F.LOSS),
        E.UNREACHABLE: (S.UNREACHABLE,),
        E.MUTE: (S.KILLING, F.FAILURE),
        E.STUCK: (S.KILLING, F.FAILURE),
        E.DRAIN: (S.DRAINING,),
        E.KILL: (S.KILLING,),
    },
    S.DRAINING: {
        **ASKED,
        E.KILLING: (S.KILLING,),
        E.UNREACHABLE: (S.UNREACHABLE,),
        E.MUTE: (S.KILLING,),
        E.OVERDUE: (S.KILLING,),
        E.KILL: (S.KILLING,),
    },
    S.KILLING: {**ASKED, E.UNREACHABLE: (S.ENDED, F.DONE), E.OVERDUE: (S.ENDED, F.DONE, F.STRAY)},
    S.UNREACHABLE: {
        **UNASKED,
        E.ACCEPTED: (S.STARTING,),
        E.STARTING: (S.STARTING,),
        E.RUNNING: (S.RUNNING, F.UP),
        E.KILLING: (S.KILLING, F.LOSS),
        E.CUT_OFF: (S.ENDED, F.LOSS),
        E.DRAIN: (S.ENDED, F.DONE),
        E.KILL: (S.ENDED, F.DONE),
    },
    S.ENDED: {
        **dict.fromkeys((E.ACCEPTED, E.STARTING, E.RUNNING, E.KILLING, E.REPORTED), (S.ENDED, F.STRAY)),
        **dict.fromkeys((*ENDS, E.UNREACHABLE), (S.ENDED, F.CLEAR)),
    },
}


@pytest.mark.parametrize("event", E, ids=lambda event: event.name)
@pytest.mark.parametrize("stage", S, ids=lambda stage: stage.name)
def test_every_stage_against_every_event(stage: Stage, event: TaskEvent) -> None:
    """The listed moves and no others; what is not listed leaves the stage alone, without effects."""
    to, *effects = EXPECTED[stage].get(event, (stage,))
    assert move(stage, event) == Move(to, tuple(effects))  # type: ignore[arg-type]


def test_a_failure_is_counted_once() -> None:
    """A task killed for cause was counted when it was killed: its end counts nothing more."""
    for stage, event in ((S.RUNNING, E.MUTE), (S.STARTING, E.STUCK)):
        assert F.FAILURE in move(stage, event).effects
    for event in ENDS:
        assert F.FAILURE not in move(S.KILLING, event).effects


def test_the_diagram_names_every_stage_and_every_move_into_another() -> None:
    """The drawing in the docstring is of this table."""
    drawing = task_machine.__doc__ or ""
    for stage in S:
        assert stage.name in drawing
    changing = {event for stage in S for event in E if move(stage, event).stage is not stage}
    assert [event.value for event in changing if event.value not in drawing] == []
