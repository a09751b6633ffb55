"""Where a story is told: a cluster to which things can be done, and at which things can be seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from headgate.testing.story.acts import Act
from headgate.testing.story.expectations import Seen, Sight


class CannotDo(Exception):
    """This stage has no way to do, or to see, that; the text says why."""


class StageFailed(Exception):
    """The stage itself is broken: an agent that is not known, a process that cannot be started, a job refused."""


class Stage(Protocol):
    """A cluster, simulated or real."""

    patience_s: float
    """How long an expectation that says nothing else is waited for."""

    @property
    def seen(self) -> Sequence[Seen]:
        """Everything so far, oldest first."""

    def now(self) -> float:
        """Seconds since the story began."""

    def do(self, act: Act) -> None:
        """Let it happen.

        Raises:
            CannotDo: it cannot be done here.
            StageFailed: it went wrong.
        """

    def blind_to(self, sight: Sight) -> str | None:
        """Why such a thing is never seen here; None: it is."""

    def wait(self, until: Callable[[], bool], within_s: float) -> bool:
        """Let time pass until something is so, or that time is over; whether it is so."""

    def notes(self) -> Sequence[str]:
        """What else may explain a failure, in lines."""

    def close(self) -> None:
        """End everything that was begun.  Idempotent."""
