"""What a shard remembers between batches, and how a batch changes it: windows, watermark, counters, accumulators.

Processing a batch is in two parts.  `process` runs the program and changes nothing, so it may fail and be repeated.
`take_in` makes its effects the shard's, and `pass_time` and `show_early` those of time; when one of these raises, what
is remembered is no longer whole, and the shard must go back to its last commit.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import polars as pl

from millstream.accumulators import Amounts, added, collected
from millstream.contract.checkpoint import Manifest, Position, ShardCounters, ShardId
from millstream.core.keyed_state import TimerKind
from millstream.core.watermark import GivenWatermark, Watermark
from millstream.core.window_states.state import WindowState
from millstream.errors import IncompatibleState, ShardFailed
from millstream.plan import Plan
from millstream.runtime.isolation import Isolated, isolate
from millstream.runtime.keyed_flow import KeyedFlow
from millstream.runtime.outputs import ShardOutputs
from millstream.runtime.pipeline import Pipeline, Processed, StepFailed
from millstream.sources.source import Batch, DeadRecord

_ATTEMPTS_BEFORE_ISOLATION = 3
_CRASHES_IN_A_ROW_MAX = 100


def require_fitting_state(plan: Plan, manifest: Manifest) -> None:
    """Check that the program can go on from the manifest's state.

    Raises:
        IncompatibleState: the state is of other windows, keys or aggregates.
    """
    wanted = plan.state_shape()
    if manifest.state_shape != wanted:
        raise IncompatibleState(
            f"shard {manifest.shard}: checkpoint {manifest.number} was made by a program with other state.\n"
            f"  saved:   {manifest.state_shape or 'no windows'}\n"
            f"  program: {wanted or 'no windows'}\n"
            "Go back to the old program, or start the job under a new name or checkpoint store."
        )


class ShardFlow:
    """One shard's memory, from a commit on."""

    def __init__(
        self,
        plan: Plan,
        outputs: ShardOutputs,
        *,
        shard: ShardId,
        manifest: Manifest | None,
        state: Mapping[str, bytes],
        read_before: Position | None,
        now: float,
    ) -> None:
        """`state` are the manifest's state files by role, which fit the plan."""
        self._plan = plan
        self._outputs = outputs
        self._shard = shard
        self._read_before = read_before
        log = outputs.next_stage
        self._passed_on_until = log.passed_on_until(manifest.number if manifest else 0) if log else None
        self._windows = plan.windowed.new_state() if plan.windowed else None
        self._keyed = KeyedFlow(plan.keyed, plan.sides) if plan.keyed and plan.output is None else None
        self._pipeline = Pipeline(plan, self._windows)
        self._watermark: Watermark | GivenWatermark | None = None
        self._failures = 0
        self._crashed_in_a_row = 0
        self._early_at = now
        self._passing: list[pl.DataFrame] = []
        self.counters = manifest.counters if manifest else ShardCounters()
        self.accumulators: dict[str, int | float] = dict(manifest.accumulators) if manifest else {}
        self.changed = False
        """Whether there is anything that the last commit does not hold; set False after a commit."""
        saved_us = manifest.watermark_us if manifest else None
        if plan.later_stage:
            self._watermark = GivenWatermark(saved_us)
        elif plan.time is not None:
            self._watermark = Watermark(
                out_of_orderness_us=plan.time.out_of_orderness_us,
                idle_after_us=plan.time.idle_after_us,
                at_us=saved_us,
                now=now,
            )
        frames = {role: pl.read_ipc(io.BytesIO(data)) for role, data in state.items()}
        if self._windows is not None:
            self._windows.load(frames, saved_us)
        if self._keyed is not None:
            self._keyed.load(frames)

    @property
    def watermark_us(self) -> int | None:
        """The watermark, None without event time or before the first record."""
        return self._watermark.at_us if self._watermark else None

    @property
    def state_rows(self) -> int:
        """Rows of keyed state held."""
        return self._windows.rows if self._windows else self._keyed.rows if self._keyed else 0

    def state_shape(self) -> str:
        """What the state is made of, in words; "" without any."""
        return self._plan.state_shape()

    def state_files(self) -> dict[str, bytes]:
        """The state by role, each as Arrow IPC; nothing for state without rows."""
        frames: dict[str, pl.DataFrame] = {}
        if self._windows is not None and self._plan.output is None:
            frames |= self._windows.save(self.watermark_us)
        if self._keyed is not None:
            frames |= self._keyed.save(self.watermark_us)
        return {role: _arrow(frame) for role, frame in frames.items()}

    # ---- a batch

    def process(self, batch: Batch, now: float) -> Isolated:
        """The effects of the batch, not yet taken in.

        A batch that has failed `_ATTEMPTS_BEFORE_ISOLATION` times is cut in pieces to set apart the records that crash
        the program, unless so many crash in a row that it must be the program.

        Raises:
            ShardFailed: the program raised; nothing has changed.
        """
        if batch.frame.height == 0:
            return Isolated(pieces=())
        if self._keyed is not None:
            self._keyed.begin(self.watermark_us, now)
        try:
            if self._failures < _ATTEMPTS_BEFORE_ISOLATION - 1:
                isolated = self._whole(batch)
            else:
                isolated = self._isolate(batch)
        except StepFailed as problem:
            self._failures += 1
            raise self._failed(problem, attempt=self._failures) from problem
        self._failures = 0
        self._crashed_in_a_row = 0 if isolated.pieces else self._crashed_in_a_row + len(isolated.crashed)
        return isolated

    def take_in(self, batch: Batch, isolated: Isolated, *, end: Position, now: float) -> None:
        """Make the batch's effects the shard's.  `end` is the position behind the batch."""
        before_us = self.watermark_us
        dead = [*batch.dead, *self._dead_rows(batch, isolated)]
        partials = []
        cut = self._rows_passed_on(batch)
        for start, done in isolated.pieces:
            self._write(done.writes, done.amounts)
            if isinstance(self._watermark, Watermark):
                self._watermark.see(done.greatest_us, now)
            if self._plan.output is not None and done.rows is not None and start >= cut:
                self._passing.append(done.rows)
            if done.partial is not None and self._windows is not None and start >= cut:
                partials.append(done.partial)
                self._windows.fold(done.partial)
        if isinstance(self._watermark, GivenWatermark):
            self._watermark.follow(batch.watermark_us)
        self._outputs.write_dead(dead)
        counters = self.counters
        of_stage = self._plan.later_stage
        self.counters = replace(
            counters,
            records_in=counters.records_in + (0 if of_stage else batch.records),
            taken_over=counters.taken_over + (batch.records if of_stage else 0),
            late=counters.late + sum(done.late_rows for _, done in isolated.pieces),
            dead=counters.dead + len(dead),
            replayed=counters.replayed + (0 if of_stage else self._replayed(batch, end)),
        )
        self.changed = True
        if self._passed_on_until is not None and end >= self._passed_on_until:
            self._passed_on_until = None
        if self._keyed is not None:
            self._keyed.adopt()
        touched = pl.concat(partials) if len(partials) > 1 else partials[0] if partials else None
        self._show_closed(before_us, touched)
        self._fire_event_timers(now)

    # ---- time

    def pass_time(self, now: float, *, caught_up: bool) -> None:
        """Nothing was read at `now`: a quiet source, or one that is slow to give."""
        if not isinstance(self._watermark, Watermark):
            return
        before = (self.watermark_us, self._watermark.idle_from_start)
        if caught_up:
            self._watermark.idle(now)
            self._show_closed(before[0], None)
            self._fire_event_timers(now)
        else:
            self._watermark.behind(now)
        if self._plan.output is not None and (self.watermark_us, self._watermark.idle_from_start) != before:
            self.changed = True  # the next stage has to hear of it

    def end(self, now: float) -> None:
        """The source has ended: close all windows, and let all timers of event time come due."""
        before_us = self.watermark_us
        if self._watermark is not None:
            self._watermark.end()
        self._show_closed(before_us, None)
        self._fire_event_timers(now)
        self.changed = True

    def pass_clock(self, now: float) -> None:
        """Give provisional results, and let timers of the clock come due, when it is time for them."""
        if self._keyed is not None:
            self._fire(TimerKind.CLOCK, round(now * 1_000_000), now)
        windowed = self._plan.windowed
        if windowed is None or windowed.early_us is None or self._plan.output is not None:
            return
        if (now - self._early_at) * 1_000_000 >= windowed.early_us:
            self._early_at = now
            self._give(lambda windows: windows.early(self.watermark_us))

    def pass_on(self, position: Position, *, finished: bool) -> None:
        """Before each commit: what is aggregated up to `position` goes to the next stage, if there is one."""
        log = self._outputs.next_stage
        if log is None:
            return
        rows, self._passing = self._passing, []
        if self._windows is not None:
            rows = [self._windows.take_all()]
        for frame in rows:
            log.write(frame)
        log.tell(
            position=position,
            watermark_us=self.watermark_us,
            idle=self._watermark is not None and self._watermark.idle_from_start,
            finished=finished,
        )
        passed_on = sum(frame.height for frame in rows)
        self.counters = replace(self.counters, passed_on=self.counters.passed_on + passed_on)

    # ---- inside

    def _process(self, records: pl.DataFrame, watermark_us: int | None) -> Processed:
        """A piece of a batch, all the way down the program where no window holds it."""
        done = self._pipeline.process(records, watermark_us)
        if self._keyed is None or done.rows is None:
            return done
        with collected() as amounts:
            writes = self._keyed.run(done.rows, done.row_watermarks, self._pipeline.after_state)
        return replace(done, writes=[*done.writes, *writes], amounts=added(done.amounts, amounts))

    def _whole(self, batch: Batch) -> Isolated:
        """The batch in one piece, or in two, of which the next stage has the first already."""
        pieces, watermark_us = [], self.watermark_us
        cut = self._rows_passed_on(batch)
        for start, stop in ((0, cut), (cut, batch.frame.height)):
            if start < stop:
                done = self._process(batch.frame.slice(start, stop - start), watermark_us)
                watermark_us = done.watermark_us
                pieces.append((start, done))
        return Isolated(pieces=pieces)

    def _isolate(self, batch: Batch) -> Isolated:
        isolated = isolate(
            self._process,
            batch.frame,
            self.watermark_us,
            cut=self._rows_passed_on(batch),
            crashes_max=_CRASHES_IN_A_ROW_MAX,
        )
        if not isolated.pieces and self._crashed_in_a_row + len(isolated.crashed) > _CRASHES_IN_A_ROW_MAX:
            raise isolated.crashed[0][1]
        return isolated

    def _show_closed(self, before_us: int | None, touched: pl.DataFrame | None) -> None:
        after_us = self.watermark_us
        if self._plan.output is not None:
            return
        if self._windows is not None and (after_us != before_us or touched is not None):
            self._give(lambda windows: windows.closed(before_us, after_us, touched))

    def _fire_event_timers(self, now: float) -> None:
        if self._keyed is not None and self.watermark_us is not None:
            self._fire(TimerKind.EVENT, self.watermark_us, now)

    def _fire(self, kind: TimerKind, until_us: int, now: float) -> None:
        """Let timers come due, and those that they set, if these are due as well."""
        assert self._keyed is not None
        try:
            with collected() as amounts:
                fired, writes = self._keyed.fire(kind, until_us, self.watermark_us, now, self._pipeline.after_state)
        except StepFailed as problem:
            raise self._failed(problem, attempt=1) from problem
        if fired:
            self.changed = True
            self._write(writes, amounts)

    def _give(self, results: Callable[[WindowState], pl.DataFrame]) -> None:
        """Send results of windows down the rest of the program."""
        windowed = self._plan.windowed
        assert self._windows is not None
        assert windowed is not None
        try:
            try:
                rows = results(self._windows)
            except Exception as problem:  # an aggregate of the user's own merges and gives results in Python
                raise StepFailed(windowed, problem) from problem
            if rows.height == 0:
                return
            writes, amounts = self._pipeline.after_state(rows)
        except StepFailed as problem:
            raise self._failed(problem, attempt=1) from problem
        self.changed = True
        self._write(writes, amounts)

    def _write(self, writes: Sequence[tuple[str, pl.DataFrame]], amounts: Amounts) -> None:
        rows = self._outputs.write(writes)
        self.counters = replace(self.counters, records_out=self.counters.records_out + rows)
        for name, amount in amounts.items():
            self.accumulators[name] = self.accumulators.get(name, 0) + amount

    def _dead_rows(self, batch: Batch, isolated: Isolated) -> list[DeadRecord]:
        """Records without an event time or an answer, and records that crash the program."""
        reasons: dict[int, str] = {}
        time = self._plan.time
        for start, done in isolated.pieces:
            for row in done.undated:
                reasons[start + row] = f'no event time: "{time.column if time else ""}" is null'
            for row, reason in done.unanswered.items():
                reasons.setdefault(start + row, reason)
        for row, problem in isolated.crashed:
            reasons[row] = f"crashes the program: {problem.operator} at {problem.where}: {problem}"
        dead = []
        for row, reason in sorted(reasons.items()):
            position, raw = batch.origin(row)
            dead.append(DeadRecord(position=position, reason=reason, raw=raw))
        return dead

    def _replayed(self, batch: Batch, end: Position) -> int:
        """How many of the batch's records an earlier owner is known to have read."""
        limit = self._read_before
        if limit is None:
            return 0
        if end <= limit:
            return batch.records
        self._read_before = None
        return _rows_before(batch, limit) + len([record for record in batch.dead if record.position < limit])

    def _rows_passed_on(self, batch: Batch) -> int:
        """How many rows of the batch the next stage has already, from a commit that was damaged since."""
        return 0 if self._passed_on_until is None else _rows_before(batch, self._passed_on_until)

    def _failed(self, problem: StepFailed, *, attempt: int) -> ShardFailed:
        return ShardFailed(
            shard=self._shard, operator=problem.operator, message=str(problem), where=problem.where, attempt=attempt
        )


def _rows_before(batch: Batch, position: int) -> int:
    """How many rows of the batch lie before a position."""
    return bisect.bisect_left(range(batch.frame.height), position, key=lambda row: batch.origin(row)[0])


def _arrow(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()
