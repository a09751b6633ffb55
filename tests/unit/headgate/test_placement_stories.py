"""What went wrong for others in placing work, told on the paper cluster: each story has its source."""

from __future__ import annotations

import pytest
from paper_cluster import GIB, SETTINGS, PaperCluster, job_spec, started

from headgate.adapters.memory_store import MemoryStore
from headgate.adapters.mesos_codec_launch import executor_and_task
from headgate.model.call import Accept, Launch, UpdateFramework
from headgate.model.ids import AgentId, JobName
from headgate.model.job import JobSpec, Operator, Placement, Restart, Workers
from headgate.model.note import NoteKind
from headgate.model.resources import Request, Resources
from headgate.model.status import TaskState
from headgate.model.view import JobView
from headgate.model.waiting import VetoKind

BIG = Request(cpus_m=4000, mem_m=GIB)


def view(cluster: PaperCluster, name: str = "delays") -> JobView:
    assert cluster.scheduler is not None
    found = cluster.scheduler.view.find_job(name)
    assert found is not None
    return found


def hosts(cluster: PaperCluster, name: str = "delays") -> list[str]:
    return sorted(task.launch.agent_id for task in cluster.live(name))


def rule(attribute: str, operator: Operator, value: str | None = None) -> tuple[Placement, ...]:
    return (Placement(attribute=attribute, operator=operator, value=value),)


def test_a_small_job_is_not_starved_by_a_big_one() -> None:
    """Storm PR #93: what is free is measured by each job's own need, not by the largest of all."""
    cluster = PaperCluster(1, cpus=4)
    started(cluster, job_spec("big", worker=Request(cpus_m=8000)), job_spec("small", workers=4))
    cluster.until(lambda: len(cluster.live("small")) == 4, within=5)
    assert not cluster.live("big")


def test_a_job_that_can_never_run_blocks_no_other_of_the_same_role() -> None:
    """Cook #107: one unschedulable job, first in the queue, held up all of its owner's others."""
    cluster = PaperCluster(2)
    never = job_spec("a-first", workers=9, placement=rule("rack", Operator.IS, "nowhere"))
    started(cluster, never, job_spec("b-next", workers=2))
    cluster.until(lambda: len(cluster.live("b-next")) == 2, within=5)


def test_what_can_never_fit_is_said_aloud_with_what_there_is() -> None:
    """Marathon #1969: as soon as it lasts, in the job's history, and not again and again."""
    cluster = PaperCluster(2, cpus=4)
    started(cluster, job_spec(worker=Request(cpus_m=64_000, mem_m=GIB)))
    cluster.advance(60)
    waiting = view(cluster).waiting
    assert waiting is not None
    assert waiting.never == "cpus: wants 64, the largest agent known has 4"
    notes = [note.text for note in view(cluster).history if note.kind is NoteKind.WAITING]
    assert notes == ["can never fit: cpus: wants 64, the largest agent known has 4"]


def test_what_is_merely_full_could_fit() -> None:
    """Marathon #1969: what our own tasks have counts as the agent's."""
    cluster = PaperCluster(1, cpus=4)
    started(cluster, job_spec("there", workers=4), job_spec("late", worker=BIG))
    cluster.advance(60)
    waiting = view(cluster, "late").waiting
    assert waiting is not None
    assert waiting.never is None
    assert waiting.fitting == 0


def test_rescinded_offers_are_no_shortage() -> None:
    """Fenzo #74: leases that expired looked like agents that were gone, and the cluster was scaled up."""
    cluster = PaperCluster(2)
    scheduler = started(cluster, job_spec())
    cluster.advance(5)
    before = scheduler.dry_run(job_spec("more", workers=7))
    for agent in ("a0", "a1"):
        cluster.lose_agent(agent)
    cluster.advance(1)
    after = scheduler.dry_run(job_spec("more", workers=7))
    assert before is not None
    assert after is not None
    assert len(before.starts) == 7
    assert len(after.starts) == 7


@pytest.mark.parametrize("cpus_m", [5, 10, 11, 500, 1500])
@pytest.mark.parametrize("mem_m", [16_000, 32_000, 32_001, GIB])
def test_the_executor_is_within_what_a_worker_is_given(cpus_m: int, mem_m: int) -> None:
    """Fenzo #110: a custom executor of half a cpu that nobody counted, and TASK_ERROR from the sixth task on."""
    worker = Resources(cpus_m=cpus_m, mem_m=mem_m, disk_m=GIB, gpus_m=1000)
    executor, task = executor_and_task(worker)
    assert executor + task == worker
    assert task.cpus_m > 0
    assert task.mem_m > 0


def test_thousandths_add_up() -> None:
    """Fenzo PR #186: ten workers of a tenth are one cpu, and there is no eleventh; floats would say otherwise."""
    cluster = PaperCluster(1, cpus=1)
    cluster.add_agent("gpu", cpus=1, gpus=3)
    tenth = Request(cpus_m=100, mem_m=GIB // 10)
    gpu = Request(cpus_m=100, mem_m=GIB // 10, gpus_m=1000)
    started(cluster, job_spec("tenths", workers=11, worker=tenth), job_spec("gpus", workers=4, worker=gpu))
    cluster.advance(20)
    assert hosts(cluster, "tenths") == ["a0"] * 10
    assert hosts(cluster, "gpus") == ["gpu"] * 3


def test_groups_are_counted_over_all_known_agents_and_running_workers() -> None:
    """Marathon #3220, #2637: a rack whose agents are not on offer at the moment is a rack all the same."""
    cluster = PaperCluster(0)
    for number in range(4):
        cluster.add_agent(f"a{number}", cpus=4, rack=f"r{number % 2}")
    scheduler = started(cluster, job_spec(workers=2, placement=rule("rack", Operator.GROUP_BY)))
    cluster.until(lambda: len(cluster.live()) == 2)
    # The only agents on offer from now on are those of one rack.
    for number in (1, 3):
        cluster.agents[AgentId(f"a{number}")].reachable = False
    cluster.advance(3)
    scheduler.scale(JobName("delays"), 4)
    cluster.advance(30)
    assert [agent in ("a0", "a2") for agent in hosts(cluster)].count(True) == 2
    for number in (1, 3):
        cluster.agents[AgentId(f"a{number}")].reachable = True
    cluster.until(lambda: len(cluster.live()) == 4)
    assert [agent in ("a0", "a2") for agent in hosts(cluster)].count(True) == 2


def test_a_group_that_the_job_cannot_use_is_not_waited_for() -> None:
    """A rack of GPU agents, kept from the job, would hold an even spread up for ever."""
    cluster = PaperCluster(0)
    cluster.add_agent("a0", rack="r0")
    cluster.add_agent("gpu", gpus=1, rack="r1")
    gpu = Request(cpus_m=1000, mem_m=GIB, gpus_m=1000)
    started(cluster, job_spec("gpus", worker=gpu), job_spec(workers=3, placement=rule("rack", Operator.GROUP_BY)))
    cluster.until(lambda: hosts(cluster) == ["a0"] * 3)


def test_an_agent_with_gpus_is_kept_though_none_is_free() -> None:
    """Marathon MARATHON-8088/8089: with its GPUs in use it looks like any other agent."""
    cluster = PaperCluster(1, cpus=2)
    cluster.add_agent("gpu", cpus=8, gpus=1)
    gpu = Request(cpus_m=1000, mem_m=GIB, gpus_m=1000)
    started(cluster, job_spec("gpus", worker=gpu))
    cluster.until(lambda: len(cluster.live("gpus")) == 1)
    assert cluster.scheduler is not None
    cluster.scheduler.submit(job_spec("plain", workers=4))
    cluster.advance(20)
    assert hosts(cluster, "plain") == ["a0", "a0"]
    waiting = view(cluster, "plain").waiting
    assert waiting is not None
    assert VetoKind.GPUS_KEPT in {each.kind for each in waiting.vetoed}


def test_which_agents_have_gpus_outlives_the_scheduler() -> None:
    """marathon, preferential GPU scheduling: a new scheduler sees no GPU in the offers of an agent in full use."""
    store = MemoryStore()
    cluster = PaperCluster(1, cpus=1)
    cluster.add_agent("gpu", cpus=8, gpus=1)
    scheduler = cluster.attach(store)
    scheduler.submit(job_spec("gpus", worker=Request(cpus_m=1000, mem_m=GIB, gpus_m=1000)))
    cluster.tick()
    cluster.until(lambda: len(cluster.live("gpus")) == 1)
    scheduler = cluster.attach(store)
    scheduler.submit(job_spec("plain", workers=3))
    cluster.advance(20)
    assert hosts(cluster, "plain") == ["a0"]
    (gpu,) = [agent for agent in scheduler.view.agents if agent.id == "gpu"]
    assert gpu.has_gpus


def test_work_without_gpus_runs_where_every_agent_has_them() -> None:
    """Cook #794 → #803: kept agents and nothing but such agents; first they have to be asked for, too."""
    cluster = PaperCluster(0)
    cluster.hides_gpus = True
    for number in range(2):
        cluster.add_agent(f"g{number}", gpus=1)
    started(cluster, job_spec(workers=2))
    cluster.advance(5)
    assert not cluster.sent(UpdateFramework)
    cluster.until(lambda: len(cluster.live()) == 2, within=60)
    cluster.advance(30)
    # Asked for as long as they were needed.
    assert "GPU_RESOURCES" not in cluster.capabilities


def test_agents_with_gpus_are_looked_at_when_no_other_is_large_enough() -> None:
    """They may be the larger ones; where they are not, they are not asked for any longer."""
    cluster = PaperCluster(1, cpus=2)
    cluster.hides_gpus = True
    cluster.add_agent("gpu", cpus=8, gpus=1)
    started(cluster, job_spec("large", worker=BIG), job_spec("huge", worker=Request(cpus_m=64_000)))
    cluster.until(lambda: hosts(cluster, "large") == ["gpu"], within=60)
    cluster.advance(10)
    assert "GPU_RESOURCES" not in cluster.capabilities


def crashing(cluster: PaperCluster, agent: str, times: int) -> None:
    """So many workers fail on that agent, one after the other."""
    failed = 0
    while failed < times:
        for task in cluster.live():
            if task.launch.agent_id == agent and task.state is TaskState.RUNNING:
                cluster.end(task.id)
                failed += 1
        cluster.advance(0.5)


def quick() -> JobSpec:
    return job_spec(restart=Restart(backoff_s=0.1, backoff_max_s=0.1))


def test_an_avoided_agent_is_used_when_the_others_stay_full() -> None:
    """Spark SPARK-19755: two failures banned an agent for ever; here others come first, and then it will do."""
    cluster = PaperCluster(1, cpus=4)
    cluster.add_agent("other", cpus=8)
    scheduler = started(cluster, quick())
    cluster.until(lambda: hosts(cluster) == ["a0"])
    crashing(cluster, "a0", 3)
    cluster.until(lambda: hosts(cluster) == ["other"])
    scheduler.scale(JobName("delays"), 9)
    cluster.until(lambda: hosts(cluster) == ["other"] * 8)
    cluster.advance(SETTINGS.patience.avoid_bends_s - 20)
    assert hosts(cluster) == ["other"] * 8
    cluster.until(lambda: hosts(cluster) == ["a0", *["other"] * 8], within=30)


def test_what_an_agent_did_outlives_the_scheduler() -> None:
    """The memory of dcos-commons, Marathon and task_processing ends with the process; ours does not."""
    store = MemoryStore()
    cluster = PaperCluster(1, cpus=4)
    cluster.add_agent("other", cpus=8)
    scheduler = cluster.attach(store)
    scheduler.submit(quick())
    cluster.tick()
    cluster.until(lambda: hosts(cluster) == ["a0"])
    crashing(cluster, "a0", 3)
    scheduler = cluster.attach(store)
    cluster.until(lambda: hosts(cluster) == ["other"])
    cluster.advance(2)
    (shown,) = [agent for agent in scheduler.view.agents if agent.id == "a0"]
    assert shown.avoided_until is not None


@pytest.mark.parametrize("asks", [False, True])
def test_another_region_is_used_on_request_alone(asks: bool) -> None:
    """Mesos, fault-domains: remote agents are for frameworks, and jobs, that ask for them."""
    cluster = PaperCluster(0)
    cluster.region = "eu"
    cluster.add_agent("far", region="us", cpus=8)
    cluster.add_agent("near", region="eu", cpus=1)
    placement = rule("@region", Operator.LIKE, "eu|us") if asks else ()
    started(cluster, job_spec(workers=2, placement=placement))
    cluster.advance(20)
    assert hosts(cluster) == (["far", "near"] if asks else ["near"])
    waiting = view(cluster).waiting
    assert (waiting is None) is asks
    if waiting is not None:
        assert VetoKind.REGION in {each.kind for each in waiting.vetoed}


def gang(name: str, workers: int, **changes: object) -> JobSpec:
    return job_spec(name, workers=Workers(min=workers, max=workers, initial=workers, gang=True), **changes)


def launches(cluster: PaperCluster, name: str) -> list[list[Launch]]:
    """Those of a job, ACCEPT by ACCEPT."""
    accepts = [call.launches for call in cluster.sent(Accept)]  # type: ignore[attr-defined]
    found = [[each for each in made if each.task_id.startswith(f"{name}.")] for made in accepts]
    return [each for each in found if each]


def test_a_gang_starts_whole_over_several_agents() -> None:
    """Six workers on two agents, all within one decision."""
    cluster = PaperCluster(2, cpus=3)
    started(cluster, gang("g", 6))
    cluster.until(lambda: len(cluster.live("g")) == 6, within=10)
    assert len({task.launched_at for task in cluster.live("g")}) == 1


def test_a_gang_gathers_for_a_while_and_says_so() -> None:
    """What is there is held, not longer than it may be, and given back whole."""
    cluster = PaperCluster(1, cpus=4)
    started(cluster, gang("g", 6))
    cluster.until(lambda: view(cluster, "g").waiting is not None and bool(cluster.offers))
    cluster.advance(5)
    waiting = view(cluster, "g").waiting
    assert waiting is not None
    assert waiting.gathered == 4
    assert waiting.held_until is not None
    assert waiting.text.startswith("6 workers wait: they start all at once; there is room for 4 of 6, held for ")
    assert cluster.offers
    cluster.advance(SETTINGS.patience.gang_hold_s)
    assert not launches(cluster, "g")
    assert view(cluster, "g").waiting is not None
    cluster.add_agent("late", cpus=4)
    cluster.until(lambda: len(cluster.live("g")) == 6, within=90)


def test_what_a_gang_holds_comes_back_for_others() -> None:
    """A gang that is too large for the cluster takes nothing from a job that came later for good."""
    cluster = PaperCluster(1, cpus=4)
    started(cluster, gang("g", 9))
    cluster.advance(5)
    assert cluster.scheduler is not None
    cluster.scheduler.submit(job_spec("small", workers=4))
    cluster.until(lambda: len(cluster.live("small")) == 4, within=SETTINGS.patience.gang_hold_s + 5)


def test_a_gang_that_lost_a_worker_replaces_it_alone() -> None:
    """All or none holds for a start, not for a repair."""
    cluster = PaperCluster(2, cpus=3)
    started(cluster, gang("g", 5, restart=Restart(backoff_s=0.1, backoff_max_s=0.1)))
    cluster.until(lambda: len([task for task in cluster.live("g") if task.state is TaskState.RUNNING]) == 5)
    cluster.end(cluster.live("g")[0].id)
    cluster.until(lambda: len(cluster.live("g")) == 5, within=10)


def test_a_gang_is_not_cut_by_what_backs_off() -> None:
    """After all of its workers failed it starts whole again, when the last of them may."""
    cluster = PaperCluster(2, cpus=3)
    started(cluster, gang("g", 5, restart=Restart(backoff_s=3.0, backoff_max_s=10.0)))
    cluster.until(lambda: len([task for task in cluster.live("g") if task.state is TaskState.RUNNING]) == 5)
    for task in cluster.live("g"):
        cluster.end(task.id)
        cluster.advance(0.5)
    cluster.until(lambda: len(cluster.live("g")) == 5, within=60)
    assert len({task.launched_at for task in cluster.live("g")}) == 1


def test_two_gangs_never_hold_each_other_up() -> None:
    """Each fits alone, both together do not, and agents come one by one: first the one, then the other."""
    cluster = PaperCluster(0)
    started(cluster, gang("one", 6), gang("two", 6))
    for number in range(3):
        cluster.add_agent(f"a{number}", cpus=2)
        cluster.advance(7)
    cluster.until(lambda: len(cluster.live("one")) == 6 or len(cluster.live("two")) == 6, within=120)
    for number in range(3, 6):
        cluster.add_agent(f"a{number}", cpus=2)
        cluster.advance(20)
    cluster.until(lambda: len(cluster.live("one")) == 6 and len(cluster.live("two")) == 6, within=180)


def test_a_gang_too_large_keeps_its_turn_from_nobody() -> None:
    """The older gang can never be whole; the younger has its turn when the older one rests."""
    cluster = PaperCluster(0)
    started(cluster, gang("large", 9), gang("small", 4))
    for number in range(2):
        cluster.add_agent(f"a{number}", cpus=2)
        cluster.advance(10)
    cluster.until(lambda: len(cluster.live("small")) == 4, within=180)


def test_a_gang_that_rests_still_says_how_much_room_there_is() -> None:
    """Not that an agent would fit, which is true and no help."""
    cluster = PaperCluster(1, cpus=4)
    started(cluster, gang("g", 6))
    cluster.advance(SETTINGS.patience.gang_hold_s + 5)
    waiting = view(cluster, "g").waiting
    assert waiting is not None
    assert waiting.held_until is None
    assert waiting.text == "6 workers wait: they start all at once; there is room for 4 of 6"
