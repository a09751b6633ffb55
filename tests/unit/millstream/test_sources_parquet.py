"""Parquet files as a source: rows from any position on, schemas that agree and others, files that come and go."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from millstream import ProgramError, SourceFailed, Stream, count, files, read_committed, tumbling
from millstream.contract.checkpoint import Position, ShardId
from millstream.runtime.shard import ShardRuntime
from millstream.sources.folder import SUCCESS
from millstream.sources.parquet import ParquetSource
from millstream.stores.memory import MemoryStore

SCHEMA = pl.Schema({"key": pl.String(), "n": pl.Int64()})


def written(path: Path, rows: int = 100, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame({"key": [f"k{n % 3}" for n in range(rows)], "n": range(rows)}, schema=SCHEMA)
    frame.with_columns(**{name: pl.lit(value) for name, value in more.items()}).write_parquet(path, row_group_size=7)
    return path


def test_rows_come_from_any_position_on_in_order(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet")
    source = ParquetSource(str(tmp_path), SCHEMA, growing=False)
    (shard,) = source.discover().shards
    assert (shard.id, shard.end_records) == ("a.parquet", 100)
    for start in (0, 1, 33, 99, 100):
        reader = source.open(shard.id, Position(start))
        found: list[int] = []
        while not reader.finished:
            before = reader.position
            batch = reader.poll(13, 1 << 20)
            assert reader.position == before + batch.frame.height
            assert batch.origin(0) == (before, b'{"key":"k%d","n":%d}' % (before % 3, before))
            found += batch.frame["n"].to_list()
        assert found == list(range(start, 100))
        assert reader.backlog().records == 0
        assert reader.poll(10, 10).records == 0


def test_a_file_may_lack_columns_have_others_and_narrower_types(tmp_path: Path) -> None:
    pl.DataFrame({"n": [1, 2], "more": ["x", "y"]}, schema={"n": pl.Int16, "more": pl.String}).write_parquet(
        tmp_path / "a.parquet"
    )
    source = ParquetSource(str(tmp_path), SCHEMA, growing=False)
    frame = source.open(ShardId("a.parquet"), None).poll(10, 1 << 20).frame
    assert frame.schema == SCHEMA
    assert frame.rows() == [(None, 1), (None, 2)]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"n": ["one"]}), "conversion from `str` to `i64` failed"),
        (pl.DataFrame({"n": [2**63]}, schema={"n": pl.UInt64}), "conversion from `u64` to `i64` failed"),
    ],
)
def test_values_that_do_not_fit_are_said(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    frame.write_parquet(tmp_path / "a.parquet")
    reader = ParquetSource(str(tmp_path), SCHEMA, growing=False).open(ShardId("a.parquet"), None)
    with pytest.raises(SourceFailed) as failed:
        reader.poll(10, 1 << 20)
    assert message in str(failed.value)
    assert reader.position == 0


def test_files_that_are_none_and_positions_behind_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    source = ParquetSource(str(tmp_path), SCHEMA, growing=False)
    with pytest.raises(SourceFailed, match=r"files\("):
        source.discover()
    with pytest.raises(SourceFailed, match=r"cannot open shard a\.parquet"):
        source.open(ShardId("a.parquet"), None)
    with pytest.raises(SourceFailed, match="is no shard of it"):
        source.open(ShardId("../a.parquet"), None)
    written(tmp_path / "a.parquet", 5)
    with pytest.raises(SourceFailed, match="has become shorter: it has 5 rows, and was read up to 6"):
        source.open(ShardId("a.parquet"), Position(6))


def test_new_files_are_shards_until_the_source_has_ended(tmp_path: Path) -> None:
    source = ParquetSource(str(tmp_path / "*.parquet"), SCHEMA, growing=True)
    assert source.discover().shards == ()
    written(tmp_path / "b.parquet")
    written(tmp_path / "a.parquet")
    assert [shard.id for shard in source.discover().shards] == ["a.parquet", "b.parquet"]
    assert not source.discover().complete
    (tmp_path / SUCCESS).touch()
    assert source.discover().complete
    with pytest.raises(SourceFailed, match="no file matches"):
        ParquetSource(str(tmp_path / "*.none"), SCHEMA, growing=False).discover()


def test_a_program_reads_parquet_without_saying_the_schema(tmp_path: Path) -> None:
    written(tmp_path / "in" / "a.parquet", at=datetime(2024, 1, 1))
    plan = (
        Stream(files(tmp_path / "in", format="parquet"))
        .event_time("at")
        .key_by("key", partitioned=True)
        .window(tumbling("1h"))
        .aggregate(records=count())
        .to(files(tmp_path / "out", format="parquet"))
        .plan()
    )
    shard = ShardRuntime(plan, shard=ShardId("a.parquet"), epoch=1, owner="w", store=MemoryStore())
    shard.claim_and_restore(0.0)
    while not shard.step(1.0, 9).finished:
        pass
    shard.release(2.0)
    assert read_committed(tmp_path / "out").sort("key").select("key", "records").rows() == [
        ("k0", 34),
        ("k1", 33),
        ("k2", 33),
    ]


def test_what_cannot_be_read_is_refused_when_the_program_is_built(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="files: a source needs schema="):
        Stream(files(tmp_path, format="parquet"))
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(ProgramError, match="files: cannot read the schema of"):
        Stream(files(tmp_path, format="parquet"))
    with pytest.raises(ProgramError, match='or "parquet", not'):
        Stream(files(tmp_path, format="xml", schema=SCHEMA))
