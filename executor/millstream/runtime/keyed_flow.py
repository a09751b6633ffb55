"""A keyed process within a shard: its state, the transaction under way, and how its rows go on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl

from millstream.accumulators import Accumulator, Amounts
from millstream.contract.checkpoint import END_OF_TIME_US
from millstream.core.keyed_state import Key, KeyedState, TimerKind, Transaction
from millstream.keyed import MAIN
from millstream.runtime.keyed_run import KeyedRun, Outputs
from millstream.runtime.pipeline import StepFailed
from millstream.steps import KeyedProcess, WriteTo

Writes = Sequence[tuple[str, pl.DataFrame]]
GoOn = Callable[[pl.DataFrame], tuple[Writes, Amounts]]
"""The rest of the program on rows of the main output."""

_ROUNDS_MAX = 1000


class KeyedFlow:
    """`begin`, then `run` for each piece of the batch, then `adopt`; the next `begin` forgets a batch that failed."""

    def __init__(self, step: KeyedProcess, sides: Mapping[str, WriteTo]) -> None:
        self._step = step
        self._sides = sides
        self._run = KeyedRun(step)
        self._state: KeyedState = step.new_state()
        self._work: Transaction | None = None
        self._now = 0.0

    @property
    def rows(self) -> int:
        """Keys with state, and timers."""
        return self._state.rows

    def begin(self, watermark_us: int | None, now: float) -> None:
        """A batch begins."""
        self._work, self._now = self._state.begin(watermark_us), now

    def run(self, rows: pl.DataFrame, go_on: GoOn) -> Writes:
        """What a piece of the batch gives; what it changes counts for the pieces after it.

        Raises:
            StepFailed: the program raised; the piece has changed nothing.
        """
        assert self._work is not None
        return self._settled(self._work, lambda work: self._run.rows(rows, work, self._now), go_on)

    def adopt(self, watermark_us: int | None) -> None:
        """The batch is taken in, up to a watermark: what it changed is the state now."""
        if self._work is not None:
            self._state.adopt(self._work, watermark_us)
            self._work = None

    def fire(
        self, kind: TimerKind, until_us: int, watermark_us: int | None, now: float, go_on: GoOn
    ) -> Iterator[Writes]:
        """What the timers give that are due, and those that these set, if they are due as well.

        At the end of the source all timers are due, but not those that they set: a timer that sets itself again would
        never end.

        Raises:
            StepFailed: the program raised; the state is not whole any more.
        """
        earliest_us, rounds_without_progress = None, 0
        while due := self._state.take_due(kind, until_us):
            if earliest_us is not None and due[0][0] <= earliest_us:
                rounds_without_progress += 1
                if rounds_without_progress >= _ROUNDS_MAX:
                    problem = RuntimeError(
                        f'timer "{due[0][2]}" sets timers that are due, {_ROUNDS_MAX} times in a row'
                    )
                    raise StepFailed(self._step, problem)
            else:
                rounds_without_progress = 0
            earliest_us = due[0][0]
            self.begin(watermark_us, now)
            assert self._work is not None
            yield self._settled(self._work, functools.partial(self._timers, due, kind), go_on)
            self.adopt(watermark_us)
            if until_us == END_OF_TIME_US:
                return

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """The state by role."""
        return self._state.save(watermark_us)

    def load(self, frames: Mapping[str, pl.DataFrame]) -> None:
        """Go on from what `save` gave."""
        self._state.load(frames)

    def _timers(self, due: Sequence[tuple[int, Key, str]], kind: TimerKind, work: Transaction) -> Outputs:
        return self._run.timers(due, kind, work, self._now)

    def _settled(self, below: Transaction, function: Callable[[Transaction], Outputs], go_on: GoOn) -> Writes:
        work = below.over()
        try:
            outputs = function(work)
        except Exception as problem:
            raise StepFailed(self._step, problem) from problem
        writes, amounts = go_on(outputs[MAIN])
        for name, amount in amounts.items():
            Accumulator(name).add(amount)
        try:
            work.settle()
        except (TypeError, ValueError) as problem:
            hint = ValueError(f"what is kept of a key must be JSON: {problem}")
            raise StepFailed(self._step, hint) from problem
        sides = [(write.name, outputs[name]) for name, write in self._sides.items()]
        return [*writes, *((name, rows) for name, rows in sides if rows.height)]
