"""What processes of one cluster say to each other: whatever goes in comes out."""

from typing import get_args

import pytest

from headgate.simulator import wire
from headgate.simulator.group import leading_node, parse_url
from headgate.simulator.master import Registry
from headgate.simulator.messages import (
    AgentRegistered,
    FromAgent,
    KillTask,
    Ping,
    Pong,
    RegisterAgent,
    ReregisterAgent,
    RunTask,
    RunTaskGroup,
    StatusUpdate,
    ToAgent,
)

A = "127.0.0.1:5051"
FROM_AGENTS: list[FromAgent] = [
    RegisterAgent(agent_info={"hostname": "h", "resources": [{"name": "cpus"}]}, address=A),
    ReregisterAgent(agent_info={}, address=A, tasks=({"a": 1},), executors=(), frameworks=({}, {})),
    StatusUpdate(agent_id="s", framework_id="f", status={"x": "ü"}, latest_state="TASK_RUNNING", timestamp_added=True),
    Pong(agent_id="s"),
]
TO_AGENTS: list[ToAgent] = [
    AgentRegistered(agent_id="s", reconcile_tasks=({"task_id": {"value": "t"}},), total_ping_timeout_s=3.0),
    Ping(connected=False),
    RunTask(framework={"id": {"value": "f"}}, task={}, executor=None, launch_executor=None),
    RunTaskGroup(framework={}, executor={}, tasks=({}, {"b": [1.5]})),
    KillTask(framework_id="f", task_id="t", kill_policy={"grace_period": {"nanoseconds": 1}}),
]


@pytest.mark.parametrize("message", FROM_AGENTS)
def test_what_agents_say(message: FromAgent) -> None:
    line = wire.encoded(A, message)
    assert line.count(b"\n") == 1
    assert wire.from_agent(line) == (A, message)


@pytest.mark.parametrize("message", TO_AGENTS)
def test_what_masters_say(message: ToAgent) -> None:
    assert wire.to_agent(wire.encoded(A, message)) == (A, message)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"GET / HTTP/1.1",
        b"{}",
        b'{"address":"a","kind":"Ping","body":{"connected":true}}',
        b'{"address":"a","kind":"Pong","body":{}}',
        b'{"address":1,"kind":"Pong","body":{"agent_id":"s"}}',
    ],
)
def test_what_no_agent_says(line: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        wire.from_agent(line)


def test_every_message_has_a_name_of_its_own() -> None:
    names = [kind.__name__ for kind in (*get_args(FromAgent), *get_args(ToAgent))]
    assert len(set(names)) == len(names)


def test_a_registry() -> None:
    registry = Registry(
        agents={"s": {"hostname": "h"}},
        unreachable={"u": 1.5},
        draining={"d": {"config": {"mark_gone": True}, "state": "DRAINING"}},
        deactivated=frozenset({"d"}),
        schedule=({"windows": []},),
        machines_down=frozenset({("h", "127.0.0.1")}),
        quotas={"web": {"role": "web", "limits": {"cpus": {"value": 1.0}}}},
        weights={"web": 2.0},
    )
    assert wire.unpack_registry(wire.pack_registry(registry)) == registry


@pytest.mark.parametrize("data", [b"", b"{}", wire.zlib.compress(b"[]")])
def test_what_is_no_registry(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        wire.unpack_registry(data)


@pytest.mark.parametrize(
    ("children", "node"),
    [
        ([], None),
        (["log_replicas", "registry"], None),
        (["json.info_0000000010", "json.info_0000000009", "log_replicas"], "json.info_0000000009"),
        (["info_0000000001", "json.info_0000000002"], "info_0000000001"),
        (["0000000003", "json.info_0000000004"], "0000000003"),
    ],
)
def test_the_smallest_number_leads(children: list[str], node: str | None) -> None:
    assert leading_node(children) == node


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("zk://a:1,b:2/mesos", ("a:1,b:2", "/mesos", None)),
        ("zk://u:p%40w@a:1/", ("a:1", "/", "u:p@w")),
        ("zk://a", ("a", "/", None)),
    ],
)
def test_urls(url: str, parts: tuple[str, str, str | None]) -> None:
    assert parse_url(url) == parts


@pytest.mark.parametrize("url", ["", "a:1/mesos", "http://a/mesos", "zk://", "zk://user@a:1/x"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="not a ZooKeeper URL"):
        parse_url(url)
