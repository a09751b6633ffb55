"""What every object store must do, run on each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.errors import ProgramError, StoreUnavailable
from millstream.stores.directory import DirectoryStore
from millstream.stores.location import object_part, open_store
from millstream.stores.memory import MemoryStore
from millstream.stores.object_store import AlreadyExists, NotFound, ObjectStore


@pytest.fixture(params=["memory", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return MemoryStore() if request.param == "memory" else DirectoryStore(tmp_path / "not" / "yet" / "there")


def test_what_was_created_is_read_back_whole(store: ObjectStore) -> None:
    store.create("a/b/c-1.arrow", b"\x00\xff" * 1000)
    store.create("a/empty", b"")
    assert store.get("a/b/c-1.arrow") == b"\x00\xff" * 1000
    assert store.get("a/empty") == b""


def test_a_name_is_taken_for_good(store: ObjectStore) -> None:
    store.create("log/1", b"first")
    with pytest.raises(AlreadyExists):
        store.create("log/1", b"second")
    with pytest.raises(AlreadyExists):
        store.create("log/1", b"first")
    assert store.get("log/1") == b"first"


def test_a_deleted_name_is_free_again(store: ObjectStore) -> None:
    store.create("x", b"1")
    store.delete("x")
    store.delete("x")
    with pytest.raises(NotFound):
        store.get("x")
    store.create("x", b"2")
    assert store.get("x") == b"2"


def test_list_is_sorted_and_by_prefix_of_the_name(store: ObjectStore) -> None:
    for name in ("b/2", "b/10", "b/1", "bb/1", "c", "b/d/e"):
        store.create(name, b"")
    assert store.list("b/") == ["b/1", "b/10", "b/2", "b/d/e"]
    assert store.list("b/1") == ["b/1", "b/10"]
    assert store.list("") == ["b/1", "b/10", "b/2", "b/d/e", "bb/1", "c"]
    assert store.list("none/") == []


def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFound):
        store.get("no/such")
    store.create("folder/object", b"")
    with pytest.raises(NotFound):
        store.get("folder")


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a b", "a\n", "ä"])
def test_names_that_are_none_are_refused(store: ObjectStore, name: str) -> None:
    with pytest.raises(AssertionError):
        store.create(name, b"")


def test_of_many_creators_exactly_one_wins_and_nobody_sees_a_part(store: ObjectStore) -> None:
    """Readers race the writers: they see nothing or a whole object, and from then on always the same."""
    rounds, creators, size = 20, 6, 200_000
    barrier = threading.Barrier(creators + 1)
    winners: list[list[int]] = [[] for _ in range(rounds)]
    torn: list[str] = []

    def create(who: int) -> None:
        for number in range(rounds):
            barrier.wait(30)
            try:
                store.create(f"log/{number:03d}", bytes([who]) * size)
            except AlreadyExists:
                continue
            winners[number].append(who)

    def read() -> None:
        for number in range(rounds):
            barrier.wait(30)
            seen: set[bytes] = set()
            for _ in range(200):
                try:
                    data = store.get(f"log/{number:03d}")
                except NotFound:
                    if seen:
                        torn.append(f"{number} vanished")
                    continue
                if len(data) != size or len(set(data)) != 1:
                    torn.append(f"{number} has {len(data)} bytes")
                seen.add(data[:1])
            if len(seen) > 1:
                torn.append(f"{number} changed")

    threads = [threading.Thread(target=create, args=(who,)) for who in range(creators)]
    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert torn == []
    assert [len(who) for who in winners] == [1] * rounds
    for number, who in enumerate(winners):
        assert store.get(f"log/{number:03d}") == bytes(who) * size


def test_the_half_written_is_hidden_and_a_crash_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    store.create("log/1", b"whole")
    (tmp_path / "log" / ".x.partial").write_bytes(b"ha")
    assert store.list("log/") == ["log/1"]
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == [".x.partial", "1"]


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="cannot create"):
        DirectoryStore(tmp_path / "file").create("a", b"")


@pytest.mark.parametrize("location", [lambda p: str(p), lambda p: p.as_uri(), lambda p: f"file://localhost{p}"])
def test_a_location_is_a_path_or_a_file_url(tmp_path: Path, location: Callable[[Path], str]) -> None:
    open_store(location(tmp_path), "delays").create("a", b"1")
    assert (tmp_path / "delays" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("location", ["relative/path", "s3://bucket/x", "file://elsewhere/x", ""])
def test_other_locations_are_refused(location: str) -> None:
    with pytest.raises(ProgramError, match="absolute path or a file:/// URL"):
        open_store(location, "delays")


def test_any_text_becomes_one_part_of_a_name_and_no_two_the_same() -> None:
    texts = ["a/b.jsonl", "a%2Fb.jsonl", ".a", "..", "ä b", "~", "%7E", "", "a"]
    parts = [object_part(text) for text in texts if text]
    assert len(set(parts)) == len(parts)
    store = MemoryStore()
    for part in parts:
        store.create(f"x/{part}", b"")
