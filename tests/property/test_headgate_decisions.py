"""What holds of every plan, whatever the snapshot: resources, offers, the gate, purity, rest."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from paper_cluster import GIB, SETTINGS, PaperCluster, job_spec, started

import headgate
import millstream
from headgate.core.decide import decide
from headgate.core.demand import best_workers, fullest
from headgate.model.ids import AgentId, Attempt, JobName, OfferId, ShardId, TaskId
from headgate.model.job import JobSpec, Operator, Placement, Workers
from headgate.model.measurements import Heard
from headgate.model.offer import Offer
from headgate.model.plan import Ask, Assign, End, Place, Plan, Refuse
from headgate.model.record import Goal, JobRecord, JobState, Records
from headgate.model.resources import PortRange, Request, Resources
from headgate.model.shard import ShardRecord
from headgate.model.snapshot import AgentSeen, Link, Snapshot
from headgate.model.task import Stage, TaskRecord, WorkerRecord
from millstream.contract.report import Report, ShardReport, ShardState

NOW = 100_000.0
AGENTS = [AgentId(f"a{number}") for number in range(4)]


@st.composite
def specs(draw: st.DrawFn, name: str) -> JobSpec:
    return job_spec(
        name,
        workers=draw(st.integers(1, 5)),
        worker=Request(
            cpus_m=draw(st.integers(0, 4000)),
            mem_m=draw(st.integers(0, 4)) * GIB,
            gpus_m=draw(st.sampled_from([0, 0, 1000])),
            ports=draw(st.integers(0, 2)),
        ),
        role=draw(st.sampled_from(["*", "web"])),
        placement=tuple(
            draw(
                st.lists(
                    st.builds(
                        Placement,
                        attribute=st.sampled_from(["hostname", "rack"]),
                        operator=st.sampled_from([Operator.UNIQUE, Operator.GROUP_BY]),
                        weight=st.sampled_from([None, 1.0]),
                    ),
                    max_size=2,
                )
            )
        ),
    )


@st.composite
def offers(draw: st.DrawFn, number: int) -> Offer:
    agent = draw(st.sampled_from(AGENTS))
    first = draw(st.integers(0, 5)) * 100 + number * 1000
    return Offer(
        id=OfferId(f"o{number}"),
        agent_id=agent,
        hostname=f"{agent}.example",
        resources=Resources(
            cpus_m=draw(st.integers(0, 8000)),
            mem_m=draw(st.integers(0, 16)) * GIB,
            gpus_m=draw(st.sampled_from([0, 2000])),
            ports=(PortRange(begin=first, end=first + draw(st.integers(0, 3))),),
        ),
        received_at=NOW - draw(st.floats(0, 10)),
        role=draw(st.sampled_from(["*", "web"])),
        attributes={"rack": f"r{draw(st.integers(0, 2))}"},
    )


@st.composite
def tasks(draw: st.DrawFn, job: JobRecord, worker: int) -> TaskRecord:
    agent = draw(st.sampled_from(AGENTS))
    since = NOW - draw(st.floats(0, 400))
    return TaskRecord(
        attempt=Attempt(job=job.name, submission=job.submission, worker=worker, attempt=draw(st.integers(0, 3))),
        agent_id=agent,
        hostname=f"{agent}.example",
        resources=Resources(cpus_m=1000),
        stage=draw(st.sampled_from([stage for stage in Stage if stage is not Stage.ENDED])),
        launched_at=since,
        since=since,
        assignment_version=draw(st.integers(0, 9)),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """A connected scheduler with anything in its records, consistent or not."""
    jobs: dict[JobName, JobRecord] = {}
    found: dict[TaskId, TaskRecord] = {}
    workers: dict[tuple[JobName, int], WorkerRecord] = {}
    shards: dict[JobName, tuple[ShardRecord, ...]] = {}
    heard: dict[TaskId, Heard] = {}
    for number in range(draw(st.integers(0, 3))):
        spec = draw(specs(f"j{number}"))
        job = JobRecord(
            spec=spec,
            submission=number + 1,
            submitted_at=NOW - 500,
            goal=draw(st.sampled_from([Goal.RUN, Goal.RUN, Goal.CANCEL])),
            state=draw(st.sampled_from(JobState)),
            workers=draw(st.integers(1, 5)),
            assignment_version=10,
            shards_complete=draw(st.booleans()),
        )
        jobs[job.name] = job
        mine = [draw(tasks(job, worker)) for worker in draw(st.sets(st.integers(0, 6), max_size=5))]
        found.update((task.id, task) for task in mine)
        for worker in range(7):
            workers[job.name, worker] = WorkerRecord(
                job=job.name,
                worker=worker,
                attempts=4,
                failures=draw(st.integers(0, 2)),
                backoff_until=NOW + draw(st.sampled_from([-5.0, 0.0, 3.0, 100.0])),
                last_failure="it broke",
            )
        owners = st.sampled_from([None, *(task.id for task in mine), TaskId("nobody.1.0.0")])
        table = []
        for shard in range(draw(st.integers(0, 5))):
            owner = draw(owners)
            releasing = draw(st.sampled_from([None, None, 9])) if owner else None
            table.append(
                ShardRecord(
                    id=ShardId(f"s{shard}"),
                    epoch=draw(st.integers(0, 5)),
                    owner=owner,
                    releasing=releasing,
                    finished=draw(st.booleans()),
                    assigned_at=NOW - draw(st.floats(0, 20)),
                )
            )
        shards[job.name] = tuple(table)
        for task in mine:
            if draw(st.booleans()):
                owned = tuple(
                    ShardReport(shard=shard.id, epoch=shard.epoch, state=ShardState.RUNNING)
                    for shard in table
                    if shard.owner == task.id and draw(st.booleans())
                )
                report = Report(
                    job=job.name,
                    worker=task.worker,
                    task_id=task.id,
                    sequence=1,
                    assignment_version=draw(st.integers(0, 10)),
                    revision="ab",
                    owned=owned,
                )
                heard[task.id] = Heard(report=report, at=NOW - draw(st.floats(0, 30)))
    in_hand = [draw(offers(number)) for number in range(draw(st.integers(0, 6)))]
    unanswered = tuple(sorted(draw(st.sets(st.sampled_from(sorted(found))))) if found else ())
    return Snapshot(
        now=NOW,
        settings=SETTINGS,
        awake_since=NOW - 1000,
        records=Records(jobs=jobs, tasks=found, workers=workers, shards=shards),
        link=Link(
            connected=True,
            since=NOW - draw(st.floats(0, 90)),
            heard_at=NOW - draw(st.sampled_from([0.0, 14.0, 80.0])),
            unanswered=unanswered,
            asked=draw(st.integers(0, 3)),
            asked_at=NOW - 1,
        ),
        offers={offer.id: offer for offer in in_hand},
        doubtful=frozenset(draw(st.sets(st.sampled_from([offer.id for offer in in_hand])))) if in_hand else frozenset(),
        agents={
            offer.agent_id: AgentSeen(
                agent_id=offer.agent_id,
                hostname=offer.hostname,
                role=offer.role,
                offered=offer.resources,
                at=NOW,
                attributes=offer.attributes,
            )
            for offer in in_hand
        },
        heard=heard,
        strays=dict.fromkeys([TaskId("stray.1.0.0")], AGENTS[0]) if draw(st.booleans()) else {},
    )


def places(plan: Plan) -> list[Place]:
    return [step for step in plan.steps if isinstance(step, Place)]


@settings(max_examples=200, deadline=None)
@given(snapshots())
def test_what_holds_of_every_plan(snapshot: Snapshot) -> None:
    """Offers once and never overdrawn, launches only behind the open gate and recorded, one owner, growing epochs."""
    plan = decide(snapshot)
    used = Counter(offer_id for step in plan.steps if isinstance(step, Place | Refuse) for offer_id in step.offer_ids)
    assert all(count == 1 for count in used.values())
    assert set(used) <= set(snapshot.offers)
    gate_open = not snapshot.link.unanswered or (
        snapshot.link.asked > 0 and NOW - (snapshot.link.since or NOW) >= SETTINGS.patience.reconcile_gate_s
    )
    assert gate_open or not places(plan)
    if gate_open:
        assert set(used) == set(snapshot.offers)
    for place in places(plan):
        assert not set(place.offer_ids) & snapshot.doubtful
        held = [snapshot.offers[offer_id] for offer_id in place.offer_ids]
        assert {(offer.agent_id, offer.role) for offer in held} == {(place.agent_id, held[0].role)}
        total = Resources()
        for offer in held:
            total += offer.resources
        given_out = place.left
        for start in place.starts:
            given_out += start.resources
            assert start.spec.role == held[0].role
            record = plan.records.tasks[start.attempt.task_id]
            assert record.stage is Stage.LAUNCHING
            assert start.attempt.task_id not in snapshot.records.tasks
        assert given_out == total
    for name, job in plan.records.jobs.items():
        live = Counter(task.worker for task in plan.records.tasks.values() if task.job == name)
        before = Counter(task.worker for task in snapshot.records.tasks.values() if task.job == name)
        started_now = [
            start.attempt.worker for place in places(plan) for start in place.starts if start.spec.name == name
        ]
        assert all(worker < job.workers and not job.state.leaving for worker in started_now)
        assert all(live[worker] <= max(1, before[worker]) for worker in live)
        earlier = {shard.id: shard for shard in snapshot.records.shards.get(name, ())}
        assert job.assignment_version >= snapshot.records.jobs[name].assignment_version
        for shard in plan.records.shards.get(name, ()):
            was = earlier[shard.id]
            assert shard.epoch >= was.epoch
            assert shard.owner is None or shard.owner == was.owner or shard.epoch > was.epoch
            assert shard.owner is None or plan.records.tasks[shard.owner].stage.owns
    for step in plan.steps:
        if isinstance(step, End) and step.task_id in plan.records.tasks:
            assert plan.records.tasks[step.task_id].stage is Stage.KILLING
        if isinstance(step, Assign):
            assert plan.records.tasks[TaskId(step.assignment.task_id)].assignment_version == step.assignment.version
        if isinstance(step, Ask) and step.gate:
            assert {task_id for task_id, _ in step.tasks} <= set(snapshot.link.unanswered)
    assert plan.wake_at is None or plan.wake_at > NOW


@settings(max_examples=100, deadline=None)
@given(snapshots())
def test_equal_snapshots_give_equal_plans(snapshot: Snapshot) -> None:
    """Also when mappings were filled in another order."""
    turned = replace(
        snapshot,
        offers=dict(reversed(snapshot.offers.items())),
        agents=dict(reversed(snapshot.agents.items())),
        records=replace(
            snapshot.records,
            jobs=dict(reversed(snapshot.records.jobs.items())),
            tasks=dict(reversed(snapshot.records.tasks.items())),
            workers=dict(reversed(snapshot.records.workers.items())),
        ),
    )
    assert snapshot == turned
    assert decide(snapshot) == decide(turned)


@settings(max_examples=100, deadline=None)
@given(snapshots())
def test_a_disconnected_scheduler_does_nothing(snapshot: Snapshot) -> None:
    """And says so."""
    plan = decide(replace(snapshot, link=Link()))
    assert plan.steps == ()
    assert plan.records == snapshot.records
    assert plan.idle == "not connected to a master"


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 6), st.integers(0, 12), st.integers(1, 4), st.floats(0, 200))
def test_a_plan_on_a_satisfied_snapshot_is_empty(workers: int, shards: int, agents: int, arrivals: float) -> None:
    """Once the job runs, every further decision changes and sends nothing, for as long as nothing happens."""
    cluster = PaperCluster(agents, cpus=6)
    cluster.put_shards("delays", shards, arrivals_per_s=arrivals)
    scheduler = started(cluster, job_spec(workers=workers))
    cluster.advance(60)
    calls = len(cluster.calls)
    for _ in range(20):
        cluster.advance(1)
        snapshot = scheduler._world.snapshot(cluster.now)
        plan = decide(snapshot)
        assert plan.steps == ()
        assert plan.records == snapshot.records
    assert len(cluster.calls) == calls


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.floats(0, 400), min_size=1, max_size=10),
    st.integers(1, 3),
    st.integers(3, 8),
)
def test_scaling_stays_in_bounds_and_holds_still_on_steady_input(
    arrivals: list[float], lowest: int, highest: int
) -> None:
    """After it has found its number it changes nothing for ten minutes."""
    cluster = PaperCluster(4)
    cluster.put_shards("delays", len(arrivals))
    for shard, rate in zip(cluster.shards["delays"].values(), arrivals, strict=True):
        shard.arrivals_per_s = rate
    scheduler = started(cluster, job_spec(workers=Workers(min=lowest, max=highest, initial=lowest)))
    cluster.advance(400, step=0.5)
    wished = Counter[int]()
    for _ in range(600):
        cluster.advance(1, step=0.5)
        wished[scheduler.view.jobs[0].workers_wished] += 1
    assert len(wished) == 1, wished
    assert lowest <= next(iter(wished)) <= highest


@given(st.lists(st.floats(0, 3), max_size=12), st.floats(0.25, 4), st.integers(0, 3), st.integers(3, 9))
def test_best_workers_carry_the_demand_if_anything_does(
    demands: list[float], cores: float, lowest: int, highest: int
) -> None:
    """Within bounds; the fullest is within its cores, or one shard alone is too much, or there are no more workers."""
    found = best_workers(demands, cores=cores, lowest=lowest, highest=highest)
    assert lowest <= found <= highest
    if any(demands) and found < highest:
        assert fullest(demands, max(1, found)) <= max(cores, *demands) * (1 + 1e-6)


def a_long_story() -> str:
    """A digest of every call and every record of a run with all kinds of trouble."""
    cluster = PaperCluster(3)
    cluster.add_agent("gpu", gpus=2, rack="r1", tags=frozenset({"x", "y", "z"}))
    cluster.put_shards("delays", 9, arrivals_per_s=150)
    cluster.put_shards("other", 4)
    spread = (Placement(attribute="hostname", operator=Operator.UNIQUE, weight=1.0),)
    scheduler = started(
        cluster,
        job_spec(workers=Workers(min=1, max=6, initial=2), placement=spread),
        job_spec("other", workers=3, role="web", worker=Request(cpus_m=500, mem_m=GIB)),
        job_spec("never", worker=Request(cpus_m=64_000)),
    )
    cluster.advance(40)
    cluster.end(min(task.id for task in cluster.live("delays")))
    cluster.advance(20)
    cluster.lose_agent("a0")
    cluster.advance(60)
    cluster.regain_agent("a0")
    scheduler.scale(JobName("other"), 1)
    cluster.advance(60)
    records = scheduler._world.ledger.frozen()
    told = "\n".join([*map(repr, cluster.calls), repr(records), repr(scheduler.view.events)])
    return hashlib.sha256(told.encode()).hexdigest()


def test_a_run_is_the_same_under_any_hash_seed() -> None:
    """The order of sets of text differs from process to process; no decision may."""
    found = set()
    folders = [Path(__file__).parent, Path(__file__).parent.parent / "unit" / "headgate"]
    folders += [Path(str(package.__file__)).parents[1] for package in (headgate, millstream)]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(map(str, folders))}
        code = "import test_headgate_decisions as t; print(t.a_long_story())"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1
