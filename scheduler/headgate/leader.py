"""One scheduler that leads, from the beginning of its term to the end.

Everything is made for the term and thrown away after it: nothing that was known before is believed in the next.  The
driver is made only when the records are loaded, so no event of the master can come too early; and nothing is said to
the master, nor is it subscribed to, at an instant at which the lead does not hold.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Protocol

from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_detection import Masters
from headgate.adapters.mesos_http import MesosHttpMaster
from headgate.errors import FrameworkRefused, MasterUnavailable, StaleLeader
from headgate.loop import Scheduler
from headgate.model.call import Call
from headgate.model.settings import Settings
from headgate.ports import Clock, Engine, Lead, Master, RecordStore

log = logging.getLogger(__name__)

_STOP_S: Final = 30.0


class Driver(Master, Protocol):
    """A `Master` with a life of its own."""

    def start(self) -> None:
        """Begin to subscribe, in the background.  Once."""

    def stop(self, *, failover: bool) -> None:
        """End; without `failover` the framework is torn down.  Idempotent.

        Raises:
            MasterUnavailable: not torn down, or nobody knows.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What every leader of this process works with.  `masters` makes a new look-out for each term.

    `other_driver`, if there is one, drives in place of our own; it finds masters by itself.
    """

    clock: Clock
    rng: Random
    store: RecordStore
    engines: Mapping[str, Engine]
    settings: Settings
    masters: Callable[[], Masters]
    access: Access
    other_driver: Callable[[Scheduler], Driver] | None = None


class Leader:
    """A loop and a driver that act while the lead holds.

    Making one takes a term and loads the records; `start` begins to act.

    Raises:
        StoreUnavailable, StoreDamaged: the store.
    """

    def __init__(self, office: Office, lead: Lead) -> None:
        self._lead: Final = lead
        master = _WhileLeading(lead)
        self.scheduler: Final = Scheduler(
            clock=office.clock,
            master=master,
            store=office.store,
            engines=office.engines,
            settings=office.settings,
        )
        self._driver: Final = office.other_driver(self.scheduler) if office.other_driver else self._own_driver(office)
        master.driver = self._driver
        self._ended: Final = threading.Event()
        self._stopping: Final = threading.Event()
        self._failure: BaseException | None = None
        self._thread: Final = threading.Thread(target=self._run, name="headgate-loop", daemon=True)

    def _own_driver(self, office: Office) -> Driver:
        return MesosHttpMaster(
            masters=_MastersWhileLeading(office.masters(), self._lead),
            framework=office.settings.framework,
            framework_id=self.scheduler.framework_id,
            deliver=self.scheduler.deliver,
            clock=office.clock,
            rng=office.rng,
            access=office.access,
        )

    @property
    def leads(self) -> bool:
        """Whether it has not ended; it may still have to hold its breath."""
        return not self._ended.is_set()

    def start(self) -> None:
        """Begin to subscribe and to decide.  Once."""
        self._lead.when_over(self.end)
        self._thread.start()
        self._driver.start()

    def wait(self) -> None:
        """Until it has been told to end, or has ended by itself."""
        self._ended.wait()

    def end(self) -> None:
        """Let whoever `wait`s go on, to `stop`.  Does not block."""
        self._ended.set()

    def stop(self, *, failover: bool = True) -> None:
        """End loop and driver; may be repeated.  Without `failover` the framework is torn down; if we lead, that is.

        Raises:
            HeadgateError: why it ended by itself, unless it was that it leads no more; told once.
        """
        self._ended.set()
        self._stopping.set()
        self.scheduler.wake()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        try:
            self._driver.stop(failover=failover or not self._lead.holds())
        except MasterUnavailable as problem:
            log.warning("the framework could not be torn down: %s", problem)
        self.scheduler.abandon(StaleLeader("this scheduler leads no more; ask again, the next leader will answer"))
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        try:
            self.scheduler.run(self._stopping)
        except StaleLeader as problem:
            log.warning("this scheduler leads no more: %s", problem)
        except FrameworkRefused as problem:
            # The master tells the old leader when the next one subscribes; that is no refusal of the framework.
            if self._lead.holds():
                self._failure = problem
            log.error("the master will not have us: %s", problem)
        except BaseException as problem:  # noqa: BLE001 - raised again in the thread that stops
            self._failure = problem
            log.error("the scheduler has ended: %s", problem)
        finally:
            self._ended.set()


class _WhileLeading:
    """The driver, for calls while the lead holds: it is made with what the loop has loaded, and the loop with this."""

    def __init__(self, lead: Lead) -> None:
        self._lead: Final = lead
        self.driver: Master | None = None

    def send(self, call: Call) -> None:
        """See `ports.Master`."""
        if self.driver is None or not self._lead.holds():
            raise MasterUnavailable(f"{type(call).__name__} was not sent: this scheduler does not lead now")
        self.driver.send(call)


class _MastersWhileLeading:
    """Masters, none while the lead does not hold: to subscribe is to take the framework from who leads."""

    def __init__(self, masters: Masters, lead: Lead) -> None:
        self._masters: Final = masters
        self._lead: Final = lead

    def start(self, changed: Callable[[], None]) -> None:
        self._masters.start(changed)

    def next(self) -> str | None:
        return self._masters.next() if self._lead.holds() else None

    def trusts(self, url: str) -> bool:
        return self._masters.trusts(url)

    def close(self) -> None:
        self._masters.close()
