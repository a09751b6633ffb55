"""The agent itself: registration, restart, draining, operations, shutdown, and what it shows."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random

import pytest
from sim_agent_world import AGENT, F, World, amounts, command_task, executor, framework, pod, task

from headgate.simulator.agent import Agent, AgentSettings
from headgate.simulator.agent.durations import seconds, text
from headgate.simulator.messages import (
    AcknowledgeOperation,
    AgentRegistered,
    ApplyOperation,
    DrainAgent,
    ExitedExecutor,
    Json,
    KillTask,
    LinkVolumes,
    OperationUpdate,
    Ping,
    Pong,
    ReconcileOperations,
    RegisterAgent,
    RemoveVolume,
    Reply,
    ReregisterAgent,
    SandboxLink,
    ShutdownAgent,
    ShutdownExecutor,
    ShutdownFramework,
    SignalContainer,
    StartContainer,
    StreamEnd,
    UnregisterAgent,
)

CHECKPOINTING = framework(checkpoint=True)


def shown(world: World) -> Json:
    body = world.agent.get("/state", {}, now=world.now).body
    assert isinstance(body, dict)
    return body


# --- registration ------------------------------------------------------------------------------------------------


def test_an_agent_registers_until_it_is_answered_with_growing_waits() -> None:
    world = World(AgentSettings(resources="cpus:2;ports:[1-5]", attributes="rack:r1;level:3", port=5052))
    world.agent.start(now=world.now)
    begun = world.now
    times: list[float] = []
    while world.now < begun + 3600:
        world.pass_time(1)
        times += [world.now] * (len(world.messages(RegisterAgent)) - len(times))
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert times[0] <= begun + 2
    assert 60 <= len(times) <= 3600
    assert max(waits) <= 61
    (info, *rest) = (message.agent_info for message in world.messages(RegisterAgent))
    assert all(other == info for other in rest)
    assert info == {
        "hostname": "localhost",
        "port": 5052,
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 2.0}},
            {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 5}]}},
        ],
        "attributes": [
            {"name": "rack", "type": "TEXT", "text": {"value": "r1"}},
            {"name": "level", "type": "SCALAR", "scalar": {"value": 3.0}},
        ],
    }
    world.receive(AgentRegistered(agent_id=AGENT))
    count = len(world.messages(RegisterAgent))
    world.pass_time(70)
    assert len(world.messages(RegisterAgent)) == count


@pytest.mark.parametrize("bad", [{"resources": "cpus"}, {"attributes": "rack"}])
def test_malformed_settings_are_refused_at_once(bad: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="it must look like"):
        Agent(AgentSettings(**bad), Random(1))


def test_a_new_master_is_looked_for_without_the_long_waits_of_the_old_one() -> None:
    world = World()
    world.agent.start(now=world.now)
    world.pass_time(600.0)
    asked = len(world.messages(RegisterAgent))
    world.agent.master_detected(now=world.now)
    world.pass_time(1.0)
    assert len(world.messages(RegisterAgent)) == asked + 1


def test_every_ping_is_answered_and_one_that_says_disconnected_makes_the_agent_register_anew() -> None:
    world = World().registered()
    world.running("t1")
    world.receive(Ping(connected=True))
    assert world.messages(Pong) == [Pong(agent_id=AGENT)]
    world.receive(Ping(connected=False))
    world.pass_time(1)
    again = world.messages(ReregisterAgent)[0]
    assert again.agent_info["id"] == {"value": AGENT}


@pytest.mark.parametrize(("told", "own", "silence"), [(None, 75.0, 75.0), (3.0, 75.0, 3.0)])
def test_without_pings_the_agent_registers_anew_and_holds_updates_back_until_it_is_answered(
    told: float | None, own: float, silence: float
) -> None:
    world = World(AgentSettings(ping_timeout_s=own))
    world.agent.start(now=world.now)
    world.pass_time(1)
    world.receive(AgentRegistered(agent_id=AGENT, total_ping_timeout_s=told))
    _, stream = world.running("t1")
    world.pass_time(silence - 0.1)
    world.receive(Ping(connected=True))
    world.pass_time(silence - 0.1)
    assert world.messages(ReregisterAgent) == []
    world.pass_time(1.2)
    assert len(world.messages(ReregisterAgent)) >= 1
    uuid = world.update("t1", "TASK_RUNNING")
    assert world.event_types(stream) == ["ACKNOWLEDGED"]
    world.acknowledge("t1", uuid)
    world.pass_time(30)
    assert world.updates() == []
    world.receive(AgentRegistered(agent_id=AGENT))
    assert [update.status["uuid"] for update in world.updates()] == [uuid]


def test_the_agent_answers_for_tasks_only_the_master_knows() -> None:
    world = World().registered()
    world.running("t1")
    world.receive(Ping(connected=False))
    unknown = [
        {"framework_id": {"value": F}, "task_id": {"value": "t1"}},
        {"framework_id": {"value": F}, "task_id": {"value": "t2"}},
        {"framework_id": {"value": "other"}, "task_id": {"value": "t3"}, "framework": framework(framework_id="other")},
        {"framework_id": "other", "task_id": "t4"},
    ]
    world.receive(AgentRegistered(agent_id=AGENT, reconcile_tasks=tuple(unknown)))
    reason, message = "REASON_RECONCILIATION", "Reconciliation: task unknown to the agent"
    assert world.told() == [
        ("t2", "TASK_DROPPED", reason, message),
        ("t3", "TASK_DROPPED", reason, message),
        ("t4", "TASK_LOST", reason, message),
    ]
    assert all("uuid" in update.status and "executor_id" not in update.status for update in world.updates())


def test_a_registration_under_another_id_is_ignored() -> None:
    world = World().registered()
    world.receive(AgentRegistered(agent_id="other"))
    assert world.agent.agent_id == AGENT


# --- restart -----------------------------------------------------------------------------------------------------


def test_a_restarted_agent_waits_for_its_executors_and_comes_back_with_all_it_knew() -> None:
    world = World().registered()
    world.running("t1", by=CHECKPOINTING)
    uuid = world.update("t1", "TASK_RUNNING", message="before")
    before = world.updates()[-1]
    world.restart()
    assert world.call("UPDATE", {"status": {}}) == Reply(status=503, body="Agent has not finished recovery")
    assert world.agent.get("/state", {}, now=world.now).status == 503
    stream = world.subscribe()
    assert world.event_types(stream) == ["SUBSCRIBED"]
    world.pass_time(1.9)
    assert world.messages(ReregisterAgent) == []
    world.pass_time(1.1)
    again = world.messages(ReregisterAgent)[0]
    assert again.agent_info["id"] == {"value": AGENT}
    assert [known["id"] for known in again.frameworks] == [{"value": F}]
    assert again.executors == (executor(),)
    (known_task,) = again.tasks
    assert known_task["state"] == "TASK_RUNNING"
    assert known_task["status_update_state"] == "TASK_RUNNING"
    assert known_task["status_update_uuid"] == uuid
    assert known_task["executor_id"] == {"value": "e1"}
    assert known_task["statuses"][-1]["message"] == "before"
    world.seen.clear()
    world.receive(AgentRegistered(agent_id=AGENT))
    assert world.updates() == [before]
    world.acknowledge("t1")
    world.update("t1", "TASK_FINISHED")
    assert world.told()[-1][:2] == ("t1", "TASK_FINISHED")
    assert world.updates()[-1].status["container_status"]["executor_pid"] == 1000


def test_an_executor_that_does_not_come_back_in_two_seconds_is_killed_and_its_tasks_are_gone() -> None:
    world = World().registered()
    container_id, _ = world.running("t1", by=CHECKPOINTING)
    world.restart()
    world.pass_time(1.9)
    assert world.outputs(SignalContainer) == []
    world.pass_time(0.2)
    assert [(kill.container_id, kill.signal) for kill in world.outputs(SignalContainer)] == [(container_id, 9)]
    world.exits(container_id, 9)
    world.pass_time(1)
    world.receive(AgentRegistered(agent_id=AGENT))
    message = "Executor did not reregister within 2secs"
    assert world.told() == [("t1", "TASK_GONE", "REASON_EXECUTOR_REREGISTRATION_TIMEOUT", message)]


def test_an_executor_that_ended_meanwhile_is_reported_without_failure() -> None:
    world = World().registered()
    container_id, _ = world.running("t1", by=CHECKPOINTING)
    world.restart()
    world.exits(container_id, 256)
    world.pass_time(3)
    world.receive(AgentRegistered(agent_id=AGENT))
    assert world.told() == [("t1", "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")]
    assert world.messages(ExitedExecutor) == []


def test_of_frameworks_that_do_not_checkpoint_nothing_is_left_but_containers_to_destroy() -> None:
    world = World().registered()
    container_id, _ = world.running("t1")
    world.update("t1", "TASK_RUNNING")
    world.seen.clear()
    world.restart()
    assert [(kill.container_id, kill.signal) for kill in world.outputs(SignalContainer)] == [(container_id, 9)]
    world.exits(container_id, 9)
    world.pass_time(1)
    (again,) = world.messages(ReregisterAgent)[:1]
    assert (again.tasks, again.executors, again.frameworks) == ((), (), ())
    world.receive(AgentRegistered(agent_id=AGENT))
    assert world.updates() == []


def test_tasks_that_were_queued_when_the_agent_died_are_dropped_when_their_executor_subscribes() -> None:
    world = World().registered()
    world.run(task("t1"), on=executor(), by=CHECKPOINTING)
    world.starts()
    world.restart()
    world.subscribe()
    world.pass_time(3)
    world.receive(AgentRegistered(agent_id=AGENT))
    assert world.told() == [("t1", "TASK_DROPPED", "REASON_AGENT_RESTARTED", "Task launched during agent restart")]


def test_a_container_that_was_only_asked_for_when_the_agent_died_is_given_up() -> None:
    world = World().registered()
    world.run(task("t1"), on=executor(), by=CHECKPOINTING)
    world.restart()
    assert [kill.signal for kill in world.outputs(SignalContainer)] == [9]
    world.pass_time(3)
    world.receive(AgentRegistered(agent_id=AGENT))
    assert world.told()[0][3] == "Abnormal executor termination: unknown container"


def test_a_built_in_executor_that_was_coming_up_when_the_agent_died_is_given_up() -> None:
    world = World(AgentSettings(builtin_startup_s=0.15)).registered()
    world.run(command_task("t1"), by=CHECKPOINTING)
    world.restart()
    world.pass_time(3)
    world.receive(AgentRegistered(agent_id=AGENT))
    assert world.told()[0][1:] == (
        "TASK_FAILED",
        "REASON_EXECUTOR_TERMINATED",
        "Abnormal executor termination: unknown container",
    )
    assert world.outputs(StartContainer) == []


def test_command_tasks_and_pods_go_on_over_a_restart() -> None:
    world = World().registered()
    world.run(command_task("t1"), by=CHECKPOINTING)
    command = world.starts()
    world.run_group(command_task("g1"), on=pod(), by=CHECKPOINTING)
    nested = world.starts()
    for task_id in ("t1", "t1", "g1", "g1"):
        world.acknowledge(task_id)
    world.kill("t1")
    world.seen.clear()
    world.restart()
    world.exits(nested, 0)
    world.pass_time(3.1)
    assert [(kill.container_id, kill.signal) for kill in world.outputs(SignalContainer)] == [(command, 9)]
    world.exits(command, 9)
    world.receive(AgentRegistered(agent_id=AGENT))
    assert sorted(told[:2] for told in world.told()) == [("g1", "TASK_FINISHED"), ("t1", "TASK_KILLED")]
    assert len({update.status["uuid"] for update in world.updates()}) == 2


def test_an_agent_that_never_registered_leaves_nothing_and_starts_as_new() -> None:
    world = World()
    world.agent.start(now=world.now)
    world.restart()
    world.pass_time(1)
    assert world.messages(RegisterAgent)
    assert world.messages(ReregisterAgent) == []


def test_the_checkpoint_does_not_change_with_the_agent_that_wrote_it() -> None:
    world = World().registered()
    world.running("t1", by=CHECKPOINTING)
    checkpoint = world.agent.export_checkpoint()
    world.update("t1", "TASK_FINISHED")
    (record,) = checkpoint.frameworks
    assert [task.state for task in record.executors["e1"].launched.values()] == ["TASK_RUNNING"]


# --- drain -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "own", "passed"),
    [
        ({"mark_gone": False}, None, None),
        ({"max_grace_period": {"seconds": 10}}, None, 10),
        ({"max_grace_period": {"seconds": 10}}, 5, None),
        ({"max_grace_period": {"nanoseconds": 10_000_000_000}}, 20, 10),
    ],
)
def test_draining_kills_what_runs_within_its_longest_grace_period(
    config: Json, own: int | None, passed: int | None
) -> None:
    world = World().registered()
    policy = {"kill_policy": {"grace_period": {"nanoseconds": own * 10**9}}} if own else {}
    world.run(task("t1", **policy), on=executor())
    world.starts()
    stream = world.subscribe()
    world.receive(DrainAgent(config=config))
    kill = world.events(stream)[-1]["kill"]
    assert kill == {
        "task_id": {"value": "t1"},
        **({"kill_policy": {"grace_period": {"nanoseconds": passed * 10**9}}} if passed else {}),
    }


@pytest.mark.parametrize(
    ("mark_gone", "partition_aware", "state"),
    [
        (False, True, "TASK_KILLED"),
        (True, True, "TASK_GONE_BY_OPERATOR"),
        (True, False, "TASK_KILLED"),
    ],
)
def test_while_draining_kills_are_told_as_the_drains_and_launches_are_dropped(
    mark_gone: bool, partition_aware: bool, state: str
) -> None:
    world = World().registered()
    by = framework(partition_aware=partition_aware)
    container_id, _ = world.running("t1", by=by)
    world.receive(DrainAgent(config={"mark_gone": mark_gone}))
    world.update("t1", "TASK_KILLED", message="m")
    assert world.told() == [("t1", state, "REASON_AGENT_DRAINING", "m")]
    world.acknowledge("t1")
    world.run(task("t2"), on=executor(), by=by)
    message = "Task was received while agent was already draining"
    dropped = "TASK_DROPPED" if partition_aware else "TASK_LOST"
    assert world.told()[1] == ("t2", dropped, "REASON_AGENT_DRAINING", message)
    world.acknowledge("t2")
    assert shown(world)["drain_config"] == {"mark_gone": mark_gone}
    world.exits(container_id, 0)
    assert "drain_config" not in shown(world)
    world.run(task("t3"), on=executor(), by=by)
    assert len(world.outputs(StartContainer)) == 1


def test_an_agent_with_nothing_on_it_does_not_drain() -> None:
    world = World().registered()
    world.receive(DrainAgent(config={}))
    world.run(task("t1"), on=executor())
    assert len(world.outputs(StartContainer)) == 1


def test_draining_kills_what_is_queued_and_goes_on_after_a_restart() -> None:
    world = World().registered()
    world.running("t1", by=CHECKPOINTING)
    world.run(task("t2"), on=executor("e2"), by=CHECKPOINTING)
    world.receive(DrainAgent(config={}))
    assert world.told() == [
        ("t2", "TASK_KILLED", "REASON_AGENT_DRAINING", "Killed before delivery to the executor"),
    ]
    world.restart()
    stream = world.subscribe()
    assert world.event_types(stream) == ["SUBSCRIBED"]
    world.pass_time(2)
    assert world.event_types(stream) == ["SUBSCRIBED", "KILL"]


# --- operations --------------------------------------------------------------------------------------------------

PLAIN = amounts(disk=64)[0]
RESERVED = {**PLAIN, "reservations": [{"type": "DYNAMIC", "role": "web/x", "principal": "p"}]}
VOLUME = {**RESERVED, "disk": {"persistence": {"id": "v1"}, "volume": {"container_path": "data", "mode": "RW"}}}


def operate(world: World, kind: str, body: Json, operation_id: str | None = None) -> str:
    operation: Json = {"type": kind, kind.lower(): body}
    if operation_id is not None:
        operation["id"] = {"value": operation_id}
    uuid = f"uuid-of-{kind}"
    world.receive(ApplyOperation(framework_id=F, operation=operation, operation_uuid=uuid))
    return uuid


def test_reserve_create_use_destroy() -> None:
    world = World().registered()
    operate(world, "RESERVE", {"resources": [RESERVED]})
    operate(world, "CREATE", {"volumes": [VOLUME]})
    state = shown(world)
    assert state["resources"]["disk"] == 10000.0
    assert state["reserved_resources"]["web/x"]["disk"] == 64.0
    world.run(task("t1", resources=[*amounts(cpus=0.1), VOLUME]), on=executor())
    (start,) = world.outputs(StartContainer)
    link = SandboxLink(path="data", volume="volumes/roles/web x/v1")
    assert start.links == (link,)
    world.starts()
    world.subscribe()
    world.run(task("t2", resources=[*amounts(cpus=0.1), VOLUME]), on=executor())
    assert world.outputs(LinkVolumes) == [LinkVolumes(agent_id=AGENT, sandbox=start.sandbox, links=(link,))]
    world.receive(Ping(connected=False))
    world.pass_time(1)
    kept = world.messages(ReregisterAgent)[0].resources
    assert kept == ({key: value for key, value in VOLUME.items() if key != "allocation_info"},)
    operate(world, "DESTROY", {"volumes": [VOLUME]})
    operate(world, "UNRESERVE", {"resources": [RESERVED]})
    assert world.outputs(RemoveVolume) == [RemoveVolume(agent_id=AGENT, volume="volumes/roles/web x/v1")]
    assert shown(world)["reserved_resources"] == {}
    reports = [update.status for update in world.messages(OperationUpdate)]
    assert {status["state"] for status in reports} == {"OPERATION_FINISHED"}
    assert all("operation_id" not in status for status in reports)


def test_an_operation_with_an_id_is_reported_until_it_is_acknowledged() -> None:
    world = World().registered()
    uuid = operate(world, "RESERVE", {"resources": [RESERVED]}, "op-1")
    (first,) = world.messages(OperationUpdate)
    assert (first.framework_id, first.operation_uuid) == (F, uuid)
    assert first.status == {
        "operation_id": {"value": "op-1"},
        "state": "OPERATION_FINISHED",
        "uuid": first.status["uuid"],
        "agent_id": {"value": AGENT},
    }
    world.pass_time(30)
    assert world.messages(OperationUpdate) == [first] * 3
    world.restart()
    world.pass_time(1)
    world.receive(AgentRegistered(agent_id=AGENT))
    assert world.messages(OperationUpdate) == [first] * 4
    status_uuid = first.status["uuid"]["value"]
    world.receive(AcknowledgeOperation(operation_uuid="other", status_uuid=status_uuid))
    world.receive(AcknowledgeOperation(operation_uuid=uuid, status_uuid="AAAAAAAAAAAAAAAAAAAAAA=="))
    world.pass_time(10)
    assert len(world.messages(OperationUpdate)) == 5
    world.receive(AcknowledgeOperation(operation_uuid=uuid, status_uuid=status_uuid))
    world.pass_time(1000)
    assert len(world.messages(OperationUpdate)) == 5


def test_reconciling_operations() -> None:
    world = World().registered()
    operate(world, "RESERVE", {"resources": [RESERVED]}, "op-1")
    asked = (
        {"operation_id": {"value": "op-1"}, "agent_id": {"value": AGENT}},
        {"operation_id": {"value": "none"}, "resource_provider_id": {"value": "rp"}},
    )
    world.receive(ReconcileOperations(framework_id=F, operations=asked))
    known, unknown = (update.status for update in world.messages(OperationUpdate)[1:])
    assert known == {
        "operation_id": {"value": "op-1"},
        "state": "OPERATION_FINISHED",
        "agent_id": {"value": AGENT},
    }
    assert unknown == {
        "operation_id": {"value": "none"},
        "state": "OPERATION_UNKNOWN",
        "agent_id": {"value": AGENT},
        "resource_provider_id": {"value": "rp"},
    }


def test_an_unacknowledged_operation_keeps_an_agent_draining() -> None:
    world = World().registered()
    uuid = operate(world, "RESERVE", {"resources": [RESERVED]}, "op-1")
    world.receive(DrainAgent(config={}))
    assert "drain_config" in shown(world)
    status_uuid = world.messages(OperationUpdate)[0].status["uuid"]["value"]
    world.receive(AcknowledgeOperation(operation_uuid=uuid, status_uuid=status_uuid))
    assert "drain_config" not in shown(world)


# --- the end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gracefully", [True, False])
def test_the_end_of_an_agent(gracefully: bool) -> None:
    world = World().registered()
    container_id, stream = world.running("t1")
    if gracefully:
        world.agent.unregister(now=world.now)
        world._collect()
        assert world.messages(UnregisterAgent) == [UnregisterAgent(agent_id=AGENT)]
    else:
        world.receive(ShutdownAgent(message="Agent has been marked gone"))
        assert world.messages(UnregisterAgent) == []
    assert world.event_types(stream) == ["SHUTDOWN"]
    assert not world.agent.is_over
    late = world.subscribe()
    assert world.event_types(late) == ["SHUTDOWN"]
    assert [end.stream for end in world.outputs(StreamEnd)] == [late]
    world.run(task("t2"), on=executor("e2"))
    world.receive(KillTask(framework_id=F, task_id="t1"))
    world.receive(AgentRegistered(agent_id=AGENT))
    world.pass_time(5)
    assert [kill.signal for kill in world.outputs(SignalContainer)] == [9]
    world.exits(container_id, 9)
    assert world.agent.is_over
    assert world.updates() == []


@pytest.mark.parametrize(
    "message", [ShutdownExecutor(framework_id=F, executor_id="e1"), ShutdownFramework(framework_id=F)]
)
def test_shutdowns_are_not_heard_before_registration(message: ShutdownExecutor | ShutdownFramework) -> None:
    world = World().registered()
    _, stream = world.running("t1")
    world.receive(Ping(connected=False))
    world.receive(message)
    assert world.event_types(stream) == []


# --- what it shows -----------------------------------------------------------------------------------------------


def test_state_and_containers() -> None:
    settings = AgentSettings(
        resources="cpus:2;mem:2048;disk:10000;ports:[32000-32100]",
        attributes="rack:r2;level:3;ports:[1-5];kinds:{a,b}",
        work_dir="/srv/agent",
        builtin_startup_s=0,
    )
    world = World(settings).registered()
    container_id, _ = world.running("t2")
    world.run(command_task("t1"))
    world.starts()
    world.run(command_task("t3", "a command of some length"))
    world.exits(world.starts(), 0)
    for _ in range(3):
        world.acknowledge("t3")
    world.run(task("q1", executor=executor("e2")), on=executor("e2"))
    state = shown(world)
    assert state["resources"] == {"cpus": 2.0, "disk": 10000.0, "gpus": 0.0, "mem": 2048.0, "ports": "[32000-32100]"}
    assert state["attributes"] == {"rack": "r2", "level": 3.0, "ports": "[1-5]", "kinds": "{a, b}"}
    assert (state["id"], state["pid"]) == (AGENT, "slave(1)@127.0.0.1:5051")
    (mine,) = state["frameworks"]
    executors = {item["id"]: item for item in mine["executors"]}
    custom = executors["e1"]
    assert custom["directory"] == f"/srv/agent/slaves/{AGENT}/frameworks/{F}/executors/e1/runs/{container_id}"
    assert custom["resources"] == {"cpus": 0.2, "gpus": 0.0, "mem": 64.0, "disk": 0.0}
    assert [(item["id"], item["state"], item["executor_id"]) for item in custom["tasks"]] == [
        ("t2", "TASK_RUNNING", "e1")
    ]
    assert custom["tasks"][0]["statuses"][0]["timestamp"] == 0.0
    command = executors["t1"]
    assert command["name"] == "Command Executor (Task: t1) (Command: sh -c 'sleep 600')"
    assert command["resources"]["cpus"] == 0.2
    assert command["tasks"][0]["executor_id"] == ""
    done = executors["t3"]
    assert done["name"] == "Command Executor (Task: t3) (Command: sh -c 'a command of...')"
    assert done["resources"] == {"cpus": 0.1, "gpus": 0.0, "mem": 32.0, "disk": 0.0}
    assert [(item["id"], item["state"]) for item in done["completed_tasks"]] == [("t3", "TASK_FINISHED")]
    assert [item["id"] for item in executors["e2"]["queued_tasks"]] == ["q1"]
    containers = world.agent.get("/containers", {}, now=world.now).body
    assert isinstance(containers, list)
    assert {item["executor_id"] for item in containers} == {"e1", "t1", "t3", "e2"}
    (one,) = world.agent.get("/slave(1)/containers", {"container_id": container_id}, now=world.now).body
    assert one["status"] == {"container_id": {"value": container_id}, "executor_pid": 1000}
    assert world.agent.get("/health", {}, now=world.now) == Reply(status=200)
    version = world.agent.get("/version", {}, now=world.now).body
    assert isinstance(version, dict)
    assert version["version"] == "1.12.0"
    assert world.agent.get("/state.json", {}, now=world.now).status == 404


def test_metrics_flags_and_statistics() -> None:
    world = World().registered()
    world.running("t1", "t2")
    world.update("t2", "TASK_FINISHED")
    world.run(command_task("t3"))
    container_id = world.outputs(StartContainer)[-1].container_id
    found = world.agent.get("/metrics/snapshot", {}, now=world.now + 5).body
    assert isinstance(found, dict)
    assert all(isinstance(value, float) for value in found.values())
    wanted = {
        "slave/registered": 1.0,
        "slave/tasks_running": 1.0,
        "slave/tasks_staging": 1.0,
        "slave/tasks_finished": 1.0,
        "slave/executors_running": 1.0,
        "slave/executors_registering": 1.0,
        "slave/cpus_total": 4.0,
        "slave/cpus_used": 0.4,
        "slave/gpus_percent": 0.0,
    }
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    world.fails(container_id, "no luck")
    found = world.agent.get("/metrics/snapshot", {}, now=world.now).body
    assert isinstance(found, dict)
    assert (found["slave/tasks_failed"], found["slave/container_launch_errors"]) == (1.0, 1.0)
    assert found["slave/executors_terminated"] == 1.0
    flags = world.agent.get("/flags", {}, now=world.now).body
    assert isinstance(flags, dict)
    assert flags["flags"]["work_dir"] == "/var/lib/mesos"
    (entry,) = world.agent.get("/monitor/statistics", {}, now=world.now).body
    assert sorted(entry) == ["executor_id", "executor_name", "framework_id", "source", "statistics"]


@pytest.mark.parametrize(
    ("duration_s", "words"),
    [
        (0, "0ns"), (1e-9, "1ns"), (1.5e-6, "1500ns"), (0.0005, "500us"), (0.5, "500ms"), (2.5, "2500ms"), (5, "5secs"),
        (60, "1mins"), (90, "90secs"), (900, "15mins"), (3600, "1hrs"), (5400, "90mins"), (86400, "1days"),
        (864000, "10days"), (1209600, "2weeks"), (-2, "-2secs"), (1.23456789, "1.23456789secs"),
    ],
)  # fmt: skip
def test_durations_in_the_words_of_mesos(duration_s: float, words: str) -> None:
    assert text(duration_s) == words


@pytest.mark.parametrize(
    ("duration", "expected"),
    [({"nanoseconds": 2_500_000_000}, 2.5), ({"seconds": 600}, 600.0), ({"seconds": 1, "nanos": 500_000_000}, 1.5)],
)
def test_both_forms_of_a_duration(duration: Json, expected: float) -> None:
    assert seconds(duration) == expected


def test_an_agent_started_for_cleanup_ends_what_was_left_and_then_itself() -> None:
    world = World().registered()
    container_id, _ = world.running("t", by=framework(checkpoint=True))
    world.settings = replace(world.settings, recover="cleanup")
    world.restart()
    assert world.messages(ReregisterAgent) == []
    world.subscribe()
    world.pass_time(10.0)
    world.exits(container_id, 9)
    assert world.agent.is_over
    assert world.updates() == []
