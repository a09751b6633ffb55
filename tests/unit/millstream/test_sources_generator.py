"""The generator is the same for every reader, and its answer is known."""

from __future__ import annotations

import polars as pl
import pytest

from millstream import ProgramError, Stream, count, generator, tumbling
from millstream import sum as total
from millstream.contract.checkpoint import Position, ShardId
from millstream.errors import SourceFailed
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.stores.memory import MemoryStore
from millstream.testing import upserted


def test_any_reader_from_anywhere_reads_the_same_records() -> None:
    source = generator(shards=2, records=1000, disorder_ms=500)
    whole = source.records(ShardId("0001"), 0, 10_000)
    assert whole.height == 1000
    assert dict(whole.schema) == dict(source.schema)
    for start in (0, 1, 700, 999, 1000):
        reader = source.open(ShardId("0001"), Position(start))
        frames = []
        while not reader.finished:
            frames.append(reader.poll(77, 0).frame)
        assert pl.concat([whole.clear(), *frames]).equals(whole.slice(start))
    assert not source.records(ShardId("0000"), 0, 1000).equals(whole)


def test_keys_are_of_one_shard_only() -> None:
    source = generator(shards=3, records=300, keys=5)
    keys = [set(source.records(shard.id, 0, 300)["key"]) for shard in source.discover().shards]
    assert [len(of_shard) for of_shard in keys] == [5, 5, 5]
    assert len(set.union(*keys)) == 15


def test_a_job_over_all_shards_comes_to_the_known_answer() -> None:
    source = generator(shards=2, records=5000, keys=7, disorder_ms=3000)
    stream = (
        Stream(source)
        .event_time("at", out_of_orderness="3s")
        .key_by("key", partitioned=True)
        .window(tumbling("10s"))
        .aggregate(n=count(), total=total("value"))
    )
    sink = CollectingSink(stream.schema)
    store = MemoryStore()
    for shard in source.discover().shards:
        runtime = ShardRuntime(stream.to(sink).plan(), shard=shard.id, epoch=1, owner="w", store=store)
        runtime.claim_and_restore(0.0)
        while not runtime.step(0.0, 333).finished:
            pass
        runtime.release(0.0)
    truth = (
        pl.concat([source.records(shard.id, 0, 5000) for shard in source.discover().shards])
        .group_by("key", window_start=pl.col("at").dt.truncate("10s"))
        .agg(n=pl.len().cast(pl.Int64), total=pl.col("value").sum())
        .sort("key", "window_start")
    )
    assert upserted(sink.frame, "key", "window_start").drop("window_end").equals(truth)


def test_what_cannot_be_generated_is_refused() -> None:
    with pytest.raises(ProgramError, match="generator: shards must be at least 1, not 0"):
        generator(shards=0)
    with pytest.raises(SourceFailed, match="no shard"):
        generator().open(ShardId("x"), None)
