"""Who is offered what, how it looks, and when it comes back."""

from __future__ import annotations

from typing import Any

import pytest
from sim_master_world import (
    GPU_AGENT,
    START,
    Json,
    World,
    amounts,
    kinds,
    launch,
    needs,
    operation,
    ports,
    reserved,
    scalar,
    task,
)

COMMAND = {"command": {"value": "true"}}


def test_an_offer_in_the_old_form() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework(role="web")
    [offer] = framework.offers()
    assert offer["url"] == {
        "scheme": "http",
        "address": {"hostname": "localhost", "ip": "127.0.0.1", "port": 6000},
        "path": "/slave(1)",
    }
    assert offer["attributes"] == agent.info["attributes"]
    assert {resource["role"] for resource in offer["resources"]} == {"*"}
    assert not any("allocation_info" in item for item in (offer, *offer["resources"]))


def test_an_offer_to_a_capable_framework() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", "RESERVATION_REFINEMENT", roles=["web"])
    [offer] = framework.offers()
    assert offer["allocation_info"] == {"role": "web"}
    assert all(item["allocation_info"] == {"role": "web"} for item in offer["resources"])
    assert not any("role" in item for item in offer["resources"])


def test_all_offers_of_one_run_come_in_one_event() -> None:
    world = World()
    world.agent()
    world.agent()
    framework = world.framework()
    [event] = framework.fresh()
    assert len(event["offers"]["offers"]) == 2


@pytest.mark.parametrize(("capabilities", "seen"), [((), 1), (("GPU_RESOURCES",), 2)])
def test_agents_with_gpus_are_for_those_who_ask(capabilities: tuple[str, ...], seen: int) -> None:
    world = World()
    world.agent()
    world.agent(GPU_AGENT)
    assert len(world.framework(*capabilities).offers()) == seen


def test_gpu_agents_may_be_shown_to_all() -> None:
    world = World(filter_gpu_resources=False)
    world.agent(GPU_AGENT)
    assert len(world.framework().offers()) == 1


def test_without_roles_there_are_no_offers() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=[])
    world.advance(3)
    assert framework.offers() == []


def test_nothing_is_divided_the_first_has_all_and_the_next_gets_what_is_declined() -> None:
    world = World()
    world.agent()
    first, second = world.framework(), world.framework()
    [offer] = first.offers()
    world.advance(3)
    assert second.offers() == []
    first.decline([offer], refuse=600)
    world.advance(1)
    assert len(second.offers()) == 1


@pytest.mark.parametrize(
    ("refuse", "waits"), [(0.0, 1.0), (1.0, 1.0), (4.0, 4.0), (None, 5.0), (-1.0, 5.0), (0.2, 1.0)]
)
def test_a_filter_holds_for_refuse_seconds(refuse: float | None, waits: float) -> None:
    world = World()
    world.agent()
    framework = world.framework()
    world.advance(0.5)
    framework.decline(framework.offers(), refuse=refuse)
    world.advance(waits - 0.51)
    assert framework.offers() == []
    world.advance(1.02)
    assert len(framework.offers()) == 1


def test_an_accept_without_operations_declines() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    framework.accept(framework.offers(), refuse=3)
    world.advance(2.9)
    assert framework.offers() == []
    world.advance(1.2)
    assert len(framework.offers()) == 1


def test_a_filter_covers_less_but_not_more() -> None:
    world = World()
    agent = world.agent()
    framework, other = world.framework(), world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, needs(cpus=0.5), **COMMAND)), refuse=600)
    world.advance(1)
    [rest] = other.offers()
    other.accept([rest], launch(task("x", rest, needs(cpus=0.3), **COMMAND)), refuse=600)
    world.advance(2)
    assert framework.offers() == [], "less than was refused"
    agent.update(framework, "t", "TASK_FINISHED")
    framework.statuses()
    world.advance(1)
    [offer] = framework.offers()
    assert amounts(offer)["cpus"] == 1.7, "more than the 1.5 that were refused"


def test_revive_clears_filters_and_offers_at_once() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    framework.decline(framework.offers(), refuse=600)
    framework.call("REVIVE")
    assert len(framework.offers()) == 1


def test_suppress_takes_nothing_back_but_stops_what_would_come() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    offers = framework.offers()
    framework.call("SUPPRESS")
    world.advance(1)
    assert framework.fresh() == []
    framework.decline(offers, refuse=0)
    world.advance(3)
    assert framework.offers() == []
    framework.call("REVIVE")
    assert len(framework.offers()) == 1


@pytest.mark.parametrize("roles", [["web", "db"], ["/web"]])
def test_one_bad_role_spoils_a_revive(roles: list[str]) -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=["web"])
    framework.decline(framework.offers(), refuse=600)
    framework.call("REVIVE", roles=roles)
    world.advance(2)
    assert framework.offers() == []


def test_roles_are_suppressed_one_by_one() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=["web", "db"])
    [offer] = framework.offers()
    assert offer["allocation_info"]["role"] == "db", "first by name"
    framework.call("SUPPRESS", roles=["db"])
    framework.decline([offer], refuse=0)
    world.advance(1)
    assert framework.offers()[0]["allocation_info"]["role"] == "web"


@pytest.mark.parametrize(("lives", "filtered"), [(True, True), (False, False)])
def test_filters_survive_a_takeover_and_not_a_disconnection(lives: bool, filtered: bool) -> None:
    world = World()
    world.agent()
    framework = world.framework(failover_timeout=60.0)
    framework.decline(framework.offers(), refuse=600)
    if not lives:
        world.master.disconnected(framework.stream, now=world.now)
    framework.subscribe()
    world.advance(2)
    assert (framework.offers() == []) is filtered


def test_what_is_freed_is_offered_separately_and_can_be_taken_together() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, needs(cpus=1.5), **COMMAND)), refuse=0)
    world.advance(1)
    [first] = framework.offers()
    agent.update(framework, "t", "TASK_FINISHED")
    framework.statuses()
    world.advance(1)
    [second] = framework.offers()
    framework.accept([first, second], launch(task("u", offer, needs(cpus=1.8), **COMMAND)))
    assert framework.statuses() == []


def test_crumbs_are_withheld_unless_the_role_wants_them() -> None:
    wants = {
        "offer_filters": {
            "*": {"min_allocatable_resources": {"quantities": [{"quantities": {"disk": {"value": 1.0}}}]}}
        }
    }
    for info, seen in (({}, 0), (wants, 1)):
        world = World()
        world.agent("cpus:0.005;mem:31;disk:100")
        assert len(world.framework(**info).offers()) == seen


def test_resources_of_another_region_need_region_aware() -> None:
    domain = {"fault_domain": {"region": {"name": "far"}, "zone": {"name": "z"}}}
    world = World(region="here")
    world.agent(domain=domain)
    assert world.framework().offers() == []
    [offer] = world.framework("REGION_AWARE").offers()
    assert offer["domain"] == domain


def test_refined_reservations_are_for_those_who_understand_them() -> None:
    world = World()
    world.agent("cpus(web):1;cpus:1;mem:64")
    capable = world.framework("MULTI_ROLE", "RESERVATION_REFINEMENT", roles=["web/sub"])
    [offer] = capable.offers()
    static = {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}, "allocation_info": {"role": "web/sub"}}
    refined = {
        **static,
        "reservations": [{"type": "STATIC", "role": "web"}, {"type": "DYNAMIC", "role": "web/sub"}],
    }
    capable.accept([offer], operation("RESERVE", resources=[refined]), refuse=0)
    capable.call("SUPPRESS")
    capable.fresh()
    world.advance(1)
    plain = world.framework("MULTI_ROLE", roles=["web/sub"])
    assert amounts(plain.offers()[0])["cpus"] == 1.5


# --- order -------------------------------------------------------------------------------------------------------


def test_the_role_with_the_smaller_share_is_served_first() -> None:
    world = World()
    agents = [world.agent() for _ in range(2)]
    rich, poor = world.framework(role="a"), world.framework(role="b")
    offers = rich.offers()
    rich.accept(offers[:1], launch(task("t", offers[0], needs(cpus=2), **COMMAND)), refuse=0)
    rich.decline(offers[1:], refuse=0)
    world.advance(1)
    assert len(agents) == 2
    assert any(amounts(offer).get("cpus") == 2.0 for offer in poor.offers())


CONSTRAINTS: list[tuple[list[list[Json]], list[str]]] = [
    ([[{"selector": {"attribute_name": "rack"}, "predicate": {"text_equals": {"value": "r2"}}}]], ["r2"]),
    ([[{"selector": {"attribute_name": "rack"}, "predicate": {"text_not_equals": {"value": "r2"}}}]], ["r1"]),
    ([[{"selector": {"attribute_name": "rack"}, "predicate": {"text_matches": {"regex": "r[12]"}}}]], ["r1", "r2"]),
    ([[{"selector": {"attribute_name": "rack"}, "predicate": {"text_matches": {"regex": "r"}}}]], []),
    ([[{"selector": {"attribute_name": "rack"}, "predicate": {"text_not_matches": {"regex": "r1"}}}]], ["r2"]),
    ([[{"selector": {"attribute_name": "no"}, "predicate": {"not_exists": {}}}]], ["r1", "r2"]),
    ([[{"selector": {"attribute_name": "no"}, "predicate": {"text_not_equals": {"value": "x"}}}]], ["r1", "r2"]),
    ([[{"selector": {"attribute_name": "no"}, "predicate": {"text_equals": {"value": "x"}}}]], []),
    ([[{"selector": {"attribute_name": "level"}, "predicate": {"text_equals": {"value": "x"}}}]], ["r1", "r2"]),
    (
        [[{"selector": {"pseudoattribute_type": "HOSTNAME"}, "predicate": {"text_equals": {"value": "localhost"}}}]],
        ["r1", "r2"],
    ),
    ([[{"selector": {"pseudoattribute_type": "REGION"}, "predicate": {"exists": {}}}]], []),
    (
        [
            [{"selector": {"attribute_name": "rack"}, "predicate": {"text_equals": {"value": "r1"}}}],
            [{"selector": {"attribute_name": "rack"}, "predicate": {"text_equals": {"value": "r2"}}}],
        ],
        ["r1", "r2"],
    ),
    (
        [
            [
                {"selector": {"attribute_name": "rack"}, "predicate": {"exists": {}}},
                {"selector": {"attribute_name": "rack"}, "predicate": {"text_equals": {"value": "r2"}}},
            ]
        ],
        ["r2"],
    ),
]


@pytest.mark.parametrize(("groups", "racks"), CONSTRAINTS)
def test_offer_constraints_choose_agents(groups: list[list[Json]], racks: list[str]) -> None:
    world = World()
    world.agent(attributes="rack:r1;level:3")
    world.agent(attributes="rack:r2;level:4")
    listed = [{"attribute_constraints": group} for group in groups]
    framework = world.framework(subscribe={"offer_constraints": {"role_constraints": {"*": {"groups": listed}}}})
    seen = sorted(offer["attributes"][0]["text"]["value"] for offer in framework.offers())
    assert seen == racks


def test_offers_can_time_out() -> None:
    world = World(offer_timeout=3.0)
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    world.advance(3)
    [event, *_] = framework.fresh()
    assert event == {"type": "RESCIND", "rescind": {"offer_id": offer["id"]}}


# --- quota -------------------------------------------------------------------------------------------------------


def quota(world: World, role: str, *, force: bool = False, **more: Any) -> tuple[int, Any]:
    config = {"role": role}
    for name, values in more.items():
        config[name] = {key: {"value": value} for key, value in values.items()}
    reply = world.operator("UPDATE_QUOTA", force=force, quota_configs=[config])
    return reply.status, reply.body


def test_a_limit_cuts_offers_down_and_takes_back_what_exceeds_it() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=["web"])
    framework.offers()
    assert quota(world, "web", limits={"cpus": 1.0}) == (200, "")
    assert kinds(framework.fresh()) == ["RESCIND"]
    world.advance(1)
    [offer] = framework.offers()
    assert (amounts(offer)["cpus"], amounts(offer)["mem"]) == (1.0, 2048.0)
    assert quota(world, "web") == (200, "")
    world.advance(1)
    assert amounts(framework.offers()[0]) == {"cpus": 1.0}


def test_a_limit_below_what_is_used_must_be_forced() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework("MULTI_ROLE", roles=["web"])
    framework.run(agent, "t", resources=[scalar("cpus", 0.4), scalar("mem", 256)])
    status, text = quota(world, "web", limits={"cpus": 0.2})
    assert (status, text) == (
        400,
        "Invalid QuotaConfig: Role 'web' is already consuming 'cpus:0.4; mem:256'; this is more than the requested"
        " limits 'cpus:0.2' (use 'force' flag to bypass this check)",
    )
    assert quota(world, "web", limits={"cpus": 0.2}, force=True) == (200, "")


def test_a_guarantee_is_kept_free_for_a_role_that_is_not_there() -> None:
    world = World()
    world.agent()
    world.agent(GPU_AGENT)
    quota(world, "db", guarantees={"cpus": 5.0})
    other = world.framework("MULTI_ROLE", roles=["web"])
    [offer] = other.offers()
    assert amounts(offer) == {"cpus": 1.0, "mem": 2048.0, "disk": 10000.0}
    other.decline([offer], refuse=0)
    owner = world.framework("MULTI_ROLE", "GPU_RESOURCES", roles=["db"])
    assert sum(amounts(offer)["cpus"] for offer in owner.offers()) >= 5.0


def test_a_guarantee_takes_offers_back_from_others() -> None:
    world = World()
    world.agent()
    other = world.framework("MULTI_ROLE", roles=["web"])
    other.offers()
    quota(world, "db", guarantees={"cpus": 2.0})
    assert kinds(other.fresh()) == ["RESCIND"]


def set_old(world: World, role: str | None = "db", *, force: bool = False, guarantee: list[Json]) -> tuple[int, Any]:
    request = {"force": force, "guarantee": guarantee} | ({} if role is None else {"role": role})
    reply = world.operator("SET_QUOTA", quota_request=request)
    return reply.status, reply.body


def test_the_older_quota_is_guarantee_and_limit_in_one_and_can_be_removed() -> None:
    world = World()
    world.agent()
    other = world.framework("MULTI_ROLE", roles=["web"])
    other.offers()
    assert set_old(world, guarantee=[scalar("cpus", 1)]) == (200, "")
    assert kinds(other.fresh()) == ["RESCIND"]
    [config] = world.read("GET_QUOTA")["status"]["configs"]
    assert config == {"role": "db", "guarantees": {"cpus": {"value": 1.0}}, "limits": {"cpus": {"value": 1.0}}}
    again = "Failed to validate set quota request: Cannot set quota for role 'db' which already has quota"
    assert set_old(world, guarantee=[scalar("cpus", 1)]) == (400, again)
    assert world.operator("REMOVE_QUOTA", role="db").status == 200
    assert world.read("GET_QUOTA")["status"] == {}
    gone = world.operator("REMOVE_QUOTA", role="db")
    assert (gone.status, gone.body) == (400, "Failed to remove quota: Role 'db' has no quota set")


@pytest.mark.parametrize(
    ("role", "guarantee", "status", "text"),
    [
        (None, [scalar("cpus", 1)], 400, "Failed to validate set quota request: QuotaInfo must specify a role"),
        ("db", [], 400, "Failed to validate set quota request: QuotaInfo with empty 'guarantee'"),
        (
            "db",
            [ports(1, 2)],
            400,
            "Failed to validate set quota request: QuotaInfo must not include non-scalar resources",
        ),
        (
            "db",
            [scalar("cpus", 1), scalar("cpus", 2)],
            400,
            "Failed to validate set quota request: QuotaInfo contains duplicate resource name 'cpus'",
        ),
        (
            "db",
            [scalar("cpus", 1, revocable={})],
            400,
            "Failed to validate set quota request: QuotaInfo must not contain RevocableInfo",
        ),
        (
            "db",
            [reserved(scalar("cpus", 1), "db")],
            400,
            "Failed to validate set quota request: QuotaInfo must not contain any ReservationInfo",
        ),
        ("a/b", [scalar("cpus", 1)], 400, "Setting quota on nested role 'a/b' is not supported yet"),
        (
            "db",
            [scalar("cpus", 60)],
            409,
            "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees"
            " 'cpus:60' exceed cluster capacity 'cpus:2; disk:10000; mem:2048'",
        ),
    ],
)
def test_the_older_quota_is_refused(role: str | None, guarantee: list[Json], status: int, text: str) -> None:
    world = World()
    world.agent()
    assert set_old(world, role, guarantee=guarantee) == (status, text)


@pytest.mark.parametrize(
    ("role", "more", "text"),
    [
        ("a/b", {}, "Updating quota on nested role 'a/b' is not supported yet"),
        (
            "-a",
            {},
            "Invalid QuotaConfig: Invalid 'QuotaConfig.role':"
            " Role component '-a' is invalid because it starts with a dash",
        ),
        (
            "web",
            {"limits": {"cpus": -1.0}},
            "Invalid QuotaConfig: Invalid limit configuration {'cpus': -1}: Negative values not supported",
        ),
        (
            "web",
            {"guarantees": {"cpus": 2.0}, "limits": {"cpus": 1.0}},
            "Invalid QuotaConfig: 'QuotaConfig.guarantees' { cpus: 2 } is not contained within the"
            " 'QuotaConfig.limits' { cpus: 1 }",
        ),
        (
            "web",
            {"guarantees": {"cpus": 60.0}},
            "Invalid QuotaConfig: total quota guarantees 'cpus:60' exceed cluster capacity"
            " 'cpus:2; disk:10000; mem:2048' (use 'force' flag to bypass this check)",
        ),
        (
            "web",
            {"limits": {"cpus": 2e12}},
            "Invalid QuotaConfig: Invalid 'QuotaConfig.limits': {'cpus': 2000000000000} is invalid: values greater"
            " than 1 trillion (1000000000000) are not supported",
        ),
    ],
)
def test_quota_is_refused_with_mesos_words(role: str, more: Json, text: str) -> None:
    world = World()
    world.agent()
    assert quota(world, role, **more) == (400, text)
    assert world.read("GET_QUOTA") == {"status": {}}


def test_roles_once_given_a_quota_stay_listed() -> None:
    world = World()
    world.agent()
    quota(world, "web", limits={"cpus": 1.0})
    quota(world, "web")
    assert world.read("GET_QUOTA")["status"]["configs"] == [{"role": "web"}]
    assert [role["name"] for role in world.read("GET_ROLES")["roles"]] == ["web"]


def test_weights_take_every_offer_back_if_one_of_the_roles_is_used() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=["web"])
    framework.offers()
    world.operator("UPDATE_WEIGHTS", weight_infos=[{"role": "db", "weight": 2.0}])
    assert framework.fresh() == []
    world.operator("UPDATE_WEIGHTS", weight_infos=[{"role": "web", "weight": 2.5}])
    assert kinds(framework.fresh()) == ["RESCIND"]
    assert world.read("GET_WEIGHTS")["weight_infos"] == [{"role": "db", "weight": 2.0}, {"role": "web", "weight": 2.5}]


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (
            {"role": "web", "weight": 0.0},
            "Failed to validate update weights request JSON for role 'web': Invalid weight '0':"
            " Weights must be positive",
        ),
        (
            {"role": "a b", "weight": 1.0},
            "Failed to validate update weights request JSON: Invalid role 'a b':"
            " Role component 'a b' is invalid because it contains backspace or whitespace",
        ),
        (
            {"weight": 1.0},
            "Failed to validate update weights request JSON: Invalid role '': Role names cannot be the empty string",
        ),
    ],
)
def test_weights_are_refused_with_mesos_words(info: Json, text: str) -> None:
    reply = World().operator("UPDATE_WEIGHTS", weight_infos=[info])
    assert (reply.status, reply.body) == (400, text)


def test_an_idle_master_sleeps_between_pings_and_heartbeats() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    framework.decline(framework.offers(), refuse=600)
    world.advance(2)
    due = world.master.wake_at()
    assert due is not None
    assert due - START == pytest.approx(15.0)
