"""Which tasks a master refuses, and its words: one row for each check, in the order of the checks."""

from __future__ import annotations

from typing import Any

import pytest
from sim_master_world import Json, Scheduler, World, custom, launch, launch_group, needs, ports, scalar, task

OFFERED = "cpus(allocated: *):2; mem(allocated: *):2048; disk(allocated: *):10000; ports(allocated: *):[32000-32100]"
COMMAND = {"command": {"value": "true"}}


def shell(**more: Any) -> Json:
    return {"command": {"value": "true", **more}}


def variable(**fields: Any) -> Json:
    return shell(environment={"variables": [{"name": "A", **fields}]})


HTTP_CHECK = {"type": "HTTP", "http": {"port": 80}}

REFUSED: list[tuple[Json, str]] = [
    ({"task_id": {"value": ""}}, "ID must not be empty"),
    ({"task_id": {"value": "x" * 256}}, "ID must not be greater than 255 characters"),
    ({"task_id": {"value": "."}}, "'.' is disallowed"),
    ({"task_id": {"value": "a\\b"}}, "'a\\b' contains invalid characters"),
    ({"task_id": {"value": "a\tb"}}, "'a\tb' contains invalid characters"),
    ({"agent_id": {"value": "X"}}, "Task uses invalid agent X while agent {agent} is expected"),
    (
        {"kill_policy": {"grace_period": {"nanoseconds": -1}}},
        "Task's 'kill_policy.grace_period' must be non-negative",
    ),
    ({"max_completion_time": {"nanoseconds": -1}}, "Task's `max_completion_time` must be non-negative"),
    ({"check": {}}, "Task uses invalid check: CheckInfo must specify 'type'"),
    ({"check": {"type": "TCP"}}, "Task uses invalid check: Expecting 'tcp' to be set for TCP check"),
    (
        {"check": {"type": "COMMAND", "command": {"command": {"shell": False}}}},
        "Task uses invalid check: Command check must contain 'executable path'",
    ),
    (
        {"check": {"type": "HTTP", "http": {"port": 1, "path": "x"}}},
        "Task uses invalid check: The path 'x' of HTTP check must start with '/'",
    ),
    ({"health_check": {}}, "Task uses invalid health check: HealthCheck must specify 'type'"),
    (
        {"health_check": {"type": "UNKNOWN"}},
        "Task uses invalid health check: 'UNKNOWN' is not a valid health check type",
    ),
    (
        {"health_check": {"type": "COMMAND"}},
        "Task uses invalid health check: Expecting 'command' to be set for COMMAND health check",
    ),
    (
        {"health_check": {"type": "COMMAND", "command": {}}},
        "Task uses invalid health check: Command health check must contain 'shell command'",
    ),
    (
        {"health_check": {"type": "HTTP", "http": {"port": 1, "scheme": "ftp"}}},
        "Task uses invalid health check: Unsupported HTTP health check scheme: 'ftp'",
    ),
    (
        {"health_check": {**HTTP_CHECK, "grace_period_seconds": -0.5}},
        "Task uses invalid health check: Expecting 'grace_period_seconds' to be non-negative",
    ),
    ({"resources": []}, "Task uses no resources"),
    ({"resources": [scalar("cpus", -1)]}, "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0"),
    ({"resources": [scalar("", 1)]}, "Resource ':1' is invalid: Empty resource name"),
    (
        {"resources": [*needs(), ports(9, 1)]},
        "Resource 'ports:[9-1]' is invalid: Invalid ranges resource: begin > end",
    ),
    (
        {"resources": [scalar("gpus", 0.5)]},
        "Task uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer",
    ),
    (
        {"resources": [scalar("disk", 1, disk={})]},
        "Task uses invalid resources: Invalid DiskInfo: DiskInfo is set but empty",
    ),
    (
        {"resources": [scalar("disk", 1, disk={"persistence": {"id": "v"}, "volume": {"container_path": "d"}})]},
        "Task uses invalid resources: Invalid DiskInfo: Persistent volumes cannot be created from unreserved resources",
    ),
    (
        {"resources": [scalar("cpus", 1), scalar("mem", 1, allocation_info={"role": "x"})]},
        "Invalid task resources: The resources have multiple allocation roles ('x' and '*')"
        " but only one allocation role is allowed",
    ),
    (
        {"resources": [scalar("cpus", 1), scalar("cpus", 1, revocable={})]},
        "Task mixes revocable and non-revocable resources:"
        " Cannot use both revocable and non-revocable 'cpus' at the same time",
    ),
    (
        variable(),
        "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have a value set",
    ),
    (
        variable(type="SECRET"),
        "Task's `CommandInfo` is invalid: Environment variable 'A' of type 'SECRET' must have a secret set",
    ),
    (
        variable(type="SECRET", secret={"type": "VALUE"}),
        "Task's `CommandInfo` is invalid: Environment variable 'A' specifies an invalid secret:"
        " Secret of type VALUE must have the 'value' field set",
    ),
    (
        {"container": {"type": "DOCKER"}},
        "Task's `ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed ContainerInfo",
    ),
    (
        {"container": {"type": "DOCKER", "docker": {"image": "i", "parameters": [{"key": "name", "value": "v"}]}}},
        "Task's `ContainerInfo` is invalid: Parameter in DockerInfo must not be 'name'",
    ),
    (
        {"container": {"type": "MESOS", "volumes": [{"container_path": "a", "mode": "RW"}]}},
        "Task's `ContainerInfo` is invalid: Invalid volume:"
        " Only one of them should be set: 'host_path', 'image' and 'source'",
    ),
    (
        {"container": {"type": "MESOS", "volumes": [{"container_path": "a", "source": {"type": "HOST_PATH"}}]}},
        "Task's `ContainerInfo` is invalid: Invalid volume: 'source.host_path' is not set for HOST_PATH volume",
    ),
    ({"limits": {"disk": {"value": 1.0}}}, "Only cpus and mem may be included in a task's resource limits"),
    (
        {"resources": [scalar("mem", 32)], "limits": {"cpus": {"value": 1.0}}},
        "When a CPU limit is specified, a CPU request must also be specified",
    ),
    ({"limits": {"cpus": {"value": 0.05}}}, "The cpu limit must be greater than or equal to the cpu request"),
    ({"limits": {"mem": {"value": 1.0}}}, "The memory limit must be greater than or equal to the memory request"),
    (
        {"executor": custom()},
        "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
    ),
    (
        {"resources": needs(cpus=2.001)},
        "Total resources cpus(allocated: *):2.001; mem(allocated: *):32 required by task and its executor"
        f" is more than available {OFFERED}",
    ),
    (
        {"resources": [scalar("cpus", 0.1, allocation_info={"role": "x"})]},
        f"Total resources cpus(allocated: x):0.1 required by task and its executor is more than available {OFFERED}",
    ),
    (
        {"resources": [*needs(), ports(1, 1)]},
        "Total resources cpus(allocated: *):0.1; mem(allocated: *):32; ports(allocated: *):[1-1] required by task"
        f" and its executor is more than available {OFFERED}",
    ),
    (
        {"container": {"type": "MESOS", "linux_info": {"share_cgroups": False}}},
        "Only tasks in a task group may have 'share_cgroups' set to 'false'",
    ),
]

EXECUTORS: list[tuple[Json, str]] = [
    ({"type": "CUSTOM", "executor_id": {"value": "e"}}, "'ExecutorInfo.command' must be set for 'CUSTOM' executor"),
    (
        {"type": "DEFAULT", "executor_id": {"value": "e"}, "command": {}},
        "'ExecutorInfo.command' must not be set for 'DEFAULT' executor",
    ),
    (
        {"type": "DEFAULT", "executor_id": {"value": "e"}, "container": {"type": "DOCKER"}},
        "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor",
    ),
    ({"type": "DEFAULT", "executor_id": {"value": "e"}}, "'ExecutorInfo.type' must be 'CUSTOM'"),
    ({"executor_id": {"value": "e"}}, "'ExecutorInfo.command' must be set"),
    (custom("a/b"), "'a/b' contains invalid characters"),
    (
        custom(shutdown_grace_period={"nanoseconds": -1}),
        "ExecutorInfo's 'shutdown_grace_period' must be non-negative",
    ),
    (
        custom(command={"value": "x", "environment": {"variables": [{"name": "A"}]}}),
        "Executor's `CommandInfo` is invalid: Environment variable 'A' of type 'VALUE' must have a value set",
    ),
    (
        custom(container={"type": "DOCKER"}),
        "Executor's `ContainerInfo` is invalid: DockerInfo 'docker' is not set for DOCKER typed ContainerInfo",
    ),
    (
        custom(framework_id={"value": "other"}),
        "ExecutorInfo has an invalid FrameworkID (Actual: other vs Expected: {framework})",
    ),
    (
        custom(resources=[scalar("gpus", 0.5)]),
        "Executor uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer",
    ),
    (
        custom(container={"type": "MESOS", "linux_info": {"share_cgroups": True}}),
        "The 'share_cgroups' field cannot be set to 'true' on executor containers",
    ),
    (
        custom(resources=[*needs(1.95), ports(32000, 32000)]),
        "Total resources cpus(allocated: *):2.05; mem(allocated: *):64; ports(allocated: *):[32000-32000]"
        f" required by task and its executor is more than available {OFFERED}",
    ),
]


def refused(framework: Scheduler, operation: Json, offers: list[Json]) -> list[Json]:
    framework.accept(offers, operation, refuse=0)
    statuses = framework.statuses()
    assert all(status["state"] == "TASK_ERROR" for status in statuses)
    assert all(status["source"] == "SOURCE_MASTER" and "uuid" not in status for status in statuses)
    return statuses


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_a_task_is_refused_with_mesos_words(changes: Json, message: str) -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    described = {**task("t", offer, **COMMAND), **changes}
    [status] = refused(framework, launch(described), [offer])
    assert status["message"] == message.format(agent=agent.id)
    assert status["reason"] == "REASON_TASK_INVALID"
    assert status["task_id"] == described["task_id"]
    assert status["agent_id"] == described["agent_id"]
    world.advance(1)
    assert len(framework.offers()) == 1, "everything is free again"


@pytest.mark.parametrize(("executor", "message"), EXECUTORS)
def test_an_executor_is_refused_with_mesos_words(executor: Json, message: str) -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    [status] = refused(framework, launch(task("t", offer, executor=executor)), [offer])
    assert status["message"] == message.format(framework=framework.id)


def test_a_task_needs_a_command_or_an_executor() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    [status] = refused(framework, launch(task("t", offer)), [offer])
    assert status["message"].startswith("Task should have at least one (but not both)")


def test_ports_of_task_and_executor_must_not_overlap() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    executor = custom(resources=[*needs(), ports(32000, 32001)])
    [status] = refused(framework, launch(task("t", offer, [*needs(), ports(32001, 32002)], executor=executor)), [offer])
    assert status["message"].startswith("There are overlapping resources in the task resources ")


def test_a_malformed_resource_spoils_all_tasks_of_its_launch() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    good = task("good", offer, **COMMAND)
    bad = task("bad", offer, [scalar("cpus", -1)], **COMMAND)
    statuses = refused(framework, launch(good, bad), [offer])
    assert [status["task_id"]["value"] for status in statuses] == ["good", "bad"]
    assert len({status["message"] for status in statuses}) == 1


def test_an_id_is_taken_until_its_end_is_acknowledged() -> None:
    world = World()
    agent = world.agent()
    framework = world.framework()
    framework.run(agent, "t")
    ended = agent.update(framework, "t", "TASK_FINISHED")
    framework.fresh()
    framework.call("REVIVE")
    [offer] = framework.offers()
    [status] = refused(framework, launch(task("t", offer, **COMMAND)), [offer])
    assert status["message"] == "Task has duplicate ID: t"
    framework.acknowledge(ended)
    world.advance(1)
    [offer] = framework.offers()
    framework.accept([offer], launch(task("t", offer, **COMMAND)))
    assert framework.statuses() == []


# --- groups ------------------------------------------------------------------------------------------------------


def pod(framework: Scheduler, **more: Any) -> Json:
    return {
        "type": "DEFAULT",
        "executor_id": {"value": "pod"},
        "framework_id": {"value": framework.id},
        "resources": [*needs(), scalar("disk", 32)],
        **more,
    }


GROUPS: list[tuple[Json, Json, str]] = [
    ({}, {"resources": []}, "Task 't' is invalid: Task uses no resources"),
    (
        {},
        {"container": {"type": "DOCKER", "docker": {"image": "i"}}},
        "Task 't' is invalid: Docker ContainerInfo is not supported on the task",
    ),
    (
        {},
        {"health_check": HTTP_CHECK, "container": {"type": "MESOS", "network_infos": [{"name": "n"}]}},
        "Task 't' is invalid: HTTP and TCP health checks are not supported for nested containers"
        " not joining parent's network",
    ),
    (
        {},
        {"limits": {"cpus": {"value": 1.0}}},
        "Task 't' is invalid: Resource limits may only be set for tasks within a task group when the"
        " 'share_cgroups' field is set to 'false'.",
    ),
    ({"command": {}}, {}, "'ExecutorInfo.command' must not be set for 'DEFAULT' executor"),
    ({"framework_id": None}, {}, "'ExecutorInfo.framework_id' must be set"),
    ({"type": None}, {}, "'ExecutorInfo.type' must be set"),
    ({"type": "UNKNOWN"}, {}, "Unknown executor type"),
    (
        {},
        {"executor": {"type": "DEFAULT", "executor_id": {"value": "x"}}},
        "The `ExecutorInfo` of task 't' is different from executor 'pod'",
    ),
    (
        {"resources": [scalar("cpus", 0.001)]},
        {},
        "Executor 'pod' uses less CPUs (0.001) than the minimum required (0.01)",
    ),
    ({"resources": []}, {}, "Executor 'pod' uses less CPUs (None) than the minimum required (0.01)"),
    (
        {"resources": needs(mem=16)},
        {},
        "Executor 'pod' uses less memory (16MB) than the minimum required (32MB)",
    ),
    ({"resources": needs()}, {}, "Executor 'pod' uses no disk"),
    (
        {},
        {"resources": needs(cpus=2)},
        "Total resources cpus(allocated: *):2.1; mem(allocated: *):64; disk(allocated: *):32 required by task group"
        f" and its executor are more than available {OFFERED}",
    ),
    (
        {"container": {"type": "MESOS", "linux_info": {"share_cgroups": True}}},
        {},
        "The 'share_cgroups' field cannot be set to 'true' on executor containers",
    ),
]


@pytest.mark.parametrize(("executor", "changes", "message"), GROUPS)
def test_a_group_is_refused_as_a_whole(executor: Json, changes: Json, message: str) -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    info = {key: value for key, value in pod(framework, **executor).items() if value is not None}
    described = {**task("t", offer, **COMMAND), **changes}
    statuses = refused(framework, launch_group(info, described), [offer])
    assert [status["message"] for status in statuses] == [message]
    assert statuses[0]["reason"] == "REASON_TASK_GROUP_INVALID"


def test_a_group_must_agree_on_share_cgroups() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    own = {"container": {"type": "MESOS", "linux_info": {"share_cgroups": False}}}
    statuses = refused(
        framework,
        launch_group(pod(framework), task("a", offer, **COMMAND), task("b", offer, **COMMAND, **own)),
        [offer],
    )
    assert {status["message"].split(",")[0] for status in statuses} == {"If set"}
    assert len(statuses) == 2


def test_two_tasks_of_a_group_cannot_have_one_id() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    twice = task("a", offer, **COMMAND)
    statuses = refused(framework, launch_group(pod(framework), twice, twice), [offer])
    assert [status["message"] for status in statuses] == ["Task 'a' is invalid: Task has duplicate ID: a"] * 2


def test_launches_cannot_have_an_operation_id() -> None:
    world = World()
    world.agent()
    framework = world.framework()
    [offer] = framework.offers()
    [status] = refused(framework, {**launch(task("t", offer, **COMMAND)), "id": {"value": "o"}}, [offer])
    assert status["message"] == "The `id` field cannot be set on LAUNCH operations"
