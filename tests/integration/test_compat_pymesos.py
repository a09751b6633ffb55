"""A framework written for pymesos runs on our driver after changing its import, and pymesos is held to the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

pytestmark = pytest.mark.integration

FRAMEWORK = Path(__file__).parent / "pymesos_framework" / "squares_scheduler.py"
OURS = "headgate.compat.pymesos"
SQUARED = {
    "heartbeat": True,
    "messages": [["squares", "ARE YOU THERE?"]],
    "results": {"square-2": 4, "square-3": 9, "square-12": 144},
    "seen": ["registered", "disconnected"],
    "states": {
        **{name: ["TASK_RUNNING", "TASK_FINISHED"] for name in ("square-2", "square-3", "square-12")},
        "endless": ["TASK_RUNNING", "TASK_KILLED"],
    },
}


@pytest.fixture
def cluster() -> Iterator[EmbeddedCluster]:
    with EmbeddedCluster(agents=[AgentSpec(resources="cpus:2;mem:1024;disk:1000")]) as running:
        yield running


def run_framework(cluster: EmbeddedCluster, driver: str, *options: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, str(FRAMEWORK), cluster.address, driver, *options],
        capture_output=True, text=True, timeout=100, check=False, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, object] = json.loads(done.stdout)
    return seen


@pytest.mark.parametrize("options", [(), ("--addict",)], ids=["dicts", "attributes"])
@pytest.mark.parametrize("driver", [OURS, "pymesos"])
def test_a_framework_for_pymesos(cluster: EmbeddedCluster, driver: str, options: tuple[str, ...]) -> None:
    """Scheduler and executor, with real processes: launch, data both ways, messages, kill, end, teardown."""
    if driver == "pymesos":
        pytest.importorskip("pymesos", reason="make setup installs it")
    assert run_framework(cluster, driver, *options) == SQUARED
