"""Which checkpoints a job has, and what is in one.  Never writes; works while the job runs.

A shard's log is read as an owner reads it when it restores: entries with a wrong hash, or that are no part of the log's
history, do not count, and a checkpoint whose files are missing or altered is passed over.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from millstream.contract.checkpoint import Manifest, ShardCounters, ShardId
from millstream.errors import DamagedLog, MillstreamError
from millstream.state.tables import datetime_of, main_role, readable, together
from millstream.stores.location import open_store
from millstream.stores.log_history import SHARDS, entry_numbers, history, role_of, state_of
from millstream.stores.object_store import ObjectStore

log = logging.getLogger("millstream.state")

_TRIES = 10
_COUNTERS = [field.name for field in fields(ShardCounters)]
_CHECKPOINTS = pl.Schema(
    {
        "shard": pl.String(),
        "checkpoint": pl.Int64(),
        "created_at": pl.Datetime("us"),
        "epoch": pl.Int64(),
        "state_bytes": pl.Int64(),
        "roles": pl.List(pl.String),
        "positions": pl.String(),
        "watermark": pl.Datetime("us"),
        "finished": pl.Boolean(),
        **dict.fromkeys(_COUNTERS, pl.Int64()),
        "accumulators": pl.String(),
        "delivery": pl.String(),
        "program_revision": pl.String(),
        "state_shape": pl.String(),
        "problem": pl.String(),
    }
)


class StateNotFound(MillstreamError):
    """What was asked for is not in the store: the job, the shard, the checkpoint, or that kind of state."""


def checkpoints(
    store: str | Path | ObjectStore, job: str, *, shard: str | None = None, verify: bool = False
) -> pl.DataFrame:
    """One row per checkpoint that is kept, by shard, newest first.

    `positions` and `accumulators` are JSON; `watermark` is null before the first record, and after the source's end.
    `problem` says why a checkpoint cannot be restored; without `verify` it is only looked for in the log, with it all
    state files are read as well.  `store` is a location as in a job file, or an open store of the job.

    Raises:
        StateNotFound: the job has no checkpoints there, or no such shard.
        ProgramError: the location makes no sense.  StoreUnavailable: it does not answer.
    """
    opened = open_at(store, job)
    rows = [row for one in _shards(opened, store, job, shard) for row in _checkpoint_rows(opened, one, verify=verify)]
    schema = pl.Schema({**_CHECKPOINTS, "created_at": pl.Int64(), "watermark": pl.Int64()})
    times = [datetime_of(pl.col(name)).alias(name) for name in ("created_at", "watermark")]
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(times)


def read(
    store: str | Path | ObjectStore,
    job: str,
    *,
    shard: str | None = None,
    checkpoint: int | None = None,
    role: str | None = None,
) -> pl.DataFrame:
    """What a job remembers, as a table: one row per key and window, key, or timer, with its shard and checkpoint.

    Of each shard, or of one, the newest checkpoint that is whole is read; `checkpoint` names another.  `role` is what
    is read: `windows` (partial aggregates; of sliding windows by pane), `shown` (of sliding windows: what was shown of
    each), `keyed` (what `.process` keeps of a key, as JSON) or `timers`.  Without one it is `windows` or else `keyed`.

    A newer checkpoint that is damaged is passed over with a warning in the log `millstream.state`.

    Raises:
        StateNotFound: there is no such job, shard, checkpoint or role.
        DamagedLog: none of a shard's checkpoints is whole, or the one that was named is not.
        ProgramError: the location makes no sense.  StoreUnavailable: it does not answer.
    """
    opened = open_at(store, job)
    shards = _shards(opened, store, job, shard)
    if checkpoint is not None and len(shards) > 1:
        raise StateNotFound(f"every shard counts its own checkpoints: say of which shard number {checkpoint} is meant")
    found = [(one, *_whole(opened, one, checkpoint)) for one in shards]
    roles = sorted({kind for _, _, state in found for kind in state})
    wanted = role if role is not None else main_role(roles)
    if role is not None and role not in roles:
        raise StateNotFound(f"there is no state of role {role}; there is {', '.join(roles) or 'none at all'}")
    tables = [
        readable(
            pl.read_ipc(io.BytesIO(state[wanted])),
            role=wanted,
            state_shape=manifest.state_shape,
            shard=one,
            checkpoint=manifest.number,
        )
        for one, manifest, state in found
        if manifest is not None and wanted in state
    ]
    return together(tables)


def open_at(store: str | Path | ObjectStore, job: str) -> ObjectStore:
    """The job's store at a location, or the one given."""
    if isinstance(store, str | Path):
        text = str(store)
        return open_store(text if "://" in text or text.startswith("file:") else str(Path(text).absolute()), job)
    return store


def _shards(opened: ObjectStore, store: str | Path | ObjectStore, job: str, shard: str | None) -> list[ShardId]:
    """The shards that have a log, or the one asked for."""
    names = {name.split("/")[1] for name in opened.list(f"{SHARDS}/") if "/log/" in name}
    there = sorted(ShardId(unquote(name)) for name in names)
    if not there:
        place = store if isinstance(store, str | Path) else "the store"
        raise StateNotFound(
            f'{place} holds no checkpoints of a job "{job}"; '
            "name the job's checkpoint.store, which by default is the folder checkpoints in the data dir"
        )
    if shard is None:
        return there
    if shard not in there:
        some = ", ".join(there[:10]) + (f" and {len(there) - 10} more" if len(there) > 10 else "")
        raise StateNotFound(f'the job has no shard "{shard}"; its shards are {some}')
    return [ShardId(shard)]


def _checkpoint_rows(store: ObjectStore, shard: ShardId, *, verify: bool) -> Iterator[tuple[object, ...]]:
    numbers = entry_numbers(store, shard)
    seen = list(history(store, shard, numbers))
    still_there = set(entry_numbers(store, shard))  # the others were collected while we read
    for number, entry in seen:
        if entry is not None and entry.manifest is not None:
            problem = state_of(store, entry.manifest)[1] if verify else None
            yield _row(entry.manifest, problem)
        elif entry is None and number in still_there:
            blank: dict[str, object] = {"shard": shard, "checkpoint": number, "problem": "the log's entry is damaged"}
            yield tuple(blank.get(name) for name in _CHECKPOINTS)


def _row(manifest: Manifest, problem: str | None) -> tuple[object, ...]:
    row = {
        "shard": manifest.shard,
        "checkpoint": manifest.number,
        "created_at": round(manifest.created_at_s * 1_000_000),
        "epoch": manifest.epoch,
        "state_bytes": manifest.state_bytes,
        "roles": sorted(role_of(file) for file in manifest.state_files),
        "positions": json.dumps(dict(manifest.positions)),
        "watermark": manifest.watermark_us,
        "finished": manifest.finished,
        **{name: getattr(manifest.counters, name) for name in _COUNTERS},
        "accumulators": json.dumps(dict(manifest.accumulators)),
        "delivery": manifest.delivery,
        "program_revision": manifest.program_revision,
        "state_shape": manifest.state_shape,
        "problem": problem,
    }
    return tuple(row[name] for name in _CHECKPOINTS)


def _whole(store: ObjectStore, shard: ShardId, checkpoint: int | None) -> tuple[Manifest | None, dict[str, bytes]]:
    """The newest checkpoint that is whole, or the one named, with its state; None and nothing before the first."""
    for _ in range(_TRIES):
        numbers = entry_numbers(store, shard)
        remarks = []
        for number, entry in history(store, shard, numbers):
            if checkpoint is not None and number != checkpoint:
                continue
            if entry is None:
                remarks.append(f"entry {number} of the log is damaged")
            elif entry.manifest is not None:
                state, problem = state_of(store, entry.manifest)
                if problem is None:
                    for remark in remarks:
                        log.warning("shard %s: %s; reading checkpoint %d instead", shard, remark, number)
                    return entry.manifest, state
                remarks.append(f"checkpoint {number} is damaged: {problem}")
        if checkpoint is None and not remarks:
            return None, {}
        if entry_numbers(store, shard) == numbers:
            break  # nothing was collected while we read
    if checkpoint is not None and not remarks:
        kept = [number for number, entry in history(store, shard, numbers) if entry is not None and entry.manifest]
        listed = ", ".join(map(str, sorted(kept))) or "none"
        raise StateNotFound(f"shard {shard} has no checkpoint {checkpoint}; it has {listed}")
    raise DamagedLog(f"shard {shard}: {'; '.join(remarks)}")
