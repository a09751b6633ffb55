"""A shard driven by hand: failures of the program, isolation, restarts, status, and files that survive it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from millstream import Stream, count, files, mean, own, read_committed, stdout, tumbling
from millstream.contract.checkpoint import Position, ShardId
from millstream.contract.worker_spec import Delivery
from millstream.errors import (
    Fenced,
    IncompatibleState,
    ProgramError,
    ShardFailed,
    SinkFailed,
    SourceFailed,
    StoreUnavailable,
)
from millstream.runtime.dead_letters import read_dead_letters
from millstream.runtime.shard import RuntimeState, ShardRuntime
from millstream.sinks.collecting import CollectingSink, CollectingWriter
from millstream.sinks.sink import WriterContext
from millstream.sources.rows import RowsSource
from millstream.stores.location import open_store
from millstream.stores.memory import MemoryStore

SHARD = ShardId("x")
SCHEMA = {"i": pl.Int64, "at": pl.Datetime("ms")}


def rows(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame({"i": numbers}).select(
        "i", at=pl.from_epoch(pl.col("i"), time_unit="s").cast(pl.Datetime("ms"))
    )


def runtime(stream: Stream, store: MemoryStore, epoch: int = 1, **more: Any) -> ShardRuntime:
    return ShardRuntime(stream.plan(), shard=SHARD, epoch=epoch, owner=f"w{epoch}", store=store, **more)


class Picky:
    """A step that raises for some numbers, so many times."""

    def __init__(self, *bad: int, times: int = 10**9) -> None:
        self.bad = set(bad)
        self.times = times
        self.calls = 0

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        self.calls += 1
        if self.bad & set(frame["i"].to_list()) and self.times > 0:
            self.times -= 1
            raise ValueError("I do not like it")
        return frame


def picky_stream(step: Picky, sink: CollectingSink, *numbers: int) -> Stream:
    return Stream(RowsSource({SHARD: rows(*numbers)})).to(sink, name="before").map_batches(step).to(sink, name="after")


def test_a_step_that_raises_is_named_with_the_users_line_and_tried_again() -> None:
    sink = CollectingSink(pl.Schema(SCHEMA))
    shard = runtime(picky_stream(Picky(3, times=2), sink, 1, 2, 3), MemoryStore())
    shard.claim_and_restore(0.0)
    for attempt in (1, 2):
        with pytest.raises(ShardFailed) as caught:
            shard.step(0.0, 10)
        assert caught.value.attempt == attempt
        assert caught.value.operator == ".map_batches(Picky)"
        assert caught.value.message == "ValueError: I do not like it"
        assert (caught.value.where or "").startswith(f"{__file__}:")
        assert (caught.value.where or "").endswith("in __call__")
        assert shard.checkpoint(0.0) is None  # nothing was done
        assert shard.status(0.0).position == 0
    assert shard.step(0.0, 10).rows_out == 6
    shard.step(0.0, 10)
    shard.checkpoint(0.0)
    assert sink.frame["i"].to_list() == [1, 2, 3, 1, 2, 3]
    assert shard.status(0.0).counters.dead == 0


def test_records_that_crash_the_program_become_dead_letters_at_the_third_time() -> None:
    store, sink = MemoryStore(), CollectingSink(pl.Schema(SCHEMA))
    shard = runtime(picky_stream(Picky(3, 17), sink, *range(30)), store)
    shard.claim_and_restore(0.0)
    for _ in range(2):
        with pytest.raises(ShardFailed):
            shard.step(0.0, 30)
    assert shard.step(0.0, 30).records == 30
    shard.step(0.0, 30)
    shard.checkpoint(0.0)
    good = [i for i in range(30) if i not in (3, 17)]
    assert sorted(sink.frame["i"]) == sorted([*good, *good])
    letters = list(read_dead_letters(store, SHARD))
    assert [letter.position for letter in letters] == [3, 17]
    assert letters[0].reason.startswith("crashes the program: .map_batches(Picky) at ")
    assert letters[0].reason.endswith("ValueError: I do not like it")
    assert json.loads(letters[0].raw)["i"] == 3
    counters = shard.status(0.0).counters
    assert (counters.records_in, counters.dead) == (30, 2)


def test_a_program_that_crashes_on_everything_fails_and_loses_nothing() -> None:
    store, sink = MemoryStore(), CollectingSink(pl.Schema(SCHEMA))
    shard = runtime(picky_stream(Picky(*range(500)), sink, *range(500)), store)
    shard.claim_and_restore(0.0)
    for attempt in range(1, 6):
        with pytest.raises(ShardFailed) as caught:
            shard.step(0.0, 500)
        assert caught.value.attempt == attempt
    assert shard.checkpoint(0.0) is None
    assert list(read_dead_letters(store)) == []


def test_a_program_that_crashes_on_everything_fails_under_light_load_too() -> None:
    """One record at a time, some are isolated before it is clear that it is not the records."""
    shard = runtime(picky_stream(Picky(*range(500)), CollectingSink(pl.Schema(SCHEMA)), *range(500)), MemoryStore())
    shard.claim_and_restore(0.0)
    isolated = 0
    failed_in_a_row = 0
    while failed_in_a_row < 5:
        try:
            shard.step(0.0, 1)
        except ShardFailed:
            failed_in_a_row += 1
        else:
            isolated += 1
            failed_in_a_row = 0
    assert isolated == 100


def test_what_a_function_returns_is_checked() -> None:
    sink = CollectingSink(pl.Schema(SCHEMA))
    for function, message in (
        (lambda frame: None, "must return a polars DataFrame, not NoneType"),
        (lambda frame: frame.drop("i"), 'returned no column "i"'),
        (lambda frame: frame.with_columns(i=pl.lit("x")), 'returned "i" as String, not Int64'),
    ):
        shard = runtime(Stream(RowsSource({SHARD: rows(1)})).map_batches(function).to(sink), MemoryStore())
        shard.claim_and_restore(0.0)
        with pytest.raises(ShardFailed, match=message):
            shard.step(0.0, 10)


def test_a_function_may_return_other_columns_when_it_says_so() -> None:
    stream = Stream(RowsSource({SHARD: rows(1, 2)})).map_batches(
        lambda frame: frame.select(twice=pl.col("i") * 2), schema={"twice": pl.Int64}
    )
    sink = CollectingSink(stream.schema)
    shard = runtime(stream.to(sink), MemoryStore())
    shard.claim_and_restore(0.0)
    shard.step(0.0, 10)
    shard.release(0.0)
    assert sink.frame["twice"].to_list() == [2, 4]


class Moody:
    """An aggregate that cannot give its result."""

    def create(self) -> int:
        return 0

    def add(self, state: int, value: int) -> int:
        return state + value

    def merge(self, a: int, b: int) -> int:
        return a + b

    def result(self, state: int) -> int:
        raise RuntimeError("not today")


def windowed(sink: CollectingSink | None = None, *numbers: int, **aggregates: Any) -> Stream:
    stream = (
        Stream(RowsSource({SHARD: rows(*numbers)}))
        .event_time("at")
        .with_columns(key=pl.col("i") % 2)
        .key_by("key", partitioned=True)
        .window(tumbling("10s"))
        .aggregate(**(aggregates or {"n": count()}))
    )
    return stream.to(sink or CollectingSink(stream.schema))


def test_results_that_cannot_be_given_close_the_shard() -> None:
    stream = windowed(None, 1, 2, 30, m=own(Moody(), "i", returns=pl.Int64))
    shard = runtime(stream, MemoryStore())
    shard.claim_and_restore(0.0)
    with pytest.raises(ShardFailed, match=r"m=Moody\(i\)\) failed at .*: .*not today"):
        shard.step(0.0, 10)
    assert shard.status(0.0).state is RuntimeState.CLOSED


def test_a_changed_program_does_not_take_over_other_state() -> None:
    store = MemoryStore()
    shard = runtime(windowed(None, 1, 2, 3), store)
    shard.claim_and_restore(0.0)
    shard.step(0.0, 2)
    shard.release(0.0)
    with pytest.raises(IncompatibleState) as caught:
        runtime(windowed(None, 1, 2, 3, n=mean("i")), store, 2).claim_and_restore(0.0)
    assert "n=count" in str(caught.value)
    assert "n=mean" in str(caught.value)
    with pytest.raises(IncompatibleState, match="no windows"):
        runtime(Stream(RowsSource({SHARD: rows(1)})).to(CollectingSink(pl.Schema(SCHEMA))), store, 3).claim_and_restore(
            0
        )
    restored = runtime(windowed(None, 1, 2, 3), store, 4).claim_and_restore(0.0)
    assert (restored.checkpoint, restored.position, restored.claims_since_commit) == (2, 2, 3)


def test_states_of_a_shard_and_checkpoints_only_when_something_changed() -> None:
    store, sink = MemoryStore(), CollectingSink(pl.Schema(SCHEMA))
    stream = Stream(RowsSource({SHARD: rows(1, 2)})).to(sink)
    shard = runtime(stream, store)
    assert shard.status(0.0).state is RuntimeState.NEW
    restored = shard.claim_and_restore(0.0)
    assert (restored.checkpoint, restored.finished, restored.remarks) == (None, False, ())
    assert shard.status(0.0).state is RuntimeState.RUNNING
    assert shard.checkpoint(0.0) is None
    assert not shard.step(0.0, 1).finished
    first = shard.checkpoint(0.0)
    assert first is not None
    assert (first.id, first.finished) == (2, False)
    assert shard.checkpoint(0.0) is None
    shard.step(0.0, 10)
    assert shard.step(0.0, 10).finished
    assert shard.status(0.0).state is RuntimeState.DRAINED
    last = shard.checkpoint(0.0)
    assert last is not None
    assert last.finished
    assert shard.status(0.0).state is RuntimeState.FINISHED
    assert shard.step(0.0, 10).finished
    assert shard.release(0.0) is None
    assert shard.status(0.0).state is RuntimeState.CLOSED
    shard.close()

    again = runtime(stream, store, 2)
    assert again.claim_and_restore(0.0).finished
    assert again.step(0.0, 10).finished
    assert again.release(0.0) is None
    assert sink.frame["i"].to_list() == [1, 2]


def test_status_tells_backlog_and_lag_by_the_clock() -> None:
    source = RowsSource({SHARD: rows(*range(10))}, arrived=4)
    shard = runtime(Stream(source).event_time("at").to(CollectingSink(pl.Schema(SCHEMA))), MemoryStore())
    shard.claim_and_restore(100.0)
    status = shard.status(100.0)
    assert (status.position, status.end_position, status.backlog_records, status.end_records) == (0, 4, 4, 4)
    shard.step(107.0, 2)
    status = shard.status(107.0)
    assert (status.position, status.backlog_records, status.end_records, status.lag_s) == (2, 2, 4, 7.0)
    assert status.watermark_us == 1_000_000
    shard.step(108.0, 10)
    status = shard.status(109.0)
    assert (status.backlog_records, status.lag_s, status.records_read) == (0, 0.0, 4)
    source.arrived = 9
    assert shard.status(110.0).lag_s == 0.0
    assert shard.status(115.0).lag_s == 5.0
    shard.close()


def test_after_being_fenced_a_shard_leaves_nothing_behind() -> None:
    store, sink = MemoryStore(), CollectingSink(pl.Schema(SCHEMA))
    stream = Stream(RowsSource({SHARD: rows(1, 2, 3)})).to(sink)
    old, new = runtime(stream, store), runtime(stream, store, 2)
    old.claim_and_restore(0.0)
    old.step(0.0, 2)
    new.claim_and_restore(0.0)
    with pytest.raises(Fenced):
        old.release(0.0)
    assert old.status(0.0).state is RuntimeState.CLOSED
    new.step(0.0, 10)
    new.release(0.0)
    assert sink.frame["i"].to_list() == [1, 2, 3]


def test_delivery_that_a_sink_cannot_promise_is_refused_before_anything_is_touched() -> None:
    store = MemoryStore()
    with pytest.raises(ProgramError, match="stdout cannot promise exactly-once"):
        runtime(Stream(RowsSource({SHARD: rows(1)})).to(stdout()), store)
    assert store.list("") == []


class Unsteady(MemoryStore):
    """A store that does not answer when told so."""

    down = False

    def create(self, name: str, data: bytes) -> None:
        if self.down:
            raise StoreUnavailable("no answer")
        super().create(name, data)


def test_a_store_that_does_not_answer_costs_a_restart_and_no_record() -> None:
    store, sink = Unsteady(), CollectingSink(pl.Schema(SCHEMA))
    stream = Stream(RowsSource({SHARD: rows(1, 2, 3)})).to(sink)
    shard = runtime(stream, store)
    shard.claim_and_restore(0.0)
    shard.step(0.0, 2)
    store.down = True
    with pytest.raises(StoreUnavailable):
        shard.checkpoint(0.0)
    shard.close()
    store.down = False
    shard = runtime(stream, store)  # the same owner in the same epoch
    assert shard.claim_and_restore(0.0).checkpoint is None
    shard.step(0.0, 10)
    shard.release(0.0)
    assert sink.frame["i"].to_list() == [1, 2, 3]


def test_replayed_records_are_counted_when_it_is_known_what_was_read() -> None:
    stream = Stream(RowsSource({SHARD: rows(*range(10))})).to(CollectingSink(pl.Schema(SCHEMA)))
    shard = runtime(stream, MemoryStore(), read_before=Position(5))
    shard.claim_and_restore(0.0)
    for _ in range(4):
        shard.step(0.0, 3)
    assert shard.status(0.0).counters.replayed == 5
    shard.close()


@pytest.mark.parametrize("file_format", ["json", "parquet"])
def test_from_files_to_files_over_restarts_and_garbage(tmp_path: Path, file_format: str) -> None:
    """Nothing but directories: the job's store, its input and its output."""
    (tmp_path / "in").mkdir()
    for month in (1, 2):
        lines = [
            b'{"origin":"%b","at":"2013-%02d-01T%02d:%02d:00","delay":%d}'
            % (origin, month, minute // 60, minute % 60, minute)
            for minute in range(600)
            for origin in (b"EWR", b"JFK")
        ]
        lines.insert(500, b'{"origin":"EWR","at":"yesterday"}')
        lines.insert(900, b"\xff{")
        (tmp_path / "in" / f"{month:02d}.jsonl").write_bytes(b"\n".join(lines))
    stream = (
        Stream(files(tmp_path / "in", schema={"origin": pl.String, "at": pl.Datetime("ms"), "delay": pl.Float64}))
        .event_time("at")
        .key_by("origin", partitioned=True)
        .window(tumbling("1h"))
        .aggregate(flights=count(), delay=mean("delay"))
        .to(files(tmp_path / "out", format=file_format))
    )
    store = open_store(str(tmp_path / "checkpoints"), "delays")
    states = 0
    for shard_of in stream.source.discover().shards:
        epoch = 0
        finished = False
        while not finished:
            epoch += 1
            shard = ShardRuntime(stream.plan(), shard=shard_of.id, epoch=epoch, owner=f"w{epoch}", store=store, keep=2)
            finished = shard.claim_and_restore(0.0).finished
            for step in range(epoch * 2):
                finished = shard.step(float(step), 100).finished or finished
                if step % 3 == 1:
                    shard.checkpoint(float(step))
            if finished:
                shard.checkpoint(0.0)
            shard.close()
            for path in (tmp_path / "checkpoints" / "delays").glob("shards/*/state/*.arrow"):
                states += pl.read_ipc(path)["flights.n"].sum()  # with nothing but Polars
        assert epoch > 2
    found = read_committed(tmp_path / "out")
    assert found.height == 2 * 10 * 2
    assert found["flights"].to_list() == [60] * 40
    assert sorted(set(found["delay"].to_list())) == [29.5 + 60 * hour for hour in range(10)]
    letters = list(read_dead_letters(store))
    assert [(letter.shard, letter.encoding) for letter in letters] == [
        (shard, encoding) for shard in ("01.jsonl", "02.jsonl") for encoding in ("utf-8", "base64")
    ]
    assert states > 0


def test_a_source_that_fails_may_be_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"i":1}\n{"i":2}\n')
    sink = CollectingSink(pl.Schema({"i": pl.Int64}))
    stream = Stream(files(path, schema={"i": pl.Int64}, growing=True)).to(sink)
    shard = ShardRuntime(stream.plan(), shard=ShardId("x.jsonl"), epoch=1, owner="w", store=MemoryStore())
    shard.claim_and_restore(0.0)
    shard.step(0.0, 10)
    path.write_bytes(b"")
    with pytest.raises(SourceFailed, match="become shorter"):
        shard.step(0.0, 10)
    path.write_bytes(b'{"i":1}\n{"i":2}\n{"i":3}\n')
    assert shard.step(0.0, 10).records == 1
    shard.release(0.0)
    assert sink.frame["i"].to_list() == [1, 2, 3]


def test_at_least_once_shows_before_the_commit_and_at_most_once_after_it() -> None:
    class Stop(Exception):
        pass

    for delivery, seen in ((Delivery.AT_LEAST_ONCE, 2), (Delivery.AT_MOST_ONCE, 0), (Delivery.EXACTLY_ONCE, 0)):
        sink = CollectingSink(pl.Schema(SCHEMA))
        stream = Stream(RowsSource({SHARD: rows(1, 2)})).to(sink)

        def crash(point: str) -> None:
            if point == "committed":
                raise Stop

        shard = runtime(stream, MemoryStore(), delivery=delivery, fault=crash)
        shard.claim_and_restore(0.0)
        shard.step(0.0, 10)
        with pytest.raises(Stop):
            shard.checkpoint(0.0)
        assert sink.frame.height == seen


@pytest.mark.parametrize("to_files", [False, True])
def test_an_owner_that_pauses_between_claim_and_restore_harms_nobody(tmp_path: Path, to_files: bool) -> None:
    """It wakes up as a zombie, with an old idea of what is committed, and tidies up; a newer owner has worked since."""
    numbers = pl.DataFrame({"i": range(6), "at": [None, *rows(*range(5))["at"]]}, schema=SCHEMA)
    collected = CollectingSink(pl.Schema(SCHEMA))
    store = MemoryStore()
    stream = (
        Stream(RowsSource({SHARD: numbers}))
        .to(files(tmp_path) if to_files else collected)
        .event_time("at")
        .with_columns(key=pl.lit("k"))
        .key_by("key", partitioned=True)
        .window(tumbling("1d"))
        .aggregate(n=count())
    )
    stream = stream.to(CollectingSink(stream.schema))
    newer = runtime(stream, store, 2)

    def meanwhile(point: str) -> None:
        if point == "claimed":
            newer.claim_and_restore(0.0)
            newer.step(0.0, 2)
            newer.checkpoint(0.0)
            newer.step(0.0, 2)

    zombie = runtime(stream, store, 1, fault=meanwhile)
    zombie.claim_and_restore(0.0)
    assert zombie.step(0.0, 3).records == 3
    with pytest.raises(Fenced):
        zombie.release(0.0)
    while not newer.step(0.0, 1).finished:
        pass
    newer.release(0.0)
    seen = read_committed(tmp_path) if to_files else collected.frame
    assert seen["i"].to_list() == list(range(6))
    assert [letter.position for letter in read_dead_letters(store)] == [0]


def test_isolated_records_between_good_ones_never_add_up_to_a_failing_program() -> None:
    numbers = list(range(240))
    odd = Picky(*[number for number in numbers if number % 2])
    shard = runtime(picky_stream(odd, CollectingSink(pl.Schema(SCHEMA)), *numbers), MemoryStore())
    shard.claim_and_restore(0.0)
    failures = 0
    while shard.status(0.0).state is not RuntimeState.DRAINED:
        try:
            shard.step(0.0, 1)
        except ShardFailed:
            failures += 1
    assert failures == 2 * 120
    assert shard.status(0.0).counters.dead == 120
    shard.close()


def test_a_sink_that_fails_closes_the_shard_before_anything_half_done_is_committed() -> None:
    class Full(CollectingSink):
        def open(self, context: WriterContext) -> CollectingWriter:
            writer = super().open(context)
            if context.epoch == 1:
                writer.write = no_space  # type: ignore[method-assign]
            return writer

    def no_space(frame: pl.DataFrame) -> None:
        raise SinkFailed("no space left")

    store, first, second = MemoryStore(), CollectingSink(pl.Schema(SCHEMA)), Full(pl.Schema(SCHEMA))
    stream = Stream(RowsSource({SHARD: rows(1, 2, 3)})).to(first).to(second)
    shard = runtime(stream, store)
    shard.claim_and_restore(0.0)
    with pytest.raises(SinkFailed, match="no space left"):
        shard.step(0.0, 2)
    assert shard.status(0.0).state is RuntimeState.CLOSED
    with pytest.raises(AssertionError):
        shard.checkpoint(0.0)
    shard = runtime(stream, store, 2)
    shard.claim_and_restore(0.0)
    shard.step(0.0, 10)
    shard.release(0.0)
    assert first.frame["i"].to_list() == second.frame["i"].to_list() == [1, 2, 3]


def test_a_record_behind_an_isolated_one_is_as_late_as_ever() -> None:
    """The pieces of a batch that is cut up see the watermark of the pieces before them."""
    numbers = (30, 2, 3, 31)
    stream = (
        Stream(RowsSource({SHARD: rows(*numbers)}))
        .event_time("at")
        .map_batches(Picky(2))
        .with_columns(key=pl.lit("k"))
        .key_by("key", partitioned=True)
        .window(tumbling("10s"))
        .aggregate(n=count())
    )
    late = CollectingSink(pl.Schema({**SCHEMA, "key": pl.String}))
    results = CollectingSink(stream.schema)
    shard = runtime(stream.to(results).late(late), MemoryStore())
    shard.claim_and_restore(0.0)
    for _ in range(2):
        with pytest.raises(ShardFailed):
            shard.step(0.0, 4)
    while not shard.step(0.0, 4).finished:
        pass
    shard.release(0.0)
    assert late.frame["i"].to_list() == [3]
    assert results.frame["n"].to_list() == [2]


def test_output_and_dead_letters_of_a_damaged_commit_are_taken_back_and_made_again(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(b'{"i":%d}\nbad %d\n' % (i, i) for i in range(3)))
    stream = Stream(files(path, schema={"i": pl.Int64})).to(files(tmp_path / "out"))
    store = MemoryStore()
    for epoch in (1, 2):
        shard = ShardRuntime(stream.plan(), shard=ShardId("x.jsonl"), epoch=epoch, owner=f"w{epoch}", store=store)
        restored = shard.claim_and_restore(0.0)
        if epoch == 2:
            assert restored.checkpoint == 2
            assert [remark.split(" ")[0] for remark in restored.remarks] == ["entry", "took", "took"]
        shard.step(0.0, 2)
        shard.checkpoint(0.0)
        while not shard.step(0.0, 2).finished:
            pass
        shard.release(0.0)
        assert sorted(read_committed(tmp_path / "out")["i"]) == [0, 1, 2]
        assert [letter.raw for letter in read_dead_letters(store)] == ["bad 0", "bad 1", "bad 2"]
        newest = store.list("shards/x.jsonl/log/")[-1]
        store.delete(newest)
        store.create(newest, b"{")
