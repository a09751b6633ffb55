"""The leading Mesos master found in a real ZooKeeper: smallest number, changes told at once, credentials, outages.

What masters write is described in Mesos, `src/zookeeper/group.cpp` and `src/master/contender/zookeeper.cpp`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl, make_digest_acl
from serving import until
from zookeeper_server import ZooKeepers, require_zookeeper

from headgate.adapters.mesos_detection_zk import ZkMasters, parse_zk_url, zk_masters

pytestmark = pytest.mark.integration


class Contenders:
    """Masters at one path, each with a session of its own."""

    def __init__(self, hosts: str, undo: ExitStack, credentials: str | None = None) -> None:
        self.path = f"/mesos-{uuid4().hex}"
        self._hosts = hosts
        self._undo = undo
        self._auth = {}
        if credentials is not None:
            acl = [make_digest_acl(*credentials.split(":"), all=True), make_acl("world", "anyone", read=True)]
            self._auth = {"auth_data": [("digest", credentials)], "default_acl": acl}

    def add(self, port: int, node: str = "json.info_") -> KazooClient:
        """One more master; stopping its session is its end."""
        client = KazooClient(hosts=self._hosts, timeout=2.0, **self._auth)
        client.start()
        self._undo.callback(client.close)
        self._undo.callback(client.stop)
        info = {
            "address": {"hostname": "localhost", "ip": "127.0.0.1", "port": port},
            "pid": f"master@127.0.0.1:{port}",
        }
        client.create(
            f"{self.path}/{node}", json.dumps(info).encode(), ephemeral=True, sequence=node.endswith("_"), makepath=True
        )
        return client

    def masters(self, credentials: str = "") -> tuple[ZkMasters, threading.Event]:
        """What looks for them, and an event that is set at changes."""
        found = zk_masters(parse_zk_url(f"zk://{credentials}{self._hosts}{self.path}"))
        self._undo.callback(found.close)
        changed = threading.Event()
        found.start(changed.set)
        return found, changed


@pytest.fixture
def contend(zookeeper: ZooKeepers) -> Iterator[Callable[..., Contenders]]:
    with ExitStack() as undo:
        yield lambda credentials=None: Contenders(zookeeper.hosts, undo, credentials)


def test_the_smallest_number_leads_and_its_end_is_told(contend: Callable[..., Contenders]) -> None:
    """The order of listing means nothing, nor do nodes that are no masters; all who contend are trusted."""
    group = contend()
    first = group.add(5051)
    group.add(0, node="log_replicas")
    group.add(5052)
    group.add(5053)
    masters, changed = group.masters()
    assert until(masters.next, "a leader") == "http://127.0.0.1:5051"
    assert masters.trusts("http://127.0.0.1:5053/master")
    assert masters.trusts("http://localhost:5052")
    assert not masters.trusts("http://127.0.0.1:5054")
    changed.clear()
    first.stop()
    assert changed.wait(30)
    until(lambda: masters.next() == "http://127.0.0.1:5052", "the next leader")
    assert not masters.trusts("http://127.0.0.1:5051")


def test_a_group_that_is_not_there_yet_has_no_leader_until_it_has(contend: Callable[..., Contenders]) -> None:
    group = contend()
    masters, _ = group.masters()
    assert masters.next() is None
    group.add(5051)
    assert until(masters.next, "the first master of all") == "http://127.0.0.1:5051"


def test_a_guarded_group_is_read_with_and_without_credentials(contend: Callable[..., Contenders]) -> None:
    """Masters with credentials let everybody read."""
    group = contend("mesos:s3cret")
    group.add(5051)
    for credentials in ("", "mesos:s3cret@"):
        masters, _ = group.masters(credentials)
        assert until(masters.next, "a leader") == "http://127.0.0.1:5051"


def test_while_zookeeper_is_away_no_master_is_known_and_then_it_is(tmp_path: Path) -> None:
    """An attempt answers within seconds all the same."""
    require_zookeeper()
    with ZooKeepers(tmp_path) as own, ExitStack() as undo:
        group = Contenders(own.hosts, undo)
        group.add(5051)
        masters, _ = group.masters()
        assert until(masters.next, "a leader") == "http://127.0.0.1:5051"
        own.kill()
        assert masters.next() is None
        own.start()
        group.add(5052)
        assert until(masters.next, "a leader again") in ("http://127.0.0.1:5051", "http://127.0.0.1:5052")
