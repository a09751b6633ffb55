"""The pytest plugin: fixtures that tell stories, and the option `--mesos`.

`cluster` is a simulated Mesos for a framework of one's own, or with `--mesos HOST:PORT` a real one; `headgate` is
Headgate's scheduler on a simulated Mesos in virtual time.  What a story had to leave out on its stage is listed at the
end of the run.

Loaded with every pytest run of an environment that has Headgate, so nothing is imported before it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headgate.testing.story import Stage, Story, Telling

_SKIPPED = pytest.StashKey[list[str]]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A stage, and what was left out on it."""

    stage: Stage
    name: str
    skipped: list[str] = field(default_factory=list)

    def tell(self, story: Story) -> Telling:
        """Tell a story, or go on with another one, on the same cluster.

        Raises:
            StoryFailed: an expectation is not met.
        """
        telling = story.run(self.stage)
        self.skipped.extend(f"{self.name}: {each}" for each in telling.skipped)
        return telling


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--mesos`."""
    parser.addoption(
        "--mesos",
        metavar="HOST:PORT",
        help="tell the stories of the fixture `cluster` on a real Mesos, whose leading master is there",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is left out yet."""
    config.stash[_SKIPPED] = []


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A simulated Mesos over HTTP with real processes as tasks; with `--mesos`, the real one."""
    from headgate.testing.story import RealStage, SimulatedStage

    master = request.config.getoption("--mesos")
    with SimulatedStage() if master is None else RealStage(str(master)) as stage:
        yield Cluster(stage=stage, name=request.node.name, skipped=request.config.stash[_SKIPPED])


@pytest.fixture
def headgate(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Headgate's scheduler and a simulated Mesos in virtual time."""
    from headgate.testing.story import VirtualStage

    with VirtualStage() as stage:
        yield Cluster(stage=stage, name=request.node.name, skipped=request.config.stash[_SKIPPED])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was left out, and why."""
    skipped = config.stash[_SKIPPED]
    if skipped:
        terminalreporter.section("left out of stories")
        for each in skipped:
            terminalreporter.line(each)
