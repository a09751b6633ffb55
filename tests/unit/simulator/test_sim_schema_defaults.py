"""Output as Mesos writes it."""

import pytest

from headgate.simulator.schema import with_defaults


@pytest.mark.parametrize(
    ("message", "value", "written"),
    [
        (
            "FrameworkInfo",
            {"user": "u", "name": "n"},
            {"user": "u", "name": "n", "failover_timeout": 0.0, "checkpoint": False},
        ),
        ("CommandInfo", {"uris": [{"value": "x"}]}, {"uris": [{"value": "x", "extract": True}], "shell": True}),
        ("CommandInfo", {"shell": False, "arguments": []}, {"shell": False}),
        ("Filters", {}, {"refuse_seconds": 5.0}),
        ("AgentInfo", {"hostname": "h"}, {"hostname": "h", "port": 5051}),
        (
            "HealthCheck",
            {"http": {"port": 1}},
            {
                "delay_seconds": 15.0,
                "interval_seconds": 10.0,
                "timeout_seconds": 20.0,
                "consecutive_failures": 3,
                "grace_period_seconds": 10.0,
                "http": {"protocol": "IPv4", "port": 1},
            },
        ),
        (
            "CheckInfo",
            {"type": "TCP"},
            {"type": "TCP", "delay_seconds": 15.0, "interval_seconds": 10.0, "timeout_seconds": 20.0},
        ),
        (
            "Environment",
            {"variables": [{"name": "A", "value": "1"}]},
            {"variables": [{"name": "A", "type": "VALUE", "value": "1"}]},
        ),
        (
            "ContainerInfo",
            {"type": "DOCKER", "docker": {"image": "i"}},
            {"type": "DOCKER", "docker": {"image": "i", "network": "HOST", "privileged": False}},
        ),
        ("LinuxInfo", {}, {"share_cgroups": True}),
        ("Image", {"type": "DOCKER"}, {"type": "DOCKER", "cached": True}),
        ("DrainConfig", {}, {"mark_gone": False}),
        (
            "NetworkInfo",
            {"ip_addresses": [{"ip_address": "1.2.3.4"}]},
            {"ip_addresses": [{"protocol": "IPv4", "ip_address": "1.2.3.4"}]},
        ),
        # deprecated ones only when really set
        (
            "Resource",
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}},
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 1.0}},
        ),
        ("Resource", {"name": "cpus", "type": "SCALAR", "role": "*"}, {"name": "cpus", "type": "SCALAR", "role": "*"}),
        # empty lists, empty maps and None go; empty messages stay; unknown fields stay
        (
            "TaskInfo",
            {"resources": [], "limits": {}, "kill_policy": None, "labels": {}, "x": 1},
            {"labels": {}, "x": 1},
        ),
        ("TaskInfo", {"limits": {"cpus": {"value": 2}}}, {"limits": {"cpus": {"value": 2.0}}}),
        ("scheduler.Event", {"type": "HEARTBEAT"}, {"type": "HEARTBEAT"}),
        (
            "executor.Event",
            {"type": "LAUNCH", "launch": {"task": {"command": {}}}},
            {"type": "LAUNCH", "launch": {"task": {"command": {"shell": True}}}},
        ),
    ],
)
def test_what_is_written(message: str, value: dict[str, object], written: dict[str, object]) -> None:
    """Defaults are added at every depth, and only where Mesos adds them."""
    found = with_defaults(message, value)
    assert repr(_sorted(found)) == repr(_sorted(written))


def _sorted(value: object) -> object:
    """Equal up to the order of keys, but 1 is not 1.0."""
    if isinstance(value, dict):
        return sorted((key, _sorted(item)) for key, item in value.items())
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def test_order_is_that_of_the_declaration() -> None:
    """Mesos writes fields in the order in which its files declare them."""
    value = {"extra": 1, "name": "n", "checkpoint": True, "user": "u"}
    assert list(with_defaults("FrameworkInfo", value)) == ["user", "name", "failover_timeout", "checkpoint", "extra"]


def test_the_argument_is_left_alone() -> None:
    """A model's own data must not change when an event is written."""
    value = {"command": {"value": "x"}}
    with_defaults("TaskInfo", value)
    assert value == {"command": {"value": "x"}}


def test_the_operators_large_answers_keep_their_empty_lists() -> None:
    """GET_AGENTS and its like are written by hand in Mesos: a list that is there is written, empty or not."""
    answer = {"type": "GET_STATE", "get_state": {"get_agents": {"agents": [], "recovered_agents": []}}}
    assert with_defaults("master.Response", answer) == answer
    assert with_defaults("master.Response.GetRoles", {"roles": []}) == {}
