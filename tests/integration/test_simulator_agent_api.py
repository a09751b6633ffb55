"""The operator API of an agent over the wire: containers that run for real, and files."""

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from plain_framework import PATIENCE, Framework, Json, task

from headgate.simulator.embedded import EmbeddedCluster

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster() as running:
        yield running


def ask(address: str, kind: str, **body: Any) -> requests.Response:
    call: Json = {"type": kind, kind.lower(): body}
    return requests.post(f"http://{address}/api/v1", json=call, timeout=PATIENCE)


def test_a_container_without_a_task(cluster: EmbeddedCluster) -> None:
    [agent] = cluster.agents
    mine = {"value": "mine"}
    command = {"value": "echo $WORD > said; read nothing < /dev/null; sleep 600", "shell": True}
    command["environment"] = {"variables": [{"name": "WORD", "value": "hello"}]}
    assert ask(agent.address, "LAUNCH_CONTAINER", container_id=mine, command=command).status_code == 200
    assert cluster.containers() == (), "it is nobody's"
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(ask, agent.address, "WAIT_CONTAINER", container_id=mine)
        path = f"{agent.work_dir}/containers/mine"
        while not read(agent.address, f"{path}/said"):
            assert not waiting.done()
        assert ask(agent.address, "KILL_CONTAINER", container_id=mine).status_code == 200
        assert waiting.result(PATIENCE).json() == {"type": "WAIT_CONTAINER", "wait_container": {"exit_status": 9}}
    assert base64.b64decode(read(agent.address, f"{path}/said")["data"]) == b"hello\n"
    listed = ask(agent.address, "LIST_FILES", path=path).json()["list_files"]["file_infos"]
    assert {item["path"].rpartition("/")[2]: item["size"] for item in listed}["said"] == 6


def read(address: str, path: str) -> Json:
    """READ_FILE; empty if the file is not there, or empty."""
    answer = ask(address, "READ_FILE", path=path, offset=0)
    found: Json = answer.json()["read_file"] if answer.status_code == 200 else {}
    return found if found.get("size") else {}


def test_a_command_beside_a_task_shares_nothing_but_its_end(cluster: EmbeddedCluster) -> None:
    [agent] = cluster.agents
    framework = Framework(cluster.address)
    framework.subscribe()
    try:
        framework.launch(framework.offer(), task("t", "sleep 600"))
        status = framework.status()
        while status["state"] != "TASK_RUNNING":
            status = framework.status()
        outer = status["container_status"]["container_id"]
        inner = {"value": "look", "parent": outer}
        assert (
            ask(agent.address, "LAUNCH_CONTAINER", container_id=inner, command={"value": "exit 7"}).status_code == 200
        )
        ended = ask(agent.address, "WAIT_CONTAINER", container_id=inner).json()
        assert ended["wait_container"] == {"exit_status": 7 << 8}
        assert ask(agent.address, "REMOVE_CONTAINER", container_id=inner).status_code == 200
        state = ask(agent.address, "GET_STATE").json()["get_state"]
        assert [item["task_id"]["value"] for item in state["get_tasks"]["launched_tasks"]] == ["t"]
    finally:
        framework.close()


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("READ_FILE", {"path": "/etc/passwd", "offset": 0}, 404),
        ("LIST_FILES", {"path": "/etc"}, 404),
        ("ATTACH_CONTAINER_OUTPUT", {"container_id": {"value": "x"}}, 501),
        ("WAIT_CONTAINER", {"container_id": {"value": "x"}}, 404),
        ("WAIT_CONTAINER", {}, 400),
    ],
)
def test_what_an_agent_does_not_do(cluster: EmbeddedCluster, kind: str, body: Json, status: int) -> None:
    assert ask(cluster.agents[0].address, kind, **body).status_code == status


def test_a_master_has_no_files(cluster: EmbeddedCluster) -> None:
    assert ask(cluster.address, "LIST_FILES", path="/master/log").status_code == 404


def test_the_older_quota_endpoint(cluster: EmbeddedCluster) -> None:
    url = f"{cluster.master_url}/quota"
    asked = {"role": "db", "force": True, "guarantee": [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}]}
    assert requests.post(url, json=asked, timeout=PATIENCE).status_code == 200
    assert requests.get(url, timeout=PATIENCE).json()["infos"][0]["role"] == "db"
    refused = requests.put(url, json=asked, timeout=PATIENCE)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, POST, DELETE")
    assert requests.delete(f"{url}/db", timeout=PATIENCE).status_code == 200
    again = requests.delete(f"{cluster.master_url}/master/quota/db", timeout=PATIENCE)
    assert (again.status_code, again.text) == (400, "Failed to remove quota: Role 'db' has no quota set")
    assert requests.delete(url, timeout=PATIENCE).status_code == 400
    assert requests.get(url, timeout=PATIENCE).json() == {}
