"""Several simulated masters in a real ZooKeeper: who leads, what the others say, and what outlives a leader."""

import json
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import requests
from kazoo.client import KazooClient
from plain_framework import PATIENCE, Framework, task
from zookeeper_server import ZooKeepers

from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.master import MasterSettings

pytestmark = pytest.mark.integration

SESSION_S = 2.0
SESSION = f"--zk-session-timeout={SESSION_S}"


@pytest.fixture
def url(zookeeper: ZooKeepers) -> str:
    return f"zk://{zookeeper.hosts}/mesos-{uuid.uuid4().hex[:8]}"


class Process:
    """`python -m headgate.simulator` until it is killed."""

    def __init__(self, url: str, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headgate.simulator", "--port=0", f"--zk={url}", *more, SESSION],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://(\S+)", line)
        assert found, f"it did not start: {line!r}"
        self.address = found[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def start(url: str) -> Iterator[Callable[..., Process]]:
    with ExitStack() as stack:

        def begin(*more: str) -> Process:
            process = Process(url, *more)
            stack.callback(process.kill)
            return process

        yield begin


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until something is so."""
    pause = threading.Event()
    until = time.perf_counter() + PATIENCE
    while not (found := condition()):
        assert time.perf_counter() < until, "it never came to be"
        pause.wait(0.05)
    return found


def answer(address: str, path: str = "/state") -> requests.Response | None:
    """What a master says, redirects not followed; None if nobody answers."""
    with suppress(requests.ConnectionError):
        return requests.get(f"http://{address}{path}", allow_redirects=False, timeout=PATIENCE)
    return None


def status(address: str, path: str = "/state") -> int:
    found = answer(address, path)
    return 0 if found is None else found.status_code


def leads(address: str) -> bool:
    return status(address) == 200


def agents_of(address: str) -> list[str]:
    found = answer(address, "/slaves")
    return [] if found is None or found.status_code != 200 else [item["id"] for item in found.json()["slaves"]]


def test_the_first_leads_and_the_other_sends_everybody_there(
    start: Callable[..., Process], url: str, zookeeper: ZooKeepers
) -> None:
    first = start()
    eventually(lambda: leads(first.address))
    second = start()
    eventually(lambda: status(second.address) == 307)
    port = first.address.rpartition(":")[2]
    for path, location in (
        ("/state?a=b", f"//localhost:{port}/master/state?a=b"),
        ("/api/v1/scheduler", f"//localhost:{port}/master/api/v1/scheduler"),
        ("/redirect", f"//localhost:{port}"),
    ):
        found = answer(second.address, path)
        assert found is not None
        assert (found.status_code, found.headers["Location"]) == (307, location)
    assert status(second.address, "/health") == 200
    elected = [answer(each.address, "/metrics/snapshot") for each in (first, second)]
    assert [each and each.json()["master/elected"] for each in elected] == [1.0, 0.0]

    client = KazooClient(hosts=zookeeper.hosts)
    client.start()
    try:
        path = url.rpartition("/")[2]
        nodes = sorted(name for name in client.get_children(path) if name.startswith("json.info_"))
        assert [re.fullmatch(r"json\.info_\d{10}", name) is not None for name in nodes] == [True, True]
        info = json.loads(client.get(f"{path}/{nodes[0]}")[0])
        assert info["address"] == {"hostname": "localhost", "ip": "127.0.0.1", "port": int(port)}
        assert (info["pid"], info["ip"]) == (f"master@127.0.0.1:{port}", 16777343)
    finally:
        client.stop()
        client.close()


def test_a_dead_leader_is_followed_by_another_that_knows_agents_frameworks_and_tasks(
    start: Callable[..., Process],
) -> None:
    first, second = start(), start()
    eventually(lambda: leads(first.address) or leads(second.address))
    leader, other = (first, second) if leads(first.address) else (second, first)
    agents = start("--no-master", "--agent", "cpus:1;mem:256;ports:[1000-1001]")
    (agent_id,) = eventually(lambda: agents_of(leader.address))
    framework = Framework(leader.address, checkpoint=True, capabilities=[{"type": "PARTITION_AWARE"}])
    framework.subscribe()
    framework.launch(framework.offer(), task("t", "sleep 600"))
    while framework.status()["state"] != "TASK_RUNNING":
        pass
    name = leader.address.replace("127.0.0.1", "localhost")
    leader.kill()
    framework.close()
    said: set[tuple[int, str]] = set()

    def other_leads() -> bool:
        found = answer(other.address)
        assert found is not None
        said.add((found.status_code, found.headers.get("Location", "")))
        return found.status_code == 200

    eventually(other_leads)
    assert (307, f"//{name}/master/state") in said, "until its session ends, the dead one counts as the leader"
    framework.address, framework.url = other.address, f"http://{other.address}/api/v1/scheduler"
    framework.subscribe()
    assert framework.offer()["agent_id"] == {"value": agent_id}
    framework.call("RECONCILE", {"tasks": [{"task_id": {"value": "t"}, "agent_id": {"value": agent_id}}]})
    told = framework.status()
    assert (told["state"], told["reason"]) == ("TASK_RUNNING", "REASON_RECONCILIATION")
    agents.kill()
    assert framework.next("RESCIND")
    framework.close()


def test_an_agent_that_does_not_come_back_to_the_new_leader_becomes_unreachable(url: str) -> None:
    settings = MasterSettings(agent_reregister_timeout=3.0)
    masters = [
        EmbeddedCluster((), zookeeper=url, master_settings=settings, seed=seed, zookeeper_session_timeout_s=SESSION_S)
        for seed in (1, 2)
    ]
    with ExitStack() as stack:
        for master in masters:
            stack.enter_context(master)
        lost = stack.enter_context(EmbeddedCluster([AgentSpec()], zookeeper=url, contends=False))
        kept = stack.enter_context(EmbeddedCluster([AgentSpec()], zookeeper=url, contends=False))
        eventually(lambda: any(len(agents_of(master.address)) == 2 for master in masters))
        (gone,) = [agent.id for agent in lost.agents]
        (leader,) = [master for master in masters if leads(master.address)]
        (other,) = [master for master in masters if master is not leader]
        lost.pause_agent("A")
        leader.stop()
        eventually(lambda: leads(other.address))
        eventually(lambda: agents_of(other.address) == [kept.agents[0].id])
        framework = Framework(other.address)
        framework.subscribe()
        assert framework.next("FAILURE") == {"agent_id": {"value": gone}}
        framework.close()


def test_a_master_that_is_restarted_is_another_one_and_leaves_the_lead(url: str) -> None:
    with (
        EmbeddedCluster((), zookeeper=url) as first,
        EmbeddedCluster((), zookeeper=url) as second,
    ):
        eventually(lambda: leads(first.address) or leads(second.address))
        leader, other = (first, second) if leads(first.address) else (second, first)
        before = eventually(lambda: answer(leader.address)).json()["id"]
        leader.restart_master()
        eventually(lambda: leads(other.address))
        eventually(lambda: status(leader.address) == 307)
        other.restart_master()
        eventually(lambda: leads(leader.address))
        assert eventually(lambda: answer(leader.address)).json()["id"] != before


def test_without_a_zookeeper_it_says_so() -> None:
    with pytest.raises(ValueError, match=r"zk://"):
        EmbeddedCluster((), zookeeper="http://nowhere").start()
    with pytest.raises(ValueError, match="agents need a master"):
        EmbeddedCluster(contends=False)


def test_a_master_ends_when_zookeeper_does(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Streams break, nobody leads; when it is back, somebody does again, with what was known before."""
    with ZooKeepers(tmp_path_factory.mktemp("zookeeper")) as own:
        cluster = EmbeddedCluster(zookeeper=f"zk://{own.hosts}/mesos", zookeeper_session_timeout_s=SESSION_S)
        with cluster:
            (agent_id,) = eventually(lambda: agents_of(cluster.address))
            framework = Framework(cluster.address)
            framework.subscribe()
            own.kill()
            assert framework.next("END") == {}
            eventually(lambda: status(cluster.address) == 503)
            own.start()
            eventually(lambda: agents_of(cluster.address) == [agent_id])
            framework.close()
