"""What `--store` means: where records are, how those who share them agree on who leads, where bundles are shared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from headgate.adapters.file_election import FileElection, SoleElection
from headgate.adapters.memory_store import MemoryStore
from headgate.adapters.mesos_detection_zk import parse_zk_url
from headgate.adapters.sqlite_store import SqliteStore
from headgate.adapters.zk_bundles import ZkBundles
from headgate.adapters.zk_election import ZkElection
from headgate.adapters.zk_session import ZkSession
from headgate.adapters.zk_store import ZkStore
from headgate.errors import BadOption
from headgate.ports import Clock, Election, RecordStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A store with what belongs to it.  The election is closed first; `bundles` is None where they are not shared."""

    records: RecordStore
    election: Election
    bundles: ZkBundles | None = None

    def close(self) -> None:
        """Let go of the lead, and of the store.  Idempotent."""
        self.election.close()
        self.records.close()


def open_archive(
    text: str | None, data_dir: Path, *, clock: Clock, zk_auth: str | None = None, zk_session_s: float = 10.0
) -> Archive:
    """The store that `--store` means; a ZooKeeper need not answer yet.

    `zk_auth` is `user:password`, and goes before what the URL says.

    Raises:
        BadOption: there is no such kind of store, or its URL makes no sense.
        StoreUnavailable, StoreDamaged: it cannot be opened.
    """
    text = text if text is not None else f"sqlite:{data_dir / 'headgate.db'}"
    kind, _, where = text.partition(":")
    if kind == "zk":
        location = parse_zk_url(text)
        if zk_auth is not None:
            if ":" not in zk_auth:
                raise BadOption("--zk-auth-file: expected user:password")
            location = replace(location, credentials=zk_auth)
        session = ZkSession(location, session_s=zk_session_s)
        return Archive(records=ZkStore(session), election=ZkElection(session, clock=clock), bundles=ZkBundles(session))
    if zk_auth is not None:
        raise BadOption(f"--zk-auth-file: {text} is no ZooKeeper; leave it out")
    if kind == "sqlite" and where:
        path = Path(where)
        return Archive(
            records=SqliteStore(path), election=FileElection(path.with_name(f"{path.name}.lock"), clock=clock)
        )
    if kind == "memory" and not where:
        return Archive(records=MemoryStore(), election=SoleElection(clock=clock))
    raise BadOption(f"--store {text}: there is no such store; write zk://host:2181,…/headgate, sqlite:PATH or memory")
