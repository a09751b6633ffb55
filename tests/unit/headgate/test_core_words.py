"""What is sent and when again: the flow of offers, questions to the master, announcements."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from paper_cluster import SETTINGS, job_spec

from headgate.core.announce import announcement, live_roles
from headgate.core.holding import flow_step
from headgate.core.ledger import Ledger
from headgate.core.measure import Gauges
from headgate.core.reconcile import questions, reconciled
from headgate.core.words import assignments
from headgate.model.ids import AgentId, Attempt, JobName, ReservationId, ShardId, TaskId
from headgate.model.operation import Hold, ReservationRecord
from headgate.model.plan import Ask, Flow
from headgate.model.record import AgentRecord, JobRecord, JobState, Records
from headgate.model.resources import Request, Resources
from headgate.model.settings import Patience
from headgate.model.shard import ShardRecord
from headgate.model.snapshot import Link, RoleFlow, Sent, Snapshot
from headgate.model.task import Stage, TaskRecord, WorkerRecord
from millstream.contract.report import Report, ShardReport, ShardState

NOW = 1000.0
PATIENCE = Patience()
WANTED = frozenset({"j.1 (1 cpus)"})


def step(wanted: frozenset[str], flow: RoleFlow) -> tuple[Flow | None, list[float]]:
    due: list[float] = []
    return flow_step("*", wanted, flow, PATIENCE.revive_again_s, PATIENCE, NOW, due), due


@pytest.mark.parametrize(
    ("wanted", "flow", "says"),
    [
        (frozenset[str](), RoleFlow(), "nothing is wanted"),
        (WANTED, RoleFlow(suppressed=True), "wanted again"),
        (WANTED, RoleFlow(), "newly wanted"),
        (WANTED | {"k.2"}, RoleFlow(wanted=WANTED, changed_at=NOW - 1), "newly wanted: k.2"),
        (WANTED, RoleFlow(wanted=WANTED, changed_at=NOW - 61), "no offer for 60 s"),
    ],
)
def test_when_the_flow_changes(wanted: frozenset[str], flow: RoleFlow, says: str) -> None:
    """Down when nothing is wanted, up when something is, again when it does not come."""
    found, _ = step(wanted, flow)
    assert found is not None
    assert says in found.reason
    assert found.wanted == wanted


@pytest.mark.parametrize(
    ("wanted", "flow", "due"),
    [
        (frozenset[str](), RoleFlow(suppressed=True), []),
        (WANTED, RoleFlow(wanted=WANTED, changed_at=NOW - 20), [NOW + 40]),
        (WANTED, RoleFlow(wanted=WANTED, changed_at=NOW - 100, offered_at=NOW - 10), [NOW + 50]),
        (WANTED, RoleFlow(suppressed=True, changed_at=NOW - 0.25), [NOW + 0.75]),
    ],
)
def test_when_it_does_not(wanted: frozenset[str], flow: RoleFlow, due: list[float]) -> None:
    """As it should be, not yet time for a repetition, or too soon after the last change."""
    assert step(wanted, flow) == (None, due)


def task(number: int, stage: Stage = Stage.RUNNING, launched_at: float = NOW - 100) -> TaskRecord:
    return TaskRecord(
        attempt=Attempt(job=JobName("j"), submission=1, worker=number, attempt=0),
        agent_id=AgentId("a"),
        hostname="a",
        resources=Resources(),
        stage=stage,
        launched_at=launched_at,
        since=launched_at,
    )


def asked(
    link: Link, *tasks: TaskRecord, sent: Sent | None = None, overdue: Sequence[TaskId] = ()
) -> tuple[list[Ask], list[float]]:
    records = Records(tasks={each.id: each for each in tasks})
    due: list[float] = []
    snapshot = Snapshot(now=NOW, settings=SETTINGS, records=records, link=link, sent=sent or Sent())
    return questions(Ledger(records), snapshot, overdue, due), due


def test_recorded_tasks_are_asked_about_until_there_is_an_answer() -> None:
    """With their agents, and a doubling wait of at most half a minute."""
    first = task(0)
    open_link = Link(connected=True, since=NOW, unanswered=(first.id,))
    found, due = asked(open_link, first)
    assert [(ask.tasks, ask.gate) for ask in found] == [(((first.id, "a"),), True)]
    for count, wait_s in ((1, 1.0), (3, 4.0), (9, 30.0)):
        link = Link(connected=True, since=NOW, unanswered=(first.id,), asked=count, asked_at=NOW)
        found, due = asked(link, first)
        assert found == []
        assert due == [NOW + wait_s, NOW + 60.0]


def test_silent_launches_are_asked_about() -> None:
    """After ten seconds, and every ten seconds from then on."""
    link = Link(connected=True, since=NOW - 500, reconciled_all_at=NOW)
    old, young = task(0, Stage.LAUNCHING, NOW - 10), task(1, Stage.LAUNCHING, NOW - 3)
    found, due = asked(link, old, young)
    assert [ask.tasks for ask in found] == [((old.id, "a"),)]
    assert NOW + 7 in due
    found, due = asked(link, old, sent=Sent(asked={old.id: NOW - 4}))
    assert found == []
    assert NOW + 6 in due


def test_those_overdue_are_asked_about() -> None:
    """Once in ten seconds, and not twice at a time."""
    link = Link(connected=True, since=NOW - 500, reconciled_all_at=NOW)
    first, second = task(0), task(1, Stage.LAUNCHING, NOW - 30)
    overdue = [first.id, second.id]
    found, due = asked(link, first, second, overdue=overdue)
    assert [ask.tasks for ask in found] == [((second.id, "a"),), ((first.id, "a"),)]
    found, due = asked(link, first, second, sent=Sent(asked={first.id: NOW - 4, second.id: NOW - 5}), overdue=overdue)
    assert found == []
    assert NOW + 6 in due


def test_everything_is_asked_about_once_an_hour() -> None:
    """For the first time when the gate opens."""
    assert [ask.tasks for ask in asked(Link(connected=True, since=NOW))[0]] == [()]
    found, due = asked(Link(connected=True, since=NOW, reconciled_all_at=NOW - 3599))
    assert (found, due) == ([], [NOW + 1])


@pytest.mark.parametrize(
    ("link", "is_open"),
    [
        (Link(), False),
        (Link(connected=True, since=NOW), True),
        (Link(connected=True, since=NOW - 59, unanswered=(task(0).id,), asked=5), False),
        (Link(connected=True, since=NOW - 60, unanswered=(task(0).id,), asked=5), True),
        (Link(connected=True, since=NOW - 600, unanswered=(task(0).id,), asked=0), False),
    ],
)
def test_the_gate(link: Link, is_open: bool) -> None:
    """Open when all is answered, or has been asked and waited for long enough."""
    assert reconciled(link, PATIENCE.reconcile_gate_s, NOW) == is_open


def test_roles_and_gpus_are_announced_while_jobs_need_them() -> None:
    """Those of jobs that are over no more."""

    def job(name: str, role: str, gpus_m: int, state: JobState = JobState.RUNNING) -> JobRecord:
        spec = job_spec(name, role=role, worker=Request(gpus_m=gpus_m))
        return JobRecord(spec=spec, submission=1, submitted_at=0.0, state=state)

    records = Records(
        jobs={
            JobName("a"): job("a", "web", 1000),
            JobName("b"): job("b", "old", 0, JobState.COMPLETED),
        }
    )
    snapshot = Snapshot(
        now=NOW, settings=SETTINGS, records=records, flows={"*": RoleFlow(suppressed=True), "web": RoleFlow()}
    )
    ledger = Ledger(records)
    assert live_roles(ledger, SETTINGS.framework) == ("*", "web")
    (announce,) = announcement(ledger, {}, ["web"], snapshot, [], gpus=False)
    assert announce.framework.roles == ("*", "web")
    assert "GPU_RESOURCES" in announce.framework.capabilities
    assert announce.suppressed_roles == ("*",)
    assert announcement(Ledger(Records()), {}, [], Snapshot(now=NOW, settings=SETTINGS), [], gpus=False) == ()


@pytest.mark.parametrize(
    ("state", "hold", "wanted_since", "absent", "asked"),
    [
        (JobState.RUNNING, None, None, False, True),
        (JobState.PAUSED, None, None, False, False),
        (JobState.CANCELLING, None, None, False, False),
        (JobState.PAUSED, Hold.HELD, None, False, False),
        (JobState.CANCELLED, Hold.FREEING, None, False, True),
        (JobState.CANCELLED, Hold.FREEING, None, True, False),
        (JobState.PAUSED, Hold.HELD, NOW, False, True),
    ],
)
def test_agents_with_gpus_are_asked_for_while_there_is_something_to_do_there(
    state: JobState, hold: Hold | None, wanted_since: float | None, absent: bool, asked: bool
) -> None:
    """Hidden, an agent would keep for ever what is reserved on it; a job that rests asks for nothing."""
    name, agent = JobName("a"), AgentId("gpu")
    spec = job_spec(name, worker=Request(gpus_m=1000))
    kept = ReservationRecord(
        id=ReservationId("a.1.0.0"),
        job=name,
        submission=1,
        worker=0,
        role="*",
        agent_id=agent,
        hostname="gpu",
        resources=Resources(gpus_m=1000),
        hold=hold or Hold.HELD,
    )
    records = Records(
        jobs={name: JobRecord(spec=spec, submission=1, submitted_at=0.0, state=state)},
        workers={(name, 0): WorkerRecord(job=name, worker=0, wanted_since=wanted_since)},
        agents={agent: AgentRecord(agent_id=agent, gpus_seen_at=NOW)},
        reservations={kept.id: kept} if hold else {},
    )
    snapshot = Snapshot(now=NOW, settings=SETTINGS, records=records, absent=frozenset({agent} if absent else ()))
    found = announcement(Ledger(records), {}, [], snapshot, [], gpus=False)
    assert any("GPU_RESOURCES" in each.framework.capabilities for each in found) is asked


def test_an_assignment_says_how_far_earlier_owners_have_read() -> None:
    """The furthest of all reports, whoever made them; nothing for a shard that nobody has reported."""
    gauges = Gauges()
    for sequence, position in enumerate((70, 90, 40), 1):
        owned = ShardReport(shard="s0", epoch=sequence, state=ShardState.RUNNING, position=position)
        report = Report(
            job="j", worker=0, task_id="t", sequence=sequence, assignment_version=1, revision="", owned=(owned,)
        )
        gauges.hear(report, TaskId("t"), NOW, SETTINGS.measuring)
    job = JobName("j")
    owner = replace(task(0), assignment_version=3)
    shards = tuple(ShardRecord(id=ShardId(name), epoch=5, owner=owner.id) for name in ("s0", "s1"))
    records = Records(
        jobs={job: JobRecord(spec=job_spec(), submission=1, submitted_at=0.0)},
        tasks={owner.id: owner},
        shards={job: shards},
    )
    snapshot = Snapshot(now=NOW, settings=SETTINGS, records=records, read={job: gauges.read})
    (found,) = assignments(Ledger(records), snapshot, [])
    assert [(each.shard, each.read_before) for each in found.assignment.shards] == [("s0", 90), ("s1", None)]
