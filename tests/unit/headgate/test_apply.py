"""Saving what changed, and steps as calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from paper_cluster import ENGINES, job_spec

from headgate.adapters.memory_store import MemoryStore
from headgate.apply import Saver, Sender
from headgate.errors import CallRejected, MasterUnavailable, StoreUnavailable
from headgate.model.call import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Kill,
    Reconcile,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    TaskToReconcile,
    UpdateFramework,
)
from headgate.model.call import Framework as FrameworkInfo
from headgate.model.ids import AgentId, Attempt, ExecutorId, FrameworkId, JobName, OfferId, TaskId
from headgate.model.plan import Announce, Ask, Assign, End, Flow, Place, Refuse, Start, Step
from headgate.model.record import FrameworkRecord, JobRecord, Records
from headgate.model.resources import Resources
from headgate.model.stored import loaded
from millstream.contract.assignment import Assignment, ShardAssignment
from millstream.contract.wire import decode

A = AgentId("a")
JOB = JobName("delays")
RECORDS = Records(
    framework=FrameworkRecord(framework_id=FrameworkId("F")),
    jobs={JOB: JobRecord(spec=job_spec(), submission=1, submitted_at=0.0)},
)


class Unsure(MemoryStore):
    """Its next write lands, or does not, and in either case says that it does not know."""

    lands: bool | None = None
    writes = 0

    def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
        self.writes += 1
        lands, self.lands = self.lands, None
        if lands is not False:
            super().write(changes, term=term)
        if lands is not None:
            raise StoreUnavailable("no answer")


def test_only_what_changed_is_written() -> None:
    """And nothing at all if nothing did."""
    store = Unsure()
    saver = Saver(store, term=store.new_term(), saved=Records())
    saver.save(RECORDS)
    saver.save(RECORDS)
    assert store.writes == 1
    assert loaded(store.load("")) == RECORDS


@pytest.mark.parametrize("lands", [True, False])
def test_a_write_of_unknown_outcome_is_settled_by_the_next(lands: bool) -> None:
    """Also when by then the records are as they were before it: what may have landed is put right."""
    store = Unsure()
    saver = Saver(store, term=store.new_term(), saved=Records())
    saver.save(replace(RECORDS, jobs={}))
    store.lands = lands
    with pytest.raises(StoreUnavailable):
        saver.save(RECORDS)
    saver.save(replace(RECORDS, jobs={}))
    assert loaded(store.load("")) == replace(RECORDS, jobs={})


class Recording:
    """A master that takes everything but what it is told not to."""

    def __init__(self, *, refuse: type[Call] | None = None, fail: type[Call] | None = None) -> None:  # type: ignore[valid-type]
        self.calls: list[Call] = []
        self._refuse, self._fail = refuse, fail

    def send(self, call: Call) -> None:
        if self._refuse and isinstance(call, self._refuse):
            raise CallRejected("no", status=400)
        if self._fail and isinstance(call, self._fail):
            raise MasterUnavailable("away")
        self.calls.append(call)


ASSIGNMENT = Assignment(job=JOB, task_id="delays.1.0.0", version=2, shards=(ShardAssignment(shard="s", epoch=1),))
KILL = End(task_id=TaskId("t"), agent_id=A, reason="")
REFUSE = Refuse(offer_ids=(OfferId("o"),), refuse_s=3.0, reason="")


@pytest.mark.parametrize(
    ("step", "calls"),
    [
        (
            Announce(framework=FrameworkInfo(user="u"), suppressed_roles=("r",), reason=""),
            (UpdateFramework(framework=FrameworkInfo(user="u"), suppressed_roles=("r",)),),
        ),
        (Flow(role="r", wanted=frozenset({"x"}), reason=""), (Revive(roles=("r",)),)),
        (Flow(role="r", wanted=frozenset(), reason=""), (Suppress(roles=("r",)),)),
        (
            Ask(tasks=((TaskId("t"), A),), reason=""),
            (Reconcile(tasks=(TaskToReconcile(task_id=TaskId("t"), agent_id=A),)),),
        ),
        (Ask(tasks=(), reason=""), (Reconcile(),)),
        (KILL, (Kill(task_id=TaskId("t"), agent_id=A),)),
        (
            replace(KILL, shutdown=True),
            (Kill(task_id=TaskId("t"), agent_id=A), ShutdownExecutor(executor_id=ExecutorId("t"), agent_id=A)),
        ),
        (REFUSE, (Decline(offer_ids=(OfferId("o"),), refuse_s=3.0),)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_steps_as_calls(step: Step, calls: tuple[Call, ...]) -> None:
    """One for one, but a shutdown, which is a kill as well."""
    assert Sender(Recording(), ENGINES, "http://b").calls(step) == calls


def test_an_assignment_is_a_message_to_the_tasks_executor() -> None:
    """In the contract's own bytes."""
    step = Assign(agent_id=A, assignment=ASSIGNMENT, reason="")
    (call,) = Sender(Recording(), ENGINES, "http://b").calls(step)
    assert isinstance(call, SendMessage)
    assert (call.agent_id, call.executor_id) == ("a", "delays.1.0.0")
    assert decode(call.data, Assignment) == ASSIGNMENT


def test_a_place_is_one_accept_with_all_its_launches() -> None:
    """Made by the job's engine, with the bundle's address."""
    starts = tuple(
        Start(
            attempt=Attempt(job=JOB, submission=1, worker=worker, attempt=0),
            spec=job_spec(),
            resources=Resources(cpus_m=1000),
        )
        for worker in (0, 1)
    )
    step = Place(
        agent_id=A,
        hostname="h",
        offer_ids=(OfferId("o"), OfferId("p")),
        starts=starts,
        left=Resources(),
        refuse_s=9.0,
        reason="",
    )
    (call,) = Sender(Recording(), ENGINES, "http://b/x/").calls(step)
    assert isinstance(call, Accept)
    assert (call.offer_ids, call.refuse_s) == (("o", "p"), 9.0)
    assert [launch.task_id for launch in call.launches] == ["delays.1.0.0", "delays.1.1.0"]
    assert call.launches[0].uris[0].value == f"http://b/x/{'ab' * 32}.zip"


def test_a_refusal_is_skipped_and_a_failure_ends_it() -> None:
    """Each step is told of before it is sent, and after only if it was."""
    told: list[str] = []

    def perform(master: Recording) -> tuple[str, ...]:
        told.clear()
        flow = Flow(role="r", wanted=frozenset(), reason="")
        return Sender(master, ENGINES, "http://b").perform(
            (KILL, REFUSE, flow),
            attempted=lambda step: told.append(f"try {type(step).__name__}"),
            performed=lambda step: told.append("done"),
            refused=lambda step: told.append("refused"),
        )

    assert perform(Recording()) == ()
    assert told == ["try End", "done", "try Refuse", "done", "try Flow", "done"]
    assert perform(Recording(refuse=Decline)) == ("the master refused to decline 1 offers: no",)
    assert told == ["try End", "done", "try Refuse", "refused", "try Flow", "done"]
    assert perform(Recording(fail=Decline)) == ("could not decline 1 offers, the rest of the plan is dropped: away",)
    assert told == ["try End", "done", "try Refuse"]


def test_acknowledgements_are_sent_until_the_master_is_away() -> None:
    """The agents repeat what is left."""
    each = Acknowledge(agent_id=A, task_id=TaskId("t"), uuid="u")
    master = Recording()
    assert Sender(master, ENGINES, "http://b").acknowledge([each, each]) == ()
    assert master.calls == [each, each]
    assert Sender(Recording(fail=Acknowledge), ENGINES, "http://b").acknowledge([each, each]) == ()
    (problem, _) = Sender(Recording(refuse=Acknowledge), ENGINES, "http://b").acknowledge([each, each])
    assert "acknowledgement for t" in problem
