"""What people ask between decisions: what of this agent, and what if this job were submitted."""

from __future__ import annotations

from paper_cluster import GIB, PaperCluster, job_spec

from headgate.adapters.memory_store import MemoryStore
from headgate.loop import Scheduler
from headgate.model.ids import AgentId, JobName
from headgate.model.job import JobSpec, Operator, Placement, Workers
from headgate.model.resources import Request
from headgate.model.waiting import VetoKind

BIG = Request(cpus_m=3000, mem_m=GIB)


def started(cluster: PaperCluster, *specs: JobSpec) -> Scheduler:
    scheduler = cluster.attach(MemoryStore())
    cluster.tick()
    for spec in specs:
        scheduler.submit(spec)
    cluster.advance(10)
    return scheduler


def test_a_dry_run_says_where_workers_would_start_and_changes_nothing() -> None:
    """Packed onto the fullest agent, for a role that was never offered anything too."""
    cluster = PaperCluster(2, cpus=4)
    scheduler = started(cluster, job_spec("there", worker=BIG))
    calls = len(cluster.calls)
    found = scheduler.dry_run(job_spec("new", workers=3, role="web"))
    assert found is not None
    assert [(each.worker, each.hostname) for each in found.starts] == [
        (0, "a0.example"),
        (1, "a1.example"),
        (2, "a1.example"),
    ]
    assert found.text == "3 of 3 workers would start now: 1 on a0.example, 2 on a1.example"
    assert found.role_assumed
    assert found.waiting is None
    cluster.advance(5)
    assert len(cluster.calls) == calls
    assert [job.name for job in scheduler.view.jobs] == ["there"]


def test_a_dry_run_says_what_would_not_start_and_why() -> None:
    """The same words and numbers as for a job that waits (marathon #1969: to be told before, not after)."""
    cluster = PaperCluster(2, cpus=4)
    scheduler = started(cluster, job_spec("there"))
    found = scheduler.dry_run(job_spec("new", workers=3, worker=BIG))
    assert found is not None
    assert [each.worker for each in found.starts] == [0, 1]
    assert found.waiting is not None
    assert found.text == (
        "2 of 3 workers would start now: 1 on a0.example, 1 on a1.example; "
        "worker 2 waits: none of 2 known agents fits (2 cpus); nearest is a1.example: cpus: wants 3, 1 free; "
        "fits if cpus ≤ 1, or something ends on one of the 2 agents that are large enough"
    )
    never = scheduler.dry_run(job_spec("huge", worker=Request(cpus_m=64_000)))
    assert never is not None
    assert never.waiting is not None
    assert never.waiting.never == "cpus: wants 64, the largest agent known has 4"


def test_a_dry_run_of_a_gang_is_all_or_nothing() -> None:
    """Room for two of three is room for none."""
    cluster = PaperCluster(2, cpus=4)
    scheduler = started(cluster, job_spec("there"))
    found = scheduler.dry_run(job_spec("gang", workers=Workers(min=3, max=3, initial=3, gang=True), worker=BIG))
    assert found is not None
    assert not found.starts
    assert found.waiting is not None
    assert found.waiting.workers == (0, 1, 2)


def test_an_agent_tells_what_became_of_its_offer_and_what_jobs_lack() -> None:
    """Used by whom, or refused and why; and each job that waits with its vetoes there."""
    cluster = PaperCluster(2, cpus=4)
    rack = Placement(attribute="rack", operator=Operator.IS, value="r1")
    scheduler = started(cluster, job_spec("runs"), job_spec("waits", worker=BIG, placement=(rack,)))
    used, refused = (scheduler.explain_agent(AgentId(name)) for name in ("a0", "a1"))
    assert used is not None
    assert refused is not None
    assert refused.fate is not None
    assert refused.fate.reason == "fits nothing that is wanted"
    assert refused.fate.refuse_s is not None
    (verdict,) = refused.verdicts
    assert verdict.job == JobName("waits")
    assert [veto.kind for veto in verdict.vetoes] == [VetoKind.PLACEMENT]
    assert used.free.cpus_m == 3000
    assert scheduler.explain_agent(AgentId("nobody")) is None
    shown = {agent.id: agent.fate for agent in scheduler.view.agents}
    assert shown[AgentId("a1")] == refused.fate


def test_an_offer_that_was_used_names_the_tasks() -> None:
    """Until the next offer of the agent meets its own fate."""
    cluster = PaperCluster(1, cpus=1)
    scheduler = started(cluster, job_spec("runs"))
    found = scheduler.explain_agent(AgentId("a0"))
    assert found is not None
    assert found.fate is not None
    assert found.fate.tasks == ("runs.1.0.0",)
    assert not found.in_hand
