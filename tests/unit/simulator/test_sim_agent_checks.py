"""Checks and health checks of tasks, by the executors that Mesos brings along."""

from typing import Any

import pytest
from sim_agent_world import World, command_task, framework, pod, task

from headgate.simulator.messages import CheckTask, Json, SignalContainer, StartContainer

OK, BAD = {"command": {"exit_code": 0}}, {"command": {"exit_code": 1}}
TRUE = {"value": "true"}


def health(**more: Any) -> Json:
    return {
        "type": "COMMAND",
        "command": TRUE,
        "delay_seconds": 1.0,
        "interval_seconds": 2.0,
        "grace_period_seconds": 4.0,
        **more,
    }


def running(world: World, **more: Any) -> str:
    """A command task that runs, its two first updates acknowledged."""
    world.run(command_task("t", **more))
    container_id = world.starts()
    for _ in range(2):
        world.acknowledge("t")
    world.seen.clear()
    return container_id


def conclude(world: World, outcome: Json | None) -> None:
    """The check that was asked for last is over."""
    asked = world.outputs(CheckTask)[-1]
    world.agent.checked(asked.check_id, outcome, now=world.now)
    world.seen += world.agent.drain()


def statuses(world: World) -> list[tuple[str, Any, str | None]]:
    return [
        (update.status["state"], update.status.get("healthy"), update.status.get("reason"))
        for update in world.updates()
    ]


HEALTH = "REASON_TASK_HEALTH_CHECK_STATUS_UPDATED"


def test_a_health_check_begins_after_its_delay_and_comes_again_an_interval_after_its_end() -> None:
    world = World().registered()
    running(world, health_check=health())
    world.pass_time(0.9)
    assert world.outputs(CheckTask) == []
    world.pass_time(0.2)
    (asked,) = world.outputs(CheckTask)
    assert (asked.kind, asked.timeout_s) == ("COMMAND", 20.0)
    assert asked.command is not None
    assert asked.command.argv == ("sh", "-c", "true")
    world.pass_time(30.0)
    assert len(world.outputs(CheckTask)) == 1
    conclude(world, OK)
    assert statuses(world) == [("TASK_RUNNING", True, HEALTH)]
    world.pass_time(1.9)
    assert len(world.outputs(CheckTask)) == 1
    world.pass_time(0.2)
    assert len(world.outputs(CheckTask)) == 2


def test_only_changes_for_the_better_and_every_failure_are_told() -> None:
    world = World().registered()
    running(world, health_check=health(consecutive_failures=5))
    for outcome in (OK, OK, BAD, BAD, OK):
        world.pass_time(2.0)
        conclude(world, outcome)
        for _ in world.updates():
            world.acknowledge("t")
    assert [healthy for _, healthy, _ in statuses(world)] == [True, False, False, True]


def test_failures_in_the_grace_period_do_not_count_unless_it_has_been_healthy() -> None:
    world = World().registered()
    running(world, health_check=health(consecutive_failures=1))
    world.pass_time(1.0)
    conclude(world, BAD)
    world.pass_time(2.0)
    conclude(world, None)
    assert statuses(world) == []
    world.pass_time(2.0)
    conclude(world, BAD)
    assert statuses(world) == [("TASK_RUNNING", False, HEALTH)]

    early = World().registered()
    running(early, health_check=health(consecutive_failures=1))
    early.pass_time(1.0)
    conclude(early, OK)
    early.acknowledge("t")
    early.pass_time(2.0)
    conclude(early, BAD)
    assert [healthy for _, healthy, _ in statuses(early)] == [True, False]


def test_too_many_failures_in_a_row_kill_the_task_and_its_end_says_unhealthy() -> None:
    world = World().registered()
    world.run(command_task("t", health_check=health(consecutive_failures=2)), by=framework("TASK_KILLING_STATE"))
    container_id = world.starts()
    for _ in range(2):
        world.acknowledge("t")
    world.pass_time(5.0)
    for _ in range(2):
        conclude(world, BAD)
        world.pass_time(2.0)
        world.acknowledge("t")
    assert [order.signal for order in world.outputs(SignalContainer)] == [15]
    asked = len(world.outputs(CheckTask))
    world.pass_time(1.0)
    assert len(world.outputs(CheckTask)) == asked, "a task that is being killed is not checked"
    world.exits(container_id, 15)
    world.acknowledge("t")
    assert statuses(world)[-3:] == [
        ("TASK_RUNNING", False, HEALTH),
        ("TASK_KILLING", None, None),
        ("TASK_KILLED", False, None),
    ]


@pytest.mark.parametrize(
    ("kind", "outcome", "healthy"),
    [
        ("HTTP", {"http": {"status_code": 200}}, True),
        ("HTTP", {"http": {"status_code": 399}}, True),
        ("HTTP", {"http": {"status_code": 400}}, False),
        ("HTTP", {"http": {"status_code": 199}}, False),
        ("HTTP", None, False),
        ("TCP", {"tcp": {"succeeded": True}}, True),
        ("TCP", {"tcp": {"succeeded": False}}, False),
    ],
)
def test_what_counts_as_healthy(kind: str, outcome: Json | None, healthy: bool) -> None:
    world = World().registered()
    definition = {**health(grace_period_seconds=0.0), "type": kind, kind.lower(): {"port": 31000}}
    running(world, health_check=definition)
    world.pass_time(1.0)
    assert world.outputs(CheckTask)[0].target == {"port": 31000}
    conclude(world, outcome)
    assert statuses(world) == [("TASK_RUNNING", healthy, HEALTH)]


def test_a_check_tells_changes_of_its_result_and_kills_nobody() -> None:
    world = World().registered()
    check = {"type": "COMMAND", "command": {"command": TRUE}, "delay_seconds": 0.0, "interval_seconds": 1.0}
    running(world, check=check)
    results = [OK, OK, BAD, None, None, BAD]
    for result in results:
        world.pass_time(1.0)
        conclude(world, result)
        for _ in world.updates():
            world.acknowledge("t")
    told = [update.status["check_status"] for update in world.updates()]
    assert told == [
        {"type": "COMMAND", **OK},
        {"type": "COMMAND", **BAD},
        {"type": "COMMAND", "command": {}},
        {"type": "COMMAND", **BAD},
    ]
    assert {update.status["reason"] for update in world.updates()} == {"REASON_TASK_CHECK_STATUS_UPDATED"}
    assert world.outputs(SignalContainer) == []


def test_what_one_check_found_stays_in_the_updates_of_the_other() -> None:
    world = World().registered()
    check = {"type": "TCP", "tcp": {"port": 1}, "delay_seconds": 0.0, "interval_seconds": 100.0}
    running(world, check=check, health_check=health())
    world.pass_time(0.0)
    conclude(world, {"tcp": {"succeeded": True}})
    world.acknowledge("t")
    world.pass_time(1.0)
    conclude(world, OK)
    last = world.updates()[-1].status
    assert last["healthy"] is True
    assert last["check_status"] == {"type": "TCP", "tcp": {"succeeded": True}}


def test_an_unhealthy_task_takes_its_group_with_it() -> None:
    world = World().registered()
    definition = health(grace_period_seconds=0.0, consecutive_failures=1)
    world.run_group(
        task("a", command={"value": "sleep 600"}, health_check=definition),
        task("b", command={"value": "sleep 600"}),
        on=pod(),
    )
    first, second = (order.container_id for order in world.outputs(StartContainer))
    for container_id in (first, second):
        world.starts(container_id)
    world.pass_time(1.0)
    conclude(world, BAD)
    assert [order.container_id for order in world.outputs(SignalContainer)] == [first]
    world.exits(first, 15)
    assert [order.container_id for order in world.outputs(SignalContainer)] == [first, second]
    world.exits(second, 15)
    for name in ("a", "a", "a", "a", "b", "b", "b"):
        world.acknowledge(name)
    ends = {u.status["task_id"]["value"]: u.status for u in world.updates() if u.status["state"] == "TASK_KILLED"}
    assert {name: status.get("healthy") for name, status in ends.items()} == {"a": False, "b": False}


def test_a_result_that_comes_after_the_end_is_of_no_interest() -> None:
    world = World().registered()
    container_id = running(world, health_check=health())
    world.pass_time(1.0)
    world.exits(container_id, 0)
    before = len(world.seen)
    conclude(world, OK)
    assert len(world.seen) == before
