"""Who may do what: roles and users by the master's flags and ACLs, and what the registry forgets."""

from typing import Any

import pytest
from sim_master_world import Json, Scheduler, World, custom, launch, launch_group, task

from headgate.simulator.master.acls import launch_problem, registration_problem

COMMAND = {"command": {"value": "true"}}


def refused(world: World, *capabilities: str, **info: Any) -> Any:
    """What the ERROR of a refused subscription says."""
    scheduler = Scheduler(world, capabilities, {"user": "me", "name": "n", **info})
    scheduler.subscribe()
    [event] = scheduler.fresh()
    assert event["type"] == "ERROR", event
    return event["error"]["message"]


def test_roles_that_the_master_does_not_know() -> None:
    world = World(roles=frozenset({"web"}))
    text = "Roles { db, x } are not present in the master's --roles"
    assert refused(world, "MULTI_ROLE", roles=["x", "web", "db"]) == text
    assert world.framework("MULTI_ROLE", roles=["web", "*"]).fresh() == []


def test_root_may_be_kept_out() -> None:
    text = "User 'root' is not allowed to run frameworks without --root_submissions set"
    assert refused(World(root_submissions=False), user="root") == text


ONLY_P_FOR_WEB = [{"principals": {"values": ["p"]}, "roles": {"values": ["web"]}}]


@pytest.mark.parametrize(
    ("acls", "principal", "roles", "allowed"),
    [
        ({}, None, ["web"], True),
        ({"permissive": False}, "p", ["web"], False),
        ({"register_frameworks": ONLY_P_FOR_WEB}, "q", ["web"], True),
        ({"permissive": False, "register_frameworks": ONLY_P_FOR_WEB}, "q", ["web"], False),
        ({"permissive": False, "register_frameworks": ONLY_P_FOR_WEB}, "p", ["web"], True),
        ({"permissive": False, "register_frameworks": ONLY_P_FOR_WEB}, "p", ["web", "db"], False),
        (
            {"register_frameworks": [{"principals": {"type": "NONE"}, "roles": {"values": ["web"]}}]},
            "p",
            ["web"],
            False,
        ),
        ({"register_frameworks": [{"principals": {"type": "NONE"}, "roles": {"values": ["web"]}}]}, "p", ["db"], True),
        ({"register_frameworks": [{"principals": {"type": "ANY"}, "roles": {"type": "NONE"}}]}, None, ["*"], False),
    ],
)
def test_who_may_register(acls: Json, principal: str | None, roles: list[str], allowed: bool) -> None:
    info: Json = {"capabilities": [{"type": "MULTI_ROLE"}], "roles": roles}
    if principal is not None:
        info["principal"] = principal
    assert (registration_problem(acls, info) is None) is allowed


def test_a_framework_without_leave_is_told_so() -> None:
    everybody, nobody = {"type": "ANY"}, {"type": "NONE"}
    rules = [{"principals": everybody, "roles": {"values": ["db"]}}, {"principals": nobody, "roles": everybody}]
    world = World(acls={"register_frameworks": rules})
    assert refused(world, "MULTI_ROLE", roles=["web"]) == "Not authorized to register framework  with roles { web }"
    framework = world.framework("MULTI_ROLE", roles=["db"])
    changed = {**framework.info, "roles": ["web"]}
    reply = framework.call("UPDATE_FRAMEWORK", framework_info=changed)
    text = f"Not authorized to register framework {framework.id} with roles {{ web }}"
    assert (reply.status, reply.body) == (403, text)


def test_tasks_under_a_forbidden_user_are_errors_and_others_run() -> None:
    world = World(acls={"run_tasks": [{"principals": {"type": "NONE"}, "users": {"values": ["root"]}}]})
    world.agent()
    framework = world.framework(principal="p")
    [offer] = framework.offers()
    bad = task("bad", offer, command={"value": "true", "user": "root"})
    framework.accept([offer], launch(bad, task("good", offer, **COMMAND)))
    [status] = framework.statuses()
    assert (status["state"], status["reason"]) == ("TASK_ERROR", "REASON_TASK_UNAUTHORIZED")
    assert status["message"] == (
        f"Principal 'p' no authorized to launch task bad of framework {framework.id} under user 'root'"
    )


def test_a_group_with_one_forbidden_task_is_forbidden() -> None:
    world = World(acls={"run_tasks": [{"principals": {"type": "NONE"}, "users": {"values": ["root"]}}]})
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    bad, good = task("bad", offer, command={"value": "x", "user": "root"}), task("good", offer, **COMMAND)
    executor = {**custom(), "framework_id": {"value": framework.id}}
    framework.accept([offer], launch_group(executor, good, bad))
    statuses = framework.statuses()
    assert [item["task_id"]["value"] for item in statuses] == ["good", "bad"]
    assert {item["reason"] for item in statuses} == {"REASON_TASK_GROUP_UNAUTHORIZED"}


def test_the_user_of_the_executor_counts_if_the_task_names_none() -> None:
    acls = {"run_tasks": [{"principals": {"type": "NONE"}, "users": {"values": ["root"]}}]}
    info = {"user": "me", "id": {"value": "f"}}
    by_executor = {"task_id": {"value": "t"}, "executor": {"command": {"user": "root"}}}
    assert launch_problem(acls, info, by_executor) is not None
    assert launch_problem(acls, info, {"task_id": {"value": "t"}}) is None


def test_agents_that_have_long_been_lost_are_forgotten() -> None:
    world = World(registry_max_agent_age=3600.0)
    first = world.agent()
    world.operator("MARK_AGENT_GONE", agent_id={"value": first.id})
    assert first.id in world.master.registry().gone
    world.advance(3000)
    assert first.id in world.master.registry().gone
    world.advance(2000)
    assert world.master.registry().gone == {}


def test_of_too_many_lost_agents_the_oldest_are_forgotten() -> None:
    world = World(registry_max_agent_count=1)
    agents = [world.agent() for _ in range(2)]
    for agent in agents:
        world.operator("MARK_AGENT_GONE", agent_id={"value": agent.id})
        world.advance(10)
    world.advance(1000)
    assert list(world.master.registry().gone) == [agents[1].id]
