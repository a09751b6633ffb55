"""Records of one key in many shards, any crash of any shard of either stage: the committed output is that of one query.

Which records are late is a matter of each upstream shard alone, so the reference computes it shard by shard.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from millstream import Stream, count, last, tumbling, variance
from millstream import sum as total
from millstream.contract.checkpoint import BrokenEntry, ShardId, decode_entry
from millstream.plan import Plan, stage_of
from millstream.runtime.shard import ShardRuntime
from millstream.runtime.shard_results import RuntimeState
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.stores.memory import MemoryStore
from millstream.testing import upserted

SCHEMA = pl.Schema({"id": pl.Int64(), "key": pl.String(), "at": pl.Datetime("ms"), "value": pl.Int64()})
START = datetime(2024, 1, 1)
DISORDER_S, SIZE_S, LATENESS_S = 20, 60, 45
KEYS = ("key", "window_start")
TURNS_MAX = 4000


class Crash(BaseException):
    """The process dies here."""


class CrashingStore(MemoryStore):
    """Crashes before or after the effect that `left` counts down to."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None
        self.places = 0

    def create(self, name: str, data: bytes) -> None:
        self._place()
        super().create(name, data)
        self._place()

    def delete(self, name: str) -> None:
        self._place()
        super().delete(name)
        self._place()

    def _place(self) -> None:
        self.places += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash


Row = tuple[int, str, int, int]
"""id, key, event time in seconds, value"""


@st.composite
def inputs(draw: st.DrawFn) -> Mapping[str, list[Row]]:
    """A few shards whose event times drift forward, each at a pace of its own; some records beyond the lateness."""
    found: dict[str, list[Row]] = {}
    for name in draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=3, unique=True)):
        step = draw(st.integers(1, 30))
        offsets = draw(st.lists(st.integers(-90, 15), max_size=25))
        found[name] = [
            (number, draw(st.sampled_from("abcdef")), 1000 + number * step + offset, draw(st.integers(-5, 5)))
            for number, offset in enumerate(offsets)
        ]
    return found


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        [{"id": i, "key": key, "at": START + timedelta(seconds=at), "value": value} for i, key, at, value in rows],
        schema=SCHEMA,
    )


def in_time(rows: Sequence[Row]) -> list[Row]:
    kept, seen = [], None
    for row in rows:
        at = row[2]
        if seen is None or at - at % SIZE_S + SIZE_S + LATENESS_S > seen - DISORDER_S:
            kept.append(row)
        seen = at if seen is None else max(seen, at)
    return kept


def expected(shards: Mapping[str, Sequence[Row]]) -> pl.DataFrame:
    """One Polars query over everything that is not late."""
    frame = frame_of([row for rows in shards.values() for row in in_time(rows)])
    return (
        frame.group_by("key", window_start=pl.col("at").dt.truncate("60s"))
        .agg(n=pl.len().cast(pl.Int64), total=pl.col("value").sum(), newest=pl.col("at").max())
        .sort(KEYS)
    )


@dataclass
class Town:
    """A job of two stages, with everything that outlives its workers, and the shards as they run now."""

    stages: tuple[Plan, ...]
    echo: CollectingSink
    results: CollectingSink
    late: CollectingSink
    store: CrashingStore
    chance: random.Random
    keep: int
    epoch: int = 0
    now: float = 0.0
    crashes: int = 0

    def __post_init__(self) -> None:
        self.shards = [shard.id for stage in self.stages for shard in stage.source.discover().shards]
        self.running: dict[ShardId, ShardRuntime] = {}

    def live(self, *, until_all_finish: bool) -> None:
        """Let shards take turns at random.  A crash takes one shard; another owner takes over at its next turn."""
        for _ in range(TURNS_MAX):
            self.now += 1.0
            shard = self.chance.choice(self.shards)
            try:
                self._turn(shard)
            except Crash:
                self.crashes += 1
                self.running.pop(shard, None)
                if not until_all_finish:
                    return
            states = [runtime.status(self.now).state for runtime in self.running.values()]
            if len(states) == len(self.shards) and all(state is RuntimeState.FINISHED for state in states):
                return
        assert not until_all_finish, "it does not come to an end"

    def _turn(self, shard: ShardId) -> None:
        if shard not in self.running:
            self.epoch += 1
            runtime = ShardRuntime(
                stage_of(self.stages, shard),
                shard=shard,
                epoch=self.epoch,
                owner=f"w{self.epoch}",
                store=self.store,
                keep=self.keep,
            )
            runtime.claim_and_restore(self.now)
            self.running[shard] = runtime
        runtime = self.running[shard]
        finished = runtime.step(self.now, self.chance.choice((1, 3, 10))).finished
        if finished or self.chance.random() < 0.3:
            runtime.checkpoint(self.now)


def town(shards: Mapping[str, Sequence[Row]], seed: int, *, partitions: int, early: bool, keep: int = 2) -> Town:
    echo, late = CollectingSink(SCHEMA), CollectingSink(SCHEMA)
    stream = (
        Stream(RowsSource({name: frame_of(rows) for name, rows in shards.items()}))
        .to(echo)
        .event_time("at", out_of_orderness=f"{DISORDER_S}s")
        .key_by("key", shards=partitions)
        .window(tumbling(f"{SIZE_S}s"), allowed_lateness=f"{LATENESS_S}s", early="5s" if early else None)
        .aggregate(n=count(), total=total("value"), newest=last("at"), spread=variance("value"))
    )
    results = CollectingSink(stream.schema)
    plan = stream.to(results).late(late).plan()
    return Town(plan.stages(), echo, results, late, CrashingStore(), random.Random(seed), keep)


def check(town: Town, shards: Mapping[str, Sequence[Row]]) -> None:
    everything = [row for rows in shards.values() for row in rows]
    assert sorted(town.echo.frame.rows()) == sorted(frame_of(everything).rows())
    assert town.late.frame.height == len(everything) - sum(len(in_time(rows)) for rows in shards.values())
    assert upserted(town.results.frame, *KEYS).select(*KEYS, "n", "total", "newest").equals(expected(shards))
    for _, group in town.results.frame.group_by(KEYS):
        assert group["revision"].to_list() == list(range(group.height))
        assert group["pane"].to_list().count("on_time") <= 1
    counters = {shard: runtime.status(town.now).counters for shard, runtime in town.running.items()}
    assert sum(counters[ShardId(name)].records_in for name in shards) == len(everything)


@given(
    shards=inputs(),
    seed=st.integers(0, 2**32),
    crashes=st.lists(st.integers(0, 150), max_size=6),
    partitions=st.integers(1, 4),
    early=st.booleans(),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_crashes_of_either_stage_neither_lose_nor_double(
    shards: dict[str, list[Row]], seed: int, crashes: list[int], partitions: int, early: bool
) -> None:
    job = town(shards, seed, partitions=partitions, early=early)
    for left in crashes:
        job.store.left = left
        job.live(until_all_finish=False)
    job.store.left = None
    job.live(until_all_finish=True)
    event(f"crashed {job.crashes} times")
    check(job, shards)


def test_a_crash_at_every_single_place_of_a_small_run() -> None:
    shards: dict[str, list[Row]] = {
        name: [(i, "abc"[i % 3], 1000 + i * 25 + shift, i) for i in range(36)] for name, shift in (("x", 0), ("y", 13))
    }
    calm = town(shards, 0, partitions=2, early=False)
    calm.live(until_all_finish=True)
    check(calm, shards)
    assert calm.store.places > 100
    for place in range(calm.store.places):
        job = town(shards, 0, partitions=2, early=False)
        job.store.left = place
        job.live(until_all_finish=False)
        assert job.store.left is None, "it should have crashed"
        job.live(until_all_finish=True)
        check(job, shards)


@given(
    shards=inputs(),
    seed=st.integers(0, 2**32),
    spoilt=st.lists(st.integers(0, 120), min_size=1, max_size=4),
    partitions=st.integers(1, 3),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_commit_is_replayed_without_passing_rows_on_twice(
    shards: dict[str, list[Row]], seed: int, spoilt: list[int], partitions: int
) -> None:
    job = town(shards, seed, partitions=partitions, early=False, keep=3)
    for left in spoilt:
        job.store.left = left
        job.live(until_all_finish=False)
        job.store.left = None
        shard = job.chance.choice(job.shards)
        if damage_newest(job.store, shard):
            event(f"damaged a commit of stage {int(shard.startswith('stage1'))}")
            job.running.pop(shard, None)
    job.live(until_all_finish=True)
    check(job, shards)


def damage_newest(store: MemoryStore, shard: ShardId) -> bool:
    """Spoil the shard's newest commit, if an older one is left to fall back to."""
    prefix = f"shards/{shard.replace('/', '%2F')}/log/"
    commits = []
    for name in store.list(prefix):
        try:
            if decode_entry(store.get(name)).manifest:
                commits.append(name)
        except BrokenEntry:
            return False  # one at a time
    if len(commits) < 2:
        return False
    store.delete(commits[-1])
    MemoryStore.create(store, commits[-1], b'{"sha256":"')
    return True
