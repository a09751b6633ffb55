"""`python -m millstream.state`: the functions of `millstream.state` for a shell, as JSON lines.

What was asked for goes to standard output, one row a line, remarks and errors to standard error.  Exit codes: 0 done,
1 failed, 2 no such thing or a wrong option, 141 nobody reads the output any more.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from millstream.errors import MillstreamError, ProgramError
from millstream.state import ReplayRefused, StateNotFound, checkpoints, dead_letters, read, replay

_NO_READER = 141
"""What a shell says of a program whose output nobody reads any more: 128 + SIGPIPE."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; returns the exit code."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        asked.run(asked)
        sys.stdout.flush()
    except (MillstreamError, OSError) as problem:
        if isinstance(problem, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _NO_READER
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201
        return 2 if isinstance(problem, (StateNotFound, ProgramError, ReplayRefused)) else 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m millstream.state", description="Look into a job's checkpoints.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, help_text: str, run: Any) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help_text)
        added.set_defaults(run=run)
        added.add_argument("store", help="as checkpoint.store in the job file; a path may be relative")
        added.add_argument("job")
        added.add_argument("--shard", help="of this shard only")
        return added

    listing = command("checkpoints", "the checkpoints that are kept", _checkpoints)
    listing.add_argument("--verify", action="store_true", help="read and check all state files")
    reading = command("read", "what is in a checkpoint", _read)
    reading.add_argument("--checkpoint", type=int)
    reading.add_argument("--role", help="windows, shown, keyed or timers")
    reading.add_argument("--limit", type=int, help="print so many rows")
    reading.add_argument("--out", type=Path, help="write a Parquet file instead")
    letters = command("dead-letters", "records that could not be processed", _dead_letters)
    letters.add_argument("--limit", type=int, help="print so many rows")
    again = command("replay", "write them out again as files of lines", _replay)
    again.add_argument("--to", required=True, help="the folder to make")
    again.add_argument("--without", action="append", default=[], help="a folder whose records were replayed before")
    for each in (letters, again):
        each.add_argument("--reason", help="whose reason has this text in it")
    return parser


def _checkpoints(asked: argparse.Namespace) -> None:
    _print(checkpoints(asked.store, asked.job, shard=asked.shard, verify=asked.verify), None)


def _read(asked: argparse.Namespace) -> None:
    table = read(asked.store, asked.job, shard=asked.shard, checkpoint=asked.checkpoint, role=asked.role)
    if asked.out is None:
        _print(table, asked.limit)
        return
    partial = asked.out.with_name(f".{asked.out.name}.partial")
    table.write_parquet(partial)
    os.replace(partial, asked.out)
    print(f"{table.height} rows in {asked.out}", file=sys.stderr)  # noqa: T201


def _dead_letters(asked: argparse.Namespace) -> None:
    _print(dead_letters(asked.store, asked.job, shard=asked.shard, reason=asked.reason), asked.limit)


def _replay(asked: argparse.Namespace) -> None:
    done = replay(asked.store, asked.job, asked.to, shard=asked.shard, reason=asked.reason, without=asked.without)
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")


def _print(table: pl.DataFrame, limit: int | None) -> None:
    shown = table if limit is None else table.head(limit)
    for row in shown.iter_rows(named=True):
        sys.stdout.write(msgspec.json.encode(row, enc_hook=str).decode() + "\n")
    if shown.height < table.height:
        print(f"{shown.height} of {table.height} rows", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
