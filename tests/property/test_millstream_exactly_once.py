"""Whatever the batches, wherever it crashes, whoever wakes up too late: the committed output is that of one query.

The reference is computed record by record from the order of the input alone, so it also says which records are late.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from millstream import Stream, count, first, last, mean, tumbling, variance
from millstream import max as greatest
from millstream import sum as total
from millstream.contract.checkpoint import BrokenEntry, ShardId, decode_entry
from millstream.contract.worker_spec import Delivery
from millstream.errors import Fenced
from millstream.plan import Plan
from millstream.runtime.dead_letters import read_dead_letters
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.stores.memory import MemoryStore
from millstream.testing import upserted

SHARD = ShardId("rows")
SCHEMA = pl.Schema({"id": pl.Int64(), "key": pl.String(), "at": pl.Datetime("ms"), "value": pl.Int64()})
START = datetime(2024, 1, 1)
DISORDER_S, SIZE_S, LATENESS_S = 20, 60, 45
KEYS = ("key", "window_start")


class Crash(BaseException):
    """The process dies here."""


@dataclass
class Bomb:
    """Goes off at the n-th of all the places where something can happen."""

    left: int | None = None
    places: int = 0

    def __call__(self, _: str) -> None:
        self.places += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash


class CrashingStore(MemoryStore):
    """Crashes before and after every effect on the store."""

    def __init__(self, bomb: Bomb) -> None:
        super().__init__()
        self._bomb = bomb

    def create(self, name: str, data: bytes) -> None:
        self._bomb("before create")
        super().create(name, data)
        self._bomb("after create")

    def delete(self, name: str) -> None:
        self._bomb("before delete")
        super().delete(name)
        self._bomb("after delete")


Row = tuple[int, str, int | None, int]
"""id, key, event time in seconds, value"""


@st.composite
def inputs(draw: st.DrawFn) -> list[Row]:
    """Event times that drift forward with disorder, some of it beyond what is allowed; now and then none at all."""
    times = draw(st.lists(st.integers(-90, 15), min_size=1, max_size=60))
    step = draw(st.integers(1, 30))
    rows: list[Row] = []
    for number, offset in enumerate(times):
        at = None if draw(st.integers(0, 7)) == 7 else number * step + offset
        rows.append((number, draw(st.sampled_from("abc")), at, draw(st.integers(-5, 5))))
    return rows


def frame_of(rows: Sequence[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"id": i, "key": key, "at": None if at is None else START + timedelta(seconds=at), "value": value}
            for i, key, at, value in rows
        ],
        schema=SCHEMA,
    )


def late_ids(rows: Sequence[Row]) -> list[int]:
    """Record by record, as the definition says it."""
    late, seen = [], None
    for i, _, at, _ in rows:
        if at is None:
            continue
        watermark = None if seen is None else seen - DISORDER_S
        end = at - at % SIZE_S + SIZE_S
        if watermark is not None and end + LATENESS_S <= watermark:
            late.append(i)
        seen = at if seen is None else max(seen, at)
    return late


def expected(rows: Sequence[Row]) -> pl.DataFrame:
    """One Polars query over everything that is not late and has a time."""
    frame = frame_of(rows).filter(pl.col("at").is_not_null() & ~pl.col("id").is_in(late_ids(rows)))
    ordered = pl.col("value").sort_by("at", maintain_order=True)
    return (
        frame.group_by("key", window_start=pl.col("at").dt.truncate("60s"))
        .agg(
            window_end=pl.col("at").first().dt.truncate("60s") + timedelta(seconds=SIZE_S),
            n=pl.len().cast(pl.Int64),
            total=pl.col("value").sum(),
            top=pl.col("value").max(),
            mean=pl.col("value").mean(),
            spread=pl.col("value").var(),
            first=ordered.first(),
            last=ordered.last(),
        )
        .sort(KEYS)
    )


@dataclass
class World:
    """One job on one shard, with everything that outlives a worker."""

    plan: Plan
    echo: CollectingSink
    results: CollectingSink
    late: CollectingSink
    store: CrashingStore
    bomb: Bomb

    def runtime(self, epoch: int) -> ShardRuntime:
        return ShardRuntime(
            self.plan, shard=SHARD, epoch=epoch, owner=f"w{epoch}", store=self.store, keep=3, fault=self.bomb
        )


def world(rows: Sequence[Row], *, early: bool = False) -> World:
    source = RowsSource({SHARD: frame_of(rows)})
    echo, late = CollectingSink(SCHEMA), CollectingSink(SCHEMA)
    stream = (
        Stream(source)
        .to(echo)
        .event_time("at", out_of_orderness=f"{DISORDER_S}s")
        .key_by("key", partitioned=True)
        .window(tumbling(f"{SIZE_S}s"), allowed_lateness=f"{LATENESS_S}s", early="5s" if early else None)
        .aggregate(
            n=count(),
            total=total("value"),
            top=greatest("value"),
            mean=mean("value"),
            spread=variance("value"),
            first=first("value"),
            last=last("value"),
        )
    )
    results = CollectingSink(stream.schema)
    bomb = Bomb()
    return World(stream.to(results).late(late).plan(), echo, results, late, CrashingStore(bomb), bomb)


def check(world: World, rows: Sequence[Row], runtime: ShardRuntime) -> None:
    late = late_ids(rows)
    undated = [i for i, _, at, _ in rows if at is None]
    assert world.echo.frame.equals(frame_of(rows))
    assert world.late.frame["id"].to_list() == late
    assert sorted(letter.position for letter in read_dead_letters(world.store)) == undated
    counters = runtime.status(0.0).counters
    assert (counters.records_in, counters.late, counters.dead) == (len(rows), len(late), len(undated))
    assert counters.records_out == sum(sink.frame.height for sink in (world.echo, world.results, world.late))

    shown = world.results.frame
    assert_frames_agree(upserted(shown, *KEYS), expected(rows))
    for _, group in shown.group_by(KEYS):
        assert group["revision"].to_list() == list(range(group.height))
        panes = group["pane"].to_list()
        assert panes == sorted(panes, key=["early", "on_time", "late"].index)
        assert panes.count("on_time") <= 1


def assert_frames_agree(found: pl.DataFrame, wanted: pl.DataFrame) -> None:
    assert found.columns == [*KEYS, "window_end", "n", "total", "top", "mean", "spread", "first", "last"]
    exact = [*KEYS, "window_end", "n", "total", "top", "first", "last"]
    assert found.select(exact).equals(wanted.select(exact))
    for column in ("mean", "spread"):
        for a, b in zip(found[column].to_list(), wanted[column].to_list(), strict=True):
            assert (a is None) == (b is None)
            assert a is None or abs(a - b) < 1e-9


def live(runtime: ShardRuntime, clock: Callable[[], float], batch: Callable[[], int], every: int) -> None:
    """One life of an owner, to the end of the source."""
    runtime.claim_and_restore(clock())
    steps, watermark = 0, None
    while not runtime.step(clock(), batch()).finished:
        now_at = runtime.status(clock()).watermark_us
        assert watermark is None or (now_at is not None and now_at >= watermark)
        watermark = now_at
        steps += 1
        if steps % every == 0:
            runtime.checkpoint(clock())
    runtime.checkpoint(clock())


def ticking(seed: int) -> Callable[[], float]:
    now = float(seed % 1000)

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    return clock


@given(
    rows=inputs(),
    seed=st.integers(0, 2**32),
    crashes=st.lists(st.integers(0, 120), max_size=6),
    every=st.integers(1, 5),
    early=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_crashes_anywhere_neither_lose_nor_double(
    rows: list[Row], seed: int, crashes: list[int], every: int, early: bool
) -> None:
    job = world(rows, early=early)
    chance, clock = random.Random(seed), ticking(seed)
    for epoch, left in enumerate([*crashes, None], start=1):
        job.bomb.left = left
        runtime = job.runtime(epoch)
        try:
            live(runtime, clock, lambda: chance.choice((1, 2, 3, 7, 50)), every)
        except Crash:
            event("crashed")
    assert job.bomb.left is None
    check(job, rows, runtime)


def test_a_crash_at_every_single_place_of_a_small_run() -> None:
    rows: list[Row] = [(i, "ab"[i % 2], i * 25 if i != 7 else None, i) for i in range(14)]
    calm = world(rows)
    live(calm.runtime(1), ticking(0), lambda: 3, 2)
    places = calm.bomb.places
    assert places > 60
    for place in range(places):
        job = world(rows)
        job.bomb.left = place
        try:
            live(job.runtime(1), ticking(0), lambda: 3, 2)
            raise AssertionError("it should have crashed")
        except Crash:
            pass
        runtime = job.runtime(2)
        live(runtime, ticking(0), lambda: 4, 1)
        check(job, rows, runtime)


@given(rows=inputs(), seed=st.integers(0, 2**32), moves=st.lists(st.integers(0, 9), max_size=60))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_zombies_never_commit_after_the_claim_of_another(rows: list[Row], seed: int, moves: list[int]) -> None:
    """Owners that do not know of each other step and commit in any order; only the newest may."""
    job = world(rows)
    chance, clock = random.Random(seed), ticking(seed)
    owners = [job.runtime(1)]
    owners[0].claim_and_restore(clock())
    fenced: set[int] = set()
    for move in moves:
        if move == 0:
            owners.append(job.runtime(len(owners) + 1))
            owners[-1].claim_and_restore(clock())
            continue
        index = chance.randrange(len(owners))
        if index in fenced:
            continue
        if move <= 6:
            owners[index].step(clock(), chance.choice((1, 3, 10)))
            continue
        before = owners[index].status(clock()).checkpoint
        try:
            done = owners[index].checkpoint(clock())
        except Fenced:
            assert index != len(owners) - 1, "the newest owner was fenced"
            event("a zombie was fenced")
            fenced.add(index)
            owners[index].close()
        else:
            assert done is None or index == len(owners) - 1, f"a zombie committed {done}, after {before}"
    runtime = job.runtime(len(owners) + 1)
    live(runtime, clock, lambda: 5, 2)
    for index, owner in enumerate(owners):
        if index not in fenced:
            owner.close()
    check(job, rows, runtime)


@given(
    rows=inputs(),
    seed=st.integers(0, 2**32),
    lives=st.lists(st.tuples(st.integers(10, 150), st.sampled_from(("entry", "state", "state gone"))), max_size=4),
)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_newest_checkpoint_costs_time_and_nothing_else(
    rows: list[Row], seed: int, lives: list[tuple[int, str]]
) -> None:
    job = world(rows)
    chance, clock = random.Random(seed), ticking(seed)
    for epoch, (left, what) in enumerate(lives, start=1):
        job.bomb.left = left
        try:
            live(job.runtime(epoch), clock, lambda: chance.choice((1, 2, 3)), 1)
        except Crash:
            event("crashed")
        job.bomb.left = None
        if damage_newest(job.store, what):
            event(f"damaged {what}")
    runtime = job.runtime(len(lives) + 1)
    live(runtime, clock, lambda: 4, 2)
    check(job, rows, runtime)


def damage_newest(store: MemoryStore, what: str) -> bool:
    """Spoil the newest commit, if an older whole one is left to fall back to."""
    commits = []
    for name in store.list("shards/rows/log/"):
        try:
            entry = decode_entry(store.get(name))
        except BrokenEntry:
            return False  # one at a time
        if entry.manifest:
            commits.append((name, entry.manifest))
    files = set(store.list("shards/rows/state/"))
    if len(commits) < 2 or any(file.name not in files for _, m in commits for file in m.state_files):
        return False
    name, manifest = commits[-1]
    if what == "entry":
        store.delete(name)
        store.create(name, b'{"sha256":"')
    elif not manifest.state_files:
        return False
    else:
        file = manifest.state_files[0]
        store.delete(file.name)
        if what == "state":
            store.create(file.name, b"x" * file.bytes)
    return True


@given(rows=inputs(), seed=st.integers(0, 2**32), crashes=st.lists(st.integers(0, 120), max_size=5))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_weaker_promises_hold_too(rows: list[Row], seed: int, crashes: list[int]) -> None:
    """At least once loses nothing, at most once doubles nothing."""
    for delivery in (Delivery.AT_LEAST_ONCE, Delivery.AT_MOST_ONCE):
        job = world(rows)
        chance, clock = random.Random(seed), ticking(seed)
        for epoch, left in enumerate([*crashes, None], start=1):
            job.bomb.left = left
            runtime = ShardRuntime(
                job.plan,
                shard=SHARD,
                epoch=epoch,
                owner=f"w{epoch}",
                store=job.store,
                delivery=delivery,
                fault=job.bomb,
            )
            try:
                live(runtime, clock, functools.partial(chance.choice, (1, 2, 7)), 2)
            except Crash:
                event("crashed")
        ids = job.echo.frame["id"].to_list()
        if delivery is Delivery.AT_LEAST_ONCE:
            assert set(ids) == set(range(len(rows)))
        else:
            assert len(ids) == len(set(ids))
            assert ids == sorted(ids)
