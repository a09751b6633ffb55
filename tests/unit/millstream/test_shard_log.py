"""Who owns a shard, and which checkpoint counts: claims, fences, damage, collecting."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from millstream.contract.checkpoint import Manifest, ShardId
from millstream.errors import DamagedLog, Fenced, StoreUnavailable
from millstream.stores.memory import MemoryStore
from millstream.stores.shard_log import ShardLog

SHARD = ShardId("a/b.jsonl")
LOG = "shards/a%2Fb.jsonl/log/"
STATE = "shards/a%2Fb.jsonl/state/"


def log_of(store: MemoryStore, epoch: int, owner: str = "", fault: Callable[[str], None] = lambda _: None) -> ShardLog:
    return ShardLog(store, SHARD, epoch=epoch, owner=owner or f"w{epoch}", fault=fault)


def commit(log: ShardLog, position: int) -> int:
    """A commit with one state file whose content is the position."""
    number = log.next_number
    file = log.save_state("windows", str(position).encode())
    manifest = Manifest(
        shard=SHARD,
        epoch=0,
        number=number,
        program_revision="",
        created_at_s=0.0,
        delivery="exactly-once",
        positions={"source": position},
        state_files=(file,),
    )
    log.commit(manifest, 0.0)
    return number


def restored(log: ShardLog) -> tuple[int | None, bytes | None, int]:
    found = log.claim(0.0)
    position = found.manifest.positions["source"] if found.manifest else None
    return position, found.state.get("windows"), found.claims_since_commit


def damage(store: MemoryStore, name: str, *, remove: bool = False) -> None:
    data = store.get(name)
    store.delete(name)
    if not remove:
        store.create(name, data[:-3] + b"!" + data[-2:])


def test_a_new_shard_starts_with_nothing_and_comes_back_to_its_newest_commit() -> None:
    store = MemoryStore()
    first = log_of(store, 1)
    assert restored(first) == (None, None, 1)
    commit(first, 10)
    commit(first, 20)
    assert restored(log_of(store, 2)) == (20, b"20", 1)
    assert store.list(LOG) == [f"{LOG}{number:012d}" for number in (1, 2, 3, 4)]


def test_claims_since_the_last_commit_are_counted() -> None:
    store = MemoryStore()
    commit_log = log_of(store, 1)
    commit_log.claim(0.0)
    commit(commit_log, 10)
    log_of(store, 2).claim(0.0)
    log_of(store, 3).claim(0.0)
    assert restored(log_of(store, 4)) == (10, b"10", 3)


@pytest.mark.parametrize(("epoch", "owner"), [(4, "x"), (1, "x"), (5, "other")])
def test_a_claim_at_or_below_anothers_epoch_is_fenced_and_leaves_no_trace(epoch: int, owner: str) -> None:
    store = MemoryStore()
    log_of(store, 5, "w5").claim(0.0)
    before = store.list("")
    with pytest.raises(Fenced, match="epoch 5"):
        log_of(store, epoch, owner).claim(0.0)
    assert store.list("") == before


def test_the_same_owner_may_claim_again() -> None:
    """A claim whose outcome was unknown is repeated; it shuts out the first one."""
    store = MemoryStore()
    lost = log_of(store, 5, "w")
    lost.claim(0.0)
    assert restored(log_of(store, 5, "w")) == (None, None, 2)
    with pytest.raises(Fenced):
        commit(lost, 1)


def test_after_a_newer_claim_the_old_owner_cannot_commit() -> None:
    store = MemoryStore()
    old = log_of(store, 1)
    old.claim(0.0)
    commit(old, 10)
    new = log_of(store, 2)
    assert restored(new) == (10, b"10", 1)
    with pytest.raises(Fenced):
        commit(old, 11)
    with pytest.raises(Fenced):
        commit(old, 12)
    commit(new, 20)
    assert restored(log_of(store, 3))[0] == 20


def test_a_zombie_that_slept_until_its_place_was_collected_does_not_count() -> None:
    """The number it wants to write is free again, and its entry is created; but nobody takes it for history."""
    store = MemoryStore()
    zombie = log_of(store, 1)
    zombie.claim(0.0)
    commit(zombie, 10)  # entry 2; its next is 3
    owner = log_of(store, 2)
    owner.claim(0.0)  # entry 3
    for position in (20, 30, 40):
        commit(owner, position)  # 4, 5, 6
        owner.collect(2)
    assert store.list(LOG) == [f"{LOG}{number:012d}" for number in (5, 6)]
    with pytest.raises(Fenced, match="moved on"):
        commit(zombie, 11)
    assert restored(log_of(store, 3))[0] == 40


def test_a_zombies_entry_right_below_the_kept_ones_is_never_restored() -> None:
    store = MemoryStore()
    zombie = log_of(store, 1)
    zombie.claim(0.0)  # its next is 2
    owner = log_of(store, 2)
    owner.claim(0.0)  # 2
    commit(owner, 20)  # 3
    owner.collect(1)  # 1 and 2 are gone
    with pytest.raises(Fenced, match="moved on"):
        commit(zombie, 11)  # creates a new 2, just below 3
    damage(store, store.list(STATE)[-1], remove=True)
    with pytest.raises(DamagedLog):
        log_of(store, 3).claim(0.0)


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize("what", ["state", "entry"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_and_says_so(what: str, remove: bool) -> None:
    store = MemoryStore()
    log = log_of(store, 1)
    log.claim(0.0)
    commit(log, 10)
    commit(log, 20)
    name = next(name for name in store.list(STATE) if "/000000000003-" in name) if what == "state" else f"{LOG}{3:012d}"
    damage(store, name, remove=remove)
    if what == "entry" and remove:  # then the log ends one entry before, and that is not known to anybody
        assert restored(log_of(store, 2)) == (10, b"10", 1)
        return
    found = log_of(store, 2).claim(0.0)
    assert found.manifest is not None
    assert found.manifest.positions == {"source": 10}
    assert found.state == {"windows": b"10"}
    assert len(found.remarks) == 1
    assert "3" in found.remarks[0]
    assert "passed over" in found.remarks[0]


def test_when_no_checkpoint_is_whole_the_shard_does_not_start_over_in_silence() -> None:
    store = MemoryStore()
    log = log_of(store, 1)
    log.claim(0.0)
    commit(log, 10)
    damage(store, store.list(STATE)[0])
    with pytest.raises(DamagedLog, match=r"none of its checkpoints is whole.*not what was written"):
        log_of(store, 2).claim(0.0)


def test_history_that_was_collected_is_not_taken_for_a_new_shard() -> None:
    store = MemoryStore()
    log = log_of(store, 1)
    log.claim(0.0)
    commit(log, 10)
    commit(log, 20)
    log.collect(1)
    damage(store, f"{LOG}{3:012d}")
    with pytest.raises(DamagedLog):
        log_of(store, 2).claim(0.0)


def test_collecting_keeps_what_the_newest_commits_need_and_everything_since() -> None:
    store = MemoryStore()
    log = log_of(store, 1)
    log.claim(0.0)
    for position in range(10):
        commit(log, position)
    log_of(store, 2).claim(0.0)
    log = log_of(store, 3)
    log.claim(0.0)
    commit(log, 77)
    log.collect(3)
    assert [int(name[-12:]) for name in store.list(LOG)] == [10, 11, 12, 13, 14]
    assert sorted(store.get(name) for name in store.list(STATE)) == [b"77", b"8", b"9"]
    log.collect(3)
    assert len(store.list("")) == 8


def test_state_files_that_never_came_to_a_commit_are_collected() -> None:
    store = MemoryStore()
    log = log_of(store, 1)
    log.claim(0.0)
    log.save_state("windows", b"of an attempt that failed")
    commit(log, 1)
    log.collect(5)
    assert [store.get(name) for name in store.list(STATE)] == [b"1"]


class Stop(Exception):
    pass


class Stopper:
    """Stops the log at the n-th of its effects, once armed."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.armed = False

    def __call__(self, _: str) -> None:
        if self.armed:
            self.left -= 1
            if self.left < 0:
                raise Stop


@pytest.mark.parametrize("stop_at", range(12))
def test_collecting_may_stop_anywhere_and_be_done_again(stop_at: int) -> None:
    stopper = Stopper(stop_at)
    store = MemoryStore()
    log = log_of(store, 1, fault=stopper)
    log.claim(0.0)
    for position in range(5):
        commit(log, position)
    stopper.armed = True
    with contextlib.suppress(Stop):
        log.collect(2)
    assert restored(log_of(store, 2))[0] == 4
    again = log_of(store, 3)
    again.claim(0.0)
    again.collect(2)
    assert sorted(store.get(name) for name in store.list(STATE)) == [b"3", b"4"]


class AmbiguousStore(MemoryStore):
    """Loses the answer to one create, after doing it."""

    lose = False

    def create(self, name: str, data: bytes) -> None:
        super().create(name, data)
        if self.lose:
            self.lose = False
            raise StoreUnavailable("timed out")


def test_a_commit_whose_answer_was_lost_can_be_repeated() -> None:
    store = AmbiguousStore()
    log = log_of(store, 1)
    log.claim(0.0)
    file = log.save_state("windows", b"10")
    manifest = Manifest(
        shard=SHARD,
        epoch=1,
        number=2,
        program_revision="",
        created_at_s=0.0,
        delivery="",
        positions={"source": 10},
        state_files=(file,),
    )
    store.lose = True
    with pytest.raises(StoreUnavailable):
        log.commit(manifest, 0.0)
    log.commit(manifest, 0.0)
    assert log.next_number == 3
    assert restored(log_of(store, 2))[0] == 10


def test_a_commit_that_a_newer_claim_followed_at_once_still_counts() -> None:
    """The newer owner saw it: it is history, though its writer is shut out from then on."""
    store = MemoryStore()
    newer: list[int | None] = []

    def claimed_right_after(point: str) -> None:
        if point == "entry created" and old.next_number == 2:
            newer.append(restored(log_of(store, 2))[0])

    old = ShardLog(store, SHARD, epoch=1, owner="w1", fault=lambda point: claimed_right_after(point))
    old.claim(0.0)
    commit(old, 10)
    assert newer == [10]
    with pytest.raises(Fenced):
        commit(old, 11)
