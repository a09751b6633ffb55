"""The operator API of an agent: what it tells, and containers without tasks."""

from typing import Any

import pytest
from sim_agent_world import AGENT, World, command_task, executor, framework, pod, task

from headgate.simulator.messages import Json, Reply, SignalContainer, StartContainer, Stream, StreamEnd, StreamEvent
from headgate.simulator.schema.agent_validation import agent_call_error


def ask(world: World, kind: str, **body: Any) -> Reply | Stream:
    call: Json = {"type": kind, kind.lower(): body}
    assert agent_call_error(call) is None
    answer = world.agent.operator(call, now=world.now)
    world.seen += world.agent.drain()
    return answer


def read(world: World, kind: str, **body: Any) -> Any:
    answer = ask(world, kind, **body)
    assert isinstance(answer, Reply)
    assert answer.status == 200
    assert isinstance(answer.body, dict)
    assert answer.body["type"] == kind
    return answer.body[kind.lower()]


def refused(answer: Reply | Stream) -> tuple[int, object]:
    assert isinstance(answer, Reply)
    return answer.status, answer.body


def ids(tasks: list[Json]) -> list[str]:
    return [item["task_id"]["value"] for item in tasks]


def test_what_an_agent_knows() -> None:
    world = World().registered()
    world.running("t1", "t2")
    world.run(command_task("c"))
    world.update("t2", "TASK_FINISHED")
    tasks = read(world, "GET_TASKS")
    assert ids(tasks["launched_tasks"]) == ["t1"]
    assert ids(tasks["queued_tasks"]) == ["c"]
    assert ids(tasks["terminated_tasks"]) == ["t2"]
    world.acknowledge("t2")
    assert ids(read(world, "GET_TASKS")["completed_tasks"]) == ["t2"]
    executors = read(world, "GET_EXECUTORS")["executors"]
    assert [item["executor_info"]["executor_id"]["value"] for item in executors] == ["e1", "c"]
    assert read(world, "GET_FRAMEWORKS")["frameworks"] == [{"framework_info": framework()}]
    assert set(read(world, "GET_STATE")) == {"get_tasks", "get_executors", "get_frameworks"}
    assert read(world, "GET_AGENT")["agent_info"]["id"] == {"value": AGENT}
    assert read(world, "GET_HEALTH") == {"healthy": True}
    assert {item["name"] for item in read(world, "GET_METRICS")["metrics"]} >= {"slave/registered"}
    assert {item["name"] for item in read(world, "GET_FLAGS")["flags"]} >= {"work_dir"}
    assert read(world, "GET_VERSION")["version_info"]["version"] == "1.12.0"


def test_containers_are_listed_as_asked() -> None:
    world = World().registered()
    world.run_group(task("a", command={"value": "sleep 600"}), on=pod())
    world.starts()
    ask(world, "LAUNCH_CONTAINER", container_id={"value": "mine"}, command={"value": "sleep 600"})
    plain = read(world, "GET_CONTAINERS")["containers"]
    assert [item["executor_id"]["value"] for item in plain] == ["pod"]
    every = read(world, "GET_CONTAINERS", show_nested=True, show_standalone=True)["containers"]
    assert len(every) == 3
    assert every[1]["container_id"]["parent"] == plain[0]["container_id"]
    assert every[2]["container_id"] == {"value": "mine"}


def test_a_standalone_container_runs_is_waited_for_and_is_forgotten() -> None:
    world = World().registered()
    mine = {"value": "mine"}
    command = {"value": "exit 3", "environment": {"variables": [{"name": "A", "value": "b"}]}}
    assert refused(ask(world, "LAUNCH_CONTAINER", container_id=mine, command=command)) == (200, "")
    [start] = world.outputs(StartContainer)
    assert (start.argv, start.environment["A"], start.sandbox) == (("sh", "-c", "exit 3"), "b", "containers/mine")
    assert refused(ask(world, "LAUNCH_CONTAINER", container_id=mine, command=command)) == (202, "")
    waiting = ask(world, "WAIT_CONTAINER", container_id=mine)
    assert isinstance(waiting, Stream)
    assert waiting.whole
    world.exits(start.container_id, 768)
    body = {"type": "WAIT_CONTAINER", "wait_container": {"exit_status": 768}}
    assert world.outputs(StreamEvent) == [StreamEvent(stream=waiting.stream, event=body)]
    assert world.outputs(StreamEnd) == [StreamEnd(stream=waiting.stream)]
    gone = "Container mine cannot be found"
    assert refused(ask(world, "WAIT_CONTAINER", container_id=mine)) == (404, gone)


def test_a_nested_container_can_be_waited_for_until_it_is_removed() -> None:
    world = World().registered()
    outer, _ = world.running("t")
    inner = {"value": "inner", "parent": {"value": outer}}
    assert refused(ask(world, "LAUNCH_CONTAINER", container_id=inner, command={"value": "true"}))[0] == 200
    [start] = world.outputs(StartContainer)
    assert start.container_id == f"{outer}.inner"
    assert start.sandbox.endswith(f"/runs/{outer}/containers/inner")
    busy = ask(world, "REMOVE_CONTAINER", container_id=inner)
    assert refused(busy) == (500, "Nested container has not terminated yet")
    assert refused(ask(world, "KILL_CONTAINER", container_id=inner, signal=15)) == (200, "")
    assert [order.signal for order in world.outputs(SignalContainer)] == [15]
    world.exits(start.container_id, 15)
    assert read(world, "WAIT_NESTED_CONTAINER", container_id=inner) == {"exit_status": 15}
    killed = f"Container '{outer}.inner' cannot be found (or is already killed)"
    assert refused(ask(world, "KILL_NESTED_CONTAINER", container_id=inner)) == (404, killed)
    assert refused(ask(world, "REMOVE_CONTAINER", container_id=inner)) == (200, "")
    gone = f"Container {outer}.inner cannot be found"
    assert refused(ask(world, "WAIT_CONTAINER", container_id=inner)) == (404, gone)


def test_nested_containers_end_with_the_one_they_are_in() -> None:
    world = World().registered()
    outer, _ = world.running("t")
    first = {"value": "a", "parent": {"value": outer}}
    second = {"value": "b", "parent": first}
    for container_id in (first, second):
        ask(world, "LAUNCH_CONTAINER", container_id=container_id, command={"value": "sleep 600"})
    world.exits(outer, 0)
    killed = {order.container_id for order in world.outputs(SignalContainer) if order.signal == 9}
    assert killed == {f"{outer}.a", f"{outer}.a.b"}


def test_the_container_of_an_executor_can_be_waited_for_and_killed() -> None:
    world = World().registered()
    outer, _ = world.running("t", on=executor())
    waiting = ask(world, "WAIT_CONTAINER", container_id={"value": outer})
    assert isinstance(waiting, Stream)
    ask(world, "KILL_CONTAINER", container_id={"value": outer})
    assert world.outputs(SignalContainer)[-1].signal == 9
    world.exits(outer, 9)
    [told] = world.outputs(StreamEvent)
    assert told.event["wait_container"] == {"exit_status": 9}


def test_a_container_survives_its_agent() -> None:
    world = World().registered()
    ask(world, "LAUNCH_CONTAINER", container_id={"value": "mine"}, command={"value": "sleep 600"})
    world.starts()
    world.restart()
    world.pass_time(5.0)
    listed = read(world, "GET_CONTAINERS", show_standalone=True)["containers"]
    assert [item["container_id"] for item in listed] == [{"value": "mine"}]


@pytest.mark.parametrize(
    ("container", "text"),
    [
        ({"type": "DOCKER", "docker": {"image": "x"}}, "The provided ContainerInfo is not supported"),
        (
            {"type": "MESOS", "mesos": {"image": {"type": "DOCKER"}}},
            "Unsupported container image type: DOCKER",
        ),
    ],
)
def test_containers_that_cannot_be_made(container: Json, text: str) -> None:
    world = World().registered()
    answer = ask(world, "LAUNCH_CONTAINER", container_id={"value": "x"}, container=container)
    assert refused(answer) == (400, text)


def test_a_container_needs_the_one_it_is_to_be_in() -> None:
    world = World().registered()
    inner = {"value": "inner", "parent": {"value": "nobody"}}
    answer = ask(world, "LAUNCH_CONTAINER", container_id=inner, command={"value": "true"})
    assert refused(answer) == (400, "Root container nobody not found")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({}, "Expecting 'type' to be present"),
        ({"type": "WAIT_CONTAINER"}, "Expecting 'wait_container' to be present"),
        (
            {"type": "WAIT_NESTED_CONTAINER", "wait_nested_container": {"container_id": {"value": "a"}}},
            "Expecting 'wait_nested_container.container_id.parent' to be present",
        ),
        (
            {"type": "KILL_CONTAINER", "kill_container": {"container_id": {"value": "a.b"}}},
            "'kill_container.container_id' is invalid: 'ContainerID.value' 'a.b' contains invalid characters",
        ),
        (
            {"type": "KILL_CONTAINER", "kill_container": {"container_id": {"value": "a", "parent": {"value": "/"}}}},
            "'kill_container.container_id' is invalid: 'ContainerID.parent' is invalid: '/' contains invalid"
            " characters",
        ),
        (
            {
                "type": "LAUNCH_CONTAINER",
                "launch_container": {
                    "container_id": {"value": "a"},
                    "resources": [{"name": "cpus", "revocable": {}}],
                },
            },
            "'launch_container.resources' must be non-revocable",
        ),
    ],
)
def test_calls_that_are_refused(call: Json, text: str) -> None:
    assert agent_call_error(call) == text
