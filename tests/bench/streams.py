"""What a shard costs beside a plain query."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from figure import Figure, Measurement, best

from millstream import Stream, count, files, mean, tumbling
from millstream.runtime.shard import ShardRuntime
from millstream.stores.directory import DirectoryStore

LINES = 1_000_000


def shard_throughput(folder: Path, rounds: int) -> Figure:
    """JSON lines → event time → key → one-minute windows, with checkpoints, against one Polars query over the file."""
    path = folder / "log.jsonl"
    numbers = pl.int_range(LINES, eager=True)
    pl.DataFrame(
        {
            "key": "k" + (numbers * 7919 % 1000).cast(pl.String),
            "at": pl.from_epoch(1_700_000_000_000 + numbers * 10, time_unit="ms").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"),
            "value": (numbers % 1013).cast(pl.Float64),
        }
    ).write_ndjson(path)
    schema = {"key": pl.String, "at": pl.Datetime("ms"), "value": pl.Float64}
    turn = iter(range(1000))

    def ours() -> None:
        number = next(turn)
        plan = (
            Stream(files(path, schema=schema))
            .event_time("at")
            .key_by("key", partitioned=True)
            .window(tumbling("1m"))
            .aggregate(records=count(), value=mean("value"))
            .to(files(folder / f"out-{number}"))
            .plan()
        )
        store = DirectoryStore(folder / f"store-{number}")
        (known,) = plan.source.discover().shards
        shard = ShardRuntime(plan, shard=known.id, epoch=1, owner="bench", store=store)
        shard.claim_and_restore(0.0)
        seconds = 0.0
        while not (result := shard.step(seconds, 65_536)).finished:
            seconds += 0.1
            if result.records and int(seconds * 10) % 5 == 0:
                shard.checkpoint(seconds)
        shard.release(seconds)

    def theirs() -> None:
        found = (
            pl.scan_ndjson(path, schema={**schema, "at": pl.String()})
            .with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3f", time_unit="ms"))
            .group_by("key", pl.col("at").dt.truncate("1m"))
            .agg(pl.len(), pl.col("value").mean())
            .collect()
        )
        assert found.height > LINES / 100

    mine, other = best(rounds, ours, theirs)
    return Figure(value=LINES / mine, unit="records/s", against="one Polars scan and group_by", ratio=other / mine)


FIGURES: dict[str, Measurement] = {"shard throughput": shard_throughput}
