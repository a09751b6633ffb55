"""The script: what is sent, what is expected, and when; and how it is told on a stage.

    story = Story()
    story.send(agent("a", cpus=4), job("delays", workers=2))
    story.expect(launched("delays", 0), launched("delays", 1), job_is("delays", "running"))
    story.send(task_dies("delays", 1))
    story.expect(launched("delays", 1), within="10s")
    story.run()

A story is data: the same one can be told on several stages.  What a stage cannot do is skipped with a reason, and with
it the expectations up to the next thing sent, which would be its consequences.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final

from headgate.core.units import duration_text
from headgate.testing.story.acts import Act, seconds
from headgate.testing.story.expectations import Expectation, Seen
from headgate.testing.story.stage import CannotDo, Stage

SHOWN_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Let something happen."""

    act: Act
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """See something (`times` of it) since the last thing sent, or within some time from now; `never`: not see it."""

    expectation: Expectation
    where: str
    within_s: float | None
    times: int = 1
    never: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """Let time pass."""

    seconds: float
    where: str


Line = Send | Expect | After


class StoryFailed(AssertionError):
    """An expectation was not met.  The text shows what was expected, what happened, and everything before."""


@dataclass(slots=True)
class Telling:
    """What came of a story: its transcript, and what was skipped and why."""

    transcript: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The whole transcript."""
        return "\n".join(self.transcript)


class Story:
    """A list of lines.  `name` is for messages."""

    def __init__(self, name: str = "the story") -> None:
        self.name = name
        self.lines: list[Line] = []

    def send(self, *acts: Act) -> Story:
        """Let these things happen, one after the other."""
        where = _caller()
        self.lines += [Send(act=act, where=where) for act in acts]
        return self

    def expect(self, *expectations: Expectation, within: float | str | None = None, times: int = 1) -> Story:
        """See all of these, in any order, since the last thing sent; each so many times.

        One thing that happened meets one expectation.  `within` is how long to wait for each; the stage has a default.
        """
        where = _caller()
        within_s = None if within is None else seconds(within)
        self.lines += [Expect(expectation=each, where=where, within_s=within_s, times=times) for each in expectations]
        return self

    def expect_none(self, *expectations: Expectation, during: float | str) -> Story:
        """See none of these since the last thing sent, and for so long from now."""
        where = _caller()
        self.lines += [
            Expect(expectation=each, where=where, within_s=seconds(during), never=True) for each in expectations
        ]
        return self

    def after(self, duration: float | str) -> Story:
        """Let so much time pass."""
        self.lines.append(After(seconds=seconds(duration), where=_caller()))
        return self

    def run(self, stage: Stage | None = None) -> Telling:
        """Tell the story on a stage, by default a cluster of its own in virtual time, with Headgate's scheduler.

        The stage is closed at the end if it was made here.

        Raises:
            StoryFailed: an expectation is not met.
        """
        if stage is None:
            from headgate.testing.story.virtual_stage import VirtualStage

            with VirtualStage() as made:
                return _Teller(self, made).tell()
        return _Teller(self, stage).tell()


class _Teller:
    """Tells one story on one stage."""

    def __init__(self, story: Story, stage: Stage) -> None:
        self._story = story
        self._stage = stage
        self._telling = Telling()
        self._since = len(stage.seen)
        self._written = len(stage.seen)
        self._met: set[int] = set()
        self._expecting = False
        self._cannot: str | None = None

    def tell(self) -> Telling:
        for line in self._story.lines:
            match line:
                case Send():
                    self._send(line)
                case After():
                    self._write("·", f"{duration_text(line.seconds)} pass")
                    self._stage.wait(lambda: False, line.seconds)
                case Expect():
                    self._expect(line)
            self._write_seen()
        return self._telling

    def _send(self, line: Send) -> None:
        if self._expecting or self._cannot:
            # What happened before belongs to what was sent before.
            self._since, self._expecting, self._cannot = len(self._stage.seen), False, None
        try:
            self._write(">", str(line.act))
            self._stage.do(line.act)
        except CannotDo as reason:
            self._cannot = str(reason)
            self._skip(f"{line.act}: {reason}")

    def _expect(self, line: Expect) -> None:
        self._expecting = True
        expected = line.expectation
        reason = self._cannot or self._stage.blind_to(expected.sight)
        if reason is not None:
            self._skip(f"{expected.text}: {reason}")
            return
        if line.never:
            self._expect_none(line)
            return
        within_s = self._stage.patience_s if line.within_s is None else line.within_s
        if not self._stage.wait(lambda: len(self._fresh(expected)) >= line.times, within_s):
            found = len(self._fresh(expected))
            times = f" ({found} of {line.times} times)" if line.times > 1 else ""
            self._fail(line, f"expected  {expected.text}{times}, within {duration_text(within_s)}")
        self._met.update(self._fresh(expected)[: line.times])
        self._write_seen()
        self._write("✓", expected.text)

    def _expect_none(self, line: Expect) -> None:
        assert line.within_s is not None
        expected = line.expectation
        if self._stage.wait(lambda: bool(self._fresh(expected)), line.within_s):
            self._fail(line, f"expected  no {expected.text}, for {duration_text(line.within_s)}")
        self._write_seen()
        self._write("✓", f"no {expected.text} for {duration_text(line.within_s)}")

    def _fresh(self, expected: Expectation) -> list[int]:
        """Where in what was seen since the last thing sent there is what is expected, and not yet taken for another."""
        seen = self._stage.seen
        return [at for at in range(self._since, len(seen)) if at not in self._met and expected.meets(seen[at])]

    def _fail(self, line: Expect, expected: str) -> None:
        self._write_seen()
        self._write("✗", line.expectation.text)
        happened = [_shown(each) for each in self._stage.seen[self._since :]] or ["nothing"]
        number = self._story.lines.index(line) + 1
        raise StoryFailed(
            "\n".join(
                (
                    f"{self._story.name}, line {number} ({line.where}):",
                    f"  {expected}",
                    "  happened since the last thing sent:",
                    *(f"    {each}" for each in happened[-SHOWN_MAX:]),
                    "  the whole story:",
                    *(f"    {each}" for each in self._telling.transcript[-SHOWN_MAX:]),
                    *(f"  {each}" for each in self._stage.notes()),
                )
            )
        )

    def _skip(self, text: str) -> None:
        self._telling.skipped.append(text)
        self._write("-", f"skipped, {text}")

    def _write(self, mark: str, text: str) -> None:
        self._telling.transcript.append(f"{self._stage.now():10.3f} {mark} {text}")

    def _write_seen(self) -> None:
        for each in self._stage.seen[self._written :]:
            self._telling.transcript.append(_shown(each))
        self._written = len(self._stage.seen)


def _shown(seen: Seen) -> str:
    return f"{seen.at:10.3f} < {seen.text}"


def _caller() -> str:
    """Where the script's line was written."""
    frame = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
