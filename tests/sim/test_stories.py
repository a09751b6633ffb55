"""Stories of Headgate in virtual time, and the language they are told in."""

from __future__ import annotations

import pytest

from headgate.testing.pytest_plugin import Cluster
from headgate.testing.story import (
    StageFailed,
    Story,
    StoryFailed,
    VirtualStage,
    agent,
    agent_back,
    agent_cut_off,
    agent_dies,
    agent_lost,
    agent_returns,
    cancelled,
    deactivated,
    declined,
    drained,
    job,
    job_is,
    job_waits,
    killed,
    launched,
    master_fails_over,
    quota,
    reactivated,
    reconciled,
    registered,
    revived,
    scaled,
    scheduler_dies,
    status,
    stream_breaks,
    suppressed,
    task_dies,
    task_is,
)


def running(workers: int = 1, **spec: object) -> Story:
    """A job runs on agent a."""
    story = Story().send(agent("a"), job("delays", workers=workers, **spec))
    return story.expect(launched("delays", on="a"), times=workers).expect(job_is("delays", "running"))


def test_nothing_is_hoarded_and_offers_are_asked_for_when_needed(headgate: Cluster) -> None:
    """Suppressed while all is well, revived for what is missing, declined for long where nothing is wanted."""
    story = running().expect(suppressed("*"))
    story.send(scaled("delays", 2)).expect(revived("*"), launched("delays", 1), suppressed("*"))
    story.send(agent("b")).expect_none(launched("*"), during="1h")
    story.send(scaled("delays", 3)).expect(declined(at_least=600), within="2m")
    headgate.tell(story)


def test_a_worker_on_a_lost_agent_is_replaced_and_one_that_is_back_is_killed(headgate: Cluster) -> None:
    """The attempt that was given up does not live on beside its successor (marathon #5207)."""
    story = running().send(agent("b"), agent_cut_off("a"))
    story.expect(task_is("delays.1.0.0", "UNREACHABLE"), within="3m").expect(launched("delays", 0, on="b"), within="2m")
    story.send(agent_back("a")).expect(killed("delays.1.0.0"), task_is("delays.1.0.0", "KILLED"), within="2m")
    headgate.tell(story)


def test_tasks_outlive_agent_master_and_scheduler(headgate: Cluster) -> None:
    """Each is gone for a while, and nothing is launched twice."""
    story = running(2).send(agent_dies("a"), agent_returns("a")).expect_none(launched("*"), during="2m")
    story.send(master_fails_over()).expect(registered(), reconciled(explicit=True))
    story.expect_none(launched("*"), during="2m")
    story.send(scheduler_dies()).expect(registered(), reconciled(explicit=True)).expect_none(launched("*"), during="2m")
    story.send(stream_breaks()).expect(registered()).expect_none(launched("*"), during="2m")
    story.send(stream_breaks(half_open=True)).expect(registered(), within="5m")
    headgate.tell(story)


def test_operators_have_their_way(headgate: Cluster) -> None:
    """Drained, deactivated, limited; and back."""
    story = running().send(agent("b"), drained("a"))
    story.expect(task_is("delays", "KILLED", 0), launched("delays", 0, on="b"), within="2m")
    story.expect(task_is("delays", "RUNNING", 0))
    story.send(deactivated("b"), task_dies("delays", 0)).expect(job_waits("delays"), within="2m")
    story.expect_none(launched("*"), during="2m")
    story.send(reactivated("b")).expect(launched("delays", 0), within="3m")
    story.send(quota("*", cpus=1), scaled("delays", 2)).expect_none(launched("*"), during="2m")
    story.send(quota("*", cpus=None)).expect(launched("delays", 1), within="3m")
    headgate.tell(story)


def test_a_machine_that_is_lost_takes_its_tasks_along(headgate: Cluster) -> None:
    """And a job that is cancelled leaves nothing behind."""
    story = running().send(agent("b"), agent_lost("a")).expect(launched("delays", 0, on="b"), within="5m")
    story.send(agent_returns("a"), cancelled("delays")).expect(job_is("delays", "cancelled"), suppressed(), within="2m")
    headgate.tell(story)


def test_scripted_workers_say_what_the_story_says(headgate: Cluster) -> None:
    """And without a script, only how they end."""
    del headgate
    story = Story().send(agent("a"), job("delays")).expect(launched("delays", 0))
    story.send(status("delays", 0, "STARTING")).expect(task_is("delays", "STARTING", 0))
    story.expect_none(job_is("delays", "running"), during="1m")
    story.send(status("delays", 0, "RUNNING")).expect(job_is("delays", "running"))
    story.send(status("delays", 0, "LOST")).expect(task_is("delays", "LOST", 0), launched("delays", 0))
    with VirtualStage(scripted=True) as stage:
        assert not story.run(stage).skipped
    telling = running().send(status("delays", 0, "RUNNING")).expect(task_is("delays", "RUNNING")).run()
    assert len(telling.skipped) == 2


def test_equal_stories_are_told_in_equal_ways() -> None:
    """Down to the last id."""
    story = running(2).send(task_dies("delays", 1)).expect(launched("delays", 1), within="1m")
    assert str(story.run()) == str(story.run())


def test_what_is_not_met_says_so_with_everything_before() -> None:
    """Where, what was expected, what happened instead."""
    story = running().send(task_dies("delays", 0)).expect(launched("delays", 7), within="5s")
    with pytest.raises(StoryFailed) as caught:
        story.run()
    text = str(caught.value)
    assert "line 6" in text
    assert "test_stories.py:" in text
    assert "expected  worker 7 of delays launched, within 5s" in text
    happened = text.partition("happened since the last thing sent:")[2].partition("the whole story:")[0]
    assert "TASK_FAILED" in happened
    assert "SUBSCRIBED" not in happened
    assert "SUBSCRIBED" in text
    with pytest.raises(StoryFailed, match=r"expected  no worker 0 of delays launched, for 10s"):
        running().send(task_dies("delays", 0)).expect_none(launched("delays", 0), during="10s").run()


def test_one_thing_that_happened_meets_one_expectation() -> None:
    """Three launches are not four."""
    running(3).run()
    story = Story().send(agent("a"), job("delays", workers=3)).expect(launched("delays"), times=4, within="10s")
    with pytest.raises(StoryFailed, match=r"task delays launched \(3 of 4 times\)"):
        story.run()


@pytest.mark.parametrize(
    ("story", "problem"),
    [
        (Story().send(agent_dies("a")), "there is no agent a; there are none"),
        (Story().send(agent("a"), agent("a")), "there is an agent a already"),
        (Story().send(task_dies("x")), "no task x runs; there are none"),
        (Story().send(scaled("delays", 2)), "job delays is scaled to 2: there is no job named delays"),
    ],
)
def test_what_makes_no_sense_is_refused(story: Story, problem: str) -> None:
    """In words that help."""
    with pytest.raises(StageFailed) as caught:
        story.run()
    assert problem in str(caught.value)


def test_durations_and_sizes_are_checked_where_they_are_written() -> None:
    """Not when the story is told."""
    with pytest.raises(ValueError, match="'soon' is no duration; write 30s"):
        Story().after("soon")
    with pytest.raises(ValueError, match="'8 gigs' is no size; write 512MiB"):
        agent("a", mem="8 gigs")
