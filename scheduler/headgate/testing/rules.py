"""What must hold at every instant, rule by rule: the shape of a rule, and what it is told.

Each rule hears of everything that crosses a border of the scheduler and raises `Violation` when it is broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from headgate.errors import StaleLeader
from headgate.model.call import Call
from headgate.model.event import MasterEvent
from headgate.model.ids import FrameworkId
from headgate.testing.shard_log import Entry
from headgate.testing.stored_records import StoredRecords
from headgate.testing.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Leads:
    """A scheduler process has taken the lead and loaded the store; it will subscribe as this framework."""

    who: str
    framework_id: FrameworkId | None


@dataclass(frozen=True, slots=True)
class Saved:
    """A write has landed; `confirmed`: and the scheduler will hear that it has."""

    changes: Mapping[str, bytes | None]
    term: int
    confirmed: bool

    def keys(self, kind: str) -> list[list[str]]:
        """The keys of records of one kind that were written, not deleted, split at their slashes."""
        return [key.split("/") for key, value in self.changes.items() if key.startswith(f"{kind}/") and value]


@dataclass(frozen=True, slots=True)
class Sent:
    """A call has reached the master, which is about to take it in."""

    who: str
    call: Call


@dataclass(frozen=True, slots=True)
class Heard:
    """An event has reached a scheduler, which will take it in with its next tick."""

    who: str
    event: MasterEvent


@dataclass(frozen=True, slots=True)
class Written:
    """An entry is in a shard's log."""

    job: str
    shard: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Stopped:
    """A scheduler process has ended by itself."""

    who: str
    problem: Exception


@dataclass(frozen=True, slots=True)
class Ticks:
    """A scheduler is about to tick, at what it takes for the time."""

    who: str
    now: float


@dataclass(frozen=True, slots=True)
class Hindered:
    """Something outside keeps a scheduler from acting, until then or (if that is past) in this tick."""

    who: str
    until: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A scheduler process is no more."""

    who: str


Happening = Leads | Saved | Sent | Heard | Written | Stopped | Ticks | Hindered | Ended


class Violation(Exception):
    """A rule is broken."""

    def __init__(self, rule: str, text: str) -> None:
        super().__init__(f"{rule}: {text}")
        self.rule = rule


class Rule(Protocol):
    """One rule.  Made anew for each world, with the store's content as it lands, and the time."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        """`store` shows, when a rule hears of a write, what was written as well."""

    def see(self, happened: Happening) -> None:
        """Take in what happened.

        Raises:
            Violation: it must not.
        """


class Rules:
    """All rules as one."""

    def __init__(self, store: StoredRecords, rules: Iterable[Rule]) -> None:
        self._store = store
        self._rules = tuple(rules)

    def see(self, happened: Happening) -> None:
        """Tell every rule.

        Raises:
            Violation: of the first that is broken.
        """
        if isinstance(happened, Saved):
            self._store.land(happened.changes)
        for rule in self._rules:
            rule.see(happened)


class Terms:
    """Whoever has taken the lead last is the only one whose writes land; nothing else ends a scheduler."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del store, timeline  # This rule is about the store's own.
        self._term = 0

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Saved(term=term):
                if term < self._term:
                    raise Violation("Terms", f"a write of term {term} landed after one of {self._term}")
                self._term = term
            case Stopped(who=who, problem=problem):
                if not isinstance(problem, StaleLeader) and "failed over" not in str(problem):
                    raise Violation("Terms", f"{who} gave up: {problem}")
