"""The operator's side: endpoints, reading calls, event streams and maintenance."""

from __future__ import annotations

from typing import Any

import pytest
from sim_master_world import START, FakeAgent, Json, Scheduler, World, custom, kinds, launch, needs, task

from headgate.simulator.messages import Reply, ShutdownAgent, StatusUpdate, Stream

HOUR = 3_600_000_000_000


def busy() -> tuple[World, FakeAgent, Scheduler]:
    """A framework with a custom executor's task, a command task and one that has ended."""
    world = World()
    agent = world.agent(attributes="rack:r1;level:3;ports:[1-2];tags:{a,b}")
    framework = world.framework(
        "MULTI_ROLE", "RESERVATION_REFINEMENT", roles=["web"], principal="p", webui_url="http://ui", hostname="h"
    )
    [offer] = framework.offers()
    labels = {"labels": {"labels": [{"key": "a", "value": "b"}]}}
    framework.accept(
        [offer],
        launch(
            task("t1", offer, executor=custom()),
            task("t2", offer, needs(0.2), command={"value": "x", "user": "me"}, **labels),
            task("t3", offer, command={"value": "x"}),
        ),
        refuse=0,
    )
    agent.update(framework, "t1", "TASK_RUNNING")
    framework.acknowledge(agent.update(framework, "t3", "TASK_FINISHED"))
    framework.fresh()
    world.advance(1)
    return world, agent, framework


@pytest.mark.parametrize("prefix", ["", "/master"])
def test_simple_endpoints(prefix: str) -> None:
    world = World()
    get = world.master.get
    assert get(f"{prefix}/health", {}, now=world.now) == Reply(status=200)
    assert get(f"{prefix}/redirect", {}, now=world.now).headers == {"Location": "//localhost:5050"}
    assert get(f"{prefix}/state.json", {}, now=world.now) == Reply(status=404, body="404 Not Found.")
    assert set(world.get(f"{prefix}/version")) == {"version", "build_date", "build_time", "build_user"}
    assert world.get(f"{prefix}/flags")["flags"]["allocation_interval"] == "1secs"


def test_the_state_of_an_agent() -> None:
    world, agent, _ = busy()
    [seen] = world.get("/state")["slaves"]
    assert seen["id"] == agent.id
    assert seen["pid"] == "slave(1)@127.0.0.1:6000"
    assert seen["attributes"] == {"rack": "r1", "level": 3.0, "ports": "[1-2]", "tags": "{a, b}"}
    assert seen["resources"] == {"cpus": 2.0, "gpus": 0.0, "mem": 2048.0, "disk": 10000.0, "ports": "[32000-32100]"}
    assert seen["used_resources"] == {"cpus": 0.4, "gpus": 0.0, "mem": 96.0, "disk": 0.0}
    assert seen["offered_resources"]["cpus"] == 1.6
    assert (seen["active"], seen["deactivated"], seen["reserved_resources"]) == (True, False, {})


def test_the_state_of_a_framework() -> None:
    world, agent, framework = busy()
    [seen] = world.get("/frameworks", framework_id=framework.id)["frameworks"]
    assert world.get("/frameworks", framework_id="other")["frameworks"] == []
    assert (seen["roles"], seen["principal"], seen["webui_url"], seen["hostname"]) == (["web"], "p", "http://ui", "h")
    assert {item["id"]: item["executor_id"] for item in seen["tasks"]} == {"t1": "e1", "t2": ""}
    [labelled] = [item for item in seen["tasks"] if item["id"] == "t2"]
    assert (labelled["labels"], labelled["user"], labelled["role"]) == ([{"key": "a", "value": "b"}], "me", "web")
    assert (labelled["state"], labelled["statuses"]) == ("TASK_STAGING", [])
    [executor] = seen["executors"]
    assert (executor["executor_id"], executor["slave_id"], executor["role"]) == ("e1", agent.id, "web")
    assert executor["resources"] == {"cpus": 0.1, "gpus": 0.0, "mem": 32.0, "disk": 0.0}
    [offer] = seen["offers"]
    assert offer["allocation_info"] == {"role": "web"}
    assert seen["resources"]["cpus"] == 2.0


def test_a_timestamp_that_the_agent_added_is_zero_in_the_state() -> None:

    world, agent, framework = busy()
    status = {"task_id": {"value": "t2"}, "state": "TASK_RUNNING", "timestamp": world.now, "uuid": "dXVpZA=="}
    agent.send(
        StatusUpdate(
            agent_id=agent.id,
            framework_id=framework.id,
            status=status,
            latest_state="TASK_RUNNING",
            timestamp_added=True,
        )
    )
    assert framework.statuses()[-1]["timestamp"] == world.now
    [seen] = [item for item in world.get("/tasks")["tasks"] if item["id"] == "t2"]
    assert seen["statuses"] == [{"state": "TASK_RUNNING", "timestamp": 0.0}]


def test_tasks_can_be_chosen_and_paged() -> None:
    world, _, framework = busy()
    everything = world.get("/tasks", order="asc")["tasks"]
    assert {item["id"] for item in everything} == {"t1", "t2", "t3"}
    assert world.get("/tasks", limit="1", offset="1", order="asc")["tasks"] == everything[1:2]
    assert [item["id"] for item in world.get("/tasks", task_id="t3", framework_id=framework.id)["tasks"]] == ["t3"]
    assert world.get("/tasks", limit="x")["tasks"] != []


def test_summaries_count_tasks() -> None:
    world, agent, framework = busy()
    summary = world.get("/state-summary")
    for item in (*summary["slaves"], *summary["frameworks"]):
        assert (item["TASK_RUNNING"], item["TASK_STAGING"], item["TASK_FINISHED"]) == (1, 1, 1)
    assert summary["slaves"][0]["framework_ids"] == [framework.id]
    assert summary["frameworks"][0]["slave_ids"] == [agent.id]


def test_metrics_are_numbers() -> None:
    world, _, _ = busy()
    metrics = world.get("/metrics/snapshot")
    assert all(isinstance(value, float) for value in metrics.values())
    wanted = {
        "master/elected": 1.0,
        "master/slaves_active": 1.0,
        "master/frameworks_active": 1.0,
        "master/tasks_running": 1.0,
        "master/tasks_staging": 1.0,
        "master/tasks_finished": 1.0,
        "master/outstanding_offers": 1.0,
        "master/cpus_total": 2.0,
        "master/cpus_used": 0.4,
        "master/messages_launch_tasks": 1.0,
        "master/uptime_secs": 1.0,
    }
    assert {name: metrics[name] for name in wanted} == wanted


def test_roles_and_their_resources() -> None:
    world, _, framework = busy()
    [role] = world.get("/roles")["roles"]
    assert (role["name"], role["weight"], role["frameworks"]) == ("web", 1.0, [framework.id])
    assert (role["allocated"]["cpus"], role["offered"]["cpus"], role["quota"]["consumed"]["cpus"]) == (0.4, 1.6, 0.4)
    [message] = world.read("GET_ROLES")["roles"]
    assert message["resources"][0] == {"name": "cpus", "type": "SCALAR", "scalar": {"value": 2.0}}


def test_reading_calls() -> None:
    world, agent, framework = busy()
    assert world.read("GET_HEALTH") == {"healthy": True}
    assert world.read("GET_MASTER")["master_info"]["id"] == world.master.id
    [seen] = world.read("GET_AGENTS")["agents"]
    assert seen["agent_info"]["checkpoint"] is True
    assert {item["role"] for item in seen["total_resources"]} == {"*"}
    assert {item["allocation_info"]["role"] for item in seen["allocated_resources"]} == {"web"}
    tasks = world.read("GET_TASKS")
    assert ["executor_id" in item for item in tasks["tasks"]] == [True, False]
    assert [item["agent_id"]["value"] for item in world.read("GET_EXECUTORS")["executors"]] == [agent.id]
    assert set(world.read("GET_STATE")) == {"get_tasks", "get_executors", "get_frameworks", "get_agents"}
    metrics = {item["name"]: item["value"] for item in world.read("GET_METRICS")["metrics"]}
    assert metrics["master/tasks_running"] == 1.0
    assert framework.id in str(world.read("GET_FRAMEWORKS"))


def test_teardown_by_the_operator() -> None:
    world, _, framework = busy()
    named = {"framework_id": {"value": framework.id}}
    assert world.operator("TEARDOWN", **named).status == 200
    assert framework.ended
    reply = world.operator("TEARDOWN", **named)
    assert (reply.status, reply.body) == (400, "No framework found with specified ID")


# --- event streams -----------------------------------------------------------------------------------------------


def watch(world: World) -> Stream:
    answer = world.master.operator({"type": "SUBSCRIBE"}, now=world.now)
    assert isinstance(answer, Stream)
    world.settle()
    return answer


def test_an_operator_sees_the_state_and_then_what_happens() -> None:
    world = World()
    agent = world.agent()
    stream = watch(world)
    first, beat = world.events[stream.stream]
    assert first["subscribed"]["heartbeat_interval_seconds"] == 15.0
    assert len(first["subscribed"]["get_state"]["get_agents"]["agents"]) == 1
    assert beat == {"type": "HEARTBEAT"}
    framework = world.framework()
    framework.run(agent)
    agent.update(framework, "t1", "TASK_RUNNING")
    framework.acknowledge(agent.update(framework, "t1", "TASK_FINISHED"))
    framework.call("TEARDOWN")
    seen = kinds(world.events[stream.stream][2:])
    assert seen == ["FRAMEWORK_ADDED", "TASK_ADDED", "TASK_UPDATED", "TASK_UPDATED", "FRAMEWORK_REMOVED"]
    world.advance(15)
    assert world.events[stream.stream][-1] == {"type": "HEARTBEAT"}
    world.master.disconnected(stream.stream, now=world.now)
    world.advance(60)
    world.agent()
    assert kinds(world.events[stream.stream]).count("AGENT_ADDED") == 0


def test_agents_and_changes_of_frameworks_are_events_too() -> None:
    world = World()
    stream = watch(world)
    agent = world.agent()
    framework = world.framework()
    framework.subscribe()
    schedule(world)
    world.operator("START_MAINTENANCE", machines=[MACHINE])
    seen = kinds(world.events[stream.stream][2:])
    assert seen == ["AGENT_ADDED", "FRAMEWORK_ADDED", "FRAMEWORK_UPDATED", "AGENT_REMOVED"]
    assert world.events[stream.stream][-1]["agent_removed"] == {"agent_id": {"value": agent.id}}


# --- maintenance -------------------------------------------------------------------------------------------------

MACHINE = {"hostname": "localhost", "ip": "127.0.0.1"}
PRINTED = '{"hostname":"localhost","ip":"127.0.0.1"}'


def window(*machines: Json, start: int = 1, duration: int = HOUR) -> Json:
    times = {"start": {"nanoseconds": start}, "duration": {"nanoseconds": duration}}
    return {"machine_ids": list(machines), "unavailability": times}


def schedule(world: World, *windows: Json) -> Reply:
    return world.operator("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": list(windows or [window(MACHINE)])})


def with_task() -> tuple[World, FakeAgent, Scheduler]:
    world = World()
    agent = world.agent()
    framework = world.framework("PARTITION_AWARE")
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, command={"value": "x"})), refuse=0)
    agent.update(framework, "t", "TASK_RUNNING")
    world.advance(1)
    framework.fresh()
    return world, agent, framework


def test_a_window_brings_offers_anew_and_inverse_offers() -> None:
    world, agent, framework = with_task()
    assert schedule(world).status == 200
    rescind, offers, inverse = framework.fresh()
    assert rescind["type"] == "RESCIND"
    assert offers["offers"]["offers"][0]["unavailability"]["duration"] == {"nanoseconds": HOUR}
    [asked] = inverse["inverse_offers"]["inverse_offers"]
    assert asked["agent_id"] == {"value": agent.id}
    assert "resources" not in asked
    assert world.read("GET_MAINTENANCE_SCHEDULE")["schedule"]["windows"] == [window(MACHINE)]
    framework.call("ACCEPT_INVERSE_OFFERS", inverse_offer_ids=[asked["id"]], filters={"refuse_seconds": 60.0})
    [machine] = world.read("GET_MAINTENANCE_STATUS")["status"]["draining_machines"]
    [status] = machine["statuses"]
    assert (status["status"], status["framework_id"]["value"]) == ("ACCEPT", framework.id)
    world.advance(30)
    assert framework.fresh() == [], "filtered"
    schedule(world, window(MACHINE, start=2))
    assert "INVERSE_OFFERS" in kinds(framework.fresh()), "another window asks anew, filter or not"


def test_a_declined_inverse_offer_comes_again_after_its_filter() -> None:
    world, _, framework = with_task()
    schedule(world)
    asked = framework.fresh()[-1]["inverse_offers"]["inverse_offers"][0]
    framework.call("DECLINE_INVERSE_OFFERS", inverse_offer_ids=[asked["id"]])
    world.advance(4.9)
    assert framework.fresh() == []
    world.advance(1.2)
    assert kinds(framework.fresh()) == ["INVERSE_OFFERS"]


def test_emptying_the_schedule_takes_unanswered_inverse_offers_back() -> None:
    world, _, framework = with_task()
    schedule(world)
    asked = framework.fresh()[-1]["inverse_offers"]["inverse_offers"][0]
    assert schedule(world, {"machine_ids": [MACHINE], "unavailability": {"start": {"nanoseconds": 1}}}).status == 200
    rescinds = [event for event in framework.fresh() if event["type"] == "RESCIND_INVERSE_OFFER"]
    assert rescinds == [{"type": "RESCIND_INVERSE_OFFER", "rescind_inverse_offer": {"inverse_offer_id": asked["id"]}}]
    world.operator("UPDATE_MAINTENANCE_SCHEDULE", schedule={})
    assert "RESCIND_INVERSE_OFFER" in kinds(framework.fresh())
    assert world.read("GET_MAINTENANCE_STATUS") == {"status": {}}


def test_a_window_for_half_a_machine_is_nobodys_and_yet_offers_come_anew() -> None:
    world, _, framework = with_task()
    assert schedule(world, window({"hostname": "localhost"})).status == 200
    rescind, offers = framework.fresh()
    assert (rescind["type"], offers["type"]) == ("RESCIND", "OFFERS")
    assert "unavailability" not in offers["offers"]["offers"][0]


BAD_SCHEDULES: list[tuple[list[Json], str]] = [
    ([window()], "List of machines in the maintenance window is empty"),
    ([window(MACHINE, duration=-1)], "Unavailability 'duration' is negative"),
    ([window({})], "Both 'hostname' and 'ip' for a machine are empty"),
    ([window(MACHINE), window(MACHINE)], f"Machine '{PRINTED}' appears more than once in the schedule"),
]


@pytest.mark.parametrize(("windows", "text"), BAD_SCHEDULES)
def test_a_bad_schedule_is_refused(windows: list[Json], text: str) -> None:
    reply = schedule(World(), *windows)
    assert (reply.status, reply.body) == (400, text)


def test_a_machine_goes_down_and_up() -> None:
    world, agent, framework = with_task()
    reply = world.operator("START_MAINTENANCE", machines=[MACHINE])
    assert reply.body == f"Machine '{PRINTED}' is not part of a maintenance schedule"
    schedule(world)
    framework.fresh()
    reply = world.operator("STOP_MAINTENANCE", machines=[MACHINE])
    assert reply.body == f"Machine '{PRINTED}' is not in DOWN mode and cannot be brought up"
    assert world.operator("START_MAINTENANCE", machines=[MACHINE]).status == 200
    status = next(event for event in framework.fresh() if event["type"] == "UPDATE")["update"]["status"]
    assert (status["state"], status["message"]) == (
        "TASK_LOST",
        "Agent localhost removed: Operator initiated 'Machine DOWN'",
    )
    assert len(agent.take(ShutdownAgent)) == 1
    assert world.read("GET_MAINTENANCE_STATUS")["status"] == {"down_machines": [MACHINE]}
    agent.register()
    assert [message.message for message in agent.take(ShutdownAgent)] == ["Machine is `DOWN`"]
    reply = world.operator("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": []})
    assert reply.body == f"Machine '{PRINTED}' is deactivated and cannot be removed from the schedule"
    assert world.operator("STOP_MAINTENANCE", machines=[MACHINE]).status == 200
    assert world.read("GET_MAINTENANCE_SCHEDULE") == {"schedule": {}}
    agent.register()
    world.advance(1)
    assert "OFFERS" in kinds(framework.fresh())


def test_a_machine_in_the_schedule_cannot_be_drained() -> None:
    world, agent, _ = with_task()
    schedule(world)
    reply = world.operator("DRAIN_AGENT", agent_id={"value": agent.id})
    assert reply.status == 400
    assert str(reply.body).startswith(f"Agent {agent.id} is part of a maintenance schedule under Machine ")


def test_times_are_those_of_the_driver() -> None:
    world = World()
    world.agent()
    assert world.get("/state")["start_time"] == START
    found: Any = world.read("GET_AGENTS")["agents"][0]["registered_time"]
    assert found == {"nanoseconds": round(START * 1e9)}
