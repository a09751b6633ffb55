"""The worker's loop with real shard runtimes: its life from LAUNCH to the last word."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from worker_bench import Worker, World, rows

from millstream.contract import wire
from millstream.contract.assignment import Assignment
from millstream.contract.report import ShardState
from millstream.contract.worker_spec import CheckpointSpec, WorkerSpec
from millstream.core.executor_api import (
    Aborted,
    Acknowledged,
    Disconnected,
    Kill,
    Launch,
    LaunchGroup,
    Message,
    Shutdown,
    Subscribed,
    Task,
    TaskId,
)
from millstream.errors import ProgramError
from millstream.runtime.shard_results import Shard
from millstream.worker import loop as worker_loop
from millstream.worker.loop import Terminate
from millstream.worker.owned_shard import Program


@pytest.fixture
def world() -> World:
    """Two finite shards."""
    return World(rows({"a": 3000, "b": 500}))


def test_whole_life_of_a_finite_job(world: World) -> None:
    """Launched, assigned, finished, drained: the output is complete and the last word is FINISHED."""
    worker = Worker(world)
    worker.launch()
    worker.run(lambda: bool(worker.executor.sent) and len(worker.last().known) == 2)
    assert worker.executor.states() == ["STARTING", "RUNNING"]
    assert worker.last().complete
    assert [known.end_records for known in worker.last().known] == [3000, 500]
    worker.assign(1, a=1, b=2)
    worker.run(lambda: worker.owned() == {"a": (1, "finished"), "b": (2, "finished")})
    assert world.output() == world.expected()
    audit = {one.shard: (one.audit.records_in, one.records, one.backlog_records) for one in worker.last().owned}
    assert audit == {"a": (3000, 3000, 0), "b": (500, 500, 0)}
    worker.assign(2, drain=True)
    worker.run(lambda: "FINISHED" in worker.executor.states())
    assert worker.owned() == {}
    assert worker.last().assignment_version == 2
    assert worker.loop.exit_code == 0
    for said in worker.executor.said[:-1]:
        worker.tell(Acknowledged(task_id=worker.task_id, uuid=said.uuid))
    worker.turn()
    assert worker.loop.tick() is not None, "it waits for the acknowledgement of the last one"
    worker.acknowledge()
    worker.turn()
    assert worker.loop.tick() is None
    assert worker.loop.exit_code == 0
    assert worker.executor.states() == ["STARTING", "RUNNING", "FINISHED"]


def test_reports_carry_worker_and_sequence(world: World) -> None:
    """Every report names job, worker, attempt and revision; sequences grow; usage is in it."""
    worker = Worker(world, worker=3)
    worker.launch()
    worker.pass_time(3.0)
    reports = worker.executor.reports()
    assert [report.sequence for report in reports] == list(range(1, len(reports) + 1))
    last = reports[-1]
    assert (last.job, last.worker, last.task_id, last.revision) == ("job", 3, "job.0.1", "5eed")
    assert (last.cpu_s, last.rss_bytes, last.throttled_s) == (1.5, 1 << 20, 0.25)
    assert last.uptime_s == pytest.approx(3.0, abs=0.6)


def test_reports_come_at_their_interval_when_nothing_changes(world: World) -> None:
    """In ten quiet seconds, one report each half second."""
    worker = Worker(world)
    worker.launch()
    worker.pass_time(1.0)
    before = len(worker.executor.sent)
    worker.pass_time(10.0)
    assert len(worker.executor.sent) - before == pytest.approx(20, abs=1)


def test_large_reports_of_changes_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """While shards are claimed one by one, reports take no more than their share; the last comes all the same."""
    monkeypatch.setattr(worker_loop, "REPORT_BYTES_PER_S", 50_000)
    names = {f"s{number}": 1 for number in range(60)}
    world = World(rows(names))

    def slowly(shard: Shard) -> Shard:
        world.clock.seconds += 0.06
        return shard

    worker = Worker(world, report_interval_s=2.0, wrap=slowly)
    worker.launch()
    worker.assign(1, **names)
    worker.run(lambda: list(worker.owned().values()) == [(1, "finished")] * 60)
    sent = [(report.uptime_s, len(worker.executor.sent[at])) for at, report in enumerate(worker.executor.reports())]
    assert sent[-1][1] > 10_000
    assert all(later - at >= min(2.0, size / 50_000) - 1e-6 for (at, size), (later, _) in pairwise(sent))


def test_new_subscription_is_answered_with_a_report(world: World) -> None:
    """Messages sent while the agent was away are lost; nobody should have to wait for the next interval."""
    worker = Worker(world, report_interval_s=60.0)
    worker.launch()
    worker.pass_time(5.0)
    before = len(worker.executor.sent)
    worker.tell(Disconnected(reason="the agent restarts"))
    worker.pass_time(1.0)
    assert len(worker.executor.sent) == before
    worker.tell(Subscribed(agent_id="a"))
    worker.pass_time(1.0)
    assert len(worker.executor.sent) == before + 1


def test_kill_commits_and_says_killed(world: World) -> None:
    """Everything processed before the KILL is committed by it; another worker does the rest and nothing twice."""
    worker = Worker(world, checkpoint=CheckpointSpec(store="/nowhere", interval_s=3600.0), rate_limit=1000.0)
    worker.launch()
    worker.assign(1, a=1, b=1)
    worker.run(lambda: worker.records() > 900)
    assert world.output() == []
    worker.tell(Kill(task_id=worker.task_id))
    worker.run(lambda: "KILLED" in worker.executor.states())
    assert worker.executor.states()[-2:] == ["KILLING", "KILLED"]
    assert len(world.output()) > 900
    successor = Worker(world, "job.0.2")
    successor.launch()
    successor.assign(2, a=2, b=2)
    successor.run(lambda: {state for _, state in successor.owned().values()} == {"finished"})
    assert world.output() == world.expected()


def test_second_kill_changes_nothing(world: World) -> None:
    """KILL is repeated as often as somebody likes; the last word is said once."""
    worker = Worker(world)
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: "a" in worker.owned())
    for _ in range(3):
        worker.tell(Kill(task_id=worker.task_id))
    worker.run(lambda: "KILLED" in worker.executor.states())
    worker.tell(Kill(task_id=worker.task_id))
    worker.turn()
    assert worker.executor.states() == ["STARTING", "RUNNING", "KILLING", "KILLED"]


def test_kill_of_another_task_is_ignored(world: World) -> None:
    """A KILL that is not for this task does nothing."""
    worker = Worker(world)
    worker.launch()
    worker.tell(Kill(task_id=TaskId("job.0.0")))
    worker.pass_time(2.0)
    assert worker.executor.states() == ["STARTING", "RUNNING"]


@pytest.mark.parametrize("event", [Shutdown(grace_s=5.0, reason="the agent asked"), Terminate()])
def test_shutdown_before_a_task_ends_at_once(world: World, event: Shutdown | Terminate) -> None:
    """Nothing was launched: nothing to say."""
    worker = Worker(world)
    worker.tell(event)
    worker.turn()
    assert worker.loop.exit_code == 0
    assert worker.executor.said == []


@pytest.mark.parametrize("event", [Shutdown(grace_s=5.0, reason="the agent asked"), Terminate()])
def test_shutdown_commits_and_ends_without_an_acknowledgement(world: World, event: Shutdown | Terminate) -> None:
    """As KILL, but bounded: the agent may be gone."""
    worker = Worker(world, rate_limit=100.0)
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: worker.records() > 50)
    began = world.clock.seconds
    worker.tell(event)
    worker.run(lambda: worker.loop.exit_code is not None and worker.loop.tick() is None)
    assert world.clock.seconds - began < 5.0
    assert worker.executor.states()[-1] == "KILLED"
    assert len(world.output()) > 50


def test_shutdown_does_not_wait_for_a_program_that_hangs(world: World) -> None:
    """Processing never comes back: KILLED is said in time all the same."""
    worker = Worker(world)
    worker.launch()
    worker.run(lambda: "RUNNING" in worker.executor.states())
    processing, worker.processing = worker.processing, None
    worker.tell(Shutdown(grace_s=2.0, reason="the agent asked"))
    began = world.clock.seconds
    worker.run(lambda: "KILLED" in worker.executor.states())
    worker.run(lambda: worker.loop.tick() is None)
    assert world.clock.seconds - began < 2.0
    assert processing is not None
    assert not processing.view().ended


def test_abort_ends_without_a_word(world: World) -> None:
    """The agent takes no updates any more."""
    worker = Worker(world)
    worker.launch()
    worker.run(lambda: "RUNNING" in worker.executor.states())
    worker.tell(Aborted(message="unknown executor"))
    worker.turn()
    assert worker.loop.exit_code == 1
    assert worker.executor.states() == ["STARTING", "RUNNING"]


def test_program_that_does_not_load_fails_the_task(world: World) -> None:
    """The report and TASK_FAILED carry the user's line."""

    def load(_: WorkerSpec) -> Program:
        raise ProgramError("NameError: name 'pl' is not defined", where="program.py:7 in <module>")

    worker = Worker(world, load=load)
    worker.launch()
    worker.run(lambda: "FAILED" in worker.executor.states())
    assert worker.executor.states() == ["STARTING", "FAILED"]
    assert worker.executor.said[-1].message == "program.py:7 in <module>: NameError: name 'pl' is not defined"
    assert worker.last().problem == worker.executor.said[-1].message
    worker.acknowledge()
    worker.turn()
    assert worker.loop.exit_code == 1


def test_mistake_of_ours_fails_the_task_and_says_what(world: World) -> None:
    """Whatever breaks in the processing thread is heard of."""

    def load(_: WorkerSpec) -> Program:
        raise ZeroDivisionError("division by zero")

    worker = Worker(world, load=load)
    worker.launch()
    worker.run(lambda: "FAILED" in worker.executor.states())
    assert worker.executor.said[-1].message == "ZeroDivisionError: division by zero"


def _data(**changes: object) -> bytes:
    spec = Worker(World(rows({"a": 1}))).spec
    return wire.encode(replace(spec, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a worker_spec message"),
        (wire.encode(Assignment(job="j", task_id="t", version=1)), "got 'assignment'"),
        (_data(task_id="job.0.9"), "the data of task job.0.1 is for task job.0.9"),
        (_data(rate_limit=0.0), "rate_limit must be above 0, it is 0.0"),
        (_data(report_interval_s=-1.0), "report_interval_s must be above 0, it is -1.0"),
        (_data(checkpoint=CheckpointSpec(store="/s", keep=0)), "checkpoint.keep must be above 0, it is 0"),
    ],
)
def test_task_that_is_none_of_ours_fails(world: World, data: bytes, message: str) -> None:
    """The data of the task is not a spec this worker can keep to."""
    worker = Worker(world)
    worker.tell(Launch(task=Task(task_id=worker.task_id, data=data)))
    worker.turn()
    assert worker.executor.states() == ["FAILED"]
    assert message in (worker.executor.said[0].message or "")


def test_one_task_per_worker(world: World) -> None:
    """A second LAUNCH and a task group are refused; the first task goes on."""
    worker = Worker(world)
    worker.launch()
    worker.tell(Launch(task=Task(task_id=TaskId("second"))))
    worker.tell(LaunchGroup(tasks=(Task(task_id=TaskId("third")), Task(task_id=TaskId("fourth")))))
    worker.pass_time(1.0)
    said = {(said.task_id, said.state.name) for said in worker.executor.said}
    assert said == {
        ("job.0.1", "STARTING"),
        ("job.0.1", "RUNNING"),
        ("second", "FAILED"),
        ("third", "FAILED"),
        ("fourth", "FAILED"),
    }


def test_unreadable_message_is_reported_and_forgotten_with_the_next_good_one(world: World) -> None:
    """Never a crash: a problem in the reports until an assignment can be read."""
    worker = Worker(world)
    worker.launch()
    worker.tell(Message(data=b'{"kind":"assignment","version":99,"body":{}}'))
    worker.pass_time(0.1)
    assert "assignment message of version 99" in (worker.last().problem or "")
    worker.assign(1, a=1)
    worker.run(lambda: "a" in worker.owned())
    assert worker.last().problem is None


def test_assignment_of_another_attempt_is_ignored(world: World) -> None:
    """The executor's id may live on; the assignment names the attempt."""
    worker = Worker(world)
    worker.launch()
    other = replace(worker.assignment(7, a=1), task_id="job.0.0")
    worker.tell(Message(data=wire.encode(other)))
    worker.pass_time(1.0)
    assert worker.owned() == {}
    assert worker.last().assignment_version == 0


def test_older_assignments_are_ignored(world: World) -> None:
    """Level-triggered: only a newer version counts."""
    worker = Worker(world)
    worker.launch()
    worker.assign(5, a=1)
    worker.assign(4, b=1)
    worker.assign(5, b=1)
    worker.pass_time(1.0)
    assert set(worker.owned()) == {"a"}
    assert worker.last().assignment_version == 5


def test_drain_while_the_program_loads(world: World) -> None:
    """Drained before it ever ran: FINISHED, without RUNNING."""
    worker = Worker(world)
    worker.launch()
    worker.assign(1, drain=True)
    worker.run(lambda: "FINISHED" in worker.executor.states())
    assert worker.executor.states() == ["STARTING", "FINISHED"]


def test_release_and_claim_by_assignment(world: World) -> None:
    """What an assignment leaves out is let go with its last commit; what it adds is claimed."""
    worker = Worker(world, rate_limit=500.0)
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: worker.records() > 100)
    worker.assign(2, b=1)
    worker.run(lambda: set(worker.owned()) == {"b"})
    assert worker.last().assignment_version == 2
    committed = [row for row in world.output() if row[0] == "a"]
    assert len(committed) > 100


def test_higher_epoch_means_claim_anew(world: World) -> None:
    """The shard is let go and claimed at the new epoch, going on where it was."""
    worker = Worker(world, rate_limit=500.0)
    worker.launch()
    worker.assign(1, a=1)
    worker.run(lambda: worker.records() > 100)
    worker.assign(2, a=5)
    worker.run(lambda: worker.owned().get("a") == (5, ShardState.RUNNING.value))
    assert worker.last().owned[0].restored_from is not None
    worker.run(lambda: worker.owned() == {"a": (5, "finished")})
    assert [row for row in world.output() if row[0] == "a"] == [row for row in world.expected() if row[0] == "a"]
    assert worker.last().owned[0].audit.replayed == 0
