"""Broken builds: each breaks one promise at a border of the scheduler, and some world of the fixed set shows it by the
rule that is meant for it.

The breaks are made where the scheduler meets its store, its master and the time, so that they stay broken however the
inside is rewritten.  `test_simulation` shows that the whole build passes in every one of these worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from fixed_set import DRAWN, FAILOVERS, LOSSES, RIVALS, Worlds

from headgate.errors import StaleLeader
from headgate.model.call import Accept, Call, Decline, Kill, Revive, SendMessage, Suppress
from headgate.model.event import MasterEvent, Offers
from headgate.model.ids import TaskId, find_attempt
from headgate.model.resources import Resources
from headgate.model.settings import Settings
from headgate.model.stored import decoded, encoded
from headgate.model.task import Stage, TaskRecord, WorkerRecord
from headgate.ports import Master, RecordStore
from headgate.testing.scheduler_host import Seams
from headgate.testing.simulation import report, simulate
from millstream.contract.assignment import Assignment
from millstream.contract.wire import decode, encode

Changes = Mapping[str, bytes | None]


class BrokenStore:
    """A store to be broken in one place."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store

    def load(self, prefix: str) -> Mapping[str, bytes]:
        return self.store.load(prefix)

    def new_term(self) -> int:
        return self.store.new_term()

    def write(self, changes: Changes, *, term: int) -> None:
        self.store.write(changes, term=term)

    def close(self) -> None:
        self.store.close()


class Late(BrokenStore):
    """Says yes, and writes some of it only with the next write."""

    def __init__(self, store: RecordStore) -> None:
        super().__init__(store)
        self.waiting: Changes = {}

    def is_late(self, key: str, value: bytes | None) -> bool:
        raise NotImplementedError

    def write(self, changes: Changes, *, term: int) -> None:
        late = {key for key, value in changes.items() if self.is_late(key, value)}
        waiting, self.waiting = self.waiting, {key: changes[key] for key in late}
        self.store.write({**waiting, **{key: changes[key] for key in changes if key not in late}}, term=term)


class EndsLate(Late):
    """The ends of tasks are not saved yet when they are acknowledged."""

    def is_late(self, key: str, value: bytes | None) -> bool:
        return value is None and key.startswith("tasks/")


class IntentLate(Late):
    """What is to be launched is not saved yet when it is launched."""

    def is_late(self, key: str, value: bytes | None) -> bool:
        return value is not None and key.startswith("tasks/") and is_launching(key, value)


def is_launching(key: str, value: bytes) -> bool:
    return decoded(key, value, TaskRecord).stage is Stage.LAUNCHING


class FrameworkNotSaved(BrokenStore):
    """Who we are to Mesos never reaches the disk."""

    def write(self, changes: Changes, *, term: int) -> None:
        self.store.write({key: value for key, value in changes.items() if key != "framework"}, term=term)


class BackoffForgotten(BrokenStore):
    """A new leader finds slots that never failed."""

    def load(self, prefix: str) -> Mapping[str, bytes]:
        return {key: self.fresh(key, value) for key, value in self.store.load(prefix).items()}

    @staticmethod
    def fresh(key: str, value: bytes) -> bytes:
        if not key.startswith("workers/"):
            return value
        return encoded(key, replace(decoded(key, value, WorkerRecord), failures=0, backoff_until=0.0))


class SlotsForgotten(BrokenStore):
    """A new leader does not know which attempts were made."""

    def load(self, prefix: str) -> Mapping[str, bytes]:
        return {key: value for key, value in self.store.load(prefix).items() if not key.startswith("workers/")}


class TwoLeaders(BrokenStore):
    """A leader of the past is not told that it is over: it acts on what it believes is saved."""

    def write(self, changes: Changes, *, term: int) -> None:
        with suppress(StaleLeader):
            self.store.write(changes, term=term)


class BrokenMaster:
    """A line to the master to be broken in one place."""

    def __init__(self, master: Master) -> None:
        self.master = master

    def send(self, call: Call) -> None:
        changed = self.change(call)
        if changed is not None:
            self.master.send(changed)

    def change(self, call: Call) -> Call | None:
        raise NotImplementedError


class SameEpoch(BrokenMaster):
    """Every owner of a shard is told the same epoch."""

    def change(self, call: Call) -> Call | None:
        if not isinstance(call, SendMessage):
            return call
        told = decode(call.data, Assignment)
        shards = tuple(replace(each, epoch=1) for each in told.shards)
        return replace(call, data=encode(replace(told, shards=shards)))


class SaidOnce(BrokenMaster):
    """Each assignment is sent once, as if messages always arrived."""

    def __init__(self, master: Master) -> None:
        super().__init__(master)
        self.said: set[tuple[str, int]] = set()

    def change(self, call: Call) -> Call | None:
        if not isinstance(call, SendMessage):
            return call
        told = decode(call.data, Assignment)
        is_new = (told.task_id, told.version) not in self.said
        self.said.add((told.task_id, told.version))
        return call if is_new else None


class NewestKilled(BrokenMaster):
    """Whichever attempt is to be killed, the newest of its slot is."""

    def __init__(self, master: Master) -> None:
        super().__init__(master)
        self.newest: dict[tuple[str, int], tuple[int, TaskId, Any]] = {}

    def change(self, call: Call) -> Call | None:
        if isinstance(call, Accept):
            for launch in call.launches:
                attempt = find_attempt(launch.task_id)
                assert attempt is not None
                self.newest[attempt.job, attempt.worker] = (attempt.attempt, launch.task_id, launch.agent_id)
        if isinstance(call, Kill):
            attempt = find_attempt(call.task_id)
            found = None if attempt is None else self.newest.get((attempt.job, attempt.worker))
            if found is not None:
                return replace(call, task_id=found[1], agent_id=found[2])
        return call


class MoreThanOffered(BrokenMaster):
    """Everything is launched with twice the memory it was placed with."""

    def change(self, call: Call) -> Call | None:
        if not isinstance(call, Accept):
            return call
        twice = (replace(each, resources=each.resources + Resources(cpus_m=64_000)) for each in call.launches)
        return replace(call, launches=tuple(twice))


def without(*kinds: type[Call]) -> Callable[[Master], Master]:
    """A line to the master on which calls of some kinds are swallowed."""

    class Swallows(BrokenMaster):
        def change(self, call: Call) -> Call | None:
            return None if isinstance(call, kinds) else call

    return Swallows


def impatient(settings: Settings) -> Settings:
    """Launches without waiting for word of recorded tasks."""
    return replace(settings, patience=replace(settings.patience, reconcile_gate_s=0.0))


def bare(event: MasterEvent) -> MasterEvent:
    """Offers without attributes: what jobs demand of them is not seen to be wanting."""
    if not isinstance(event, Offers):
        return event
    return Offers(offers=tuple(replace(offer, attributes={}) for offer in event.offers))


SOON_S = 200.0
"""The whole build comes to rest within this in the worlds that are to show that a broken one does not."""


@pytest.mark.parametrize(
    ("broken", "rule", "worlds"),
    [
        pytest.param(Seams(store=EndsLate), "SavedBeforeAcknowledged", DRAWN, id="acknowledged before it is saved"),
        pytest.param(Seams(store=IntentLate), "IntentSaved", DRAWN, id="launched before the intent is saved"),
        pytest.param(Seams(settings=impatient), "Reconciled", FAILOVERS, id="no reconcile gate"),
        pytest.param(Seams(master=SameEpoch), "OneOwner", DRAWN, id="epoch not bumped"),
        pytest.param(Seams(event=bare), "WhereItMay", DRAWN, id="placement ignored"),
        pytest.param(Seams(master=NewestKilled), "RightOneKilled", DRAWN, id="wrong attempt killed"),
        pytest.param(Seams(master=without(Decline)), "NothingHoarded", DRAWN, id="offers hoarded"),
        pytest.param(Seams(store=BackoffForgotten), "BackoffKept", DRAWN, id="backoff forgotten at failover"),
        pytest.param(Seams(store=SlotsForgotten), "OnePerSlot", DRAWN, id="slots forgotten at failover"),
        pytest.param(Seams(store=FrameworkNotSaved), "OneFramework", DRAWN, id="framework id not saved first"),
        pytest.param(Seams(store=TwoLeaders), "SavedBeforeAcknowledged", RIVALS, id="two leaders"),
        pytest.param(Seams(master=MoreThanOffered), "WithinOffers", DRAWN, id="more than was offered"),
        pytest.param(Seams(master=without(Suppress)), "Rest", LOSSES, id="suppress forgotten"),
        pytest.param(Seams(master=without(Revive)), "Rest", LOSSES, id="never revived"),
        pytest.param(Seams(master=SaidOnce), "Rest", LOSSES, id="assignment not repeated"),
        pytest.param(Seams(wake_at=lambda _: None), "Wakes", DRAWN, id="wake-up forgotten"),
    ],
)
def test_what_is_broken_is_caught(broken: Seams, rule: str, worlds: Worlds) -> None:
    """Some world of the fixed set shows it, by the rule that is meant for it."""
    caught = []
    for seed, options in worlds:
        caught.append(simulate(seed, replace(options, calm_s=SOON_S, seams=broken)).rule)
        if caught[-1] == rule:
            whole = simulate(seed, replace(options, calm_s=SOON_S))
            assert whole.failure is None, report(whole)
            return
    pytest.fail(f"not caught by {rule}, only by {sorted({each for each in caught if each})}")
