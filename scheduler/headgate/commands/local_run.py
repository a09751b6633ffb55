"""One job on a simulated cluster in this process, with real workers: what `headgate run` does.

State is kept in one folder: records, checkpoints, bundles, the sandboxes of the last run and its log.  A run that is
interrupted leaves it for the next one; a job that is completed needs it no more.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from headgate.adapters.api_server import Address
from headgate.adapters.bundles import Bundle
from headgate.adapters.logs import logging_to_file
from headgate.adapters.terminal import follow_job
from headgate.adapters.terminal_text import count_text
from headgate.commands.exits import ExitCode
from headgate.errors import BadJob, StartFailed, UnknownJob
from headgate.main import Options, Service, default_framework
from headgate.model.call import ContainerType
from headgate.model.command import Cancel
from headgate.model.job import JobSpec
from headgate.model.record import JobState
from headgate.model.view import JobView, View
from headgate.simulator.embedded import AgentSpec, EmbeddedCluster

_LOOK_EVERY_S: Final = 0.1
_OVER_S: Final = 120.0
_FIRST_PORT: Final = 31_000
_PORTS_PER_AGENT: Final = 200
_DISK_MIB: Final = 1_000_000
_LAST_WORDS: Final = 15
_MARKER: Final = "headgate-run.lock"
"""Says that the folder is a run's; locked while one uses it."""
_STATE: Final = (
    "headgate.db",
    "headgate.db-wal",
    "headgate.db-shm",
    "checkpoints",
    "bundles",
    "cluster",
    "headgate.log",
)


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
        """Drop what earlier runs have left.

        Raises:
            StartFailed: a run is using it.
        """
        with self._held():
            self._drop_state()

    def show(self, screen: Console, *, results: tuple[str, ...] = ()) -> ExitCode:
        """Run the job and show it until it ends, or is interrupted; how it ended.

        `results` says where its output goes, for the last line.

        Raises:
            StartFailed: another run uses the folder; a port is in use.
            BadJob: the job is refused.
        """
        with self._held(), _sigterm_as_interrupt():
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
                    code = self._follow(screen, service, results)
            if code is ExitCode.OK:
                self._drop_state()
            return code

    def _follow(self, screen: Console, service: Service, results: tuple[str, ...]) -> ExitCode:
        name = self._spec.name
        screen.print(f"{name} runs on this machine; the API answers at {service.api_url}", markup=False)
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
            return ExitCode.OK
        screen.print(
            f"{name} is {job.state.value}: {job.failure or 'somebody asked for it'}", style="red", markup=False
        )
        self._tell_last_words(screen)
        self._tell_folder(screen)
        return ExitCode.FAILED

    def _hand_in(self, service: Service) -> None:
        """Have the job run; one that an earlier run left behind goes on if it is the same, and makes way if not."""
        found = service.view().find_job(self._spec.name)
        if found is not None and not found.state.over:
            if found.spec == self._spec:
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

    def _drop_state(self) -> None:
        for name in _STATE:
            path = self._folder / name
            if path.is_dir():
                shutil.rmtree(path)
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


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
