"""Offer constraints never hide an agent that a pending worker could use, judged by the simulated master's own rules."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from paper_cluster import job_spec

from headgate.adapters.mesos_codec import encode_call
from headgate.core.attributes import attribute_value
from headgate.core.offer_constraints import constraints_of, is_shared
from headgate.core.placement import placement_veto
from headgate.core.pool import Pool
from headgate.model.call import Framework, OfferConstraints, UpdateFramework
from headgate.model.ids import AgentId, FrameworkId
from headgate.model.job import JobSpec, Operator, Placement
from headgate.model.offer import AttributeValue, FaultDomain
from headgate.model.resources import PortRange, Resources
from headgate.simulator.master.constraints import Constraints, compiled

NAMES = ("rack", "zone", "level")
WORDS = ("r1", "r2", "r10", "", "2", "2.5", "a-b.c", "x\ny", "é")
PATTERNS = (
    "r1",
    "r.*",
    "r[12]",
    "(r1|r2)",
    "a-b\\.c",
    "[^r]+",
    "\\d+",
    "r1$",
    "^r1",
    "r\\d",
    "(?i)R1",
    ".",
    "x\\sy",
    "r1?0*",
)

values = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from([2.0, 2.5, 10.0]),
    st.just((PortRange(begin=1, end=3), PortRange(begin=7, end=9))),
    st.sampled_from([frozenset({"r1"}), frozenset({"r1", "2"})]),
)
pools = st.builds(
    Pool,
    agent_id=st.just(AgentId("S0")),
    hostname=st.sampled_from(["r1", "r2", "h.example"]),
    role=st.just("web"),
    resources=st.just(Resources()),
    attributes=st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
    domain=st.one_of(st.none(), st.builds(FaultDomain, region=st.sampled_from(WORDS), zone=st.sampled_from(WORDS))),
)


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    operator = draw(st.sampled_from(Operator))
    value: str | None = None
    if operator in (Operator.LIKE, Operator.UNLIKE):
        value = draw(st.sampled_from(PATTERNS))
    elif operator is Operator.IS or (operator is Operator.CLUSTER and draw(st.booleans())):
        value = draw(st.sampled_from(WORDS))
    elif operator in (Operator.MAX_PER, Operator.GROUP_BY):
        value = "2"
    return Placement(
        attribute=draw(st.sampled_from([*NAMES, "hostname", "@region", "@zone"])),
        operator=operator,
        value=value,
        weight=draw(st.sampled_from([None, None, None, 0.5])),
    )


specs = st.lists(placements(), max_size=3).map(lambda found: job_spec(role="web", placement=tuple(found)))


def agent_info(pool: Pool) -> dict[str, Any]:
    """The agent as the master knows it."""
    found: dict[str, Any] = {
        "hostname": pool.hostname,
        "attributes": [_attribute(name, value) for name, value in pool.attributes.items()],
    }
    if pool.domain is not None:
        domain = {"region": {"name": pool.domain.region}, "zone": {"name": pool.domain.zone}}
        found["domain"] = {"fault_domain": domain}
    return found


def _attribute(name: str, value: AttributeValue) -> dict[str, Any]:
    match value:
        case str():
            return {"name": name, "type": "TEXT", "text": {"value": value}}
        case float():
            return {"name": name, "type": "SCALAR", "scalar": {"value": value}}
        case frozenset():
            return {"name": name, "type": "SET", "set": {"item": sorted(value)}}
        case _:
            ranges = [{"begin": each.begin, "end": each.end} for each in value]
            return {"name": name, "type": "RANGES", "ranges": {"range": ranges}}


def at_the_master(constraints: OfferConstraints) -> Constraints:
    """What the master makes of the call."""
    call = UpdateFramework(framework=Framework(user="u", roles=("web",)), offer_constraints=constraints)
    body = json.loads(encode_call(call, framework_id=FrameworkId("F"), framework=call.framework))
    found = compiled(body["update_framework"].get("offer_constraints", {}))
    assert isinstance(found, Constraints), found
    return found


def could_use(spec: JobSpec, pool: Pool) -> bool:
    """Whether the hard rules let a worker start there, as long as the job has no other."""
    return all(
        placement_veto(each, attribute_value(pool, each.attribute), Counter(), frozenset()) is None
        for each in spec.placement
        if each.weight is None
    )


@given(jobs=st.lists(specs, min_size=1, max_size=3), pool=pools)
@settings(max_examples=400)
def test_no_agent_that_a_pending_worker_could_use_is_hidden(jobs: list[JobSpec], pool: Pool) -> None:
    """The constraints are satisfied wherever any of the jobs could start; and the master takes them."""
    constraints = at_the_master(constraints_of(jobs, {}))
    if any(could_use(spec, pool) for spec in jobs):
        assert not constraints.excludes("web", agent_info(pool))


@given(pool=pools, spec=specs, home=st.sampled_from(["r1", "r2"]))
def test_nor_one_that_has_something_to_give_back(pool: Pool, spec: JobSpec, home: str) -> None:
    """Its name is an alternative to what jobs want."""
    constraints = at_the_master(constraints_of([spec], {"web": [home]}))
    if pool.hostname == home or could_use(spec, pool):
        assert not constraints.excludes("web", agent_info(pool))


def test_agents_of_no_use_are_hidden() -> None:
    """So that constraints are worth their while."""
    rack = [Pool(agent_id=AgentId(name), hostname=name, role="web", resources=Resources(), attributes={"rack": name})
            for name in ("r1", "r2")]  # fmt: skip
    for operator, value in (
        (Operator.IS, "r1"),
        (Operator.LIKE, "r[1]"),
        (Operator.UNLIKE, "r2"),
        (Operator.CLUSTER, "r1"),
    ):
        for attribute in ("rack", "hostname"):
            spec = job_spec(role="web", placement=(Placement(attribute=attribute, operator=operator, value=value),))
            constraints = at_the_master(constraints_of([spec], {}))
            assert [constraints.excludes("web", agent_info(pool)) for pool in rack] == [False, True]
    bare = Pool(agent_id=AgentId("bare"), hostname="bare", role="web", resources=Resources())
    unique = job_spec(role="web", placement=(Placement(attribute="rack", operator=Operator.UNIQUE),))
    assert at_the_master(constraints_of([unique], {})).excludes("web", agent_info(bare))
    only_to_return = at_the_master(constraints_of([], {"web": ["r2"]}))
    assert [only_to_return.excludes("web", agent_info(pool)) for pool in rack] == [True, False]


def test_a_job_that_may_go_anywhere_leaves_its_role_without_constraints() -> None:
    """Whatever else is pending."""
    picky = job_spec("a", role="web", placement=(Placement(attribute="rack", operator=Operator.IS, value="r1"),))
    wish = Placement(attribute="rack", operator=Operator.IS, value="r1", weight=1.0)
    assert constraints_of([picky, job_spec("b", role="web", placement=(wish,))], {}) == {}
    assert set(constraints_of([picky, job_spec("b", role="db")], {})) == {"web"}


def test_which_patterns_mean_the_same_to_the_master() -> None:
    """It reads RE2, which differs from Python in small things; what may differ is not sent."""
    same = ("r1", "r.*", "r[0-9]+", "(a|b)?c", "host-1\\.example", "a_b", "", "(a|)", ".*")
    other = (
        "\\d",
        "\\w+",
        "(?i)a",
        "^a",
        "a$",
        "a{2}",
        "[^a]",
        "é",
        "a++",
        "x**",
        "(?:a)",
        "\\bx",
        "a" * 41,
        "[[:alpha:]]",
    )
    assert [each for each in same if not is_shared(each)] == []
    assert [each for each in other if is_shared(each)] == []
