"""What can go wrong while a stream program is built, loaded and run.

Three trees: the program is wrong (`ProgramError`), the world failed (`SourceFailed`, `SinkFailed`, `StoreUnavailable`),
or the program's own code raised while it ran (`ShardFailed`).  `Fenced` is none of them: it says that somebody else
owns the shard now, and its only remedy is to let go.
"""

from __future__ import annotations

import traceback
from pathlib import Path

_OWN_FOLDER = str(Path(__file__).resolve().parent)
_FOREIGN = ("/polars/", "\\polars\\", "<frozen ", "/importlib/")


class MillstreamError(Exception):
    """Root of all errors that this library raises on purpose."""


class ProgramError(MillstreamError):
    """The stream program is wrong.  `where` is the user's `file:line`, when it is known."""

    def __init__(self, message: str, *, where: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where


class IncompatibleState(MillstreamError):
    """A checkpoint holds state that this program cannot take over.  Nothing was changed."""


class ShardFailed(MillstreamError):
    """The program's own code raised.

    `operator` names the step, `where` is the innermost frame of the user's code, `attempt` counts how often this very
    batch has failed.
    """

    def __init__(self, *, shard: str, operator: str, message: str, where: str | None, attempt: int = 1) -> None:
        place = f" at {where}" if where else ""
        super().__init__(f"shard {shard}: {operator} failed{place}: {message}")
        self.shard = shard
        self.operator = operator
        self.message = message
        self.where = where
        self.attempt = attempt


class SourceFailed(MillstreamError):
    """The source cannot be read, or is not what it was (a file became shorter).  Trying again may help."""


class SinkFailed(MillstreamError):
    """The sink refused or lost what was written.  Nothing of it is committed."""


class StoreUnavailable(MillstreamError):
    """The checkpoint store did not answer; the write may or may not have landed.  Trying again is safe."""


class DamagedLog(MillstreamError):
    """A shard has checkpoints and none of them is whole.  Starting over is the operator's decision: delete its log."""


class Fenced(MillstreamError):
    """Another owner has the shard.  Stop at once, throw away what was prepared, write nothing more."""

    def __init__(self, *, shard: str, epoch: int, reason: str) -> None:
        super().__init__(f"shard {shard}: epoch {epoch} is shut out: {reason}")
        self.shard = shard
        self.epoch = epoch


def user_frame(error: BaseException, *, within: str | None = None) -> str | None:
    """`file:line in function` of the innermost frame that is the user's: neither this library's nor Polars'.

    With `within` only frames of that file count.  None when there is no such frame.
    """
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{error.filename}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if within is not None:
            own = frame.filename != within
        else:
            own = frame.filename.startswith(_OWN_FOLDER) or any(part in frame.filename for part in _FOREIGN)
        if not own:
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return None
