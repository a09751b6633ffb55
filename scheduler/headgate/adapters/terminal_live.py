"""The live view of a job in a terminal: a `View` in, something rich can draw out.

Draws 100 columns well and narrower ones bearably.  What is long is cut, never wrapped; what is many is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from rich import box
from rich.console import Group, JustifyMethod, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headgate.adapters.api_types import doings
from headgate.adapters.terminal_text import (
    NOTHING,
    age_text,
    bytes_text,
    clock_text,
    count_text,
    event_time_text,
    rate_text,
    spark_text,
    state_text,
)
from headgate.core.ownership import EPOCHS_PER_SUBMISSION
from headgate.model.note import Note, NoteKind
from headgate.model.view import JobView, ShardView, View, WorkerView

_WORKERS_SHOWN = 12
_SHARDS_SHOWN = 10
_EVENTS_SHOWN = 8
_TREND_SAMPLES = 40

WIDTH = 100
"""Columns at which everything fits."""
_WORKER_COLUMNS = {
    "#": 3,
    "state": 11,
    "agent": 0,
    "cpus": 5,
    "memory": 16,
    "shards": 6,
    "rec/s": 7,
    "since": 7,
    "fails": 5,
}
"""Width of each column; 0: what is left."""
_SHARD_COLUMNS = {
    "shard": 0,
    "worker": 6,
    "epoch": 5,
    "state": 9,
    "backlog": 7,
    "lag": 7,
    "rec/s": 7,
    "watermark": 11,
    "checkpoint": 13,
}
_WIDE_ONLY = frozenset({"cpus", "since", "epoch", "watermark"})
"""Left out of narrower terminals."""
_NUMBERS = frozenset({"#", "cpus", "memory", "shards", "rec/s", "backlog", "lag", "worker", "epoch", "since", "fails"})

_BAD_KINDS = frozenset({NoteKind.FAILED, NoteKind.LOST, NoteKind.PROBLEM, NoteKind.DISCONNECTED})


class LiveView:
    """Draws one job, view after view; remembers its backlog to show where it goes.

    Not safe to share between threads.
    """

    def __init__(self, job: str, *, since: float = 0.0) -> None:
        """What happened before `since` is not shown."""
        self._job = job
        self._since = since
        self._backlogs: deque[float] = deque(maxlen=_TREND_SAMPLES)
        self._ticks = -1

    def draw(self, view: View, *, width: int = WIDTH) -> RenderableType:
        """What to show now, for a terminal of so many columns.  A view seen before does not lengthen the curve."""
        job = view.find_job(self._job)
        if job is None:
            return Panel(Text(f"waiting for {self._job} …"), title=self._job, box=box.ROUNDED)
        if view.ticks != self._ticks:
            self._ticks = view.ticks
            self._backlogs.append(float(job.backlog_records or 0))
        parts: list[RenderableType] = [_figures(job, width), _curve(job, self._backlogs)]
        if view.disaster is not None:
            parts.append(disaster_line(view.disaster))
        parts += [_cut(Text(each, style="yellow")) for each in doings(job)]
        parts += [line for line in (_scaling_line(job), _waiting_line(job, view.at), _failure_line(job)) if line]
        if job.workers:
            parts += [Text(), workers_table(job, view.at, width=width)]
        if job.shards:
            parts += [Text(), shards_table(job, view.at, width=width)]
        parts += [Text(), _cluster_line(view, job)]
        events = tuple(note for note in view.events if note.at >= self._since and note.job in (None, self._job))
        if events:
            parts.append(events_table(events[-_EVENTS_SHOWN:]))
        return Panel(Group(*parts), title=_title(job, view.at), title_align="left", box=box.ROUNDED)


def disaster_line(reason: str) -> Text:
    """That so much is lost that the cluster is left in peace."""
    return Text(f"disaster mode: {reason}; kills, scaling down and restarts wait", style="bold red")


def workers_table(job: JobView, at: float, *, width: int = WIDTH, most: int = _WORKERS_SHOWN) -> RenderableType:
    """The job's workers, one per line; those with a problem are never left out for those without."""
    ranked = sorted(job.workers, key=lambda each: (_trouble(each) is None and each.ready, each.worker))
    shown, hidden = ranked[:most], len(ranked[most:])
    rows: list[dict[str, str | Text]] = [
        {
            "#": str(worker.worker),
            "state": _worker_state(worker, at),
            "agent": worker.hostname or NOTHING,
            "cpus": f"{worker.resources.cpus_m / 1000:g}" if worker.resources else NOTHING,
            "memory": _memory(worker),
            "shards": str(len(worker.shards)),
            "rec/s": count_text(worker.records_per_s),
            "since": age_text(at - worker.since) if worker.since is not None else NOTHING,
            "fails": Text(str(worker.failures), style="red") if worker.failures else "0",
        }
        for worker in sorted(shown, key=lambda each: each.worker)
    ]
    troubles = [f"worker {each.worker}: {_trouble(each)}" for each in shown if _trouble(each)]
    return Group(_table(_WORKER_COLUMNS, rows, width), *_below(hidden, troubles))


def shards_table(job: JobView, at: float, *, width: int = WIDTH, most: int = _SHARDS_SHOWN) -> RenderableType:
    """The job's shards and who owns them; the troubled, the moving and the longest backlogs come first."""
    ranked = sorted(job.shards, key=_shard_rank)
    shown, hidden = ranked[:most], len(ranked[most:])
    rows: list[dict[str, str | Text]] = [
        {
            "shard": shard.id,
            "worker": NOTHING if shard.worker is None else str(shard.worker),
            "epoch": str(shard.epoch % EPOCHS_PER_SUBMISSION),
            "state": _shard_state(shard),
            "backlog": count_text(shard.backlog_records),
            "lag": age_text(shard.lag_s),
            "rec/s": count_text(shard.records_per_s),
            "watermark": event_time_text(shard.watermark_ms),
            "checkpoint": _checkpoint(shard, at),
        }
        for shard in sorted(shown, key=lambda each: each.id)
    ]
    troubles = [f"{each.id}: {each.problem}" for each in shown if each.problem]
    return Group(_table(_SHARD_COLUMNS, rows, width), *_below(hidden, troubles))


def events_table(notes: tuple[Note, ...]) -> Table:
    """What happened, oldest first."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), expand=True)
    table.add_column(no_wrap=True, style="bright_black")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
    for note in notes:
        kind = Text(note.kind.value, style="red" if note.kind in _BAD_KINDS else "cyan")
        table.add_row(clock_text(note.at), kind, Text(note.text))
    return table


def _title(job: JobView, at: float) -> Text:
    since = f" for {age_text(at - job.state_since)} "
    return Text.assemble(" ", (job.name, "bold"), "  ", state_text(job.state), (since, "bright_black"))


def _figures(job: JobView, width: int) -> Table:
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in range(5):
        grid.add_column(ratio=1, no_wrap=True)
    wide = width >= WIDTH
    ready = f"{job.workers_ready}/{job.workers_wished}{' ready' if wide else ''}"
    done = (
        f"{job.shards_finished}/{len(job.shards)}{' done' if wide else ''}"
        if job.shards_complete
        else str(len(job.shards))
    )
    grid.add_row(
        _figure("backlog", count_text(job.backlog_records)),
        _figure("lag", age_text(job.lag_s)),
        _figure("rate", rate_text(job.records_per_s)),
        _figure("arriving", rate_text(job.arrivals_per_s)),
        _figure("checkpoint", f"{age_text(job.checkpoint_age_s)} old" if job.checkpoint_age_s is not None else NOTHING),
    )
    grid.add_row(
        _figure("workers", ready),
        _figure("shards", done),
        _figure("in", count_text(job.audit.records_in)),
        _figure("out", count_text(job.audit.records_out)),
        _figure("late, dead", f"{count_text(job.audit.late)}, {count_text(job.audit.dead)}"),
    )
    return grid


def _curve(job: JobView, backlogs: Iterable[float]) -> Text:
    restarts = _figure("restarts", str(job.restarts), alarm=job.restarts > 0)
    moves = _figure("moves", str(job.moves))
    label = ("backlog ", "bright_black")
    return _cut(Text.assemble(restarts, "   ", moves, "   ", label, (spark_text(backlogs), "cyan")))


def _figure(name: str, value: str, *, alarm: bool = False) -> Text:
    return Text.assemble((f"{name} ", "bright_black"), (value, "bold red" if alarm else "bold"))


def _scaling_line(job: JobView) -> Text | None:
    if job.scaling is None or not job.scaling.verdict:
        return None
    return _cut(Text.assemble(("scaling ", "bright_black"), job.scaling.verdict))


def _waiting_line(job: JobView, at: float) -> Text | None:
    if job.waiting is None:
        return None
    since = age_text(at - job.waiting.since)
    return Text.assemble((f"waiting for {since}: ", "yellow"), job.waiting.text)


def _failure_line(job: JobView) -> Text | None:
    return Text(f"failed: {job.failure}", style="bold red") if job.failure else None


def _cluster_line(view: View, job: JobView) -> Text:
    offers, tasks = view.offers, view.tasks
    connection = view.master.master or "the master" if view.master.connected else "not connected"
    line = Text.assemble(
        ("master ", "bright_black"),
        (connection, "" if view.master.connected else "bold red"),
        ("   offers ", "bright_black"),
        f"{offers.received} seen, {offers.accepted} taken, {offers.declined} declined",
        ("   tasks ", "bright_black"),
        f"{tasks.launched} launched, {tasks.failed + tasks.lost} failed",
    )
    if len(view.jobs) > 1:
        line.append(f"   and {len(view.jobs) - 1} other jobs beside {job.name}", style="bright_black")
    return _cut(line)


def _worker_state(worker: WorkerView, at: float) -> Text:
    if worker.backoff_until is not None and worker.backoff_until > at:
        return Text(f"waits {age_text(worker.backoff_until - at)}", style="red")
    if worker.stage is None:
        return Text("wanted", style="yellow")
    if worker.moving_since is not None and worker.ready:
        return Text("moving", style="yellow")
    if worker.ready or worker.stage.value != "running":
        return state_text(worker.stage)
    return Text("starting", style="yellow")


def _memory(worker: WorkerView) -> str:
    if worker.resources is None:
        return NOTHING
    limit = bytes_text(worker.resources.mem_m / 1000 * 1024 * 1024)
    return limit if worker.rss_bytes is None else f"{bytes_text(worker.rss_bytes)}/{limit}"


def _shard_state(shard: ShardView) -> Text:
    if shard.finished:
        return Text("finished", style="bright_black")
    if shard.moving:
        return Text("moving", style="yellow")
    if shard.stuck:
        return Text("stuck", style="red")
    return state_text(shard.state) if shard.state else Text("assigned" if shard.task_id else "unowned", style="yellow")


def _checkpoint(shard: ShardView, at: float) -> str:
    if shard.checkpoint is None:
        return NOTHING
    age = at - shard.checkpoint_at if shard.checkpoint_at is not None else shard.checkpoint.age_s
    return f"#{shard.checkpoint.id} {age_text(age)}"


def _shard_rank(shard: ShardView) -> tuple[bool, bool, bool, int, str]:
    return (
        shard.problem is None and not shard.stuck,
        not shard.moving and (shard.worker is not None or shard.finished),
        shard.finished,
        -(shard.backlog_records or 0),
        shard.id,
    )


def _trouble(worker: WorkerView) -> str | None:
    return worker.problem or (worker.last_failure if worker.backoff_until is not None else None)


def _below(hidden: int, troubles: list[str]) -> list[Text]:
    lines = [Text(f"… and {hidden} more", style="bright_black")] if hidden else []
    return lines + [_cut(Text(each, style="red")) for each in troubles]


def _table(columns: Mapping[str, int], rows: list[dict[str, str | Text]], width: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bright_black underline")
    names = [name for name in columns if width >= WIDTH or name not in _WIDE_ONLY]
    for name in names:
        justify: JustifyMethod = "right" if name in _NUMBERS else "left"
        fixed = columns[name] or None
        table.add_column(name, width=fixed, ratio=None if fixed else 1, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _cut(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
