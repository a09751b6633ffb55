"""The files sink: aside until committed, then visible, whoever finishes it; and never taken by a zombie."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from millstream import read_committed
from millstream.contract.checkpoint import ShardId
from millstream.contract.worker_spec import Delivery
from millstream.errors import SinkFailed
from millstream.sinks.files import FilesSink
from millstream.sinks.sink import SinkWriter, WriterContext
from millstream.sinks.stdout import StdoutSink


def context(
    epoch: int = 1,
    shard: str = "a/b.jsonl",
    job: str = "job",
    sink: str = "sink0",
    delivery: Delivery = Delivery.EXACTLY_ONCE,
) -> WriterContext:
    return WriterContext(job=job, shard=ShardId(shard), epoch=epoch, sink_name=sink, delivery=delivery)


def writer(path: Path, where: WriterContext | None = None, suffix: str = "jsonl") -> SinkWriter:
    return FilesSink(path, suffix=suffix).open(where or context())


def frame(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({"i": numbers, "s": [str(number) for number in numbers]})


def visible(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir() if file.is_file())


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rows_are_visible_after_promotion_and_not_before(tmp_path: Path, suffix: str) -> None:
    one = writer(tmp_path, suffix=suffix)
    one.write(frame(1, 2))
    one.write(frame(3))
    outputs = one.prepare(7)
    assert visible(tmp_path) == []
    with pytest.raises(SinkFailed, match="nothing is committed"):
        read_committed(tmp_path)
    assert one.promote(outputs) == []
    assert visible(tmp_path) == [f"job.sink0.a%2Fb.jsonl.000000000007.1.{suffix}"]
    assert read_committed(tmp_path).equals(frame(1, 2, 3))


def test_nothing_written_is_no_file(tmp_path: Path) -> None:
    one = writer(tmp_path)
    assert one.prepare(1) == ()
    assert list((tmp_path / "_staged").iterdir()) == []


def test_promotion_may_be_repeated_by_anybody(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write(frame(1))
    outputs = one.prepare(3)
    two = writer(tmp_path, context(epoch=2))
    assert two.promote(outputs) == []
    assert one.promote(outputs) == []
    assert two.promote(outputs) == []
    assert read_committed(tmp_path).equals(frame(1))


def test_committed_output_that_somebody_moved_away_is_remarked(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write(frame(1))
    outputs = one.prepare(3)
    one.promote(outputs)
    (tmp_path / visible(tmp_path)[0]).unlink()
    (remark,) = one.promote(outputs)
    assert "moved away" in remark


def test_a_new_owner_discards_what_was_never_committed(tmp_path: Path) -> None:
    old = writer(tmp_path)
    old.write(frame(1))
    old.promote(old.prepare(2))
    old.write(frame(2))
    committed = old.prepare(4)
    old.write(frame(3))
    old.prepare(5)
    old.write(frame(4))
    new = writer(tmp_path, context(epoch=2))
    new.promote(committed)
    assert new.restore(4, committed) == []
    assert list((tmp_path / "_staged").iterdir()) == []
    assert sorted(read_committed(tmp_path)["i"]) == [1, 2]
    old.discard()


def test_output_of_a_commit_that_is_no_more_is_taken_back(tmp_path: Path) -> None:
    old = writer(tmp_path)
    for number, value in ((2, 1), (3, 2), (4, 3)):
        old.write(frame(value))
        old.promote(old.prepare(number))
    (remark, _) = writer(tmp_path, context(epoch=2)).restore(2, ())
    assert "took back" in remark
    assert read_committed(tmp_path)["i"].to_list() == [1]


def test_a_zombie_takes_nothing_from_a_newer_owner(tmp_path: Path) -> None:
    zombie, owner = writer(tmp_path, context(epoch=1)), writer(tmp_path, context(epoch=2))
    owner.write(frame(1))
    owner.promote(owner.prepare(5))
    owner.write(frame(2))
    outputs = owner.prepare(6)
    owner.write(frame(3))
    assert zombie.restore(0, ()) == []
    owner.promote(outputs)
    owner.promote(owner.prepare(7))
    assert read_committed(tmp_path)["i"].to_list() == [1, 2, 3]


def test_others_files_are_left_alone(tmp_path: Path) -> None:
    """Other shards, outputs and jobs, names that begin alike, and files of people."""
    others = [
        context(shard="a/b.jsonl.000000000009"),
        context(shard="b.jsonl"),
        context(sink="sink1"),
        context(sink="sink0.a%2Fb", shard="jsonl"),
        context(job="job2"),
    ]
    for other in others:
        one = writer(tmp_path, other)
        one.write(frame(1))
        one.promote(one.prepare(9))
        one.write(frame(2))
        one.prepare(10)
    (tmp_path / "notes.txt").write_text("keep")
    before = visible(tmp_path), visible(tmp_path / "_staged")
    assert len(before[0]) == 6
    assert writer(tmp_path, context(epoch=9)).restore(0, ()) == []
    assert (visible(tmp_path), visible(tmp_path / "_staged")) == before


def test_long_shard_names_are_cut_and_stay_different(tmp_path: Path) -> None:
    for index in range(2):
        one = writer(tmp_path, context(shard="x/" * 200 + str(index)))
        one.write(frame(index))
        one.promote(one.prepare(1))
    assert len(visible(tmp_path)) == 2
    assert sorted(read_committed(tmp_path)["i"]) == [0, 1]


def test_discard_leaves_only_what_was_prepared(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write(frame(1))
    one.prepare(2)
    one.write(frame(2))
    one.discard()
    assert visible(tmp_path / "_staged") == ["job.sink0.a%2Fb.jsonl.000000000002.1.jsonl"]


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkFailed, match="cannot write to"):
        writer(tmp_path / "file")


def test_stdout_prints_at_once_or_after_the_commit(capsys: pytest.CaptureFixture[str]) -> None:
    eager = StdoutSink().open(context(delivery=Delivery.AT_LEAST_ONCE))
    eager.write(frame(1))
    assert capsys.readouterr().out == '{"i":1,"s":"1"}\n'
    held = StdoutSink().open(context(delivery=Delivery.AT_MOST_ONCE))
    held.write(frame(2))
    outputs = held.prepare(1)
    assert capsys.readouterr().out == ""
    held.promote(outputs)
    held.promote(outputs)
    assert capsys.readouterr().out == '{"i":2,"s":"2"}\n'
    held.write(frame(3))
    held.discard()
    held.promote(held.prepare(2))
    assert capsys.readouterr().out == ""
