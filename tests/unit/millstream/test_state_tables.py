"""`millstream.state`: checkpoints and dead letters, read from outside while shards live on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from millstream import Keyed, ProgramError, Stream, Timer, approx_distinct, count, files, session, sliding, state
from millstream import sum as total
from millstream import tumbling as hours
from millstream.contract.checkpoint import ShardId
from millstream.errors import DamagedLog
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.state.__main__ import main
from millstream.stores.directory import DirectoryStore
from millstream.stores.memory import MemoryStore
from millstream.windows import Window

SCHEMA = pl.Schema({"key": pl.String(), "at": pl.Datetime("ms"), "n": pl.Int64()})
START = datetime(2024, 1, 1)


def frame(*rows: tuple[str | None, float, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [(key, START + timedelta(minutes=minutes), n) for key, minutes, n in rows], schema=SCHEMA, orient="row"
    )


def stream_of(shards: Mapping[str, pl.DataFrame]) -> Stream:
    source = RowsSource({ShardId(name): rows for name, rows in shards.items()}, ended=False)
    return Stream(source).event_time("at").key_by("key", partitioned=True)


def ended(stream: Stream) -> Stream:
    return stream.to(CollectingSink(stream.schema))


def run(stream: Stream, root: Path, *, shard: str = "a", epoch: int = 1, batch: int = 10, **more: Any) -> ShardRuntime:
    """A shard that has read all there is, with a checkpoint after each batch; it is still open."""
    store = DirectoryStore(root / "job")
    runtime = ShardRuntime(
        stream.plan(), shard=ShardId(shard), epoch=epoch, owner=f"w{epoch}", store=store, program_revision="r7", **more
    )
    runtime.claim_and_restore(1_700_000_000.0)
    while runtime.step(1_700_000_000.0, batch).records:
        runtime.checkpoint(1_700_000_000.0)
    return runtime


def windows(window: Window, *rows: tuple[str | None, float, int], **aggregates: Any) -> Stream:
    stream = stream_of({"a": frame(*rows)}).window(window, allowed_lateness="1d")
    return ended(stream.aggregate(**(aggregates or {"sum": total("n"), "rows": count()})))


def test_windows_are_a_table_with_their_bounds_and_partial_aggregates(tmp_path: Path) -> None:
    run(windows(hours("1h", offset="30m"), ("x", 10, 1), ("x", 20, 2), (None, 40, 5)), tmp_path)
    table = state.read(tmp_path, "job")
    assert table.sort("window_start").rows(named=True) == [
        {
            "shard": "a",
            "checkpoint": 2,
            "window_start": START - timedelta(minutes=30),
            "window_end": START + timedelta(minutes=30),
            "key": "x",
            "sum.sum": 3,
            "rows.n": 2,
            "records": 2,
            "records_shown": 2,
            "results_given": 1,
        },
        {
            "shard": "a",
            "checkpoint": 2,
            "window_start": START + timedelta(minutes=30),
            "window_end": START + timedelta(minutes=90),
            "key": None,
            "sum.sum": 5,
            "rows.n": 1,
            "records": 1,
            "records_shown": 0,
            "results_given": 0,
        },
    ]


def test_sessions_end_a_gap_after_their_last_record(tmp_path: Path) -> None:
    run(windows(session("15m"), ("x", 0, 1), ("x", 10, 1), ("x", 40, 1)), tmp_path)
    bounds = state.read(tmp_path, "job").sort("window_start").select("window_start", "window_end", "records").rows()
    assert bounds == [
        (START, START + timedelta(minutes=25), 2),
        (START + timedelta(minutes=40), START + timedelta(minutes=55), 1),
    ]


def test_sliding_windows_have_panes_and_what_was_shown(tmp_path: Path) -> None:
    run(windows(sliding("1h", every="25m"), ("x", 1, 1), ("x", 61, 1)), tmp_path)
    panes = state.read(tmp_path, "job").sort("pane_start")
    assert panes.select("pane_start", "pane_end").rows() == [
        (START, START + timedelta(minutes=5)),
        (START + timedelta(minutes=60), START + timedelta(minutes=65)),
    ]
    shown = state.read(tmp_path, "job", role="shown")
    assert ((shown["window_end"] - shown["window_start"]) == timedelta(hours=1)).all()
    assert shown.height >= 2


def test_what_is_kept_by_key_and_timers(tmp_path: Path) -> None:
    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        keyed.state["spent"] = keyed.state.get("spent", 0) + row["n"]
        keyed.timer("quiet", at=row["at"] + timedelta(hours=1))
        keyed.clock_timer("soon", after="1m")

    def on_timer(timer: Timer, keyed: Keyed) -> None:
        raise AssertionError(timer.name)

    stream = stream_of({"a": frame(("x", 0, 1), ("y", 1, 2), ("x", 2, 3))})
    run(ended(stream.process(on_row, on_timer=on_timer, schema={"n": pl.Int64})), tmp_path)
    kept = state.read(tmp_path, "job").sort("key")
    assert kept.columns == ["shard", "checkpoint", "key", "state", "last_used_at"]
    assert kept["key"].to_list() == ["x", "y"]
    assert [json.loads(text) for text in kept["state"]] == [{"spent": 4}, {"spent": 2}]
    assert kept["last_used_at"][0] == START + timedelta(minutes=2)
    timers = state.read(tmp_path, "job", role="timers").sort("key", "timer").drop("shard", "checkpoint").rows()
    soon = datetime(2023, 11, 14, 22, 14, 20)
    assert timers == [
        ("x", "event", "quiet", START + timedelta(minutes=62)),
        ("x", "clock", "soon", soon),
        ("y", "event", "quiet", START + timedelta(minutes=61)),
        ("y", "clock", "soon", soon),
    ]
    with pytest.raises(state.StateNotFound, match=r"no state of role windows; there is keyed, timers"):
        state.read(tmp_path, "job", role="windows")


def test_a_key_named_like_a_column_of_ours_keeps_its_name(tmp_path: Path) -> None:
    source = RowsSource({ShardId("a"): frame(("x", 0, 1)).rename({"key": "shard"})}, ended=False)
    stream = Stream(source).event_time("at").key_by("shard", partitioned=True).window(hours("1h"))
    run(ended(stream.aggregate(n=count())), tmp_path)
    table = state.read(tmp_path, "job")
    assert table.select("__shard", "shard").rows() == [("a", "x")]


def test_shards_come_together_and_checkpoints_are_listed_newest_first(tmp_path: Path) -> None:
    stream = stream_of({"a": frame(("x", 0, 1), ("x", 5, 1), ("x", 9, 1)), "b/1": frame(("y", 0, 9))})
    stream = ended(stream.window(hours("1h")).aggregate(n=count()))
    run(stream, tmp_path, batch=1, keep=2)
    run(stream, tmp_path, shard="b/1", epoch=4)
    assert sorted(state.read(tmp_path, "job").select("shard", "key", "n.n").rows()) == [("a", "x", 3), ("b/1", "y", 1)]
    listed = state.checkpoints(tmp_path, "job", verify=True)
    assert listed.select("shard", "checkpoint", "epoch", "positions", "watermark", "records_in").rows() == [
        ("a", 4, 1, '{"source": 3}', START + timedelta(minutes=9), 3),
        ("a", 3, 1, '{"source": 2}', START + timedelta(minutes=5), 2),
        ("b/1", 2, 4, '{"source": 1}', START, 1),
    ]
    assert listed["created_at"].unique().to_list() == [datetime(2023, 11, 14, 22, 13, 20)]
    assert listed["roles"].to_list() == [["windows"]] * 3
    assert listed["problem"].to_list() == [None] * 3
    assert listed["program_revision"].unique().to_list() == ["r7"]
    assert (listed["state_bytes"] > 0).all()
    assert state.read(tmp_path, "job", shard="a", checkpoint=3)["n.n"].to_list() == [2]
    with pytest.raises(state.StateNotFound, match="shard a has no checkpoint 2; it has 3, 4"):
        state.read(tmp_path, "job", shard="a", checkpoint=2)
    with pytest.raises(state.StateNotFound, match="say of which shard number 3 is meant"):
        state.read(tmp_path, "job", checkpoint=3)
    with pytest.raises(state.StateNotFound, match=r'no shard "b"; its shards are a, b/1'):
        state.read(tmp_path, "job", shard="b")
    with pytest.raises(state.StateNotFound, match=r'holds no checkpoints of a job "jab"'):
        state.checkpoints(tmp_path, "jab")
    with pytest.raises(ProgramError, match="checkpoint store"):
        state.checkpoints("ftp://x/y", "job")


def test_a_finished_shard_has_no_watermark_and_one_without_state_no_rows(tmp_path: Path) -> None:
    source = RowsSource({ShardId("a"): frame(("x", 0, 1))})
    stream = Stream(source).event_time("at").to(CollectingSink(SCHEMA))
    runtime = run(stream, tmp_path)
    runtime.checkpoint(1_700_000_001.0)
    listed = state.checkpoints(tmp_path, "job")
    assert listed.select("finished", "watermark", "roles").rows()[0] == (True, None, [])
    assert state.read(tmp_path, "job").height == 0


def damage(path: Path) -> None:
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_damaged_checkpoint_is_passed_over_aloud_and_refused_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stream = windows(hours("1h"), ("x", 0, 1), ("x", 1, 1), ("x", 2, 1))
    run(stream, tmp_path, batch=1)
    files_of = sorted((tmp_path / "job" / "shards" / "a" / "state").iterdir())
    damage(files_of[-1])
    with caplog.at_level(logging.WARNING, "millstream.state"):
        assert state.read(tmp_path, "job")["checkpoint"].to_list() == [3]
    assert "checkpoint 4 is damaged" in caplog.text
    assert "reading checkpoint 3 instead" in caplog.text
    with pytest.raises(DamagedLog, match=r"checkpoint 4 is damaged: .* is not what was written"):
        state.read(tmp_path, "job", shard="a", checkpoint=4)
    problems = state.checkpoints(tmp_path, "job", verify=True)["problem"].to_list()
    assert "is not what was written" in problems[0]
    assert problems[1:] == [None, None]
    damage(tmp_path / "job" / "shards" / "a" / "log" / f"{3:012d}")
    listed = state.checkpoints(tmp_path, "job")
    assert listed.select("checkpoint", "problem").rows() == [(4, None), (3, "the log's entry is damaged"), (2, None)]
    assert state.read(tmp_path, "job")["checkpoint"].to_list() == [2]
    files_of[0].unlink()
    with pytest.raises(DamagedLog, match="checkpoint 2 is damaged"):
        state.read(tmp_path, "job")


class Moving(MemoryStore):
    """A store whose job goes on whenever somebody is about to read a state file, a few times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.runtime: ShardRuntime | None = None

    def get(self, name: str) -> bytes:
        if "/state/" in name and self.runtime is not None and self.times:
            self.times -= 1
            assert self.runtime.step(0.0, 1).records == 1
            self.runtime.checkpoint(0.0)
        return super().get(name)


def test_a_checkpoint_that_is_collected_while_it_is_read_gives_way_to_a_newer_one() -> None:
    store = Moving(times=3)
    stream = windows(hours("1h"), *(("x", minute, 1) for minute in range(6)))
    runtime = ShardRuntime(stream.plan(), shard=ShardId("a"), epoch=1, owner="w", store=store, keep=1)
    runtime.claim_and_restore(0.0)
    runtime.step(0.0, 1)
    runtime.checkpoint(0.0)
    store.runtime = runtime
    assert state.read(store, "job").select("checkpoint", "records").rows() == [(5, 4)]
    assert state.checkpoints(store, "job")["checkpoint"].to_list() == [5]


def test_reading_writes_nothing(tmp_path: Path) -> None:
    run(windows(hours("1h"), ("x", 0, 1)), tmp_path)

    def content() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()
        }

    before = content()
    state.read(tmp_path, "job")
    state.checkpoints(tmp_path, "job", verify=True)
    state.dead_letters(tmp_path, "job")
    assert content() == before


# ---- dead letters

LINES = (
    b'{"at": "2024-01-01T00:00:00", "key": "x", "n": 1}\n'
    b'{"at": "2024-01-01T00:01:00", "key": "x", "n": "much"}\n'
    b"no JSON\n"
    b'{"at": null, "key": "x", "n": 7}\n'
    b'{"at": "2024-01-01T00:02:00", "key": "\xff", "n": 4}\n'
)


def read_lines(
    pattern: Path, root: Path, into: Path, *, shards: tuple[str, ...], job: str = "job", schema: Any = SCHEMA
) -> None:
    """A job over JSON lines that wants numbers, run to its end."""
    stream = Stream(files(str(pattern), schema=schema)).event_time("at").key_by("key", partitioned=True)
    stream = stream.window(hours("1h")).aggregate(n=total(pl.col("n").cast(pl.Int64, strict=False)), rows=count())
    stream = stream.to(files(str(into)))
    for shard in shards:
        runtime = ShardRuntime(
            stream.plan(), shard=ShardId(shard), epoch=1, owner="w", store=DirectoryStore(root / job)
        )
        runtime.claim_and_restore(0.0)
        while not runtime.step(0.0, 100).finished:
            pass
        runtime.checkpoint(0.0)
        runtime.close()


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """The store of a job that could not read all its records."""
    source = tmp_path / "in"
    source.mkdir()
    (source / "one.jsonl").write_bytes(LINES)
    (source / "two.jsonl").write_bytes(b"no JSON either\n" + LINES[:50])
    read_lines(source, tmp_path / "store", tmp_path / "out", shards=("one.jsonl", "two.jsonl"))
    return tmp_path / "store"


def test_dead_letters_are_listed_with_place_and_reason(bad: Path) -> None:
    letters = state.dead_letters(bad, "job")
    assert letters.select("shard", "checkpoint", "position", "encoding").rows() == [
        ("one.jsonl", 2, 50, "utf-8"),
        ("one.jsonl", 2, 105, "utf-8"),
        ("one.jsonl", 2, 113, "utf-8"),
        ("one.jsonl", 2, 146, "base64"),
        ("two.jsonl", 2, 0, "utf-8"),
    ]
    assert state.dead_letters(bad, "job", reason="no event time")["position"].to_list() == [113]
    assert state.dead_letters(bad, "job", shard="two.jsonl")["raw"].to_list() == ["no JSON either"]
    assert state.dead_letters(bad, "job", reason="never said").height == 0
    with pytest.raises(state.StateNotFound, match='nothing of a job "jab"'):
        state.dead_letters(bad, "jab")


def test_a_replay_gives_the_records_back_to_a_job_that_can_read_them(bad: Path, tmp_path: Path) -> None:
    assert state.replay(bad, "job", tmp_path / "again", reason="never said").files == ()
    assert not (tmp_path / "again").exists()
    (tmp_path / "again").mkdir()
    done = state.replay(bad, "job", tmp_path / "again")
    assert {file.name: file.records for file in done.files} == {"one.jsonl.jsonl": 4, "two.jsonl.jsonl": 1}
    original = LINES.splitlines(keepends=True)
    assert (tmp_path / "again" / "one.jsonl.jsonl").read_bytes() == b"".join(original[1:])
    assert (tmp_path / "again" / "two.jsonl.jsonl").read_bytes() == b"no JSON either\n"
    assert json.loads((tmp_path / "again" / "_replayed.json").read_bytes()) == json.loads(msgspec.json.encode(done))
    assert [(one.position, one.line) for one in done.letters if one.shard == "one.jsonl"] == [
        (row["position"], line)
        for line, row in enumerate(state.dead_letters(bad, "job", shard="one.jsonl").iter_rows(named=True), 1)
    ]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with pytest.raises(state.ReplayRefused, match="is not an empty folder"):
        state.replay(bad, "job", tmp_path / "again")


def test_a_fixed_program_counts_exactly_the_replayed_records(bad: Path, tmp_path: Path) -> None:
    done = state.replay(bad, "job", tmp_path / "again", reason="got `str`")
    assert [(one.shard, one.position) for one in done.letters] == [("one.jsonl", 50)]
    fixed = {**SCHEMA, "n": pl.String()}
    read_lines(
        tmp_path / "again",
        tmp_path / "store",
        tmp_path / "fixed",
        shards=("one.jsonl.jsonl",),
        schema=fixed,
        job="fixed",
    )
    rows = [json.loads(line) for path in (tmp_path / "fixed").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [(row["key"], row["rows"]) for row in rows] == [("x", 1)]
    assert state.dead_letters(tmp_path / "store", "fixed").height == 0


def test_a_second_replay_can_leave_out_what_the_first_wrote(bad: Path, tmp_path: Path) -> None:
    first = state.replay(bad, "job", tmp_path / "first", shard="two.jsonl")
    second = state.replay(bad, "job", tmp_path / "second", without=[tmp_path / "first"])
    assert {one.shard for one in first.letters} == {"two.jsonl"}
    assert {one.shard for one in second.letters} == {"one.jsonl"}
    assert len(first.letters) + len(second.letters) == state.dead_letters(bad, "job").height
    with pytest.raises(state.ReplayRefused, match="is no folder of a replay"):
        state.replay(bad, "job", tmp_path / "third", without=[tmp_path / "out"])


def test_records_that_cannot_be_written_as_lines_are_left_out_and_said(tmp_path: Path) -> None:
    store = MemoryStore()
    letter = {"reason": "r", "encoding": "utf-8"}
    letters = [
        {**letter, "shard": "_s", "position": 1, "raw": "ab", "raw_bytes": 3},
        {**letter, "shard": "_s", "position": 2, "raw": "a\nb", "raw_bytes": 3},
        {**letter, "shard": "_s", "position": 3, "raw": "YWI=", "encoding": "base64", "raw_bytes": 2},
    ]
    store.create("dead-letters/_s/000000000007-1.jsonl", b"".join(json.dumps(one).encode() + b"\n" for one in letters))
    done = state.replay(store, "job", tmp_path / "again")
    assert [(one.position, one.checkpoint, one.why) for one in done.left_out] == [
        (1, 7, "only 2 of its 3 bytes are kept"),
        (2, 7, "it has a line break in it, and the files are of one record a line"),
    ]
    assert [(file.name, file.records, file.bytes) for file in done.files] == [("%5Fs.jsonl", 1, 3)]
    assert (tmp_path / "again" / "%5Fs.jsonl").read_bytes() == b"ab\n"


# ---- the command line of the worker's image


def test_the_command_line_prints_json_lines(tmp_path: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(windows(hours("1h"), ("x", 0, 1), ("y", 0, 2), at=approx_distinct("n")), tmp_path / "k")
    place = [str(tmp_path / "k"), "job"]
    assert main(["read", *place, "--limit", "1"]) == 0
    told = capsys.readouterr()
    assert [json.loads(line)["window_start"] for line in told.out.splitlines()] == ["2024-01-01T00:00:00"]
    assert told.err == "1 of 2 rows\n"
    assert main(["read", *place, "--out", str(tmp_path / "state.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "state.parquet").equals(state.read(*place))
    capsys.readouterr()
    assert main(["checkpoints", *place, "--verify"]) == 0
    assert json.loads(capsys.readouterr().out)["records_in"] == 2
    assert main(["dead-letters", str(bad), "job", "--reason", "no event time"]) == 0
    assert json.loads(capsys.readouterr().out)["position"] == 113
    assert main(["replay", str(bad), "job", "--to", str(tmp_path / "again")]) == 0
    assert json.loads(capsys.readouterr().out)["job"] == "job"
    assert main(["replay", str(bad), "job", "--to", str(tmp_path / "again")]) == 2
    assert main(["read", str(bad), "jab"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_a_replay_of_csv_is_read_without_a_header(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "one.csv").write_text("key,at,n\nx,2024-01-01T00:00:00,1\ny,2024-01-01T00:01:00,seven\n")
    schema = {"key": pl.String, "at": pl.Datetime("ms"), "n": pl.Int64}

    def read(place: Path, job: str, into: str, schema: Any, *, shard: str, header: bool) -> None:
        stream = Stream(files(str(place), format="csv", schema=schema, header=header)).to(files(str(tmp_path / into)))
        store = DirectoryStore(tmp_path / "store" / job)
        runtime = ShardRuntime(stream.plan(), shard=ShardId(shard), epoch=1, owner="w", store=store)
        runtime.claim_and_restore(0.0)
        while not runtime.step(0.0, 100).finished:
            pass
        runtime.checkpoint(0.0)
        runtime.close()

    read(source, "job", "out", schema, shard="one.csv", header=True)
    done = state.replay(tmp_path / "store", "job", tmp_path / "again")
    assert (tmp_path / "again" / done.files[0].name).read_text() == "y,2024-01-01T00:01:00,seven\n"
    mended = {**schema, "n": pl.String}
    read(tmp_path / "again", "mended", "fixed", mended, shard=done.files[0].name, header=False)
    rows = [json.loads(line) for path in (tmp_path / "fixed").glob("*.jsonl") for line in path.read_text().splitlines()]
    assert [(row["key"], row["n"]) for row in rows] == [("y", "seven")]
