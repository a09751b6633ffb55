"""Reliable delivery of updates, under any interleaving."""

from __future__ import annotations

import base64
import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headgate.simulator.agent.update_streams import FIRST_RETRY_S, LAST_RETRY_S, Key, Outcome, Update, UpdateStreams

TASKS: list[Key] = [("f", "a"), ("f", "b"), ("g", "a")]


def update(number: int, *, terminal: bool = False) -> Update:
    uuid = base64.b64encode(number.to_bytes(16, "big")).decode()
    return Update(uuid=uuid, terminal=terminal, status={"n": number})


def test_a_head_comes_again_after_10_20_40_seconds_and_never_later_than_10_minutes() -> None:
    streams = UpdateStreams()
    streams.resume(now=0.0)
    first = update(1)
    assert streams.add(TASKS[0], first, now=0.0) is first
    times = [0.0]
    while len(times) < 11:
        wake_at = streams.wake_at()
        assert wake_at is not None
        assert streams.due(now=wake_at - 0.001) == []
        assert streams.due(now=wake_at) == [(TASKS[0], first)]
        times.append(wake_at)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits == [10, 20, 40, 80, 160, 320, 600, 600, 600, 600]
    assert (FIRST_RETRY_S, LAST_RETRY_S) == (10, 600)


def test_resuming_sends_every_head_and_starts_its_times_anew() -> None:
    streams = UpdateStreams()
    streams.resume(now=0.0)
    streams.add(TASKS[0], update(1), now=0.0)
    streams.add(TASKS[0], update(2), now=0.0)
    streams.due(now=10.0)
    streams.pause()
    assert streams.wake_at() is None
    assert streams.due(now=1000.0) == []
    assert streams.add(TASKS[1], update(3), now=1000.0) is None
    assert streams.resume(now=1000.0) == [(TASKS[0], update(1)), (TASKS[1], update(3))]
    assert streams.wake_at() == 1010.0


def test_an_acknowledged_terminal_update_closes_its_stream_whatever_waits_behind_it() -> None:
    streams = UpdateStreams()
    streams.resume(now=0.0)
    streams.add(TASKS[0], update(1, terminal=True), now=0.0)
    streams.add(TASKS[0], update(2), now=0.0)
    assert streams.acknowledge(TASKS[0], update(1).uuid, now=1.0) == (Outcome.CLOSED, None)
    assert streams.acknowledge(TASKS[0], update(2).uuid, now=1.0) == (Outcome.IGNORED, None)
    assert streams.wake_at() is None


def test_one_uuid_in_two_spellings_is_one_uuid() -> None:
    streams = UpdateStreams()
    streams.resume(now=0.0)
    streams.add(TASKS[0], update(1), now=0.0)
    spelled = "AAAAAAAAAAAAAAAAAAAAAR=="  # the last bits before the padding are not part of the value
    assert base64.b64decode(spelled) == (1).to_bytes(16, "big")
    assert streams.add(TASKS[0], Update(uuid=spelled, terminal=False, status={}), now=0.0) is None
    assert streams.acknowledge(TASKS[0], spelled, now=0.0) == (Outcome.TAKEN, None)


class AnyInterleaving(RuleBasedStateMachine):
    """Updates, duplicates, acknowledgements right and wrong, lost connections, restarts, and time."""

    @initialize()
    def begin(self) -> None:
        self.streams = UpdateStreams()
        self.now = 0.0
        self.number = 0
        self.added: dict[Key, list[Update]] = {key: [] for key in TASKS}
        self.acknowledged: dict[Key, int] = dict.fromkeys(TASKS, 0)
        self.sent: dict[Key, list[Update]] = {key: [] for key in TASKS}

    def was_sent(self, key: Key, item: Update) -> None:
        waiting = self.added[key][self.acknowledged[key] :]
        assert waiting, "sent something that nobody waits for"
        assert item == waiting[0], "sent something beyond the head"
        self.sent[key].append(item)

    def is_closed(self, key: Key) -> bool:
        done = self.added[key][: self.acknowledged[key]]
        return bool(done) and done[-1].terminal

    @rule(key=st.sampled_from(TASKS), terminal=st.booleans())
    def add(self, key: Key, terminal: bool) -> None:
        if any(item.terminal for item in self.added[key]):
            return
        self.number += 1
        item = update(self.number, terminal=terminal)
        head = self.streams.add(key, item, now=self.now)
        self.added[key].append(item)
        if head is not None:
            self.was_sent(key, head)

    @rule(key=st.sampled_from(TASKS), data=st.data())
    def add_again(self, key: Key, data: st.DataObject) -> None:
        if self.added[key] and not self.is_closed(key):
            item = data.draw(st.sampled_from(self.added[key]))
            assert self.streams.add(key, item, now=self.now) is None

    @rule(key=st.sampled_from(TASKS))
    def acknowledge_head(self, key: Key) -> None:
        waiting = self.added[key][self.acknowledged[key] :]
        if not waiting or waiting[0] not in self.sent[key]:
            return
        outcome, following = self.streams.acknowledge(key, waiting[0].uuid, now=self.now)
        assert outcome is (Outcome.CLOSED if waiting[0].terminal else Outcome.TAKEN)
        self.acknowledged[key] += 1
        if following is not None:
            self.was_sent(key, following)

    @rule(key=st.sampled_from(TASKS), data=st.data())
    def acknowledge_something_else(self, key: Key, data: st.DataObject) -> None:
        done, waiting = self.added[key][: self.acknowledged[key]], self.added[key][self.acknowledged[key] :]
        others = [*done, *waiting[1:]]
        if others:
            wrong = data.draw(st.sampled_from(others))
            assert self.streams.acknowledge(key, wrong.uuid, now=self.now) == (Outcome.IGNORED, None)

    @rule(seconds=st.floats(0.1, 2000))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for key, head in self.streams.due(now=self.now):
            self.was_sent(key, head)

    @precondition(lambda self: not self.streams.paused)
    @rule()
    def lose_connection(self) -> None:
        self.streams.pause()

    @rule()
    def reconnect(self) -> None:
        for key, head in self.streams.resume(now=self.now):
            self.was_sent(key, head)

    @rule()
    def restart(self) -> None:
        left = self.streams.stored(lambda _: True)
        self.streams = UpdateStreams()
        self.streams.restore(left)

    @invariant()
    def something_will_happen_for_every_waiting_head(self) -> None:
        if not hasattr(self, "streams") or self.streams.paused:
            return
        waiting = any(self.added[key][self.acknowledged[key] :] for key in TASKS)
        assert (self.streams.wake_at() is not None) == waiting

    def teardown(self) -> None:
        """Once everything is acknowledged, each task was told all it had, in order, the terminal one last."""
        if not hasattr(self, "streams"):
            return
        self.reconnect()
        for key in TASKS:
            while self.added[key][self.acknowledged[key] :]:
                self.acknowledge_head(key)
            assert list(dict.fromkeys(item.uuid for item in self.sent[key])) == [item.uuid for item in self.added[key]]
            assert not any(item.terminal for item in self.added[key][:-1])


AnyInterleaving.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyInterleaving = AnyInterleaving.TestCase
