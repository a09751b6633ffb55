"""The arrays of placement against a matcher made of loops: same places, same vetoes, nothing given twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from paper_cluster import GIB, job_spec
from plain_matcher import place_one_job, plain_checks, plain_placing, rule_vetoes

from headgate.core.feasible import Surroundings
from headgate.core.place import Want, may_help, placing
from headgate.core.placement import tally
from headgate.core.placing.fleet import Fleet
from headgate.core.placing.judgement import judgement
from headgate.core.pool import Pool
from headgate.model.ids import AgentId, OfferId
from headgate.model.job import JobSpec, Operator, Placement, Strategy, Workers
from headgate.model.offer import AttributeValue, FaultDomain, Unavailability
from headgate.model.resources import PortRange, Request, Resources
from headgate.model.waiting import VetoKind

NOW = 1000.0
TEXTS = ("r1", "r2", "r3")
MIXED: tuple[AttributeValue, ...] = (
    "2",
    "ssd",
    2.0,
    3.0,
    frozenset({"2", "ssd"}),
    frozenset({"gpu"}),
    (PortRange(begin=1, end=2), PortRange(begin=7, end=9)),
)


@st.composite
def pools(draw: st.DrawFn) -> list[Pool]:
    """Agents, some offered for two roles, some known and not on offer."""
    found = []
    for number in range(draw(st.integers(0, 9))):
        agent = AgentId(f"a{number}")
        attributes: dict[str, AttributeValue] = {}
        if draw(st.booleans()):
            attributes["rack"] = draw(st.sampled_from(TEXTS))
        if draw(st.booleans()):
            attributes["kind"] = draw(st.sampled_from(MIXED))
        gpus_m = draw(st.sampled_from([0, 0, 2000]))
        domain = draw(st.sampled_from([None, FaultDomain(region="eu", zone="1"), FaultDomain(region="us", zone="2")]))
        window = draw(st.sampled_from([None, None, Unavailability(start_at=NOW + 60)]))
        for role in draw(st.sampled_from([("*",), ("*",), ("web",), ("*", "web")])):
            begin = 100 * number
            found.append(
                Pool(
                    agent_id=agent,
                    hostname=f"h{number}",
                    role=role,
                    resources=Resources(
                        cpus_m=draw(st.integers(0, 8)) * 500,
                        mem_m=draw(st.integers(0, 8)) * GIB,
                        disk_m=draw(st.integers(0, 3)) * GIB,
                        gpus_m=gpus_m,
                        ports=(PortRange(begin=begin, end=begin + draw(st.integers(0, 4))),),
                    ),
                    offer_ids=(OfferId(f"o{number}{role}"),) if draw(st.sampled_from([True, True, False])) else (),
                    attributes=attributes,
                    domain=domain,
                    unavailability=window,
                    has_gpus=gpus_m > 0,
                )
            )
    return found


def placements() -> st.SearchStrategy[Placement]:
    weights = st.sampled_from([None, None, 0.3, 2.0])
    attributes = st.sampled_from(["hostname", "rack", "kind"])
    return st.one_of(
        st.builds(
            Placement,
            attribute=attributes,
            operator=st.sampled_from([Operator.UNIQUE, Operator.GROUP_BY, Operator.CLUSTER]),
            weight=weights,
        ),
        st.builds(
            Placement,
            attribute=attributes,
            operator=st.sampled_from([Operator.MAX_PER, Operator.GROUP_BY]),
            value=st.sampled_from(["1", "2", "4"]),
            weight=weights,
        ),
        st.builds(
            Placement,
            attribute=attributes,
            operator=st.sampled_from([Operator.IS, Operator.CLUSTER, Operator.LIKE, Operator.UNLIKE]),
            value=st.sampled_from(["r1", "2", "h1", "ssd|r2", "8"]),
            weight=weights,
        ),
    )


@st.composite
def wants(draw: st.DrawFn, number: int) -> Want:
    spec = job_spec(
        f"j{number}",
        worker=Request(
            cpus_m=draw(st.integers(0, 4)) * 500,
            mem_m=draw(st.integers(0, 3)) * GIB,
            gpus_m=draw(st.sampled_from([0, 0, 0, 1000])),
            ports=draw(st.integers(0, 2)),
        ),
        role=draw(st.sampled_from(["*", "*", "web"])),
        placement=tuple(draw(st.lists(placements(), max_size=3))),
        strategy=draw(st.sampled_from(Strategy)),
        workers=Workers(min=1, max=9, initial=1, gang=draw(st.booleans())),
    )
    others = draw(
        st.lists(
            st.fixed_dictionaries(
                {"rack": st.sampled_from([*TEXTS, "gone"]), "hostname": st.sampled_from(["h1", "h2"])}
            ),
            max_size=3,
        )
    )
    around = Surroundings(
        now=NOW,
        maintenance_s=3600.0,
        groups={
            "rack": frozenset(draw(st.sets(st.sampled_from([*TEXTS, "r9"])))),
            "hostname": frozenset(draw(st.sets(st.sampled_from(["h0", "h1", "h2", "h7"])))),
        },
        avoided={AgentId(f"a{each}"): NOW + 60 for each in draw(st.sets(st.integers(0, 5), max_size=3))},
        avoided_bend=draw(st.booleans()),
        gpus_kept=draw(st.booleans()),
        region=draw(st.sampled_from([None, "eu"])),
    )
    return Want(
        spec=spec,
        submission=draw(st.integers(1, 3)),
        workers=tuple(range(draw(st.integers(1, 5)))),
        around=around,
        counts=tally(spec.placement, others),
        homes=Counter({AgentId("a1"): draw(st.integers(0, 2))}),
        gang=spec.workers.gang,
    )


def all_wants() -> st.SearchStrategy[list[Want]]:
    return st.integers(0, 3).flatmap(lambda count: st.tuples(*(wants(number) for number in range(count)))).map(list)


@settings(max_examples=300, deadline=None)
@given(all_wants(), pools())
def test_arrays_place_as_loops_do(wanted: list[Want], given_pools: list[Pool]) -> None:
    """Worker by worker the same agent and role, and the same is left of each, to the thousandth and the port."""
    fleet = Fleet(given_pools)
    result = placing(wanted, fleet)
    expected, left = plain_placing(wanted, given_pools)
    assert [(each.spec.name, each.worker, each.pool.agent_id, each.pool.role) for each in result.placed] == expected
    assert fleet.pools == left
    for row, pool in enumerate(left):
        there = pool.resources
        amounts = [there.cpus_m, there.mem_m, there.disk_m, there.gpus_m, there.port_count]
        assert fleet.free[:, row].tolist() == amounts
        assert min(amounts) >= 0


@settings(max_examples=300, deadline=None)
@given(wants(1), pools())
def test_arrays_veto_as_single_checks_do(wanted: Want, given_pools: list[Pool]) -> None:
    """The numbers of an explanation are those of every agent asked one by one."""
    one_role = [pool for pool in given_pools if not (pool.role == "web" and _offered_for_both(pool, given_pools))]
    found = judgement(wanted, Fleet(one_role))
    each = plain_checks(wanted, one_role)
    assert found.agents == len(each)
    assert found.fitting == sum(not against for _, against in each)
    kinds = Counter(kind for _, against in each for kind in {veto.kind for veto in against})
    assert {count.kind: count.agents for count in found.vetoed} == dict(kinds)
    assert (found.nearest is None) == (not each or found.fitting > 0)
    left = [step.left for step in found.funnel]
    assert left == sorted(left, reverse=True)
    assert not each or left[-1] == found.fitting
    if found.nearest is not None:
        least = min(_distance(against) for _, against in each)
        assert abs(_distance(found.nearest.vetoes) - least) < 1e-9


@settings(max_examples=200, deadline=None)
@given(wants(1), pools())
def test_each_alternative_alone_would_help(wanted: Want, given_pools: list[Pool]) -> None:
    """An amount that is named fits some agent when asked for instead; so does the job without the constraint named."""
    found = judgement(wanted, Fleet(given_pools))
    for alternative in found.alternatives:
        spec = _with(wanted.spec, alternative, Fleet(given_pools))
        if spec is not None:
            assert judgement(replace(wanted, spec=spec), Fleet(given_pools)).fitting, alternative


@settings(max_examples=200, deadline=None)
@given(all_wants(), pools())
def test_what_may_help_is_what_nothing_lasting_stands_against(wanted: list[Want], given_pools: list[Pool]) -> None:
    """Where a worker could start now, or once a failure is forgotten."""
    fleet = Fleet(given_pools)
    expected = [
        any(all(veto.passing for veto in against) for want in wanted for _, against in plain_checks(want, [pool]))
        for pool in fleet.pools
    ]
    assert may_help(wanted, fleet).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(wants(1), pools())
def test_the_operators_mean_what_their_documentation_says(wanted: Want, given_pools: list[Pool]) -> None:
    """Each constraint, taken alone, against the plain reading of it."""
    for each in wanted.spec.placement:
        rule = replace(each, weight=None)
        spec = job_spec(worker=Request(), placement=(rule,))
        want = replace(wanted, spec=spec, around=replace(wanted.around, avoided={}, gpus_kept=False, region=None))
        for pool in given_pools:
            plain = replace(pool, role="*", unavailability=None)
            against = judgement(want, Fleet([plain])).fitting == 0
            assert against == rule_vetoes(rule, plain, want.counts, want.around), (rule, plain.attributes)


@settings(max_examples=100, deadline=None)
@given(wants(1), pools())
def test_a_gang_is_placed_whole_or_not_at_all(wanted: Want, given_pools: list[Pool]) -> None:
    """And what was tried for one that is not complete is as if it had not been."""
    gang = replace(wanted, gang=True)
    fleet = Fleet(given_pools)
    before = list(fleet.pools)
    found = placing([gang], fleet, holder=gang.spec.name)
    alone, _ = place_one_job(gang, before)
    if len(alone) == len(gang.workers):
        assert len(found.placed) == len(gang.workers)
    else:
        assert not found.placed
        assert [each.worker for each in found.gathered] == [worker for _, worker, _, _ in alone]
        assert fleet.pools == before
        assert (fleet.free == Fleet(before).free).all()


def _offered_for_both(pool: Pool, all_pools: list[Pool]) -> bool:
    return len([each for each in all_pools if each.agent_id == pool.agent_id]) > 1


def _distance(against: tuple[object, ...]) -> float:
    return sum(
        (veto.wanted - veto.offered) / veto.wanted if veto.wanted is not None else 1.0  # type: ignore[attr-defined]
        for veto in against
    )


def _with(spec: JobSpec, alternative: str, fleet: Fleet) -> JobSpec | None:
    """The spec with the change that is proposed; None: it is none of amounts or constraints."""
    if alternative.startswith("without constraint "):
        label = alternative.removeprefix("without constraint ")
        kept = [
            each
            for each in spec.placement
            if f"{each.attribute} {each.operator.value}" != label or each.weight is not None
        ]
        return replace(spec, placement=tuple(kept))
    kind, bound, amount = alternative.partition(" ≤ ")
    if not bound:
        return None
    number = {"cpus": 0, "mem": 1, "gpus": 3, "ports": 4}[kind]
    name = ("cpus_m", "mem_m", "disk_m", "gpus_m", "ports")[number]
    unit = {"GiB": GIB, "MiB": 1000}.get(amount[-3:], 1 if kind == "ports" else 1000)
    found = round(float(amount.removesuffix("GiB").removesuffix("MiB")) * unit)
    assert VetoKind(kind).of_amount
    assert found in fleet.free[number]
    return replace(spec, worker=replace(spec.worker, **{name: found}))
