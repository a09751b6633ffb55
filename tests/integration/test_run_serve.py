"""`headgate serve` and the commands that talk to it, as processes, against a simulated cluster with real workers."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from serving import JOB, Serving, headgate, until, write_job, written

from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Starts schedulers on a free port, with state below the test's folder."""
    started: list[Serving] = []

    def start(*arguments: str) -> Serving:
        defaults = ["--data-dir", str(tmp_path / "state"), "--listen", "127.0.0.1:0", "--worker-python", sys.executable]
        started.append(Serving(*defaults, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    agents = [AgentSpec(resources="cpus:4;mem:4096;disk:10000;ports:[31000-31099]", hostname="agent-1")]
    with EmbeddedCluster(agents=agents, work_dir=tmp_path / "cluster") as running:
        yield running


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_job(tmp_path / "job")


def test_a_job_from_submission_to_its_end_over_a_restart_of_the_scheduler(
    serve: Callable[..., Serving], cluster: EmbeddedCluster, job: Path
) -> None:
    first = serve("--master", cluster.address)
    api = first.api()

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(headgate("status", "numbers", "--json", "--api", api))
        return found

    until(lambda: requests.get(f"{api}/ready", timeout=10).status_code == 200, "readiness")
    assert "no jobs yet" in headgate("list", "--api", api)

    told = headgate("submit", job, "--api", api)
    assert told.splitlines() == ["numbers is submitted", "follow it with: headgate status numbers --follow"]
    assert "name: a job named numbers is" in headgate("submit", job, "--api", api, code=2)
    until(lambda: status()["workers_ready"] == 1, "a worker")
    until(lambda: written(job) == sorted([*range(10)] * 3), "the first rows")

    assert "2 workers from now on (was 1)" in headgate("scale", "numbers", "2", "--api", api)
    assert "is not within 1…3" in headgate("scale", "numbers", "9", "--api", api, code=2)
    until(lambda: status()["workers_ready"] == 2, "a second worker")
    text = headgate("status", "numbers", "--api", api)
    assert "numbers  running for" in text
    assert "agent-1" in text
    assert "2.jsonl" in text
    assert re.search(r"numbers +running", headgate("list", "--api", api))
    assert "numbers is running for" in headgate("explain", "numbers", "--api", api)
    told = headgate("explain", "nothing", "--api", api, code=2)
    assert told == "error: there is no job nothing; there are: numbers\n"
    assert 'headgate_job_workers_ready{job="numbers"} 2.0' in requests.get(f"{api}/metrics", timeout=10).text

    before = status()
    master = requests.get(f"{api}/v1/view", timeout=10).json()["master"]
    containers = {each.executor_id for each in cluster.containers()}
    assert first.end() == 0
    assert "Traceback" not in "".join(first.lines)
    assert {each.executor_id for each in cluster.containers()} == containers

    second = serve("--master", cluster.address)
    api = second.api()
    until(lambda: requests.get(f"{api}/ready", timeout=10).status_code == 200, "readiness after the restart")
    assert requests.get(f"{api}/v1/view", timeout=10).json()["master"]["framework_id"] == master["framework_id"]
    until(lambda: status()["workers_ready"] == 2, "the same workers")
    tasks = [worker["task_id"] for worker in before["workers"]]
    assert [worker["task_id"] for worker in status()["workers"]] == tasks
    with (job.parent / "in" / "0.jsonl").open("a") as more:
        more.write('{"n": 77}\n')
    until(lambda: 77 in written(job), "a row that came after the restart")

    assert "numbers is being stopped" in headgate("cancel", "numbers", "--api", api)
    until(lambda: status()["state"] == "cancelled", "the end")
    until(lambda: not cluster.containers(), "no container")
    assert written(job) == sorted([*range(10)] * 3 + [77])
    assert second.end(signal.SIGINT) == 0


def test_a_scheduler_that_is_killed_is_followed_by_one_that_goes_on(
    serve: Callable[..., Serving], cluster: EmbeddedCluster, job: Path
) -> None:
    first = serve("--master", cluster.address)
    headgate("submit", job, HEADGATE_API=first.api())
    until(lambda: len(written(job)) == 30, "the first rows")
    first.end(signal.SIGKILL)
    with (job.parent / "in" / "1.jsonl").open("a") as more:
        more.write('{"n": 88}\n')
    second = serve("--master", cluster.address)
    api = second.api()
    until(lambda: 88 in written(job), "a row that came meanwhile")
    until(lambda: requests.get(f"{api}/ready", timeout=10).status_code == 200, "readiness")
    view = requests.get(f"{api}/v1/view", timeout=10).json()
    assert view["jobs"][0]["restarts"] == 0
    assert written(job) == sorted([*range(10)] * 3 + [88])


def test_a_second_scheduler_on_the_same_file_waits_for_the_first(
    serve: Callable[..., Serving], cluster: EmbeddedCluster, job: Path
) -> None:
    """It answers meanwhile, and leads when the first is gone: two would take the framework from each other in turn."""
    first = serve("--master", cluster.address)
    api = first.api()
    until(lambda: requests.get(f"{api}/ready", timeout=10).status_code == 200, "readiness")
    second = serve("--master", cluster.address)
    here = second.api()
    until(lambda: f"standing by: the scheduler at {api} leads" in "".join(second.lines), "a line in the log")
    assert requests.get(f"{here}/health", timeout=10).json()["leader"] == api
    headgate("submit", job, "--api", here)
    until(lambda: len(written(job)) == 30, "the first rows")
    told = headgate("status", "numbers", "--api", here)
    assert "numbers  running for" in told
    first.end(signal.SIGKILL)
    until(lambda: requests.get(f"{here}/ready", timeout=10).status_code == 200, "the second leads")
    view = requests.get(f"{here}/v1/view", timeout=10).json()
    assert view["jobs"][0]["restarts"] == 0
    assert second.end() == 0


def test_following_a_job_ends_with_it(serve: Callable[..., Serving], cluster: EmbeddedCluster, job: Path) -> None:
    api = serve("--master", cluster.address).api()
    (job.parent / "in" / "_SUCCESS").write_text("")
    job.write_text(JOB + "until: end\n")
    headgate("submit", job, "--api", api)
    told = headgate("status", "numbers", "--follow", "--api", api)
    assert "completed" in told.splitlines()[-1]
    assert len(written(job)) == 30


def test_a_token_guards_all_but_what_agents_fetch(
    serve: Callable[..., Serving], cluster: EmbeddedCluster, job: Path, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    api = serve("--master", cluster.address, "--api-token-file", str(token)).api()
    assert "send the API token" in headgate("list", "--api", api, code=2)
    headgate("submit", job, "--api", api, "--api-token-file", token)
    until(lambda: len(written(job)) == 30, "rows: so the agent has fetched the bundle")


def test_without_a_master_the_scheduler_waits_and_says_so(serve: Callable[..., Serving], job: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    serving = serve("--master", f"127.0.0.1:{port}", "--store", "memory", "--log-format", "json")
    api = until(lambda: re.search(r"the API answers at ([^\s;]+);", "".join(serving.lines)), "address").group(1)
    assert requests.get(f"{api}/health", timeout=10).status_code == 200
    assert requests.get(f"{api}/ready", timeout=10).status_code == 503
    headgate("submit", job, "--api", api)
    assert "numbers is deploying" in headgate("explain", "numbers", "--api", api)
    until(lambda: "not subscribed" in "".join(serving.lines), "a warning in the log")
    (line,) = [line for line in serving.lines if "not subscribed" in line][:1]
    assert ": connection refused; trying again in" in line
    assert serving.end() == 0
    events = [json.loads(line) for line in serving.lines]
    assert all({"event", "level", "logger", "timestamp"} <= set(event) for event in events)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--listen", "0.0.0.0:0"],
            "lets others reach the API, and whoever reaches it can run programs on the cluster",
        ),
        (["--store", "zk://localhost:2181"], "names no path: everything would lie at ZooKeeper's root; write zk://"),
        (["--store", "postgres"], "there is no such store; write zk://host:2181,…/headgate, sqlite:PATH or memory"),
        (["--listen", "here"], "'here' is no address to listen at"),
        (["--api-token-file", "/nowhere/token"], "/nowhere/token cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_start_is_one_clear_line(arguments: list[str], expected: str, tmp_path: Path) -> None:
    anywhere = [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]
    told = headgate("serve", "--master", "127.0.0.1:1", "--data-dir", tmp_path, *anywhere, *arguments, code=2)
    assert expected in told
    assert told.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    told = headgate("serve", "--master", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--data-dir", folder, code=1)
    assert told == f"error: cannot keep state in {folder}: Not a directory; set --data-dir\n"
    told = headgate("demo", "--folder", folder, code=1)
    assert told == f"error: cannot write to {folder}: Not a directory; name another with --folder\n"


def test_a_secret_needs_a_principal(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    told = headgate(
        "serve", "--master", "127.0.0.1:1", "--data-dir", tmp_path, "--secret-file", tmp_path / "secret", code=2
    )
    assert told == "error: --secret-file: a secret needs a principal; set --principal\n"


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        told = headgate("serve", "--master", "127.0.0.1:1", "--data-dir", tmp_path, "--listen", address, code=1)
    problem = "another program listens there already; give another address with --listen"
    assert told == f"error: cannot listen at {address}: {problem}\n"


def test_bad_options_are_told_with_their_name(tmp_path: Path) -> None:
    assert "Missing option '--master'" in headgate("serve", code=2)
    told = headgate("serve", "--master", "x", "--data-dir", tmp_path, "--failover-timeout", "soon", code=2)
    assert "--failover-timeout: 'soon' is not a duration" in told
    told = headgate("serve", "--master", "x", "--data-dir", tmp_path, "--disaster-share", "0%", code=2)
    assert "--disaster-share: '0%' is no share; write 1% to 100%, or off" in told
