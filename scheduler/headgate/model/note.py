"""What happened, in a sentence for people: the history of a job and of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from headgate.model.ids import JobName


class NoteKind(Enum):
    """What a note is about."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    SUBMITTED = "submitted"
    STATE = "state"
    LAUNCHED = "launched"
    RUNNING = "running"
    FAILED = "failed"
    LOST = "lost"
    KILLED = "killed"
    ENDED = "ended"
    ASSIGNED = "assigned"
    MOVED = "moved"
    SCALED = "scaled"
    RESERVED = "reserved"
    MAINTENANCE = "maintenance"
    WAITING = "waiting"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """One thing that happened.  `at` is in seconds since the epoch; `text` is a sentence with its reason."""

    at: float
    kind: NoteKind
    text: str
    job: JobName | None = None
    worker: int | None = None
