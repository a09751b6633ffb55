"""The log of one shard: who owns it, and its checkpoints.

Entry *n* is the object `shards/<shard>/log/<n>`, created only if absent; so of all who want to append *n* exactly one
succeeds, and whoever loses is fenced.  State files are `shards/<shard>/state/<n>-<epoch>-<hash>.arrow` and are written
before the commit that lists them.

Collecting old entries leaves holes at the beginning.  A zombie that slept through it could create an entry in such a
hole; so after every append the log is listed once.  An entry counts if it is the newest, or if the next one names its
hash; else its writer is fenced.  A hole is only ever made where newer entries exist, so the listing shows them, and who
reads the log backwards stops at an entry that its successor does not name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from millstream.contract.checkpoint import FileRef, LogEntry, Manifest, ShardId, encode_entry, sha256
from millstream.errors import DamagedLog, Fenced
from millstream.stores.location import object_part
from millstream.stores.log_history import (
    decoded,
    entry_name,
    entry_numbers,
    history,
    read_entry,
    shard_base,
    state_of,
)
from millstream.stores.object_store import AlreadyExists, ObjectStore

FaultPoint = Callable[[str], None]
"""Called with a name between any two effects; a test raises from it to crash there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a claim found: the newest checkpoint that is whole, with its state files by role, or nothing at all.

    `claims_since_commit` counts claims, the new one included, after the newest commit.
    """

    manifest: Manifest | None
    state: Mapping[str, bytes]
    claims_since_commit: int
    remarks: tuple[str, ...]


class ShardLog:
    """One owner's hold of a shard's log.  For one thread."""

    def __init__(self, store: ObjectStore, shard: ShardId, *, epoch: int, owner: str, fault: FaultPoint) -> None:
        self._store = store
        self._shard = shard
        self._epoch = epoch
        self._owner = owner
        self._fault = fault
        self._base = shard_base(shard)
        self._last = 0
        self._last_sha256 = ""
        self._numbers: list[int] = []
        self._known: dict[int, LogEntry | None] = {}

    @property
    def next_number(self) -> int:
        """The number the next entry will have."""
        return self._last + 1

    # ---- owning

    def claim(self, at_s: float) -> Found:
        """Append a claim, then find the checkpoint to go on from.

        Raises:
            Fenced: the log belongs to a higher epoch, or to another owner of this one.
            DamagedLog: there are checkpoints and none of them is whole.
        """
        while True:
            self._numbers = self._listed()
            self._refuse_if_newer()
            self._last = self._numbers[-1] if self._numbers else 0
            newest = self._read(self._last) if self._numbers else None
            self._last_sha256 = sha256(newest) if newest is not None else ""
            claim = LogEntry(
                number=self.next_number, epoch=self._epoch, owner=self._owner, at_s=at_s, previous=self._last_sha256
            )
            if self._append(claim):
                return self._newest_whole(claim)

    def commit(self, manifest: Manifest, at_s: float) -> int:
        """Append a commit; returns the bytes written.  The state files must have been saved before.

        Raises:
            Fenced: somebody else appended first, or this entry came too late to count.
        """
        assert manifest.number == self.next_number
        entry = LogEntry(
            number=manifest.number,
            epoch=self._epoch,
            owner=self._owner,
            at_s=at_s,
            previous=self._last_sha256,
            manifest=manifest,
        )
        if not self._append(entry):
            raise self._fenced(f"entry {manifest.number} of its log was written by another owner")
        return len(encode_entry(entry))

    def save_state(self, role: str, data: bytes) -> FileRef:
        """Store a state file for the next commit.  Saving the same bytes again is fine."""
        digest = sha256(data)
        name = f"{self._base}/state/{self.next_number:012d}-{self._epoch}-{digest[:16]}.{object_part(role)}.arrow"
        # A name that is taken holds the same content, from an attempt before: the hash is part of it.
        with contextlib.suppress(AlreadyExists):
            self._store.create(name, data)
        self._fault("state saved")
        return FileRef(name=name, bytes=len(data), sha256=digest)

    # ---- collecting

    def collect(self, keep: int) -> Manifest | None:
        """Delete all that the newest `keep` commits do not need.  Safe to repeat and to be interrupted.

        Entries go oldest first, so what is left is always a whole end of the log.  Returns the oldest commit kept.
        """
        commits = [number for number in self._numbers if (entry := self._entry(number)) and entry.manifest]
        if not commits:
            return None
        oldest = commits[-keep] if len(commits) >= keep else self._numbers[0]
        needed: set[str] = set()
        for number in commits:
            entry = self._entry(number)
            if number >= oldest and entry is not None and entry.manifest is not None:
                needed.update(file.name for file in entry.manifest.state_files)
        for name in self._store.list(f"{self._base}/state/"):
            if name not in needed and int(name.rpartition("/")[2].partition("-")[0]) <= self._last:
                self._store.delete(name)
                self._fault("state collected")
        for number in [number for number in self._numbers if number < oldest]:
            self._store.delete(entry_name(self._shard, number))
            self._numbers.remove(number)
            self._known.pop(number, None)
            self._fault("entry collected")
        kept = self._entry(next(number for number in commits if number >= oldest))
        return None if kept is None else kept.manifest

    # ---- inside

    def _append(self, entry: LogEntry) -> bool:
        """Whether the entry is now part of the log; False: its number is taken.

        Raises:
            Fenced: it went into a hole that collecting had left, and does not count.
        """
        data = encode_entry(entry)
        try:
            self._store.create(entry_name(self._shard, entry.number), data)
        except AlreadyExists:
            if self._read(entry.number) != data:  # equal: our own, from an attempt whose outcome was unknown
                return False
        self._fault("entry created")
        self._numbers = self._listed()
        if not self._numbers or self._numbers[-1] != entry.number:
            after = decoded(self._read(entry.number + 1))
            if after is None or after.previous != sha256(data):
                raise self._fenced("its log has moved on")
        self._last, self._last_sha256 = entry.number, sha256(data)
        self._known[entry.number] = entry
        return True

    def _refuse_if_newer(self) -> None:
        """Epochs never go down along a log, so the newest entry that can be read decides."""
        for number in reversed(self._numbers):
            entry = decoded(self._read(number))
            if entry is None:
                continue
            if entry.epoch > self._epoch:
                raise self._fenced(f"epoch {entry.epoch} ({entry.owner}) owns it")
            if entry.epoch == self._epoch and entry.owner != self._owner:
                raise self._fenced(f"{entry.owner} owns it in the same epoch")
            return

    def _newest_whole(self, claim: LogEntry) -> Found:
        """Walk back from our claim to the newest commit whose files are all there and unaltered."""
        reached, claims, damaged = claim.number, 1, 0
        seen_commit = False
        remarks: list[str] = []
        earlier = [number for number in self._numbers if number < claim.number]
        for number, entry in history(self._store, self._shard, earlier, below=claim):
            reached = number
            self._known[number] = entry
            if entry is None:
                damaged += 1
                remarks.append(f"entry {number} of the log is damaged and was passed over")
            elif entry.manifest is None:
                claims += 0 if seen_commit else 1
            else:
                seen_commit = True
                state, problem = state_of(self._store, entry.manifest)
                if problem is None:
                    return Found(
                        manifest=entry.manifest, state=state, claims_since_commit=claims, remarks=tuple(remarks)
                    )
                damaged += 1
                remarks.append(f"checkpoint {number} is damaged and was passed over: {problem}")
        if damaged or reached > 1:
            raise DamagedLog(
                f"shard {self._shard}: none of its checkpoints is whole: {'; '.join(remarks) or 'its log has a gap'}"
            )
        return Found(manifest=None, state={}, claims_since_commit=claims, remarks=())

    def _entry(self, number: int) -> LogEntry | None:
        if number not in self._known:
            self._known[number] = decoded(self._read(number))
        return self._known[number]

    def _listed(self) -> list[int]:
        return entry_numbers(self._store, self._shard)

    def _read(self, number: int) -> bytes | None:
        return read_entry(self._store, self._shard, number)

    def _fenced(self, reason: str) -> Fenced:
        return Fenced(shard=self._shard, epoch=self._epoch, reason=reason)
