"""What every record store does, whatever it is made of."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from zookeeper_server import ZooKeepers

from headgate.adapters.memory_store import MemoryStore
from headgate.adapters.mesos_detection_zk import parse_zk_url
from headgate.adapters.sqlite_store import SqliteStore
from headgate.adapters.zk_session import ZkSession
from headgate.adapters.zk_store import ZkStore
from headgate.errors import RecordTooLarge, StaleLeader, StoreDamaged, StoreUnavailable
from headgate.ports import RECORD_BYTES_MAX, RecordStore

Reopen = Callable[[], RecordStore]
"""Another hold on the same records: the same object where they live no longer than it."""


def open_zk(zookeeper: ZooKeepers, path: str) -> ZkStore:
    """A store in a session of its own, once it is connected."""
    session = ZkSession(parse_zk_url(f"zk://{zookeeper.hosts}{path}"), session_s=4.0)
    store = ZkStore(session)
    pause = threading.Event()
    for _ in range(300):
        if session.connected:
            return store
        pause.wait(0.05)
    raise AssertionError("no connection to ZooKeeper within 15 s")


@pytest.fixture(params=["memory", "sqlite", pytest.param("zookeeper", marks=pytest.mark.integration)])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    opened: list[RecordStore] = []
    memory = MemoryStore()
    path = f"/contract/{uuid4().hex}"

    def open_again() -> RecordStore:
        store: RecordStore
        match request.param:
            case "memory":
                store = memory
            case "sqlite":
                store = SqliteStore(tmp_path / "deep" / "store.db")
            case _:
                store = open_zk(request.getfixturevalue("zookeeper"), path)
        opened.append(store)
        return store

    yield open_again
    for store in opened:
        store.close()


def test_what_is_written_is_there_by_prefix_and_in_order(reopen: Reopen) -> None:
    """Also for who opens it later; a prefix is text, not a pattern or a folder."""
    store = reopen()
    term = store.new_term()
    store.write({"jobs/b": b"2", "jobs/a": b"1", "jobs%": b"3", "tasks/x": b"\x00\xff"}, term=term)
    again = reopen()
    assert list(again.load("jobs/").items()) == [("jobs/a", b"1"), ("jobs/b", b"2")]
    assert list(again.load("jobs")) == ["jobs%", "jobs/a", "jobs/b"]
    assert dict(again.load(""))["tasks/x"] == b"\x00\xff"
    assert again.load("nothing") == {}


def test_a_write_replaces_and_deletes_and_may_be_repeated(reopen: Reopen) -> None:
    """None deletes, also what is not there."""
    store = reopen()
    term = store.new_term()
    store.write({"a": b"1", "b": b"1"}, term=term)
    for _ in range(2):
        store.write({"a": b"2", "b": None, "c": None}, term=term)
    assert store.load("") == {"a": b"2"}


def test_terms_only_grow(reopen: Reopen) -> None:
    """Whoever asks."""
    first, second = reopen(), reopen()
    terms = [first.new_term(), second.new_term(), first.new_term()]
    assert terms == sorted(set(terms))


def test_a_stale_leader_writes_nothing(reopen: Reopen) -> None:
    """From the moment of a new term, before the new leader has written anything."""
    old, new = reopen(), reopen()
    term = old.new_term()
    old.write({"a": b"1"}, term=term)
    newer = new.new_term()
    with pytest.raises(StaleLeader, match=f"{newer}"):
        old.write({"a": b"2", "b": b"2"}, term=term)
    assert new.load("") == {"a": b"1"}
    new.write({"a": b"3"}, term=newer)
    assert old.load("a") == {"a": b"3"}


def test_a_record_that_is_too_large_is_refused_with_all_of_its_write(reopen: Reopen) -> None:
    """At the limit it is taken."""
    store = reopen()
    term = store.new_term()
    store.write({"a": b"x" * RECORD_BYTES_MAX}, term=term)
    with pytest.raises(RecordTooLarge, match="'b' takes 524289 bytes"):
        store.write({"a": b"y", "b": b"x" * (RECORD_BYTES_MAX + 1)}, term=term)
    assert store.load("a")["a"] == b"x" * RECORD_BYTES_MAX


def test_writers_at_the_same_time_do_not_mix(reopen: Reopen) -> None:
    """Each write is whole: readers and the end see one writer's pair, never halves of two."""
    term = reopen().new_term()
    torn: list[dict[str, bytes]] = []
    done = threading.Event()

    def write(store: RecordStore, name: bytes) -> None:
        for number in range(30):
            value = name + b"%d" % number
            store.write({"left": value, "right": value}, term=term)

    def read(store: RecordStore) -> None:
        while not done.is_set():
            found = dict(store.load(""))
            if found.get("left") != found.get("right"):
                torn.append(found)

    writers = [threading.Thread(target=write, args=(reopen(), name)) for name in (b"p", b"q", b"r")]
    reader = threading.Thread(target=read, args=(reopen(),))
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join(timeout=60)
    done.set()
    reader.join(timeout=60)
    assert not torn
    found = reopen().load("")
    assert found["left"] == found["right"]


def test_a_write_of_any_size_is_whole(reopen: Reopen) -> None:
    """Larger than any request: new records, changed ones, deleted ones; a reader sees all of it or nothing."""
    store, reader = reopen(), reopen()
    term = store.new_term()
    old = {f"tasks/{number:05d}": b"old" * 100 for number in range(3000)}
    new: dict[str, bytes | None] = {f"tasks/{number:05d}": b"%d" % number * 200 for number in range(1000, 6000)}
    new |= {f"tasks/{number:05d}": None for number in range(500)} | {"framework": b"x" * RECORD_BYTES_MAX}
    expected = {**old, **new}
    expected_records = {key: value for key, value in sorted(expected.items()) if value is not None}
    torn: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = reader.load("")
            if found not in (expected_records, old, {}):
                torn.append(len(found))

    watching = threading.Thread(target=read)
    watching.start()
    store.write(old, term=term)
    store.write(new, term=term)
    done.set()
    watching.join(timeout=60)
    assert not torn
    assert dict(reopen().load("")) == expected_records
    store.write({"tasks/00999": None}, term=term)
    assert "tasks/00999" not in reopen().load("tasks/")


def test_a_stale_leader_writes_nothing_of_any_size(reopen: Reopen) -> None:
    """Nor leaves anything behind that the next leader would stumble over."""
    old, new = reopen(), reopen()
    term = old.new_term()
    newer = new.new_term()
    with pytest.raises(StaleLeader):
        old.write({f"tasks/{number}": b"x" * 1000 for number in range(3000)}, term=term)
    with pytest.raises(StaleLeader):
        old.write({}, term=term)
    assert new.load("") == {}
    new.write({f"tasks/{number}": b"y" * 1000 for number in range(3000)}, term=newer)
    assert len(old.load("")) == 3000


_WRITER = """
import sys
from pathlib import Path
from headgate.adapters.sqlite_store import SqliteStore

store = SqliteStore(Path(sys.argv[1]))
term = store.new_term()
number = 0
while True:
    number += 1
    store.write({f"record/{each}": b"%d" % number + b"." * 5000 for each in range(20)}, term=term)
    print(number, flush=True)
"""


@pytest.mark.integration
def test_a_killed_writer_leaves_whole_writes_only(tmp_path: Path) -> None:
    """SIGKILL amid writes: everything that was reported written is there, and the last write is whole or absent."""
    path = tmp_path / "store.db"
    for _ in range(5):
        writer = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        reported = [int(writer.stdout.readline()) for _ in range(10)]
        writer.kill()
        reported += [int(line) for line in writer.stdout.read().split()]
        writer.stdout.close()
        writer.wait(timeout=30)
        store = SqliteStore(path)
        numbers = {int(value.split(b".")[0]) for value in store.load("record/").values()}
        assert len(numbers) == 1
        assert numbers.pop() >= reported[-1]
        store.close()


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    """What it is, and what to do."""
    path = tmp_path / "store.db"
    path.write_bytes(b"this is a text and no database, and long enough not to look like an empty file" * 20)
    with pytest.raises(StoreDamaged, match="Move it away"):
        SqliteStore(path)


def test_a_store_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    """Its format is not guessed at."""
    path = tmp_path / "store.db"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StoreDamaged, match="format 9"):
        SqliteStore(path)


def test_a_folder_that_cannot_be_made_is_an_unavailable_store(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot open the store"):
        SqliteStore(tmp_path / "file" / "store.db")


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """And closing twice is fine."""
    store = SqliteStore(tmp_path / "store.db")
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        store.load("")


def test_sqlite_syncs_every_write(tmp_path: Path) -> None:
    """A committed write survives a power cut: write-ahead log, full synchronisation."""
    store = SqliteStore(tmp_path / "store.db")
    assert store._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    store.close()
