"""What the loop needs of the world, as shapes.  Adapters fill them; tests and the simulation fill them too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from headgate.model.call import Call, Launch
from headgate.model.event import MasterEvent
from headgate.model.ids import AgentId, Attempt
from headgate.model.job import JobSpec
from headgate.model.resources import Resources

Deliver = Callable[[MasterEvent], None]
"""Where a driver puts events: the loop's mailbox.  Called from the driver's own thread; must not block."""


class Clock(Protocol):
    """The one source of time."""

    def now(self) -> float:
        """Seconds since the epoch, for what people and other machines see."""

    def monotonic(self) -> float:
        """Seconds that never jump, for intervals."""


class Master(Protocol):
    """The leading Mesos master, wherever it is."""

    def send(self, call: Call) -> None:
        """Hand one call over.  Returning means: it is in the master's queue, no more.

        Raises:
            MasterUnavailable: not subscribed, no leader, no answer: the outcome is unknown.
            CallRejected: the master refused it; the same call will be refused again.
        """


RECORD_BYTES_MAX: Final = 512 * 1024
"""The largest value a store takes; ZooKeeper's own limit is 1 MiB with everything around it."""


class RecordStore(Protocol):
    """Small versioned records under text keys, written by one leader at a time.

    Every write carries the leader's `term`; a write with a term below the newest seen is refused.
    Keys are `/`-separated paths without a leading slash; values are at most `RECORD_BYTES_MAX` bytes.
    Thread-safe.
    """

    def load(self, prefix: str) -> Mapping[str, bytes]:
        """All records whose key starts with `prefix`, sorted by key.

        Raises:
            StoreUnavailable: no answer.
        """

    def write(self, changes: Mapping[str, bytes | None], *, term: int) -> None:
        """Put (or, with None, delete) these records: all or none.  Safe to repeat.

        Raises:
            StaleLeader: a newer term has been given out.
            RecordTooLarge: nothing is written.
            StoreUnavailable: outcome unknown; the write may have landed.
        """

    def new_term(self) -> int:
        """Take the lead: a term above every earlier one; writes of older terms are refused from now on.

        Raises:
            StoreUnavailable: no answer.
        """

    def close(self) -> None:
        """Give connections and files back.  Idempotent."""


class Lead(Protocol):
    """One time of leading, from being elected to its end.  Thread-safe."""

    def holds(self) -> bool:
        """Whether we may act at this instant; it may come back until the lead is over.  Cheap; never waits."""

    def when_over(self, call: Callable[[], None]) -> None:
        """Have it called, from any thread, when the lead is over for good; at once if it is.  It must not block."""


class Election(Protocol):
    """Which of several schedulers on one store acts.  Thread-safe."""

    def start(self, url: str) -> None:
        """Stand for the lead, in the background; `url` is where others reach our API."""

    def lead(self, timeout_s: float) -> Lead | None:
        """The lead, as soon as it is ours, each time anew; None: not within the time.

        The one before must have been let go of: nothing may act on its behalf any more.
        """

    def leader(self) -> str | None:
        """The URL of who leads, as far as known; None: nobody, or nobody knows."""

    def resign(self) -> None:
        """Let others lead first; we stand again behind them."""

    def close(self) -> None:
        """Stand no more; who leads lets go.  Idempotent."""


class Engine(Protocol):
    """How jobs of one kind become workers.  Pure: equal arguments give equal launches."""

    def mistakes(self, spec: JobSpec) -> tuple[str, ...]:
        """What is wrong with a job for this engine, in complete sentences with the path; empty: it can run."""

    def launch(
        self, spec: JobSpec, attempt: Attempt, *, agent_id: AgentId, resources: Resources, bundle_url: str | None
    ) -> Launch:
        """The whole of what Mesos is told to start one attempt.

        `bundle_url` is where the agent fetches the program's bundle; None for a job without one.
        """
