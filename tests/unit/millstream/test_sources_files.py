"""Files as shards: discovery, positions, growth, ends, and what goes wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from millstream.contract.checkpoint import Position, ShardId
from millstream.errors import SourceFailed
from millstream.sources import file_reader
from millstream.sources.files import FilesSource
from millstream.sources.json_lines import JsonLinesDecoder
from millstream.sources.source import Batch, Reader

SCHEMA: dict[str, pl.DataType] = {"i": pl.Int64()}


def lines(*numbers: int) -> bytes:
    return b"".join(b'{"i":%d}\n' % number for number in numbers)


def source(path: Path | str, *, growing: bool = False) -> FilesSource:
    return FilesSource(str(path), SCHEMA, growing=growing)


def opened(path: Path, position: int | None = None, *, growing: bool = False) -> Reader:
    where = None if position is None else Position(position)
    return source(path, growing=growing).open(ShardId(path.name), where)


def numbers(batch: Batch) -> list[int]:
    return batch.frame["i"].to_list()


def read_all(reader: Reader, max_records: int = 1000, max_bytes: int = 1 << 20) -> list[int]:
    found: list[int] = []
    for _ in range(10_000):
        batch = reader.poll(max_records, max_bytes)
        assert batch.records <= max_records
        found += numbers(batch)
        if reader.finished:
            return found
    raise AssertionError("it never finished")


def test_shards_are_paths_below_the_root_of_the_pattern(tmp_path: Path) -> None:
    for name in (
        "2013/01.jsonl",
        "2013/02.jsonl",
        "2014/01.jsonl",
        "2014/notes.txt",
        "_SUCCESS",
        "2013/.hidden.jsonl",
        "_staged/01.jsonl",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(lines(1, 2))
    for pattern, ids in {
        "*/*.jsonl": ["2013/01.jsonl", "2013/02.jsonl", "2014/01.jsonl"],
        "**/01.jsonl": ["2013/01.jsonl", "2014/01.jsonl"],
        "2014": ["01.jsonl", "notes.txt"],
        "2014/01.jsonl": ["01.jsonl"],
        "2013/0[2-9].jsonl": ["02.jsonl"],
    }.items():
        found = source(tmp_path / pattern).discover()
        assert [shard.id for shard in found.shards] == ids
        assert found.complete
        assert {(shard.end_bytes, shard.end_records) for shard in found.shards} == {(16, 2)}
        for shard in found.shards:
            reader = source(tmp_path / pattern).open(shard.id, None)
            assert read_all(reader) == [1, 2]
            reader.close()


def test_a_finite_source_without_files_is_a_mistake_and_a_growing_one_is_not(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="no file matches"):
        source(tmp_path / "*.jsonl").discover()
    found = source(tmp_path / "*.jsonl", growing=True).discover()
    assert (found.shards, found.complete) == ((), False)


@pytest.mark.parametrize("shard", ["gone.jsonl", "../x.jsonl", "/etc/hostname"])
def test_what_is_no_shard_cannot_be_opened(tmp_path: Path, shard: str) -> None:
    with pytest.raises(SourceFailed, match="shard"):
        source(tmp_path).open(ShardId(shard), None)


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n \n"])
@pytest.mark.parametrize(("max_records", "max_bytes"), [(1, 1), (1, 100), (3, 1000), (7, 20), (1000, 1 << 20)])
def test_every_record_is_read_once_from_any_position(
    tmp_path: Path, suffix: str, end: bytes, max_records: int, max_bytes: int
) -> None:
    content = b"\xef\xbb\xbf" + lines(*range(20)).rstrip() + end
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    reader = opened(path)
    positions, found = [0], []
    while not reader.finished:
        batch = reader.poll(max_records, max_bytes)
        assert batch.records <= max_records
        assert batch.dead == []
        for row in range(batch.frame.height):
            position, raw = batch.origin(row)
            assert content[position : position + len(raw)] == raw == lines(*numbers(batch)[row : row + 1]).strip()
        found += numbers(batch)
        positions.append(reader.position)
    reader.close()
    assert found == list(range(20))
    assert positions == sorted(positions)
    assert positions[-1] == len(content)
    for position in set(positions):
        again = opened(path, position)
        rest = read_all(again)
        assert rest == list(range(20 - len(rest), 20))
        assert len(rest) == content[position:].count(b"i")
        again.close()


def test_dead_lines_have_their_positions(tmp_path: Path) -> None:
    content = lines(1) + b"bad\n" + lines(2) + b'{"i":"x"}\n' + lines(3)
    (tmp_path / "x.jsonl").write_bytes(content)
    reader = opened(tmp_path / "x.jsonl")
    batch = reader.poll(100, 1000)
    assert numbers(batch) == [1, 2, 3]
    assert [(record.position, record.raw) for record in batch.dead] == [(8, b"bad"), (20, b'{"i":"x"}')]
    assert [batch.origin(row) for row in range(3)] == [(0, b'{"i":1}'), (12, b'{"i":2}'), (30, b'{"i":3}')]
    reader.close()


def test_a_growing_file_is_followed_and_a_half_written_line_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(1) + b'{"i":')
    reader = opened(path, growing=True)
    assert numbers(reader.poll(100, 1000)) == [1]
    assert reader.backlog().bytes == 5
    assert numbers(reader.poll(100, 1000)) == []
    assert (reader.position, reader.end_position(), reader.finished) == (8, 13, False)
    assert (reader.backlog().records, reader.backlog().bytes) == (0, 5)
    with path.open("ab") as file:
        file.write(b"2}\n" + lines(3) + b"{")
    assert (reader.backlog().records or 0) >= 1
    assert numbers(reader.poll(100, 1000)) == [2, 3]
    assert not reader.finished
    reader.close()


def test_a_growing_source_ends_with_success_after_everything_was_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(1))
    whole = source(tmp_path / "*.jsonl", growing=True)
    reader = whole.open(ShardId("x.jsonl"), None)
    assert numbers(reader.poll(100, 1000)) == [1]
    with path.open("ab") as file:
        file.write(lines(2) + b'{"i":3}')
    (tmp_path / "y.jsonl").write_bytes(lines(9))
    assert not whole.discover().complete
    (tmp_path / "_SUCCESS").write_bytes(b"")
    assert [shard.id for shard in whole.discover().shards] == ["x.jsonl", "y.jsonl"]
    assert whole.discover().complete
    assert numbers(reader.poll(100, 1000)) == [2, 3]
    assert numbers(reader.poll(100, 1000)) == []
    assert reader.finished
    reader.close()


def test_a_line_is_read_however_long_it_is_and_dead_above_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_reader, "LINE_BYTES_MAX", 1 << 18)
    content = lines(1) + b'{"i":2,"x":"%b"}\n' % (b"x" * 200_000) + b"y" * 300_000 + b"\n" + lines(3)
    (tmp_path / "x.jsonl").write_bytes(content)
    reader = opened(tmp_path / "x.jsonl")
    assert numbers(reader.poll(100, 10)) == [1]
    assert numbers(reader.poll(100, 10)) == [2]
    batch = reader.poll(100, 10)
    assert [(record.position, record.raw) for record in batch.dead] == [(content.index(b"yyy"), b"y" * 1024)]
    assert read_all(reader) == [3]
    reader.close()


def test_an_endless_line_in_a_growing_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_reader, "LINE_BYTES_MAX", 1 << 17)
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(1) + b"y" * 300_000)
    reader = opened(path, growing=True)
    assert numbers(reader.poll(100, 10)) == [1]
    assert reader.poll(100, 10).records == 0
    assert reader.position == 8
    with path.open("ab") as file:
        file.write(b"\n" + lines(2))
    assert len(reader.poll(100, 10).dead) == 1
    assert numbers(reader.poll(100, 10)) == [2]
    reader.close()


def test_a_file_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(1, 2, 3))
    reader = opened(path, growing=True)
    reader.poll(100, 1000)
    path.write_bytes(lines(1))
    with pytest.raises(SourceFailed, match="has become shorter: it ends at 8, and was read up to 24"):
        reader.poll(100, 1000)
    assert reader.position == 24
    reader.close()


def test_a_damaged_gzip_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*range(5000)))[:-200])
    reader = opened(path)
    with pytest.raises(SourceFailed, match="damaged or cut off"):
        read_all(reader)
    reader.close()
    path.write_bytes(lines(1))
    reader = opened(path)
    with pytest.raises(SourceFailed):
        reader.poll(10, 10)
    reader.close()


def test_backlog_is_bytes_exactly_and_records_about(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(lines(*range(100, 1000)))
    reader = opened(path)
    reader.poll(100, 1 << 20)
    assert (reader.backlog().bytes, reader.backlog().records) == (8000, 800)
    reader.close()


def test_compressed_backlog_is_estimated_and_ends_at_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*range(20000))))
    reader = opened(path)
    assert (reader.backlog().bytes or 0) > 0
    assert reader.end_position() is None
    assert read_all(reader) == list(range(20000))
    assert (reader.backlog().bytes, reader.backlog().records) == (0, 0)
    assert reader.end_position() == reader.position
    reader.close()


def test_a_poll_with_nothing_to_read_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(1) + b'{"i":')
    reader = opened(path, growing=True)
    assert numbers(reader.poll(10, 1000)) == [1]
    decoded: list[bytes] = []
    decode = JsonLinesDecoder.decode
    monkeypatch.setattr(
        JsonLinesDecoder,
        "decode",
        lambda self, data: decoded.append(data) or decode(self, data),  # type: ignore[func-returns-value]
    )
    for _ in range(3):
        batch = reader.poll(10, 1000)
        assert (numbers(batch), batch.frame.schema) == ([], SCHEMA)
    assert decoded == []
    path.write_bytes(lines(1, 2))
    assert numbers(reader.poll(10, 1000)) == [2]
    reader.close()
