"""Launches, updates, acknowledgements, kills and reconciliation, with agents played by hand."""

from __future__ import annotations

from typing import Any

import pytest
from sim_master_world import (
    GPU_AGENT,
    Json,
    Scheduler,
    World,
    amounts,
    custom,
    kinds,
    launch,
    launch_group,
    needs,
    new_uuid,
    scalar,
    task,
)

from headgate.simulator.messages import (
    AcknowledgeUpdate,
    ExecutorMessage,
    FrameworkMessage,
    KillTask,
    RunTask,
    RunTaskGroup,
    ShutdownExecutor,
)

COMMAND = {"command": {"value": "true"}}


def test_a_command_task_is_sent_with_allocated_resources_and_nothing_is_reported() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, **COMMAND)), refuse=600)
    assert framework.fresh() == []
    [message] = agent.take(RunTask)
    assert message.executor is None
    assert message.launch_executor is None
    assert message.framework["id"]["value"] == framework.id
    assert {item["allocation_info"]["role"] for item in message.task["resources"]} == {"*"}


def test_an_executor_is_paid_for_once_and_named_in_offers() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t1", offer, executor=custom())), refuse=0)
    world.advance(1)
    [offer] = framework.offers()
    assert amounts(offer)["cpus"] == 1.8
    assert offer["executor_ids"] == [{"value": "e1"}]
    framework.accept([offer], launch(task("t2", offer, executor=custom(labels={"labels": []}))), refuse=0)
    world.advance(1)
    assert amounts(framework.offers()[0])["cpus"] == 1.7
    first, second = agent.take(RunTask)
    assert (first.launch_executor, second.launch_executor) == (True, False)
    assert first.executor["framework_id"]["value"] == framework.id


@pytest.mark.parametrize(
    "changes", [{"name": "renamed"}, {"resources": needs(0.2)}, {"command": {"value": "other"}}, {"data": "YQ=="}]
)
def test_an_executor_must_stay_the_same(changes: Json) -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t1", offer, executor=custom())), refuse=0)
    world.advance(1)
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t2", offer, executor=custom(**changes))))
    [status] = framework.statuses()
    assert status["message"].startswith(
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID."
    )


def test_what_goes_without_saying_makes_no_difference() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t1", offer, executor=custom())), refuse=0)
    world.advance(1)
    [offer] = framework.offers()
    spelled_out = custom(command={"value": "run", "shell": True})
    framework.accept([offer], launch(task("t2", offer, executor=spelled_out)))
    assert framework.statuses() == []


def test_tasks_are_judged_one_by_one_against_what_is_left() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    tasks = [task(name, offer, needs(cpus), **COMMAND) for name, cpus in (("a", 1.5), ("b", 1.0), ("c", 0.5))]
    framework.accept([offer], launch(*tasks))
    assert [status["task_id"]["value"] for status in framework.statuses()] == ["b"]
    assert [message.task["task_id"]["value"] for message in agent.take(RunTask)] == ["a", "c"]


def test_a_group_is_sent_as_one() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    pod = {
        "type": "DEFAULT",
        "executor_id": {"value": "pod"},
        "framework_id": {"value": framework.id},
        "resources": [*needs(), scalar("disk", 32)],
    }
    framework.accept([offer], launch_group(pod, task("a", offer, **COMMAND), task("b", offer, **COMMAND)))
    [message] = agent.take(RunTaskGroup)
    assert [item["task_id"]["value"] for item in message.tasks] == ["a", "b"]
    assert all(item["executor"]["executor_id"] == {"value": "pod"} for item in message.tasks)
    assert message.launch_executor is True


# --- stage one ---------------------------------------------------------------------------------------------------


def spoiled(framework: Scheduler, offer_ids: list[str], offer: Json) -> Json:
    ids = [{"value": offer_id} for offer_id in offer_ids]
    framework.call("ACCEPT", offer_ids=ids, operations=[launch(task("t", offer, **COMMAND))])
    [status] = framework.statuses()
    assert status["reason"] == "REASON_INVALID_OFFERS"
    assert "uuid" not in status
    return status


def test_one_bad_offer_id_spoils_the_whole_accept() -> None:
    world = World()
    world.agent()
    framework = world.framework("PARTITION_AWARE")
    [offer] = framework.offers()
    good = offer["id"]["value"]
    status = spoiled(framework, [good, "none"], offer)
    assert status["state"] == "TASK_DROPPED"
    assert status["message"] == "Task launched with invalid offers: Offer none is no longer valid"
    assert spoiled(framework, [good], offer)["message"].endswith(f"Offer {good} is no longer valid")
    world.advance(1)
    assert len(framework.offers()) == 1, "no filter was set"


def test_the_reasons_why_offers_are_invalid() -> None:
    world = World()
    world.agent()
    world.agent(GPU_AGENT)
    framework = world.framework("GPU_RESOURCES")
    a, b = framework.offers()
    assert spoiled(framework, [], a)["message"].endswith("No offers specified")
    a_id, b_id = a["id"]["value"], b["id"]["value"]
    assert spoiled(framework, [a_id, a_id], a)["message"].endswith(f"Duplicate offer {a_id} in offer list")
    world.advance(1)
    [a] = framework.offers()
    a_id = a["id"]["value"]
    status = spoiled(framework, [b_id, a_id], a)
    assert status["state"] == "TASK_LOST", "not PARTITION_AWARE"
    assert status["message"].endswith(
        f"Aggregated offers must belong to one single agent. Offer {a_id} uses agent {a['agent_id']['value']}"
        f" and agent {b['agent_id']['value']}"
    )


def test_offers_of_two_roles_cannot_be_taken_together() -> None:
    world = World()
    world.agent()
    framework = world.framework("MULTI_ROLE", roles=["a", "b"])
    [first] = framework.offers()
    framework.call("SUPPRESS", roles=["a"])
    framework.accept([first], launch(task("x", first, needs(cpus=1), **COMMAND)), refuse=0)
    world.advance(1)
    [second] = framework.offers()
    framework.call("SUPPRESS", roles=["b"])
    framework.call("REVIVE", roles=["a"])
    framework.call("KILL", task_id={"value": "x"})
    agent = next(iter(world.agents.values()))
    agent.update(framework, "x", "TASK_KILLED")
    world.advance(1)
    third = next(event for event in framework.fresh() if event["type"] == "OFFERS")["offers"]["offers"][0]
    assert (second["allocation_info"]["role"], third["allocation_info"]["role"]) == ("b", "a")
    status = spoiled(framework, [second["id"]["value"], third["id"]["value"]], second)
    assert status["message"].endswith(
        "Aggregated offers must be allocated to the same role."
        f" Offer {third['id']['value']} uses role 'a but another is using role 'b"
    )


def test_somebody_elses_offer_is_used_up_and_its_owner_not_told() -> None:
    world = World()
    world.agent()
    owner = world.framework()
    thief = world.framework()
    [offer] = owner.offers()
    status = spoiled(thief, [offer["id"]["value"]], offer)
    assert status["message"].endswith(
        f"Offer {offer['id']['value']} has invalid framework {owner.id} while framework {thief.id} is expected"
    )
    assert owner.fresh() == []
    assert spoiled(owner, [offer["id"]["value"]], offer)["message"].endswith("is no longer valid")


# --- updates -----------------------------------------------------------------------------------------------------


def test_an_update_is_forwarded_as_it_is() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, **COMMAND)))
    status = agent.update(framework, "t", "TASK_RUNNING", message="up", data="YQ==")
    assert framework.statuses() == [status]


def test_updates_of_unknown_tasks_are_forwarded_too() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.offers()
    status = agent.update(framework, "nobody", "TASK_RUNNING")
    assert framework.statuses() == [status]


def test_an_end_that_waits_behind_an_unacknowledged_update_frees_the_resources() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    running = framework.run(agent, "t")
    agent.update(framework, "t", "TASK_RUNNING", latest="TASK_FINISHED", uuid=running["uuid"])
    framework.fresh()
    framework.call("REVIVE")
    assert sum(amounts(offer)["cpus"] for offer in framework.offers()) == 2.0
    framework.call("RECONCILE", tasks=[])
    assert [status["state"] for status in framework.statuses()] == ["TASK_RUNNING"], "what was last forwarded"


def test_acknowledgements_go_to_the_agent_and_a_terminal_one_ends_the_task() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent, "t")
    ended = agent.update(framework, "t", "TASK_FINISHED")
    framework.acknowledge({**ended, "uuid": new_uuid()})
    assert world.get("/state")["frameworks"][0]["tasks"], "another uuid ends nothing"
    framework.acknowledge(ended)
    assert [message.uuid for message in agent.take(AcknowledgeUpdate)][-1] == ended["uuid"]
    [seen] = world.get("/state")["frameworks"]
    assert (seen["tasks"], [item["state"] for item in seen["completed_tasks"]]) == ([], ["TASK_FINISHED"])


def test_a_terminal_state_is_final() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent, "t")
    agent.update(framework, "t", "TASK_FAILED")
    agent.update(framework, "t", "TASK_RUNNING")
    assert world.get("/state")["frameworks"][0]["tasks"][0]["state"] == "TASK_FAILED"


def test_statuses_keep_one_entry_for_each_change_of_state() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent, "t")
    agent.update(framework, "t", "TASK_RUNNING", healthy=True, data="YQ==")
    agent.update(framework, "t", "TASK_KILLING")
    [seen] = world.get("/tasks")["tasks"]
    assert [item["state"] for item in seen["statuses"]] == ["TASK_RUNNING", "TASK_KILLING"]
    assert seen["statuses"][0]["healthy"] is True
    [message] = world.read("GET_TASKS")["tasks"]
    assert all("data" not in status for status in message["statuses"])


def test_no_more_completed_tasks_than_the_limit_are_kept() -> None:
    world = World(max_completed_tasks_per_framework=2)
    agent = world.agent()
    framework = world.framework()
    for name in ("a", "b", "c"):
        framework.run(agent, name)
        framework.acknowledge(agent.update(framework, name, "TASK_FINISHED"))
        framework.fresh()
        framework.call("REVIVE")
    completed = world.read("GET_TASKS")["completed_tasks"]
    assert [item["task_id"]["value"] for item in completed] == ["b", "c"]


# --- kill --------------------------------------------------------------------------------------------------------


def test_kill_is_passed_on_each_time_with_its_policy() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent, "t")
    policy = {"grace_period": {"nanoseconds": 5}}
    framework.call("KILL", task_id={"value": "t"})
    framework.call("KILL", task_id={"value": "t"}, kill_policy=policy)
    assert [message.kill_policy for message in agent.take(KillTask)] == [None, policy]


def test_kill_naming_another_agent_does_nothing() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent, "t")
    framework.call("KILL", task_id={"value": "t"}, agent_id={"value": "other"})
    assert agent.take(KillTask) == []
    assert framework.statuses() == []


def test_kill_of_an_unknown_task_is_answered_like_reconciliation() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework("PARTITION_AWARE")
    framework.offers()
    framework.call("KILL", task_id={"value": "none"}, agent_id={"value": agent.id})
    [status] = framework.statuses()
    assert (status["state"], status["message"]) == ("TASK_GONE", "Reconciliation: Task is unknown to the agent")


# --- reconcile ---------------------------------------------------------------------------------------------------


def test_reconciliation_answers_with_what_was_last_known() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework("PARTITION_AWARE")
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, executor=custom())))
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t"}}])
    [staging] = framework.statuses()
    assert (staging["state"], "container_status" in staging) == ("TASK_STAGING", False)
    container = {"container_id": {"value": "c"}}
    agent.update(framework, "t", "TASK_RUNNING", healthy=False, message="m", data="YQ==", container_status=container)
    framework.fresh()
    framework.call("RECONCILE", tasks=[{"task_id": {"value": "t"}, "agent_id": {"value": "wrong"}}])
    [status] = framework.statuses()
    assert status == {
        "task_id": {"value": "t"},
        "agent_id": {"value": agent.id},
        "executor_id": {"value": "e1"},
        "state": "TASK_RUNNING",
        "source": "SOURCE_MASTER",
        "reason": "REASON_RECONCILIATION",
        "message": "Reconciliation: Latest task state",
        "timestamp": world.now,
        "healthy": False,
        "container_status": container,
    }


@pytest.mark.parametrize(
    ("capability", "agent", "state", "text"),
    [
        ("PARTITION_AWARE", None, "TASK_UNKNOWN", "Task is unknown"),
        ("PARTITION_AWARE", "no-agent", "TASK_UNKNOWN", "Task is unknown"),
        ("PARTITION_AWARE", "this", "TASK_GONE", "Task is unknown to the agent"),
        ("GPU_RESOURCES", "this", "TASK_LOST", "Task is unknown to the agent"),
        ("GPU_RESOURCES", None, "TASK_LOST", "Task is unknown"),
    ],
)
def test_reconciliation_of_unknown_tasks(capability: str, agent: str | None, state: str, text: str) -> None:
    world = World()
    known = world.agent()
    framework = world.framework(capability)
    framework.offers()
    agent_id = known.id if agent == "this" else agent
    item: dict[str, Any] = {"task_id": {"value": "none"}} | ({"agent_id": {"value": agent_id}} if agent_id else {})
    framework.call("RECONCILE", tasks=[item])
    [status] = framework.statuses()
    assert (status["state"], status["message"]) == (state, f"Reconciliation: {text}")
    assert status.get("agent_id", {}).get("value") == agent_id


def test_implicit_reconciliation_tells_of_live_and_unacknowledged_tasks() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(*(task(name, offer, **COMMAND) for name in "abc")))
    agent.update(framework, "a", "TASK_RUNNING")
    agent.update(framework, "b", "TASK_FINISHED")
    framework.acknowledge(agent.update(framework, "c", "TASK_FINISHED"))
    framework.fresh()
    framework.call("RECONCILE", tasks=[])
    told = {status["task_id"]["value"]: status["state"] for status in framework.statuses()}
    assert told == {"a": "TASK_RUNNING", "b": "TASK_FINISHED"}


# --- executors and messages --------------------------------------------------------------------------------------


def test_the_end_of_an_executor_is_a_failure_event_and_frees_its_resources() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, executor=custom())), refuse=0)
    agent.update(framework, "t", "TASK_FINISHED")
    agent.executor_exits(framework, "e1", 256)
    events = [event for event in framework.fresh() if event["type"] == "FAILURE"]
    failure = {"agent_id": {"value": agent.id}, "executor_id": {"value": "e1"}, "status": 256}
    assert events == [{"type": "FAILURE", "failure": failure}]
    framework.call("REVIVE")
    assert world.get("/state")["slaves"][0]["used_resources"]["cpus"] == 0.0


def test_the_wrapper_of_a_command_task_ends_unheard() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent, "t")
    agent.executor_exits(framework, "t")
    assert "FAILURE" not in kinds(framework.fresh())


def test_messages_go_both_ways() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.offers()
    framework.call("MESSAGE", agent_id={"value": agent.id}, executor_id={"value": "e"}, data="aGk=")
    assert agent.take(FrameworkMessage) == [FrameworkMessage(framework_id=framework.id, executor_id="e", data="aGk=")]
    agent.send(ExecutorMessage(agent_id=agent.id, framework_id=framework.id, executor_id="e", data="eW8="))
    [event] = framework.fresh()
    body = {"agent_id": {"value": agent.id}, "executor_id": {"value": "e"}, "data": "eW8="}
    assert event == {"type": "MESSAGE", "message": body}


def test_shutdown_goes_to_the_agent_if_there_is_one() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    for agent_id in (agent.id, "no-agent"):
        assert framework.call("SHUTDOWN", agent_id={"value": agent_id}, executor_id={"value": "e"}).status == 202
    assert agent.take(ShutdownExecutor) == [ShutdownExecutor(framework_id=framework.id, executor_id="e")]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("DECLINE", {"offer_ids": [{"value": "no"}]}),
        ("ACCEPT", {"offer_ids": []}),
        ("ACCEPT_INVERSE_OFFERS", {"inverse_offer_ids": [{"value": "no"}]}),
        ("DECLINE_INVERSE_OFFERS", {"inverse_offer_ids": [{"value": "no"}]}),
        ("ACKNOWLEDGE", {"agent_id": {"value": "no"}, "task_id": {"value": "no"}, "uuid": new_uuid()}),
        (
            "ACKNOWLEDGE_OPERATION_STATUS",
            {"agent_id": {"value": "no"}, "operation_id": {"value": "no"}, "uuid": new_uuid()},
        ),
        ("MESSAGE", {"agent_id": {"value": "no"}, "executor_id": {"value": "no"}, "data": ""}),
        ("REQUEST", {"requests": []}),
        ("REVIVE", {"roles": ["not-mine"]}),
        ("SUPPRESS", {"roles": ["/bad"]}),
    ],
)
def test_calls_about_nothing_are_202_and_silent(kind: str, body: Json) -> None:
    world = World()
    framework = world.framework()
    assert framework.call(kind, **body).status == 202
    assert framework.fresh() == []
