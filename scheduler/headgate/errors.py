"""What the world does to us, as exceptions.  Expected outcomes are values, our own mistakes are asserts.

`HeadgateError` is never raised itself.  Adapters translate at the edge and keep the original as the cause; the text
says what happened, where, and what to do.
"""

from __future__ import annotations


class HeadgateError(Exception):
    """Root of the tree; `retry` says whether the same thing may succeed later without anybody mending anything."""

    retry = False


class MasterUnavailable(HeadgateError):
    """The call did not reach a leading master, or its answer was lost: the outcome is unknown."""

    retry = True


class CallRejected(HeadgateError):
    """The master answered a call with a refusal (4xx): sending it again will not help."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class StoreUnavailable(HeadgateError):
    """The store did not answer: the write may have landed."""

    retry = True


class StaleLeader(HeadgateError):
    """A newer leader has written: stop acting at once."""


class RecordTooLarge(HeadgateError):
    """A record is larger than every store takes; nothing was written."""


class StoreDamaged(HeadgateError):
    """A stored record cannot be read: its key, what is wrong, and which versions this build reads."""


class FrameworkRefused(HeadgateError):
    """The master will not have us as the framework we are, or knows us as another: nothing can go on."""


class BadJob(HeadgateError):
    """A job that cannot be accepted; `mistakes` are complete sentences, one per fault, each with its path."""

    def __init__(self, mistakes: tuple[str, ...]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class UnknownJob(HeadgateError):
    """No job of that name."""


class StartFailed(HeadgateError):
    """Something needed at the start is not there: a port in use, a missing file, no master."""


class BadOption(StartFailed):
    """An option, or what it names, makes no sense: nothing was begun."""
