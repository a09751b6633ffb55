"""Three schedulers, three ZooKeepers, a running job: whoever dies or is cut off, the job goes on as the same framework.

What others went through: marathon #1553, #4085 (a scheduler that led before, and leads again, believed what it had in
memory); marathon #1043 (a hiccup of ZooKeeper left no leader); flink FLINK-9936 (events before the lead was granted
were lost); marathon #2224, #18 (a new framework id, and tasks nobody owns); spark SPARK-27347 (two schedulers at once).
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from kazoo.client import KazooClient
from serving import Serving, headgate, until, write_job, written
from zookeeper_server import ZooKeepers, require_zookeeper

from headgate.adapters.clock import SystemClock
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

SESSION_S = 4.0
THIRTY = sorted([*range(10)] * 3)


class House:
    """Everything that runs, and what it looks like from outside."""

    def __init__(self, folder: Path, zookeepers: ZooKeepers, cluster: EmbeddedCluster) -> None:
        self.folder = folder
        self.zookeepers = zookeepers
        self.cluster = cluster
        self.servings: list[Serving] = []
        self.job = write_job(folder / "job")
        text = self.job.read_text().replace("interval: 500ms", f"interval: 500ms, store: {folder / 'checkpoints'}")
        self.job.write_text(text)

    def serve(self) -> Serving:
        """Start one more scheduler."""
        hosts = self.zookeepers.hosts
        self.servings.append(
            Serving(
                "--master", f"zk://{hosts}/mesos", "--store", f"zk://{hosts}/headgate",
                "--zk-session-timeout", f"{SESSION_S:g}s", "--listen", "127.0.0.1:0", "--worker-python", sys.executable,
                "--data-dir", str(self.folder / f"state-{len(self.servings)}"),
            )
        )  # fmt: skip
        return self.servings[-1]

    def leading(self, *, but: Serving | None = None) -> Serving | None:
        """Who says of itself that it leads and is ready; nobody, or one."""
        found = [each for each in self.servings if each is not but and self.health(each).get("ready")]
        assert len(found) < 2, [each.api() for each in found]
        return found[0] if found else None

    def health(self, serving: Serving) -> dict[str, Any]:
        """What it says of itself; nothing if it is dead or stopped."""
        try:
            found: dict[str, Any] = requests.get(f"{serving.api()}/health", timeout=2).json()
        except (requests.RequestException, AssertionError):
            return {}
        return found

    def view(self, serving: Serving) -> dict[str, Any]:
        """All that the leader shows, asked for at any scheduler, once that one knows of the leader."""

        def look() -> dict[str, Any] | None:
            answer = requests.get(f"{serving.api()}/v1/view", timeout=10)
            assert answer.status_code in (200, 503), answer.text
            return answer.json() if answer.status_code == 200 else None

        found: dict[str, Any] = until(look, "the leader's view")
        return found

    def run_job(self, at: Serving) -> dict[str, Any]:
        """Submit the job at one of them; the view once all is at work."""
        headgate("submit", self.job, "--api", at.api())
        headgate("scale", "numbers", "2", "--api", at.api())
        until(lambda: self.view(at)["jobs"][0]["workers_ready"] == 2, "two workers")
        until(lambda: written(self.job) == THIRTY, "the first rows")
        return self.view(at)

    def add(self, number: int) -> None:
        """One more record for the job."""
        with (self.job.parent / "in" / "0.jsonl").open("a") as more:
            more.write(f'{{"n": {number}}}\n')

    def await_row(self, number: int) -> None:
        """Until the job has worked on it."""
        until(lambda: number in written(self.job), f"row {number}")


def identity(view: dict[str, Any]) -> tuple[str, list[tuple[str, int]]]:
    """What must not change: the framework, the tasks, how often anything was restarted."""
    (job,) = view["jobs"]
    return view["master"]["framework_id"], [*((each["task_id"], job["restarts"]) for each in job["workers"])]


def subscriptions(serving: Serving) -> int:
    """How often it has subscribed at a master."""
    return len(re.findall(": subscribed to Mesos master", "".join(serving.lines)))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    require_zookeeper()
    agents = [AgentSpec(resources="cpus:4;mem:4096;disk:10000;ports:[31000-31099]", hostname="agent-1")]
    with (
        ZooKeepers(tmp_path, size=3) as zookeepers,
        EmbeddedCluster(agents=agents, work_dir=tmp_path / "cluster") as cluster,
    ):
        master = KazooClient(hosts=zookeepers.hosts, connection_retry={"max_tries": -1, "max_delay": 1.0}, timeout=10.0)
        master.start()
        announce_master(master, cluster.address)
        running = House(tmp_path, zookeepers, cluster)
        try:
            yield running
        finally:
            for each in running.servings:
                each.close()
            master.stop()
            master.close()


def announce_master(session: KazooClient, address: str) -> None:
    """What a master that contends writes; a node beside it that is none leads nobody astray."""
    host, _, port = address.partition(":")
    info = {
        "address": {"hostname": host, "ip": host, "port": int(port)},
        "hostname": host,
        "id": "m",
        "port": int(port),
    }
    session.ensure_path("/mesos/log_replicas")
    session.create("/mesos/json.info_", json.dumps(info).encode(), ephemeral=True, sequence=True)


def test_a_killed_leader_is_followed_within_its_session_and_nothing_restarts(house: House) -> None:
    """Same framework, same tasks; every scheduler answers the API all the while."""
    for _ in range(3):
        house.serve()
    leader = until(house.leading, "a leader")
    standbys = [each for each in house.servings if each is not leader]
    for each in standbys:
        found = until(lambda each=each: house.health(each), "health of a standby")
        assert (found["leads"], found["ready"], found["leader"]) == (False, False, leader.api())
        assert requests.get(f"{each.api()}/ready", timeout=10).status_code == 503
        assert "headgate_leader 0.0" in requests.get(f"{each.api()}/metrics", timeout=10).text

    before = house.run_job(standbys[0])
    answer = requests.get(f"{standbys[1].api()}/v1/jobs", timeout=10)
    assert answer.headers["headgate-leader"] == leader.api()
    containers = {each.executor_id for each in house.cluster.containers()}
    assert "there is no job nothing" in headgate("explain", "nothing", "--api", standbys[0].api(), code=2)

    killed_at = SystemClock().monotonic()
    leader.end(signal.SIGKILL)
    house.add(77)
    told = requests.get(f"{standbys[0].api()}/v1/jobs", timeout=10)
    assert told.status_code == 503
    assert "does not answer; another is elected within seconds" in told.json()["error"]
    follower = until(lambda: next((each for each in standbys if house.health(each).get("leads")), None), "a new leader")
    print(f"led again after {SystemClock().monotonic() - killed_at:.1f} s with sessions of {SESSION_S:g} s")
    until(house.leading, "a leader that is sure of its tasks")
    house.await_row(77)

    other = next(each for each in standbys if each is not follower)
    assert identity(house.view(other)) == identity(before)
    assert {each.executor_id for each in house.cluster.containers()} == containers
    sha256 = house.view(other)["jobs"][0]["spec"]["program"]["sha256"]
    for each in standbys:
        assert requests.get(f"{each.api()}/v1/bundles/{sha256}.zip", timeout=10).status_code == 200
    assert "numbers is being stopped" in headgate("cancel", "numbers", "--api", other.api())
    until(lambda: not house.cluster.containers(), "no container")

    # A leader that ends on purpose lets go at once, and nobody waits for its session.
    assert follower.end(signal.SIGTERM) == 0
    assert until(lambda: house.health(other).get("leads"), "the last one leads")


def test_a_leader_that_was_stopped_for_too_long_does_nothing_any_more(house: House) -> None:
    """It wakes up amid whatever it did, with a session, a stream and a queue of the past."""
    house.serve()
    house.serve()
    leader = until(house.leading, "a leader")
    before = house.run_job(leader)
    leader.process.send_signal(signal.SIGSTOP)
    follower = until(lambda: house.leading(but=leader), "another leader")
    house.add(77)
    house.await_row(77)
    assert subscriptions(leader) == 1
    leader.process.send_signal(signal.SIGCONT)
    until(lambda: house.health(leader).get("leader") == follower.api(), "the old leader standing by")
    house.add(88)
    house.await_row(88)
    assert identity(house.view(leader)) == identity(before)
    assert subscriptions(leader) == 1
    assert house.leading() is follower
    assert subscriptions(follower) == 1, "nobody took the framework from it"

    # Leading again, it believes nothing of what it knew then.
    headgate("scale", "numbers", "1", "--api", leader.api())
    until(lambda: len(house.view(leader)["jobs"][0]["workers"]) == 1, "one worker")
    follower.end(signal.SIGKILL)
    until(lambda: house.leading() is leader, "the old leader leading anew")
    assert house.view(leader)["jobs"][0]["workers_wished"] == 1
    house.add(99)
    house.await_row(99)


def test_zookeepers_that_die_stop_no_job_and_leave_a_leader(house: House) -> None:
    """One: nothing happens.  All: nobody acts, tasks run on; when they are back, one leads, with what there was."""
    house.serve()
    house.serve()
    leader = until(house.leading, "a leader")
    before = house.run_job(leader)
    gone = house.zookeepers.leader
    gone.kill()
    house.add(77)
    house.await_row(77)
    until(house.leading, "a leader, with two of three ZooKeepers")
    assert identity(house.view(house.servings[0])) == identity(before)

    house.zookeepers.kill()
    until(lambda: not any(house.health(each).get("leads") for each in house.servings), "nobody leads")
    for each in house.servings:
        assert "no scheduler leads now" in headgate("list", "--api", each.api(), code=3)
    house.add(88)
    house.await_row(88)
    assert house.cluster.containers()

    house.zookeepers.start()
    until(house.leading, "a leader again")
    for each in house.servings:
        assert identity(house.view(each)) == identity(before)
    assert "1 workers from now on" in headgate("scale", "numbers", "1", "--api", house.servings[0].api())
    house.add(99)
    house.await_row(99)
