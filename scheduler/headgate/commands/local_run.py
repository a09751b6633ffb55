"""One job on a simulated cluster in this process, with real workers: what `headgate run` does.

State is kept in one folder: records, checkpoints with dead letters, bundles, the sandboxes of the last run and its log.
The run after one that was interrupted, or failed, goes on from there.  The run after one that completed the job begins
anew, as `--fresh` does: of the state only the number of submissions stays, so that its epochs are above all earlier
ones and its sinks replace what the earlier runs wrote.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from headgate.adapters.api_server import Address
from headgate.adapters.bundles import Bundle
from headgate.adapters.logs import logging_to_file
from headgate.adapters.sqlite_store import SqliteStore
from headgate.adapters.terminal import follow_job
from headgate.adapters.terminal_text import count_text, dead_letters_text
from headgate.commands.exits import ExitCode
from headgate.errors import BadJob, StartFailed, StoreDamaged, UnknownJob
from headgate.main import Service
from headgate.model.call import ContainerType
from headgate.model.command import Cancel
from headgate.model.job import JobSpec
from headgate.model.record import FrameworkRecord, Goal, JobState, Records
from headgate.model.stored import encoded, loaded
from headgate.model.view import JobView, View
from headgate.service_options import Options, default_framework
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

_LOOK_EVERY_S: Final = 0.1
_OVER_S: Final = 120.0
_FIRST_PORT: Final = 31_000
_PORTS_PER_AGENT: Final = 200
_DISK_MIB: Final = 1_000_000
_LAST_WORDS: Final = 15
_MARKER: Final = "headgate-run.lock"
"""Says that the folder is a run's; locked while one uses it."""
_RECORDS: Final = "headgate.db"
_STATE: Final = (
    _RECORDS,
    "headgate.db-wal",
    "headgate.db-shm",
    "checkpoints",
    "bundles",
    "cluster",
    "headgate.log",
)
_ANEW: Final = "this run begins anew: all input is read again, and replaces the results in files"


class LocalRun:
    """A job, the cluster it runs on, and the folder it keeps its state in.  For the main thread, which gets signals."""

    def __init__(self, spec: JobSpec, bundle: Bundle, folder: Path, *, agents: int, listen: Address) -> None:
        """Nothing is started yet.

        Raises:
            BadJob: the job wants what a cluster in this process cannot give.
        """
        if spec.container.type is not ContainerType.NONE:
            problem = "container: `headgate run` starts workers as plain processes of this machine"
            raise BadJob((f"{problem}; leave it out here, or submit the job to a cluster",))
        self._spec = spec
        self._bundle = bundle
        self._folder = folder.resolve()
        self._shown_folder = folder
        self._agents = agents
        self._listen = listen

    def forget(self) -> None:
        """Drop what earlier runs have left; the next one begins anew.

        Raises:
            StartFailed: a run is using it.
        """
        with self._held():
            self._begin_anew()

    def show(self, screen: Console, *, results: tuple[str, ...] = ()) -> ExitCode:
        """Run the job and show it until it ends, or is interrupted; how it ended.

        `results` says where its output goes, for the last line.

        Raises:
            StartFailed: another run uses the folder; a port is in use.
            BadJob: the job is refused.
        """
        with self._held():
            beginning = self._begin(self._records())
            shutil.rmtree(self._folder / "cluster", ignore_errors=True)
            with logging_to_file(self._folder / "headgate.log"), self._cluster() as cluster:
                options = Options(
                    master=cluster.address,
                    data_dir=self._folder,
                    framework=default_framework(),
                    listen=self._listen,
                    worker_python=sys.executable,
                )
                with Service(options) as service:
                    return self._follow(screen, service, results, beginning)

    def _follow(self, screen: Console, service: Service, results: tuple[str, ...], beginning: str) -> ExitCode:
        name = self._spec.name
        screen.print(f"{name} runs on this machine; the API answers at {service.api_url}", markup=False)
        if beginning:
            screen.print(beginning, markup=False, soft_wrap=True)
        began_at = service.view().at
        try:
            self._hand_in(service)
            state = follow_job(screen, name, _looking_at(service), since=began_at)
        except KeyboardInterrupt:
            self._stop(screen, service)
            return ExitCode.INTERRUPTED
        job = service.view().find_job(name)
        assert job is not None, name
        if state is JobState.COMPLETED:
            counts = f"{count_text(job.audit.records_in)} records in, {count_text(job.audit.records_out)} out"
            screen.print(f"{name} is completed: {counts}", style="green", markup=False)
            for result in results:
                screen.print(f"result: {result}", markup=False, soft_wrap=True)
            self._tell_dead_letters(screen, job)
            return ExitCode.OK
        screen.print(
            f"{name} is {job.state.value}: {job.failure or 'somebody asked for it'}", style="red", markup=False
        )
        self._tell_last_words(screen)
        self._tell_dead_letters(screen, job)
        self._tell_folder(screen)
        return ExitCode.FAILED

    def _begin(self, records: Records) -> str:
        """Make ready for where this run starts, and say it in a line; a first run says nothing.

        Raises:
            StartFailed: the state is another job's.
        """
        found = records.jobs.get(self._spec.name)
        if found is None and records.jobs:
            others = ", ".join(sorted(records.jobs))
            raise StartFailed(f"{self._shown_folder} holds the state of {others}; name another with --data-dir")
        if found is None:
            return _ANEW if records.framework.submissions else ""
        if found.state is JobState.COMPLETED:
            self._begin_anew()
            return f"the run before was completed; {_ANEW}"
        parts = {
            "program": found.spec.program.sha256 != self._spec.program.sha256,
            "job file": replace(found.spec, program=self._spec.program) != self._spec,
        }
        changed = " and ".join(name for name, differs in parts.items() if differs)
        with_what = f", with the {changed} changed" if changed else ""
        return f"this run goes on from the checkpoints of the one before{with_what}; --fresh begins anew"

    def _hand_in(self, service: Service) -> None:
        """Have the job run; one that an earlier run left behind goes on if it is the same, and makes way if not."""
        found = service.view().find_job(self._spec.name)
        if found is not None and not found.state.over:
            if found.spec == self._spec and found.goal is Goal.RUN:
                return
            service.ask(Cancel(job=self._spec.name))
        if found is not None:
            _wait_until(service, self._spec.name, _gone)
        service.submit(self._spec, self._bundle)

    def _stop(self, screen: Console, service: Service) -> None:
        screen.print("stopping after the last checkpoints; Ctrl-C again ends it at once", style="yellow")
        try:
            service.ask(Cancel(job=self._spec.name))
            _wait_until(service, self._spec.name, lambda job: job.state.over)
        except (KeyboardInterrupt, UnknownJob):
            # Ended at once, or before it was submitted: what the last checkpoint holds is kept all the same.
            pass
        self._tell_folder(screen)

    def _tell_folder(self, screen: Console) -> None:
        text = f"state is kept in {self._shown_folder}: run it again to go on, or with --fresh to begin anew"
        screen.print(text, markup=False, soft_wrap=True)

    def _tell_dead_letters(self, screen: Console, job: JobView) -> None:
        """How many records could not be processed, and where they are."""
        text = dead_letters_text(job, f"{self._shown_folder}/checkpoints")
        if text:
            screen.print(text, style="yellow", markup=False, soft_wrap=True)

    def _tell_last_words(self, screen: Console) -> None:
        """The end of what the last worker wrote, which mostly says why."""
        found = [path for path in (self._folder / "cluster").rglob("stderr") if path.is_file() and path.stat().st_size]
        if not found:
            return
        newest = max(found, key=lambda path: path.stat().st_mtime)
        screen.print(f"the end of {newest}:", markup=False, soft_wrap=True)
        for line in newest.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_WORDS:]:
            screen.print(f"  {line}", markup=False, soft_wrap=True)

    def _cluster(self) -> EmbeddedCluster:
        """Agents that together hold all the workers the job may have, and each of them at least one."""
        worker, most = self._spec.worker, self._spec.workers.max
        share = -(-most // self._agents)
        cpus = max(share * worker.cpus_m / 1000, os.cpu_count() or 1)
        mem = max(share * worker.mem_m / 1000, 4096)
        disk = max(share * worker.disk_m / 1000, _DISK_MIB)
        gpus = f";gpus:{share * worker.gpus_m // 1000}" if worker.gpus_m else ""
        specs = []
        for number in range(self._agents):
            first = _FIRST_PORT + number * _PORTS_PER_AGENT
            ports = f"[{first}-{first + _PORTS_PER_AGENT - 1}]"
            resources = f"cpus:{cpus:g};mem:{mem:.0f};disk:{disk:.0f};ports:{ports}{gpus}"
            specs.append(AgentSpec(resources=resources, hostname=f"agent-{number + 1}"))
        return EmbeddedCluster(agents=specs, work_dir=self._folder / "cluster")

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The folder is this run's alone."""
        marker = self._folder / _MARKER
        if not marker.exists() and any((self._folder / name).exists() for name in _STATE):
            # A completed run drops its state; a scheduler's must never go that way.
            raise StartFailed(f"{self._shown_folder} holds the state of `headgate serve`; name another with --data-dir")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = marker.open("w")
        except OSError as problem:
            raise StartFailed(
                f"cannot keep state in {self._shown_folder}: {problem.strerror}; set --data-dir"
            ) from problem
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                other = "is it running in another terminal?"
                raise StartFailed(f"another run uses {self._shown_folder}: {other}") from problem
            yield

    def _begin_anew(self) -> None:
        """Drop the state but for the number of submissions."""
        path = self._folder / _RECORDS
        try:
            records = self._records()
        except StoreDamaged:
            records = Records()
            path.unlink()
        for name in _STATE:
            if not name.startswith(_RECORDS):
                _remove(self._folder / name)
        if records.jobs:
            with closing(SqliteStore(path)) as store:
                begun = encoded("framework", FrameworkRecord(submissions=records.framework.submissions))
                gone: dict[str, bytes | None] = dict.fromkeys(store.load(""))
                store.write({**gone, "framework": begun}, term=store.new_term())

    def _records(self) -> Records:
        """What earlier runs have left.

        Raises:
            StoreUnavailable, StoreDamaged: it cannot be read.
        """
        path = self._folder / _RECORDS
        if not path.exists():
            return Records()
        with closing(SqliteStore(path)) as store:
            return loaded(store.load(""))


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all in it, at one instant."""
    if path.is_dir():
        # A half-removed folder of checkpoints would be taken for damaged ones.
        aside = path.with_name(f"{path.name}-dropped")
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        shutil.rmtree(aside)
    else:
        path.unlink(missing_ok=True)


def _looking_at(service: Service) -> Callable[[], View]:
    def look() -> View:
        service.wait(0)
        return service.view()

    return look


def _gone(job: JobView) -> bool:
    return job.state.over and all(worker.task_id is None for worker in job.workers)


def _wait_until(service: Service, name: str, met: Callable[[JobView], bool]) -> None:
    """Until the job is as it should be, or there no more.

    Raises:
        StartFailed: not within two minutes.
    """
    pause = threading.Event()
    for _ in range(int(_OVER_S / _LOOK_EVERY_S)):
        service.wait(0)
        job = service.view().find_job(name)
        if job is None or met(job):
            return
        pause.wait(_LOOK_EVERY_S)
    raise StartFailed(f"{name} of an earlier run does not end; begin anew with --fresh")
