"""A job whose worker keeps a volume, from submission to the end, with the real driver, real HTTP and real processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from serving import Serving, headgate, until, write_job, written

from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RESOURCES = "cpus:4;mem:4096;disk:10000;ports:[31000-31099]"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EmbeddedCluster]:
    agents = [AgentSpec(resources=RESOURCES, hostname=f"agent-{number}") for number in (1, 2)]
    with EmbeddedCluster(agents=agents, work_dir=tmp_path / "cluster") as running:
        yield running


def reserved(cluster: EmbeddedCluster) -> list[dict[str, Any]]:
    """What agents have reserved dynamically."""
    answer = requests.post(f"http://{cluster.address}/api/v1", json={"type": "GET_AGENTS"}, timeout=10).json()
    return [
        resource
        for agent in answer["get_agents"]["agents"]
        for resource in agent["total_resources"]
        if resource.get("reservations")
    ]


def test_a_worker_finds_its_volume_again_and_leaves_nothing_behind(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job")
    text = job.read_text().replace("disk: 10}", "disk: 10, volume: {size: 64MiB, path: state}}")
    job.write_text(f"{text}role: web\n")
    defaults = ["--data-dir", str(tmp_path / "state"), "--listen", "127.0.0.1:0", "--worker-python", sys.executable]
    scheduler = Serving(*defaults, "--master", cluster.address)
    try:
        api = scheduler.api()
        until(lambda: requests.get(f"{api}/ready", timeout=10).status_code == 200, "readiness")
        headgate("submit", job, "--api", api)
        until(lambda: len(written(job)) == 30, "the first rows")
        (container,) = cluster.containers()
        (volume,) = (tmp_path / "cluster").rglob("volumes/roles/web/*")
        assert volume.name == "numbers.1.0.0"
        assert (sandbox_of(tmp_path, "numbers.1.0.0") / "state").resolve() == volume.resolve()
        (volume / "kept").write_text("by the first attempt")
        assert sum("disk" in each for each in reserved(cluster)) == 1

        assert cluster.kill_executor(container.executor_id) == 1
        until(lambda: [each.executor_id for each in cluster.containers()] == ["numbers.1.0.1"], "another attempt")
        second = until(lambda: find_sandbox(tmp_path, "numbers.1.0.1"), "its sandbox")
        until(lambda: (second / "state" / "kept").exists(), "the volume in it")
        assert (second / "state" / "kept").read_text() == "by the first attempt"
        with (job.parent / "in" / "0.jsonl").open("a") as more:
            more.write('{"n": 77}\n')
        until(lambda: 77 in written(job), "a row of the second attempt")

        headgate("cancel", "numbers", "--api", api)
        until(lambda: reserved(cluster) == [], "everything given back")
        until(lambda: not volume.exists(), "the volume gone")
        assert scheduler.end() == 0
    finally:
        scheduler.close()


def find_sandbox(tmp_path: Path, executor: str) -> Path | None:
    """Where an executor runs, if it does."""
    return next((tmp_path / "cluster").rglob(f"executors/{executor}/runs/*"), None)


def sandbox_of(tmp_path: Path, executor: str) -> Path:
    """Where an executor runs."""
    found = find_sandbox(tmp_path, executor)
    assert found is not None
    return found
