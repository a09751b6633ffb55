"""A keyed process within a shard: its state, the transaction under way, and how its rows go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from millstream.accumulators import Accumulator, Amounts
from millstream.core.keyed_state import KeyedState, TimerKind, Transaction
from millstream.keyed import MAIN
from millstream.runtime.keyed_run import KeyedRun, Outputs
from millstream.runtime.pipeline import StepFailed
from millstream.steps import KeyedProcess, WriteTo

Writes = Sequence[tuple[str, pl.DataFrame]]
GoOn = Callable[[pl.DataFrame], tuple[Writes, Amounts]]
"""The rest of the program on rows of the main output."""


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

    def run(self, rows: pl.DataFrame, watermarks: Sequence[int | None] | None, go_on: GoOn) -> Writes:
        """What a piece of the batch gives; what it changes counts for the pieces after it.

        Raises:
            StepFailed: the program raised; the piece has changed nothing.
        """
        assert self._work is not None
        work = self._work.over()
        return self._settled(work, lambda: self._run.rows(rows, watermarks, work, self._now), go_on)

    def adopt(self) -> None:
        """The batch is taken in: what it changed is the state now."""
        if self._work is not None:
            self._state.adopt(self._work)
            self._work = None

    def fire(
        self, kind: TimerKind, until_us: int, watermark_us: int | None, now: float, go_on: GoOn
    ) -> tuple[int, Writes]:
        """(how many timers were due, what they give).

        Raises:
            StepFailed: the program raised; nothing has changed.
        """
        self.begin(watermark_us, now)
        assert self._work is not None
        work, fired = self._work.over(), 0

        def timers() -> Outputs:
            nonlocal fired
            fired, outputs = self._run.timers(kind, until_us, work, now)
            return outputs

        writes = self._settled(work, timers, go_on)
        self.adopt()
        return fired, writes

    def save(self, watermark_us: int | None) -> dict[str, pl.DataFrame]:
        """The state by role."""
        return self._state.save(watermark_us)

    def load(self, frames: Mapping[str, pl.DataFrame]) -> None:
        """Go on from what `save` gave."""
        self._state.load(frames)

    def _settled(self, work: Transaction, function: Callable[[], Outputs], go_on: GoOn) -> Writes:
        """The rows that a function gives, sent down the program; then what it changed counts."""
        try:
            outputs = function()
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
