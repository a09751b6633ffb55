"""Asks another service about each row of a batch: many calls at a time on one event loop, without threads.

The loop belongs to the thread that runs the shards, and turns only while a batch is asked about.  All shards of a
thread use the same one, so that a client (which belongs to the loop it was made on) serves them all.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from millstream.accumulators import Accumulator, Amounts, collected
from millstream.durations import duration_text
from millstream.errors import user_frame
from millstream.runtime.rows import checked, frame_of
from millstream.steps import MapAsync, Row

UNANSWERED_IN_A_ROW_MAX = 100
"""So many rows without an answer, and none with one in between: it is the service, not the rows."""

_PAUSE_MAX_S = 30.0


class ServiceFails(Exception):
    """Nothing is answered.  The rows asked about are not given up: ask again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Rows to go on with, and of which row each is; and why each other one has no answer, in order of rows."""

    frame: pl.DataFrame
    origins: Sequence[int]
    unanswered: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    row: int
    value: Mapping[str, Any] | None
    amounts: Amounts


class Calls:
    """The calls of one step for one shard.  Of one thread."""

    def __init__(self, step: MapAsync) -> None:
        self._step = step
        self._loop: ThreadLoop | None = None
        self._unanswered_in_a_row = 0

    def answers(self, rows: pl.DataFrame) -> Answers:
        """Ask about all rows, and wait for the last answer.

        Raises:
            ServiceFails: too many rows in a row have no answer.
            RuntimeError: the thread is in the middle of another event loop.
        """
        if self._loop is None:
            self._loop = loop_of_thread()
        answered: list[_Answer] = []
        unanswered: dict[int, str] = {}
        self._loop.run(self._ask_all(rows, answered, unanswered))
        if self._step.ordered:
            answered.sort(key=lambda answer: answer.row)
        frame, kept = self._in_columns([each for each in answered if each.value is not None], unanswered)
        passed = sum(each.row not in unanswered for each in answered)
        self._judge(passed, unanswered)
        for each in answered:
            if each.row not in unanswered:
                for name, amount in each.amounts.items():
                    Accumulator(name).add(amount)
        return Answers(frame=frame, origins=[each.row for each in kept], unanswered=dict(sorted(unanswered.items())))

    def _judge(self, passed: int, unanswered: Mapping[int, str]) -> None:
        """Count what a whole batch came to.  A batch that is given up does not count, for it comes again."""
        if passed:
            self._unanswered_in_a_row = 0
        elif unanswered:
            in_a_row = self._unanswered_in_a_row + len(unanswered)
            if in_a_row >= UNANSWERED_IN_A_ROW_MAX:
                raise _service_fails(in_a_row, unanswered)
            self._unanswered_in_a_row = in_a_row

    async def _ask_all(self, rows: pl.DataFrame, answered: list[_Answer], unanswered: dict[int, str]) -> None:
        waiting = enumerate(rows.iter_rows(named=True))
        lines = min(self._step.concurrency, rows.height)
        tasks = [asyncio.ensure_future(self._ask(waiting, answered, unanswered)) for _ in range(lines)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(
        self, waiting: Iterator[tuple[int, Row]], answered: list[_Answer], unanswered: dict[int, str]
    ) -> None:
        """Take one row after the other, until there is none, or no use in going on."""
        for index, row in waiting:
            outcome = await self._outcome(index, row)
            if isinstance(outcome, _Answer):
                answered.append(outcome)
                continue
            unanswered[index] = outcome
            if not answered and len(unanswered) >= UNANSWERED_IN_A_ROW_MAX:
                raise _service_fails(len(unanswered), unanswered)

    async def _outcome(self, index: int, row: Row) -> _Answer | str:
        """The answer, or why there is none after all attempts."""
        step, pause_s, reason = self._step, self._step.backoff_us / 1_000_000, ""
        for attempt in range(step.retries + 1):
            if attempt:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_MAX_S)
            outcome = await self._attempt(index, dict(row))
            if isinstance(outcome, _Answer):
                return outcome
            reason = outcome
        attempts = f"{step.retries + 1} attempts" if step.retries else "1 attempt"
        return f"no answer: {step.label}, {attempts}, the last: {reason}"

    async def _attempt(self, index: int, row: Row) -> _Answer | str:
        call = asyncio.ensure_future(self._call(index, row))
        in_time: set[asyncio.Future[_Answer | str]] = set()
        try:
            in_time, _ = await asyncio.wait({call}, timeout=self._step.timeout_us / 1_000_000)
        finally:
            if not call.done():
                call.cancel()
                await asyncio.wait({call})
            problem = None if call.cancelled() else call.exception()
        if problem is not None and not isinstance(problem, Exception):
            raise problem
        if not in_time:
            return f"nothing came within {duration_text(self._step.timeout_us)} at {self._step.where}"
        if call.cancelled():
            return f"it cancelled itself at {self._step.where}"
        if problem is not None:
            return f"{type(problem).__name__}: {problem} at {user_frame(problem) or self._step.where}"
        return call.result()

    async def _call(self, index: int, row: Row) -> _Answer | str:
        with collected() as amounts:
            value = await self._step.function(row)
        return _Answer(row=index, value=value, amounts=amounts)

    def _in_columns(
        self, answered: Sequence[_Answer], unanswered: dict[int, str]
    ) -> tuple[pl.DataFrame, Sequence[_Answer]]:
        """The answers that fit the schema as a frame; those that do not are as good as none."""
        try:
            return self._fitted(answered), answered
        except (TypeError, ValueError):
            fitting = []
            for each in answered:
                try:
                    self._fitted([each])
                    fitting.append(each)
                except (TypeError, ValueError) as problem:
                    unanswered[each.row] = f"no good answer: {self._step.label} at {self._step.where}: {problem}"
            return self._fitted(fitting), fitting

    def _fitted(self, answered: Sequence[_Answer]) -> pl.DataFrame:
        return frame_of([checked(each.value, self._step.schema) for each in answered], self._step.schema)


def _service_fails(in_a_row: int, unanswered: Mapping[int, str]) -> ServiceFails:
    last = list(unanswered.values())[-1]
    return ServiceFails(f"{in_a_row} rows in a row have no answer, so it is not the rows; {last}")


# ---- the event loop

Result = TypeVar("Result")


class ThreadLoop:
    """An event loop that closes when nobody holds it any more."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        weakref.finalize(self, self._loop.close)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run until `work` is done.

        Raises:
            RuntimeError: the thread is in the middle of another event loop.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._loop.run_until_complete(work)
        work.close()
        raise RuntimeError("inside an event loop (a notebook?) nothing can be waited for: run this in another thread")


_of_thread = threading.local()


def loop_of_thread() -> ThreadLoop:
    """The one loop of the calling thread, made when there is none."""
    found: weakref.ref[ThreadLoop] | None = getattr(_of_thread, "loop", None)
    loop = found() if found is not None else None
    if loop is None:
        loop = ThreadLoop()
        _of_thread.loop = weakref.ref(loop)
    return loop
