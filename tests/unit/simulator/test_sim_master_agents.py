"""Agents come, fall silent, come back, go for good; and one master takes over from another."""

from __future__ import annotations

from typing import Any

import pytest
from sim_master_world import (
    START,
    FakeAgent,
    Json,
    Scheduler,
    World,
    amounts,
    custom,
    kinds,
    launch,
    operation,
    reserved,
    scalar,
    task,
)

from headgate.simulator.messages import (
    AcknowledgeOperation,
    AcknowledgeUpdate,
    AgentRegistered,
    DrainAgent,
    KillTask,
    OperationUpdate,
    ShutdownAgent,
    ShutdownFramework,
    UnregisterAgent,
    UpdateFramework,
)

FAST = {"agent_ping_timeout": 1.0, "max_agent_ping_timeouts": 3}
DURABLE = {"checkpoint": True, "failover_timeout": 600.0}


def running(world: World, *capabilities: str, **info: Any) -> tuple[Scheduler, FakeAgent]:
    """A framework with a custom executor's task t1 and a command task t2, the rest of the agent on offer."""
    agent = world.agent()
    framework = world.framework(*capabilities, **info)
    [offer] = framework.offers()
    tasks = task("t1", offer, executor=custom()), task("t2", offer, command={"value": "sleep"})
    framework.accept([offer], launch(*tasks), refuse=0)
    container = {"container_id": {"value": "c"}}
    for name in ("t1", "t2"):
        agent.update(framework, name, "TASK_RUNNING", container_status=container)
    world.advance(1)
    framework.fresh()
    return framework, agent


def known_tasks(world: World, framework: Scheduler) -> tuple[Json, ...]:
    """The tasks as the agent would name them when it comes back."""
    return tuple(item for item in world.read("GET_TASKS")["tasks"] if item["framework_id"]["value"] == framework.id)


def as_sent(executor: Json, framework: Scheduler) -> Json:
    """An ExecutorInfo as agents get it."""
    resources = [{**item, "allocation_info": {"role": "*"}} for item in executor["resources"]]
    return {**executor, "framework_id": {"value": framework.id}, "resources": resources}


def test_registering_twice_gives_the_same_id() -> None:
    world = World()
    agent = world.agent()
    first = agent.id
    agent.register()
    assert agent.id == first == f"{world.master.id}-S0"
    [answer, _] = agent.take(AgentRegistered)
    assert answer.total_ping_timeout_s == 75.0


def test_a_new_agent_is_offered_at_once() -> None:
    world = World()
    framework = world.framework()
    world.agent()
    assert len(framework.offers()) == 1


def test_a_new_agent_at_the_address_of_a_lost_one_replaces_it() -> None:
    world = World()
    framework, agent = running(world, "PARTITION_AWARE", **DURABLE)
    old = agent.id
    agent.break_link()
    framework.fresh()
    agent.id = ""
    agent.register()
    statuses = framework.statuses()
    assert {status["message"] for status in statuses} == {
        "Agent localhost removed: a new agent registered at the same address"
    }
    assert agent.id != old


@pytest.mark.parametrize(("capabilities", "state"), [(("PARTITION_AWARE",), "TASK_UNREACHABLE"), ((), "TASK_LOST")])
def test_a_silent_agent_becomes_unreachable(capabilities: tuple[str, ...], state: str) -> None:
    world = World(**FAST)
    framework, agent = running(world, *capabilities, **DURABLE)
    other = world.framework()
    agent.answers_pings = False
    silent_since = world.now
    world.advance(4)
    updates, rest = _split(framework.fresh())
    assert {status["state"] for status in updates} == {state}
    for status in updates:
        assert status["message"] == "health check timed out"
        assert status["reason"] == "REASON_AGENT_REMOVED"
        assert "uuid" not in status
        assert START < silent_since <= status["unreachable_time"]["nanoseconds"] / 1e9 <= world.now
        assert ("executor_id" in status) is (status["task_id"]["value"] == "t1")
    assert kinds(rest) == ["RESCIND", "FAILURE"]
    failure = {"type": "FAILURE", "failure": {"agent_id": {"value": agent.id}}}
    assert rest[1] == failure
    assert other.fresh() == [failure]
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t1"}, "agent_id": {"value": agent.id}}])
    [status] = framework.statuses()
    assert (status["state"], status["message"]) == (state, "Reconciliation: Task is unreachable")
    assert "unreachable_time" in status
    framework.call("RECONCILE", tasks=[])
    assert framework.statuses() == []


def _split(events: list[Json]) -> tuple[list[Json], list[Json]]:
    updates = [event["update"]["status"] for event in events if event["type"] == "UPDATE"]
    return updates, [event for event in events if event["type"] != "UPDATE"]


def test_an_unreachable_agent_comes_back_with_its_tasks() -> None:
    world = World(**FAST)
    framework, agent = running(world, "PARTITION_AWARE", **DURABLE)
    tasks = known_tasks(world, framework)
    agent.answers_pings = False
    world.advance(4)
    framework.fresh()
    agent.answers_pings = True
    executor = as_sent(custom(), framework)
    agent.reregister(tasks, (executor,), frameworks=(framework.info,))
    updates, rest = _split(framework.fresh())
    assert [status["state"] for status in updates] == ["TASK_RUNNING", "TASK_RUNNING"]
    for status in updates:
        assert status["message"] == "Unreachable agent re-reregistered"
        assert status["reason"] == "REASON_AGENT_REREGISTERED"
        assert status["container_status"] == {"container_id": {"value": "c"}}
        assert "uuid" not in status
    assert kinds(rest) == ["OFFERS"]
    assert amounts(rest[0]["offers"]["offers"][0])["cpus"] == 1.7
    framework.call("KILL", task_id={"value": "t1"})
    assert len(agent.take(KillTask)) == 1


def test_tasks_of_a_framework_that_is_gone_are_shut_down_when_their_agent_returns() -> None:
    world = World(**FAST)
    framework, agent = running(world, **DURABLE)
    tasks = known_tasks(world, framework)
    info = dict(framework.info)
    agent.answers_pings = False
    world.advance(4)
    framework.call("TEARDOWN")
    agent.heard.clear()
    agent.reregister(tasks, frameworks=(info,))
    assert [message.framework_id for message in agent.take(ShutdownFramework)] == [framework.id]
    assert world.get("/state")["slaves"][0]["used_resources"]["cpus"] == 0.0


def test_an_unreachable_tasks_id_is_taken() -> None:
    world = World(**FAST)
    framework, agent = running(world, "PARTITION_AWARE", **DURABLE)
    agent.answers_pings = False
    world.advance(4)
    framework.fresh()
    world.agent()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t1", offer, command={"value": "x"})))
    [status] = framework.statuses()
    assert status["message"] == "Task reuses the ID of an unreachable task: t1"


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_broken_link_loses_what_does_not_checkpoint(checkpoint: bool) -> None:
    world = World()
    framework, agent = running(world, "PARTITION_AWARE", checkpoint=checkpoint)
    agent.break_link()
    updates, rest = _split(framework.fresh())
    assert kinds(rest) == ["RESCIND"]
    assert [status["state"] for status in updates] == ([] if checkpoint else ["TASK_LOST", "TASK_LOST"])
    assert {status["message"] for status in updates} <= {"Agent localhost disconnected"}
    assert {status["reason"] for status in updates} <= {"REASON_AGENT_DISCONNECTED"}
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t1"}, "agent_id": {"value": agent.id}}])
    [status] = framework.statuses()
    assert status["state"] == ("TASK_RUNNING" if checkpoint else "TASK_GONE")
    framework.call("ACKNOWLEDGE", agent_id={"value": agent.id}, task_id={"value": "t1"}, uuid="x")
    assert agent.take(AcknowledgeUpdate) == []


def test_an_agent_that_reconnects_in_time_is_offered_again_and_asked_for_what_it_forgot() -> None:
    world = World()
    framework, agent = running(world, "PARTITION_AWARE", **DURABLE)
    tasks = known_tasks(world, framework)
    agent.break_link()
    framework.fresh()
    framework.call("KILL", task_id={"value": "t1"})
    agent.heard.clear()
    agent.reregister(tasks[:1], (), frameworks=(framework.info,))
    [answer] = agent.take(AgentRegistered)
    [asked] = answer.reconcile_tasks
    assert asked["task_id"] == {"value": "t2"}
    assert asked["framework"]["id"]["value"] == framework.id
    assert [message.task_id for message in agent.take(KillTask)] == ["t1"], "the kill that it could not get"
    assert len(agent.take(UpdateFramework)) == 1
    world.advance(1)
    assert kinds(framework.fresh()) == ["OFFERS"]


def test_a_broken_link_without_return_ends_after_ten_minutes() -> None:
    world = World(agent_ping_timeout=1000.0)
    framework, agent = running(world, "PARTITION_AWARE", **DURABLE)
    agent.break_link()
    framework.fresh()
    world.advance(599)
    assert framework.fresh() == []
    world.advance(2)
    statuses = framework.statuses()
    assert {status["message"] for status in statuses} == {"agent did not reregister within 10mins after disconnecting"}


def test_an_agent_that_leaves_loses_its_tasks_for_everybody() -> None:
    world = World()
    framework, agent = running(world, "PARTITION_AWARE", **DURABLE)
    agent.send(UnregisterAgent(agent_id=agent.id))
    updates, rest = _split(framework.fresh())
    assert {(status["state"], status["message"]) for status in updates} == {
        ("TASK_LOST", "Agent localhost removed: the agent unregistered")
    }
    assert kinds(rest) == ["RESCIND", "FAILURE"]


def test_an_agent_cannot_come_back_under_another_address() -> None:
    world = World()
    agent = world.agent()
    agent.info["hostname"] = "elsewhere"
    agent.reregister()
    [message] = agent.take(ShutdownAgent)
    assert message.message == "Agent attempted to reregister with different IP / hostname"


def test_what_an_agent_remembers_of_reservations_counts() -> None:
    world = World()
    agent = world.agent("cpus:2;mem:64")
    framework = world.framework("MULTI_ROLE", "RESERVATION_REFINEMENT", roles=["web"])
    framework.offers()
    agent.break_link()
    framework.fresh()
    agent.reregister(resources=(reserved(scalar("cpus", 0.5), "web"),))
    world.advance(1)
    [offer] = framework.offers()
    assert [item["scalar"]["value"] for item in offer["resources"] if "reservations" in item] == [0.5]
    agent.break_link()
    framework.fresh()
    agent.reregister(resources=(reserved(scalar("cpus", 5), "web"),))
    [message] = agent.take(ShutdownAgent)
    assert message.message.startswith("Incompatible agent resources: cpus:2; mem:64 does not contain cpus:5")


# --- gone, drained, deactivated ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "state", "reason"),
    [
        (("PARTITION_AWARE",), "TASK_GONE_BY_OPERATOR", "REASON_AGENT_REMOVED_BY_OPERATOR"),
        ((), "TASK_LOST", "REASON_AGENT_REMOVED"),
    ],
)
def test_marking_an_agent_gone(capabilities: tuple[str, ...], state: str, reason: str) -> None:
    world = World()
    framework, agent = running(world, *capabilities, **DURABLE)
    body = {"agent_id": {"value": agent.id}}
    assert world.operator("MARK_AGENT_GONE", **body).status == 200
    updates, rest = _split(framework.fresh())
    assert {(status["state"], status["reason"], status["message"]) for status in updates} == {
        (state, reason, "Agent has been marked gone")
    }
    assert not any("unreachable_time" in status for status in updates)
    assert kinds(rest) == ["RESCIND", "FAILURE"]
    assert [message.message for message in agent.take(ShutdownAgent)] == ["Agent has been marked gone"]
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t1"}, **body}])
    [status] = framework.statuses()
    assert status["message"] == "Reconciliation: Task is gone"
    agent.reregister()
    assert [message.message for message in agent.take(ShutdownAgent)] == ["Agent has been marked gone"]
    assert world.operator("MARK_AGENT_GONE", **body).status == 200
    unknown = world.operator("MARK_AGENT_GONE", agent_id={"value": "X"})
    assert (unknown.status, unknown.body) == (404, "Agent 'X' not found")


def test_an_unreachable_agent_can_be_marked_gone() -> None:
    world = World(**FAST)
    framework, agent = running(world, "PARTITION_AWARE", **DURABLE)
    agent.answers_pings = False
    world.advance(4)
    framework.fresh()
    world.operator("MARK_AGENT_GONE", agent_id={"value": agent.id})
    assert {status["state"] for status in framework.statuses()} == {"TASK_GONE_BY_OPERATOR"}


def test_draining_ends_when_the_last_end_is_acknowledged() -> None:
    world = World()
    framework, agent = running(world)
    body = {"agent_id": {"value": agent.id}}
    grace = {"seconds": 600}
    assert world.operator("DRAIN_AGENT", **body, max_grace_period=grace).status == 200
    assert kinds(framework.fresh()) == ["RESCIND"]
    [message] = agent.take(DrainAgent)
    assert message.config == {"mark_gone": False, "max_grace_period": {"nanoseconds": 600_000_000_000}}
    ends = [agent.update(framework, name, "TASK_KILLED") for name in ("t1", "t2")]
    reply = world.operator("REACTIVATE_AGENT", **body)
    assert (reply.status, reply.body) == (400, "Agent is still in the DRAINING state")
    for status in ends:
        framework.acknowledge(status)
    [seen] = world.read("GET_AGENTS")["agents"]
    assert seen["drain_info"]["state"] == "DRAINED"
    framework.fresh()
    world.advance(3)
    assert framework.fresh() == []
    assert world.operator("REACTIVATE_AGENT", **body).status == 200
    world.advance(1)
    assert len(framework.offers()) == 1
    reply = world.operator("REACTIVATE_AGENT", **body)
    assert (reply.status, reply.body) == (400, "Agent is not deactivated")


def test_draining_with_mark_gone_ends_in_gone() -> None:
    world = World()
    framework, agent = running(world, "PARTITION_AWARE")
    world.operator("DRAIN_AGENT", agent_id={"value": agent.id}, mark_gone=True)
    for name in ("t1", "t2"):
        framework.acknowledge(agent.update(framework, name, "TASK_GONE_BY_OPERATOR"))
    assert "FAILURE" in kinds(framework.fresh())
    assert world.read("GET_AGENTS")["agents"] == []


def test_a_draining_agent_that_reconnects_is_told_again_and_stays_inactive() -> None:
    world = World()
    framework, agent = running(world, **DURABLE)
    tasks = known_tasks(world, framework)
    world.operator("DRAIN_AGENT", agent_id={"value": agent.id})
    agent.break_link()
    agent.heard.clear()
    framework.fresh()
    agent.reregister(tasks, frameworks=(framework.info,))
    assert len(agent.take(DrainAgent)) == 1
    world.advance(3)
    assert framework.fresh() == []


def test_deactivating_only_stops_offers() -> None:
    world = World()
    framework, agent = running(world)
    assert world.operator("DEACTIVATE_AGENT", agent_id={"value": agent.id}).status == 200
    assert kinds(framework.fresh()) == ["RESCIND"]
    world.advance(3)
    assert framework.fresh() == []
    [seen] = world.get("/state")["slaves"]
    assert (seen["active"], seen["deactivated"]) == (False, True)


@pytest.mark.parametrize("kind", ["DRAIN_AGENT", "DEACTIVATE_AGENT"])
def test_unknown_agents_cannot_be_drained(kind: str) -> None:
    reply = World().operator(kind, agent_id={"value": "X"})
    assert (reply.status, reply.body) == (400, "Unknown agent")


# --- another master ----------------------------------------------------------------------------------------------


def test_a_new_master_waits_for_the_agents_of_its_registry() -> None:
    old = World()
    framework, agent = running(old, "PARTITION_AWARE", **DURABLE)
    tasks = known_tasks(old, framework)
    world = World(old.master.registry(), seed=2)
    world.agents[agent.address] = agent
    agent.world = framework.world = world
    assert world.master.id != old.master.id
    assert framework.subscribe()["type"] == "SUBSCRIBED"
    named = {"task_id": {"value": "t1"}, "agent_id": {"value": agent.id}}
    for asked in ([named], [{"task_id": {"value": "t1"}}], []):
        framework.call("RECONCILE", tasks=asked)
    world.advance(2)
    assert framework.fresh() == []
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t1"}, "agent_id": {"value": "X"}}])
    assert [status["state"] for status in framework.statuses()] == ["TASK_UNKNOWN"]
    executor = as_sent(custom(), framework)
    agent.reregister(tasks, (executor,), frameworks=(framework.info,))
    [event] = framework.fresh()
    assert event["type"] == "OFFERS", "no updates of recovered agents' tasks"
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t1"}}])
    [status] = framework.statuses()
    assert (status["state"], status["executor_id"]) == ("TASK_RUNNING", {"value": "e1"})


def test_agents_may_come_to_a_new_master_before_their_frameworks() -> None:
    old = World()
    framework, agent = running(old, "PARTITION_AWARE", **DURABLE)
    tasks = known_tasks(old, framework)
    world = World(old.master.registry(), seed=2)
    world.agents[agent.address] = agent
    agent.world = framework.world = world
    agent.reregister(tasks, frameworks=(framework.info,))
    [seen] = world.get("/state")["frameworks"]
    assert (seen["recovered"], seen["connected"], len(seen["tasks"])) == (True, False, 2)
    assert framework.call("REVIVE").status == 403
    world.advance(700)
    assert framework.subscribe()["type"] == "SUBSCRIBED", "its failover timeout was not enforced"
    framework.call("RECONCILE", tasks=[])
    assert len(framework.statuses()) == 2


def test_agents_that_never_come_to_a_new_master_are_a_failure_event_only() -> None:
    old = World()
    framework, agent = running(old, "PARTITION_AWARE", **DURABLE)
    world = World(old.master.registry(), seed=2)
    framework.world = world
    framework.subscribe()
    world.advance(601)
    assert framework.fresh() == [{"type": "FAILURE", "failure": {"agent_id": {"value": agent.id}}}]
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t1"}, "agent_id": {"value": agent.id}}])
    assert [status["state"] for status in framework.statuses()] == ["TASK_UNREACHABLE"]


def test_the_registry_keeps_the_operators_wishes() -> None:
    old = World()
    agent = old.agent()
    old.operator("DEACTIVATE_AGENT", agent_id={"value": agent.id})
    old.operator("UPDATE_WEIGHTS", weight_infos=[{"role": "web", "weight": 2.0}])
    old.operator("UPDATE_QUOTA", quota_configs=[{"role": "web", "limits": {"cpus": {"value": 1.0}}}])
    world = World(old.master.registry(), seed=2)
    world.agents[agent.address] = agent
    agent.world = world
    agent.reregister()
    framework = world.framework("MULTI_ROLE", roles=["web"])
    world.advance(2)
    assert framework.offers() == []
    assert world.read("GET_WEIGHTS")["weight_infos"] == [{"role": "web", "weight": 2.0}]
    world.operator("REACTIVATE_AGENT", agent_id={"value": agent.id})
    world.advance(1)
    assert amounts(framework.offers()[0])["cpus"] == 1.0


def after_failover(agents: int, **settings: Any) -> tuple[World, list[FakeAgent], Scheduler]:
    """A new master that knows of quotas and agents, and a framework that is back before them."""
    old = World(**settings)
    known = [old.agent() for _ in range(agents)]
    old.operator("UPDATE_QUOTA", quota_configs=[{"role": "db", "guarantees": {"cpus": {"value": 1.0}}}])
    world = World(old.master.registry(), seed=2, **settings)
    for agent in known:
        world.agents[agent.address] = agent
        agent.world = world
    return world, known, world.framework("MULTI_ROLE", roles=["web"])


def test_with_quotas_a_new_master_offers_nothing_before_four_fifths_of_the_agents_are_back() -> None:
    world, agents, framework = after_failover(5)
    for agent in agents[:3]:
        agent.reregister()
    world.advance(5)
    assert framework.offers() == []
    agents[3].reregister()
    assert len(framework.offers()) == 4


def test_it_does_not_wait_for_them_without_end() -> None:
    world, agents, framework = after_failover(5, allocation_recovery_timeout=300.0)
    agents[0].reregister()
    agents[1].reregister()
    world.advance(299)
    assert framework.offers() == []
    world.advance(2)
    assert len(framework.offers()) == 2


def test_operations_of_an_earlier_master_can_be_acknowledged() -> None:
    old = World()
    agent = old.agent()
    framework = old.framework("MULTI_ROLE", "RESERVATION_REFINEMENT", roles=["web"], **DURABLE)
    [offer] = framework.offers()
    framework.accept([offer], operation("RESERVE", "op", resources=[reserved(scalar("cpus", 1), "web")]))
    world = World(old.master.registry(), seed=2)
    world.agents[agent.address] = agent
    agent.world = framework.world = world
    framework.subscribe()
    agent.reregister(resources=(reserved(scalar("cpus", 1), "web"),), frameworks=(framework.info,))
    framework.fresh()
    status = {"operation_id": {"value": "op"}, "state": "OPERATION_FINISHED", "uuid": {"value": "u1"}}
    agent.send(OperationUpdate(agent_id=agent.id, framework_id=framework.id, status=status, operation_uuid="o1"))
    assert kinds(framework.fresh()) == ["UPDATE_OPERATION_STATUS"]
    framework.call(
        "ACKNOWLEDGE_OPERATION_STATUS", agent_id={"value": agent.id}, operation_id={"value": "op"}, uuid="u1"
    )
    assert agent.take(AcknowledgeOperation) == [AcknowledgeOperation(operation_uuid="o1", status_uuid="u1")]
