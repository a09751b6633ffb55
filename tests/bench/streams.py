"""What a shard costs beside a plain query, and what kinds of windows and a second stage cost beside the simplest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
from figure import Figure, Measurement, best

from millstream import Stream, count, files, mean, sliding, tumbling
from millstream.plan import Plan, stage_of
from millstream.runtime.shard import ShardRuntime
from millstream.stores.directory import DirectoryStore
from millstream.windows import Window

LINES = 1_000_000
SCHEMA = {"key": pl.String, "at": pl.Datetime("ms"), "value": pl.Float64}
STEPS_PER_CHECKPOINT = 5


def shard_throughput(folder: Path, rounds: int) -> Figure:
    """JSON lines → event time → key → one-minute windows, with checkpoints, against one Polars query over the file."""
    path = written(folder)

    def theirs() -> None:
        found = (
            pl.scan_ndjson(path, schema={**SCHEMA, "at": pl.String()})
            .with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3f", time_unit="ms"))
            .group_by("key", pl.col("at").dt.truncate("1m"))
            .agg(pl.len(), pl.col("value").mean())
            .collect()
        )
        assert found.height > LINES / 100

    mine, other = best(rounds, job(folder, path, tumbling("1m")), theirs)
    return Figure(value=LINES / mine, unit="records/s", against="one Polars scan and group_by", ratio=other / mine)


def sliding_windows(folder: Path, rounds: int) -> Figure:
    """The same records in windows of an hour, one every minute, against windows of a minute."""
    path = written(folder)
    mine, other = best(
        rounds, job(folder, path, sliding("1h", every="1m")), job(folder / "plain", path, tumbling("1m"))
    )
    return Figure(value=LINES / mine, unit="records/s", against="tumbling windows of 1 min", ratio=other / mine)


def second_stage(folder: Path, rounds: int) -> Figure:
    """The same records repartitioned by key into four shards, both stages in one thread, against no repartitioning."""
    path = written(folder)
    mine, other = best(
        rounds,
        job(folder, path, tumbling("1m"), shards=4),
        job(folder / "plain", path, tumbling("1m")),
    )
    return Figure(value=LINES / mine, unit="records/s", against="one stage, partitioned", ratio=other / mine)


def written(folder: Path) -> Path:
    """A file of records: 1,000 keys, 10 ms apart."""
    path = folder / "log.jsonl"
    numbers = pl.int_range(LINES, eager=True)
    pl.DataFrame(
        {
            "key": "k" + (numbers * 7919 % 1000).cast(pl.String),
            "at": pl.from_epoch(1_700_000_000_000 + numbers * 10, time_unit="ms").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"),
            "value": (numbers % 1013).cast(pl.Float64),
        }
    ).write_ndjson(path)
    return path


def job(folder: Path, path: Path, window: Window, *, shards: int | None = None) -> Callable[[], None]:
    """A run over the whole file, each into folders of its own."""
    turn = iter(range(1000))

    def run() -> None:
        number = next(turn)
        keyed = (
            Stream(files(path, schema=SCHEMA)).event_time("at").key_by("key", shards=shards, partitioned=shards is None)
        )
        plan = (
            keyed.window(window)
            .aggregate(records=count(), value=mean("value"))
            .to(files(folder / f"out-{number}"))
            .plan()
        )
        to_the_end(plan, DirectoryStore(folder / f"store-{number}"))

    return run


def to_the_end(plan: Plan, store: DirectoryStore) -> None:
    """Every shard of every stage in turn, with a checkpoint every few steps, until all have ended."""
    stages = plan.stages()
    running = [
        ShardRuntime(stage_of(stages, known.id), shard=known.id, epoch=1, owner="bench", store=store)
        for stage in stages
        for known in stage.source.discover().shards
    ]
    seconds, steps = 0.0, 0
    for shard in running:
        shard.claim_and_restore(seconds)
    while running:
        seconds, steps = seconds + 0.1, steps + 1
        for shard in list(running):
            finished = shard.step(seconds, 65_536).finished
            if finished:
                shard.release(seconds)
                running.remove(shard)
            elif steps % STEPS_PER_CHECKPOINT == 0:
                shard.checkpoint(seconds)


FIGURES: dict[str, Measurement] = {
    "shard throughput": shard_throughput,
    "sliding windows": sliding_windows,
    "second stage": second_stage,
}
