"""Numbers, ages and states as short texts for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.text import Text

from headgate.model.record import JobState
from headgate.model.task import Stage
from headgate.model.view import JobView
from millstream.contract.report import ShardState

NOTHING = "–"

_EPOCH = datetime(1970, 1, 1)
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_000
"""The years 1 to 9999, which is all that `datetime` can say."""

_BARS = "▁▂▃▄▅▆▇█"

_GOOD, _BUSY, _BAD, _OVER = "green", "yellow", "red", "bright_black"

_JOB_STYLES = {
    JobState.DEPLOYING: _BUSY,
    JobState.RUNNING: _GOOD,
    JobState.RESCALING: _BUSY,
    JobState.RECOVERING: _BAD,
    JobState.PAUSING: _BUSY,
    JobState.PAUSED: _OVER,
    JobState.DRAINING: _BUSY,
    JobState.CANCELLING: _BUSY,
    JobState.COMPLETED: _GOOD,
    JobState.CANCELLED: _OVER,
    JobState.FAILED: _BAD,
}
_STAGE_STYLES = {
    Stage.LAUNCHING: _BUSY,
    Stage.STARTING: _BUSY,
    Stage.RUNNING: _GOOD,
    Stage.DRAINING: _BUSY,
    Stage.KILLING: _BAD,
    Stage.UNREACHABLE: _BAD,
    Stage.ENDED: _OVER,
}
_SHARD_STYLES = {
    ShardState.CLAIMING: _BUSY,
    ShardState.RESTORING: _BUSY,
    ShardState.RUNNING: _GOOD,
    ShardState.RELEASING: _BUSY,
    ShardState.FINISHED: _OVER,
    ShardState.FAILED: _BAD,
}


def state_text(state: JobState | Stage | ShardState) -> Text:
    """The state in its colour."""
    if isinstance(state, JobState):
        return Text(state.value, style=_JOB_STYLES[state])
    if isinstance(state, Stage):
        return Text(state.value, style=_STAGE_STYLES[state])
    return Text(state.value, style=_SHARD_STYLES[state])


def count_text(value: float | None) -> str:
    """A count in at most six characters: `999`, `12,345`, `1.23M`."""
    if value is None:
        return NOTHING
    if value < 100_000:
        return f"{round(value):,}"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    raise AssertionError(value)


def dead_letters_text(job: JobView, default_store: str) -> str | None:
    """How many records could not be processed, and where they are; None without any.

    `default_store` is the folder of checkpoints of jobs that name none.
    """
    if not job.audit.dead:
        return None
    store = (job.spec.checkpoint.store or default_store).rstrip("/")
    return f"dead letters: {count_text(job.audit.dead)}, with position and reason in {store}/{job.name}/dead-letters"


def rate_text(per_s: float | None) -> str:
    """Records per second."""
    return NOTHING if per_s is None else f"{count_text(per_s)}/s"


def age_text(seconds: float | None) -> str:
    """A span in two steps at most: `0.4s`, `12s`, `3m 5s`, `2h 10m`, `4d 3h`."""
    if seconds is None:
        return NOTHING
    seconds = max(seconds, 0.0)
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for larger, unit_s, smaller, part_s in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if whole >= unit_s:
            rest = whole % unit_s // part_s
            return f"{whole // unit_s}{larger} {rest}{smaller}" if rest else f"{whole // unit_s}{larger}"
    return f"{whole}s"


def bytes_text(count: float | None) -> str:
    """Bytes in binary units: `812B`, `1.2KiB`, `340MiB`."""
    if count is None:
        return NOTHING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:
            return f"{count:.3g}{unit}"
        count /= 1024
    return f"{count:.3g}TiB"


def clock_text(at: float) -> str:
    """An instant as the time of day here."""
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")


def event_time_text(milliseconds: int | None) -> str:
    """An event time without its year, in UTC as programs see it: `05-31 11:33`."""
    if milliseconds is None or not _FIRST_MS <= milliseconds <= _LAST_MS:
        return NOTHING
    return (_EPOCH + timedelta(milliseconds=milliseconds)).strftime("%m-%d %H:%M")


def spark_text(values: Iterable[float]) -> str:
    """One bar per value, from none to the largest of them."""
    numbers = list(values)
    top = max(numbers, default=0.0)
    if top <= 0:
        return _BARS[0] * len(numbers)
    return "".join(_BARS[min(round(value / top * (len(_BARS) - 1)), len(_BARS) - 1)] for value in numbers)
