"""The framework id is never lost, and never silently another."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from paper_cluster import ENGINES, SETTINGS, PaperClock, PaperCluster, job_spec
from test_loop_jobs import JOB, running, view

from headgate.adapters.memory_store import MemoryStore
from headgate.adapters.mesos_codec import encode_subscribe
from headgate.core.identity import without_framework
from headgate.errors import FrameworkRefused, StaleLeader, UnknownJob
from headgate.loop import Scheduler
from headgate.model.call import Accept, Call, Framework, Reconcile, UpdateFramework
from headgate.model.event import AgentLost, Refused, Subscribed
from headgate.model.ids import AgentId, FrameworkId, JobName, TaskId
from headgate.model.record import FrameworkRecord, Records
from headgate.model.settings import Settings
from headgate.model.stored import loaded
from headgate.service_options import default_framework

DAY_S = 86400.0


def scheduler_on(cluster: PaperCluster, store: MemoryStore, settings: Settings = SETTINGS) -> Scheduler:
    """A scheduler with these settings, subscribed."""
    cluster.scheduler = Scheduler(
        clock=PaperClock(cluster), master=cluster, store=store, engines=ENGINES, settings=settings
    )
    cluster.subscribe()
    return cluster.scheduler


def with_framework(**changes: object) -> Settings:
    return replace(SETTINGS, framework=replace(SETTINGS.framework, **changes))  # type: ignore[arg-type]


def with_a_job(store: MemoryStore, settings: Settings = SETTINGS) -> PaperCluster:
    cluster = PaperCluster(3)
    cluster.put_shards(JOB, 4)
    scheduler_on(cluster, store, settings).submit(job_spec(workers=2))
    cluster.tick()
    cluster.until(lambda: running(cluster, 2))
    return cluster


def problems(cluster: PaperCluster) -> list[str]:
    assert cluster.scheduler is not None
    return [note.text for note in cluster.scheduler.view.events if note.kind.value == "problem"]


def test_a_new_id_is_refused_while_tasks_of_the_old_one_are_recorded() -> None:
    """Marathon #2224, #18, chronos #344, kubernetes-mesos #167: orphaned tasks, or a crash loop without a word."""
    store = MemoryStore()
    cluster = with_a_job(store)
    before = dict(store.load(""))
    assert cluster.scheduler is not None
    cluster.scheduler.deliver(Subscribed(framework_id=FrameworkId("F-2"), master="paper:5050"))
    with pytest.raises(FrameworkRefused, match=r"2 tasks of F-1 are recorded.*--forget-framework F-1"):
        cluster.tick()
    assert dict(store.load("")) == before


def test_a_lost_id_is_no_reason_to_take_another() -> None:
    """The record of who we are is gone, those of the tasks are not: dcos-flink-service #44."""
    store = MemoryStore()
    cluster = with_a_job(store)
    term = store.new_term()
    store.write({"framework": None}, term=term)
    scheduler_on(cluster, store)
    with pytest.raises(FrameworkRefused, match="2 tasks of a framework whose id is not in the store are recorded"):
        cluster.tick()


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("Framework has been removed", "start once with --forget-framework F-1, and they are launched anew"),
        ("Framework failed over", "another scheduler has taken over our framework id"),
        ("Changing framework's principal is not allowed.", "keeps the principal it first registered with"),
        ("Role 'a//b' cannot contain two adjacent slashes", "the master ended our subscription: Role 'a//b'"),
    ],
)
def test_a_refusal_says_what_it_means_and_what_to_do(message: str, says: str) -> None:
    """Marathon #2224, swan #587: "Framework has been removed", again and again, and nobody knew what to do."""
    cluster = with_a_job(MemoryStore())
    assert cluster.scheduler is not None
    cluster.scheduler.deliver(Refused(message=message))
    with pytest.raises(FrameworkRefused, match=says):
        cluster.tick()


def test_who_asked_in_the_tick_of_a_refusal_is_answered() -> None:
    """The master's refusal ends the scheduler; a command behind it must not wait for ever."""
    cluster = PaperCluster()
    scheduler = scheduler_on(cluster, MemoryStore())
    cluster.advance(5)
    before = scheduler.pause(JobName("delays"))
    scheduler.deliver(Refused(message="Framework has been removed"))
    behind = scheduler.submit(job_spec())
    with pytest.raises(FrameworkRefused):
        scheduler.tick(cluster.now)
    scheduler.abandon(StaleLeader("it has ended"))
    assert isinstance(before.exception(timeout=0), UnknownJob)
    assert isinstance(behind.exception(timeout=0), StaleLeader)


def test_a_removed_framework_is_given_up_by_name_and_its_jobs_start_anew() -> None:
    """Shards at higher epochs, attempts never used before, and the failures of workers remembered."""
    store = MemoryStore()
    cluster = with_a_job(store)
    epochs = {name: shard.epoch for name, shard in cluster.shards[JOB].items()}
    for task in cluster.live():
        del cluster.tasks[task.id]
    cluster.framework_id = FrameworkId("F-2")
    forgetful = replace(SETTINGS, forget_framework=FrameworkId("F-1"))
    scheduler = scheduler_on(cluster, store, forgetful)
    assert scheduler.framework_id is None
    cluster.until(lambda: running(cluster, 2), within=60)
    assert scheduler.framework_id == "F-2"
    assert sorted(cluster.tasks) == ["delays.1.0.1", "delays.1.1.1"]
    assert all(shard.epoch > epochs[name] for name, shard in cluster.shards[JOB].items())
    # The option may stay where it is: it names an id that is not ours any more.
    scheduler_on(cluster, store, forgetful)
    cluster.until(lambda: running(cluster, 2), within=60)
    assert len(cluster.tasks) == 2


def test_only_the_id_that_is_named_is_given_up() -> None:
    """Nothing else changes, and nothing is named by default."""
    store = MemoryStore()
    with_a_job(store)
    records = loaded(store.load(""))
    assert without_framework(records, None) is records
    assert without_framework(records, FrameworkId("F-9")) is records
    assert without_framework(Records(), None) == Records()
    given_up = without_framework(records, FrameworkId("F-1"))
    assert given_up.framework == FrameworkRecord(submissions=1)
    assert (given_up.jobs, given_up.workers) == (records.jobs, records.workers)


def test_a_user_that_cannot_be_changed_is_said() -> None:
    """Mesos ignores another user of a known framework without a word; tasks go on running as the first."""
    store = MemoryStore()
    cluster = with_a_job(store)
    assert problems(cluster) == []
    scheduler_on(cluster, store, with_framework(user="other"))
    cluster.advance(2)
    (text,) = problems(cluster)
    assert text.startswith("Mesos goes on running our tasks as user 'tester'")
    assert "--user other has no effect" in text
    assert running(cluster, 2)
    scheduler_on(cluster, store)
    cluster.advance(2)
    assert problems(cluster) == []


def test_a_user_of_records_from_before_it_was_kept_is_taken_as_it_is_now() -> None:
    """Nobody knows better."""
    store = MemoryStore()
    cluster = with_a_job(store)
    term = store.new_term()
    old = {"kind": "framework", "version": 1, "body": {"framework_id": "F-1", "submissions": 1}}
    store.write({"framework": json.dumps(old).encode()}, term=term)
    scheduler_on(cluster, store, with_framework(user="other"))
    cluster.advance(2)
    assert problems(cluster) == []
    assert loaded(store.load("")).framework.user == "other"


def test_the_master_keeps_our_tasks_for_a_week() -> None:
    """Spark's SPARK-21456: a failover timeout of none, and a blip of the network ended the job."""
    assert default_framework(user="u").failover_timeout_s == 7 * DAY_S


def subscription(framework: Framework, framework_id: FrameworkId | None) -> dict[str, object]:
    body = json.loads(encode_subscribe(UpdateFramework(framework=framework), framework_id))
    info = body["subscribe"]["framework_info"]
    assert isinstance(info, dict)
    return info


def test_a_first_registration_is_on_trial() -> None:
    """Should its answer be lost, the master forgets it after minutes, not after a week; a known id is no trial."""
    framework = default_framework(user="u")
    assert subscription(framework, None)["failover_timeout"] == 600.0
    assert subscription(framework, FrameworkId("F-1"))["failover_timeout"] == 7 * DAY_S
    assert subscription(replace(framework, failover_timeout_s=5.0), None)["failover_timeout"] == 5.0
    assert subscription(replace(framework, trial_s=None), None)["failover_timeout"] == 7 * DAY_S


def test_the_real_timeout_is_asked_for_once_the_id_is_saved() -> None:
    """By UPDATE_FRAMEWORK, once, and before anything is launched; not again after a failover."""
    store = MemoryStore()
    settings = with_framework(trial_s=600.0)
    saved_as: list[object] = []

    class Watching:
        def send(self, call: Call) -> None:
            if isinstance(call, UpdateFramework):
                saved_as.append(loaded(store.load("")).framework.framework_id)
            cluster.send(call)

    cluster = PaperCluster(1)
    cluster.put_shards(JOB, 1)
    cluster.scheduler = Scheduler(
        clock=PaperClock(cluster), master=Watching(), store=store, engines=ENGINES, settings=settings
    )
    cluster.subscribe()
    cluster.scheduler.submit(job_spec())
    cluster.tick()
    cluster.until(lambda: running(cluster, 1))
    (call,) = cluster.sent(UpdateFramework)
    assert isinstance(call, UpdateFramework)
    assert call.framework.failover_timeout_s == 7 * DAY_S
    assert saved_as == ["F-1"]
    kinds = [type(each) for each in cluster.calls]
    assert kinds.index(UpdateFramework) < kinds.index(Accept)
    scheduler_on(cluster, store, settings)
    cluster.advance(30)
    assert len(cluster.sent(UpdateFramework)) == 1


def test_tasks_of_a_lost_agent_are_asked_about() -> None:
    """After a master's failover FAILURE is all that is said of agents that did not come back."""
    store = MemoryStore()
    cluster = with_a_job(store)
    cluster.advance(70)
    cluster.calls.clear()
    assert cluster.scheduler is not None
    agent_id = cluster.tasks[TaskId("delays.1.0.0")].launch.agent_id
    for task in list(cluster.live()):
        task.mute = True
        del cluster.tasks[task.id]
    cluster.scheduler.deliver(AgentLost(agent_id=AgentId(agent_id)))
    cluster.tick()
    asked = [call for call in cluster.sent(Reconcile) if isinstance(call, Reconcile)]
    assert [[each.task_id for each in call.tasks] for call in asked] == [["delays.1.0.0", "delays.1.1.0"]]
    assert cluster.until(lambda: running(cluster, 2), within=30) < 10
    assert view(cluster).restarts == 2


def test_everything_is_asked_about_once_an_hour_by_name_too() -> None:
    """An answer to "what do you know of us" leaves out what the master does not know."""
    cluster = with_a_job(MemoryStore())
    cluster.calls.clear()
    cluster.advance(3700, step=2.0)
    asked = [call for call in cluster.sent(Reconcile) if isinstance(call, Reconcile)]
    assert [[each.task_id for each in call.tasks] for call in asked] == [[], ["delays.1.0.0", "delays.1.1.0"]]
