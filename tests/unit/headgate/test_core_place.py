"""Placement: vetoes with their shortfalls, constraints, ranking, and who goes where."""

from dataclasses import replace

import pytest
from paper_cluster import GIB, job_spec

from headgate.core.attributes import attribute_text
from headgate.core.explain import cause, explain
from headgate.core.feasible import Surroundings, vetoes
from headgate.core.place import Placing, Want
from headgate.core.place import placing as placing_on
from headgate.core.placement import tally
from headgate.core.placing.fleet import Fleet
from headgate.core.placing.judgement import Judgement, judgement
from headgate.core.pool import Pool, pools_of
from headgate.core.surroundings import avoided_agents
from headgate.model.ids import AgentId, JobName, OfferId
from headgate.model.job import JobSpec, Operator, Placement, Strategy
from headgate.model.offer import AttributeValue, FaultDomain, Offer, Unavailability
from headgate.model.record import AgentFailure, AgentRecord
from headgate.model.resources import PortRange, Request, Resources
from headgate.model.settings import Patience
from headgate.model.snapshot import AgentSeen
from headgate.model.task import WorkerRecord
from headgate.model.waiting import VetoKind

AROUND = Surroundings(now=1000.0, maintenance_s=3600.0)
JOB = JobName("delays")


def pool(
    name: str,
    *,
    cpus: float = 4,
    mem: float = 8,
    gpus: int = 0,
    role: str = "*",
    ports: tuple[PortRange, ...] = (),
    has_gpus: bool | None = None,
    unavailability: Unavailability | None = None,
    domain: FaultDomain | None = None,
    **attributes: AttributeValue,
) -> Pool:
    return Pool(
        agent_id=AgentId(name),
        hostname=f"{name}.example",
        role=role,
        resources=Resources(
            cpus_m=round(cpus * 1000), mem_m=round(mem * GIB), disk_m=GIB, gpus_m=gpus * 1000, ports=ports
        ),
        offer_ids=(OfferId(f"o-{name}"),),
        attributes=attributes,
        domain=domain,
        unavailability=unavailability,
        has_gpus=bool(gpus) if has_gpus is None else has_gpus,
    )


def want(spec: JobSpec, *workers: int, around: Surroundings = AROUND, submission: int = 1) -> Want:
    return Want(spec=spec, submission=submission, workers=workers, around=around)


def placing(wants: list[Want], pools: list[Pool]) -> Placing:
    return placing_on(wants, Fleet(pools))


def judged(spec: JobSpec, known: list[Pool], around: Surroundings = AROUND) -> Judgement:
    return judgement(want(spec, 0, around=around), Fleet(known))


def homes(found: object) -> list[tuple[int, str]]:
    return [(each.worker, each.pool.agent_id) for each in found.placed]  # type: ignore[attr-defined]


def test_every_shortfall_is_named() -> None:
    """Not the first alone, and with what would do."""
    spec = job_spec(worker=Request(cpus_m=8500, mem_m=10 * GIB, disk_m=2 * GIB, gpus_m=1000, ports=2))
    found = vetoes(spec, pool("a", cpus=4, mem=3.5, ports=(PortRange(begin=1, end=1),)), {}, AROUND)
    assert [(veto.kind, veto.text, veto.remedy) for veto in found] == [
        (VetoKind.CPUS, "cpus: wants 8.5, 4 free", "cpus ≤ 4"),
        (VetoKind.MEM, "mem: wants 10GiB, 3.5GiB free", "mem ≤ 3.5GiB"),
        (VetoKind.DISK, "disk: wants 2GiB, 1GiB free", "disk ≤ 1GiB"),
        (VetoKind.GPUS, "gpus: wants 1, 0 free", "without gpus"),
        (VetoKind.PORTS, "ports: wants 2, 1 free", "ports ≤ 1"),
    ]
    assert all(veto.kind.of_amount for veto in found)


@pytest.mark.parametrize(
    ("given", "kind", "passing"),
    [
        (pool("a", role="web"), VetoKind.ROLE, False),
        (pool("a", has_gpus=True), VetoKind.GPUS_KEPT, False),
        (pool("bad"), VetoKind.AVOIDED, True),
        (pool("a", unavailability=Unavailability(start_at=4000.0)), VetoKind.MAINTENANCE, False),
        (pool("a", unavailability=Unavailability(start_at=900.0, duration_s=200.0)), VetoKind.MAINTENANCE, False),
    ],
)
def test_what_else_vetoes(given: Pool, kind: VetoKind, passing: bool) -> None:
    """Role, scarce GPUs, failures, maintenance."""
    around = replace(AROUND, avoided={AgentId("bad"): 1100.0})
    (veto,) = vetoes(job_spec(), given, {}, around)
    assert (veto.kind, veto.passing) == (kind, passing)


@pytest.mark.parametrize(
    "given",
    [
        pool("a", unavailability=Unavailability(start_at=4601.0)),
        pool("a", unavailability=Unavailability(start_at=900.0, duration_s=50.0)),
        pool("a", gpus=1),
    ],
)
def test_what_does_not_veto(given: Pool) -> None:
    """Maintenance far off or over; GPUs where every agent has them."""
    assert vetoes(job_spec(), given, {}, replace(AROUND, gpus_kept=False)) == ()


RACKS = frozenset({"r1", "r2", "r3"})


@pytest.mark.parametrize(
    ("operator", "value", "rack", "others", "fits"),
    [
        (Operator.UNIQUE, None, "r1", (), True),
        (Operator.UNIQUE, None, "r1", ("r2",), True),
        (Operator.UNIQUE, None, "r1", ("r1",), False),
        (Operator.UNIQUE, None, None, (), False),
        (Operator.MAX_PER, "2", "r1", ("r1",), True),
        (Operator.MAX_PER, "2", "r1", ("r1", "r1"), False),
        (Operator.GROUP_BY, None, "r1", (), True),
        (Operator.GROUP_BY, None, "r1", ("r1",), False),
        (Operator.GROUP_BY, None, "r1", ("r1", "r2", "r3"), True),
        (Operator.GROUP_BY, None, "r2", ("r1",), True),
        (Operator.GROUP_BY, "4", "r1", ("r1", "r2", "r3"), False),
        (Operator.GROUP_BY, "4", "r4", ("r1", "r2", "r3"), True),
        (Operator.CLUSTER, None, "r1", (), True),
        (Operator.CLUSTER, None, "r1", ("r2",), False),
        (Operator.CLUSTER, None, "r2", ("r2",), True),
        (Operator.CLUSTER, "r3", "r2", (), False),
        (Operator.IS, "r1", "r1", (), True),
        (Operator.IS, "r1", "r11", (), False),
        (Operator.LIKE, "r[12]", "r2", (), True),
        (Operator.LIKE, "r[12]", "r22", (), False),
        (Operator.LIKE, ".*", None, (), False),
        (Operator.UNLIKE, "r[12]", "r3", (), True),
        (Operator.UNLIKE, "r[12]", "r1", (), False),
        (Operator.UNLIKE, "r1", None, (), True),
    ],
)
def test_constraints(
    operator: Operator, value: str | None, rack: str | None, others: tuple[str, ...], fits: bool
) -> None:
    """Marathon's operators, over the racks of the job's other workers."""
    rule = Placement(attribute="rack", operator=operator, value=value)
    spec = job_spec(placement=(rule,))
    given = pool("a", **({} if rack is None else {"rack": rack}))
    counts = tally(spec.placement, [{"rack": other} for other in others])
    found = vetoes(spec, given, counts, replace(AROUND, groups={"rack": RACKS}))
    assert (found == ()) == fits
    if found:
        assert found[0].kind is VetoKind.PLACEMENT
        assert found[0].remedy == f"without constraint rack {operator.value}"


def test_attributes_as_text() -> None:
    """Every kind Mesos has, and those that are none."""
    given = pool(
        "a",
        domain=FaultDomain(region="eu", zone="eu-1"),
        rack="r1",
        slots=2.5,
        span=(PortRange(begin=1, end=3),),
        tags=frozenset({"b", "a"}),
    )
    names = ("hostname", "@region", "@zone", "rack", "slots", "span", "tags", "none")
    assert [attribute_text(given, name) for name in names] == [
        "a.example",
        "eu",
        "eu-1",
        "r1",
        "2.5",
        "[1-3]",
        "{a,b}",
        None,
    ]


def test_workers_are_packed_onto_the_fullest_agent() -> None:
    """So that whole agents stay free; ties by agent id."""
    found = placing([want(job_spec(), 0, 1, 2, 3)], [pool("c"), pool("b", cpus=2, mem=2), pool("a")])
    assert homes(found) == [(0, "b"), (1, "b"), (2, "a"), (3, "a")]


def test_a_wish_outweighs_packing_and_bends_when_it_must() -> None:
    """One worker per host as long as there are hosts."""
    wish = Placement(attribute="hostname", operator=Operator.UNIQUE, weight=2.0)
    found = placing([want(job_spec(placement=(wish,)), 0, 1, 2)], [pool("a", cpus=2), pool("b")])
    assert homes(found) == [(0, "a"), (1, "b"), (2, "a")]


def test_spread_goes_where_the_job_has_fewest_workers_then_where_most_is_free() -> None:
    """However much more room one agent has than the others (marathon #3220, storm #166)."""
    spec = job_spec(strategy=Strategy.SPREAD)
    found = placing([want(spec, 0, 1, 2, 3)], [pool("a", cpus=64, mem=256), pool("b"), pool("c", cpus=8)])
    assert homes(found) == [(0, "a"), (1, "c"), (2, "b"), (3, "a")]
    there = replace(want(spec, 4), homes={AgentId("a"): 2, AgentId("c"): 1})
    assert homes(placing([there], [pool("a", cpus=64, mem=256), pool("b"), pool("c", cpus=8)])) == [(4, "b")]


def test_a_rule_does_not_bend() -> None:
    """The third worker waits."""
    rule = Placement(attribute="hostname", operator=Operator.UNIQUE)
    found = placing([want(job_spec(placement=(rule,)), 0, 1, 2)], [pool("a"), pool("b")])
    assert homes(found) == [(0, "a"), (1, "b")]
    assert [each.places for each in found.placed] == [{"hostname": "a.example"}, {"hostname": "b.example"}]


def test_group_by_fills_racks_evenly() -> None:
    """Whatever the ranking likes better."""
    rule = Placement(attribute="rack", operator=Operator.GROUP_BY)
    around = replace(AROUND, groups={"rack": frozenset({"r1", "r2"})})
    found = placing(
        [want(job_spec(placement=(rule,)), 0, 1, 2, 3, around=around)],
        [pool("a", cpus=4, rack="r1"), pool("b", cpus=16, mem=64, rack="r2")],
    )
    assert [agent for _, agent in homes(found)] == ["a", "b", "a", "b"]


def test_gpu_work_goes_first_then_the_oldest_job() -> None:
    """Nothing else may take what only it can use."""
    gpu = job_spec("gpu", worker=Request(cpus_m=4000, mem_m=GIB, gpus_m=1000))
    old, young = job_spec("old", worker=Request(cpus_m=3000)), job_spec("young", worker=Request(cpus_m=3000))
    around = replace(AROUND, gpus_kept=False)
    found = placing(
        [
            want(young, 0, around=around, submission=2),
            want(old, 0, around=around, submission=1),
            want(gpu, 0, around=around, submission=3),
        ],
        [pool("a", gpus=1), pool("b")],
    )
    assert [(each.spec.name, each.pool.agent_id) for each in found.placed] == [("gpu", "a"), ("old", "b")]


def test_ports_are_given_once() -> None:
    """Two workers of one agent get different ones."""
    spec = job_spec(worker=Request(cpus_m=1000, ports=2))
    found = placing([want(spec, 0, 1, 2)], [pool("a", ports=(PortRange(begin=31000, end=31003),))])
    assert [each.resources.ports for each in found.placed] == [
        (PortRange(begin=31000, end=31001),),
        (PortRange(begin=31002, end=31003),),
    ]


def test_offers_of_one_agent_and_role_are_one_pool() -> None:
    """And a GPU once seen is remembered though it is in use now."""

    def offer(name: str, agent: str, cpus_m: int, role: str = "*") -> Offer:
        return Offer(
            id=OfferId(name),
            agent_id=AgentId(agent),
            hostname=agent,
            resources=Resources(cpus_m=cpus_m),
            received_at=1.0,
            role=role,
        )

    seen = AgentSeen(agent_id=AgentId("a"), hostname="a", role="*", offered=Resources(), at=0.0, has_gpus=True)
    found = pools_of(
        [offer("2", "a", 500), offer("1", "a", 700), offer("3", "b", 1), offer("4", "a", 9, role="x")],
        {AgentId("a"): seen},
    )
    assert [(each.agent_id, each.role, each.resources.cpus_m, each.offer_ids, each.has_gpus) for each in found] == [
        ("a", "*", 1200, ("1", "2"), True),
        ("a", "x", 9, ("4",), True),
        ("b", "*", 1, ("3",), False),
    ]


def failed(agent: str, *times: tuple[float, str]) -> dict[AgentId, AgentRecord]:
    failures = tuple(AgentFailure(at=at, job=JobName(job)) for at, job in times)
    return {AgentId(agent): AgentRecord(agent_id=AgentId(agent), failures=failures)}


def test_agents_are_avoided_for_their_own_sake_only() -> None:
    """Thrice by the job itself, or by several jobs; not long ago; and never all agents there are."""
    patience = Patience()
    both = [pool("a"), pool("b")]
    thrice = failed("a", (990, "delays"), (995, "delays"), (998, "delays"))

    def avoided(failures: dict[AgentId, AgentRecord], known: list[Pool] = both, now: float = 1000.0) -> set[str]:
        return set(avoided_agents(JOB, [pool.agent_id for pool in known], failures.values(), patience, now))

    assert avoided(thrice) == {"a"}
    assert avoided(failed("a", (990, "x"), (995, "x"), (998, "x"))) == set()
    assert avoided(failed("a", (990, "x"), (995, "y"), (998, "x"))) == {"a"}
    assert avoided(failed("a", (990, "delays"), (998, "delays"))) == set()
    assert avoided(thrice, [pool("a")]) == set()
    assert avoided(thrice, now=998 + 300) == set()


def slot(number: int, **changes: object) -> WorkerRecord:
    return replace(WorkerRecord(job=JOB, worker=number, wanted_since=900.0), **changes)  # type: ignore[arg-type]


BIG = job_spec(
    worker=Request(cpus_m=2000, mem_m=4 * GIB),
    placement=(Placement(attribute="rack", operator=Operator.IS, value="r1"),),
)


@pytest.mark.parametrize(
    ("known", "slots", "gate", "text", "why"),
    [
        ([], [slot(0)], None, "worker 0 waits: no agent has been offered yet", "no agent has been offered yet"),
        (
            [pool("a", mem=3.5, rack="r1"), pool("b", cpus=1, mem=1, rack="r2")],
            [slot(0), slot(1)],
            None,
            "2 workers wait: none of 2 known agents fits (1 cpus, 2 mem, 1 placement); nearest is a.example: "
            "mem: wants 4GiB, 3.5GiB free; can never fit: mem: wants 4GiB, the largest agent known has 3.5GiB; "
            "fits if mem ≤ 3.5GiB",
            "can never fit: mem: wants 4GiB, the largest agent known has 3.5GiB",
        ),
        (
            [replace(pool("a", mem=3.5, rack="r2"), most=Resources(mem_m=4 * GIB))],
            [slot(3)],
            None,
            "worker 3 waits: none of 1 known agents fits (1 mem, 1 placement); nearest is a.example: "
            "mem: wants 4GiB, 3.5GiB free, rack is: r2 is not r1; fits if mem ≤ 3.5GiB and without constraint rack is",
            "no known agent fits: mem, placement",
        ),
        (
            [pool("a", rack="r1"), pool("b", rack="r2")],
            [slot(0)],
            None,
            "worker 0 waits: 1 of 2 known agents would fit; waits for an offer of one",
            "waits for an offer",
        ),
        (
            [pool("a", has_gpus=True, rack="r1")],
            [slot(0)],
            None,
            "worker 0 waits: none of 1 known agents fits (1 gpus kept for GPU work); nearest is a.example: "
            "the agent has GPUs, which are kept for jobs that want them",
            "no known agent fits: gpus kept for GPU work",
        ),
        (
            [pool("a", rack="r1")],
            [slot(0, failures=3, backoff_until=1004.5, last_failure="TASK_FAILED")],
            None,
            "worker 0 waits: worker 0 failed 3 times in a row (last: TASK_FAILED); next attempt in 4.5 s",
            "backs off after failures",
        ),
        ([], [slot(0)], "not connected", "worker 0 waits: not connected", "no agent has been offered yet"),
    ],
)
def test_why_a_job_waits(known: list[Pool], slots: list[WorkerRecord], gate: str | None, text: str, why: str) -> None:
    """In sentences that say what would help."""
    found = explain(slots, judged(BIG, known), offers=0, gate=gate, now=AROUND.now)
    assert found.text == text
    assert cause(found) == why
    assert found.since == 900.0
    assert found.agents == len(known)


def test_what_would_help_is_what_alone_would_do() -> None:
    """Each way for itself; nothing is proposed that no worker could do with."""
    rack = (Placement(attribute="rack", operator=Operator.IS, value="r1"),)
    spec = job_spec(worker=Request(cpus_m=2000, mem_m=4 * GIB), placement=rack)
    known = [
        pool("a", mem=3.5, rack="r1"),
        pool("b", rack="r2"),
        pool("c", cpus=0, rack="r1"),
        pool("d", cpus=1, mem=1, rack="r1"),
    ]
    assert judged(spec, known).alternatives == ("mem ≤ 3.5GiB", "without constraint rack is")
    assert judged(spec, known[2:3]).alternatives == ()
    known[3] = replace(known[3], most=Resources(cpus_m=8000, mem_m=8 * GIB))
    assert judged(spec, known[3:]).alternatives == ("something ends on the one agent that is large enough",)


def test_the_funnel_leads_from_all_known_agents_to_those_that_fit() -> None:
    """Check by check, with what each is against whatever else is, and what is left."""
    known = [
        pool("a", mem=1, rack="r1"),
        pool("b", cpus=1, mem=1, rack="r1"),
        pool("c", rack="r2"),
        pool("d", rack="r1"),
    ]
    steps = [(step.check, step.vetoed, step.left) for step in judged(BIG, known).funnel if step.vetoed or step.left < 4]
    assert steps == [("cpus", 1, 3), ("mem", 2, 2), ("rack is r1", 1, 1)]


def test_counts_are_by_agent_not_by_reason() -> None:
    """An agent that lacks two things counts once for each."""
    known = [pool("a", cpus=1, mem=1, rack="r1"), pool("b", cpus=1, rack="r1"), pool("c", rack="r2")]
    found = explain([slot(0)], judged(BIG, known), offers=2, gate=None, now=AROUND.now)
    assert {each.kind: each.agents for each in found.vetoed} == {
        VetoKind.CPUS: 2,
        VetoKind.MEM: 1,
        VetoKind.PLACEMENT: 1,
    }
    assert found.nearest is not None
    assert found.nearest.agent_id == "b"
    assert found.offers == 2
