"""Every task state and every reason of Mesos, in every stage: what becomes of the task, its slot and its agent.

Source: `TaskState` and `TaskStatus.Reason` of Mesos's `v1/mesos.proto`, and where its master and agent set them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from paper_cluster import job_spec

from headgate.core.attempts import happen
from headgate.core.backoff import LOSS_MAX_S
from headgate.core.causes import Blame, cause_of
from headgate.core.ledger import Ledger
from headgate.core.task_machine import Effect, TaskEvent, move
from headgate.model.ids import AgentId, Attempt, JobName, TaskId
from headgate.model.job import Restart
from headgate.model.record import JobRecord, JobState, Records
from headgate.model.resources import Resources
from headgate.model.status import TaskState, TaskStatus
from headgate.model.task import Stage, TaskRecord

NOW = 5000.0
JOB = JobName("delays")
RESTART = Restart(backoff_s=1.0, backoff_max_s=300.0)
T, S, B = TaskState, Stage, Blame

REASONS: dict[TaskState, dict[str | None, Blame]] = {
    T.STAGING: {None: B.NOBODY, "RECONCILIATION": B.NOBODY},
    T.STARTING: {None: B.NOBODY, "RECONCILIATION": B.NOBODY, "AGENT_REREGISTERED": B.NOBODY},
    T.RUNNING: {
        None: B.NOBODY,
        "RECONCILIATION": B.NOBODY,
        "AGENT_REREGISTERED": B.NOBODY,
        "TASK_CHECK_STATUS_UPDATED": B.NOBODY,
        "TASK_HEALTH_CHECK_STATUS_UPDATED": B.NOBODY,
    },
    T.KILLING: {None: B.NOBODY, "AGENT_DRAINING": B.NOBODY, "RECONCILIATION": B.NOBODY},
    T.FINISHED: {None: B.WORKER, "RECONCILIATION": B.WORKER},
    T.FAILED: {
        None: B.BOTH,
        "COMMAND_EXECUTOR_FAILED": B.BOTH,
        "CONTAINER_LAUNCH_FAILED": B.BOTH,
        "CONTAINER_LIMITATION": B.WORKER,
        "CONTAINER_LIMITATION_DISK": B.WORKER,
        "CONTAINER_LIMITATION_MEMORY": B.WORKER,
        "MAX_COMPLETION_TIME_REACHED": B.WORKER,
        "EXECUTOR_REGISTRATION_TIMEOUT": B.BOTH,
        "EXECUTOR_TERMINATED": B.BOTH,
        "IO_SWITCHBOARD_EXITED": B.BOTH,
        "RECONCILIATION": B.BOTH,
        "A_REASON_OF_TOMORROW": B.BOTH,
    },
    T.KILLED: {
        None: B.NOBODY,
        "AGENT_DRAINING": B.NOBODY,
        "FRAMEWORK_REMOVED": B.NOBODY,
        "TASK_KILLED_DURING_LAUNCH": B.NOBODY,
        "RECONCILIATION": B.NOBODY,
    },
    T.ERROR: {
        None: B.REQUEST,
        "TASK_INVALID": B.REQUEST,
        "TASK_GROUP_INVALID": B.REQUEST,
        "TASK_UNAUTHORIZED": B.REQUEST,
        "TASK_GROUP_UNAUTHORIZED": B.REQUEST,
    },
    T.LOST: {
        None: B.NOBODY,
        "AGENT_DISCONNECTED": B.NOBODY,
        "AGENT_REMOVED": B.NOBODY,
        "AGENT_RESTARTED": B.NOBODY,
        "AGENT_UNKNOWN": B.NOBODY,
        "AGENT_DRAINING": B.AGENT,
        "CONTAINER_PREEMPTED": B.NOBODY,
        "CONTAINER_UPDATE_FAILED": B.AGENT,
        "EXECUTOR_REREGISTRATION_TIMEOUT": B.NOBODY,
        "EXECUTOR_TERMINATED": B.AGENT,
        "GC_ERROR": B.AGENT,
        "INVALID_FRAMEWORKID": B.NOBODY,
        "INVALID_OFFERS": B.NOBODY,
        "MASTER_DISCONNECTED": B.NOBODY,
        "RECONCILIATION": B.NOBODY,
        "RESOURCES_UNKNOWN": B.AGENT,
        "TASK_UNKNOWN": B.NOBODY,
    },
    T.DROPPED: {
        None: B.NOBODY,
        "AGENT_DISCONNECTED": B.NOBODY,
        "AGENT_REMOVED": B.NOBODY,
        "AGENT_RESTARTED": B.NOBODY,
        "AGENT_DRAINING": B.AGENT,
        "EXECUTOR_TERMINATED": B.AGENT,
        "GC_ERROR": B.AGENT,
        "INVALID_OFFERS": B.NOBODY,
        "RECONCILIATION": B.NOBODY,
        "RESOURCES_UNKNOWN": B.AGENT,
        "TASK_INVALID": B.AGENT,
        "TASK_GROUP_INVALID": B.AGENT,
    },
    T.GONE: {
        None: B.NOBODY,
        "CONTAINER_PREEMPTED": B.NOBODY,
        "CONTAINER_UPDATE_FAILED": B.AGENT,
        "EXECUTOR_REREGISTRATION_TIMEOUT": B.NOBODY,
        "RECONCILIATION": B.NOBODY,
    },
    T.GONE_BY_OPERATOR: {
        None: B.NOBODY,
        "AGENT_DRAINING": B.NOBODY,
        "AGENT_REMOVED_BY_OPERATOR": B.NOBODY,
        "RECONCILIATION": B.NOBODY,
    },
    T.UNREACHABLE: {None: B.NOBODY, "AGENT_REMOVED": B.NOBODY, "RECONCILIATION": B.NOBODY},
    T.UNKNOWN: {None: B.NOBODY, "RECONCILIATION": B.NOBODY},
}
"""Whom each state speaks against, by its reason."""

ENDS_OF_ITS_OWN = {T.FINISHED, T.FAILED, T.ERROR}
VANISHES = {T.LOST, T.DROPPED, T.GONE, T.GONE_BY_OPERATOR, T.UNKNOWN}
YOUNG = {
    T.STAGING: "stays",
    T.STARTING: "stays",
    T.RUNNING: "runs",
    T.KILLING: "loss, then killing",
    T.UNREACHABLE: "unreachable",
    T.KILLED: "loss",
    **dict.fromkeys(ENDS_OF_ITS_OWN, "failure"),
    **dict.fromkeys(VANISHES, "loss"),
}
ASKED = {
    T.STAGING: "stays",
    T.STARTING: "stays",
    T.RUNNING: "stays",
    **dict.fromkeys({*ENDS_OF_ITS_OWN, *VANISHES, T.KILLED}, "done"),
}
FATES: dict[Stage, dict[TaskState, str]] = {
    S.LAUNCHING: {**YOUNG, T.STAGING: "starts", T.STARTING: "starts"},
    S.STARTING: YOUNG,
    S.RUNNING: {**YOUNG, T.RUNNING: "stays"},
    S.DRAINING: {**ASKED, T.KILLING: "killing", T.UNREACHABLE: "unreachable"},
    S.KILLING: {**ASKED, T.KILLING: "stays", T.UNREACHABLE: "done"},
    S.UNREACHABLE: {**YOUNG, T.STAGING: "starts", T.STARTING: "starts", T.UNREACHABLE: "stays"},
}
"""What becomes of a recorded task, by its stage and the state that Mesos tells."""


@dataclass(frozen=True)
class Fate:
    stage: Stage | None
    effects: frozenset[Effect] = frozenset()


STAGES = {
    "stays": Fate(None),
    "starts": Fate(S.STARTING),
    "runs": Fate(S.RUNNING, frozenset({Effect.UP})),
    "unreachable": Fate(S.UNREACHABLE),
    "killing": Fate(S.KILLING),
    "loss, then killing": Fate(S.KILLING, frozenset({Effect.LOSS})),
    "loss": Fate(S.ENDED, frozenset({Effect.LOSS})),
    "failure": Fate(S.ENDED, frozenset({Effect.FAILURE})),
    "done": Fate(S.ENDED, frozenset({Effect.DONE})),
}
CASES = [
    (stage, state, reason, blame)
    for stage in FATES
    for state, reasons in REASONS.items()
    for reason, blame in reasons.items()
]


def status(state: TaskState, reason: str | None = None, *, uuid: str | None = None) -> TaskStatus:
    return TaskStatus(
        task_id=TaskId("delays.1.0.4"), state=state, agent_id=AgentId("a0"), source="AGENT", reason=reason, uuid=uuid
    )


def task_in(stage: Stage) -> TaskRecord:
    ran = stage in (S.RUNNING, S.DRAINING)
    return TaskRecord(
        attempt=Attempt(job=JOB, submission=1, worker=0, attempt=4),
        agent_id=AgentId("a0"),
        hostname="a0.example",
        resources=Resources(cpus_m=1000),
        stage=stage,
        launched_at=NOW - 100,
        since=NOW - 50,
        running_at=NOW - 50 if ran else None,
    )


def ledger_with(task: TaskRecord) -> Ledger:
    job = JobRecord(spec=job_spec(restart=RESTART), submission=1, submitted_at=0.0, state=JobState.RUNNING)
    return Ledger(Records(jobs={JOB: job}, tasks={task.id: task}))


@pytest.mark.parametrize(("stage", "state", "reason", "blame"), CASES)
def test_every_state_and_reason_in_every_stage(
    stage: Stage, state: TaskState, reason: str | None, blame: Blame
) -> None:
    """The stage that follows, whether the slot counts it as a failure and waits, and whether the agent is counted."""
    task = task_in(stage)
    ledger = ledger_with(task)
    fate = STAGES[FATES[stage][state]]
    cause = cause_of(status(state, reason))
    assert cause is not None
    assert cause.blame is blame
    happen(ledger, task, cause.event, NOW, "said", cause.blame)
    recorded = ledger.tasks.get(task.id)
    expected = fate.stage or stage
    assert (recorded.stage if recorded else S.ENDED) is expected
    slot = ledger.worker(JOB, 0)
    failed, lost = Effect.FAILURE in fate.effects, Effect.LOSS in fate.effects
    assert slot.failures == int(failed)
    assert slot.broken == (failed or lost)
    assert ledger.jobs[JOB].restarts == int(failed or lost)
    wait_s = slot.backoff_until - NOW
    if failed and blame is B.REQUEST:
        assert wait_s == RESTART.backoff_max_s
    elif failed:
        assert 0.8 <= wait_s <= 1.2
    else:
        assert wait_s <= 0
    blamed = bool(ledger.agents.get(AgentId("a0")))
    assert blamed == (blame in (B.AGENT, B.BOTH) and (failed or lost))


def test_every_state_is_in_the_table() -> None:
    """No state of the v1 API is left without a meaning, and only terminal ones, and UNKNOWN, end a running task."""
    assert set(REASONS) == set(TaskState)
    for state in TaskState:
        cause = cause_of(status(state))
        assert cause is not None
        ends = move(S.RUNNING, cause.event).stage is S.ENDED
        assert ends == (state.terminal or state is TaskState.UNKNOWN), state


def test_a_state_of_a_newer_mesos_says_nothing() -> None:
    """It is decoded as UNKNOWN; with a uuid it is an agent's, which knows the task well: the record stays as it is."""
    assert cause_of(status(T.UNKNOWN, uuid="u1")) is None
    cause = cause_of(status(T.UNKNOWN))
    assert cause is not None
    assert cause.event is TaskEvent.VANISHED


def test_what_is_lost_again_and_again_before_it_runs_waits_longer_each_time() -> None:
    """An agent that drops all it is given, and is offered again at once, is not asked once a second for ever.

    The first loss is made good at once; half a minute is the longest; nothing of it counts as a failure.
    """
    ledger = ledger_with(task_in(S.LAUNCHING))
    waits = []
    for attempt in range(4, 14):
        task = replace(task_in(S.LAUNCHING), attempt=Attempt(job=JOB, submission=1, worker=0, attempt=attempt))
        ledger.put_task(task)
        happen(ledger, task, TaskEvent.VANISHED, NOW, "dropped", Blame.AGENT)
        waits.append(max(0.0, ledger.worker(JOB, 0).backoff_until - NOW))
    assert waits[0] == 0.0
    assert waits == sorted(waits)
    assert waits[-1] == LOSS_MAX_S
    assert ledger.worker(JOB, 0).failures == 0
    task = replace(task_in(S.STARTING), attempt=Attempt(job=JOB, submission=1, worker=0, attempt=20))
    ledger.put_task(task)
    happen(ledger, task, TaskEvent.RUNNING, NOW, "runs")
    assert ledger.worker(JOB, 0).losses == 0
