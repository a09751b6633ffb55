"""Master addresses as operators write them, whom they make us trust, and the leader in ZooKeeper."""

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kazoo.exceptions import ConnectionLoss, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from headgate.adapters.mesos_detection import ListedMasters, listed_masters
from headgate.adapters.mesos_detection_zk import ANSWER_S, ZkMasters, leader_first, parse_zk_url, zk_masters
from headgate.errors import StartFailed


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("m1", ["http://m1:5050"]),
        ("m1:5051", ["http://m1:5051"]),
        ("http://m1,m2:1 , https://m3:5050", ["http://m1:5050", "http://m2:1", "https://m3:5050"]),
        ("https://dcos.example/mesos/", ["https://dcos.example:443/mesos"]),
        ("http://dcos.example/mesos", ["http://dcos.example:80/mesos"]),
        ("http://m1/", ["http://m1:5050"]),
        ("[::1]:5050,http://[fe80::1]", ["http://[::1]:5050", "http://[fe80::1]:5050"]),
        ("M1.Example:5050", ["http://m1.example:5050"]),
    ],
)
def test_lists_of_masters(text: str, urls: list[str]) -> None:
    """In the order given, again and again."""
    masters = listed_masters(text)
    assert [masters.next() for _ in urls * 2] == urls * 2


@pytest.mark.parametrize(
    "text", ["", "m1,,m2", "ftp://m1", "http://", "m1:port", "m1:99999", "http://m1/?x=1", "zk://h/p"]
)
def test_addresses_that_are_none(text: str) -> None:
    """Say which one and what was expected."""
    with pytest.raises(StartFailed, match="is no master address: expected host:port"):
        listed_masters(text)


def test_a_password_in_an_address_is_not_repeated() -> None:
    """It is refused without being shown, because addresses are logged."""
    with pytest.raises(StartFailed, match="principal and secret") as raised:
        listed_masters("http://user:sesame@m1:5050")
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://127.0.0.1:5050/master/api/v1/scheduler", True),
        ("http://127.0.0.1:5050", True),
        ("http://127.0.0.1:5051/", False),
        ("https://127.0.0.1:5050/", False),
        ("http://127.0.0.2:5050/", False),
        ("http://localhost:5050/", True),
        ("http://localhost:5051/", False),
        ("https://dcos.invalid/mesos/api", True),
        ("https://dcos.invalid:443/", True),
        ("http://dcos.invalid:443/", False),
        ("http://no-such-host.invalid:5050/", False),
    ],
)
def test_who_is_trusted(url: str, trusted: bool) -> None:
    """Scheme, host and port of a listed one; the host may go by another name of the same address."""
    assert ListedMasters(["http://127.0.0.1:5050", "https://dcos.invalid:443/mesos"]).trusts(url) is trusted


@pytest.mark.parametrize(
    ("text", "hosts", "path", "credentials"),
    [
        ("zk://a:2181,b:2181,c:2181/mesos", "a:2181,b:2181,c:2181", "/mesos", None),
        ("zk://a:2181", "a:2181", "/", None),
        ("zk://a:2181/", "a:2181", "/", None),
        ("zk://u:p%40ss@a:2181,b:2181/x/y/", "a:2181,b:2181", "/x/y", "u:p@ss"),
    ],
)
def test_zookeeper_urls(text: str, hosts: str, path: str, credentials: str | None) -> None:
    """As Mesos takes them."""
    location = parse_zk_url(text)
    assert (location.hosts, location.path, location.credentials) == (hosts, path, credentials)
    assert "p@ss" not in repr(location)
    assert "p%40ss" not in repr(location)


@pytest.mark.parametrize("text", ["a:2181/mesos", "zk:///mesos", "zk://user@a:2181/mesos", "http://a:2181/mesos"])
def test_what_is_no_zookeeper_url(text: str) -> None:
    """Says what one looks like."""
    with pytest.raises(StartFailed, match=r"zk://\[user:password@\]host:port"):
        parse_zk_url(text)


def test_a_password_for_zookeeper_is_not_logged() -> None:
    """The client's log begins above the level that shows requests."""
    masters = zk_masters(parse_zk_url("zk://u:sesame@127.0.0.1:1/mesos"))
    assert masters._client.logger.getEffectiveLevel() >= logging.INFO
    assert list(masters._client.auth_data) == [("digest", "u:sesame")]
    masters.close()


def test_the_smallest_number_leads() -> None:
    """Whatever the label and the order; what has no number is no master."""
    children = ["json.info_0000000010", "log_replicas", "info_0000000003", "json.info_0000000002", "0000000004", "x_y"]
    assert leader_first(children) == [
        "json.info_0000000002",
        "info_0000000003",
        "0000000004",
        "json.info_0000000010",
    ]
    assert leader_first(["log_replicas"]) == []


def info(hostname: str, ip: str, port: int = 5050) -> bytes:
    """What a master writes of itself."""
    return (
        b'{"address":{"hostname":"%b","ip":"%b","port":%d},"capabilities":[],"id":"x","ip":16777226,'
        b'"pid":"master@10.0.0.1:5050","version":"1.12.0"}' % (hostname.encode(), ip.encode(), port)
    )


class Answer:
    """A result of ZooKeeper, or an error."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, timeout: float) -> Any:
        assert timeout == ANSWER_S
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


class FakeZooKeeper:
    """The four methods of a client that detection uses."""

    def __init__(self, nodes: dict[str, Any]) -> None:
        self.nodes = nodes
        self.fails: Exception | None = None
        self.watches: list[Callable[[Any], None]] = []
        self.life: list[str] = []

    def start_async(self) -> threading.Event:
        self.life.append("start")
        return threading.Event()

    def stop(self) -> None:
        self.life.append("stop")

    def close(self) -> None:
        self.life.append("close")

    def get_children_async(self, path: str, watch: Callable[[Any], None]) -> Answer:
        assert path == "/mesos"
        self.watches.append(watch)
        return Answer(self.fails or list(self.nodes))

    def get_async(self, path: str) -> Answer:
        found = self.nodes[path.removeprefix("/mesos/")]
        return Answer(found if isinstance(found, Exception) else (found, None))


def test_the_leader_in_zookeeper() -> None:
    """By address, or by name where a certificate is checked; all who contend are trusted, by name and address."""
    nodes = {
        "json.info_0000000007": info("m2", "10.0.0.2", 5051),
        "log_replicas": b"",
        "json.info_0000000004": info("m1", "10.0.0.1"),
    }
    masters = ZkMasters(FakeZooKeeper(nodes), "/mesos")
    assert not masters.trusts("http://10.0.0.1:5050/")
    assert masters.next() == "http://10.0.0.1:5050"
    for url in ("http://10.0.0.1:5050/x", "http://m1:5050", "http://m2:5051", "http://10.0.0.2:5051"):
        assert masters.trusts(url)
    for url in ("http://10.0.0.2:5050", "https://m1:5050", "http://m3:5050"):
        assert not masters.trusts(url)
    assert ZkMasters(FakeZooKeeper(nodes), "/mesos", scheme="https").next() == "https://m1:5050"


def test_a_leader_without_a_name() -> None:
    """Or of the new kind of address."""
    nodes = {"json.info_1": b'{"address":{"ip":"::1","port":5050}}'}
    assert ZkMasters(FakeZooKeeper(nodes), "/mesos", scheme="https").next() == "https://[::1]:5050"


@pytest.mark.parametrize(
    "nodes",
    [
        {},
        {"log_replicas": b""},
        {"info_0000000001": b"\x0a\x03old", "json.info_0000000002": info("m", "10.0.0.1")},
        {"json.info_0000000001": b"{}"},
        {"json.info_0000000001": b"\xff"},
        {"json.info_0000000001": b'{"address":{"hostname":"\xff","port":5050}}'},
        {"json.info_0000000001": NoNodeError()},
        {"json.info_0000000001": KazooTimeoutError()},
    ],
)
def test_no_leader_to_be_found(nodes: dict[str, Any]) -> None:
    """None there, one we cannot read (which still leads, so no other is taken), or one that left as we looked."""
    assert ZkMasters(FakeZooKeeper(nodes), "/mesos").next() is None


@pytest.mark.parametrize("problem", [NoNodeError(), ConnectionLoss(), KazooTimeoutError("slow")])
def test_zookeeper_in_trouble(problem: Exception) -> None:
    """There is no leader until it answers; those known before stay trusted."""
    zookeeper = FakeZooKeeper({"json.info_0000000001": info("m", "10.0.0.1")})
    masters = ZkMasters(zookeeper, "/mesos")
    assert masters.next() is not None
    zookeeper.fails = problem
    assert masters.next() is None
    assert masters.trusts("http://10.0.0.1:5050")
    zookeeper.fails = None
    assert masters.next() == "http://10.0.0.1:5050"


def test_a_change_of_masters_is_told() -> None:
    """Each look leaves a watch, which calls; start and end are handed on."""
    zookeeper = FakeZooKeeper({})
    masters = ZkMasters(zookeeper, "/mesos")
    told: list[str] = []
    masters.start(lambda: told.append("changed"))
    masters.next()
    zookeeper.nodes["json.info_0000000001"] = info("m", "10.0.0.1")
    for watch in zookeeper.watches:
        watch(object())
    assert told == ["changed"]
    assert masters.next() == "http://10.0.0.1:5050"
    assert len(zookeeper.watches) == 2
    masters.close()
    assert zookeeper.life == ["start", "stop", "close"]
