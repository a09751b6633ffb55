"""A job's dead letters: which there are, and their records written out again for a job that can process them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from millstream.contract.checkpoint import ShardId
from millstream.errors import MillstreamError
from millstream.runtime.dead_letters import DeadLetter, numbered_dead_letters, raw_record
from millstream.state.reading import StateNotFound, open_at
from millstream.stores.location import object_part
from millstream.stores.object_store import ObjectStore

MANIFEST: Final = "_replayed.json"
"""No source takes a name that begins with "_" for input."""

_LETTERS: Final = pl.Schema(
    {
        "shard": pl.String(),
        "checkpoint": pl.Int64(),
        "position": pl.Int64(),
        "reason": pl.String(),
        "raw": pl.String(),
        "encoding": pl.String(),
        "raw_bytes": pl.Int64(),
    }
)


class ReplayRefused(MillstreamError):
    """The records cannot be written there; nothing was."""


class ReplayedLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was written: which, and to which line of which file (from 1)."""

    shard: str
    checkpoint: int
    position: int
    reason: str
    file: str
    line: int


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was selected and could not be written; its position finds it in the source."""

    shard: str
    checkpoint: int
    position: int
    why: str


class ReplayedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of records."""

    name: str
    records: int
    bytes: int
    sha256: str


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay wrote, and from where: the content of its `_replayed.json`."""

    job: str
    shard: str | None
    reason: str | None
    files: tuple[ReplayedFile, ...]
    letters: tuple[ReplayedLetter, ...]
    left_out: tuple[LeftOut, ...]
    version: int = 1


def dead_letters(
    store: str | Path | ObjectStore, job: str, *, shard: str | None = None, reason: str | None = None
) -> pl.DataFrame:
    """The records that the job could not process, by shard and position; with no rows if none.

    Of one shard, or those whose reason has the text `reason` in it.  `raw` is the record as text, in base64 where
    `encoding` says so; one of more than a mebibyte is cut, and `raw_bytes` says how long it was.

    Raises:
        StateNotFound: the store has nothing of such a job.
        ProgramError: the location makes no sense.  StoreUnavailable: it does not answer.
    """
    rows = [
        (letter.shard, commit, letter.position, letter.reason, letter.raw, letter.encoding, letter.raw_bytes)
        for commit, letter in _selected(open_at(store, job), store, job, shard, reason)
    ]
    return pl.DataFrame(rows, schema=_LETTERS, orient="row")


def replay(
    store: str | Path | ObjectStore,
    job: str,
    into: str | Path,
    *,
    shard: str | None = None,
    reason: str | None = None,
    without: Sequence[str | Path] = (),
) -> Replayed:
    """Write the records of dead letters into the new folder `into`, as they were read: for a job to read them again.

    There is one file of lines per shard, so that records of one key that were in one shard are in one again, and
    `_replayed.json`, which says what was written.  Exactly those letters are taken that `dead_letters` lists with the
    same `shard` and `reason`, but for those that the replays in the folders `without` wrote.  A record that was cut, or
    that has a line break in it, cannot be written and is listed as left out.

    The folder appears as a whole; if there is no record to write, it does not.  The dead letters stay as they are.

    Raises:
        ReplayRefused: `into` is there and not an empty folder, or a folder of `without` has no readable manifest.
        StateNotFound: the store has nothing of such a job.
        ProgramError, StoreUnavailable: as for `dead_letters`.
    """
    target = Path(into).absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ReplayRefused(f"{into} is not an empty folder; name one that is not there yet")
    before = {(one.shard, one.checkpoint, one.position) for folder in without for one in _manifest(folder).letters}
    letters = [
        (commit, letter)
        for commit, letter in _selected(open_at(store, job), store, job, shard, reason)
        if (letter.shard, commit, letter.position) not in before
    ]
    lines: dict[str, list[bytes]] = {}
    written, left_out = [], []
    for commit, letter in letters:
        raw = raw_record(letter)
        why = _unwritable(letter, raw)
        if why is not None:
            left_out.append(LeftOut(shard=letter.shard, checkpoint=commit, position=letter.position, why=why))
            continue
        name = _file_of(letter.shard)
        of_file = lines.setdefault(name, [])
        of_file.append(raw)
        written.append(
            ReplayedLetter(
                shard=letter.shard,
                checkpoint=commit,
                position=letter.position,
                reason=letter.reason,
                file=name,
                line=len(of_file),
            )
        )
    contents = {name: b"".join(line + b"\n" for line in of_file) for name, of_file in lines.items()}
    files = tuple(
        ReplayedFile(name=name, records=len(lines[name]), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in contents.items()
    )
    done = Replayed(job=job, shard=shard, reason=reason, files=files, letters=tuple(written), left_out=tuple(left_out))
    manifest = msgspec.json.format(msgspec.json.encode(done), indent=2) + b"\n"
    if files:
        _put(target, {**contents, MANIFEST: manifest})
    return done


def _selected(
    opened: ObjectStore, store: str | Path | ObjectStore, job: str, shard: str | None, reason: str | None
) -> list[tuple[int, DeadLetter]]:
    found = list(numbered_dead_letters(opened, None if shard is None else ShardId(shard)))
    if not found and not opened.list(""):
        place = store if isinstance(store, str | Path) else "the store"
        raise StateNotFound(f'{place} holds nothing of a job "{job}"')
    chosen = [(commit, letter) for commit, letter in found if reason is None or reason in letter.reason]
    return sorted(chosen, key=lambda each: (each[1].shard, each[1].position, each[0]))


def _unwritable(letter: DeadLetter, raw: bytes) -> str | None:
    if len(raw) < letter.raw_bytes:
        return f"only {len(raw)} of its {letter.raw_bytes} bytes are kept"
    if b"\n" in raw:
        return "it has a line break in it, and the files are of one record a line"
    return None


def _file_of(shard: str) -> str:
    """A name that sources read as lines, different for different shards."""
    part = object_part(ShardId(shard))
    return f"{'%5F' + part[1:] if part.startswith('_') else part}.jsonl"


def _manifest(folder: str | Path) -> Replayed:
    try:
        return msgspec.json.decode((Path(folder) / MANIFEST).read_bytes(), type=Replayed)
    except (OSError, msgspec.MsgspecError) as problem:
        raise ReplayRefused(f"{folder} is no folder of a replay: its {MANIFEST} cannot be read: {problem}") from problem


def _put(target: Path, contents: dict[str, bytes]) -> None:
    """Make the folder with these files, all at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        hidden.chmod(0o755)
        for name, data in contents.items():
            (hidden / name).write_bytes(data)
        os.replace(hidden, target)
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
