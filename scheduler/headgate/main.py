"""The wiring: one scheduler with everything around it.  The only place that knows every adapter.

`headgate serve`, `headgate run` and the demo start the same `Service`; they differ in the master they point it at.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
import threading
from concurrent.futures import TimeoutError as NotInTime
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

from headgate.adapters.api_server import Address, ApiServer
from headgate.adapters.bundles import Bundle, BundleStore
from headgate.adapters.clock import SystemClock
from headgate.adapters.http_api import api_application
from headgate.adapters.memory_store import MemoryStore
from headgate.adapters.mesos_access import Doors, access_through, find_masters
from headgate.adapters.mesos_http import MesosHttpMaster
from headgate.adapters.sqlite_store import SqliteStore
from headgate.engines.millstream import NAME as MILLSTREAM
from headgate.engines.millstream import MillstreamEngine
from headgate.errors import BadOption, MasterUnavailable, StartFailed, StoreUnavailable
from headgate.loop import Scheduler
from headgate.model.call import Call, Framework
from headgate.model.command import Cancel, Command, Receipt, Scale, Submit
from headgate.model.job import JobSpec
from headgate.model.settings import Settings
from headgate.model.view import View
from headgate.ports import Clock, Master, RecordStore

log = logging.getLogger(__name__)

DEFAULT_LISTEN: Final = Address(host="127.0.0.1", port=10480)
_RECEIPT_S: Final = 30.0
_VIEW_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.01
_STOP_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator says when starting a scheduler.

    `master` is `host:port,…`, `http(s)://…` or `zk://…/mesos`; `store` is `sqlite:PATH`, `memory`, or None for SQLite
    in `data_dir`.  `data_dir` also keeps bundles, and checkpoints of jobs that name no store of their own.  `advertise`
    is the URL under which agents fetch bundles; None: that of `listen`.  `token` is what the API asks for.  `doors`
    is how we are let in at the masters.
    """

    master: str
    data_dir: Path
    framework: Framework
    store: str | None = None
    listen: Address = DEFAULT_LISTEN
    advertise: str | None = None
    token: str | None = None
    doors: Doors = field(default_factory=Doors)
    worker_python: str = "python3"


class Service:
    """A scheduler that runs: loop, Mesos driver, store, bundles, API.  Methods may be called from any thread.

    Making one opens the store and takes the API's port; `start` begins to act; `stop` ends it all and may be repeated.
    As a context manager it starts, and stops with failover: running tasks stay for the next scheduler.

    Raises:
        StartFailed: a port in use, an option that makes no sense.
        StoreUnavailable, StoreDamaged: the store.
    """

    def __init__(self, options: Options, *, clock: Clock | None = None, rng: Random | None = None) -> None:
        require_token_beyond_loopback(options)
        clock = clock or SystemClock()
        data_dir = options.data_dir.resolve()
        try:
            self.bundles: Final = BundleStore(data_dir / "bundles")
        except OSError as problem:
            raise StartFailed(f"cannot keep state in {data_dir}: {problem.strerror}; set --data-dir") from problem
        masters = find_masters(options.master, tls=options.doors.tls)
        access = access_through(options.doors, clock)
        master = _LateMaster()
        framework = options.framework
        self._ended: Final = threading.Event()
        self._stopping: Final = threading.Event()
        self._failure: BaseException | None = None
        with ExitStack() as undo:
            application = api_application(self, self.bundles, token=options.token, hosts=_own_names(options))
            self._api: Final = ApiServer(application, options.listen)
            undo.callback(self._api.stop)
            self._store: Final = open_store(options.store, data_dir)
            undo.callback(self._store.close)
            self.url: Final = (options.advertise or _reachable(self._api.address)).rstrip("/")
            framework = replace(framework, webui_url=self.url)
            engine = MillstreamEngine(default_store=str(data_dir / "checkpoints"), python=options.worker_python)
            self._scheduler: Final = Scheduler(
                clock=clock,
                master=master,
                store=self._store,
                engines={MILLSTREAM: engine},
                settings=Settings(framework=framework, bundles_url=f"{self.url}/v1/bundles"),
            )
            undo.pop_all()
        self._driver: Final = MesosHttpMaster(
            masters=masters,
            framework=framework,
            framework_id=self._scheduler.framework_id,
            deliver=self._scheduler.deliver,
            clock=clock,
            rng=rng or Random(),
            access=access,
        )
        master.driver = self._driver
        self._thread: Final = threading.Thread(target=self._run, name="headgate-loop", daemon=True)

    @property
    def api_url(self) -> str:
        """Where this machine reaches the API."""
        return self._api.url

    def view(self) -> View:
        """The newest view; never waits."""
        return self._scheduler.view

    def ask(self, command: Command) -> Receipt:
        """Have the scheduler take a command; returns once it is saved, and a new job is in the view.

        See `api_types.Gate` for what is raised.
        """
        self._raise_failure()
        scheduler = self._scheduler
        match command:
            case Submit():
                promise = scheduler.submit(command.spec)
            case Scale():
                promise = scheduler.scale(command.job, command.workers)
            case Cancel():
                promise = scheduler.cancel(command.job)
        try:
            receipt = promise.result(_RECEIPT_S)
        except NotInTime as problem:
            text = f"the scheduler has not saved this within {_RECEIPT_S:g} s, and may still do so"
            raise StoreUnavailable(f"{text}: look before you ask again") from problem
        if isinstance(command, Submit):
            self._await_in_view(receipt)
        return receipt

    def submit(self, spec: JobSpec, bundle: Bundle) -> Receipt:
        """Keep the bundle and run the job; `spec.program.sha256` is the bundle's.

        Raises:
            BadJob: refused, with every reason.
        """
        assert spec.program.sha256 == bundle.sha256, spec.program
        self.bundles.save(bundle.sha256, bundle.data)
        return self.ask(Submit(spec=spec))

    def start(self) -> None:
        """Begin to subscribe, to decide and to answer.  Once.

        Raises:
            StartFailed: the API does not come up.
        """
        self._thread.start()
        self._driver.start()
        self._api.start()
        log.info("the API answers at %s; agents fetch bundles from %s", self._api.url, self.url)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until the scheduler has ended, by itself or by `end`, or time is up; whether it has.

        Raises:
            StaleLeader, FrameworkRefused, StoreDamaged: why it ended.
        """
        ended = self._ended.wait(timeout_s)
        self._raise_failure()
        return ended

    def end(self) -> None:
        """Let whoever `wait`s go on, to `stop`; may be called from a signal handler."""
        self._ended.set()

    def stop(self, *, failover: bool = True) -> None:
        """End everything.  With `failover` tasks run on for the framework's failover timeout, and the next scheduler on
        the same store takes them over; without, the framework is torn down and its tasks are killed.
        """
        self._api.stop()
        self._stopping.set()
        self._scheduler.wake()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        try:
            self._driver.stop(failover=failover)
        except MasterUnavailable as problem:
            log.warning("the framework could not be torn down: %s", problem)
        self._store.close()

    def __enter__(self) -> Service:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _await_in_view(self, receipt: Receipt) -> None:
        """The receipt comes within a tick, the view at its end: who asks next must not see what was before."""
        for _ in range(int(_VIEW_S / _LOOK_EVERY_S)):
            job = self.view().find_job(receipt.job)
            if job is not None and job.submission >= receipt.submission:
                return
            self._ended.wait(_LOOK_EVERY_S)

    def _run(self) -> None:
        try:
            self._scheduler.run(self._stopping)
        except BaseException as problem:  # noqa: BLE001 - raised again in the thread that waits for the scheduler
            self._failure = problem
            log.error("the scheduler has ended: %s", problem)
        finally:
            self._ended.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


class _LateMaster:
    """The driver, once it is there: it is made with what the loop has loaded, and the loop is made with it."""

    def __init__(self) -> None:
        self.driver: Master | None = None

    def send(self, call: Call) -> None:
        """See `ports.Master`."""
        if self.driver is None:
            raise MasterUnavailable(f"{type(call).__name__} was not sent: the driver has not started")
        self.driver.send(call)


def open_store(text: str | None, data_dir: Path) -> RecordStore:
    """The store that `--store` means.

    Raises:
        StartFailed: there is no such kind of store.
        StoreUnavailable, StoreDamaged: it cannot be opened.
    """
    kind, _, where = (text if text is not None else f"sqlite:{data_dir / 'headgate.db'}").partition(":")
    if kind == "sqlite" and where:
        return SqliteStore(Path(where))
    if kind == "memory" and not where:
        return MemoryStore()
    if kind == "zk":
        raise BadOption(f"--store {text}: ZooKeeper is not supported as a store yet; write sqlite:PATH")
    raise BadOption(f"--store {text}: there is no such store; write sqlite:PATH or memory")


def require_token_beyond_loopback(options: Options) -> None:
    """Whoever reaches the API can run programs on the cluster.

    Raises:
        StartFailed: others can reach it, and no token is set.
    """
    if options.token is None and not options.listen.loopback:
        raise BadOption(
            f"--listen {options.listen} lets others reach the API, and whoever reaches it can run programs on the "
            "cluster: set --api-token-file, or listen at 127.0.0.1"
        )


def default_framework(*, role: str = "*", user: str | None = None) -> Framework:
    """What we say of ourselves when nobody says otherwise; tasks run as the user of this process.

    Raises:
        StartFailed: this process runs as a user without a name, as in many containers, and no other is given.
    """
    try:
        return Framework(user=user or getpass.getuser(), roles=(role,), hostname=socket.gethostname())
    except (KeyError, OSError) as problem:
        text = f"the user {os.getuid()} of this process has no name, so workers cannot run as it on the agents"
        raise StartFailed(f"{text}: set --user or HEADGATE_USER") from problem


def _own_names(options: Options) -> frozenset[str]:
    advertised = urlsplit(options.advertise).hostname if options.advertise else None
    return frozenset(name.lower() for name in (options.listen.host, advertised) if name)


def _reachable(address: Address) -> str:
    """The URL of an address; a wildcard is reached under the machine's name."""
    if address.host in ("0.0.0.0", "::"):
        return f"http://{socket.getfqdn()}:{address.port}"
    return f"http://{address}"
