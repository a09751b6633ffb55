"""The log between two stages: where a key goes, what entries hold, how readers follow, when it is cleaned up."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import polars as pl
import pytest

from millstream import Stream, count, tumbling
from millstream.contract.checkpoint import ShardId
from millstream.errors import DamagedLog, SourceFailed
from millstream.repartition.entry import Entry, decode_entry, encode_entry, index_prefix, segments_prefix
from millstream.repartition.partitioning import partition_of, split
from millstream.repartition.source import RepartitionReader, RepartitionSource
from millstream.repartition.writer import COLLECT_EVERY, SEGMENT_ROWS_MAX, RepartitionWriter
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.stores.memory import MemoryStore

ROWS = pl.Schema({"key": pl.String(), "n": pl.Int64()})
X, Y = ShardId("x"), ShardId("dir/y")


def rows(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({"key": [f"k{number}" for number in numbers], "n": list(numbers)}, schema=ROWS)


def source(*, shards: int = 2) -> RepartitionSource:
    upstream = RowsSource({X: rows(), Y: rows()})
    return RepartitionSource(stage=1, keys=("key",), shards=shards, schema=ROWS, upstream=upstream)


def writer(store: MemoryStore, shard: ShardId = X, *, epoch: int = 1, shards: int = 2) -> RepartitionWriter:
    return RepartitionWriter(store, stage=1, keys=("key",), shards=shards, shard=shard, epoch=epoch)


def commit(
    log: RepartitionWriter, number: int, given: pl.DataFrame, watermark_us: int | None, *, finished: bool = False
) -> None:
    log.write(given)
    log.tell(position=number * 10, watermark_us=watermark_us, idle=False, finished=finished)
    log.promote(log.prepare(number))


def reader(store: MemoryStore, partition: int, positions: dict[str, int] | None = None) -> RepartitionReader:
    stage = source()
    return stage.open_at(store, stage.shard(partition), positions)


def read(found: RepartitionReader) -> list[int]:
    return sorted(found.poll(100, 1 << 20).frame["n"].to_list())


def test_the_partition_of_a_key_is_written_down() -> None:
    """These numbers are in logs and state of running jobs: they may never change."""
    keys: list[tuple[tuple[object, ...], int]] = [
        (("EWR",), 11),
        (("", None), 2),
        ((7, "ä"), 1),
        ((date(2024, 2, 29), True), 14),
        ((datetime(2024, 2, 29, 12, 30),), 3),
        ((Decimal("1.50"),), 11),
    ]
    assert [(key, partition_of(key, 16)) for key, _ in keys] == keys


def test_rows_of_one_key_stay_together_and_in_order() -> None:
    given = pl.DataFrame({"key": ["a", None, "b", "a", None], "n": [1, 2, 3, 4, 5]})
    parts = split(given, ["key"], 3)
    assert sorted(n for part in parts.values() for n in part["n"]) == [1, 2, 3, 4, 5]
    for number, part in parts.items():
        assert part.columns == ["key", "n"]
        assert part["n"].is_sorted()
        assert {partition_of((key,), 3) for key in part["key"]} == {number}
    assert split(given.clear(), ["key"], 3) == {}


def test_what_is_not_promoted_is_not_seen_and_each_partition_sees_its_own() -> None:
    store = MemoryStore()
    log = writer(store)
    log.write(rows(*range(20)))
    log.tell(position=20, watermark_us=5, idle=False, finished=False)
    outputs = log.prepare(2)
    readers = [reader(store, 0), reader(store, 1)]
    assert [read(each) for each in readers] == [[], []]
    log.promote(outputs)
    log.promote(outputs)
    found = [read(each) for each in readers]
    assert sorted(found[0] + found[1]) == list(range(20))
    assert found[0]
    assert found[1]
    assert [read(each) for each in readers] == [[], []]


def test_a_reader_goes_on_where_its_marks_say_even_inside_an_entry() -> None:
    store = MemoryStore()
    one = RepartitionSource(stage=1, keys=("key",), shards=1, schema=ROWS, upstream=RowsSource({X: rows()}))
    many = pl.concat([rows(1)] * (2 * SEGMENT_ROWS_MAX + 5))
    log = writer(store, shards=1)
    commit(log, 2, many, 7)
    found = one.open_at(store, one.shard(0), None)
    first = found.poll(10, 1 << 30)
    assert first.frame.height == SEGMENT_ROWS_MAX
    assert first.watermark_us is None, "the entry is not read to its end"
    assert found.backlog().records == SEGMENT_ROWS_MAX + 5
    positions = {"source": int(found.position), **found.marks}
    again = one.open_at(store, one.shard(0), positions)
    rest = again.poll(1 << 30, 1 << 30)
    assert rest.frame.height == SEGMENT_ROWS_MAX + 5
    assert again.position == many.height
    assert rest.watermark_us == 7
    assert rest.origin(3)[0] == SEGMENT_ROWS_MAX + 3


def test_the_watermark_waits_for_every_upstream_shard_that_is_not_idle() -> None:
    store = MemoryStore()
    x, y, found = writer(store), writer(store, Y), reader(store, 0)
    commit(x, 2, rows(), 50)
    assert found.poll(10, 10).watermark_us is None, "nothing is known of the other shard"
    y.tell(position=0, watermark_us=None, idle=True, finished=False)
    y.promote(y.prepare(2))
    assert found.poll(10, 10).watermark_us == 50
    commit(y, 3, rows(), 20)
    assert found.poll(10, 10).watermark_us is None, "it never goes back"
    commit(x, 3, rows(), 90)
    assert found.poll(10, 10).watermark_us is None, "the slower one holds it"
    commit(y, 4, rows(), 60, finished=True)
    assert found.poll(10, 10).watermark_us == 90, "who has finished holds nobody"
    assert not found.finished
    commit(x, 4, rows(), 95, finished=True)
    assert not found.finished
    found.poll(10, 10)
    assert found.finished
    assert reader(store, 0, {"source": 0, **found.marks}).finished, "a new owner knows it, too"


def test_nothing_new_gives_no_entry() -> None:
    store = MemoryStore()
    log = writer(store)
    commit(log, 2, rows(), 5)
    log.tell(position=20, watermark_us=5, idle=False, finished=False)
    assert log.prepare(3) == ()
    log.tell(position=20, watermark_us=6, idle=False, finished=False)
    assert len(log.prepare(3)) == 1


def test_a_new_owner_throws_away_what_no_commit_lists_but_nothing_of_a_later_epoch() -> None:
    store = MemoryStore()
    commit(writer(store, epoch=1), 2, rows(1, 2), 5)
    listed = store.list(segments_prefix(1))
    for epoch in (1, 3):
        stale = writer(store, epoch=epoch)
        stale.write(rows(8, 9))
        stale.tell(position=30, watermark_us=9, idle=False, finished=False)
        stale.prepare(4)
    newer = [name for name in store.list(segments_prefix(1)) if "-3-" in name]
    owner = writer(store, epoch=2)
    owner.restore(2, ({"entry": store.get(store.list(index_prefix(1))[0]).decode()},))
    assert store.list(segments_prefix(1)) == sorted([*listed, *newer])


def test_segments_and_entries_go_when_no_checkpoint_needs_them() -> None:
    store = MemoryStore()
    log, readers = writer(store), [reader(store, 0), reader(store, 1)]
    for number in range(2, 2 + 2 * COLLECT_EVERY):
        commit(log, number, rows(*range(20)), number)
        for each in readers:
            read(each)
            each.forget({"source": 0, **each.marks})
    assert store.list(segments_prefix(1)) == []
    left = store.list(index_prefix(1))
    assert 1 <= len(left) <= COLLECT_EVERY + 1
    assert left[-1].endswith(f"{1 + 2 * COLLECT_EVERY:012d}"), "the newest entry stays"


def test_a_reader_that_takes_over_forgets_what_others_read() -> None:
    store = MemoryStore()
    commit(writer(store), 2, rows(*range(20)), 5)
    first = reader(store, 0)
    read(first)
    own = [name for name in store.list(segments_prefix(1)) if "-00000-" in name]
    reader(store, 0, {"source": 0, **first.marks}).forget(first.marks)
    assert own
    assert not set(own) & set(store.list(segments_prefix(1)))
    assert len(store.list(segments_prefix(1))) == 1, "the other partition's is not its to delete"


@pytest.mark.parametrize("what", ["missing", "altered"])
def test_a_segment_that_is_not_what_was_written_is_said(what: str) -> None:
    store = MemoryStore()
    commit(writer(store), 2, rows(*range(20)), 5)
    for name in store.list(segments_prefix(1)):
        store.delete(name)
        if what == "altered":
            store.create(name, b"x")
    with pytest.raises(SourceFailed, match=r"is missing|is not what was written"):
        read(reader(store, 0))


def test_an_entry_survives_its_bytes_and_others_are_refused() -> None:
    entry = Entry(number=3, epoch=1, position=30, watermark_us=5, idle=True, finished=True)
    assert decode_entry("e", encode_entry(entry)) == entry
    with pytest.raises(DamagedLog, match="e is no entry of a repartition log"):
        decode_entry("e", b"{}")


def test_a_plan_falls_apart_into_stages_with_shards_of_their_own() -> None:
    schema = pl.Schema({"at": pl.Datetime("us"), "key": pl.String()})
    stream = (
        Stream(RowsSource({X: pl.DataFrame(schema=schema)}))
        .event_time("at")
        .key_by("key", shards=3)
        .window(tumbling("1m"))
        .aggregate(n=count())
        .to(CollectingSink(pl.Schema()))
    )
    first, second = stream.plan().stages()
    assert [str(shard.id) for shard in second.source.discover().shards] == ["stage1/0000", "stage1/0001", "stage1/0002"]
    assert [write.name for write in first.writes()] == []
    assert [write.name for write in second.writes()] == ["sink0"]
    assert "repartition by key into 3 shards" in stream.explain()
