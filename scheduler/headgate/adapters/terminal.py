"""Where output goes: a terminal that can be drawn on, or plain lines for a file or a pipe."""

from __future__ import annotations

import threading
from collections.abc import Callable

from rich.console import Console
from rich.live import Live

from headgate.adapters.terminal_live import LiveView, disaster_line
from headgate.adapters.terminal_text import age_text, clock_text, count_text, rate_text
from headgate.model.note import Note
from headgate.model.record import JobState
from headgate.model.view import JobView, View

_PLAIN_WIDTH = 100
_DRAW_EVERY_S = 0.5
_LINE_EVERY = 4
"""A plain line about the figures follows at least so many looks after the last one."""


def console() -> Console:
    """Standard output.  A pipe is taken for 100 columns, without colours."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=_PLAIN_WIDTH)


def follow_job(
    screen: Console,
    name: str,
    look: Callable[[], View],
    *,
    done: Callable[[JobView], bool] = lambda job: job.state.over,
    since: float = 0.0,
    every_s: float = _DRAW_EVERY_S,
) -> JobState | None:
    """Show a job until `done`; its last state, None if it is there no more.

    A job that is not there yet is waited for.  What happened before `since` is not told.  On a terminal it is drawn in
    place, elsewhere told line by line.  What `look` raises ends it, as Ctrl-C does.
    """
    if screen.is_terminal:
        picture = LiveView(name, since=since)
        with Live(console=screen, auto_refresh=False, vertical_overflow="crop") as live:
            return _watch(
                name,
                look,
                lambda view: live.update(picture.draw(view, width=screen.width), refresh=True),
                done,
                every_s,
            )
    lines = PlainLines(name, since=since)

    def tell(view: View) -> None:
        for line in lines.tell(view):
            screen.print(line, markup=False, soft_wrap=True)

    return _watch(name, look, tell, done, every_s)


def _watch(
    name: str,
    look: Callable[[], View],
    show: Callable[[View], None],
    done: Callable[[JobView], bool],
    every_s: float,
) -> JobState | None:
    pause = threading.Event()
    last: JobState | None = None
    while True:
        view = look()
        show(view)
        job = view.find_job(name)
        if job is not None and done(job):
            return job.state
        if job is None and last is not None:
            return None
        last = job.state if job else None
        pause.wait(every_s)


class PlainLines:
    """Tells a job in lines: each thing that happens once, and its figures every few looks."""

    def __init__(self, job: str, *, since: float = 0.0) -> None:
        self._job = job
        self._since = since
        self._told: frozenset[Note] = frozenset()
        self._looks = 0
        self._figures = ""
        self._waiting = ""
        self._disaster: str | None = None

    def tell(self, view: View) -> list[str]:
        """The lines a view adds."""
        notes = [note for note in view.events if note.job in (None, self._job) and note.at >= self._since]
        lines = [
            f"{clock_text(note.at)}  {note.kind.value:<12} {note.text}" for note in notes if note not in self._told
        ]
        self._told = frozenset(notes)
        job = view.find_job(self._job)
        if view.disaster is not None and view.disaster != self._disaster:
            lines.append(f"{clock_text(view.at)}  {disaster_line(view.disaster)}")
        self._disaster = view.disaster
        if job is not None and (self._looks % _LINE_EVERY == 0 or job.state.over):
            figures = _figures(job)
            if figures != self._figures:
                lines.append(f"{clock_text(view.at)}  {figures}")
                self._figures = figures
            # The others pass by themselves; where no agent fits, somebody has to do something.
            waiting = job.waiting.text if job.waiting and job.waiting.nearest else ""
            if waiting and waiting != self._waiting:
                lines.append(f"{clock_text(view.at)}  {'waiting':<12} {waiting}")
            self._waiting = waiting
        self._looks += 1
        return lines


def _figures(job: JobView) -> str:
    return (
        f"{job.state.value:<12} backlog {count_text(job.backlog_records)}, lag {age_text(job.lag_s)}, "
        f"{rate_text(job.records_per_s)}, workers {job.workers_ready}/{job.workers_wished}, "
        f"in {count_text(job.audit.records_in)}, out {count_text(job.audit.records_out)}"
    )
