"""All outputs of one shard together, as a checkpoint sees them: sinks, dead letters, the log before the next stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from millstream.contract.checkpoint import Manifest, ShardId, SinkOutput
from millstream.contract.worker_spec import Delivery
from millstream.plan import Plan
from millstream.repartition.writer import NAME as NEXT_STAGE
from millstream.repartition.writer import RepartitionWriter
from millstream.runtime.dead_letters import NAME as DEAD_LETTERS
from millstream.runtime.dead_letters import DeadLetterWriter
from millstream.sinks.sink import CommittedOutput, OutputData, SinkWriter, WriterContext
from millstream.sources.source import DeadRecord
from millstream.stores.object_store import ObjectStore


class ShardOutputs:
    """Opens every sink of a plan for one shard, and keeps them in step.  `sinks.sink` says in which order."""

    def __init__(
        self,
        plan: Plan,
        store: ObjectStore,
        *,
        job: str,
        shard: ShardId,
        epoch: int,
        delivery: Delivery,
        fault: Callable[[str], None],
    ) -> None:
        self._dead_letters = DeadLetterWriter(store, shard, epoch)
        self._delivery = delivery
        self._fault = fault
        self._writers: dict[str, SinkWriter] = {}
        for write in plan.writes():
            context = WriterContext(job=job, shard=shard, epoch=epoch, sink_name=write.name, delivery=delivery)
            self._writers[write.name] = write.sink.open(context)
        self._all: dict[str, CommittedOutput] = {**self._writers, DEAD_LETTERS: self._dead_letters}
        self._next_stage: RepartitionWriter | None = None
        if plan.output is not None:
            self._next_stage = RepartitionWriter(
                store,
                stage=plan.number + 1,
                keys=plan.output.keys,
                shards=plan.output.shards,
                shard=shard,
                epoch=epoch,
            )
            self._all[NEXT_STAGE] = self._next_stage

    def write(self, writes: Sequence[tuple[str, pl.DataFrame]]) -> int:
        """Give rows to the sinks named; returns how many."""
        rows = 0
        for name, frame in writes:
            if frame.height:
                self._writers[name].write(frame)
                rows += frame.height
        return rows

    def write_dead(self, records: Sequence[DeadRecord]) -> None:
        """Keep records as dead letters."""
        self._dead_letters.write(records)

    @property
    def next_stage(self) -> RepartitionWriter | None:
        """The log before the next stage, if there is one."""
        return self._next_stage

    def prepare(self, number: int) -> tuple[SinkOutput, ...]:
        """Make everything written durable for commit `number`, not yet visible."""
        outputs: list[SinkOutput] = []
        for name, output in self._all.items():
            outputs += [SinkOutput(sink=name, data=data) for data in output.prepare(number)]
            self._fault(f"prepared {name}")
        return tuple(outputs)

    def promote(self, outputs: Sequence[SinkOutput]) -> list[str]:
        """Make prepared outputs visible; idempotent.  Returns remarks."""
        remarks: list[str] = []
        for name, output in self._all.items():
            remarks += output.promote(_of(outputs, name))
            self._fault(f"promoted {name}")
        return remarks

    def restore(self, manifest: Manifest | None) -> list[str]:
        """Finish what the commit promised, and discard what belongs to no commit up to it.  Returns remarks."""
        committed = manifest.outputs if manifest else ()
        remarks: list[str] = []
        if self._delivery is not Delivery.AT_MOST_ONCE:
            remarks += self.promote(committed)
        for name, output in self._all.items():
            remarks += output.restore(manifest.number if manifest else 0, _of(committed, name))
            self._fault(f"restored {name}")
        unknown = sorted({output.sink for output in committed} - self._all.keys())
        remarks += [f'the checkpoint has output for "{name}", which the program has no more' for name in unknown]
        return remarks

    def discard(self) -> None:
        """Throw away what is not committed.  Never raises."""
        for output in self._all.values():
            output.discard()


def _of(outputs: Sequence[SinkOutput], name: str) -> Sequence[OutputData]:
    return [output.data for output in outputs if output.sink == name]
