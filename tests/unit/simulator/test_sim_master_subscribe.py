"""Subscribing, failing over, leaving: what a scheduler sees of its own registration."""

from __future__ import annotations

from typing import Any

import pytest
from sim_master_world import World, kinds, launch, task

from headgate.simulator.messages import Reply, ShutdownFramework, UpdateFramework

EXISTS = {"selector": {"attribute_name": "rack"}, "predicate": {"exists": {}}}


def constraints(role: str, *groups: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [{"attribute_constraints": group} for group in groups]
    return {"offer_constraints": {"role_constraints": {role: {"groups": listed}}}}


REFUSED: list[tuple[tuple[str, ...], dict[str, Any], dict[str, Any], str]] = [
    (
        ("MULTI_ROLE",),
        {"role": "web"},
        {},
        "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable",
    ),
    ((), {"roles": ["web"]}, {}, "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable"),
    (
        ("MULTI_ROLE",),
        {"roles": ["web", "db", "web"]},
        {},
        "'FrameworkInfo.roles' contains duplicate items: { web }",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": [""]},
        {},
        "'FrameworkInfo.roles' contains invalid role: Role names cannot be the empty string",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["/a"]},
        {},
        "'FrameworkInfo.roles' contains invalid role: Role '/a' cannot start with a slash",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["a/"]},
        {},
        "'FrameworkInfo.roles' contains invalid role: Role 'a/' cannot end with a slash",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["a//b"]},
        {},
        "'FrameworkInfo.roles' contains invalid role: Role 'a//b' cannot contain two adjacent slashes",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["a/*"]},
        {},
        "'FrameworkInfo.roles' contains invalid role: Role 'a/*' cannot include '*' as a component",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["a/-b"]},
        {},
        "'FrameworkInfo.roles' contains invalid role: Role component '-b' is invalid because it starts with a dash",
    ),
    (
        (),
        {"role": "a\x7fb"},
        {},
        "'FrameworkInfo.role' is not a valid role: Role component 'a\x7fb' is invalid because it contains"
        " backspace or whitespace",
    ),
    ((), {"id": {"value": "a/b"}}, {}, "'a/b' contains invalid characters"),
    ((), {"id": {"value": "x" * 256}}, {}, "ID must not be greater than 255 characters"),
    ((), {"failover_timeout": 1e30}, {}, "The framework failover_timeout (1e+30) is invalid"),
    (
        (),
        {"offer_filters": {"*": {"min_allocatable_resources": {"quantities": [{}]}}}},
        {},
        "Resource quantities must contain at least one quantity",
    ),
    (
        (),
        {
            "offer_filters": {
                "*": {"min_allocatable_resources": {"quantities": [{"quantities": {"cpus": {"value": -1.0}}}]}}
            }
        },
        {},
        "Invalid resource quantity for 'cpus': Negative values not supported",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["web"]},
        {"suppressed_roles": ["db", "a"]},
        "Suppressed roles { a, db } are not contained in the set of roles",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["web"]},
        constraints("db", [EXISTS]),
        "Offer constraints specify `role_constraints` for a role 'db'not contained in the set of roles",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["web"]},
        constraints("web"),
        "Offer constraints are not valid: 'OfferConstraints::role_constraints' has an empty"
        " 'RoleConstraints::groups' for role web",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["web"]},
        constraints("web", []),
        "Offer constraints are not valid: 'OfferConstraints::RoleConstraints::groups' for role web"
        "contains an empty RoleConstraints::Group",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["web"]},
        constraints("web", [{"selector": {"attribute_name": "a"}, "predicate": {}}]),
        "Offer constraints are not valid: A role web has an invalid 'AttributeConstraint': Unknown predicate type",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["web"]},
        constraints("web", [{"selector": {}, "predicate": {"exists": {}}}]),
        "Offer constraints are not valid: A role web has an invalid 'AttributeConstraint': Exactly one of"
        " 'AttributeConstraint::Selector::name' or 'AttributeConstraint::Selector::pseudoattribute_type' must be set",
    ),
    (
        ("MULTI_ROLE",),
        {"roles": ["web"]},
        constraints("web", [{"selector": {"attribute_name": "a"}, "predicate": {"text_matches": {"regex": "("}}}]),
        "Offer constraints are not valid: A role web has an invalid 'AttributeConstraint': Failed to construct regex"
        " from pattern '(': missing ): (",
    ),
]


@pytest.mark.parametrize(("capabilities", "info", "more", "message"), REFUSED)
def test_a_refused_subscription_is_an_error_and_the_end_of_the_stream(
    capabilities: tuple[str, ...], info: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    world = World()
    framework = world.framework(*capabilities, subscribe=more, **info)
    assert world.events[framework.stream] == [{"type": "ERROR", "error": {"message": message}}]
    assert framework.ended
    assert not world.read("GET_FRAMEWORKS")["frameworks"]


def test_the_first_events_tell_the_id_the_master_and_beat_at_once() -> None:
    world = World()
    framework = world.framework()
    subscribed = world.events[framework.stream][0]["subscribed"]
    assert subscribed["framework_id"]["value"] == f"{world.master.id}-0000"
    assert subscribed["heartbeat_interval_seconds"] == 15.0
    assert subscribed["master_info"]["ip"] == 16777343
    assert subscribed["master_info"]["pid"] == "master@127.0.0.1:5050"


def test_heartbeats_come_every_15_s_whatever_else_happens() -> None:
    world = World()
    framework = world.framework()
    world.agent()
    world.advance(44.9)
    assert kinds(framework.fresh(heartbeats=True)).count("HEARTBEAT") == 2
    world.advance(0.2)
    assert kinds(framework.fresh(heartbeats=True)) == ["HEARTBEAT"]


def test_a_new_subscription_ends_the_old_one_with_an_error() -> None:
    world = World()
    world.agent()
    framework = world.framework(failover_timeout=60.0)
    old, [offer] = framework.stream, framework.offers()
    first = framework.subscribe()
    assert first["type"] == "SUBSCRIBED"
    assert world.events[old][-1] == {"type": "ERROR", "error": {"message": "Framework failed over"}}
    assert old in world.ended
    assert not framework.ended
    world.advance(1)
    [again] = framework.offers()
    assert again["id"] != offer["id"], "old offers are void, in silence"
    framework.accept([offer], launch(task("t", offer)))
    assert framework.statuses()[0]["reason"] == "REASON_INVALID_OFFERS"


def test_the_old_stream_breaking_later_does_not_disconnect() -> None:
    world = World()
    framework = world.framework()
    old = framework.stream
    framework.subscribe()
    world.master.disconnected(old, now=world.now)
    world.advance(1)
    assert framework.call("REVIVE").status == 202


CHECKS: list[tuple[str | None, int, str]] = [
    (None, 400, "All non-subscribe calls should include the 'Mesos-Stream-Id' header"),
    (
        "other",
        400,
        "The stream ID 'other' included in this request didn't match the stream ID currently associated with"
        " framework ID {id}",
    ),
]


@pytest.mark.parametrize(("stream", "status", "body"), CHECKS)
def test_calls_need_the_current_stream_id(stream: str | None, status: int, body: str) -> None:
    world = World()
    framework = world.framework()
    reply = framework.call("REVIVE", stream=stream)
    assert (reply.status, reply.body) == (status, body.format(id=framework.id))


def test_subscribe_must_not_carry_a_stream_id() -> None:
    world = World()
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}}
    answer = world.master.call(call, stream_id="x", now=world.now)
    assert answer == Reply(status=400, body="Subscribe calls should not include the 'Mesos-Stream-Id' header")


def test_unknown_frameworks_are_told_so_before_the_stream_is_looked_at() -> None:
    world = World()
    call = {"type": "REVIVE", "framework_id": {"value": "ghost"}}
    answer = world.master.call(call, stream_id="x", now=world.now)
    assert answer == Reply(status=400, body="Framework cannot be found")


def test_the_authenticated_principal_is_given_and_compared() -> None:
    world = World()
    call = {"type": "SUBSCRIBE", "subscribe": {"framework_info": {"user": "u", "name": "n"}}}
    world.master.call(call, stream_id=None, principal="p", now=world.now)
    world.settle()
    [framework] = world.read("GET_FRAMEWORKS")["frameworks"]
    assert framework["framework_info"]["principal"] == "p"
    teardown = {"type": "TEARDOWN", "framework_id": framework["framework_info"]["id"]}
    answer = world.master.call(teardown, stream_id=None, principal="q", now=world.now)
    assert isinstance(answer, Reply)
    assert answer.status == 400
    assert answer.body == "Authenticated principal 'q' does not match principal 'p' set in `FrameworkInfo`"


def test_a_lost_stream_leaves_the_failover_timeout_to_come_back() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework("PARTITION_AWARE", failover_timeout=10.0)
    framework.run(agent)
    world.master.disconnected(framework.stream, now=world.now)
    assert framework.call("REVIVE") == Reply(status=403, body="Framework is not subscribed")
    world.advance(9)
    assert framework.subscribe()["type"] == "SUBSCRIBED"
    world.advance(60)
    framework.call("RECONCILE", tasks=[])
    assert [status["state"] for status in framework.statuses()] == ["TASK_RUNNING"]


@pytest.mark.parametrize(("timeout", "waits"), [(None, 0.0), (10.0, 10.0)])
def test_when_the_failover_timeout_is_over_the_framework_is_gone(timeout: float | None, waits: float) -> None:
    world = World()
    agent = world.agent()
    framework = world.framework(**({} if timeout is None else {"failover_timeout": timeout}))
    world.master.disconnected(framework.stream, now=world.now)
    world.advance(waits)
    assert [message.framework_id for message in agent.take(ShutdownFramework)] == [framework.id]
    assert framework.subscribe() == {"type": "ERROR", "error": {"message": "Framework has been removed"}}


def test_teardown_ends_the_stream_without_a_word() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent)
    framework.fresh()
    assert framework.call("TEARDOWN").status == 202
    assert framework.fresh() == []
    assert framework.ended
    [ended] = world.get("/state")["completed_frameworks"]
    assert [item["state"] for item in ended["completed_tasks"]] == ["TASK_KILLED"]
    assert framework.call("REVIVE") == Reply(status=400, body="Framework cannot be found")


def test_only_so_many_completed_frameworks_are_remembered() -> None:
    world = World(max_completed_frameworks=1)
    first, second = world.framework(), world.framework()
    for framework in (first, second):
        framework.call("TEARDOWN")
    assert first.subscribe()["type"] == "SUBSCRIBED", "forgotten, so it may come again"
    assert second.subscribe()["type"] == "ERROR"


def test_an_invented_id_is_taken() -> None:
    world = World()
    assert world.framework(id={"value": "mine"}).id == "mine"


def test_an_empty_id_is_none() -> None:
    world = World()
    assert world.framework(id={"value": ""}).id == f"{world.master.id}-0000"


def test_user_and_checkpoint_are_kept_other_fields_replaced() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework(failover_timeout=5.0)
    framework.info |= {"user": "other", "checkpoint": True, "name": "renamed", "failover_timeout": 7.0}
    framework.subscribe()
    [seen] = world.read("GET_FRAMEWORKS")["frameworks"]
    info = seen["framework_info"]
    assert (info["user"], info["checkpoint"], info["name"], info["failover_timeout"]) == ("u", False, "renamed", 7.0)
    assert [message.framework["name"] for message in agent.take(UpdateFramework)] == ["renamed"]


def test_another_principal_is_refused_and_the_earlier_stream_stays() -> None:
    world = World()
    framework = world.framework(principal="p")
    old = framework.stream
    framework.info["principal"] = "q"
    first = framework.subscribe()
    assert first["error"]["message"] == "Changing framework's principal is not allowed."
    framework.stream = old
    assert framework.call("REVIVE").status == 202


def test_suppressed_roles_are_replaced_at_each_subscription() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=["web"], subscribe={"suppressed_roles": ["web"]})
    world.advance(3)
    assert framework.offers() == []
    framework.subscribe()
    world.advance(1)
    assert len(framework.offers()) == 1


UPDATES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {"user": "x"},
        {},
        "FrameworkInfo update is not valid: Updating 'FrameworkInfo.user' is unsupported;"
        " attempted to update from 'u' to 'x'",
    ),
    (
        {"checkpoint": True},
        {},
        "FrameworkInfo update is not valid: Updating 'FrameworkInfo.checkpoint' is unsupported;"
        " attempted to update from 'false' to 'true'",
    ),
    ({"principal": "x"}, {}, "FrameworkInfo update is not valid: Changing framework's principal is not allowed."),
    (
        {"roles": ["/x"]},
        {},
        "Supplied FrameworkInfo is not valid: 'FrameworkInfo.roles' contains invalid role:"
        " Role '/x' cannot start with a slash",
    ),
    (
        {},
        {"suppressed_roles": ["no"]},
        "'UpdateFramework' call is not valid: Suppressed roles { no } are not contained in the set of roles",
    ),
    (
        {},
        constraints("no", [EXISTS]),
        "'UpdateFramework' call is not valid: Offer constraints specify `role_constraints` for a role 'no'"
        "not contained in the set of roles",
    ),
]


@pytest.mark.parametrize(("changes", "more", "text"), UPDATES)
def test_update_framework_refuses_with_400(changes: dict[str, Any], more: dict[str, Any], text: str) -> None:
    world = World()
    framework = world.framework("MULTI_ROLE", roles=["web"])
    reply = framework.call("UPDATE_FRAMEWORK", framework_info={**framework.info, **changes}, **more)
    assert (reply.status, reply.body) == (400, text)


def test_update_framework_rescinds_the_offers_of_dropped_roles_only() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=["web"])
    [offer] = framework.offers()
    framework.info["roles"] = ["db", "web"]
    assert framework.call("UPDATE_FRAMEWORK", framework_info=framework.info, suppressed_roles=["web"]).status == 200
    assert framework.fresh() == []
    framework.info["roles"] = ["db"]
    assert framework.call("UPDATE_FRAMEWORK", framework_info=framework.info).status == 200
    world.advance(1)
    rescind, offers = framework.fresh()
    assert rescind == {"type": "RESCIND", "rescind": {"offer_id": offer["id"]}}
    assert offers["offers"]["offers"][0]["allocation_info"] == {"role": "db"}
