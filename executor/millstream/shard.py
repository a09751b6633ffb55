"""One shard of a stream program, driven from outside: what a worker's loop holds for every shard it owns.

How to drive it (the clock is yours: `now` is Unix time in seconds and should not go back):

```python
stream = load_program("delays.py", "stream", args)              # millstream.program; ProgramError
found = stream.source.discover()                                 # .shards (id, end_records, end_bytes), .complete
shard = ShardRuntime(stream.plan(), shard=found.shards[0].id, epoch=7, owner=task_id, store=open_store(url, job),
                     delivery=Delivery.EXACTLY_ONCE, keep=5, program_revision=sha256)
restored = shard.claim_and_restore(now)                          # Fenced: somebody newer owns it; let go
while …:
    result = shard.step(now, max_records=20_000)                 # never waits; result.records == 0: nothing to do now
    if result.finished or the_checkpoint_interval_is_over:
        shard.checkpoint(now)                                    # Fenced: as above
    shard.status(now)                                            # everything a report needs; cheap
shard.release(now)                                               # last checkpoint, then closed for good
```

- A `ShardRuntime` belongs to one thread.  It starts no threads and reads no clock.
- `step` reads at most `max_records`, so rate limits and fairness between shards are the caller's: give every shard a
  turn.  A step with nothing to read still does what time asks for (early panes, idle watermark): call it a few times a
  second even when the shard is quiet.
- After `Fenced` from any call: call `close()`, which discards all that was prepared, and forget the shard.
- After `ShardFailed` (the program raised) from `step` the shard has kept the batch: call `step` again after a pause.
  The third failure of the same batch isolates the records that crash the program as dead letters and goes on, unless
  everything fails: then `ShardFailed` keeps coming.  If `status().state` is CLOSED (results of windows could not be
  given) begin anew with a new `ShardRuntime`.
- After `SourceFailed` from `step`: call `step` again later.  After `SinkFailed` from anything or `StoreUnavailable`
  from `checkpoint` the outcome is unknown: `close()`, and begin anew with a new `ShardRuntime` (the same epoch and
  owner are fine).
- `step(...).finished` says that the source has ended, all records are processed and all windows closed.  The result
  counts when the following `checkpoint` has returned: then `status().state` is `FINISHED`.
- A crash is to drop the object; a new one restores from the last commit.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from millstream.accumulators import Amounts
from millstream.contract.checkpoint import FileRef, Manifest, Position, ShardCounters, ShardId
from millstream.contract.worker_spec import Delivery
from millstream.core.lag import LagTracker
from millstream.core.watermark import Watermark
from millstream.core.window_state import WindowState
from millstream.errors import IncompatibleState, ProgramError, ShardFailed
from millstream.isolation import Isolated, isolate
from millstream.outputs import ShardOutputs
from millstream.pipeline import Pipeline, StepFailed
from millstream.plan import Plan
from millstream.shard_results import (
    CheckpointResult,
    Restored,
    RuntimeState,
    Shard,
    ShardStatus,
    StepResult,
)
from millstream.sources.source import Batch, DeadRecord, Reader
from millstream.stores.object_store import ObjectStore
from millstream.stores.shard_log import Found, ShardLog

__all__ = [
    "CheckpointResult",
    "Restored",
    "RuntimeState",
    "Shard",
    "ShardRuntime",
    "ShardStatus",
    "StepResult",
    "refuse_broken_promises",
]

INPUT = "source"
"""The name of a stream's one input in a checkpoint's positions."""

_STATE_ROLE = "windows"
_BATCH_BYTES_MAX = 8 << 20
_ATTEMPTS_BEFORE_ISOLATION = 3
_CRASHES_IN_A_ROW_MAX = 100


def refuse_broken_promises(plan: Plan, delivery: Delivery) -> None:
    """Check that every sink of the program can keep the delivery mode.

    Raises:
        ProgramError: one cannot; names it, its line and what it can keep.
    """
    for write in plan.writes():
        if delivery not in write.sink.guarantees:
            can = ", ".join(sorted(mode.value for mode in write.sink.guarantees))
            raise ProgramError(
                f"{write.sink.name} cannot promise {delivery.value}; it can promise {can}", where=write.where
            )


class ShardRuntime:
    """One shard of a plan under one owner.  See the module for how to drive it."""

    def __init__(
        self,
        plan: Plan,
        *,
        shard: ShardId,
        epoch: int,
        owner: str,
        store: ObjectStore,
        delivery: Delivery = Delivery.EXACTLY_ONCE,
        keep: int = 5,
        job: str = "job",
        program_revision: str = "",
        read_before: Position | None = None,
        fault: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Nothing is touched before `claim_and_restore`.

        `store` is the job's, `keep` the number of commits to keep.  `read_before` is the furthest position that an
        earlier owner is known to have read: records below it count as replayed.  `fault` is called by name between any
        two side effects, so that a test can crash there.

        Raises:
            ProgramError: a sink cannot promise the delivery mode.
        """
        refuse_broken_promises(plan, delivery)
        assert keep >= 1
        self._plan, self._shard, self._epoch, self._job = plan, shard, epoch, job
        self._delivery, self._keep, self._revision = delivery, keep, program_revision
        self._read_before = read_before
        self._fault = fault
        self._log = ShardLog(store, shard, epoch=epoch, owner=owner, fault=fault)
        self._store = store
        self._outputs: ShardOutputs | None = None
        self._state = RuntimeState.NEW
        self._windows: WindowState | None = plan.windowed.new_state() if plan.windowed else None
        self._pipeline = Pipeline(plan, self._windows)
        self._watermark: Watermark | None = None
        self._reader: Reader | None = None
        self._position: Position | None = None
        self._pending: Batch | None = None
        self._failures = 0
        self._crashed_in_a_row = 0
        self._changed = False
        self._early_at = 0.0
        self._lag = LagTracker()
        self._records_read = 0
        self._counters = ShardCounters()
        self._accumulators: dict[str, int | float] = {}
        self._checkpoint: int | None = None
        self._restored_from: int | None = None

    # ---- owning

    def claim_and_restore(self, now: float) -> Restored:
        """See `Shard`."""
        assert self._state is RuntimeState.NEW, "a runtime is used once; make a new one"
        found = self._log.claim(now)
        self._fault("claimed")
        manifest = found.manifest
        self._take_over_state(found)
        self._outputs = ShardOutputs(
            self._plan,
            self._store,
            job=self._job,
            shard=self._shard,
            epoch=self._epoch,
            delivery=self._delivery,
            fault=self._fault,
        )
        remarks = [*found.remarks, *self._outputs.restore(manifest)]
        if self._plan.time is not None:
            self._watermark = Watermark(
                out_of_orderness_us=self._plan.time.out_of_orderness_us,
                idle_after_us=self._plan.time.idle_after_us,
                at_us=manifest.watermark_us if manifest else None,
                now=now,
            )
        if manifest is not None:
            self._position = Position(manifest.positions[INPUT])
            self._counters = manifest.counters
            self._accumulators = dict(manifest.accumulators)
            self._checkpoint = self._restored_from = manifest.number
        finished = manifest is not None and manifest.finished
        if not finished:
            self._reader = self._plan.source.open(self._shard, self._position)
            self._position = self._reader.position
        self._early_at = now
        self._state = RuntimeState.FINISHED if finished else RuntimeState.RUNNING
        return Restored(
            checkpoint=self._checkpoint,
            position=self._position,
            finished=finished,
            state_bytes=manifest.state_bytes if manifest else 0,
            claims_since_commit=found.claims_since_commit,
            remarks=tuple(remarks),
        )

    def release(self, now: float) -> CheckpointResult | None:
        """See `Shard`."""
        try:
            return self.checkpoint(now)
        finally:
            self.close()

    def close(self) -> None:
        """See `Shard`."""
        if self._outputs is not None:
            self._outputs.discard()
        if self._reader is not None:
            self._reader.close()
        self._outputs, self._reader, self._pending = None, None, None
        self._state = RuntimeState.CLOSED

    # ---- processing

    def step(self, now: float, max_records: int) -> StepResult:
        """See `Shard`."""
        assert max_records > 0
        if self._has_ended():
            return StepResult(records=0, rows_out=0, finished=True, caught_up=True)
        assert self._state is RuntimeState.RUNNING, f"cannot step a shard that is {self._state.value}"
        reader = self._open_reader()
        if self._pending is None:
            batch = reader.poll(max_records, _BATCH_BYTES_MAX)
            if batch.records:
                self._pending, self._failures = batch, 0
        rows_before = self._counters.records_out
        records = 0
        if self._pending is not None:
            batch = self._pending
            isolated = self._process(batch)
            records = batch.records
            self._take_in(batch, isolated, now)
            self._pending = None
        caught_up = reader.finished or (records < max_records and self._see_end(now))
        if records == 0:
            self._pass_time(now, caught_up)
        self._show_early(now)
        self._position = reader.position
        return StepResult(
            records=records,
            rows_out=self._counters.records_out - rows_before,
            finished=self._has_ended(),
            caught_up=caught_up,
        )

    def _process(self, batch: Batch) -> Isolated:
        """The effects of the batch, not yet taken in.

        Raises:
            ShardFailed: the program raised; the batch is kept.
        """
        watermark_us = self._watermark.at_us if self._watermark else None
        if batch.frame.height == 0:
            return Isolated(pieces=())
        try:
            if self._failures < _ATTEMPTS_BEFORE_ISOLATION - 1:
                return Isolated(pieces=[(0, self._pipeline.process(batch.frame, watermark_us))])
            isolated = isolate(self._pipeline.process, batch.frame, watermark_us, crashes_max=_CRASHES_IN_A_ROW_MAX)
            if not isolated.pieces and self._crashed_in_a_row + len(isolated.crashed) > _CRASHES_IN_A_ROW_MAX:
                raise isolated.crashed[0][1]
        except StepFailed as problem:
            self._failures += 1
            raise self._failed(problem, attempt=self._failures) from problem
        self._crashed_in_a_row = 0 if isolated.pieces else self._crashed_in_a_row + len(isolated.crashed)
        return isolated

    def _take_in(self, batch: Batch, isolated: Isolated, now: float) -> None:
        """Make the batch's effects the shard's.  A failure from here on cannot be tried again: the shard closes."""
        dead = [*batch.dead, *self._dead_rows(batch, isolated)]
        replayed = self._replayed(batch)
        before_us = self._watermark.at_us if self._watermark else None
        partials = []
        late = 0
        for _, done in isolated.pieces:
            self._write(done.writes)
            self._accumulate(done.amounts)
            late += done.late_rows
            if self._watermark is not None:
                self._watermark.see(done.greatest_us, now)
            if done.partial is not None and self._windows is not None:
                partials.append(done.partial)
                self._windows.fold(done.partial)
        self._open_outputs().write_dead(dead)
        counters = self._counters
        self._counters = replace(
            counters,
            records_in=counters.records_in + batch.records,
            late=counters.late + late,
            dead=counters.dead + len(dead),
            replayed=counters.replayed + replayed,
        )
        self._records_read += batch.records
        self._changed = True
        touched = pl.concat(partials) if len(partials) > 1 else partials[0] if partials else None
        self._show_closed(before_us, touched)

    def _pass_time(self, now: float, caught_up: bool) -> None:
        """Nothing was read: the end of the source, a quiet one, or one that is slow to give."""
        reader, before_us = self._open_reader(), self._watermark.at_us if self._watermark else None
        if reader.finished:
            if self._watermark is not None:
                self._watermark.end()
            self._show_closed(before_us, None)
            self._state, self._changed = RuntimeState.DRAINED, True
        elif self._watermark is not None:
            if caught_up:
                self._watermark.idle(now)
                self._show_closed(before_us, None)
            else:
                self._watermark.behind(now)

    def _show_closed(self, before_us: int | None, touched: pl.DataFrame | None) -> None:
        if self._windows is None or self._watermark is None:
            return
        after_us = self._watermark.at_us
        if after_us == before_us and touched is None:
            return
        self._give(lambda windows: windows.closed(before_us, after_us, touched))

    def _show_early(self, now: float) -> None:
        windowed = self._plan.windowed
        if windowed is None or windowed.early_us is None or self._state is not RuntimeState.RUNNING:
            return
        if (now - self._early_at) * 1_000_000 >= windowed.early_us:
            self._early_at = now
            watermark_us = self._watermark.at_us if self._watermark else None
            self._give(lambda windows: windows.early(watermark_us))

    def _give(self, results: Callable[[WindowState], pl.DataFrame]) -> None:
        """Send results of windows down the rest of the program."""
        assert self._windows is not None
        windowed = self._plan.windowed
        assert windowed is not None
        try:
            try:
                rows = results(self._windows)
            except Exception as problem:  # an aggregate of the user's own merges and gives results in Python
                raise StepFailed(windowed, problem) from problem
            if rows.height == 0:
                return
            writes, amounts = self._pipeline.after_window(rows)
        except StepFailed as problem:
            self.close()
            raise self._failed(problem, attempt=1) from problem
        self._changed = True
        self._write(writes)
        self._accumulate(amounts)

    def _write(self, writes: Sequence[tuple[str, pl.DataFrame]]) -> None:
        rows = self._open_outputs().write(writes)
        self._counters = replace(self._counters, records_out=self._counters.records_out + rows)

    def _accumulate(self, amounts: Amounts) -> None:
        for name, amount in amounts.items():
            self._accumulators[name] = self._accumulators.get(name, 0) + amount

    def _dead_rows(self, batch: Batch, isolated: Isolated) -> list[DeadRecord]:
        """Records without an event time, and records that crash the program."""
        reasons: dict[int, str] = {}
        time = self._plan.time
        for start, done in isolated.pieces:
            for row in done.undated:
                reasons[start + row] = f'no event time: "{time.column if time else ""}" is null'
        for row, problem in isolated.crashed:
            reasons[row] = f"crashes the program: {problem.operator} at {problem.where}: {problem}"
        dead = []
        for row, reason in sorted(reasons.items()):
            position, raw = batch.origin(row)
            dead.append(DeadRecord(position=position, reason=reason, raw=raw))
        return dead

    def _replayed(self, batch: Batch) -> int:
        """How many of the batch's records an earlier owner is known to have read."""
        limit = self._read_before
        if limit is None:
            return 0
        if self._open_reader().position <= limit:
            return batch.records
        rows = bisect.bisect_left(range(batch.frame.height), limit, key=lambda row: batch.origin(row)[0])
        dead = len([record for record in batch.dead if record.position < limit])
        if rows + dead == 0:
            self._read_before = None
        return rows + dead

    def _see_end(self, now: float) -> bool:
        """Whether everything that exists has been read; notes where the end is."""
        reader = self._open_reader()
        end = reader.end_position()
        if end is not None:
            self._lag.see(now, reader.position, end)
        backlog = reader.backlog()
        if backlog.records is not None:
            return backlog.records == 0
        return backlog.bytes == 0

    # ---- checkpoints

    def checkpoint(self, now: float) -> CheckpointResult | None:
        """See `Shard`."""
        assert self._state in (RuntimeState.RUNNING, RuntimeState.DRAINED, RuntimeState.FINISHED)
        if not self._changed:
            return None
        assert self._position is not None
        number = self._log.next_number
        state_files = self._save_state()
        outputs = self._open_outputs().prepare(number)
        remarks: list[str] = []
        if self._delivery is Delivery.AT_LEAST_ONCE:
            remarks += self._open_outputs().promote(outputs)
        finished = self._state is RuntimeState.DRAINED
        manifest = Manifest(
            shard=self._shard,
            epoch=self._epoch,
            number=number,
            program_revision=self._revision,
            created_at_s=now,
            delivery=self._delivery.value,
            positions={INPUT: self._position},
            watermark_us=self._watermark.at_us if self._watermark else None,
            finished=finished,
            state_shape=self._state_shape(),
            state_files=state_files,
            outputs=outputs,
            counters=self._counters,
            accumulators=dict(self._accumulators),
        )
        written = self._log.commit(manifest, now)
        self._fault("committed")
        if self._delivery is not Delivery.AT_LEAST_ONCE:
            remarks += self._open_outputs().promote(outputs)
        self._checkpoint, self._changed = number, False
        if finished:
            self._state = RuntimeState.FINISHED
        self._log.collect(self._keep)
        return CheckpointResult(
            id=number, bytes=written + manifest.state_bytes, finished=finished, remarks=tuple(remarks)
        )

    def _save_state(self) -> tuple[FileRef, ...]:
        if self._windows is None:
            return ()
        state = self._windows.compact(self._watermark.at_us if self._watermark else None)
        if state.height == 0:
            return ()
        buffer = io.BytesIO()
        state.write_ipc(buffer, compression="lz4")
        return (self._log.save_state(_STATE_ROLE, buffer.getvalue()),)

    def _take_over_state(self, found: Found) -> None:
        manifest = found.manifest
        if manifest is None:
            return
        if manifest.state_shape != self._state_shape():
            raise IncompatibleState(
                f"shard {self._shard}: checkpoint {manifest.number} was made by a program with other state.\n"
                f"  saved:   {manifest.state_shape or 'no windows'}\n"
                f"  program: {self._state_shape() or 'no windows'}\n"
                "Go back to the old program, or start the job under a new name or checkpoint store."
            )
        if self._windows is not None and _STATE_ROLE in found.state:
            state = pl.read_ipc(io.BytesIO(found.state[_STATE_ROLE]))
            self._windows.load(state, manifest.watermark_us)

    def _state_shape(self) -> str:
        return self._plan.windowed.state_shape() if self._plan.windowed else ""

    # ---- telling

    def status(self, now: float) -> ShardStatus:
        """See `Shard`."""
        reader = self._reader
        end = backlog = None
        if reader is not None:
            backlog, end = reader.backlog(), reader.end_position()
            if end is not None:
                self._lag.see(now, reader.position, end)
        records = backlog.records if backlog else 0 if self._state is RuntimeState.FINISHED else None
        return ShardStatus(
            shard=self._shard,
            epoch=self._epoch,
            state=self._state,
            position=self._position,
            end_position=end if reader is not None else self._position,
            backlog_records=records,
            backlog_bytes=backlog.bytes if backlog else None,
            end_records=None if records is None else self._counters.records_in + records,
            lag_s=None if end is None or self._position is None else self._lag.lag_s(now, self._position),
            watermark_us=self._watermark.at_us if self._watermark else None,
            records_read=self._records_read,
            state_rows=self._windows.rows if self._windows else 0,
            checkpoint=self._checkpoint,
            restored_from=self._restored_from,
            counters=self._counters,
            accumulators=dict(self._accumulators),
        )

    # ---- inside

    def _has_ended(self) -> bool:
        return self._state in (RuntimeState.DRAINED, RuntimeState.FINISHED)

    def _open_reader(self) -> Reader:
        assert self._reader is not None
        return self._reader

    def _open_outputs(self) -> ShardOutputs:
        assert self._outputs is not None
        return self._outputs

    def _failed(self, problem: StepFailed, *, attempt: int) -> ShardFailed:
        return ShardFailed(
            shard=self._shard, operator=problem.operator, message=str(problem), where=problem.where, attempt=attempt
        )
