"""The demo from the first to the last line: cluster, scheduler, feeder, job, kill, comparison.

Everything it starts ends with it: the feeder watches its parent, workers belong to the cluster.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from rich.console import Console

from headgate.adapters.api_server import Address
from headgate.adapters.bundles import build_bundle
from headgate.adapters.clock import SystemClock
from headgate.adapters.job_documents import load_job
from headgate.adapters.terminal import follow_job
from headgate.demo.drama import Figures, Script, script
from headgate.demo.flights import flights
from headgate.demo.oracle import Comparison, compared
from headgate.errors import StartFailed
from headgate.main import Service
from headgate.model.job import JobSpec
from headgate.model.record import JobState
from headgate.model.view import JobView, View
from headgate.service_options import Options, default_framework
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

AGENTS = (
    AgentSpec(
        name="north", hostname="north", resources="cpus:2;mem:2048;disk:8192;ports:[31000-31099]", attributes="rack:r1"
    ),
    AgentSpec(
        name="south", hostname="south", resources="cpus:1;mem:1024;disk:4096;ports:[31100-31199]", attributes="rack:r2"
    ),
    AgentSpec(
        name="west",
        hostname="west",
        resources="cpus:1;mem:1536;disk:4096;ports:[31200-31299]",
        attributes="rack:r2;disk:ssd",
    ),
    AgentSpec(
        name="gpu",
        hostname="gpu",
        resources="cpus:4;mem:8192;disk:8192;gpus:2;ports:[31300-31399]",
        attributes="rack:r1;gpu:a10",
    ),
)
"""Four agents of different sizes; the one with GPUs is left to work that needs them."""

WAIT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the person asked for.  `folder` None: a temporary one that goes with the demo."""

    seed: int
    full_speed: bool = False
    folder: Path | None = None


def play(wish: Wish, screen: Console) -> bool:
    """Run the demo; whether the answer was right.  The last line it prints says so.

    Raises:
        StartFailed: the data or the example is not there, or the folder is not empty.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(_folder(wish.folder))
        data = flights()
        spec = _job(folder, full_speed=wish.full_speed)
        clock = SystemClock()
        begun_at = clock.monotonic()
        _announce(screen, data, spec, wish)
        cluster = stack.enter_context(EmbeddedCluster(AGENTS, work_dir=folder / "cluster", seed=wish.seed))
        service = stack.enter_context(Service(_options(cluster.address, folder)))
        stack.enter_context(_feeder(folder, full_speed=wish.full_speed))
        performance = _Performance(
            cluster=cluster, service=service, script=script(wish.seed, data.height), screen=screen, job=spec.name
        )
        bundle = build_bundle(_example(), spec.program)
        service.submit(replace(spec, program=replace(spec.program, sha256=bundle.sha256)), bundle)
        state = follow_job(screen, spec.name, performance.look)
        elapsed_s = clock.monotonic() - begun_at
        if state is not JobState.COMPLETED:
            screen.print(f"equal: no (the job ended as {state.value if state else 'unknown'})", markup=False)
            return False
        comparison = compared(_output(folder), data)
        _report(screen, comparison, performance.figures, elapsed_s=elapsed_s, wish=wish)
        return comparison.equal


class _Performance:
    """Looks at the scheduler, and strikes once when the script says so."""

    def __init__(
        self, *, cluster: EmbeddedCluster, service: Service, script: Script, screen: Console, job: str
    ) -> None:
        self.figures = Figures()
        self._cluster = cluster
        self._service = service
        self._script: Script | None = script
        self._screen = screen
        self._job = job

    def look(self) -> View:
        """The newest view, after what it calls for."""
        self._service.wait(0)
        view = self._service.view()
        job = view.find_job(self._job)
        if job is not None:
            self.figures = self.figures.seeing(job)
            self._strike(job)
        return view

    def _strike(self, job: JobView) -> None:
        victim = self._script.find_victim(job) if self._script else None
        if victim is None:
            return
        worker = next(each for each in job.workers if each.task_id == victim)
        pid = next((each.pid for each in self._cluster.containers() if each.executor_id == victim), None)
        if self._cluster.kill_executor(victim):
            self._script = None
            shards = ", ".join(shard.removesuffix(".jsonl") for shard in worker.shards)
            self._screen.print(
                f"▶ the demo kills worker {worker.worker} on {worker.hostname}: SIGKILL to process {pid}; "
                f"shards {shards} will resume from their last checkpoints, the others run on",
                markup=False,
                style="bold red",
                soft_wrap=not self._screen.is_terminal,
            )


def _announce(screen: Console, data: pl.DataFrame, spec: JobSpec, wish: Wish) -> None:
    limit = (
        "no rate limit: as fast as this machine goes"
        if spec.rate_limit is None
        else f"rate limit {spec.rate_limit:,.0f} records per second and worker, so that there is something to see"
    )
    screen.print(
        f"{data.height:,} flights of 2013 from New York, {data['partition'].n_unique()} partitions; "
        f"{len(AGENTS)} agents; {limit}; seed {wish.seed}",
        markup=False,
        soft_wrap=not screen.is_terminal,
    )


def _report(screen: Console, found: Comparison, figures: Figures, *, elapsed_s: float, wish: Wish) -> None:
    rows = {
        "windows": f"{found.windows:,}",
        "rows": f"{found.rows:,} ({found.rows - found.windows:,} of them corrections of late records)",
        "differences": _count(found.differing),
        "records lost": f"{found.lost:,}",
        "records counted twice": f"{found.doubled:,}",
        "restarts": f"{figures.restarts} ({figures.replayed:,} records read again)",
        "moves": f"{figures.moves}",
        "peak backlog": f"{figures.backlog_peak:,} records",
        "peak workers": f"{figures.workers_peak} (from 1, down to {figures.workers_last} at the end)",
        "time": f"{elapsed_s:.0f} s",
    }
    if wish.full_speed:
        rate = figures.busy_rate_per_s
        rows["throughput"] = (
            f"{figures.records_in / elapsed_s:,.0f} records/s from the first line to the last, start of the cluster "
            f"included{f'; {rate:,.0f} per second of a worker at work' if rate else ''}"
        )
    screen.print("\nThe job's answer against one Polars query over the whole data:")
    for name, value in rows.items():
        screen.print(f"  {name:<22} {value}", markup=False)
    for example in found.examples:
        screen.print(f"  differs: {example}", markup=False, soft_wrap=True)
    if found.equal:
        screen.print("equal: yes")
    else:
        screen.print(
            f"equal: no ({found.differing} windows differ, {found.lost} records lost, {found.doubled} counted twice)"
        )


def _count(number: int) -> str:
    return f"{number:,}" if number else "none"


def _job(folder: Path, *, full_speed: bool) -> JobSpec:
    _, spec = load_job(_example() / "job.yaml")
    args = {"flights": str(folder / "log"), "output": str(folder / "delays")}
    return replace(
        spec,
        program=replace(spec.program, args=args),
        rate_limit=None if full_speed else spec.rate_limit,
    )


def _example() -> Path:
    """The example's folder: in a clone beside the sources, in an installation below its prefix."""
    for root in (Path(__file__).resolve().parents[3], Path(sys.prefix) / "share" / "headgate"):
        found = root / "examples" / "flights"
        if (found / "job.yaml").is_file():
            return found
    raise StartFailed("examples/flights is not there: run the demo from a clone, or install headgate[demo] again")


def _options(master: str, folder: Path) -> Options:
    return Options(
        master=master,
        data_dir=folder / "scheduler",
        framework=default_framework(),
        listen=Address(host="127.0.0.1", port=0),
        worker_python=sys.executable,
    )


def _output(folder: Path) -> pl.DataFrame:
    parts = sorted((folder / "delays").glob("*.jsonl"))
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "origin": pl.String,
        "window_start": pl.Datetime("ms"),
        "departures": pl.Int64,
        "delay_mean": pl.Float64,
        "delay_max": pl.Float64,
        "late_share": pl.Float64,
        "revision": pl.Int64,
    }
    if not parts:
        return pl.DataFrame(schema=schema)
    return pl.concat(pl.read_ndjson(part, schema=schema) for part in parts)


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """An empty folder with a place for the log."""
    if wanted is not None and wanted.exists() and any(wanted.iterdir()):
        raise StartFailed(f"{wanted} is not empty: name a new folder with --folder")
    folder = (wanted or Path(tempfile.mkdtemp(prefix="headgate-demo-"))).resolve()
    try:
        (folder / "log").mkdir(parents=True)
    except OSError as problem:
        raise StartFailed(f"cannot write to {folder}: {problem.strerror}; name another with --folder") from problem
    try:
        yield folder
    finally:
        if wanted is None:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _feeder(folder: Path, *, full_speed: bool) -> Iterator[None]:
    """The feeder process, in a session of its own so that Ctrl-C reaches it through us alone."""
    command = [sys.executable, "-m", "headgate.demo.feeder", str(folder / "log")]
    process = subprocess.Popen(command + (["--full-speed"] if full_speed else []), start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)
