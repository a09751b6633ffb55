"""`.process`: state per key, timers of both times, several outputs, and what happens when the program raises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream import Accumulator, Keyed, ProgramError, ShardFailed, Stream, Timer, testing
from millstream.contract.checkpoint import ShardId
from millstream.runtime.dead_letters import read_dead_letters
from millstream.runtime.shard import ShardRuntime
from millstream.sinks.collecting import CollectingSink
from millstream.sources.rows import RowsSource
from millstream.stores.memory import MemoryStore

SCHEMA = pl.Schema({"card": pl.String(), "at": pl.Datetime("ms"), "amount": pl.Int64()})
START = datetime(2024, 1, 1)
ALARM = {"card": pl.String, "spent": pl.Int64}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def row(card: str | None, seconds: float, amount: int) -> dict[str, Any]:
    return {"card": card, "at": at(seconds), "amount": amount}


def payments(**event_time: str) -> Stream:
    return Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)})).event_time("at", **event_time)


def to_rows(stream: Stream) -> Stream:
    return stream.to(CollectingSink(stream.schema))


def spend(row: dict[str, Any], keyed: Keyed) -> None:
    keyed.state["spent"] = keyed.state.get("spent", 0) + row["amount"]
    if keyed.state["spent"] > 100:
        keyed.emit(card=row["card"], spent=keyed.state["spent"])


def test_state_is_kept_by_key_through_restarts() -> None:
    stream = to_rows(payments().key_by("card", partitioned=True).process(spend, schema=ALARM))
    items = [
        row("a", 1, 60),
        row("b", 2, 60),
        testing.EOF,
        row("a", 3, 50),
        testing.ABORT,
        row("b", 4, 1),
        row(None, 5, 200),
    ]
    run = testing.run(stream, items, batch_size=2)
    assert run.rows.rows() == [("a", 110), (None, 200)]


def test_timers_come_due_in_order_of_time_and_can_be_moved_and_cancelled() -> None:
    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        if row["amount"] < 0:
            keyed.cancel("quiet")
        else:
            keyed.timer("quiet", at=row["at"] + timedelta(seconds=row["amount"]))

    def on_timer(timer: Timer, keyed: Keyed) -> None:
        assert not timer.by_clock
        keyed.emit(card=keyed.key["card"], spent=round((timer.at - START).total_seconds()))

    stream = to_rows(payments().key_by("card", partitioned=True).process(on_row, on_timer=on_timer, schema=ALARM))
    items = [
        row("a", 0, 30),
        row("b", 1, 10),
        row("c", 2, 5),
        row("a", 3, 20),
        row("c", 4, -1),
        testing.ABORT,
        row("d", 50, 5),
    ]
    assert testing.run(stream, items, batch_size=3).rows.rows() == [("b", 11), ("a", 23), ("d", 55)]
    assert testing.run(stream, items, ends=False).rows.rows() == [("b", 11), ("a", 23)]


def test_a_timer_may_set_the_next_and_the_end_lets_each_come_due_once() -> None:
    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        keyed.timer("tick", at=row["at"] + timedelta(seconds=10))

    def on_timer(timer: Timer, keyed: Keyed) -> None:
        keyed.emit(card=timer.name, spent=round((timer.at - START).total_seconds()))
        keyed.timer("tick", at=timer.at + timedelta(seconds=10))

    stream = to_rows(payments().key_by("card", partitioned=True).process(on_row, on_timer=on_timer, schema=ALARM))
    items = [row("a", 0, 1), row("b", 35, 1)]
    assert testing.run(stream, items, batch_size=1, ends=False).rows["spent"].to_list() == [10, 20, 30]
    assert testing.run(stream, items, batch_size=1).rows["spent"].to_list() == [10, 20, 30, 40, 45]


def test_clock_timers_follow_the_clock_alone() -> None:
    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        keyed.clock_timer("soon", after="5s")

    def on_timer(timer: Timer, keyed: Keyed) -> None:
        keyed.emit(card=keyed.key["card"], spent=int(timer.by_clock))

    stream = to_rows(payments().key_by("card", partitioned=True).process(on_row, on_timer=on_timer, schema=ALARM))
    waiting = [row("a", 0, 1), row("b", 10_000, 1), testing.ADVANCE("4s")]
    assert testing.run(stream, waiting, ends=False).rows.height == 0
    assert testing.run(stream, [*waiting, testing.EOF, testing.ADVANCE("2s")], ends=False).rows.rows() == [
        ("a", 1),
        ("b", 1),
    ]


def test_state_is_forgotten_when_nobody_looked_at_it_for_its_time() -> None:
    stream = to_rows(payments().key_by("card", partitioned=True).process(spend, schema=ALARM, ttl="1m"))
    items = [row("a", 0, 90), row("b", 30, 90), row("x", 80, 0), row("a", 81, 90), row("b", 82, 90)]
    for every in (1, 5):
        assert testing.run(stream, items, batch_size=1, checkpoint_every=every).rows.rows() == [("b", 180)]


def test_rows_go_to_other_outputs_and_on_down_the_program() -> None:
    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        keyed.emit(card=row["card"], spent=row["amount"])
        if row["amount"] > 100:
            keyed.emit_to("large", amount=row["amount"])

    stream = (
        payments()
        .key_by("card", shards=2)
        .process(on_row, schema=ALARM, outputs={"large": {"amount": pl.Int64, "why": pl.String}})
        .with_columns(pl.col("spent") * 2)
        .filter(pl.col("spent") > 10)
    )
    stream = to_rows(stream).output("large", CollectingSink(pl.Schema({"amount": pl.Int64, "why": pl.String})))
    run = testing.run(stream, [row("a", 0, 3), row("b", 1, 200), testing.ABORT, row("c", 2, 6)], batch_size=1)
    assert sorted(run.outputs["sink0"].rows()) == [("b", 400), ("c", 12)]
    assert run.outputs["large"].rows() == [(200, None)]


def test_a_row_that_crashes_the_program_changes_nothing_and_becomes_a_dead_letter() -> None:
    seen = Accumulator("seen")

    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        seen.add()
        keyed.state["n"] = keyed.state.get("n", 0) + row["amount"]
        keyed.timer("never", at=at(0))
        if row["amount"] == 13:
            raise RuntimeError("unlucky")
        keyed.cancel("never")
        keyed.emit(card=row["card"], spent=keyed.state["n"])

    sink = CollectingSink(pl.Schema(ALARM))
    rows = pl.DataFrame([row("a", 0, 1), row("b", 1, 13), row("a", 2, 5)], schema=SCHEMA)
    stream = Stream(RowsSource({"x": rows})).event_time("at").key_by("card", partitioned=True)
    plan = stream.process(on_row, schema=ALARM).to(sink).plan()
    store = MemoryStore()
    shard = ShardRuntime(plan, shard=ShardId("x"), epoch=1, owner="w", store=store)
    shard.claim_and_restore(0.0)
    for _ in range(2):
        with pytest.raises(ShardFailed, match=r"process\(on_row\).*RuntimeError: unlucky") as failed:
            shard.step(1.0, 10)
        assert "test_keyed_process.py" in str(failed.value)
    while not shard.step(2.0, 10).finished:
        pass
    shard.checkpoint(3.0)
    status = shard.status(3.0)
    assert sink.frame.rows() == [("a", 1), ("a", 6)]
    assert [letter.position for letter in read_dead_letters(store)] == [1]
    assert status.accumulators == {"seen": 2}
    assert status.state_rows == 1
    shard.close()


@pytest.mark.parametrize(
    ("on_row", "message"),
    [
        (lambda row, keyed: keyed.emit(crad="x"), 'no column "crad". Did you mean "card"?'),
        (lambda row, keyed: keyed.emit_to("lagre", amount=1), 'no output "lagre". Did you mean "large"?'),
        (lambda row, keyed: keyed.state.update(when=row["at"]), "what is kept of a key must be JSON"),
        (lambda row, keyed: keyed.emit(spent="many"), 'a value of the column "spent" is no Int64'),
        (lambda row, keyed: keyed.timer("t", at=row["at"]), 'timer "t" is due, and the program has no on_timer'),
    ],
)
def test_mistakes_of_the_function_are_said(on_row: Any, message: str) -> None:
    stream = (
        payments()
        .key_by("card", partitioned=True)
        .process(on_row, schema=ALARM, outputs={"large": {"amount": pl.Int64}})
    )
    with pytest.raises(ShardFailed) as failed:
        testing.run(to_rows(stream), [row("a", 0, 1), row("a", 1, 1)])
    assert message in str(failed.value)


@pytest.mark.parametrize(
    ("message", "build"),
    [
        ("process: say by which key", lambda: payments().process(spend, schema=ALARM)),
        ("process: needs functions", lambda: payments().key_by("card").process(3, schema=ALARM)),  # type: ignore[arg-type]
        (
            "process: ttl is measured in event time",
            lambda: (
                Stream(RowsSource({"x": pl.DataFrame(schema=SCHEMA)}))
                .key_by("card")
                .process(spend, schema=ALARM, ttl="1h")
            ),
        ),
        ("output: only .process", lambda: payments().output("x", CollectingSink(SCHEMA))),
        (
            'output: there is no output "b". Did you mean',
            lambda: (
                payments()
                .key_by("card")
                .process(spend, schema=ALARM, outputs={"bb": ALARM})
                .output("b", CollectingSink(SCHEMA))
            ),
        ),
        ("grouping results again", lambda: payments().key_by("card").process(spend, schema=ALARM).key_by("card")),
    ],
)
def test_what_is_wrong_is_said_when_the_program_is_built(message: str, build: Any) -> None:
    with pytest.raises(ProgramError) as caught:
        build()
    assert message in str(caught.value)


def running_totals(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str | None, int]]:
    totals: dict[str | None, int] = {}
    found = []
    for each in rows:
        totals[each["card"]] = totals.get(each["card"], 0) + each["amount"]
        found.append((each["card"], totals[each["card"]]))
    return found


@given(
    rows=st.lists(st.tuples(st.sampled_from(("a", "b", None)), st.integers(0, 50), st.integers(1, 9)), max_size=30),
    places=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from((testing.ABORT, testing.EOF, testing.CHECKPOINT))), max_size=5
    ),
    shards=st.sampled_from(({"partitioned": True}, {"shards": 1}, {"shards": 3})),
    batch_size=st.integers(1, 9),
    every=st.integers(1, 4),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_batches_any_aborts_and_any_shards_give_the_same(
    rows: list[tuple[str | None, int, int]],
    places: list[tuple[int, testing.Marker]],
    shards: dict[str, Any],
    batch_size: int,
    every: int,
) -> None:
    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        keyed.state["n"] = keyed.state.get("n", 0) + row["amount"]
        keyed.emit(card=row["card"], spent=keyed.state["n"])

    records = [row(card, seconds, amount) for card, seconds, amount in rows]
    items: list[Any] = list(records)
    for place, marker in places:
        items.insert(place % (len(items) + 1), marker)
    stream = to_rows(payments(out_of_orderness="1m").key_by("card", **shards).process(on_row, schema=ALARM))
    run = testing.run(stream, items, batch_size=batch_size, checkpoint_every=every)
    found = run.rows.rows()
    wanted = running_totals(records)
    for card in ("a", "b", None):
        assert [each for each in found if each[0] == card] == [each for each in wanted if each[0] == card]
    assert len(found) == len(wanted)


@given(
    rows=st.lists(st.tuples(st.sampled_from(("a", "b", "c")), st.integers(0, 8), st.integers(-3, 9)), max_size=25),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    aborts=st.lists(st.integers(0, 25), max_size=3),
)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_timers_and_forgetting_do_not_depend_on_how_rows_were_batched(
    rows: list[tuple[str, int, int]], sizes: list[int], aborts: list[int]
) -> None:
    def on_row(row: dict[str, Any], keyed: Keyed) -> None:
        keyed.state["n"] = keyed.state.get("n", 0) + 1
        keyed.emit(card=row["card"], spent=keyed.state["n"])
        if row["amount"] < 0:
            keyed.cancel("t")
        else:
            keyed.timer("t", at=row["at"] + timedelta(seconds=row["amount"]))

    def on_timer(timer: Timer, keyed: Keyed) -> None:
        keyed.emit(card=f"timer of {keyed.key['card']} {timer.at}", spent=keyed.state.get("n"))
        if keyed.state.get("n", 0) > 3:
            keyed.state.clear()
            keyed.timer("t", at=timer.at + timedelta(seconds=3))

    clock, records = 0, []
    for card, pause, amount in rows:
        clock += pause
        records.append(row(card, clock - amount % 3, amount))
    stream = payments(out_of_orderness="2s").key_by("card", partitioned=True)
    program = to_rows(stream.process(on_row, on_timer=on_timer, schema=ALARM, ttl="20s"))
    one_by_one = testing.run(program, records, batch_size=1).rows
    for size in sizes:
        items: list[Any] = list(records)
        for place in aborts:
            items.insert(place % (len(items) + 1), testing.ABORT)
        assert testing.run(program, items, batch_size=size, checkpoint_every=2).rows.equals(one_by_one)
