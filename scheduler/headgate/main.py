"""The wiring: one scheduler process with everything around it.  The only place that knows every adapter.

`headgate serve`, `headgate run` and the demo start the same `Service`; they differ in the master they point it at.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from concurrent.futures import TimeoutError as NotInTime
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final

from headgate.adapters.api_server import Address, ApiServer
from headgate.adapters.api_types import Leadership
from headgate.adapters.bundles import Bundle, BundleStore
from headgate.adapters.clock import SystemClock
from headgate.adapters.http_api import api_application
from headgate.adapters.mesos_access import access_through, find_masters
from headgate.adapters.pymesos_master import PymesosMaster, load_pymesos, require_what_pymesos_can
from headgate.adapters.stores import open_archive
from headgate.engines.millstream import NAME as MILLSTREAM
from headgate.engines.millstream import MillstreamEngine
from headgate.errors import StaleLeader, StartFailed, StoreUnavailable
from headgate.leader import Leader, Office
from headgate.loop import Scheduler
from headgate.model.command import Command, Receipt, Submit
from headgate.model.ids import AgentId
from headgate.model.job import JobSpec
from headgate.model.settings import Settings
from headgate.model.view import MasterView, View
from headgate.model.waiting import AgentExplanation, DryRun
from headgate.ports import Clock, Lead
from headgate.service_options import Options, own_names, require_token_beyond_loopback

log = logging.getLogger(__name__)

_RECEIPT_S: Final = 30.0
_VIEW_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.01
_STOP_S: Final = 60.0
_ELECTED_S: Final = 3.0
"""How long a start waits to be elected before it says that it stands by."""
_PAUSE_S: Final = 1.0
"""Between two terms, so that a fault which ends each does not fill the log."""
_BUNDLE_UNUSED_S: Final = 3600.0
"""A bundle comes before the job that uses it."""


class Service:
    """A scheduler process: API, store, bundles, election, and a `Leader` whenever it is elected.

    Methods may be called from any thread.  Making one opens the store and takes the API's port; `start` begins to stand
    for the lead; `stop` ends it all and may be repeated.  As a context manager it starts, and stops with failover:
    running tasks stay for the next scheduler.

    Raises:
        StartFailed: a port in use, an option that makes no sense.
        StoreUnavailable, StoreDamaged: the store.
    """

    def __init__(self, options: Options, *, clock: Clock | None = None, rng: Random | None = None) -> None:
        require_token_beyond_loopback(options)
        self._clock: Final = clock or SystemClock()
        data_dir = options.data_dir.resolve()
        _make_folder(data_dir)
        self._options: Final = options
        if options.pymesos:
            require_what_pymesos_can(options.master, options.doors)
            load_pymesos()
        find_masters(options.master, tls=options.doors.tls).close()
        access = access_through(options.doors, self._clock)
        self._leader: Leader | None = None
        self._failover = True
        self._told = ""
        self._settled: Final = threading.Event()
        self._ended: Final = threading.Event()
        self._stopping: Final = threading.Event()
        self._failure: BaseException | None = None
        with ExitStack() as undo:
            self._archive: Final = open_archive(
                options.store, data_dir, clock=self._clock, zk_auth=options.zk_auth, zk_session_s=options.zk_session_s
            )
            undo.callback(self._archive.close)
            self.bundles: Final = BundleStore(data_dir / "bundles", self._archive.bundles)
            application = api_application(self, self.bundles, token=options.token, hosts=own_names(options))
            self._api: Final = ApiServer(application, options.listen)
            undo.callback(self._api.stop)
            self.url: Final = (options.advertise or _reachable(self._api.address)).rstrip("/")
            undo.pop_all()
        engine = MillstreamEngine(default_store=str(data_dir / "checkpoints"), python=options.worker_python)
        self._office: Final = Office(
            clock=self._clock,
            rng=rng or Random(),
            store=self._archive.records,
            engines={MILLSTREAM: engine},
            settings=Settings(
                framework=replace(options.framework, webui_url=self.url),
                bundles_url=f"{self.url}/v1/bundles",
                gpus=options.gpus,
                disaster=options.disaster,
                forget_framework=options.forget_framework,
            ),
            masters=lambda: find_masters(options.master, tls=options.doors.tls),
            access=access,
            other_driver=self._over_pymesos if options.pymesos else None,
        )
        self._thread: Final = threading.Thread(target=self._run, name="headgate-terms", daemon=True)

    def _over_pymesos(self, scheduler: Scheduler) -> PymesosMaster:
        return PymesosMaster(
            master=self._options.master,
            doors=self._options.doors,
            framework=self._office.settings.framework,
            framework_id=scheduler.framework_id,
            deliver=scheduler.deliver,
            clock=self._clock,
        )

    @property
    def api_url(self) -> str:
        """Where this machine reaches the API."""
        return self._api.url

    def leadership(self) -> Leadership:
        """Whether this process leads, and the URL of who does."""
        leads = self._leader is not None
        return Leadership(leads=leads, leader=self.url if leads else self._archive.election.leader())

    def view(self) -> View:
        """The newest view; of a scheduler that does not lead, one that says so.  Never waits."""
        leader = self._leader
        if leader is not None:
            return leader.scheduler.view
        return View(at=self._clock.now(), master=MasterView(problem=self._why_not_leading()))

    def dry_run(self, spec: JobSpec) -> DryRun:
        """What would become of a job if it were submitted now.  See `api_types.Gate`."""
        found = self._leading().scheduler.dry_run(spec)
        if found is None:
            raise StoreUnavailable("the scheduler has not looked at the cluster yet; ask again in a second")
        return found

    def explain_agent(self, agent_id: AgentId) -> AgentExplanation | None:
        """What became of an agent's last offers.  See `api_types.Gate`."""
        return self._leading().scheduler.explain_agent(agent_id)

    def ask(self, command: Command) -> Receipt:
        """Have the scheduler take a command; returns once it is saved, and a new job is in the view.

        See `api_types.Gate` for what is raised.
        """
        leader = self._leading()
        promise = leader.scheduler.ask(command)
        if not leader.leads:
            leader.scheduler.abandon(StaleLeader(self._why_not_leading()))
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
        """Begin to answer and to stand for the lead; returns when it leads, or has to wait for that.  Once.

        Raises:
            StartFailed: the API does not come up.
            StoreDamaged: the store holds what this build cannot read.
        """
        self._api.start()
        log.info("the API answers at %s; agents fetch bundles from %s", self._api.url, self.url)
        self._archive.election.start(self.url)
        self._thread.start()
        self._settled.wait()
        self._raise_failure()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until the scheduler has ended, by itself or by `end`, or time is up; whether it has.

        Raises:
            FrameworkRefused, StoreDamaged: why it ended.
        """
        ended = self._ended.wait(timeout_s)
        self._raise_failure()
        return ended

    def end(self) -> None:
        """Let whoever `wait`s go on, to `stop`; may be called from a signal handler."""
        self._ended.set()

    def stop(self, *, failover: bool = True) -> None:
        """End everything.  With `failover` tasks run on for the framework's failover timeout, and the next scheduler on
        the same store takes them over; without, the framework is torn down and its tasks are killed, if we lead.
        """
        self._failover = failover
        self._stopping.set()
        leader = self._leader
        if leader is not None:
            leader.end()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        self._api.stop()
        self._archive.close()

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

    def _leading(self) -> Leader:
        self._raise_failure()
        leader = self._leader
        if leader is None:
            raise StaleLeader(self._why_not_leading())
        return leader

    def _why_not_leading(self) -> str:
        leader = self._archive.election.leader()
        return f"standing by: the scheduler at {leader} leads" if leader else "standing by: no scheduler leads now"

    def _run(self) -> None:
        """Lead whenever elected, each time from what the store holds."""
        try:
            while not self._stopping.is_set():
                try:
                    lead = self._archive.election.lead(_ELECTED_S)
                    if lead is None:
                        self._stand_by()
                    else:
                        self._lead(lead)
                except StoreUnavailable as problem:
                    log.warning("cannot take the lead, others may: %s", problem)
                    self._settled.set()
                    self._archive.election.resign()
                    self._stopping.wait(_PAUSE_S)
        except BaseException as problem:  # noqa: BLE001 - raised again in the thread that waits for the scheduler
            self._failure = problem
            log.error("the scheduler has ended: %s", problem)
        finally:
            self._settled.set()
            self._ended.set()

    def _stand_by(self) -> None:
        if (told := self._why_not_leading()) != self._told:
            self._told = told
            log.info("%s", told)
        self._settled.set()

    def _lead(self, lead: Lead) -> None:
        leader = Leader(self._office, lead)
        leader.start()
        self._leader = leader
        self._told = ""
        log.info("leading, as framework %s", leader.scheduler.framework_id or "not yet registered")
        self._settled.set()
        try:
            self._tidy_bundles(leader)
            if not self._stopping.is_set():
                leader.wait()
        finally:
            self._leader = None
            leader.stop(failover=self._failover)
        if lead.holds() and not self._stopping.is_set():
            log.warning("elected and yet overtaken: another goes first")
            self._archive.election.resign()
            self._stopping.wait(_PAUSE_S)

    def _tidy_bundles(self, leader: Leader) -> None:
        """Once in a term is enough: programs are small, and seldom new."""
        if self._archive.bundles is None:
            return
        used = {job.spec.program.sha256 for job in leader.scheduler.view.jobs if job.spec.program.sha256 is not None}
        try:
            self._archive.bundles.drop_unused(used, made_before=self._clock.now() - _BUNDLE_UNUSED_S)
        except StoreUnavailable as problem:
            log.warning("bundles that no job uses stay in ZooKeeper for now: %s", problem)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


def _make_folder(data_dir: Path) -> None:
    try:
        (data_dir / "bundles").mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise StartFailed(f"cannot keep state in {data_dir}: {problem.strerror}; set --data-dir") from problem


def _reachable(address: Address) -> str:
    """The URL of an address; a wildcard is reached under the name that Marathon gives, or the machine's own."""
    if address.host in ("0.0.0.0", "::"):
        host = os.environ.get("HOST") if "MARATHON_APP_ID" in os.environ else None
        return f"http://{host or socket.getfqdn()}:{address.port}"
    return f"http://{address}"
