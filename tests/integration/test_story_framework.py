"""Stories of somebody else's framework: on a simulated Mesos over HTTP, and with `--mesos HOST:PORT` on a real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headgate.testing.pytest_plugin import Cluster
from headgate.testing.story import (
    RealStage,
    SimulatedStage,
    Story,
    StoryFailed,
    VirtualStage,
    acknowledged,
    agent,
    agent_back,
    agent_cut_off,
    declined,
    drained,
    framework,
    framework_ends,
    job,
    launched,
    master_fails_over,
    reactivated,
    reconciled,
    registered,
    revived,
    status,
    stream_breaks,
    suppressed,
    task_dies,
    task_is,
)

pytestmark = pytest.mark.integration
KEEPER = str(Path(__file__).with_name("sample_framework.py"))


def begun(tasks: int = 2) -> Story:
    """The framework has its tasks running."""
    story = Story("tasks are kept running")
    story.send(agent("a", cpus=2, mem=512, disk=512), framework("python", KEEPER, "{master}", str(tasks)))
    story.expect(registered(), *(launched(f"task-{number}") for number in range(tasks)))
    story.expect(*(task_is(f"task-{number}", "RUNNING") for number in range(tasks)), suppressed())
    return story


def test_tasks_that_end_are_replaced(cluster: Cluster) -> None:
    """Killed, drained away: each is launched anew, and every update is acknowledged."""
    story = begun()
    story.send(task_dies("task-0"))
    story.expect(task_is("task-0", "FAILED"), acknowledged("task-0"), revived(), launched("task-0", on="a"))
    story.expect(task_is("task-0", "RUNNING"), suppressed())
    story.send(drained("a"))
    story.expect(task_is("task-0", "KILLED"), task_is("task-1", "KILLED"), revived())
    story.send(reactivated("a"))
    telling = cluster.tell(story)
    if isinstance(cluster.stage, SimulatedStage):
        assert not telling.skipped


def test_a_stream_that_breaks_is_opened_anew(cluster: Cluster) -> None:
    """And what runs is asked about, not launched again."""
    story = begun(1).send(stream_breaks())
    story.expect(registered(), reconciled(explicit=True)).expect_none(launched("*"), during=1)
    story.expect(declined(at_least=30))
    cluster.tell(story)


def test_a_master_that_fails_over_is_found_again(cluster: Cluster) -> None:
    """The tasks run on; on a real Mesos this line, and what follows from it, is left out."""
    telling = cluster.tell(begun(1).send(master_fails_over()).expect(registered(), reconciled(explicit=True)))
    if isinstance(cluster.stage, RealStage):
        assert [each.partition(":")[0] for each in telling.skipped] == [
            "the master fails over",
            "a subscription",
            "an explicit RECONCILE",
        ]
    else:
        assert not telling.skipped


def test_an_agent_that_is_cut_off_costs_its_tasks(cluster: Cluster) -> None:
    """Given up after a few missed pings, and back."""
    story = begun(1).send(agent_cut_off("a")).expect(task_is("task-0", "UNREACHABLE"))
    cluster.tell(story.send(agent_back("a")).expect(launched("task-0")))


def test_what_a_stage_cannot_do_is_left_out_with_its_consequences(cluster: Cluster) -> None:
    """A real process says what it says, and no Headgate runs here."""
    story = begun(1).send(status("task-0", "FAILED")).expect(launched("task-0")).send(job("delays"))
    telling = cluster.tell(story)
    reason = "tasks are real processes here, and speak for themselves"
    assert telling.skipped == [
        f"task task-0 says TASK_FAILED: {reason}",
        f"task task-0 launched: {reason}",
        "job delays is submitted, with 1 workers: no Headgate runs here",
    ]


def test_a_failure_says_what_was_expected_what_happened_and_the_last_words(cluster: Cluster) -> None:
    """Whoever reads it needs no debugger."""
    story = begun(1).send(framework_ends()).expect(revived("*"), within=0.2)
    with pytest.raises(StoryFailed) as caught:
        cluster.tell(story)
    text = str(caught.value)
    assert "expected  REVIVE *, within 200ms" in text
    assert "test_story_framework.py:" in text
    assert "happened since the last thing sent:\n    nothing" in text
    assert "< SUBSCRIBED as" in text
    assert "> the framework's process is killed" in text
    assert "its last words:\n    task-0.1 TASK_STARTING\n    task-0.1 TASK_RUNNING" in text


def test_a_stage_in_virtual_time_has_no_place_for_other_frameworks() -> None:
    """The line is left out, and the reason says where to go."""
    with VirtualStage() as stage:
        telling = Story().send(framework("x")).expect(registered()).run(stage)
    assert all("on the simulated Mesos" in each for each in telling.skipped)
    assert len(telling.skipped) == 2
