"""Waits, staged on a simulated cluster with real workers, and what the CLI says of each.

The samples in `docs/placement.md` are these outputs: run with `-s` to see them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from serving import PROGRAM, Serving, headgate, until

from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CRASHING = "import os\nos._exit(3)\n"
AGENTS = (
    AgentSpec(resources="cpus:4;mem:4096;disk:10000;ports:[31000-31099]", hostname="agent-1", attributes="rack:r1"),
    AgentSpec(resources="cpus:4;mem:6144;disk:10000;ports:[31100-31199]", hostname="agent-2", attributes="rack:r2"),
    AgentSpec(
        resources="cpus:8;mem:6144;gpus:2;disk:10000;ports:[31200-31299]", hostname="gpu-1", attributes="rack:r1"
    ),
)


@dataclass(frozen=True)
class Town:
    """A scheduler on the cluster, and a folder for job files."""

    api: str
    folder: Path

    def write(self, name: str, more: str, *, program: str = PROGRAM, workers: str = "{min: 1, max: 8}") -> Path:
        """A job file of one's own."""
        folder = self.folder / name
        (folder / "in").mkdir(parents=True)
        (folder / "in" / "0.jsonl").write_text('{"n": 1}\n')
        (folder / "its_program.py").write_text(program)
        (folder / "job.yaml").write_text(
            f"name: {name}\n"
            'program: {file: its_program.py, args: {source: "${job_dir}/in", into: "${job_dir}/out"}}\n'
            f"workers: {workers}\nscaling: {{enabled: false}}\n{more}\n"
        )
        return folder / "job.yaml"

    def submit(self, name: str, more: str, **how: Any) -> None:
        """Have a job run, or wait."""
        headgate("submit", "--no-check", self.write(name, more, **how), "--api", self.api)

    def status(self, name: str) -> dict[str, Any]:
        """A job as data."""
        found: dict[str, Any] = json.loads(headgate("status", name, "--json", "--api", self.api))
        return found

    def runs(self, name: str) -> None:
        """Wait until all its workers do."""

        def ready() -> bool:
            job = self.status(name)
            return bool(job["workers_ready"] == job["workers_wished"] > 0)

        until(ready, f"{name} runs")

    def explained(self, name: str, words: str) -> str:
        """What the CLI says of a job that waits, as soon as these words are in it."""
        text = until(lambda: self._with(words, headgate("explain", name, "--api", self.api)), f"{name}: {words}")
        return shown(f"explain {name}", str(text))

    @staticmethod
    def _with(words: str, text: str) -> str | None:
        return text if words in " ".join(text.split()) else None


def shown(command: str, text: str) -> str:
    """The text, printed for who wants to see it."""
    plain = "\n".join(line.rstrip() for line in text.splitlines())
    sys.stdout.write(f"\n$ headgate {command}\n{plain}\n")
    return plain


def funnel(text: str) -> list[tuple[str, int]]:
    """The steps of the way from all known agents to those that fit, with how many each leaves."""
    rows = re.findall(r"^  (\S.*?)  +(?:against \d+ +)?(\d+) *█*$", text, re.MULTILINE)
    return [(name, int(left)) for name, left in rows]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("waits")
    with EmbeddedCluster(agents=AGENTS, work_dir=folder / "cluster") as cluster:
        serving = Serving(
            "--master", cluster.address, "--data-dir", str(folder / "state"), "--listen", "127.0.0.1:0",
            "--worker-python", sys.executable,
        )  # fmt: skip
        try:
            api = serving.api()
            until(lambda: requests.get(f"{api}/ready", timeout=10).status_code == 200, "readiness")
            found = Town(api=api, folder=folder)
            # The agent with GPUs is known, and one of them in use, from here on.
            found.submit("train", "worker: {cpus: 1, mem: 512MiB, disk: 10, gpus: 1}")
            found.runs("train")
            yield found
        finally:
            serving.close()


def test_too_little_memory(town: Town) -> None:
    """Nothing has so much: it says so, and how much would do."""
    town.submit("big", "worker: {cpus: 1, mem: 9GiB, disk: 10}")
    text = town.explained("big", "none of 3 known agents fits")
    assert "mem: wants 9GiB, " in text
    assert "no agent known could ever run it: mem: wants 9GiB, the largest agent known has 6GiB" in text
    assert re.search(r"^  fits if mem ≤ ", text, re.MULTILINE)
    assert funnel(text)[0] == ("known agents", 3)
    assert funnel(text)[-1][1] == 0


def test_a_rule_that_no_agent_satisfies(town: Town) -> None:
    town.submit(
        "racks",
        "worker: {cpus: 0.5, mem: 256MiB, disk: 10}\n"
        "placement: [{attribute: rack, operator: is, value: r9}]",
    )  # fmt: skip
    text = town.explained("racks", "none of 3 known agents fits")
    assert "is not r9" in text
    assert "fits if without constraint rack is" in text
    assert ("rack is r9", 0) in funnel(text)


def test_gpus_that_are_not_there(town: Town) -> None:
    """One of the two is in use; four there never were."""
    town.submit("deep", "worker: {cpus: 1, mem: 512MiB, disk: 10, gpus: 4}")
    text = town.explained("deep", "can never fit: gpus")
    assert "gpus: wants 4, " in text
    assert "the largest agent known has 2" in text
    assert ("gpus", 0) in funnel(text)
    told = shown("explain --agent gpu-1", headgate("explain", "--agent", "gpu-1", "--api", town.api))
    assert re.search(r"^gpu-1 \(\S+\), last offered .* ago: .* 1 GPU free\.", told)
    assert re.search(r"^  deep \(offered to \*\): .*gpus: wants 4, 1 free", told, re.MULTILINE)


def test_agents_with_gpus_are_kept(town: Town) -> None:
    """The others are full, and large enough: their work's end is waited for."""
    placement = "placement: [{attribute: hostname, operator: unique}]"
    town.submit(
        "filler", f"worker: {{cpus: 3, mem: 512MiB, disk: 10}}\n{placement}", workers="{min: 1, max: 8, initial: 2}"
    )
    town.runs("filler")
    town.submit("plain", "worker: {cpus: 2, mem: 512MiB, disk: 10}")
    text = town.explained("plain", "none of 3 known agents fits")
    assert "kept for GPU work" in text
    assert "cpus: wants 2, 1 free" in text
    assert re.search(r"^  fits if something ends on one of the 2 agents that are large enough$", text, re.MULTILINE)
    agents = shown("agents", headgate("agents", "--api", town.api))
    assert re.search(
        r"^agent-1 +1 cpu, 3.5GiB +\S+ +1 +refused for 10m: fits nothing that is wanted$", agents, re.MULTILINE
    )
    for name in ("plain", "filler"):
        headgate("cancel", name, "--api", town.api)
    until(lambda: town.status("filler")["state"] == "cancelled", "the others' agents are free")


def test_a_gang_without_room_for_all(town: Town) -> None:
    town.submit("gang", "worker: {cpus: 1, mem: 1536MiB, disk: 10}", workers="{min: 1, max: 8, initial: 8, gang: true}")
    town.explained("gang", "8 workers wait: they start all at once; there is room for 6 of 8")
    assert [worker["task_id"] for worker in town.status("gang")["workers"]] == [None] * 8
    headgate("cancel", "gang", "--api", town.api)


def test_a_crash_loop_waits_longer_and_longer(town: Town) -> None:
    """It says how often the worker failed, how it ended, and when it is tried again."""
    town.submit("crash", "worker: {cpus: 0.5, mem: 256MiB, disk: 10}\nrestart: {backoff: 20s}", program=CRASHING)
    text = " ".join(town.explained("crash", "next attempt in").split())
    assert re.search(
        r"Waiting for .*: worker 0 waits: worker 0 failed once \(last: .+\); next attempt in [\d.]+ s", text
    )
    assert "worker 0: failed once" in text


def test_before_a_job_is_submitted(town: Town) -> None:
    """A role that has never been offered is told; nothing is submitted."""
    job = town.write(
        "later", "role: web\nworker: {cpus: 0.5, mem: 3GiB, disk: 10}", workers="{min: 1, max: 8, initial: 4}"
    )
    told = shown("submit --dry-run job.yaml", headgate("submit", "--dry-run", job, "--api", town.api))
    assert re.search(r"^later: 3 of 4 workers would start now: ", told)
    assert "Its role has not been offered yet" in told
    assert "Nothing was submitted." in told
    assert "later" not in headgate("list", "--api", town.api)
