"""`headgate serve` as processes, and a small job for them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEADGATE = [sys.executable, "-m", "headgate"]
PATIENCE_S = 90.0

PROGRAM = """
import polars as pl
from millstream import Stream, files

def stream(source, into):
    return Stream(files(source, schema={"n": pl.Int64}, growing=True)).filter(pl.col("n") >= 0).to(files(into))
"""
JOB = """
name: numbers
program: {file: numbers_program.py, args: {source: "${job_dir}/in", into: "${job_dir}/out"}}
worker: {cpus: 0.5, mem: 256MiB, disk: 10}
workers: {min: 1, max: 3}
scaling: {enabled: false}
checkpoint: {interval: 500ms}
"""


def until(met: Callable[[], Any], what: str) -> Any:
    """The first true answer."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.1)):
        found = met()
        if found:
            return found
        pause.wait(0.1)
    raise AssertionError(f"not within {PATIENCE_S:g} s: {what}")


class Serving:
    """A `headgate serve` process."""

    def __init__(self, *arguments: str) -> None:
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*HEADGATE, "serve", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    def api(self) -> str:
        """Where it answers."""

        def find() -> str | None:
            found = re.search(r"the API answers at (\S+);", "".join(self.lines))
            assert found or self.process.poll() is None, "".join(self.lines)
            return found.group(1) if found else None

        return str(until(find, "the API's address in the log"))

    def end(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self.close()
        return code

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def write_job(folder: Path, more: str = "") -> Path:
    """A job of three shards with ten numbers each, in a folder of its own; its file."""
    (folder / "in").mkdir(parents=True)
    for shard in range(3):
        (folder / "in" / f"{shard}.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(10)))
    (folder / "numbers_program.py").write_text(PROGRAM)
    (folder / "job.yaml").write_text(JOB + more)
    return folder / "job.yaml"


def headgate(*arguments: str | Path, code: int = 0, **environment: str) -> str:
    """Run a command to its end; what it printed."""
    done = subprocess.run(
        [*HEADGATE, *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def written(job: Path) -> list[int]:
    """The job's results so far, sorted."""
    files = (job.parent / "out").glob("*.jsonl")
    return sorted(json.loads(line)["n"] for path in files for line in path.read_text().splitlines())
