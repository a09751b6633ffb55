"""Command tasks and task groups: the two executors Mesos brings along."""

from __future__ import annotations

from typing import Any

import pytest
from sim_agent_world import AGENT, F, World, command_task, executor, framework, pod, task

from headgate.simulator.agent import AgentSettings
from headgate.simulator.messages import ExitedExecutor, Json, ShutdownExecutor, SignalContainer, StartContainer

HOUR = {"grace_period": {"nanoseconds": 3_600_000_000_000}}
SECOND = {"grace_period": {"nanoseconds": 1_000_000_000}}


def signals(world: World) -> list[int]:
    return [kill.signal for kill in world.outputs(SignalContainer)]


def states(world: World, *, acknowledge: bool = True) -> list[tuple[str, str]]:
    """What the scheduler sees when it acknowledges all it gets: (task, state), repeated ones once."""
    done = 0
    while acknowledge and done < len(world.updates()):
        status = world.updates()[done].status
        world.acknowledge(status["task_id"]["value"], status["uuid"])
        done += 1
    return list(dict.fromkeys(told[:2] for told in world.told()))


def running_command(world: World, task_id: str = "t1", *, by: Json | None = None, **more: Any) -> str:
    """A command task that runs, its two first updates acknowledged; its container."""
    world.run(command_task(task_id, **more), by=by)
    container_id = world.starts()
    assert states(world) == [(task_id, "TASK_STARTING"), (task_id, "TASK_RUNNING")]
    world.seen.clear()
    return container_id


# --- command tasks -----------------------------------------------------------------------------------------------


def test_a_command_task_is_a_process_of_its_own_in_the_sandbox_of_an_executor_with_its_id() -> None:
    world = World().registered()
    command = {"value": "echo $WORD", "environment": {"variables": [{"name": "WORD", "value": "a-b"}]}}
    world.run(task("t1", command={**command, "uris": [{"value": "/f"}]}))
    (start,) = world.outputs(StartContainer)
    assert (start.executable, start.argv) == ("/bin/sh", ("sh", "-c", "echo $WORD"))
    assert start.sandbox == f"slaves/{AGENT}/frameworks/{F}/executors/t1/runs/{start.container_id}"
    assert start.uris == ({"value": "/f"},)
    environment = start.environment
    assert (environment["WORD"], environment["MESOS_ALLOCATION_ROLE"]) == ("a-b", "*")
    assert (environment["MESOS_EXECUTOR_ID"], environment["MESOS_SANDBOX"]) == ("t1", "{sandbox}")


def test_a_command_task_from_start_to_end() -> None:
    world = World().registered()
    world.run(command_task("t1"))
    assert world.updates() == []
    container_id = world.starts()
    assert states(world) == [("t1", "TASK_STARTING"), ("t1", "TASK_RUNNING")]
    starting = world.updates()[0].status
    assert starting == {
        "task_id": {"value": "t1"},
        "state": "TASK_STARTING",
        "source": "SOURCE_EXECUTOR",
        "executor_id": {"value": "t1"},
        "agent_id": {"value": AGENT},
        "timestamp": world.now,
        "uuid": starting["uuid"],
        "container_status": {
            "container_id": {"value": container_id},
            "executor_pid": 1000,
            "network_infos": [{"ip_addresses": [{"protocol": "IPv4", "ip_address": "127.0.0.1"}]}],
        },
    }
    world.exits(container_id, 0)
    finished = world.updates()[-1].status
    assert (finished["state"], finished["message"]) == ("TASK_FINISHED", "Command exited with status 0")
    assert finished["container_status"] == starting["container_status"]
    world.acknowledge("t1")
    world.pass_time(0.9)
    world.run(command_task("t1"))
    assert world.told()[-1][2] == "REASON_TASK_INVALID"
    world.acknowledge("t1")
    world.pass_time(0.6)
    assert world.messages(ExitedExecutor) == []
    world.run(command_task("t1"))
    assert len(world.outputs(StartContainer)) == 2


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        (0, "TASK_FINISHED", "Command exited with status 0"),
        (3 << 8, "TASK_FAILED", "Command exited with status 3"),
        (127 << 8, "TASK_FAILED", "Command exited with status 127"),
        (9, "TASK_FAILED", "Command terminated with signal Killed"),
        (15, "TASK_FAILED", "Command terminated with signal Terminated"),
        (11 | 0x80, "TASK_FAILED", "Command terminated with signal Segmentation fault (core dumped)"),
        (256256, "TASK_FAILED", "Command exited with status 1"),
    ],
)
def test_how_a_command_ends(status: int, state: str, message: str) -> None:
    world = World().registered()
    container_id = running_command(world)
    world.exits(container_id, status)
    assert world.told() == [("t1", state, None, message)]


@pytest.mark.parametrize(
    ("own", "asked", "seconds"),
    [(None, None, 3.0), (None, HOUR, 3.0), (SECOND, None, 1.0), (SECOND, HOUR, 1.0), (HOUR, SECOND, 3600.0)],
)
def test_kill_is_sigterm_then_sigkill_after_the_tasks_own_grace(
    own: Json | None, asked: Json | None, seconds: float
) -> None:
    world = World().registered()
    container_id = running_command(world, **({"kill_policy": own} if own else {}))
    world.kill("t1", asked)
    assert signals(world) == [15]
    world.pass_time(seconds - 0.1)
    world.kill("t1", asked)
    assert signals(world) == [15]
    world.pass_time(0.1)
    assert signals(world) == [15, 9]
    world.pass_time(100)
    assert signals(world) == [15, 9]
    world.exits(container_id, 9)
    assert world.told() == [("t1", "TASK_KILLED", None, "Command terminated with signal Killed")]


def test_a_killed_task_is_killed_whatever_its_exit_status_and_says_killing_once_with_the_capability() -> None:
    world = World().registered()
    container_id = running_command(world, by=framework("TASK_KILLING_STATE"))
    world.kill("t1")
    world.kill("t1")
    world.exits(container_id, 0)
    assert states(world) == [("t1", "TASK_KILLING"), ("t1", "TASK_KILLED")]
    world.pass_time(10)
    assert signals(world) == [15]


def test_max_completion_time() -> None:
    world = World().registered()
    container_id = running_command(
        world, by=framework("TASK_KILLING_STATE"), max_completion_time={"nanoseconds": 2_000_000_000}
    )
    world.pass_time(1.9)
    assert signals(world) == []
    world.pass_time(0.1)
    assert signals(world) == [15, 9]
    world.exits(container_id, 9)
    message = "Command terminated with signal Killed"
    assert world.told() == [("t1", "TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED", message)]


@pytest.mark.parametrize(("own", "seconds"), [(None, 3.0), (SECOND, 1.0)])
def test_shutdown_of_a_command_task_is_a_kill_that_is_over_before_the_agent_loses_patience(
    own: Json | None, seconds: float
) -> None:
    world = World().registered()
    container_id = running_command(world, **({"kill_policy": own} if own else {}))
    world.receive(ShutdownExecutor(framework_id=F, executor_id="t1"))
    assert signals(world) == [15]
    world.pass_time(seconds)
    assert signals(world) == [15, 9]
    world.exits(container_id, 9)
    assert [told[1] for told in world.told()] == ["TASK_KILLED"]
    world.acknowledge("t1")
    world.pass_time(1)
    assert world.messages(ExitedExecutor) == []


def test_a_shutdown_after_a_kill_can_only_shorten_the_time_that_is_left() -> None:
    world = World(AgentSettings(executor_shutdown_grace_s=4, builtin_startup_s=0)).registered()
    running_command(world)
    world.kill("t1")
    world.pass_time(1)
    world.receive(ShutdownExecutor(framework_id=F, executor_id="t1"))
    world.pass_time(0.9)
    assert signals(world) == [15]
    world.pass_time(0.1)
    assert signals(world) == [15, 9]


def test_a_command_task_shut_down_while_it_is_fetched_is_destroyed_once_it_runs() -> None:
    world = World().registered()
    world.run(command_task("t1"))
    world.receive(ShutdownExecutor(framework_id=F, executor_id="t1"))
    assert world.updates() == []
    world.starts()
    assert signals(world) == [9]
    assert world.told() == [("t1", "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")]


def test_a_command_task_that_outlives_its_executors_grace_fails() -> None:
    world = World().registered()
    running_command(world)
    world.receive(ShutdownExecutor(framework_id=F, executor_id="t1"))
    world.pass_time(5)
    assert signals(world) == [15, 9, 9]
    assert world.told() == [("t1", "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")]


def test_a_command_task_killed_before_its_process_runs_never_becomes_one() -> None:
    world = World().registered()
    world.run(command_task("t1"))
    world.kill("t1")
    assert [told[1:3] for told in world.told()] == [("TASK_KILLED", "REASON_TASK_KILLED_DURING_LAUNCH")]
    world.starts()
    assert signals(world) == [9]
    assert len(world.updates()) == 1


@pytest.mark.parametrize("on", [None, pod()])
def test_a_built_in_executor_takes_its_time_to_come_up(on: Json | None) -> None:
    world = World(AgentSettings(builtin_startup_s=0.15)).registered()
    if on is None:
        world.run(command_task("t1"))
    else:
        world.run_group(command_task("t1"), on=on)
    world.pass_time(0.14)
    assert world.seen == []
    world.pass_time(0.02)
    world.starts()
    assert states(world) == [("t1", "TASK_STARTING"), ("t1", "TASK_RUNNING")]


@pytest.mark.parametrize("on", [None, pod()])
def test_a_task_killed_meanwhile_never_runs_and_its_executor_ends_as_it_comes_up(on: Json | None) -> None:
    world = World(AgentSettings(builtin_startup_s=0.15)).registered()
    if on is None:
        world.run(command_task("t1"))
    else:
        world.run_group(command_task("t1"), on=on)
    world.kill("t1")
    world.acknowledge("t1")
    world.pass_time(0.2)
    assert [told[1:3] for told in world.told()] == [("TASK_KILLED", "REASON_TASK_KILLED_DURING_LAUNCH")]
    assert world.outputs(StartContainer) == []
    assert [gone.status for gone in world.messages(ExitedExecutor)] == ([] if on is None else [0])
    state = world.agent.get("/state", {}, now=world.now).body
    assert isinstance(state, dict)
    assert state["frameworks"] == []


@pytest.mark.parametrize("on", [None, pod()])
def test_a_built_in_executor_shut_down_meanwhile_is_destroyed_as_it_comes_up(on: Json | None) -> None:
    world = World(AgentSettings(builtin_startup_s=0.15)).registered()
    if on is None:
        world.run(command_task("t1"))
    else:
        world.run_group(command_task("t1"), on=on)
    world.receive(ShutdownExecutor(framework_id=F, executor_id="t1" if on is None else "pod"))
    world.pass_time(0.2)
    assert [told[1:3] for told in world.told()] == [("TASK_FAILED", "REASON_EXECUTOR_TERMINATED")]
    assert world.outputs(StartContainer) == []


def test_a_command_task_whose_files_cannot_be_fetched() -> None:
    world = World().registered()
    world.run(command_task("t1"))
    (start,) = world.outputs(StartContainer)
    cause = f"Failed to fetch all URIs for container '{start.container_id}': exited with status 1"
    world.fails(start.container_id, cause)
    (update,) = world.updates()
    assert (update.status["reason"], update.status["message"]) == (
        "REASON_CONTAINER_LAUNCH_FAILED",
        f"Failed to launch container: {cause}",
    )
    assert update.status["executor_id"] == {"value": "t1"}
    assert "container_status" not in update.status
    assert world.messages(ExitedExecutor) == []


def test_updates_of_a_checked_task_have_an_empty_check_status() -> None:
    world = World().registered()
    world.run(command_task("t1", check={"type": "HTTP", "http": {"port": 80}}))
    world.starts()
    assert world.updates()[0].status["check_status"] == {"type": "HTTP", "http": {}}


# --- task groups -------------------------------------------------------------------------------------------------


def running_pod(world: World, *task_ids: str, by: Json | None = None, **more: Any) -> dict[str, str]:
    """A group that runs, all acknowledged; the container of each task."""
    world.run_group(*(command_task(task_id, **more) for task_id in task_ids), on=pod(), by=by)
    containers = [start.container_id for start in world.outputs(StartContainer)]
    for container_id in containers:
        world.starts(container_id)
    states(world)
    world.seen.clear()
    return dict(zip(task_ids, containers, strict=True))


def test_a_group_runs_once_all_of_it_has_started() -> None:
    world = World().registered()
    world.run_group(command_task("t1"), command_task("t2"), on=pod())
    first, second = world.outputs(StartContainer)
    assert states(world) == [("t1", "TASK_STARTING"), ("t2", "TASK_STARTING")]
    world.starts(first.container_id)
    assert len(world.updates()) == 2
    world.starts(second.container_id)
    assert states(world)[2:] == [("t1", "TASK_RUNNING"), ("t2", "TASK_RUNNING")]
    status = world.updates()[2].status
    parent = status["container_status"]["container_id"]["parent"]["value"]
    assert status["container_status"]["container_id"]["value"] == first.container_id
    assert status["container_status"]["executor_pid"] == 1000
    assert status["executor_id"] == {"value": "pod"}
    run = f"slaves/{AGENT}/frameworks/{F}/executors/pod/runs/{parent}"
    assert first.sandbox == f"{run}/containers/{first.container_id}"
    assert first.environment == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "MESOS_SANDBOX": "{sandbox}",
        "MESOS_CONTAINER_IP": "127.0.0.1",
        "MESOS_ALLOCATION_ROLE": "*",
    }


def test_a_group_that_ends_well_ends_its_executor() -> None:
    world = World().registered()
    containers = running_pod(world, "t1", "t2")
    world.exits(containers["t1"], 0)
    assert signals(world) == []
    world.exits(containers["t2"], 0)
    assert world.told() == [
        ("t1", "TASK_FINISHED", None, "Command exited with status 0"),
        ("t2", "TASK_FINISHED", None, "Command exited with status 0"),
    ]
    assert [(gone.executor_id, gone.status) for gone in world.messages(ExitedExecutor)] == [("pod", 0)]


@pytest.mark.parametrize("status", [5 << 8, 9])
def test_a_task_that_fails_takes_its_own_group_with_it(status: int) -> None:
    world = World().registered()
    containers = running_pod(world, "t1", "t2")
    others = running_pod(world, "t3")
    world.exits(containers["t2"], status)
    assert [(kill.container_id, kill.signal) for kill in world.outputs(SignalContainer)] == [(containers["t1"], 15)]
    world.pass_time(3)
    assert signals(world) == [15, 9]
    world.exits(containers["t1"], 9)
    assert [told[:2] for told in world.told()] == [("t2", "TASK_FAILED"), ("t1", "TASK_KILLED")]
    assert world.messages(ExitedExecutor) == []
    world.exits(others["t3"], 0)
    assert len(world.messages(ExitedExecutor)) == 1


@pytest.mark.parametrize(
    ("own", "asked", "seconds"), [(None, None, 3.0), (SECOND, None, 1.0), (HOUR, SECOND, 1.0), (None, HOUR, 3600.0)]
)
def test_kill_of_one_task_ends_its_group(own: Json | None, asked: Json | None, seconds: float) -> None:
    world = World().registered()
    containers = running_pod(
        world, "t1", "t2", by=framework("TASK_KILLING_STATE"), **({"kill_policy": own} if own else {})
    )
    world.kill("t1", asked)
    world.kill("t1", asked)
    world.kill("none", asked)
    assert signals(world) == [15]
    world.pass_time(seconds)
    assert signals(world) == [15, 9]
    world.exits(containers["t1"], 9)
    world.exits(containers["t2"], 15)
    told = states(world)
    assert [state for task_id, state in told if task_id == "t1"] == ["TASK_KILLING", "TASK_KILLED"]
    assert [state for task_id, state in told if task_id == "t2"] == ["TASK_KILLING", "TASK_KILLED"]


def test_a_task_whose_container_cannot_be_started_fails_after_the_others_have_been_announced() -> None:
    world = World().registered()
    world.run_group(command_task("t1"), command_task("t2"), on=pod())
    first, second = (start.container_id for start in world.outputs(StartContainer))
    world.starts(first)
    world.fails(second, "no such file")
    assert states(world)[2:] == [("t1", "TASK_RUNNING"), ("t2", "TASK_FAILED")]
    assert world.told()[3][3] == "no such file"
    assert signals(world) == [15]


def test_a_process_that_ends_before_its_group_is_up_is_told_after_it() -> None:
    world = World().registered()
    world.run_group(command_task("t1"), command_task("t2"), on=pod())
    first, second = (start.container_id for start in world.outputs(StartContainer))
    world.starts(first)
    world.exits(first, 0)
    world.starts(second)
    assert states(world)[2:] == [("t1", "TASK_RUNNING"), ("t2", "TASK_RUNNING"), ("t1", "TASK_FINISHED")]


def test_shutdown_of_a_pod_kills_all_its_tasks() -> None:
    world = World().registered()
    containers = running_pod(world, "t1", "t2")
    world.receive(ShutdownExecutor(framework_id=F, executor_id="pod"))
    assert signals(world) == [15, 15]
    for container_id in containers.values():
        world.exits(container_id, 15)
    assert [told[1] for told in world.told()] == ["TASK_KILLED", "TASK_KILLED"]
    assert [gone.status for gone in world.messages(ExitedExecutor)] == [0]


def test_a_pod_that_does_not_end_in_its_grace_period_is_destroyed() -> None:
    world = World().registered()
    running_pod(world, "t1")
    world.receive(ShutdownExecutor(framework_id=F, executor_id="pod"))
    world.pass_time(5)
    assert signals(world) == [15, 9, 9]
    assert world.told() == [("t1", "TASK_FAILED", "REASON_EXECUTOR_TERMINATED", "Executor terminated")]
    assert [gone.status for gone in world.messages(ExitedExecutor)] == [9]


def test_a_pod_cannot_do_single_tasks_and_shuts_down() -> None:
    world = World().registered()
    running_pod(world, "t1")
    world.run(task("t2", executor=pod()), on=pod())
    assert signals(world) == [15]


def test_max_completion_time_in_a_group() -> None:
    world = World().registered()
    containers = running_pod(world, "t1", max_completion_time={"nanoseconds": 2_000_000_000})
    world.pass_time(2)
    assert signals(world) == [15, 9]
    world.exits(containers["t1"], 9)
    assert world.told()[0][1:3] == ("TASK_FAILED", "REASON_MAX_COMPLETION_TIME_REACHED")


def test_a_group_may_run_on_a_custom_executor() -> None:
    world = World().registered()
    world.run_group(task("t1"), task("t2"), on=executor())
    world.starts()
    stream = world.subscribe()
    assert world.event_types(stream) == ["SUBSCRIBED", "LAUNCH_GROUP"]
