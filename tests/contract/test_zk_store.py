"""What only the store in ZooKeeper has to mind: pieces of large writes, answers that never come, who may read."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from zookeeper_server import ZooKeepers, require_zookeeper

from headgate.adapters import zk_pages
from headgate.adapters.bundles import BundleRefused, BundleStore
from headgate.adapters.mesos_detection_zk import parse_zk_url
from headgate.adapters.zk_bundles import BYTES_MAX, ZkBundles
from headgate.adapters.zk_session import ZkSession
from headgate.adapters.zk_store import ZkStore
from headgate.errors import BadOption, StaleLeader, StoreDamaged, StoreUnavailable
from headgate.ports import RECORD_BYTES_MAX

pytestmark = pytest.mark.integration

Connect = Callable[..., ZkSession]


@pytest.fixture
def connect(zookeeper: ZooKeepers) -> Iterator[Connect]:
    """Sessions at a path of this test's own."""
    path = f"/stores/{uuid4().hex}"
    opened: list[ZkSession] = []

    def open_session(credentials: str = "") -> ZkSession:
        opened.append(connected(zookeeper.hosts, path, credentials))
        return opened[-1]

    yield open_session
    for each in opened:
        each.close()


@pytest.fixture
def look(zookeeper: ZooKeepers) -> Iterator[KazooClient]:
    """A plain client, to see what lies there."""
    client = KazooClient(hosts=zookeeper.hosts)
    client.start()
    yield client
    client.stop()
    client.close()


def connected(hosts: str, path: str, credentials: str = "") -> ZkSession:
    session = ZkSession(parse_zk_url(f"zk://{credentials}{hosts}{path}"), session_s=4.0)
    session.start()
    await_connection(session)
    return session


def await_connection(session: ZkSession) -> None:
    pause = threading.Event()
    for _ in range(600):
        if session.connected:
            return
        pause.wait(0.05)
    raise AssertionError("no connection to ZooKeeper within 30 s")


def nodes(client: KazooClient, path: str) -> Iterator[tuple[str, bytes]]:
    data, _ = client.get(path)
    yield path, data
    for child in client.get_children(path):
        yield from nodes(client, f"{path}/{child}")


OLD = {f"tasks/{number:04d}": b"old" for number in range(40)}
NEW: dict[str, bytes | None] = {f"tasks/{number:04d}": None for number in range(10)} | {
    f"tasks/{number:04d}": b"new" * 30 for number in range(10, 60)
}
AFTER = {key: value for key, value in {**OLD, **NEW}.items() if value is not None}


class Dying:
    """A session in which the scheduler dies at the given transaction: before it is sent, or before the answer comes."""

    def __init__(self, session: ZkSession, at: int, *, lands: bool) -> None:
        self._session = session
        self._at = at
        self._lands = lands

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def commit(self, transaction: Any) -> Any:
        self._at -= 1
        if self._at > 0:
            return self._session.commit(transaction)
        if self._at == 0 and self._lands:
            self._session.commit(transaction)
        raise StoreUnavailable("dead")


@pytest.mark.parametrize("lands", [False, True])
def test_a_large_write_that_is_cut_anywhere_is_whole_or_not_there(
    connect: Connect, look: KazooClient, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    """A scheduler dies at every transaction of it in turn; whoever leads next finds one or the other, and can go on."""
    monkeypatch.setattr(zk_pages, "BATCH_BYTES_MAX", 2000)
    monkeypatch.setattr(zk_pages, "RECORD_BYTES_MAX", 100)
    session = connect()
    store = ZkStore(session)
    outcomes = []
    for at in range(1, 40):
        store.write(dict.fromkeys(store.load("")), term=store.new_term())
        term = store.new_term()
        store.write(OLD, term=term)
        dying = ZkStore(Dying(session, at, lands=lands))  # type: ignore[arg-type] # a session but for one method
        try:
            dying.write(NEW, term=term)
        except StoreUnavailable:
            found = dict(store.load(""))
            assert found in (OLD, AFTER), at
            outcomes.append(found == AFTER)
            next_term = store.new_term()
            assert dict(store.load("")) == found
            store.write({"framework": b"next"}, term=next_term)
            assert dict(store.load("")) == {**found, "framework": b"next"}
            store.write({**NEW, "framework": None}, term=next_term)
            assert dict(store.load("")) == AFTER
            assert not look.get_children(f"{session.root}/journal")
        else:
            break
    assert at > 8, "the write took several transactions"
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def test_an_answer_that_does_not_come_is_settled_by_the_next_write(connect: Connect) -> None:
    """It may have landed, or not; saying it again makes it so, and other writes of the same store go on."""
    session = connect()
    store = ZkStore(session)
    term = store.new_term()
    for lands in (False, True):
        silent = ZkStore(Dying(session, 1, lands=lands))  # type: ignore[arg-type] # as above
        with pytest.raises(StoreUnavailable):
            silent.write({"a": b"1"}, term=term)
        store.write({"a": b"2", "b": b"2"}, term=term)
        assert store.load("") == {"a": b"2", "b": b"2"}
        store.write({"a": None, "b": None}, term=term)


class Delaying(Dying):
    """A session whose first transaction is done only later, long after it was given up."""

    def __init__(self, session: ZkSession) -> None:
        super().__init__(session, 1, lands=False)
        self.delayed: list[Any] = []

    def commit(self, transaction: Any) -> Any:
        if not self.delayed:
            self.delayed.append(transaction)
            raise StoreUnavailable("no answer")
        return self._session.commit(transaction)


def test_a_write_that_comes_late_changes_nothing_any_more(connect: Connect) -> None:
    """It was on its way over a lost connection while newer ones were made, in the same term."""
    session = connect()
    delaying = Delaying(session)
    store = ZkStore(session)
    term = store.new_term()
    store.write({"a": b"0"}, term=term)
    slow = ZkStore(delaying)  # type: ignore[arg-type] # as above
    with pytest.raises(StoreUnavailable):
        slow.write({"a": b"1"}, term=term)
    slow.write({"a": b"2"}, term=term)
    assert session.commit(delaying.delayed[0]) is not None
    assert store.load("") == {"a": b"2"}


def test_a_store_goes_on_after_an_answer_that_never_came(connect: Connect) -> None:
    """Whether the write had landed or not."""
    session = connect()
    term = ZkStore(session).new_term()
    for lands in (False, True):
        doubtful = Dying(session, 2, lands=lands)
        store = ZkStore(doubtful)  # type: ignore[arg-type] # as above
        store.write({"a": b"1"}, term=term)
        with pytest.raises(StoreUnavailable):
            store.write({"a": None, "b": b"1"}, term=term)
        doubtful._at = 1000
        store.write({"a": None, "b": b"2", "c": None}, term=term)
        assert store.load("") == {"b": b"2"}
        store.write({"b": None}, term=term)


def test_a_zookeeper_that_does_not_answer_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    """Within seconds, not minutes; and nothing asked meanwhile is done later, when nobody expects it any more."""
    require_zookeeper()
    with ZooKeepers(tmp_path) as own:
        session = connected(own.hosts, "/headgate")
        store = ZkStore(session)
        term = store.new_term()
        store.write({"a": b"1"}, term=term)
        own.leader.pause()
        try:
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match=r"no answer from ZooKeeper|no connection to ZooKeeper"):
                    store.write({"a": b"2"}, term=term)
        finally:
            own.servers[0].resume()
        await_connection(session)
        store.write({"a": b"3"}, term=term)
        assert store.load("") == {"a": b"3"}
        own.kill()
        with pytest.raises(StoreUnavailable):
            store.load("")
        own.start()
        await_connection(session)
        assert store.load("") == {"a": b"3"}
        store.write({"a": b"4"}, term=term)
        session.close()


def test_no_node_is_larger_than_half_a_mebibyte(connect: Connect, look: KazooClient) -> None:
    """Nor any request larger than ZooKeeper takes, which would end the connection."""
    session = connect()
    store = ZkStore(session)
    term = store.new_term()
    noise = bytes(range(256)) * (RECORD_BYTES_MAX // 256)
    store.write({f"jobs/{number}": noise for number in range(5)}, term=term)
    ZkBundles(session).put("0" * 64, noise * 3)
    found = dict(nodes(look, session.root))
    assert max(len(data) for data in found.values()) == RECORD_BYTES_MAX
    assert store.load("jobs/4") == {"jobs/4": noise}


@pytest.mark.parametrize("key", [".", "..", "a/../b", "agents/x y%2F", "agents/ü/\u20ac", "jobs/" + "n" * 200])
def test_any_key_has_a_place(connect: Connect, key: str) -> None:
    store = ZkStore(connect())
    store.write({key: b"1"}, term=store.new_term())
    assert store.load("") == {key: b"1"}


def test_with_credentials_nobody_else_can_read_or_write(connect: Connect, look: KazooClient) -> None:
    """Records hold what jobs have in their environment."""
    session = connect("smith:s3cret@")
    store = ZkStore(session)
    term = store.new_term()
    store.write({"a": b"1"}, term=term)
    ZkBundles(session).put("0" * 64, b"data")
    for path in ("term", "records", f"records/{zk_pages.place_of('a')}", f"bundles/{'0' * 64}/0000"):
        with pytest.raises(NoAuthError):
            look.get(f"{session.root}/{path}")
        with pytest.raises(NoAuthError):
            look.set(f"{session.root}/{path}", b"")
    stranger = ZkStore(connect("smith:wrong@"))
    with pytest.raises(StoreUnavailable, match=r"does not let us at .* set --zk-auth-file"):
        stranger.load("")
    with pytest.raises(StoreUnavailable, match="does not let us"):
        stranger.new_term()
    assert ZkStore(connect("smith:s3cret@")).load("") == {"a": b"1"}


def test_records_of_a_newer_release_are_left_alone(connect: Connect, look: KazooClient) -> None:
    session = connect()
    store = ZkStore(session)
    store.new_term()
    look.set(f"{session.root}/records", b'{"format": 7}')
    with pytest.raises(StoreDamaged, match="have format 7; this build reads 1: run the newer release"):
        store.load("")
    look.set(f"{session.root}/records", b"something else")
    with pytest.raises(StoreDamaged, match="is not of Headgate"):
        ZkStore(session).load("")


def test_a_tree_that_is_deleted_ends_the_lead(connect: Connect, look: KazooClient) -> None:
    """Whoever wrote there writes no more; a new leader begins anew."""
    session = connect()
    store = ZkStore(session)
    term = store.new_term()
    store.write({"a": b"1"}, term=term)
    look.delete(session.root, recursive=True)
    with pytest.raises((StaleLeader, StoreUnavailable)):
        store.write({"a": b"2"}, term=term)
    again = ZkStore(session)
    again.write({"a": b"3"}, term=again.new_term())
    assert again.load("") == {"a": b"3"}


def test_nothing_goes_to_the_root() -> None:
    with pytest.raises(BadOption, match="names no path"):
        ZkSession(parse_zk_url("zk://localhost"))


def test_a_closed_session_says_so(connect: Connect) -> None:
    session = connect()
    store = ZkStore(session)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="is closed"):
        store.load("")


def test_a_bundle_is_shared_and_forgotten_when_no_job_uses_it(connect: Connect, tmp_path: Path) -> None:
    """Whoever has the session finds it, from memory or from ZooKeeper; a page that is missing is no bundle."""
    ours, theirs = connect(), connect()
    archive, zipped = ZkBundles(ours), (tmp_path / "b.zip")
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("program.py", bytes(700_000))
    data = zipped.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    here = BundleStore(tmp_path / "here", archive)
    there = BundleStore(tmp_path / "there", ZkBundles(theirs))
    assert there.find(sha256) is None
    here.save(sha256, data)
    here.save(sha256, data)
    found = there.find(sha256)
    assert found is not None
    assert found.read_bytes() == data
    archive.drop_unused({sha256}, made_before=float("inf"))
    archive.drop_unused(set(), made_before=0.0)
    assert archive.get(sha256) == data
    archive.drop_unused(set(), made_before=float("inf"))
    assert archive.get(sha256) is None
    assert ours.children(f"{ours.root}/bundles") == []
    with pytest.raises(BundleRefused, match="at most 8 MiB"):
        archive.put(sha256, bytes(BYTES_MAX + 1))
