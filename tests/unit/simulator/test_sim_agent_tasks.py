"""Custom executors and their tasks: launch, updates, kill, messages, the end."""

from __future__ import annotations

from typing import Any

import pytest
from sim_agent_world import AGENT, F, World, amounts, command_task, executor, framework, task

from headgate.simulator.agent import AgentSettings
from headgate.simulator.messages import (
    ExecutorMessage,
    ExitedExecutor,
    FrameworkMessage,
    Json,
    Reply,
    ShutdownExecutor,
    ShutdownFramework,
    SignalContainer,
    StartContainer,
    StreamEnd,
    UpdateFramework,
)

PLAIN = framework(partition_aware=False)


# --- launch ------------------------------------------------------------------------------------------------------


def test_a_custom_executor_is_started_with_the_program_the_environment_and_the_sandbox_of_mesos() -> None:
    world = World(AgentSettings(ip="10.0.0.7", port=5052)).registered()
    command = {
        "shell": False,
        "value": "/bin/program",
        "arguments": ["program", "-x"],
        "uris": [{"value": "/a/file"}],
        "user": "someone",
        "environment": {
            "variables": [
                {"name": "WORD", "type": "VALUE", "value": "a b"},
                {"name": "MESOS_SANDBOX", "type": "VALUE", "value": "own"},
                {"name": "SECRET", "type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "cGFzcw=="}}},
                {"name": "ELSEWHERE", "type": "SECRET", "secret": {"type": "REFERENCE", "reference": {"name": "s"}}},
            ]
        },
    }
    world.run(task("t1"), on=executor(command=command))
    (start,) = world.outputs(StartContainer)
    assert start == StartContainer(
        agent_id=AGENT,
        container_id=start.container_id,
        executable="/bin/program",
        argv=("program", "-x"),
        sandbox=f"slaves/{AGENT}/frameworks/{F}/executors/e1/runs/{start.container_id}",
        uris=({"value": "/a/file"},),
        user="someone",
        environment={
            "LIBPROCESS_IP": "10.0.0.7",
            "LIBPROCESS_PORT": "0",
            "MESOS_AGENT_ENDPOINT": "10.0.0.7:5052",
            "MESOS_CHECKPOINT": "0",
            "MESOS_DIRECTORY": "{sandbox}",
            "MESOS_EXECUTOR_ID": "e1",
            "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "5secs",
            "MESOS_FRAMEWORK_ID": F,
            "MESOS_HTTP_COMMAND_EXECUTOR": "0",
            "MESOS_SANDBOX": "own",
            "MESOS_SLAVE_ID": AGENT,
            "MESOS_SLAVE_PID": "slave(1)@10.0.0.7:5052",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SECRET": "pass",
            "WORD": "a b",
        },
    )


def test_checkpointing_and_an_own_grace_period_show_in_the_environment() -> None:
    world = World().registered()
    grace = {"shutdown_grace_period": {"nanoseconds": 2_500_000_000}}
    world.run(task("t1"), on=executor(**grace), by=framework(checkpoint=True))
    environment = world.outputs(StartContainer)[0].environment
    assert environment["MESOS_CHECKPOINT"] == "1"
    assert environment["MESOS_RECOVERY_TIMEOUT"] == "15mins"
    assert environment["MESOS_SUBSCRIPTION_BACKOFF_MAX"] == "2secs"
    assert environment["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"] == "2500ms"


@pytest.mark.parametrize(
    ("command", "executable", "argv"),
    [
        ({"value": "echo hi"}, "/bin/sh", ("sh", "-c", "echo hi")),
        ({"shell": True, "value": "echo", "arguments": ["ignored"]}, "/bin/sh", ("sh", "-c", "echo")),
        ({"shell": False, "value": "prog", "arguments": ["a", "b"]}, "prog", ("a", "b")),
        ({"shell": False, "value": "prog"}, "prog", ("prog",)),
    ],
)
def test_forms_of_a_command(command: Json, executable: str, argv: tuple[str, ...]) -> None:
    world = World().registered()
    world.run(task("t1"), on=executor(command=command))
    (start,) = world.outputs(StartContainer)
    assert (start.executable, start.argv) == (executable, argv)


def test_tasks_wait_for_the_subscription_and_come_in_their_order_groups_last() -> None:
    world = World().registered()
    e = executor()
    world.run(task("t1"), on=e)
    world.run_group(task("g1"), task("g2"), on=e)
    world.run(task("t2"), on=e)
    assert len(world.outputs(StartContainer)) == 1
    container_id = world.starts()
    stream = world.subscribe()
    subscribed, first, second, group = world.events(stream)
    assert subscribed["type"] == "SUBSCRIBED"
    body = subscribed["subscribed"]
    assert (body["executor_info"], body["framework_info"]) == (e, framework())
    assert body["container_id"] == {"value": container_id}
    assert body["agent_info"]["id"] == {"value": AGENT}
    assert "role" not in body["agent_info"]["resources"][0]
    assert [first["launch"]["task"], second["launch"]["task"]] == [task("t1"), task("t2")]
    assert group == {"type": "LAUNCH_GROUP", "launch_group": {"task_group": {"tasks": [task("g1"), task("g2")]}}}
    world.run(task("t3"), on=e)
    assert world.events(stream)[-1]["launch"]["task"] == task("t3")
    assert world.updates() == []


def test_launches_before_registration_for_another_agent_or_while_recovering_are_ignored() -> None:
    world = World().registered()
    world.run({**task("t1"), "agent_id": {"value": "old"}}, on=executor())
    assert world.seen == []


REJECTED: dict[str, tuple[Any, Json | None, bool | None, str, str, str, bool]] = {
    # how the executor is, task, executor, expects new; state, reason, message, names the executor
    "command task with the id of an executor": (
        "running", None, True,
        "TASK_DROPPED", "REASON_TASK_INVALID", "Cannot reuse an already existing executor for a command task", True,
    ),
    "executor ending": (
        "terminating", executor(), None, "TASK_DROPPED", "REASON_EXECUTOR_TERMINATED", "Executor terminating", False,
    ),
    "executor ended": (
        "terminated", executor(), None, "TASK_DROPPED", "REASON_EXECUTOR_TERMINATED", "Executor terminated", False,
    ),
    "a new executor, but it is there": (
        "running", executor(), True,
        "TASK_DROPPED", "REASON_EXECUTOR_TERMINATED", "Master wants to launch executor, but one already exists", True,
    ),
    "an old executor, but it is gone": (
        "absent", executor(), False,
        "TASK_DROPPED", "REASON_EXECUTOR_TERMINATED",
        "No executor is expected to launch and there is none running", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("partition_aware", [True, False])
@pytest.mark.parametrize("title", REJECTED)
def test_rejected_at_launch(title: str, partition_aware: bool) -> None:
    how, on, new, state, reason, message, names_executor = REJECTED[title]
    world = World().registered()
    by = framework(partition_aware=partition_aware)
    if how != "absent":
        container_id, _ = world.running("old", by=by)
        if how == "terminating":
            world.receive(ShutdownExecutor(framework_id=F, executor_id="e1"))
        if how == "terminated":
            world.update("old", "TASK_FINISHED")
            world.exits(container_id, 0)
    world.seen.clear()
    info = task("t1", executor=on) if on else command_task("e1")
    world.run(info, on=on, new=new, by=by)
    (update,) = world.updates()
    assert update.status == {
        "task_id": info["task_id"],
        "state": state if partition_aware else "TASK_LOST",
        "message": message,
        "source": "SOURCE_AGENT",
        "reason": reason,
        "agent_id": {"value": AGENT},
        **({"executor_id": {"value": "e1"}} if names_executor else {}),
        "timestamp": world.now,
        "uuid": update.status["uuid"],
    }
    assert len(world.outputs(StartContainer)) == 0


def test_volumes_the_agent_has_never_heard_of() -> None:
    world = World().registered()
    volume = {
        **amounts(disk=64)[0],
        "reservations": [{"type": "DYNAMIC", "role": "web"}],
        "disk": {"persistence": {"id": "v1"}, "volume": {"container_path": "data", "mode": "RW"}},
    }
    world.run(task("t1", resources=[volume]), on=executor())
    message = "The checkpointed resources being used by the task or task group are unknown to the agent"
    assert world.told() == [("t1", "TASK_DROPPED", "REASON_RESOURCES_UNKNOWN", message)]


@pytest.mark.parametrize(
    ("container", "reason", "message"),
    [
        (
            {"type": "DOCKER", "docker": {"image": "i"}},
            "REASON_EXECUTOR_TERMINATED",
            "Abnormal executor termination: unknown container",
        ),
        (
            {"type": "MESOS", "mesos": {"image": {"type": "DOCKER", "docker": {"name": "i"}}}},
            "REASON_CONTAINER_LAUNCH_FAILED",
            "Failed to launch container: Unsupported container image type: DOCKER",
        ),
    ],
)
def test_containers_nobody_can_run(container: Json, reason: str, message: str) -> None:
    world = World().registered()
    world.run(task("t1"), on=executor(container=container))
    assert world.told() == [("t1", "TASK_FAILED", reason, message)]
    assert [(gone.executor_id, gone.status) for gone in world.messages(ExitedExecutor)] == [("e1", -1)]
    world.run(command_task("t2", container=container))
    assert world.told()[1:] == [("t2", "TASK_FAILED", reason, message)]
    assert len(world.messages(ExitedExecutor)) == 1


def test_a_container_that_cannot_be_launched() -> None:
    world = World().registered()
    world.run(task("t1"), on=executor())
    (start,) = world.outputs(StartContainer)
    world.fails(start.container_id, "Failed to fetch")
    failed = ("TASK_FAILED", "REASON_CONTAINER_LAUNCH_FAILED", "Failed to launch container: Failed to fetch")
    assert world.told() == [("t1", *failed)]
    assert [gone.status for gone in world.messages(ExitedExecutor)] == [256]


# --- updates -----------------------------------------------------------------------------------------------------


def test_the_agent_completes_an_update_and_acknowledges_it_at_once() -> None:
    world = World().registered()
    container_id, stream = world.running("t1")
    uuid = world.update("t1", "TASK_RUNNING", data="cGF5bG9hZA==", message="up", healthy=False)
    (update,) = world.updates()
    assert update.status == {
        "task_id": {"value": "t1"},
        "state": "TASK_RUNNING",
        "source": "SOURCE_EXECUTOR",
        "uuid": uuid,
        "data": "cGF5bG9hZA==",
        "message": "up",
        "healthy": False,
        "agent_id": {"value": AGENT},
        "timestamp": world.now,
        "container_status": {
            "container_id": {"value": container_id},
            "executor_pid": 1000,
            "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": "127.0.0.1"}]}],
        },
    }
    assert (update.latest_state, update.timestamp_added) == ("TASK_RUNNING", True)
    acknowledged = {"type": "ACKNOWLEDGED", "acknowledged": {"task_id": {"value": "t1"}, "uuid": uuid}}
    assert world.events(stream) == [acknowledged]


def test_own_timestamps_and_executor_ids_are_kept() -> None:
    world = World().registered()
    world.running("t1")
    world.update("t1", "TASK_RUNNING", timestamp=1234.5, executor_id="e1")
    (update,) = world.updates()
    assert (update.status["timestamp"], update.timestamp_added) == (1234.5, False)
    assert "executor_id" not in update.status


def test_only_the_head_is_forwarded_but_the_latest_state_goes_with_it() -> None:
    world = World().registered()
    _, stream = world.running("t1")
    first = world.update("t1", "TASK_RUNNING")
    world.update("t1", "TASK_FINISHED")
    assert world.event_types(stream) == ["ACKNOWLEDGED", "ACKNOWLEDGED"]
    assert [(update.status["state"], update.latest_state) for update in world.updates()] == [
        ("TASK_RUNNING", "TASK_RUNNING")
    ]
    world.pass_time(10)
    again = world.updates()[1]
    assert (again.status["uuid"], again.latest_state) == (first, "TASK_FINISHED")
    assert again.status == world.updates()[0].status
    world.acknowledge("t1", first)
    assert world.updates()[2].status["state"] == "TASK_FINISHED"


def test_the_same_uuid_twice_is_acknowledged_twice_and_forwarded_once() -> None:
    world = World().registered()
    _, stream = world.running("t1")
    uuid = world.update("t1", "TASK_RUNNING")
    world.update("t1", "TASK_RUNNING", uuid=uuid)
    world.acknowledge("t1")
    world.update("t1", "TASK_RUNNING", uuid=uuid)
    assert world.event_types(stream) == ["ACKNOWLEDGED"] * 3
    assert len(world.updates()) == 1


def test_news_of_an_ended_task_is_acknowledged_and_dropped() -> None:
    world = World().registered()
    _, stream = world.running("t1")
    world.update("t1", "TASK_FINISHED")
    world.update("t1", "TASK_FAILED")
    assert world.event_types(stream) == ["ACKNOWLEDGED", "ACKNOWLEDGED"]
    assert [told[1] for told in world.told()] == ["TASK_FINISHED"]
    world.acknowledge("t1")
    assert [told[1] for told in world.told()] == ["TASK_FINISHED"]


def test_news_of_an_unknown_task_are_forwarded_and_never_acknowledged() -> None:
    world = World().registered()
    _, stream = world.running("t1")
    world.update("never", "TASK_RUNNING")
    (update,) = world.updates()
    assert update.status["task_id"] == {"value": "never"}
    assert "container_status" not in update.status
    assert world.event_types(stream) == []


def test_a_new_framework_info_brings_all_heads_again() -> None:
    world = World().registered()
    world.running("t1", "t2")
    world.update("t1", "TASK_RUNNING")
    world.update("t2", "TASK_FINISHED")
    world.seen.clear()
    world.receive(UpdateFramework(framework=framework("TASK_KILLING_STATE")))
    assert sorted(told[:2] for told in world.told()) == [("t1", "TASK_RUNNING"), ("t2", "TASK_FINISHED")]


# --- kill --------------------------------------------------------------------------------------------------------


def test_kill_before_delivery() -> None:
    world = World().registered()
    e = executor()
    world.run(task("t1"), on=e)
    world.run(task("t2"), on=e)
    world.run_group(task("g1"), task("g2"), on=e)
    world.kill("t1")
    alone = ("TASK_KILLED", "REASON_TASK_KILLED_DURING_LAUNCH", "Killed before delivery to the executor")
    assert world.told() == [("t1", *alone)]
    assert world.updates()[0].status["executor_id"] == {"value": "e1"}
    assert "container_status" not in world.updates()[0].status
    world.kill("g2")
    together = (*alone[:2], "A task within the task group was killed before delivery to the executor")
    assert world.told()[1:] == [("g1", *together), ("g2", *together)]
    world.starts()
    stream = world.subscribe()
    assert world.event_types(stream) == ["SUBSCRIBED", "LAUNCH"]
    assert world.events(stream)[1]["launch"]["task"]["task_id"] == {"value": "t2"}


def test_an_executor_with_nothing_to_do_gets_shutdown_on_a_stream_that_stays() -> None:
    world = World().registered()
    world.run(task("t1"), on=executor())
    container_id = world.starts()
    world.kill("t1")
    world.acknowledge("t1")
    stream = world.subscribe()
    assert world.event_types(stream) == ["SHUTDOWN"]
    assert world.outputs(StreamEnd) == []
    world.pass_time(5)
    assert [(kill.container_id, kill.signal) for kill in world.outputs(SignalContainer)] == [(container_id, 9)]


@pytest.mark.parametrize("policy", [None, {"grace_period": {"nanoseconds": 1_000_000_000}}])
def test_kill_is_passed_on_as_often_as_it_comes_and_is_not_enforced(policy: Json | None) -> None:
    world = World().registered()
    _, stream = world.running("t1")
    world.kill("t1", policy)
    world.kill("t1", policy)
    body = {"task_id": {"value": "t1"}} | ({"kill_policy": policy} if policy else {})
    assert world.events(stream) == [{"type": "KILL", "kill": body}] * 2
    world.pass_time(1000)
    assert world.outputs(SignalContainer) == []


@pytest.mark.parametrize(("by", "state"), [(framework(), "TASK_DROPPED"), (PLAIN, "TASK_LOST")])
def test_kill_of_a_task_without_executor(by: Json, state: str) -> None:
    world = World().registered()
    world.running("t1", by=by)
    world.kill("other")
    assert world.told() == [("other", state, "REASON_EXECUTOR_TERMINATED", "Cannot find executor")]


def test_kill_for_an_unknown_framework_or_an_ending_executor_is_ignored() -> None:
    world = World().registered()
    world.kill("t1")
    _, stream = world.running("t1")
    world.receive(ShutdownExecutor(framework_id=F, executor_id="e1"))
    world.kill("t1")
    assert world.event_types(stream) == ["SHUTDOWN"]
    assert world.updates() == []


# --- messages ----------------------------------------------------------------------------------------------------


def test_messages_both_ways_are_lost_unless_the_executor_runs() -> None:
    world = World().registered()
    world.run(task("t1"), on=executor())
    world.receive(FrameworkMessage(framework_id=F, executor_id="e1", data="ZWFybHk="))
    world.starts()
    stream = world.subscribe()
    world.receive(FrameworkMessage(framework_id=F, executor_id="e1", data="aGVsbG8="))
    world.receive(FrameworkMessage(framework_id=F, executor_id="none", data="aGVsbG8="))
    assert world.events(stream)[2:] == [{"type": "MESSAGE", "message": {"data": "aGVsbG8="}}]
    assert world.call("MESSAGE", {"data": "ZWNobw=="}) == Reply(status=202)
    (message,) = world.messages(ExecutorMessage)
    assert (message.executor_id, message.data) == ("e1", "ZWNobw==")


# --- calls -------------------------------------------------------------------------------------------------------


def test_calls_the_agent_refuses() -> None:
    world = World().registered()
    assert world.call("HEARTBEAT") == Reply(status=202)
    assert world.call("MESSAGE", {"data": ""}) == Reply(status=400, body="Framework cannot be found")
    assert world.call("SUBSCRIBE", {}) == Reply(status=400, body="Framework cannot be found")
    world.run(task("t1"), on=executor())
    world.starts()
    assert world.call("MESSAGE", {"data": ""}, executor_id="none") == Reply(status=400, body="Executor cannot be found")
    assert world.call("MESSAGE", {"data": ""}) == Reply(status=403, body="Executor is not subscribed")
    stream = world.subscribe()
    world.agent.disconnected(stream, now=world.now)
    assert world.call("MESSAGE", {"data": ""}) == Reply(status=202)


def test_heartbeats_come_each_half_hour_and_not_at_the_start() -> None:
    world = World().registered()
    _, stream = world.running("t1")
    world.pass_time(1799)
    assert world.event_types(stream) == []
    world.pass_time(1 + 1800)
    assert world.event_types(stream) == ["HEARTBEAT", "HEARTBEAT"]


def test_a_lost_stream_is_not_noticed_and_events_meanwhile_are_lost() -> None:
    world = World().registered()
    _, stream = world.running("t1")
    world.agent.disconnected(stream, now=world.now)
    world.kill("t1")
    world.update("t1", "TASK_RUNNING", message="meanwhile")
    assert world.event_types(stream) == []
    assert world.told() == [("t1", "TASK_RUNNING", None, "meanwhile")]
    again = world.subscribe()
    assert world.event_types(again) == ["SUBSCRIBED"]


def test_subscribing_again_repeats_acknowledgements_and_gives_up_what_was_never_heard_of() -> None:
    world = World().registered()
    _, stream = world.running("t1")
    uuid = world.update("t1", "TASK_RUNNING")
    world.run(task("t2", executor=executor()), on=executor())
    world.run(task("t3", executor=executor()), on=executor())
    world.seen.clear()
    status = {
        "task_id": {"value": "t1"},
        "state": "TASK_RUNNING",
        "source": "SOURCE_EXECUTOR",
        "uuid": uuid,
        "timestamp": 1.0,
    }
    again = world.subscribe({"unacknowledged_tasks": [task("t3")], "unacknowledged_updates": [{"status": status}]})
    assert [end.stream for end in world.outputs(StreamEnd)] == [stream]
    assert world.event_types(again) == ["SUBSCRIBED", "ACKNOWLEDGED"]
    assert world.told() == [("t2", "TASK_DROPPED", "REASON_AGENT_RESTARTED", "Task launched during agent restart")]
    assert "container_status" not in world.updates()[0].status


# --- end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 256, 77 << 8, 9, 256256])
def test_when_an_executor_ends_its_live_tasks_fail_and_the_master_hears_the_raw_status(status: int) -> None:
    world = World().registered()
    container_id, _ = world.running("t1", "t2")
    world.update("t1", "TASK_FINISHED")
    world.run(task("t3"), on=executor())
    world.seen.clear()
    world.exits(container_id, status)
    failed = ("TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")
    assert world.told() == [("t2", *failed), ("t3", *failed)]
    assert all("container_status" not in update.status for update in world.updates())
    assert all(update.status["executor_id"] == {"value": "e1"} for update in world.updates())
    assert [(gone.executor_id, gone.status, gone.command) for gone in world.messages(ExitedExecutor)] == [
        ("e1", status, False)
    ]


def test_an_executor_is_forgotten_when_its_last_update_is_acknowledged() -> None:
    world = World().registered()
    container_id, _ = world.running("t1")
    world.exits(container_id, 256)
    world.run(task("t2"), on=executor())
    assert world.told()[-1][3] == "Executor terminated"
    world.acknowledge("t2")
    world.acknowledge("t1", world.updates()[0].status["uuid"])
    world.seen.clear()
    world.run(task("t3"), on=executor(), new=True)
    assert len(world.outputs(StartContainer)) == 1
    assert world.updates() == []


def test_an_earlier_acknowledgement_does_not_make_the_end_forgotten() -> None:
    world = World().registered()
    container_id, _ = world.running("t1")
    first = world.update("t1", "TASK_RUNNING")
    world.update("t1", "TASK_FINISHED")
    world.exits(container_id, 0)
    world.acknowledge("t1", first)
    world.pass_time(10)
    assert [told[1] for told in world.told()] == ["TASK_RUNNING", "TASK_FINISHED", "TASK_FINISHED"]


def test_no_subscription_within_a_minute() -> None:
    world = World().registered()
    world.run(task("t1"), on=executor())
    container_id = world.starts()
    world.pass_time(59.9)
    assert world.outputs(SignalContainer) == []
    world.pass_time(0.2)
    assert [(kill.container_id, kill.signal) for kill in world.outputs(SignalContainer)] == [(container_id, 9)]
    late = world.subscribe()
    assert world.event_types(late) == ["SHUTDOWN"]
    assert [end.stream for end in world.outputs(StreamEnd)] == [late]
    world.exits(container_id, 9)
    message = "Executor did not register within 1mins"
    assert world.told() == [("t1", "TASK_FAILED", "REASON_EXECUTOR_REGISTRATION_TIMEOUT", message)]
    assert [gone.status for gone in world.messages(ExitedExecutor)] == [9]


@pytest.mark.parametrize(("grace", "seconds"), [({}, 5.0), ({"nanoseconds": 2_000_000_000}, 2.0)])
def test_shutdown_then_the_grace_period_then_sigkill(grace: Json, seconds: float) -> None:
    world = World().registered()
    more = {"shutdown_grace_period": grace} if grace else {}
    container_id, stream = world.running("t1", on=executor(**more))
    world.receive(ShutdownExecutor(framework_id=F, executor_id="e1"))
    world.receive(ShutdownExecutor(framework_id=F, executor_id="e1"))
    assert world.event_types(stream) == ["SHUTDOWN"]
    world.pass_time(seconds - 0.1)
    assert world.outputs(SignalContainer) == []
    world.pass_time(0.1)
    assert [kill.signal for kill in world.outputs(SignalContainer)] == [9]
    world.exits(container_id, 9)
    assert world.told() == [("t1", "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")]


def test_an_ending_executor_may_still_say_how_its_tasks_ended() -> None:
    world = World().registered()
    container_id, _ = world.running("t1")
    world.receive(ShutdownExecutor(framework_id=F, executor_id="e1"))
    world.update("t1", "TASK_KILLED")
    world.exits(container_id, 0)
    assert [told[1] for told in world.told()] == ["TASK_KILLED"]


def test_an_executor_shut_down_before_its_process_runs_is_destroyed_when_it_does() -> None:
    world = World().registered()
    world.run(task("t1"), on=executor())
    world.receive(ShutdownExecutor(framework_id=F, executor_id="e1"))
    container_id = world.starts()
    assert [kill.container_id for kill in world.outputs(SignalContainer)] == [container_id]
    world.exits(container_id, 9)
    assert world.told() == [("t1", "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")]


def test_of_a_framework_that_was_shut_down_nothing_more_is_reported() -> None:
    world = World().registered()
    container_id, stream = world.running("t1")
    world.update("t1", "TASK_RUNNING")
    world.seen.clear()
    world.receive(ShutdownFramework(framework_id=F))
    assert world.event_types(stream) == ["SHUTDOWN"]
    world.update("t1", "TASK_KILLED")
    assert world.event_types(stream) == ["SHUTDOWN"]
    world.kill("t1")
    world.exits(container_id, 0)
    world.pass_time(100)
    assert world.updates() == []
    assert world.outputs(SignalContainer) == []
    state = world.agent.get("/state", {}, now=world.now).body
    assert isinstance(state, dict)
    assert state["frameworks"] == []
    assert [gone["id"] for gone in state["completed_frameworks"]] == [F]
