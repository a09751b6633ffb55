"""What goes wrong, told on the paper cluster: lost agents, silent workers, lost messages, restarts, refusals."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from paper_cluster import ENGINES, SETTINGS, PaperClock, PaperCluster, PaperShard, job_spec, started
from test_loop_jobs import JOB, deployed, running, view

from headgate.adapters.memory_store import MemoryStore
from headgate.core.ownership import EPOCHS_PER_SUBMISSION
from headgate.errors import CallRejected, FrameworkRefused, MasterUnavailable, StaleLeader, StoreUnavailable
from headgate.loop import Scheduler
from headgate.model.call import Accept, Acknowledge, Call, Decline, Kill, Reconcile, ShutdownExecutor
from headgate.model.event import Message, Refused, Subscribed, Undecodable, Update
from headgate.model.ids import AgentId, ExecutorId, FrameworkId, TaskId
from headgate.model.note import NoteKind
from headgate.model.record import JobState
from headgate.model.status import TaskState, TaskStatus
from headgate.model.task import Stage
from millstream.contract.report import Report
from millstream.contract.wire import encode
from millstream.contract.worker_spec import Until


def scheduler_of(cluster: PaperCluster) -> Scheduler:
    assert cluster.scheduler is not None
    return cluster.scheduler


def test_an_unreachable_worker_is_replaced_after_the_jobs_patience() -> None:
    """Thirty seconds; then its shards are elsewhere under higher epochs, and it is killed when it comes back."""
    cluster = deployed(1, agents=1)
    cluster.add_agent("spare")
    cluster.lose_agent("a0")
    cluster.advance(25)
    assert view(cluster).workers[0].stage in (Stage.UNREACHABLE, Stage.KILLING)
    assert len(cluster.tasks) == 1
    cluster.until(lambda: len(cluster.tasks) == 2, within=40)
    cluster.until(lambda: view(cluster).state is JobState.RUNNING)
    (old,) = [task for task in cluster.live() if task.launch.agent_id == "a0"]
    cluster.regain_agent("a0")
    cluster.until(lambda: not old.live)
    assert running(cluster, 1)
    assert [task.id for task in cluster.live()] == ["delays.1.0.1"]


def test_a_short_partition_changes_nothing() -> None:
    """Back within the patience: the same task, its shards at the epochs they had."""
    cluster = deployed(1, agents=1)
    epochs = {name: shard.epoch for name, shard in cluster.shards[JOB].items()}
    cluster.lose_agent("a0")
    cluster.advance(10)
    assert view(cluster).workers[0].stage is Stage.UNREACHABLE
    assert view(cluster).state is JobState.RECOVERING
    cluster.regain_agent("a0")
    cluster.until(lambda: running(cluster, 1))
    assert len(cluster.tasks) == 1
    assert {name: shard.epoch for name, shard in cluster.shards[JOB].items()} == epochs


def test_a_worker_that_stops_reporting_is_replaced() -> None:
    """Its agent lives, it does not: killed after fifteen seconds, its shards given away at that moment."""
    cluster = deployed(2, unreachable_replace_after_s=5.0)
    victim = next(task for task in cluster.live() if task.id == "delays.1.0.0")
    victim.mute = True
    cluster.advance(13)
    assert victim.live
    cluster.until(lambda: not victim.live, within=5)
    cluster.until(lambda: running(cluster, 2))
    assert view(cluster).restarts == 1
    assert "no report for 15 s" in " ".join(note.text for note in view(cluster).history)


def test_a_hanging_worker_is_shut_down_and_replaced() -> None:
    """It does not even hear the kill: after half a minute its executor is ended and the slot filled anew.

    Before each of the two verdicts the master is asked, since nothing else is heard of it; the SHUTDOWN goes with the
    kill that is due next.
    """
    cluster = deployed(1)
    (victim,) = cluster.live()
    victim.hangs = True
    cluster.until(lambda: bool(cluster.sent(ShutdownExecutor)), within=66)
    cluster.until(lambda: running(cluster, 1))
    assert [task.id for task in cluster.live()] == ["delays.1.0.1"]
    kills = [call for call in cluster.sent(Kill) if isinstance(call, Kill) and call.task_id == victim.id]
    assert 6 <= len(kills) <= 8


def test_a_lost_machine_costs_its_workers_as_long_as_the_job_waits_and_no_more() -> None:
    """Nothing answers, and the master notices much later: the kill goes on, and the replacement is not kept waiting."""
    cluster = PaperCluster(3)
    cluster.put_shards(JOB, 4)
    started(cluster, job_spec(workers=2, unreachable_replace_after_s=30.0))
    cluster.until(lambda: running(cluster, 2))
    cluster.advance(10)
    victims = [task for task in cluster.live() if task.launch.agent_id == cluster.live()[0].launch.agent_id]
    for victim in victims:
        victim.hangs = True
    cluster.until(
        lambda: sum(task.state is TaskState.RUNNING and not task.hangs for task in cluster.live()) == 2, within=42
    )
    assert all(victim.live for victim in victims)
    cluster.until(lambda: not any(victim.live for victim in victims), within=40)
    assert len(cluster.tasks) == 2 + len(victims)


def test_a_killed_worker_that_still_reports_keeps_its_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """It commits what it has: whoever is to follow it waits for its end."""
    cluster = deployed(1)
    (victim,) = cluster.live()
    monkeypatch.setattr(cluster, "_kill", lambda call: None)
    killing = TaskStatus(task_id=victim.id, state=TaskState.KILLING, agent_id=victim.launch.agent_id)
    scheduler_of(cluster).deliver(Update(status=killing))
    cluster.advance(25)
    assert view(cluster).workers[0].stage is Stage.KILLING
    assert len(cluster.tasks) == 1
    victim.mute = True
    cluster.advance(20)
    assert len(cluster.tasks) == 2


def test_a_task_that_never_starts_is_replaced() -> None:
    """Five minutes in staging are enough."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    cluster.start_s = 1e9
    started(cluster, job_spec())
    cluster.advance(295)
    assert len(cluster.tasks) == 1
    cluster.start_s = 1.0
    cluster.tasks[TaskId("delays.1.0.0")].hangs = True
    cluster.until(lambda: len(cluster.tasks) == 2, within=60)
    cluster.until(lambda: running(cluster, 1))


def test_silence_while_nobody_listened_is_no_silence() -> None:
    """The stream was down for a minute, or the scheduler itself stood still: workers get their time anew."""
    cluster = deployed(2)
    cluster.disconnect()
    cluster.advance(60)
    cluster.subscribe()
    cluster.advance(1)
    cluster.now += 300
    cluster.tick()
    cluster.advance(10)
    assert running(cluster, 2)
    assert len(cluster.tasks) == 2


def test_a_launch_that_was_lost_is_asked_about_and_replaced() -> None:
    """Saved, and gone on its way to the master: the master knows nothing of it."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)

    class Lossy:
        def send(self, call: Call) -> None:
            if isinstance(call, Accept) and not cluster.sent(Decline):
                for offer_id in call.offer_ids:
                    cluster.send(Decline(offer_ids=(offer_id,), refuse_s=1.0))
                return
            cluster.send(call)

    cluster.attach(MemoryStore(), Lossy()).submit(job_spec())
    cluster.until(lambda: running(cluster, 1) if scheduler_of(cluster).view.jobs else False, within=30)
    assert [task.id for task in cluster.live()] == ["delays.1.0.1"]
    assert view(cluster).workers[0].failures == 0


def test_an_offer_that_is_gone_costs_one_attempt() -> None:
    """DROPPED for invalid offers: the next attempt follows at once, without backoff."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    scheduler = started(cluster, job_spec())
    cluster.now += 0.25
    cluster._step(0.25)
    cluster._flush()
    cluster.offers.clear()
    cluster.filters.clear()
    scheduler.tick(cluster.now)
    cluster.until(lambda: running(cluster, 1), within=10)
    assert [task.id for task in cluster.live()] == ["delays.1.0.1"]
    assert view(cluster).workers[0].failures == 0


def test_a_new_scheduler_takes_over_without_touching_a_task() -> None:
    """Reconciliation of what is recorded, then of everything; no launch, no kill, no move."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 4)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=2))
    cluster.tick()
    cluster.until(lambda: running(cluster, 2))
    epochs = {name: shard.epoch for name, shard in cluster.shards[JOB].items()}
    cluster.calls.clear()
    cluster.attach(store)
    cluster.tick()
    first = cluster.calls[0]
    assert isinstance(first, Reconcile)
    assert [(each.task_id, each.agent_id) for each in first.tasks] == [
        ("delays.1.0.0", "a0"),
        ("delays.1.1.0", "a0"),
    ]
    cluster.until(lambda: running(cluster, 2))
    cluster.advance(30)
    assert not cluster.sent(Accept)
    assert not cluster.sent(Kill)
    assert {name: shard.epoch for name, shard in cluster.shards[JOB].items()} == epochs
    assert [len(call.tasks) for call in cluster.sent(Reconcile) if isinstance(call, Reconcile)] == [2, 0]


def test_nothing_is_launched_before_reconciliation_is_answered() -> None:
    """Asked again after one, two, four … seconds; a minute at most, since a new master is silent for ten."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=1))
    cluster.tick()
    cluster.until(lambda: running(cluster, 1))
    answers = cluster._reconcile
    cluster._reconcile = lambda call: None  # type: ignore[method-assign,assignment]
    cluster.calls.clear()
    cluster.attach(store).submit(job_spec("other"))
    cluster.advance(20)
    assert not cluster.sent(Accept)
    assert 4 <= len(cluster.sent(Reconcile)) <= 6
    waiting = view(cluster, "other").waiting
    assert waiting is not None
    assert "waits for word of 1 recorded tasks" in waiting.text
    assert not scheduler_of(cluster).view.master.reconciled
    cluster._reconcile = answers  # type: ignore[method-assign]
    cluster.until(lambda: bool(cluster.sent(Accept)), within=20)


def test_the_gate_opens_in_the_end() -> None:
    """What is unanswered counts as alive: other jobs start, nothing is started twice."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2)
    cluster.put_shards("other", 1)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=1))
    cluster.tick()
    cluster.until(lambda: running(cluster, 1))
    cluster._reconcile = lambda call: None  # type: ignore[method-assign,assignment]
    cluster.attach(store).submit(job_spec("other"))
    cluster.advance(1)
    took = cluster.until(lambda: running(cluster, 1, name="other"))
    assert 55 < took < 70
    assert len(cluster.live(JOB)) == 1


def test_tasks_that_died_while_nobody_looked_are_replaced() -> None:
    """Their updates are repeated, or the master says that they are gone."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2)
    store = MemoryStore()
    cluster.attach(store).submit(job_spec(workers=2))
    cluster.tick()
    cluster.until(lambda: running(cluster, 2))
    cluster.connected = False
    cluster.end("delays.1.0.0")
    cluster.tasks[TaskId("delays.1.1.0")].state = TaskState.LOST
    cluster.attach(store)
    cluster.until(lambda: running(cluster, 2))
    assert sorted(task.id for task in cluster.live()) == ["delays.1.0.1", "delays.1.1.1"]
    cluster.resend()
    cluster.advance(1)
    assert not cluster.unacknowledged


def test_a_task_nobody_recorded_is_killed_once_reconciliation_is_done() -> None:
    """A store from a backup, say: what runs under our name and is not ours to run is ended."""
    cluster = deployed(1)
    cluster.attach(MemoryStore()).submit(job_spec("other"))
    cluster.until(lambda: bool(cluster.sent(Kill)), within=10)
    assert cluster.sent(Kill)[0] == Kill(task_id=TaskId("delays.1.0.0"), agent_id=AgentId("a0"))
    cluster.advance(5)
    assert not cluster.live(JOB)
    assert len(cluster.live("other")) == 1


def test_ids_of_strays_are_not_given_out_again() -> None:
    """The counters of an old backup are behind: what shows up moves them on."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    scheduler = cluster.attach(MemoryStore())
    for task_id in ("delays.6.0.2", "delays.7.0.4", "not-ours"):
        status = TaskStatus(task_id=TaskId(task_id), state=TaskState.RUNNING, agent_id=AgentId("a0"))
        scheduler.deliver(Update(status=status))
    cluster.tick()
    scheduler.submit(job_spec())
    cluster.until(lambda: bool(cluster.tasks))
    assert list(cluster.tasks) == ["delays.8.0.0"]
    scheduler.deliver(
        Update(status=TaskStatus(task_id=TaskId("delays.8.0.3"), state=TaskState.RUNNING, agent_id=AgentId("a0")))
    )
    cluster.advance(2)
    cluster.end("delays.8.0.0")
    cluster.until(lambda: running(cluster, 1))
    assert list(cluster.tasks) == ["delays.8.0.0", "delays.8.0.4"]


def test_a_report_of_a_task_we_count_as_dead_is_enough_to_kill_it() -> None:
    """No update is needed for that."""
    cluster = deployed(1)
    report = Report(job=JOB, worker=5, task_id="delays.1.5.0", sequence=1, assignment_version=0, revision="ab")
    scheduler_of(cluster).deliver(
        Message(agent_id=AgentId("a1"), executor_id=ExecutorId("delays.1.5.0"), data=encode(report))
    )
    cluster.tick()
    assert cluster.sent(Kill)[-1] == Kill(task_id=TaskId("delays.1.5.0"), agent_id=AgentId("a1"))
    calls = len(cluster.calls)
    cluster.advance(30)
    assert len(cluster.calls) == calls


def test_updates_may_come_twice_late_and_in_any_order() -> None:
    """An old STARTING after RUNNING, a FAILED again after the replacement runs."""
    cluster = deployed(1)
    scheduler = scheduler_of(cluster)
    task, agent = TaskId("delays.1.0.0"), AgentId("a0")
    scheduler.deliver(Update(status=TaskStatus(task_id=task, state=TaskState.STARTING, agent_id=agent, uuid="x")))
    cluster.tick()
    assert view(cluster).workers[0].stage is Stage.RUNNING
    cluster.end(task)
    cluster.until(lambda: running(cluster, 1))
    scheduler.deliver(Update(status=TaskStatus(task_id=task, state=TaskState.FAILED, agent_id=agent, uuid="y")))
    cluster.advance(2)
    assert running(cluster, 1)
    assert view(cluster).restarts == 1
    assert {call.uuid for call in cluster.sent(Acknowledge) if isinstance(call, Acknowledge)} >= {"x", "y"}


def test_reports_that_overtake_each_other_are_recognised() -> None:
    """An older one must not undo what a newer one has shown."""
    cluster = deployed(1, shards=1)
    (task,) = cluster.live()
    heard = view(cluster).workers[0].reported_at
    old = Report(job=JOB, worker=0, task_id=task.id, sequence=1, assignment_version=0, revision="old")
    scheduler_of(cluster).deliver(Message(agent_id=AgentId("a0"), executor_id=ExecutorId(task.id), data=encode(old)))
    cluster.now += 0.1
    cluster.tick()
    assert view(cluster).workers[0].reported_at == heard
    assert view(cluster).workers[0].revision == "ab"


def test_a_message_that_cannot_be_read_is_noted_once() -> None:
    """Not every two seconds."""
    cluster = deployed(1)
    (task,) = cluster.live()
    for _ in range(3):
        scheduler_of(cluster).deliver(Message(agent_id=AgentId("a0"), executor_id=ExecutorId(task.id), data=b"{}"))
        cluster.advance(1)
    problems = [note for note in view(cluster).history if note.kind is NoteKind.PROBLEM]
    assert len(problems) == 1
    assert "cannot be read" in problems[0].text


def test_shards_that_fail_are_noted_once_for_each_reason() -> None:
    """A program that does not fit the checkpoints it finds, say: the job's history tells, one note for all shards."""
    cluster = deployed(1)
    (worker,) = cluster.live()
    worker.problem = "checkpoint 4 was made by a program with other state"
    cluster.advance(10)
    worker.problem = "the store does not answer"
    cluster.advance(10)
    said = [note.text for note in view(cluster).history if note.kind is NoteKind.PROBLEM]
    assert said == [
        "delays.1.0.0: failed on shard s0 and 5 more: checkpoint 4 was made by a program with other state",
        "delays.1.0.0: failed on shard s0 and 5 more: the store does not answer",
    ]


def test_shards_whose_names_no_store_would_take_are_left_out_and_noted() -> None:
    """The scheduler lives on, the others run, and a finite job does not end as if all had been read."""
    cluster = PaperCluster(2)
    cluster.complete.add(JOB)
    cluster.shards[JOB] = {f"{number}-{'x' * 2000}": PaperShard(10) for number in range(400)} | {"s0": PaperShard(10)}
    started(cluster, job_spec(until=Until.END))
    cluster.advance(30)
    job = view(cluster)
    assert [(shard.id, shard.finished) for shard in job.shards] == [("s0", True)]
    assert job.state is JobState.RUNNING
    assert any("400 shards have names of more than 512 bytes" in note.text for note in job.history)


def test_a_framework_of_another_name_is_refused_while_tasks_are_recorded() -> None:
    """The master has forgotten us: going on would orphan them."""
    cluster = deployed(1)
    scheduler = scheduler_of(cluster)
    scheduler.deliver(Subscribed(framework_id=FrameworkId("F-2"), master="paper:5050"))
    with pytest.raises(FrameworkRefused, match="1 tasks of F-1 are recorded"):
        scheduler.tick(cluster.now)


def test_a_framework_of_another_name_is_taken_when_nothing_is_recorded() -> None:
    """Nobody is harmed."""
    cluster = PaperCluster(1)
    store = MemoryStore()
    cluster.attach(store)
    cluster.tick()
    assert scheduler_of(cluster).framework_id == "F-1"
    cluster.framework_id = FrameworkId("F-2")
    cluster.attach(store)
    cluster.tick()
    assert scheduler_of(cluster).framework_id == "F-2"
    assert b"F-2" in store.load("framework")["framework"]


def test_a_refusal_of_the_master_ends_the_loop() -> None:
    """With its words and what to do."""
    cluster = deployed(1)
    scheduler_of(cluster).deliver(Refused(message="Framework has been removed"))
    with pytest.raises(FrameworkRefused, match="Framework has been removed"):
        cluster.tick()


def test_a_scheduler_that_took_over_is_named_as_what_ended_the_loop() -> None:
    cluster = deployed(1)
    scheduler_of(cluster).deliver(Refused(message="Framework failed over"))
    with pytest.raises(FrameworkRefused, match="another scheduler has taken over our framework id"):
        cluster.tick()


def test_the_framework_id_is_saved_before_anything_is_sent() -> None:
    """Whatever happens next, it is known."""
    cluster = PaperCluster(1)
    store = MemoryStore()
    seen: list[bool] = []

    class Watching:
        def send(self, call: Call) -> None:
            seen.append("framework" in store.load(""))
            cluster.send(call)

    cluster.attach(store, Watching())
    cluster.tick()
    assert seen
    assert all(seen)


def test_an_update_is_acknowledged_only_after_its_effect_is_saved() -> None:
    """The store is away: no acknowledgement, no step; when it is back, both."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)

    class Moody(MemoryStore):
        away = False

        def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
            if self.away:
                raise StoreUnavailable("moody")
            super().write(changes, term=term)

    store = Moody()
    cluster.attach(store).submit(job_spec())
    cluster.tick()
    cluster.until(lambda: running(cluster, 1))
    store.away = True
    cluster.end("delays.1.0.0")
    calls = len(cluster.calls)
    receipt = scheduler_of(cluster).scale(JOB, 2)
    cluster.advance(10)
    assert len(cluster.calls) == calls
    assert not receipt.done()
    assert "moody" in scheduler_of(cluster).view.events[-1].text
    store.away = False
    cluster.until(lambda: running(cluster, 2))
    assert receipt.done()
    assert not cluster.unacknowledged


def test_a_stale_leader_stops() -> None:
    """Somebody else has taken the store: its promises are broken, and it acts no more."""
    cluster = PaperCluster(1)
    store = MemoryStore()
    scheduler = cluster.attach(store)
    cluster.tick()
    store.new_term()
    receipt = scheduler.submit(job_spec())
    calls = len(cluster.calls)
    with pytest.raises(StaleLeader):
        scheduler.tick(cluster.now)
    assert len(cluster.calls) == calls
    with pytest.raises(StaleLeader):
        receipt.result(timeout=0)


def test_a_call_that_the_master_refuses_does_not_stop_the_others() -> None:
    """The problem shows; the rest of the plan is sent."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)

    class Strict:
        def send(self, call: Call) -> None:
            if isinstance(call, Decline):
                raise CallRejected("bad decline", status=400)
            cluster.send(call)

    cluster.add_agent("b")
    cluster.attach(MemoryStore(), Strict()).submit(job_spec())
    cluster.tick()
    cluster.until(lambda: running(cluster, 1))
    assert any("bad decline" in note.text for note in scheduler_of(cluster).view.events)


def test_nothing_is_decided_while_disconnected() -> None:
    """Commands are taken, and done once there is a master again; waiting jobs say why."""
    cluster = deployed(1)
    cluster.disconnect()
    cluster.tick()
    receipt = scheduler_of(cluster).submit(job_spec("other"))
    cluster.advance(5)
    receipt.result(timeout=0)
    waiting = view(cluster, "other").waiting
    assert waiting is not None
    assert "not connected to a master" in waiting.text
    assert not scheduler_of(cluster).view.master.connected
    cluster.subscribe()
    cluster.until(lambda: len(cluster.live("other")) == 1)


def test_a_master_that_fails_in_the_middle_of_a_plan_gets_the_rest_later() -> None:
    """The next snapshot shows what is still wrong."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 2)
    scheduler = cluster.attach(MemoryStore())
    scheduler.submit(job_spec(workers=2))
    cluster.down = True
    cluster.advance(2)
    assert any("the rest of the plan is dropped" in note.text for note in scheduler.view.events)
    cluster.down = False
    cluster.until(lambda: running(cluster, 2), within=60)


def test_the_first_failure_to_send_drops_the_rest_of_the_plan() -> None:
    """One attempt per plan, not one per step: what could not be reached is not asked ten times."""
    cluster = PaperCluster(2)
    attempts: list[Call] = []

    class Gone:
        def send(self, call: Call) -> None:
            attempts.append(call)
            raise MasterUnavailable("gone")

    scheduler = cluster.attach(MemoryStore(), Gone())
    scheduler.submit(job_spec(workers=2))
    cluster.tick()
    assert len(attempts) == 1
    cluster.now += 0.25
    cluster._step(0.25)
    cluster.tick()
    assert len(attempts) == 2


def test_offers_of_a_call_without_answer_are_given_back_and_not_used_again() -> None:
    """The launch may have been made: no offer in two launches, and in the end one task."""
    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)

    class Breaking:
        broken = False

        def send(self, call: Call) -> None:
            cluster.send(call)
            if isinstance(call, Accept) and not self.broken:
                self.broken = True
                raise MasterUnavailable("the answer was lost")

    master = Breaking()
    scheduler = cluster.attach(MemoryStore(), master)
    scheduler.submit(job_spec(workers=1))
    cluster.put_shards("other", 1)
    cluster.until(lambda: master.broken)
    scheduler.submit(job_spec("other"))
    cluster.tick()
    cluster.until(lambda: running(cluster, 1) and running(cluster, 1, name="other"))
    accepted = [offer_id for call in cluster.sent(Accept) if isinstance(call, Accept) for offer_id in call.offer_ids]
    assert len(accepted) == len(set(accepted))
    declined = [offer_id for call in cluster.sent(Decline) if isinstance(call, Decline) for offer_id in call.offer_ids]
    assert accepted[0] in declined
    assert len(cluster.tasks) == 2


def test_an_agent_where_a_jobs_tasks_keep_failing_is_left_alone_for_a_while() -> None:
    """Three failures on one agent, and the job tries the other; never all of them at once."""
    cluster = PaperCluster(2)
    cluster.put_shards(JOB, 1)
    started(cluster, job_spec())
    for attempt in range(4):
        task_id = TaskId(f"delays.1.0.{attempt}")
        cluster.until(lambda task_id=task_id: task_id in cluster.tasks)  # type: ignore[misc]
        if cluster.tasks[task_id].launch.agent_id == "a1":
            assert attempt == 3
        cluster.end(task_id)
    places = [task.launch.agent_id for task in cluster.tasks.values()]
    assert places == ["a0", "a0", "a0", "a1"]


def test_what_cannot_be_decoded_is_noted() -> None:
    """And nothing else happens."""
    cluster = deployed(1)
    scheduler_of(cluster).deliver(Undecodable(problem="no such type", excerpt="{"))
    cluster.advance(1)
    assert any("no such type" in note.text for note in scheduler_of(cluster).view.events)
    assert running(cluster, 1)


def test_making_a_scheduler_takes_the_lead() -> None:
    """An older one on the same store cannot write from then on."""
    cluster = PaperCluster(1)
    store = MemoryStore()
    old = cluster.attach(store)
    Scheduler(clock=PaperClock(cluster), master=cluster, store=store, engines=ENGINES, settings=SETTINGS)
    with pytest.raises(StaleLeader):
        old.tick(cluster.now)


def test_a_store_that_is_away_at_the_start_says_so() -> None:
    """There is nothing to lead."""

    class Away(MemoryStore):
        def load(self, prefix: str) -> Mapping[str, bytes]:
            raise StoreUnavailable("no disk")

    cluster = PaperCluster(1)
    with pytest.raises(StoreUnavailable, match="no disk"):
        cluster.attach(Away())
    assert MasterUnavailable.retry
    assert EPOCHS_PER_SUBMISSION > 1000


@pytest.mark.parametrize("apart_s", [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75])
def test_a_need_that_comes_back_right_after_it_was_met_is_revived_anew(apart_s: float) -> None:
    """Two workers are replaced, and the rest of their new agent refused for long; a moment later two more want it."""
    cluster = deployed(4, agents=1)
    cluster.add_agent("spare")
    cluster.advance(4)
    for task in cluster.live()[2:]:
        task.reported_at += apart_s
    cluster.advance(4)
    for task in cluster.live():
        task.hangs = True
    cluster.until(lambda: len(cluster.tasks) >= 6, within=90)
    assert cluster.until(lambda: len(cluster.tasks) == 8) <= 5
    assert {task.launch.agent_id for task in list(cluster.tasks.values())[4:]} == {"spare"}
