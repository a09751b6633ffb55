"""The parts of the simulated world keep their word: time, processes, input, shard logs, weather, and every rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from headgate.errors import StaleLeader, StoreUnavailable
from headgate.model.call import Accept, Acknowledge, Decline, Kill, Launch, Reconcile, SendMessage
from headgate.model.event import Message, Offers, Rescinded, Subscribed, Update
from headgate.model.ids import AgentId, Attempt, ExecutorId, FrameworkId, JobName, OfferId, ShardId, TaskId
from headgate.model.job import JobSpec, Operator, Placement, Program
from headgate.model.offer import Offer
from headgate.model.record import FrameworkRecord, JobRecord
from headgate.model.resources import Resources
from headgate.model.shard import ShardRecord
from headgate.model.status import TaskState, TaskStatus
from headgate.model.stored import Storable, encoded
from headgate.model.task import Stage, TaskRecord, WorkerRecord
from headgate.testing.faults import Fault, Weather, draw
from headgate.testing.launch_rules import (
    BackoffKept,
    IntentSaved,
    OnePerSlot,
    Reconciled,
    SavedBeforeAcknowledged,
    WithinOffers,
)
from headgate.testing.offer_rules import NoMoreThanWished, NothingHoarded
from headgate.testing.process import VirtualProcess
from headgate.testing.randomness import Randomness
from headgate.testing.rules import (
    Ended,
    Happening,
    Heard,
    Hindered,
    Leads,
    Rule,
    Rules,
    Saved,
    Sent,
    Stopped,
    Terms,
    Ticks,
    Violation,
    Written,
)
from headgate.testing.seasons import Storm, draw_storms
from headgate.testing.shard_log import Answer, Appended, Commit, Entry, ShardLogs, ShutOut, Silent
from headgate.testing.shard_rules import OnceOnly, OneFramework, OneOwner
from headgate.testing.source import Source, total
from headgate.testing.stored_records import StoredRecords
from headgate.testing.target_rules import RightOneKilled, SilenceHeard, WhereItMay
from headgate.testing.timeline import BEGIN, Timeline
from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.wire import encode


def run(timeline: Timeline) -> None:
    """Until nothing is due."""
    while timeline.next_at() is not None:
        timeline.step()


def test_things_happen_by_instant_and_then_in_the_order_asked_for() -> None:
    timeline, seen = Timeline(), []
    timeline.after(2.0, lambda: seen.append("c"))
    timeline.after(1.0, lambda: seen.append("a"))
    timeline.after(1.0, lambda: seen.append("b"))
    timeline.at(BEGIN - 5.0, lambda: seen.append("late"))
    run(timeline)
    assert seen == ["late", "a", "b", "c"]
    assert timeline.now() == BEGIN + 2.0


def test_a_process_that_stands_still_catches_up_in_order_and_a_dead_one_does_nothing() -> None:
    timeline, seen = Timeline(), []
    process = VirtualProcess(timeline)
    process.after(1.0, lambda: seen.append(("a", timeline.now() - BEGIN)))
    process.after(3.0, lambda: seen.append(("b", timeline.now() - BEGIN)))
    process.after(6.0, lambda: seen.append(("c", timeline.now() - BEGIN)))
    process.stall(5.0)
    timeline.after(5.5, process.end)
    run(timeline)
    assert seen == [("a", 5.0), ("b", 5.0)]


def test_a_source_grows_at_its_rate_and_in_bursts_until_it_is_closed() -> None:
    timeline = Timeline()
    source = Source(timeline, finite=True)
    source.add("s0", records=10, rate_per_s=2.0)
    timeline.after(5.0, lambda: source.burst("s0", 100))
    timeline.after(6.0, source.close)
    timeline.after(60.0, lambda: source.burst("s0", 1))
    run(timeline)
    assert source.complete
    assert source.end("s0") == 10 + 12 + 100
    assert total(2, 5) == 3 + 4 + 5


def test_weights_depend_on_the_seed_alone_and_calm_ends_everything() -> None:
    weights = draw(Randomness(7).child("weather"))
    assert weights == draw(Randomness(7).child("weather"))
    assert weights != draw(Randomness(8).child("weather"))
    weather = Weather({Fault.CALL_LOST: 1.0, Fault.BURST: 60.0}, Randomness(1))
    assert weather.happens(Fault.CALL_LOST)
    assert not weather.happens(Fault.ANSWER_LOST)
    assert weather.next_in_s(Fault.BURST) is not None
    weather.calm()
    assert not weather.happens(Fault.CALL_LOST)
    assert weather.next_in_s(Fault.BURST) is None


# ---- the shard log


def log_of(weights: dict[Fault, float]) -> tuple[Timeline, ShardLogs]:
    timeline = Timeline()
    return timeline, ShardLogs(timeline, Weather(weights, Randomness(3)), lambda *_: None)


def asked(timeline: Timeline, ask: Callable[[Callable[[Answer], None]], None]) -> Answer:
    """The answer to one question."""
    answers: list[Answer] = []
    ask(answers.append)
    run(timeline)
    (answer,) = answers
    return answer


def test_a_claim_is_refused_below_the_newest_epoch_and_to_another_owner_of_it() -> None:
    timeline, logs = log_of({})

    def claim(epoch: int, owner: str) -> Answer:
        return asked(timeline, lambda answer: logs.claim("j", "s", Entry(epoch=epoch, owner=owner), answer))

    assert claim(2, "a") == Appended(number=1, newest=None)
    assert isinstance(claim(1, "b"), ShutOut)
    assert isinstance(claim(2, "b"), ShutOut)
    assert claim(2, "a") == Appended(number=2, newest=None)
    assert claim(3, "b") == Appended(number=3, newest=None)
    assert len(logs.entries("j", "s")) == 3


def test_a_commit_takes_its_number_or_is_shut_out() -> None:
    timeline, logs = log_of({})
    commit = Commit(begin=0, end=2, added=3, total=3)
    entry = Entry(epoch=1, owner="a", commit=commit)
    assert asked(timeline, lambda answer: logs.commit("j", "s", 1, entry, answer)) == Appended(number=1, newest=commit)
    assert isinstance(asked(timeline, lambda answer: logs.commit("j", "s", 1, entry, answer)), ShutOut)
    assert logs.newest("j", "s") == commit


def test_a_failing_log_is_silent_whether_the_entry_landed_or_not() -> None:
    timeline, logs = log_of({Fault.LOG_FAILS: 1.0})
    for number in range(20):
        answer = asked(timeline, lambda hear: logs.claim("j", f"s{number}", Entry(epoch=1, owner="a"), hear))  # noqa: B023
        assert isinstance(answer, Silent)
    landed = [len(logs.entries("j", f"s{number}")) for number in range(20)]
    assert 0 < sum(landed) < 20


# ---- the rules

JOB, AGENT, OFFER, F = JobName("j"), AgentId("a-S0"), OfferId("o-O0"), FrameworkId("f")
ATTEMPT = Attempt(job=JOB, submission=1, worker=0, attempt=0)
TASK = ATTEMPT.task_id
ONE = Resources(cpus_m=1000)


def saved(*records: tuple[str, Storable | None], confirmed: bool = True, term: int = 1) -> Saved:
    """A write of these records by key."""
    changes = {key: None if record is None else encoded(key, record) for key, record in records}
    return Saved(changes, term, confirmed)


def job(workers: int = 1, placement: tuple[Placement, ...] = ()) -> tuple[str, JobRecord]:
    spec = JobSpec(name=JOB, program=Program(file="p.py"), placement=placement)
    return "jobs/j", JobRecord(spec=spec, submission=1, submitted_at=0.0, workers=workers)


def slot(failures: int = 0, attempts: int = 1, backoff_until: float = 0.0) -> tuple[str, WorkerRecord]:
    record = WorkerRecord(job=JOB, worker=0, attempts=attempts, failures=failures, backoff_until=backoff_until)
    return "workers/j/0", record


def task(stage: Stage = Stage.LAUNCHING, attempt: Attempt = ATTEMPT) -> tuple[str, TaskRecord]:
    record = TaskRecord(
        attempt=attempt, agent_id=AGENT, hostname="h", resources=ONE, stage=stage, launched_at=BEGIN, since=BEGIN
    )
    return f"tasks/{record.id}", record


def shards(epoch: int, owner: str | None) -> tuple[str, tuple[ShardRecord, ...]]:
    return "shards/j/0", (ShardRecord(id=ShardId("s"), epoch=epoch, owner=None if owner is None else TaskId(owner)),)


def launch(resources: Resources = ONE, agent: AgentId = AGENT) -> Sent:
    work = Launch(task_id=TASK, agent_id=agent, name="n", resources=resources, argv=("x",), data=b"")
    return Sent("one", Accept(offer_ids=(OFFER,), launches=(work,)))


def assign(epoch: int, owner: str, version: int = 1) -> Sent:
    told = Assignment(job=JOB, task_id=owner, version=version, shards=(ShardAssignment(shard="s", epoch=epoch),))
    return Sent("one", SendMessage(agent_id=AGENT, executor_id=ExecutorId(owner), data=encode(told)))


def update(state: TaskState, uuid: str | None = "u") -> Heard:
    return Heard("one", Update(status=TaskStatus(task_id=TASK, state=state, agent_id=AGENT, uuid=uuid)))


def write(epoch: int, owner: str, commit: Commit | None = None) -> Written:
    return Written(JOB, "s", Entry(epoch=epoch, owner=owner, commit=commit))


OFFERED = Heard("one", Offers(offers=(Offer(id=OFFER, agent_id=AGENT, hostname="h", resources=ONE, received_at=0.0),)))
SUBSCRIBED = Heard("one", Subscribed(framework_id=F, master="m"))
ACKNOWLEDGED = Sent("one", Acknowledge(agent_id=AGENT, task_id=TASK, uuid="u"))
LEADS = Leads("one", None)
KILL = Sent("one", Kill(task_id=TASK, agent_id=AGENT))
REPORTED = Heard("one", Message(agent_id=AGENT, executor_id=ExecutorId(TASK), data=b""))
TICK = Ticks("one", BEGIN)
SILENT = ("tasks/" + TASK, replace(task(Stage.KILLING)[1], why="no report for 30 s"))
BESIDE = Attempt(job=JOB, submission=1, worker=1, attempt=0)
SECOND = Attempt(job=JOB, submission=1, worker=0, attempt=1)

ELSEWHERE = Placement(attribute="rack", operator=Operator.UNLIKE, value="r1")
IN_R1 = Offer(id=OFFER, agent_id=AGENT, hostname="h", resources=ONE, received_at=0.0, attributes={"rack": "r1"})
PLACED = [saved(job(placement=(ELSEWHERE,)), task()), Heard("one", Offers(offers=(IN_R1,)))]

STORIES: list[tuple[str, type[Rule], list[Happening], bool]] = [
    ("a launch within its offer", WithinOffers, [OFFERED, launch()], True),
    ("more than was offered", WithinOffers, [OFFERED, launch(Resources(cpus_m=1001))], False),
    ("an offer used twice", WithinOffers, [OFFERED, launch(), launch()], False),
    ("a rescinded offer", WithinOffers, [OFFERED, Heard("one", Rescinded(offer_id=OFFER)), launch()], False),
    ("an offer of before the subscription", WithinOffers, [OFFERED, SUBSCRIBED, launch()], False),
    ("another agent's offer", WithinOffers, [OFFERED, launch(agent=AgentId("a-S1"))], False),
    ("a task the master finds fault with", WithinOffers, [update(TaskState.ERROR)], False),
    ("a recorded launch", IntentSaved, [saved(job(), slot(), task()), launch()], True),
    ("a launch without record", IntentSaved, [saved(job(), slot()), launch()], False),
    ("a launch twice", IntentSaved, [saved(job(), slot(), task()), launch(), launch()], False),
    ("a launch nobody wants", IntentSaved, [saved(job(workers=0), slot(), task()), launch()], False),
    ("two tasks in a slot", OnePerSlot, [saved(slot(attempts=2), task(), task(attempt=SECOND))], False),
    ("an attempt that is not used up", OnePerSlot, [saved(slot(attempts=0), task())], False),
    ("one task, one slot", OnePerSlot, [saved(slot(), task())], True),
    ("launched after word of all", Reconciled, [saved(task(attempt=SECOND)), SUBSCRIBED, launch()], False),
    (
        "launched, told of what was recorded",
        Reconciled,
        [saved(task()), SUBSCRIBED, update(TaskState.GONE, None), saved((f"tasks/{TASK}", None)), launch()],
        True,
    ),
    (
        "launched before word, though asked",
        Reconciled,
        [saved(task(attempt=SECOND)), SUBSCRIBED, Sent("one", Reconcile()), launch()],
        False,
    ),
    (
        "an end that is not saved",
        SavedBeforeAcknowledged,
        [saved(task(Stage.RUNNING)), update(TaskState.FAILED), ACKNOWLEDGED],
        False,
    ),
    (
        "a beginning that is not saved",
        SavedBeforeAcknowledged,
        [saved(task(Stage.STARTING)), update(TaskState.RUNNING), ACKNOWLEDGED],
        False,
    ),
    (
        "an end that is saved",
        SavedBeforeAcknowledged,
        [saved(task()), update(TaskState.FAILED), saved((f"tasks/{TASK}", None)), ACKNOWLEDGED],
        True,
    ),
    ("a slot that backs off", BackoffKept, [saved(job(), slot(backoff_until=BEGIN + 1.0)), launch()], False),
    ("failures forgotten", BackoffKept, [saved(job(), slot(2), task()), saved(slot(0))], False),
    (
        "failures nobody knew to be saved",
        BackoffKept,
        [saved(job(), slot(2), task(), confirmed=False), saved(slot(0))],
        True,
    ),
    ("one owner", OneOwner, [LEADS, saved(shards(1, "t1")), assign(1, "t1"), write(1, "t1")], True),
    ("two owners of an epoch", OneOwner, [write(1, "t1"), write(1, "t2")], False),
    ("an epoch told to two", OneOwner, [assign(1, "t1"), assign(1, "t2")], False),
    ("told before it is saved", OneOwner, [LEADS, saved(shards(1, "t1")), assign(2, "t2")], False),
    (
        "an older version",
        OneOwner,
        [LEADS, saved(shards(1, "t1")), assign(1, "t1", 2), assign(1, "t1", 1)],
        False,
    ),
    ("an epoch forgotten", OneOwner, [write(3, "t1"), saved(shards(2, "t1"))], False),
    ("an epoch nobody was told", OneOwner, [saved(shards(3, "t1")), saved(shards(2, "t1"))], True),
    (
        "commits that follow",
        OnceOnly,
        [
            write(1, "t1", Commit(begin=0, end=2, added=3, total=3)),
            write(2, "t2", Commit(begin=2, end=3, added=3, total=6)),
        ],
        True,
    ),
    ("a gap", OnceOnly, [write(1, "t1", Commit(begin=1, end=2, added=2, total=3))], False),
    ("a wrong sum", OnceOnly, [write(1, "t1", Commit(begin=0, end=2, added=4, total=4))], False),
    (
        "going back",
        OnceOnly,
        [
            write(1, "t1", Commit(begin=0, end=2, added=3, total=3)),
            write(2, "t2", Commit(begin=1, end=2, added=2, total=3)),
        ],
        False,
    ),
    ("a framework for every task", OneFramework, [saved(task())], False),
    (
        "another framework",
        OneFramework,
        [
            saved(("framework", FrameworkRecord(framework_id=F))),
            saved(("framework", FrameworkRecord(framework_id=FrameworkId("g")))),
        ],
        False,
    ),
    ("a leader of no framework", OneFramework, [saved(("framework", FrameworkRecord(framework_id=F))), LEADS], False),
    ("an agent that the placement forbids", WhereItMay, [*PLACED, launch()], False),
    ("a worker killed that is to work", RightOneKilled, [saved(task(Stage.RUNNING)), KILL], False),
    ("a worker killed that drains", RightOneKilled, [saved(task(Stage.DRAINING)), KILL], True),
    ("a stray killed", RightOneKilled, [KILL], True),
    ("a worker killed for a silence that nobody heard", SilenceHeard, [REPORTED, TICK, saved(SILENT)], False),
    ("a worker killed for another reason", SilenceHeard, [REPORTED, TICK, saved(task(Stage.KILLING))], True),
    ("a task too many", NoMoreThanWished, [saved(job(), task(), task(attempt=BESIDE)), launch()], False),
    (
        "a task that is to go, once there is another",
        NoMoreThanWished,
        [saved(job(2), task(), task(attempt=BESIDE)), saved(job(1)), launch()],
        True,
    ),
    ("terms that grow", Terms, [saved(slot(), term=1), saved(slot(), term=2)], True),
    ("a stale write", Terms, [saved(slot(), term=2), saved(slot(), term=1)], False),
    ("an end by a newer leader", Terms, [Stopped("one", StaleLeader("over"))], True),
    ("an end of another kind", Terms, [Stopped("one", StoreUnavailable("away"))], False),
]


@pytest.mark.parametrize(("rule", "story", "holds"), [pytest.param(*each[1:], id=each[0]) for each in STORIES])
def test_a_rule_is_broken_by_the_last_happening_or_holds(rule: type[Rule], story: list[Happening], holds: bool) -> None:
    store = StoredRecords()
    rules = Rules(store, [rule(store, Timeline())])
    for happened in story[:-1]:
        rules.see(happened)
    if holds:
        rules.see(story[-1])
    else:
        with pytest.raises(Violation) as caught:
            rules.see(story[-1])
        assert caught.value.rule == rule.__name__


def test_generators_of_one_seed_do_not_move_each_other() -> None:
    one, two = Randomness(5), Randomness(5)
    one.child("a").random()
    assert one.child("b").random() == two.child("b").random() == Random("5:b").random()


def held_until(*later: tuple[float, Happening]) -> None:
    """An offer comes, then what is said at these seconds, then a minute passes."""
    timeline, store = Timeline(), StoredRecords()
    rule = NothingHoarded(store, timeline)
    rule.see(OFFERED)
    for seconds, happened in later:
        timeline.after(seconds, lambda happened=happened: rule.see(happened))  # type: ignore[misc]
    timeline.after(60.0, lambda: None)
    run(timeline)


def test_an_offer_is_hoarded_that_nobody_answers() -> None:
    """Declined, taken back or void with its scheduler it is not; and who is hindered has time from then on."""
    with pytest.raises(Violation, match=r"one keeps o-O0 for 33 s"):
        held_until()
    with pytest.raises(Violation):
        held_until((20.0, Hindered("one", BEGIN + 25.0)))
    held_until((20.0, Hindered("one", BEGIN + 25.0)), (50.0, Ended("one")))
    held_until((29.0, Sent("one", Decline(offer_ids=(OFFER,), refuse_s=5.0))))
    held_until((29.0, Heard("one", Rescinded(offer_id=OFFER))))


def test_a_leap_leaves_out_time_and_nothing_else() -> None:
    """What is due comes as much later, in the same order."""
    timeline, seen = Timeline(), []
    timeline.after(2.0, lambda: seen.append(("b", timeline.now() - BEGIN)))
    timeline.after(1.0, lambda: seen.append(("a", timeline.now() - BEGIN)))
    timeline.leap(100.0)
    run(timeline)
    assert seen == [("a", 101.0), ("b", 102.0)]


def test_storms_fill_the_run_or_are_spread_over_it() -> None:
    """The first at once, in order, for about as long together."""
    assert draw_storms(Random(1), 90.0, None) == (Storm(begin=0.0, seconds=90.0),)
    for seed in range(50):
        storms = draw_storms(Random(seed), 90.0, 86400.0)
        begins = [storm.begin for storm in storms]
        assert begins[0] == 0.0
        assert begins == sorted(begins)
        assert begins[-1] < 86400.0
        assert 27.0 <= sum(storm.seconds for storm in storms) <= 90.0
