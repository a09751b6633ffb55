"""The embedded cluster with a small framework of its own: tasks, faults, restarts, and how it starts and stops."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from plain_framework import PATIENCE, SMALL, Framework, task

from headgate.simulator.control import listening, obey
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster
from headgate.simulator.master import MasterSettings
from headgate.simulator.server.checks import Authentication
from headgate.simulator.server.listener import PortTaken

pytestmark = pytest.mark.integration


def eventually(true: Callable[[], bool]) -> None:
    """Wait for a condition, not for long."""
    deadline = time.perf_counter() + PATIENCE
    while not true():
        assert time.perf_counter() < deadline, "it never came to this"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    """One agent; pings are quick, so that a lost agent is soon unreachable."""
    settings = MasterSettings(agent_ping_timeout=0.5, max_agent_ping_timeouts=3)
    with EmbeddedCluster([AgentSpec(attributes="rack:r1")], master_settings=settings) as running:
        yield running


@pytest.fixture
def framework(cluster: EmbeddedCluster) -> Iterator[Framework]:
    """A framework that checkpoints."""
    client = Framework(cluster.address, checkpoint=True, capabilities=[{"type": "PARTITION_AWARE"}])
    client.subscribe()
    yield client
    client.close()


def test_a_task_from_offer_to_end(cluster: EmbeddedCluster, framework: Framework) -> None:
    """A command runs as a real process in its sandbox, and its end is reported."""
    offer = framework.offer()
    assert offer["attributes"] == [{"name": "rack", "type": "TEXT", "text": {"value": "r1"}}]
    framework.launch(offer, task("t1", "echo here >made; sleep 600"))
    framework.until_state("TASK_RUNNING")
    [container] = cluster.containers()
    assert (container.agent, container.executor_id) == ("A", "t1")
    assert container.pid is not None
    eventually((container.sandbox / "made").exists)
    [agent] = cluster.agents
    assert agent.id == offer["agent_id"]["value"]
    assert container.sandbox.is_relative_to(agent.work_dir)
    assert framework.call("KILL", {"task_id": {"value": "t1"}}).status_code == 202
    assert framework.until_state("TASK_KILLED")["message"] == "Command terminated with signal Terminated"
    eventually(lambda: not cluster.containers())


def test_an_executor_killed_by_accident(cluster: EmbeddedCluster, framework: Framework) -> None:
    """`kill_executor` hits exactly the processes of that one."""
    framework.launch(framework.offer(), task("t1", "sleep 600"), task("t2", "sleep 600"))
    assert {framework.until_state("TASK_RUNNING")["task_id"]["value"] for _ in range(2)} == {"t1", "t2"}
    assert cluster.kill_executor("t1") == 1
    status = framework.until_state("TASK_FAILED")
    assert (status["task_id"]["value"], status["message"]) == ("t1", "Command terminated with signal Killed")
    assert cluster.kill_executor("nobody") == 0
    assert [container.executor_id for container in cluster.containers()] == ["t2"]


def test_a_paused_agent_becomes_unreachable_and_comes_back(cluster: EmbeddedCluster, framework: Framework) -> None:
    """The task lives on meanwhile; requests to the agent wait."""
    framework.launch(framework.offer(), task("t1", "sleep 600"))
    framework.until_state("TASK_RUNNING")
    cluster.pause_agent("A")
    assert framework.status()["state"] == "TASK_UNREACHABLE"
    with pytest.raises(requests.Timeout):
        requests.get(f"http://{cluster.agents[0].address}/health", timeout=0.3)
    cluster.resume_agent("A")
    assert framework.status()["reason"] == "REASON_AGENT_REREGISTERED"
    assert requests.get(f"http://{cluster.agents[0].address}/health", timeout=PATIENCE).status_code == 200


def test_a_killed_agent_starts_again_with_its_tasks(cluster: EmbeddedCluster, framework: Framework) -> None:
    """Its port is closed, its executors live; the successor has the same id, and learns of a task that ended."""
    framework.launch(
        framework.offer(), task("t1", "sleep 600"), task("t2", "until [ -e stop ]; do sleep 0.05; done; exit 3")
    )
    for _ in range(2):
        framework.until_state("TASK_RUNNING")
    before = cluster.agents[0]
    pids = {container.executor_id: container.pid for container in cluster.containers()}
    sandboxes = {container.executor_id: container.sandbox for container in cluster.containers()}
    cluster.kill_agent("A")
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{before.address}/health", timeout=PATIENCE)
    (sandboxes["t2"] / "stop").touch()
    eventually(lambda: not alive(pids["t2"] or 0))
    cluster.start_agent("A")
    cluster.start_agent("A")
    status = framework.until_state("TASK_FAILED")
    assert (status["task_id"]["value"], status["message"]) == ("t2", "Command exited with status 3")
    assert cluster.agents[0] == before
    assert alive(pids["t1"] or 0)


def test_a_reset_agent_is_a_new_one(cluster: EmbeddedCluster, framework: Framework) -> None:
    """Its containers and its disk are gone, its id is another."""
    framework.launch(framework.offer(), task("t1", "sleep 600"))
    framework.until_state("TASK_RUNNING")
    [container] = cluster.containers()
    before = cluster.agents[0]
    cluster.reset_agent("A")
    assert not container.sandbox.exists()
    assert not alive(container.pid or 0)
    eventually(lambda: cluster.agents[0].id not in (None, before.id))


def test_a_new_master_knows_the_agents(cluster: EmbeddedCluster, framework: Framework) -> None:
    """The stream breaks, the framework returns with its id, the task is still there."""
    framework.launch(framework.offer(), task("t1", "sleep 600"))
    framework.until_state("TASK_RUNNING")
    agent_id, old = cluster.agents[0].id, framework.info["id"]
    cluster.restart_master()
    with pytest.raises(AssertionError, match="the stream ended"):
        framework.next("NOTHING")
    framework.subscribe()
    assert framework.info["id"] == old
    assert framework.offer()["agent_id"]["value"] == agent_id
    framework.call("RECONCILE", {"tasks": [{"task_id": {"value": "t1"}}]})
    assert framework.status()["state"] == "TASK_RUNNING"


def test_a_missing_program_and_a_failed_fetch(framework: Framework) -> None:
    """What goes wrong before a task runs has Mesos's words."""
    missing = {"task_id": {"value": "t1"}, "command": {"shell": False, "value": "/no/such/program"}}
    framework.launch(framework.offer(), missing)
    assert framework.until_state("TASK_FAILED")["message"] == "Command exited with status 1"
    executor = {"type": "CUSTOM", "executor_id": {"value": "e"}, "command": missing["command"], "resources": SMALL}
    framework.launch(framework.offer(), {"task_id": {"value": "t3"}, "executor": executor})
    assert framework.next("FAILURE")["status"] == 256256
    unfetched = {"task_id": {"value": "t2"}, "command": {"value": "true", "uris": [{"value": "/no/such/file"}]}}
    framework.launch(framework.offer(), unfetched)
    status = framework.until_state("TASK_FAILED")
    assert status["reason"] == "REASON_CONTAINER_LAUNCH_FAILED"
    assert re.fullmatch(
        r"Failed to launch container: Failed to fetch all URIs for container '[-0-9a-f]{36}': exited with status 1",
        status["message"],
    )


def test_principals() -> None:
    """A framework without principal gets the authenticated one, and nobody else may speak for it."""
    secrets = {"p": "1", "q": "2"}
    with EmbeddedCluster(authentication=Authentication(secrets=secrets, frameworks=True)) as cluster:
        framework = Framework(cluster.address, auth=("p", "1"))
        framework.subscribe()
        framework.offer()
        framework.session.auth = ("q", "2")
        answer = framework.call("REVIVE")
        assert answer.status_code == 400
        assert answer.text == "Authenticated principal 'q' does not match principal 'p' set in `FrameworkInfo`"
        framework.session.auth = None
        assert framework.call("REVIVE").status_code == 401
        framework.close()


def test_a_follower_redirects() -> None:
    """Two masters of which one sends its clients to the other."""
    with EmbeddedCluster() as leader, EmbeddedCluster((), leader=leader.address) as follower:
        answer = requests.post(f"{follower.master_url}/api/v1/scheduler", allow_redirects=False, timeout=PATIENCE)
        assert (answer.status_code, answer.headers["Location"]) == (307, f"//{leader.address}/master/api/v1/scheduler")


# --- start and stop ----------------------------------------------------------------------------------------------


def test_a_port_in_use_is_named() -> None:
    """Whose it was to be, and nothing half started stays."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for cluster, whose in (
            (EmbeddedCluster(master_port=port), "the master"),
            (EmbeddedCluster([AgentSpec(port=port, name="x")]), "agent x"),
        ):
            threads = threading.active_count()
            with pytest.raises(PortTaken, match=f"port {port} of 127.0.0.1, wanted for {whose}, is in use"):
                cluster.start()
            assert threading.active_count() == threads
            cluster.stop()


def test_bad_agents_are_refused() -> None:
    """The text names the agent and quotes what is wrong."""
    with pytest.raises(ValueError, match=r"agent A: .*cpus"):
        EmbeddedCluster([AgentSpec(resources="cpus:many")]).start()
    with pytest.raises(ValueError, match="two agents have the same name: x"):
        EmbeddedCluster([AgentSpec(name="x"), AgentSpec(name="x")])
    with EmbeddedCluster() as cluster, pytest.raises(ValueError, match="there is no agent Z; there are A"):
        cluster.kill_agent("Z")


def test_life_of_the_work_directory(tmp_path: Path) -> None:
    """A temporary one goes with the cluster, one of the caller's stays; a cluster can be started again."""
    cluster = EmbeddedCluster()
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = cluster.address
    cluster.start()
    work_dir = cluster.agents[0].work_dir
    assert work_dir.is_dir()
    with pytest.raises(RuntimeError, match="runs already"):
        cluster.start()
    cluster.stop()
    cluster.stop()
    assert not work_dir.exists()
    with EmbeddedCluster(work_dir=tmp_path / "kept") as kept:
        assert kept.agents[0].work_dir == tmp_path / "kept/agent-A"
    assert (tmp_path / "kept/agent-A").is_dir()


def test_nothing_runs_after_the_end(cluster: EmbeddedCluster, framework: Framework) -> None:
    """Containers and connections end with the cluster."""
    framework.launch(framework.offer(), task("t1", "sleep 600 & sleep 600"))
    framework.until_state("TASK_RUNNING")
    pid = cluster.containers()[0].pid or 0
    assert alive(pid)
    cluster.stop()
    assert not alive(pid)
    with pytest.raises(AssertionError, match="the stream ended"):
        framework.next("NOTHING")


def test_control(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """A line in, a line out; nonsense is answered, and the socket is gone at the end."""
    for request in ("", "dance", "pause-agent", "pause-agent Q", "restart-master A"):
        assert obey(cluster, request or "nothing") != "ok"
    path = tmp_path / "control"
    with listening(cluster, path):
        program = Path(__file__).parents[1] / "conformance/control.py"
        for verb in (
            "pause-agent A",
            "resume-agent A",
            "kill-agent A",
            "start-agent A",
            "reset-agent A",
            "restart-master",
        ):
            done = subprocess.run(
                [sys.executable, str(program), str(path), *verb.split()], timeout=PATIENCE, check=False
            )
            assert done.returncode == 0, verb
        done = subprocess.run(
            [sys.executable, str(program), str(path), "dance"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr[:14]) == (1, "not understood")
    assert not path.exists()


# --- the program -------------------------------------------------------------------------------------------------


def serve(*words: str) -> subprocess.Popen[str]:
    """The simulator in the foreground of another process."""
    command = [sys.executable, "-m", "headgate.simulator", "--port", "0", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> str:
    """The master's address."""
    assert process.stdout
    found = re.fullmatch(r"master http://(\S+)\n", process.stdout.readline())
    assert found
    return found[1]


def test_the_program_serves_until_it_is_told_to_end() -> None:
    """Addresses come first; SIGTERM ends it well."""
    with serve("--agent", "cpus:1;mem:512@rack:r1;zone:z1", "--agent", "cpus:2;mem:512") as process:
        address = first_line(process)
        assert requests.get(f"http://{address}/health", timeout=PATIENCE).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        assert process.stderr
        rest = process.stdout.readlines()  # not `communicate`: the reader of the first line may have read on
        assert (process.wait(PATIENCE), process.stderr.read()) == (0, "")
        assert [line.split()[:2] for line in rest] == [["agent", "A"], ["agent", "B"]]


def test_no_task_survives_the_program(tmp_path: Path) -> None:
    """Killed outright, it still leaves nothing behind."""
    with serve("--work-dir", str(tmp_path)) as process:
        framework = Framework(first_line(process))
        framework.subscribe()
        framework.launch(framework.offer(), task("t1", f"echo $$ >{tmp_path}/pid; sleep 600"))
        framework.until_state("TASK_RUNNING")
        eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
        pid = int((tmp_path / "pid").read_text())
        process.kill()
        process.communicate(timeout=PATIENCE)
        framework.close()
    eventually(lambda: not alive(pid))


def test_the_program_says_what_is_wrong() -> None:
    """One line on stderr, exit code 1, no traceback."""
    for words, text in (
        (("--agent", "cpus:many"), r"headgate.simulator: agent A: .*\n"),
        (("--host", "127.0.0.1", "--port", "1"), r"headgate.simulator: .*\n"),
    ):
        if os.geteuid() == 0 and "1" in words:
            continue  # root may have any port
        with serve(*words) as process:
            _, err = process.communicate(timeout=PATIENCE)
            assert process.returncode == 1
            assert re.fullmatch(text, err)


def test_an_agent_that_says_goodbye_takes_its_tasks_along_and_comes_back_as_another() -> None:
    with EmbeddedCluster([AgentSpec(domain="north/n1")], master_settings=MasterSettings(region="north")) as cluster:
        framework = Framework(cluster.address, capabilities=[{"type": "PARTITION_AWARE"}])
        framework.subscribe()
        offer = framework.offer()
        assert offer["domain"] == {"fault_domain": {"region": {"name": "north"}, "zone": {"name": "n1"}}}
        framework.launch(offer, task("t", "sleep 600"))
        while framework.status()["state"] != "TASK_RUNNING":
            pass
        (before,) = cluster.agents
        cluster.unregister_agent("A")
        status = framework.status()
        assert (status["state"], status["reason"]) == ("TASK_LOST", "REASON_AGENT_REMOVED")
        assert status["message"] == "Agent localhost removed: the agent unregistered"
        eventually(lambda: not cluster.containers())
        cluster.start_agent("A")
        assert framework.offer()["agent_id"] != {"value": before.id}
        framework.close()


def test_agents_of_other_regions_are_for_those_who_ask() -> None:
    agents = [AgentSpec(domain="north/n1"), AgentSpec(domain="south/s1")]
    with EmbeddedCluster(agents, master_settings=MasterSettings(region="north")) as cluster:
        at_home, aware = Framework(cluster.address), Framework(cluster.address, capabilities=[{"type": "REGION_AWARE"}])
        at_home.subscribe()
        home = at_home.offer()
        aware.subscribe()
        regions = [each["domain"]["fault_domain"]["region"]["name"] for each in (home, aware.offer())]
        assert regions == ["north", "south"]
        at_home.close()
        aware.close()


def test_a_domain_has_a_region_and_a_zone() -> None:
    with pytest.raises(ValueError, match="agent A: a fault domain is REGION/ZONE, not 'north'"):
        EmbeddedCluster([AgentSpec(domain="north")]).start()
