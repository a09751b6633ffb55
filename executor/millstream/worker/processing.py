"""The processing thread: it owns the shards and does one thing at a time, in turns.

It is told what to own (`want`) and shows what it owns (`view`); both may be called from any thread, and neither waits
for a turn.  A turn does little, so a new wish is seen soon.  Whose turn it is, what to claim and what to release is
decided by the plain functions of `core`.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from threading import Condition
from typing import Final

from millstream.contract.report import KnownShard, ShardState
from millstream.contract.worker_spec import WorkerSpec
from millstream.core.assignment_diff import assignment_diff
from millstream.core.rate_limit import full_bucket
from millstream.core.turns import Candidate, fair_share, round_of_turns
from millstream.errors import ProgramError, SourceFailed
from millstream.ports import Clock
from millstream.worker.owned_shard import Hold, OwnedShard, Program, Surroundings, Totals
from millstream.worker.shard_view import ShardView

DISCOVERY_S: Final = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the processing thread is to own, as of an assignment: per shard the epoch, and how far others have read.

    `end`: nothing any more, and then stop.
    """

    version: int = 0
    shards: Mapping[str, int] = field(default_factory=dict)
    read_before: Mapping[str, int] = field(default_factory=dict)
    end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the processing thread owns and knows, all of one instant.

    `version` is the newest wish it acts upon: `shards` has all of it that is owned or about to be claimed, and what is
    still to be released.  `broken` is why it cannot go on at all: the program, or a mistake of this library.
    """

    version: int = 0
    loaded: bool = False
    shards: tuple[ShardView, ...] = ()
    known: tuple[KnownShard, ...] = ()
    complete: bool = False
    problem: str | None = None
    broken: str | None = None
    ended: bool = False


class Processing:
    """The work of one worker.  `run` is its thread's body; who has no thread calls `turn` instead.

    `changed` is called from the processing thread after each publication; it must not block.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        load: Callable[[WorkerSpec], Program],
        clock: Clock,
        randomness: Random,
        changed: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._load = load
        self._clock = clock
        self._randomness = randomness
        self._changed = changed
        self._news = Condition()
        self._wish = Wish()
        self._adopted = Wish()
        self._view = View()
        self._around: Surroundings | None = None
        self._owned: dict[str, OwnedShard] = {}
        self._views: dict[str, ShardView] = {}
        self._totals: dict[str, Totals] = {}
        self._shut_out: dict[str, int] = {}
        self._round: deque[str] = deque()
        now = clock.monotonic()
        self._limit = None if spec.rate_limit is None else full_bucket(spec.rate_limit, now=now)
        self._known: tuple[KnownShard, ...] = ()
        self._complete = False
        self._problem: str | None = None
        self._discovery_at = now
        self._look_at_all_at = now
        self._tokens_at = now

    # ---- from any thread

    def want(self, wish: Wish) -> None:
        """Replace the wish.  The caller sees to it that versions only grow and that nothing follows an `end`."""
        with self._news:
            self._wish = wish
            self._news.notify()

    def view(self) -> View:
        """The newest publication."""
        return self._view

    # ---- the processing thread

    def run(self) -> None:
        """Take turns until the end; the view says how it came."""
        while (due_at := self.turn()) is not None:
            with self._news:
                self._news.wait_for(lambda: self._wish is not self._adopted, max(0.0, due_at - self._clock.monotonic()))

    def turn(self) -> float | None:
        """Do what is most urgent.  Returns when to call again, on the monotonic clock; None: never.

        If the program does not load, or something else breaks that is not one shard's, the view says so: the end.
        """
        try:
            return self._turn()
        except ProgramError as problem:
            self._broken(str(problem))
        except Exception as problem:  # noqa: BLE001 - the top of the loop: the scheduler has to hear of it
            _log.exception("processing broke down")
            self._broken("".join(traceback.format_exception_only(problem)).strip())
        return None

    def _turn(self) -> float | None:
        self._adopt()
        if self._adopted.end and not self._owned:
            self._publish(ended=True)
            return None
        if self._around is None:
            self._around = self._load_program()
            self._line_up(self._around)
            self._publish()
        if self._clock.monotonic() >= self._discovery_at:
            self._discover(self._around.program)
        leaving = next((owned for owned in self._owned.values() if owned.state is ShardState.RELEASING), None)
        if leaving is not None:
            leaving.release()
            self._settle(leaving, self._around)
        else:
            self._claim_one(self._around)
            self._checkpoint_one(self._around)
            self._step_one(self._around)
        return self._next_due_at()

    def _load_program(self) -> Surroundings:
        program = self._load(self._spec)
        _log.info("program %s of %s loaded", self._spec.program.object, self._spec.program.file)
        return Surroundings(
            program=program,
            clock=self._clock,
            randomness=self._randomness,
            checkpoint_s=self._spec.checkpoint.interval_s,
        )

    def _discover(self, program: Program) -> None:
        self._discovery_at = self._clock.monotonic() + DISCOVERY_S
        if self._complete:
            return
        try:
            found = program.discover()
        except SourceFailed as failure:
            problem = f"cannot discover shards: {failure}"
            if problem != self._problem:
                _log.warning("%s", problem)
            self._problem = problem
        else:
            self._problem = None
            self._complete = found.complete
            self._known = tuple(
                KnownShard(shard=shard.id, end_records=shard.end_records, end_bytes=shard.end_bytes)
                for shard in found.shards
            )
        self._publish()

    # ---- what to own

    def _adopt(self) -> None:
        """Take up a new wish: from here on the view speaks of it."""
        with self._news:
            wish = self._wish
        if wish is self._adopted:
            return
        self._adopted = wish
        owned = {shard: one.epoch for shard, one in self._owned.items() if one.state is not ShardState.RELEASING}
        for shard in assignment_diff(self._assigned(), owned=owned, shut_out=self._shut_out).release:
            self._owned[shard].state = ShardState.RELEASING
            self._look_at(self._owned[shard])
        if self._around is not None:
            self._line_up(self._around)
        self._publish()

    def _assigned(self) -> Mapping[str, int]:
        return {} if self._adopted.end else self._adopted.shards

    def _line_up(self, around: Surroundings) -> None:
        """Put what is assigned and not owned in line for its claim.  What is still to be released comes after that."""
        owned = {shard: one.epoch for shard, one in self._owned.items()}
        for shard in assignment_diff(self._assigned(), owned=owned, shut_out=self._shut_out).claim:
            if shard not in owned:
                totals = self._totals.setdefault(shard, Totals())
                totals.has_read(self._adopted.read_before.get(shard))
                self._owned[shard] = OwnedShard(shard, self._assigned()[shard], totals=totals, around=around)
                self._look_at(self._owned[shard])

    def _settle(self, owned: OwnedShard, around: Surroundings) -> None:
        """After anything that may have cost the shard: forget it if it is gone, and claim it anew if that is wanted."""
        if owned.hold is Hold.HELD:
            return
        if owned.hold is Hold.FENCED:
            self._shut_out[owned.shard] = owned.epoch
        del self._owned[owned.shard], self._views[owned.shard]
        self._line_up(around)
        self._publish()

    # ---- turns

    def _claim_one(self, around: Surroundings) -> None:
        now = self._clock.monotonic()
        owned = next((one for one in self._owned.values() if one.wants_claim and one.due_at <= now), None)
        if owned is None:
            return
        if owned.state is ShardState.CLAIMING:
            owned.state = ShardState.RESTORING
        self._look_at(owned)
        self._publish()
        owned.claim()
        self._look_at(owned)
        self._publish()
        self._settle(owned, around)

    def _checkpoint_one(self, around: Surroundings) -> None:
        """The checkpoint that is due for longest; one a turn, so that steps go on however many are due."""
        now = self._clock.monotonic()
        due = [one for one in self._owned.values() if one.runs and one.checkpoint_due_at <= now]
        if due:
            owned = min(due, key=lambda one: one.checkpoint_due_at)
            state = owned.state
            owned.checkpoint()
            self._after_work(owned, state, around)

    def _step_one(self, around: Surroundings) -> None:
        """A step of the shard whose turn it is.  Without tokens the round stands still: nobody loses his turn."""
        now = self._clock.monotonic()
        if now < self._tokens_at:
            return
        if not self._round:
            self._round.extend(round_of_turns(self._candidates(), now=now))
        if not self._round:
            return
        owned = self._owned.get(self._round[0])
        if owned is None or not owned.runs or owned.due_at > now:
            self._round.popleft()
            return
        allowance = None
        if self._limit is not None:
            self._limit = self._limit.refilled(now)
            allowance = fair_share(self._limit.allowance(), waiting=len(self._round))
            if allowance == 0:
                self._tokens_at = self._limit.next_at()
                return
        self._round.popleft()
        state = owned.state
        records = owned.step(allowance, shards=len(self._owned))
        if self._limit is not None:
            self._limit = self._limit.spent(records)
        self._after_work(owned, state, around)

    def _after_work(self, owned: OwnedShard, before: ShardState, around: Surroundings) -> None:
        if owned.state is not before:
            self._look_at(owned)
            self._publish()
        self._settle(owned, around)

    def _candidates(self) -> Iterable[Candidate]:
        return [
            Candidate(shard=one.shard, due_at=one.due_at, backlog_records=one.backlog_records)
            for one in self._owned.values()
            if one.runs
        ]

    def _next_due_at(self) -> float:
        now = self._clock.monotonic()
        if now >= self._look_at_all_at:
            self._look_at_all_at = now + self._spec.report_interval_s / 2
            for owned in self._owned.values():
                self._look_at(owned)
            self._publish()
        if any(one.state is ShardState.RELEASING for one in self._owned.values()):
            return now
        running = [one for one in self._owned.values() if one.runs]
        dues = [one.checkpoint_due_at for one in running]
        dues += [max(one.due_at, self._tokens_at) for one in running]
        dues += [one.due_at for one in self._owned.values() if one.wants_claim]
        if self._round:
            dues.append(self._tokens_at)
        return min([self._discovery_at, self._look_at_all_at, *dues])

    # ---- what to show

    def _look_at(self, owned: OwnedShard) -> None:
        self._views[owned.shard] = owned.view()

    def _publish(self, *, ended: bool = False) -> None:
        self._view = View(
            version=self._adopted.version,
            loaded=self._around is not None,
            shards=tuple(self._views[shard] for shard in sorted(self._views)),
            known=self._known,
            complete=self._complete,
            problem=self._problem,
            ended=ended,
        )
        self._changed()

    def _broken(self, problem: str) -> None:
        """End without a word to the shards' logs: whoever owns them next goes on from their last commits."""
        for owned in self._owned.values():
            owned.close()
        self._view = View(
            version=self._adopted.version,
            loaded=self._around is not None,
            known=self._known,
            complete=self._complete,
            broken=problem,
            ended=True,
        )
        self._changed()
