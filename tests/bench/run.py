"""Measure what we are fast at, and against what: every figure beside a peer or a limit, in one run on one machine.

    python tests/bench/run.py [--only NAME] [--rounds N]

Prints a table and writes `build/bench.json`: `{name: {value, unit, against, ratio}}`.  `ratio` is the peer's time over
ours: above 1 we are faster.  Each is the best of some rounds, ours and the peer's taken in turn: on a shared machine
the best is the least disturbed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from headgate.adapters.mesos_codec_events import EventDecoder
from headgate.adapters.sqlite_store import SqliteStore
from millstream import Stream, count, files, mean, tumbling
from millstream.contract.recordio import Decoder, encode
from millstream.shard import ShardRuntime
from millstream.stores.directory import DirectoryStore

ROOT = Path(__file__).parents[2]
LINES = 1_000_000
OFFERS = 10_000
WRITES = 200


@dataclass(frozen=True)
class Figure:
    """One result."""

    value: float
    unit: str
    against: str
    ratio: float


def best(rounds: int, ours: Callable[[], None], theirs: Callable[[], None]) -> tuple[float, float]:
    """The shortest times of both, taken in turn."""
    times: list[tuple[float, float]] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        ours()
        between = time.perf_counter()
        theirs()
        times.append((between - begun, time.perf_counter() - between))
    return min(mine for mine, _ in times), min(other for _, other in times)


def shard_throughput(folder: Path, rounds: int) -> Figure:
    """JSON lines → event time → key → one-minute windows, with checkpoints, against one Polars query over the file."""
    path = folder / "log.jsonl"
    numbers = pl.int_range(LINES, eager=True)
    pl.DataFrame(
        {
            "key": "k" + (numbers * 7919 % 1000).cast(pl.String),
            "at": pl.from_epoch(1_700_000_000_000 + numbers * 10, time_unit="ms").dt.to_string("%Y-%m-%dT%H:%M:%S%.3f"),
            "value": (numbers % 1013).cast(pl.Float64),
        }
    ).write_ndjson(path)
    schema = {"key": pl.String, "at": pl.Datetime("ms"), "value": pl.Float64}
    turn = iter(range(1000))

    def ours() -> None:
        number = next(turn)
        plan = (
            Stream(files(path, schema=schema))
            .event_time("at")
            .key_by("key", partitioned=True)
            .window(tumbling("1m"))
            .aggregate(records=count(), value=mean("value"))
            .to(files(folder / f"out-{number}"))
            .plan()
        )
        store = DirectoryStore(folder / f"store-{number}")
        (known,) = plan.source.discover().shards
        shard = ShardRuntime(plan, shard=known.id, epoch=1, owner="bench", store=store)
        shard.claim_and_restore(0.0)
        seconds = 0.0
        while not (result := shard.step(seconds, 65_536)).finished:
            seconds += 0.1
            if result.records and int(seconds * 10) % 5 == 0:
                shard.checkpoint(seconds)
        shard.release(seconds)

    def theirs() -> None:
        found = (
            pl.scan_ndjson(path, schema={**schema, "at": pl.String()})
            .with_columns(pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3f", time_unit="ms"))
            .group_by("key", pl.col("at").dt.truncate("1m"))
            .agg(pl.len(), pl.col("value").mean())
            .collect()
        )
        assert found.height > LINES / 100

    mine, other = best(rounds, ours, theirs)
    return Figure(value=LINES / mine, unit="records/s", against="one Polars scan and group_by", ratio=other / mine)


def offer_decoding(_: Path, rounds: int) -> Figure:
    """An OFFERS event of 10,000 offers, from bytes to model, against `json.loads` of the same bytes."""
    record = offers_event()
    decoder_of_frames = Decoder()
    (framed,) = decoder_of_frames.feed(encode(record))

    def ours() -> None:
        found = EventDecoder().decode(framed, received_at=0.0, role="web")
        assert len(found.events) == 1

    def theirs() -> None:
        json.loads(record)

    mine, other = best(rounds, ours, theirs)
    return Figure(value=len(record) / mine / 1e6, unit="MB/s", against="json.loads alone", ratio=other / mine)


def store_writes(folder: Path, rounds: int) -> Figure:
    """Durable writes of one small record to the SQLite store, against write and fdatasync of a plain file."""
    turn = iter(range(1000))
    value = b"x" * 2000

    def ours() -> None:
        store = SqliteStore(folder / f"{next(turn)}.db")
        term = store.new_term()
        for number in range(WRITES):
            store.write({f"tasks/{number % 20}": value + b"%d" % number}, term=term)
        store.close()

    def theirs() -> None:
        with (folder / f"{next(turn)}.plain").open("wb") as file:
            for _ in range(WRITES):
                file.write(value)
                file.flush()
                os.fdatasync(file.fileno())

    mine, other = best(rounds, ours, theirs)
    return Figure(value=WRITES / mine, unit="writes/s", against="write and fdatasync of a file", ratio=other / mine)


def offers_event() -> bytes:
    """An OFFERS event as a master sends it to a framework with roles."""
    role = {"role": "web"}
    offers = [
        {
            "id": {"value": f"7d1f6a2c-0000-4000-8000-000000000000-O{number}"},
            "framework_id": {"value": "7d1f6a2c-0000-4000-8000-000000000000-0000"},
            "agent_id": {"value": f"7d1f6a2c-0000-4000-8000-000000000000-S{number}"},
            "hostname": f"agent-{number}.example",
            "url": {
                "scheme": "http",
                "address": {"hostname": f"agent-{number}.example", "ip": "10.0.0.1", "port": 5051},
                "path": "/slave(1)",
            },
            "resources": [
                {"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": role}
                for name, value in (("cpus", 8.0), ("mem", 15000.5), ("disk", 100000.0))
            ]
            + [
                {
                    "name": "ports",
                    "type": "RANGES",
                    "ranges": {"range": [{"begin": 31000, "end": 31500 + number % 400}]},
                    "allocation_info": role,
                }
            ],
            "attributes": [{"name": "rack", "type": "TEXT", "text": {"value": f"r{number % 40}"}}],
            "allocation_info": role,
        }
        for number in range(OFFERS)
    ]
    return json.dumps({"type": "OFFERS", "offers": {"offers": offers}}, separators=(",", ":")).encode()


FIGURES: dict[str, Callable[[Path, int], Figure]] = {
    "shard throughput": shard_throughput,
    "offer decoding": offer_decoding,
    "store writes": store_writes,
}


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes with the run."""
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as folder:
        yield Path(folder)


def main() -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(prog="tests/bench/run.py", description="measure against peers, in one run")
    parser.add_argument("--only", choices=list(FIGURES), action="append")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, Figure] = {}
    for name in options.only or FIGURES:
        with scratch() as folder:
            figure = found[name] = FIGURES[name](folder, options.rounds)
        print(
            f"{name:<18} {figure.value:>12,.0f} {figure.unit:<10} {figure.ratio:>6.2f} × {figure.against}", flush=True
        )
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({name: asdict(figure) for name, figure in found.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
