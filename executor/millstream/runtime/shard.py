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
- After an exception from `claim_and_restore`: call `close()` and begin anew, or after `Fenced` forget the shard.
- After `ShardFailed` (the program raised) from `step` the shard has kept the batch: call `step` again after a pause.
  The third failure of the same batch isolates the records that crash the program as dead letters and goes on, unless
  everything fails: then `ShardFailed` keeps coming.  If the shard has closed itself all the same (the results of
  windows could not be given), begin anew.
- After `SourceFailed` from `step`: call `step` again later.  After any other exception from `step`, and every one from
  `checkpoint`, the shard has closed itself (its state is `CLOSED`) and lost what was not committed: begin anew with a
  new `ShardRuntime`; the same epoch and owner are fine.
- `step(...).finished` says that the source has ended, all records are processed and all windows closed.  The result
  counts when the following `checkpoint` has returned: then `status().state` is `FINISHED`.
- A crash is to drop the object; a new one restores from the last commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from millstream.contract.checkpoint import Manifest, Position, ShardCounters, ShardId
from millstream.contract.worker_spec import Delivery
from millstream.core.lag import LagTracker
from millstream.errors import ProgramError
from millstream.plan import Plan
from millstream.repartition.source import RepartitionReader, RepartitionSource
from millstream.runtime.flow import ShardFlow, require_fitting_state
from millstream.runtime.outputs import ShardOutputs
from millstream.runtime.shard_results import (
    CheckpointResult,
    Restored,
    RuntimeState,
    Shard,
    ShardStatus,
    StepResult,
)
from millstream.sources.source import Batch, Reader
from millstream.stores.object_store import ObjectStore
from millstream.stores.shard_log import ShardLog

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

_BATCH_BYTES_MAX = 8 << 20


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
        assert plan.repartition is None, "a plan of several stages: run each of plan.stages()"
        self._plan, self._shard, self._epoch, self._job = plan, shard, epoch, job
        self._delivery, self._keep, self._revision = delivery, keep, program_revision
        self._read_before = read_before
        self._fault = fault
        self._log = ShardLog(store, shard, epoch=epoch, owner=owner, fault=fault)
        self._store = store
        self._outputs: ShardOutputs | None = None
        self._flow: ShardFlow | None = None
        self._reader: Reader | None = None
        self._state = RuntimeState.NEW
        self._position: Position | None = None
        self._marks: Mapping[str, int] = {}
        self._pending: Batch | None = None
        self._lag = LagTracker()
        self._records_read = 0
        self._checkpoint: int | None = None
        self._restored_from: int | None = None

    # ---- owning

    def claim_and_restore(self, now: float) -> Restored:
        """See `Shard`."""
        assert self._state is RuntimeState.NEW, "a runtime is used once; make a new one"
        found = self._log.claim(now)
        self._fault("claimed")
        manifest = found.manifest
        if manifest is not None:
            require_fitting_state(self._plan, manifest)
            self._position = Position(manifest.positions[INPUT])
            self._checkpoint = self._restored_from = manifest.number
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
        self._flow = ShardFlow(
            self._plan,
            self._outputs,
            shard=self._shard,
            manifest=manifest,
            state=found.state,
            read_before=self._read_before,
            now=now,
        )
        finished = manifest is not None and manifest.finished
        if not finished:
            self._reader = self._open(manifest)
            self._position, self._marks = self._reader.position, _marks(self._reader)
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
        result = self.checkpoint(now)
        self.close()
        return result

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
        reader, flow = self._reader, self._flow
        assert reader is not None
        assert flow is not None
        if self._pending is None:
            batch = reader.poll(max_records, _BATCH_BYTES_MAX)
            if batch.records or batch.watermark_us is not None:
                self._pending = batch
        rows_before, records = flow.counters.records_out, 0
        isolated = flow.process(self._pending, now) if self._pending else None
        with self._closing_on_failure():
            if self._pending is not None and isolated is not None:
                records = self._pending.records
                flow.take_in(self._pending, isolated, end=reader.position, now=now)
            self._pending = None
            self._position, self._marks = reader.position, _marks(reader)
            self._records_read += records
            caught_up = reader.finished or (records < max_records and self._is_caught_up(reader, now))
            if records == 0 and reader.finished:
                flow.end(now)
                self._state = RuntimeState.DRAINED
            else:
                if records == 0:
                    flow.pass_time(now, caught_up=caught_up)
                flow.pass_clock(now)
        return StepResult(
            records=records,
            rows_out=flow.counters.records_out - rows_before,
            finished=self._has_ended(),
            caught_up=caught_up,
        )

    # ---- checkpoints

    def checkpoint(self, now: float) -> CheckpointResult | None:
        """See `Shard`."""
        assert self._state in (RuntimeState.RUNNING, RuntimeState.DRAINED, RuntimeState.FINISHED)
        assert self._flow is not None
        if not self._flow.changed:
            return None
        with self._closing_on_failure():
            return self._commit(self._flow, now)

    def _commit(self, flow: ShardFlow, now: float) -> CheckpointResult:
        assert self._position is not None
        assert self._outputs is not None
        number = self._log.next_number
        finished = self._state is RuntimeState.DRAINED
        flow.pass_on(self._position, finished=finished)
        state_files = tuple(self._log.save_state(role, data) for role, data in flow.state_files().items())
        outputs = self._outputs.prepare(number)
        remarks: list[str] = []
        if self._delivery is Delivery.AT_LEAST_ONCE:
            remarks += self._outputs.promote(outputs)
        manifest = Manifest(
            shard=self._shard,
            epoch=self._epoch,
            number=number,
            program_revision=self._revision,
            created_at_s=now,
            delivery=self._delivery.value,
            positions={INPUT: self._position, **self._marks},
            watermark_us=flow.watermark_us,
            finished=finished,
            state_shape=flow.state_shape(),
            state_files=state_files,
            outputs=outputs,
            counters=flow.counters,
            accumulators=dict(flow.accumulators),
        )
        written = self._log.commit(manifest, now)
        self._fault("committed")
        if self._delivery is not Delivery.AT_LEAST_ONCE:
            remarks += self._outputs.promote(outputs)
        self._checkpoint, flow.changed = number, False
        if finished:
            self._state = RuntimeState.FINISHED
        oldest = self._log.collect(self._keep)
        if oldest is not None and isinstance(self._reader, RepartitionReader):
            self._reader.forget(oldest.positions)
        return CheckpointResult(
            id=number, bytes=written + manifest.state_bytes, finished=finished, remarks=tuple(remarks)
        )

    # ---- telling

    def status(self, now: float) -> ShardStatus:
        """See `Shard`."""
        reader, flow = self._reader, self._flow
        end = backlog = None
        if reader is not None:
            backlog, end = reader.backlog(), reader.end_position()
            if end is not None:
                self._lag.see(now, reader.position, end)
        records = backlog.records if backlog else 0 if self._state is RuntimeState.FINISHED else None
        counters = flow.counters if flow else ShardCounters()
        return ShardStatus(
            shard=self._shard,
            epoch=self._epoch,
            state=self._state,
            position=self._position,
            end_position=end if reader is not None else self._position,
            backlog_records=records,
            backlog_bytes=backlog.bytes if backlog else None,
            end_records=None if records is None else counters.records_in + counters.taken_over + records,
            lag_s=None if end is None or self._position is None else self._lag.lag_s(now, self._position),
            watermark_us=flow.watermark_us if flow else None,
            records_read=self._records_read,
            state_rows=flow.state_rows if flow else 0,
            checkpoint=self._checkpoint,
            restored_from=self._restored_from,
            counters=counters,
            accumulators=dict(flow.accumulators) if flow else {},
        )

    # ---- inside

    def _open(self, manifest: Manifest | None) -> Reader:
        source = self._plan.source
        if isinstance(source, RepartitionSource):
            return source.open_at(self._store, self._shard, manifest.positions if manifest else None)
        return source.open(self._shard, self._position)

    def _has_ended(self) -> bool:
        return self._state in (RuntimeState.DRAINED, RuntimeState.FINISHED)

    def _is_caught_up(self, reader: Reader, now: float) -> bool:
        """Whether everything that exists has been read; notes where the end is."""
        end = reader.end_position()
        if end is not None:
            self._lag.see(now, reader.position, end)
        backlog = reader.backlog()
        return (backlog.bytes if backlog.records is None else backlog.records) == 0

    @contextmanager
    def _closing_on_failure(self) -> Iterator[None]:
        """What is left half done must not be gone on with."""
        try:
            yield
        except Exception:
            self.close()
            raise


def _marks(reader: Reader) -> Mapping[str, int]:
    """What a checkpoint saves of a reader beside its position."""
    return reader.marks if isinstance(reader, RepartitionReader) else {}
