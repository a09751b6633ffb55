"""`headgate checkpoints`, `state`, `dead-letters` and `replay` on the store of a job that ran, or runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headgate.adapters.state_reader import StateUnreadable, ask_state

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "hello"
HEADGATE = [sys.executable, "-m", "headgate"]
STORE = ".headgate/hello/checkpoints"
PATIENCE_S = 120
BAD = b'{"at": "2024-05-01T10:00:00", "shop": "north", "amount": "12"}\nno JSON\n\xff\xfe\x00\n'


def headgate(*arguments: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*HEADGATE, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def json_lines(*arguments: str | Path, cwd: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in headgate(*arguments, "--json", cwd=cwd).stdout.splitlines()]


def job_in(folder: Path, more: str = "") -> Path:
    shutil.copytree(EXAMPLE, folder / "hello", ignore=shutil.ignore_patterns("result", ".headgate"))
    job = folder / "hello" / "job.yaml"
    job.write_text(job.read_text() + more)
    with (folder / "hello" / "orders" / "north.jsonl").open("ab") as orders:
        orders.write(BAD)
    return job


def orders_by_shop(file: Path) -> Counter[str]:
    good = [line for line in file.read_bytes().splitlines() if line not in BAD.splitlines()]
    return Counter(json.loads(line)["shop"] for line in good)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example ran to its end, with three records that it could not read."""
    folder = tmp_path_factory.mktemp("ran")
    headgate("run", job_in(folder), cwd=folder)
    return folder


def test_checkpoints_are_listed_by_shard(ran: Path) -> None:
    rows = json_lines("checkpoints", STORE, "hello", "--verify", cwd=ran)
    newest = {row["shard"]: row for row in reversed(rows)}
    assert {shard: row["records_in"] for shard, row in newest.items()} == {
        "north.jsonl": 63,
        "south.jsonl": 60,
        "west.jsonl": 60,
    }
    assert all(row["finished"] and row["problem"] is None for row in newest.values())
    north = (ran / "hello" / "orders" / "north.jsonl").stat().st_size
    assert json.loads(newest["north.jsonl"]["positions"]) == {"source": north}
    told = headgate("checkpoints", STORE, "hello", "--shard", "north.jsonl", cwd=ran).stdout
    head, first, *_ = told.splitlines()
    assert head.split() == [
        *("shard", "number", "age", "epoch", "state", "position", "watermark", "in", "out", "late", "dead")
    ]
    assert first.split()[0] == "north.jsonl"
    assert first.split()[-1] == "finished"
    assert str(north) in first


def test_dead_letters_are_listed_and_chosen_by_reason(ran: Path) -> None:
    assert [row["raw_bytes"] for row in json_lines("dead-letters", STORE, "hello", cwd=ran)] == [62, 7, 3]
    told = headgate("dead-letters", STORE, "hello", "--reason", "got `str`", cwd=ran).stdout
    assert "north.jsonl" in told
    assert "no JSON" not in told
    assert headgate("dead-letters", STORE, "hello", "--limit", "1", cwd=ran).stderr == "1 of 3 rows\n"
    assert headgate("dead-letters", STORE, "hello", "--reason", "x y z", cwd=ran).stdout == "no such dead letters\n"
    assert headgate("dead-letters", STORE, "hello", "--shard", "west.jsonl", cwd=ran).stdout == "no such dead letters\n"


def test_replayed_records_go_through_a_mended_program(ran: Path) -> None:
    done = headgate("replay", STORE, "hello", "--reason", "got `str`", "--to", "again", cwd=ran)
    assert done.stdout == "1 records in 1 files; let a mended program read again/*.jsonl\n"
    again = headgate("replay", STORE, "hello", "--to", "again", cwd=ran, code=2)
    assert again.stderr == "error: again is not an empty folder; name one that is not there yet\n"
    rest = headgate("replay", STORE, "hello", "--to", "rest", "--without", "again", "--json", cwd=ran)
    assert [letter["position"] for letter in json.loads(rest.stdout)["letters"]] == [
        row["position"] for row in json_lines("dead-letters", STORE, "hello", cwd=ran)[1:]
    ]
    assert headgate("replay", STORE, "hello", "--reason", "x y z", "--to", "none", cwd=ran).stdout == (
        "there is no such dead letter to write; nothing was made\n"
    )
    assert not (ran / "none").exists()
    mended = ran / "mended"
    mended.mkdir()
    program = (EXAMPLE / "hello.py").read_text()
    program = program.replace('"amount": pl.Float64', '"amount": pl.String')
    program = program.replace(".filter(pl.", '.with_columns(pl.col("amount").cast(pl.Float64))\n        .filter(pl.')
    (mended / "hello.py").write_text(program)
    job = (EXAMPLE / "job.yaml").read_text().replace("name: hello", "name: hello-again")
    (mended / "job.yaml").write_text(job.replace("${job_dir}/orders/*.jsonl", f"{ran}/again/*.jsonl"))
    assert "hello-again is completed: 1 records in" in headgate("run", mended / "job.yaml", cwd=ran).stdout
    (row,) = [json.loads(file.read_text()) for file in (mended / "result").glob("*.jsonl")]
    assert (row["shop"], row["orders"], row["revenue"]) == ("north", 1, 12.0)


def test_state_is_read_while_the_job_runs_and_does_not_disturb_it(tmp_path: Path) -> None:
    job = job_in(tmp_path, more="rate_limit: 15\n")
    process = subprocess.Popen([*HEADGATE, "run", str(job)], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    pause = threading.Event()
    try:
        for _ in range(PATIENCE_S * 4):
            if list((tmp_path / STORE / "hello").glob("shards/*/state/*")) or process.poll() is not None:
                break
            pause.wait(0.25)
        assert process.poll() is None, process.communicate()[0]
        rows = json_lines("state", STORE, "hello", cwd=tmp_path)
        assert process.poll() is None, "the job ended before its state was read"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert rows
    shops = {file.name: orders_by_shop(file) for file in (tmp_path / "hello" / "orders").iterdir()}
    for row in rows:
        assert 0 < row["orders.n"] == row["records"] <= shops[row["shard"]][row["shop"]]
        assert row["window_end"] > row["window_start"]
    told = headgate("state", STORE, "hello", "--role", "windows", "--limit", "1", cwd=tmp_path)
    assert told.stdout.split()[: len(rows[0])] == list(rows[0])
    headgate("state", STORE, "hello", "--out", "state.parquet", cwd=tmp_path)
    assert pl.read_parquet(tmp_path / "state.parquet").columns == list(rows[0])
    out = headgate("run", job, cwd=tmp_path).stdout
    assert "hello is completed: 183 records in" in out


def test_what_is_not_there_is_said(ran: Path, tmp_path: Path) -> None:
    assert headgate("state", STORE, "hello", cwd=ran).stdout.startswith("nothing is kept: ")
    for arguments, told in (
        (("state", STORE, "hullo"), 'holds no checkpoints of a job "hullo"'),
        (("state", STORE, "hello", "--shard", "nort.jsonl"), "its shards are north.jsonl, south.jsonl, west.jsonl"),
        (("state", STORE, "hello", "--shard", "west.jsonl", "--checkpoint", "99"), "has no checkpoint 99; it has 2"),
        (("state", STORE, "hello", "--role", "timers"), "there is no state of role timers; there is none at all"),
        (("state", STORE, "hello", "--json", "--out", "x"), "either --json or --out"),
        (("checkpoints", "gopher://x/y", "hello"), "gopher://x/y"),
        (("replay", STORE, "hello", "--to", "y", "--without", str(tmp_path)), "is no folder of a replay"),
    ):
        assert told in headgate(*arguments, cwd=ran, code=2).stderr
    error = json.loads(headgate("checkpoints", STORE, "hullo", "--json", cwd=ran, code=2).stderr)
    assert 'job "hullo"' in error["error"]


def test_who_has_read_enough_hears_no_complaint(ran: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*HEADGATE, "dead-letters", STORE, "hello", "--json"]
    try:
        done = subprocess.run(
            command, cwd=ran, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_python_that_cannot_read_state_is_named_with_the_remedy(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(StateUnreadable, match=r"cannot load millstream \(.*\); install it there: .*headgate\[worker\]"):
        ask_state("read", "/x", "job", {}, python=str(bare))
    with pytest.raises(StateUnreadable, match="does not run: No such file"):
        ask_state("read", "/x", "job", {}, python=str(tmp_path / "none"))
