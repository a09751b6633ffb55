"""Much is lost at once: what would make it worse waits, and goes on by itself.

Source of the idea: Singularity's disaster detection.
"""

from __future__ import annotations

from dataclasses import replace

from paper_cluster import ENGINES, SETTINGS, PaperClock, PaperCluster, job_spec, started
from test_loop_jobs import JOB, running, view

from headgate.adapters.memory_store import MemoryStore
from headgate.core.disaster import AGENTS_MAX, count_loss
from headgate.core.ledger import Ledger
from headgate.loop import Scheduler
from headgate.model.call import Accept, Kill
from headgate.model.ids import AgentId
from headgate.model.job import Workers
from headgate.model.note import NoteKind
from headgate.model.record import Records
from headgate.model.settings import Disaster, Settings
from headgate.model.stored import encoded, flattened
from headgate.model.task import Stage

RULES = SETTINGS.disaster


def large(store: MemoryStore | None = None, *, agents: int = 10, workers: int = 20) -> PaperCluster:
    """Ten agents, two workers on each."""
    cluster = PaperCluster(agents, cpus=2)
    cluster.put_shards(JOB, 2 * workers)
    cluster.attach(store or MemoryStore()).submit(job_spec(workers=Workers(min=1, max=40, initial=workers)))
    cluster.tick()
    cluster.until(lambda: running(cluster, workers))
    assert cluster.scheduler is not None
    cluster.scheduler.scale(JOB, workers)
    cluster.tick()
    return cluster


def disaster(cluster: PaperCluster) -> str | None:
    assert cluster.scheduler is not None
    return cluster.scheduler.view.disaster


def said(cluster: PaperCluster) -> list[str]:
    assert cluster.scheduler is not None
    return [note.text for note in cluster.scheduler.view.events if "disaster mode" in note.text]


def test_two_agents_are_no_disaster() -> None:
    """Of ten: their workers are replaced after the usual time, all at once."""
    cluster = large()
    cluster.add_agent("spare", cpus=8)
    cluster.lose_agent("a0")
    cluster.lose_agent("a1")
    cluster.advance(1)
    assert disaster(cluster) is None
    cluster.until(lambda: view(cluster).workers_ready == 20, within=60)


def test_one_agent_is_no_disaster_however_much_runs_there() -> None:
    """All twelve workers on it; it is what replacing is for."""
    cluster = PaperCluster(1, cpus=12)
    cluster.put_shards(JOB, 12)
    started(cluster, job_spec(workers=12))
    cluster.until(lambda: running(cluster, 12))
    cluster.add_agent("spare", cpus=12)
    cluster.lose_agent("a0")
    cluster.until(lambda: view(cluster).workers_ready == 12, within=60)
    assert said(cluster) == []


def test_replacements_go_out_a_few_at_a_time_while_it_lasts() -> None:
    """Eight of ten agents are cut off: never more launches on their way than allowed, and all run in the end."""
    cluster = large()
    cluster.add_agent("spare", cpus=40)
    for number in range(8):
        cluster.lose_agent(f"a{number}")
    cluster.advance(1)
    assert disaster(cluster) == "16 of 20 workers were lost on 8 of 10 agents within 120 s"
    cluster.start_s = 5.0
    most = 0
    begun = cluster.now
    while view(cluster).workers_ready < 20:
        cluster.advance(0.25)
        on_way = sum(worker.stage in (Stage.LAUNCHING, Stage.STARTING) for worker in view(cluster).workers)
        most = max(most, on_way)
        waiting = view(cluster).waiting
        if on_way == RULES.starting_max:
            assert waiting is not None
            assert "launches wait for those on their way; disaster mode: 16 of 20 workers" in waiting.text
        assert cluster.now - begun < 120
    assert most == RULES.starting_max


def test_it_ends_by_itself_and_what_waited_is_done() -> None:
    """The copies that came back are left alone while it lasts, and killed when it is calm."""
    cluster = large()
    cluster.add_agent("spare", cpus=40)
    for number in range(8):
        cluster.lose_agent(f"a{number}")
    cluster.advance(1)
    cluster.until(lambda: view(cluster).workers_ready == 20, within=120)
    for number in range(8):
        cluster.regain_agent(f"a{number}")
    cluster.advance(10)
    assert len(cluster.live()) == 36
    assert not cluster.sent(Kill)
    took = cluster.until(lambda: disaster(cluster) is None, within=300)
    cluster.until(lambda: len(cluster.live()) == 20, within=10)
    assert took > RULES.calm_s
    assert len(said(cluster)) == 2
    assert said(cluster)[1].startswith("disaster mode is over after")


def test_workers_that_fall_silent_together_are_not_killed_together() -> None:
    """A network that is cut between agents and master, which has not noticed: they report again, nothing was done."""
    cluster = large()
    for task in cluster.live()[:12]:
        task.mute = True
    cluster.advance(60)
    assert disaster(cluster) is not None
    assert not cluster.sent(Kill)
    for task in cluster.live():
        task.mute = False
    cluster.advance(400)
    assert disaster(cluster) is None
    assert len(cluster.tasks) == 20


def test_workers_that_stay_silent_are_replaced_when_it_is_calm() -> None:
    """Waiting is no remedy for ever."""
    cluster = large()
    for task in cluster.live()[:12]:
        task.mute = True
    cluster.until(lambda: running(cluster, 20) and len(cluster.tasks) > 20, within=400)
    assert len(cluster.tasks) == 32


def test_nothing_is_scaled_down_in_a_disaster() -> None:
    """Mantis #676, #680: while a region failed over, scaling down had to be switched off by hand."""
    cluster = large()
    assert cluster.scheduler is not None
    for shard in cluster.shards[JOB].values():
        shard.arrivals_per_s = 20
    cluster.advance(130)
    cluster.scheduler.scale(JOB, None)
    for number in range(3):
        cluster.lose_agent(f"a{number}")
    cluster.advance(10)
    for number in range(3):
        cluster.regain_agent(f"a{number}")
    cluster.advance(20)
    assert disaster(cluster) is not None
    verdict = view(cluster).scaling
    assert verdict is not None
    assert "disaster mode: 6 of 20 workers were lost on 3 of 10 agents" in verdict.verdict
    assert view(cluster).workers_wished == 20
    cluster.until(lambda: view(cluster).workers_wished < 20, within=600)


def test_a_restart_waits_and_what_people_ask_for_does_not() -> None:
    """The next worker goes when it is calm; a number that a person sets is a person's concern."""
    cluster = large()
    assert cluster.scheduler is not None
    for number in range(3):
        cluster.lose_agent(f"a{number}")
    cluster.advance(1)
    for number in range(3):
        cluster.regain_agent(f"a{number}")
    cluster.scheduler.restart(JOB)
    cluster.advance(30)
    assert len(cluster.tasks) == 20
    cluster.scheduler.scale(JOB, 18)
    cluster.until(lambda: len(cluster.live()) == 18, within=60)
    assert disaster(cluster) is not None
    cluster.until(lambda: all(task.id.endswith(".1") for task in cluster.live()), within=1200)


def test_its_reason_is_told_once() -> None:
    """What began it, not every further loss: each change would be a write, and a note."""
    cluster = large()
    for number in range(3):
        cluster.lose_agent(f"a{number}")
        cluster.advance(1)
    first = disaster(cluster)
    for number in range(3, 8):
        cluster.lose_agent(f"a{number}")
        cluster.advance(1)
    assert disaster(cluster) == first
    assert len(said(cluster)) == 1


def test_a_new_leader_knows_of_the_disaster() -> None:
    """What was lost is in the store."""
    store = MemoryStore()
    cluster = large(store)
    for number in range(8):
        cluster.lose_agent(f"a{number}")
    cluster.advance(1)
    before = disaster(cluster)
    assert before is not None
    cluster.attach(store)
    cluster.advance(1)
    assert disaster(cluster) == before


def test_it_can_be_switched_off() -> None:
    """For who knows better."""
    cluster = PaperCluster(10, cpus=2)
    cluster.put_shards(JOB, 20)
    settings = Settings(
        framework=SETTINGS.framework, bundles_url=SETTINGS.bundles_url, disaster=Disaster(enabled=False)
    )
    scheduler = Scheduler(
        clock=PaperClock(cluster), master=cluster, store=MemoryStore(), engines=ENGINES, settings=settings
    )
    cluster.scheduler = scheduler
    cluster.subscribe()
    scheduler.submit(job_spec(workers=20))
    cluster.tick()
    cluster.until(lambda: running(cluster, 20))
    for number in range(8):
        cluster.lose_agent(f"a{number}")
    cluster.advance(5)
    assert said(cluster) == []


def test_launches_are_ramped_at_all_times() -> None:
    """Marathon #4797, #5285: fifty thousand at once killed what ran; ramping from outside took an hour off four.

    No more are on their way than `starting_max`; a job that no agent takes does not keep the others waiting.
    """
    cluster = PaperCluster(4, cpus=16)
    cluster.put_shards(JOB, 40)
    cluster.put_shards("small", 2)
    cluster.start_s = 3.0
    patience = replace(SETTINGS.patience, starting_max=8)
    scheduler = Scheduler(
        clock=PaperClock(cluster),
        master=cluster,
        store=MemoryStore(),
        engines=ENGINES,
        settings=replace(SETTINGS, patience=patience),
    )
    cluster.scheduler = scheduler
    cluster.subscribe()
    scheduler.submit(job_spec("huge", workers=10, worker=replace(job_spec().worker, cpus_m=999_000)))
    scheduler.submit(job_spec(workers=Workers(min=1, max=60, initial=40)))
    scheduler.submit(job_spec("small", workers=2))
    cluster.tick()
    most = 0
    while not (running(cluster, 2, name="small") and view(cluster).workers_ready == 40):
        cluster.advance(0.25)
        on_way = [w for job in scheduler.view.jobs for w in job.workers if w.stage in (Stage.LAUNCHING, Stage.STARTING)]
        most = max(most, len(on_way))
        assert cluster.now < 1_000_200
    assert most <= 8 + 3
    assert len(cluster.sent(Accept)) > 4


def test_what_is_remembered_of_a_disaster_is_small() -> None:
    """Ten thousand tasks on as many agents, lost in a minute: one record, far below what a store takes."""
    ledger = Ledger(Records())
    for number in range(10_000):
        count_loss(ledger, AgentId(f"9f3c0f52-7a4e-4f19-9f2c-0d54b1f3a1c7-S{number}"), 5000.0 + number * 0.006)
    losses = ledger.framework.disaster.losses
    assert sum(each.tasks for each in losses) == 10_000
    assert max(len(each.agents) for each in losses) == AGENTS_MAX
    (record,) = flattened(ledger.frozen()).values()
    assert len(encoded("framework", record)) < 128 * 1024


def test_its_beginning_is_a_problem_in_the_events() -> None:
    """With what waits, and how many launches are let through."""
    cluster = large()
    for number in range(8):
        cluster.lose_agent(f"a{number}")
    cluster.advance(1)
    assert cluster.scheduler is not None
    (note,) = [note for note in cluster.scheduler.view.events if "disaster" in note.text]
    assert note.kind is NoteKind.PROBLEM
    assert note.text == (
        "disaster mode: 16 of 20 workers were lost on 8 of 10 agents within 120 s. "
        "Kills, scaling down and restarts wait; at most 10 launches are on their way at once"
    )
